"""What a domain keeps of its own, as plain loops over whole tensors.

From MAMDR, Equation 4 (Θ_i = θ_S + θ_i), with θ_i held to some of the parameters, and to matrices of a low rank. The
nearest matrix of a rank is found by deflation: power iteration, one direction at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

import torch
from tests.oracles.learning import Batches, Pass, Source, Walker, add, zeros_like
from tests.oracles.optimizers import Params
from torch import Tensor

Keep = Callable[[Params], Params]
"""What of a specific part is kept."""


def nearest_of_rank(matrix: Tensor, rank: int, iterations: int = 3000) -> Tensor:
    """Σ over the r largest singular directions of σ u vᵀ."""
    rest, found = matrix.clone(), torch.zeros_like(matrix)
    for _ in range(rank):
        v = rest[rest.norm(dim=1).argmax()].clone()
        for _ in range(iterations):
            image = rest.T @ (rest @ v)
            if float(image.norm()) < 1e-200:
                return found
            last, v = v, image / image.norm()
            if float((v - last).norm()) < 1e-16:
                break
        direction = torch.outer(rest @ v, v)
        found, rest = found + direction, rest - direction
    return found


def keeping(names: Iterable[str], rank: int | None = None, matrices: Iterable[str] = ()) -> Keep:
    """Zero but for these names; of `matrices` the nearest of a rank."""
    kept, low = set(names), set(matrices)

    def keep(specific: Params) -> Params:
        result = {}
        for name, value in specific.items():
            result[name] = value if name in kept else torch.zeros_like(value)
            if name in kept & low and rank is not None:
                result[name] = nearest_of_rank(value, rank)
        return result

    return keep


def domain_regularization(
    walker: Walker,
    shared: Params,
    helpers: Sequence[Mapping[int, Sequence[int]]],
    batches: Source,
    specific_lr: float,
    keep: Keep,
    fade: float = 1.0,
) -> list[dict[int, Params]]:
    """Algorithm 2, with what is not kept dropped after each helper. {i: θ_i} after each round."""
    now = {i: zeros_like(shared) for i in helpers[0]}
    history = []
    for r, drawn in enumerate(helpers):
        for i, chosen in drawn.items():
            specific = {name: fade * value for name, value in now[i].items()}
            for h, helper in enumerate(chosen):
                start = add(shared, specific)
                legs: list[Batches] = [
                    batches(d, Pass(r, "dr", leg, i, h)) for leg, d in enumerate((helper, i))
                ]
                moved = add(walker.walk(start, legs), start, -1.0)
                specific = keep(add(specific, moved, specific_lr))
            now[i] = specific
        history.append(dict(now))
    return history


def separate(
    walker: Walker, shared: Params, domains: Sequence[int], rounds: int, batches: Source, keep: Keep
) -> list[dict[int, Params]]:
    """One model a domain that may differ from the first values only in what is kept. {i: Θ_i} after each round."""
    now = dict.fromkeys(domains, shared)
    history = []
    for r in range(rounds):
        for i in domains:
            end = walker.walk(now[i], [batches(i, Pass(r, "separate", 0, i))])
            now[i] = add(shared, keep(add(end, shared, -1.0)))
        history.append(dict(now))
    return history
