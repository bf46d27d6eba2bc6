"""A market that never was: many domains, known click probabilities, a dial for how much domains conflict.

Every user u has tastes a_u and every item v has traits b_v, in two parts of K standard normal numbers each:
the common part, which all domains reward alike, and the contested part, whose every trait one group of
domains rewards and the others punish (a sign s_dk for domain d and trait k). With c the conflict,

    match(w) = sum_k w_k (sqrt(.7) b_vk + sqrt(.2) a_uk + sqrt(.1) a_uk b_vk) / sqrt(K)
    score_d(u, v) = sqrt(1 - c) match(1) over the common part + sqrt(c) match(s_d) over the contested part
    P(click in d) = sigmoid(score_d(u, v) / noise + bias_d)

A score has variance one, and two domains' scores correlate by (1 - c) + c mean_k(s_dk s_ek): 1 without
conflict; with conflict 1 about 0 on average, -1 between domains that disagree in every trait. bias_d sets
the domain's click-through rate. Domains' sizes follow a power law of their rank. A domain sees a random share
of all users and of all items, its own, so any two domains have that share of their users in common.

Everything about a domain comes from (seed, domain), everything about a user or an item from (seed, id): more
domains, more users or smaller chunks change nothing about those that were there before.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import polars as pl

from mamdr import seeds
from mamdr.data.draws import Floats, Ints, distinct, fit_bias, normals, sigmoid, spread
from mamdr.errors import ConfigError

Progress = Callable[[str, int, int], None]

_ITEM, _USER, _AFFINITY = math.sqrt(0.7), math.sqrt(0.2), math.sqrt(0.1)
_GOLDEN = (math.sqrt(5) - 1) / 2
_SMALLEST = 8  # rows of a domain, and users and items it sees, at least
_LARGEST = 2**31  # ids fit into int32
_BLOCK = 8_192  # rows whose tastes fit into the cache


class _Rows(NamedTuple):
    """Rows of one or several domains, `domain` as a number."""

    user: Ints
    item: Ints
    domain: Ints
    label: Ints
    probability: Floats


@dataclass(frozen=True)
class MarketConfig:
    """The dials of a market; the defaults are the embedded one, 160 thousand rows that train in a minute.

    Args:
        domains: D, >= 1.
        users, items: how many there are, in [8, 2**31); ids are 0, 1, 2, ...
        samples_per_domain: rows of a domain on average, >= 8. No domain has more than a quarter of the pairs
            that its users and items make, and none fewer than 8 rows.
        tail: exponent of the domains' sizes, size ~ rank ** -tail, in [0, 1); 0 makes all equal.
        overlap: share of all users and of all items that a domain sees, in (0, 1].
        conflict: c, in [0, 1].
        tastes: K, numbers in each part of a user's tastes and an item's traits, >= 1.
        noise: standard deviations of the score in one unit of the logit, > 0; the best AUC is about 0.87 with
            0.5, 0.84 with 0.6 and 0.74 with 1.
        ctr_ratio: lowest and highest ratio of positives to negatives, drawn uniformly per domain, both > 0.
        seed: everything is drawn from it.

    Raises: ConfigError for a value out of range.
    """

    domains: int = 12
    users: int = 2_000
    items: int = 500
    samples_per_domain: int = 12_000
    tail: float = 0.4
    overlap: float = 0.5
    conflict: float = 0.7
    tastes: int = 12
    noise: float = 0.55
    ctr_ratio: tuple[float, float] = (0.2, 0.5)
    seed: int = 0

    def __post_init__(self) -> None:
        low, high = self.ctr_ratio
        for name, fits, expected in (
            ("domains", self.domains >= 1, "1 or more"),
            ("users", _SMALLEST <= self.users < _LARGEST, f"{_SMALLEST} to 2**31 - 1"),
            ("items", _SMALLEST <= self.items < _LARGEST, f"{_SMALLEST} to 2**31 - 1"),
            ("samples_per_domain", self.samples_per_domain >= _SMALLEST, f"{_SMALLEST} or more"),
            ("tail", 0 <= self.tail < 1, "a number in [0, 1)"),
            ("overlap", 0 < self.overlap <= 1, "a number in (0, 1]"),
            ("conflict", 0 <= self.conflict <= 1, "a number in [0, 1]"),
            ("tastes", self.tastes >= 1, "1 or more"),
            ("noise", 0 < self.noise < math.inf, "a number above 0"),
            ("ctr_ratio", 0 < low <= high < math.inf, "two rising numbers above 0"),
        ):
            if not fits:
                raise ConfigError(f"market {name} = {getattr(self, name)}", expected, f"Change {name}")

    def size(self, domain: int) -> int:
        """Rows of a domain; how many domains there are does not matter."""
        shift = seeds.derive(self.seed, "market", "sizes") / 2**63
        # Multiples of the golden ratio fill [0, 1) evenly from the first on: few domains have the mean too.
        rank = 1 - math.fmod(shift + (domain + 1) * _GOLDEN, 1)
        size = int(self.samples_per_domain * (1 - self.tail) * rank**-self.tail)
        pairs = _pool_size(self.users, self.overlap) * _pool_size(self.items, self.overlap)
        return max(_SMALLEST, min(size, pairs // 4))


class BestAuc(NamedTuple):
    """The AUC of the true click probabilities against the drawn labels: what no scorer beats but by luck.

    A domain whose labels are of one class has None, and is not in the mean.
    """

    mean: float | None
    domains: dict[str, float | None]


def make_market(
    config: MarketConfig, *, truth: bool = False, progress: Progress | None = None
) -> pl.DataFrame:
    """The whole market as a canonical table, domain by domain.

    Args:
        config: its dials.
        truth: also give the column `probability`, each row's true click probability.
        progress: called with a text, the rows made so far and the rows to make.

    Returns: user_id and item_id (Int64, >= 0), domain (String, "domain-00007"), label (Int64, 0 or 1); a pair
        of a user and an item comes once in a domain.
    Cost: about a microsecond a row; memory about 100 bytes a row.

    >>> market = make_market(MarketConfig(domains=2, samples_per_domain=100))
    >>> market.columns, market["domain"].unique().sort().to_list()
    (['user_id', 'item_id', 'domain', 'label'], ['domain-00000', 'domain-00001'])
    """
    return pl.concat(list(iter_market(config, 1_000_000, truth=truth, progress=progress)))


def iter_market(
    config: MarketConfig, rows_per_chunk: int, *, truth: bool = False, progress: Progress | None = None
) -> Iterator[pl.DataFrame]:
    """The same table in chunks of `rows_per_chunk` rows (the last may be shorter).

    Raises: ConfigError for rows_per_chunk below 1.
    Cost: memory of a chunk and of the largest domain, about 100 bytes a row of each.
    """
    if rows_per_chunk < 1:
        raise ConfigError(f"rows_per_chunk = {rows_per_chunk}", "1 or more", "Change rows_per_chunk")
    names = pl.Series("domain", [domain_name(domain) for domain in range(config.domains)])
    waiting: list[_Rows] = []
    held = 0
    for rows in _domains(config, progress):
        waiting.append(rows)
        held += len(rows.user)
        if held >= rows_per_chunk:
            joined = _join(waiting)
            for begin in range(0, held - rows_per_chunk + 1, rows_per_chunk):
                yield _frame(_cut(joined, begin, begin + rows_per_chunk), names, truth)
            waiting, held = [_cut(joined, held - held % rows_per_chunk, held)], held % rows_per_chunk
    if held:
        yield _frame(_join(waiting), names, truth)


def best_auc(config: MarketConfig) -> BestAuc:
    """The true best AUC of each domain and their mean, on all rows of the market.

    >>> best_auc(MarketConfig(domains=2, samples_per_domain=4000, noise=0.01)).mean > 0.99
    True
    """
    domains: dict[str, float | None] = {}
    for domain in range(config.domains):
        rows = _domain_rows(config, domain)
        clicked = rows.label == 1
        positives = int(clicked.sum())
        pairs = positives * (len(clicked) - positives)
        ranks = pl.Series(rows.probability).rank("average").to_numpy()[clicked].sum()
        auc = (float(ranks) - positives * (positives + 1) / 2) / pairs if pairs else None
        domains[domain_name(domain)] = auc
    known = [auc for auc in domains.values() if auc is not None]
    return BestAuc(sum(known) / len(known) if known else None, domains)


def domain_name(domain: int) -> str:
    """The name of a domain by its number.

    >>> domain_name(7)
    'domain-00007'
    """
    return f"domain-{domain:05d}"


def true_scores(config: MarketConfig, domain: int, users: Ints, items: Ints) -> Floats:
    """score_d of each (user, item) pair [N], of mean 0 and variance 1 over random pairs."""
    signs = seeds.generator(config.seed, "market", "signs", domain).choice([-1.0, 1.0], config.tastes)
    common = np.full(config.tastes, math.sqrt((1 - config.conflict) / config.tastes))
    wants = np.concatenate((common, signs * math.sqrt(config.conflict / config.tastes)))
    user_keys, item_keys = (keys(config.seed, owner, len(wants)) for owner in ("users", "items"))
    scores = np.empty(len(users))
    for begin in range(0, len(users), _BLOCK):
        block = slice(begin, begin + _BLOCK)
        a, b = normals(user_keys, users[block]), normals(item_keys, items[block])
        scores[block] = wants @ (_ITEM * b + _USER * a + _AFFINITY * a * b)
    return scores


@lru_cache
def keys(seed: int, owner: str, count: int) -> tuple[int, ...]:
    """Keys of draws by id (see `draws.normals`), such as one for each of the users' tastes or the items' traits."""
    return tuple(seeds.derive(seed, "market", owner, k) for k in range(count))


def _domains(config: MarketConfig, progress: Progress | None) -> Iterator[_Rows]:
    total = sum(map(config.size, range(config.domains))) if progress else 0
    done = 0
    for domain in range(config.domains):
        rows = _domain_rows(config, domain)
        done += len(rows.user)
        if progress:
            progress("making a market", done, total)
        yield rows


def _domain_rows(config: MarketConfig, domain: int) -> _Rows:
    generator = seeds.generator(config.seed, "market", domain)
    ratio = generator.uniform(*config.ctr_ratio)
    height, width = (_pool_size(population, config.overlap) for population in (config.users, config.items))
    row, column = np.divmod(distinct(generator, config.size(domain), height * width), width)
    users, items = spread(row, config.users, generator), spread(column, config.items, generator)
    logits = true_scores(config, domain, users, items) / config.noise
    probability = sigmoid(logits + fit_bias(logits, ratio / (1 + ratio)))
    label = (generator.random(len(users)) < probability).astype(np.int64)
    return _Rows(users, items, np.full(len(users), domain), label, probability)


def _pool_size(population: int, overlap: float) -> int:
    """How many of a population one domain sees."""
    return max(_SMALLEST, round(population * overlap))


def _join(parts: list[_Rows]) -> _Rows:
    user, item, domain, label, probability = map(np.concatenate, zip(*parts, strict=True))
    return _Rows(user, item, domain, label, probability)


def _cut(rows: _Rows, begin: int, end: int) -> _Rows:
    part = slice(begin, end)
    return _Rows(
        rows.user[part], rows.item[part], rows.domain[part], rows.label[part], rows.probability[part]
    )


def _frame(rows: _Rows, names: pl.Series, truth: bool) -> pl.DataFrame:
    columns = {
        "user_id": pl.Series(rows.user),
        "item_id": pl.Series(rows.item),
        "domain": names.gather(rows.domain),
        "label": pl.Series(rows.label),
    }
    return pl.DataFrame({**columns, "probability": pl.Series(rows.probability)} if truth else columns)
