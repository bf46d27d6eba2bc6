r"""How much domains conflict: inner products and cosines between their gradients at the same parameters.

G domains that are compared, D that have training rows. With ḡ_i domain i's mean gradient at θ_S,

    product[i, j] = <ḡ_i, ḡ_j>        cosine[i, j] = product[i, j] / (‖ḡ_i‖ ‖ḡ_j‖)

Two domains conflict where the product is negative: a step for one is a step against the other (Yu et al., arXiv
2001.06782, Definition 1). The sum of the products is what Domain Negotiation raises beside lowering the losses (MAMDR,
Equations 17 to 20).
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mamdr.engine.gradients import Gradients
from mamdr.parameters import Point, Store
from mamdr.parameters.gram import gram
from mamdr.seeds import generator

Floats = NDArray[np.float64]
Progress = Callable[[str, int, int], None]
LARGEST = 200
"""Domains that are compared when nothing else is said: more are sampled."""


@dataclass(frozen=True, eq=False)
class Conflict:
    """The inner products of domains' gradients.

    Args:
        domains: ids of the domains that were compared, ascending.
        products: [G, G] float64.
        total: D; larger than G when the domains are a sample.
    """

    domains: tuple[int, ...]
    products: Floats
    total: int

    @functools.cached_property
    def cosines(self) -> Floats:
        """[G, G], in [-1, 1]; NaN for a gradient of zero."""
        norms = np.sqrt(np.diag(self.products))
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.asarray(np.clip(self.products / np.outer(norms, norms), -1, 1))

    @property
    def pairs(self) -> int:
        """Unordered pairs of domains with a cosine."""
        return int(self._kept().sum()) // 2

    @property
    def mean_cosine(self) -> float | None:
        """Over pairs; None without any."""
        return self._mean(self.cosines)

    @property
    def mean_product(self) -> float | None:
        """Over pairs; None without any."""
        return self._mean(self.products)

    @property
    def share(self) -> float | None:
        """The share of pairs that conflict."""
        return self._mean(self.products < 0)

    @property
    def sampled(self) -> bool:
        return len(self.domains) < self.total

    def summary(self) -> dict[str, Any]:
        """The figures without the matrices, as JSON has them; of a sample with standard errors."""
        figures: dict[str, Any] = {
            "domains_compared": len(self.domains),
            "domains": self.total,
            "pairs": self.pairs,
            "mean_cosine": self.mean_cosine,
            "mean_product": self.mean_product,
            "conflicting_share": self.share,
        }
        if self.sampled:
            figures["mean_cosine_error"] = self.error(self.cosines)
            figures["conflicting_share_error"] = self.error(self.products < 0)
        return figures

    def error(self, values: NDArray[Any]) -> float | None:
        """The standard error of a mean over pairs that sampling domains brings: a jackknife over domains.

        Pairs share domains, so they cannot be counted as independent. With T_i the mean without domain i, and a
        correction for the share of all domains that was taken,

            error² = (1 − G/D) · (G − 1)/G · Σ_i (T_i − mean of T)²
        """
        kept = self._kept()
        size = len(kept)
        if size < 3:
            return None
        held = np.where(kept, values, 0.0).astype(np.float64)
        sums, counts = held.sum() - 2 * held.sum(1), kept.sum() - 2 * kept.sum(1)
        if not np.all(counts > 0):
            return None
        without = sums / counts
        spread = float(((without - without.mean()) ** 2).sum())
        return float(np.sqrt((1 - size / self.total) * (size - 1) / size * spread))

    def order(self) -> list[int]:
        """An order of the domains (positions in `domains`) in which those that agree stand together.

        By the angle of each domain in the plane of the two leading eigenvectors of the cosines, cut at the widest gap
        (Friendly, Corrgrams, The American Statistician 2002, section 3.1).
        """
        if len(self.domains) < 3:
            return list(range(len(self.domains)))
        _, vectors = np.linalg.eigh(np.nan_to_num(self.cosines))
        plane = vectors[:, -2:]
        plane = plane * np.sign(plane[np.abs(plane).argmax(0), [0, 1]])  # an eigenvector's sign is anyone's
        angles = np.arctan2(plane[:, 0], plane[:, 1])
        around = np.argsort(angles, kind="stable")
        gaps = np.diff(angles[around], append=angles[around[0]] + 2 * np.pi)
        return [int(place) for place in np.roll(around, -int(gaps.argmax()) - 1)]

    def to_json(self, names: Sequence[str]) -> dict[str, Any]:
        """Everything, with the domains' names; what is no number is None."""
        return {
            **self.summary(),
            "names": [names[domain] for domain in self.domains],
            "cosines": _rows(self.cosines),
            "products": _rows(self.products),
        }

    @classmethod
    def from_json(cls, content: dict[str, Any], names: Sequence[str]) -> Conflict:
        """What `to_json` made."""
        ids = {name: number for number, name in enumerate(names)}
        products = np.array(content["products"], np.float64)
        return cls(tuple(ids[name] for name in content["names"]), products, content["domains"])

    def _kept(self) -> NDArray[np.bool_]:
        """[G, G]: pairs of two domains that both have a direction."""
        known = np.diag(self.products) > 0
        return np.asarray(np.outer(known, known) & ~np.eye(len(known), dtype=bool))

    def _mean(self, values: NDArray[Any]) -> float | None:
        kept = self._kept()
        return float(values[kept].mean()) if kept.any() else None


def _rows(matrix: Floats) -> list[list[float | None]]:
    return [[None if np.isnan(value) else float(value) for value in row] for row in matrix]


def chosen(sizes: Sequence[int], largest: int, seed: int) -> tuple[tuple[int, ...], int]:
    """The domains to compare, and how many there were to choose from: those with training rows, or a sample of them."""
    trainable = [domain for domain, size in enumerate(sizes) if size]
    if len(trainable) <= largest:
        return tuple(trainable), len(trainable)
    draw = generator(seed, "conflict").choice(len(trainable), size=largest, replace=False)
    return tuple(sorted(trainable[place] for place in draw.tolist())), len(trainable)


def conflict(
    gradients: Gradients,
    store: Store,
    *,
    domains: int = LARGEST,
    seed: int = 0,
    progress: Progress | None = None,
) -> Conflict:
    """Compare domains' gradients at a store's parameters.

    Args:
        gradients: takes them.
        store: usually the shared parameters, so that all gradients are taken at one point.
        domains: at most so many, drawn without replacement when there are more.
        seed: of the draw.
        progress: told of each domain.

    Cost: a forward and a backward pass over the compared domains' training rows, and G² · P. Memory: G points.
    """
    data = gradients.session.data
    ids, total = chosen([data.train.size(d) for d in range(len(data.schema.domains))], domains, seed)
    points: list[Point] = []
    for done, domain in enumerate(ids, start=1):
        points.append(gradients(store, domain))
        if progress is not None:
            progress("gradients", done, len(ids))
    return Conflict(ids, gram(points).cpu().numpy(), total)
