"""Draw the items that a user did not choose, and the ratios that say how many.

For a user with p positives in a domain, int(p / ratio) items are drawn uniformly without replacement from the
domain's items minus the user's positives there; all of those when they are fewer. Paper: section V-A, "CTR
ratio = #positive / #negative". Same as the authors' code, but reproducible: the draws depend on the seed, the
domain's name and its own rows alone, so that another domain changes nothing.
"""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from mamdr.data.coding import distinct_codes
from mamdr.errors import ConfigError
from mamdr.seeds import generator

Codes = npt.NDArray[np.int64]
_CELLS = 1 << 22  # numbers drawn at once for users who take most of a domain


def paper_ratios(count: int) -> list[float]:
    """The published CTR ratios of the first `count` domains: uniform in [0.2, 0.5], two digits.

    They come from Python's own generator with seed 123, whatever the seed of a build, because the paper's
    tables hold these very values.

    >>> paper_ratios(3)
    [0.22, 0.23, 0.32]
    """
    draws = random.Random(123)
    return [round(draws.uniform(0.2, 0.5), 2) for _ in range(count)]


def ratios(domains: Sequence[str], given: float | Mapping[str, float] | None = None) -> list[float]:
    """A ratio for each domain: one for all, by name (the others as published), or all as published.

    Raises: ConfigError for a ratio that is not above 0, or a name that no domain has.
    """
    values = [float(given)] * len(domains) if isinstance(given, int | float) else paper_ratios(len(domains))
    if isinstance(given, Mapping):
        unknown = [name for name in given if name not in domains]
        if unknown:
            raise ConfigError(
                f"a CTR ratio for unknown domain {unknown[0]!r}",
                f"one of {', '.join(domains)}",
                "Correct the name",
            )
        values = [float(given.get(name, value)) for name, value in zip(domains, values, strict=True)]
    for value in values:
        if not (value > 0 and math.isfinite(value)):
            raise ConfigError(f"CTR ratio {value}", "a number above 0, such as 0.3", "Correct --ctr-ratio")
    return values


def draw(users: Codes, items: Codes, ratio: float, seed: int, domain: str) -> tuple[Codes, Codes]:
    """The negatives of one domain.

    Args:
        users, items: int64 [P], the positive pairs of the domain, in any order; a pair that comes twice asks for
            negatives twice.
        ratio: positives per negative, > 0.

    Returns: users and items of the negatives, ordered by user and then as drawn.
    Cost: a few sorts of P / ratio numbers; 2.2 million negatives take about two seconds.

    >>> users, items = draw(np.array([5, 5, 6]), np.array([1, 2, 3]), 0.5, 1, "books")
    >>> users.tolist(), items.tolist()
    ([5, 6, 6], [3, 2, 1])
    """
    source = generator(seed, "negatives", domain)
    names, user = np.unique(users, return_inverse=True)
    choices, item = np.unique(items, return_inverse=True)
    positives = distinct_codes(user * len(choices) + item)
    owned = np.bincount(user, minlength=len(names))
    free = len(choices) - np.bincount(positives // len(choices), minlength=len(names))
    wanted = np.minimum((owned / ratio).astype(np.int64), free)
    dense = wanted * 2 > free
    parts = [
        _reject(positives, np.where(dense, 0, wanted), len(choices), source),
        _permute(positives, np.where(dense, wanted, 0), len(choices), source),
    ]
    keys = np.concatenate(parts)
    keys = keys[np.argsort(keys // max(1, len(choices)), kind="stable")]
    return names[keys // max(1, len(choices))], choices[keys % max(1, len(choices))]


def _reject(positives: Codes, wanted: Codes, items: int, source: np.random.Generator) -> Codes:
    """Draw with replacement and keep what is new and no positive, in the order drawn.

    The first n values that differ, of independent uniform draws, are a uniform sample without replacement,
    and leaving out positives keeps the rest uniform. Keys are user * items + item.
    """
    kept = np.empty(0, dtype=np.int64)
    missing = wanted
    while missing.any():
        user = np.repeat(np.arange(len(wanted)), missing + missing // 4 + 2 * (missing > 0))
        fresh = user * items + source.integers(items, size=len(user))
        fresh = fresh[~_contains(positives, fresh)]
        keys = np.concatenate([kept, fresh])
        first = np.sort(np.unique(keys, return_index=True)[1])
        keys = keys[first]
        keys = keys[np.argsort(keys // items, kind="stable")]
        counts = np.bincount(keys // items, minlength=len(wanted))
        rank = np.arange(len(keys)) - np.repeat(np.cumsum(counts) - counts, counts)
        kept = keys[rank < wanted[keys // items]]
        missing = wanted - np.minimum(counts, wanted)
    return kept


def _permute(positives: Codes, wanted: Codes, items: int, source: np.random.Generator) -> Codes:
    """Shuffle all that a user may get and take the first: for users who want more than half of it."""
    users = np.flatnonzero(wanted)
    span = max(1, _CELLS // max(1, items))
    parts = [np.empty(0, dtype=np.int64)]
    for start in range(0, len(users), span):
        some = users[start : start + span]
        keys = some[:, None] * items + np.arange(items)
        draws = source.random(keys.shape)
        draws[_contains(positives, keys)] = 2.0  # positives sort behind everything
        order = np.argsort(draws, axis=1, kind="stable")
        taken = np.arange(items) < wanted[some][:, None]
        parts.append(np.take_along_axis(keys, order, axis=1)[taken])
    return np.concatenate(parts)


def _contains(values: Codes, keys: Codes) -> npt.NDArray[np.bool_]:
    """Whether each key is among the sorted values."""
    at = np.minimum(np.searchsorted(values, keys), len(values) - 1)
    found: npt.NDArray[np.bool_] = values[at] == keys
    return found
