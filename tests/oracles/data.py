"""Negatives, split and readers as plain loops, written from the paper, sharing no code with mamdr."""

from __future__ import annotations

import gzip
import json
import random
from collections import defaultdict
from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path


def amazon_pairs(path: Path) -> set[tuple[str, str]]:
    """The distinct (user, item) pairs of a review file."""
    with gzip.open(path, "rt", encoding="utf-8") as file:
        reviews = [json.loads(line) for line in file]
    return {(review["reviewerID"], review["asin"]) for review in reviews}


def negative_counts(pairs: Iterable[tuple[object, object]], ratio: float) -> dict[object, int]:
    """How many negatives each user of a domain must get: int(positives / ratio), or all that are left."""
    owned: dict[object, set[object]] = defaultdict(set)
    items: set[object] = set()
    for user, item in pairs:
        owned[user].add(item)
        items.add(item)
    return {user: min(int(len(own) / ratio), len(items) - len(own)) for user, own in owned.items()}


def draw_negatives(pairs: set[tuple[int, int]], ratio: float, seed: int) -> list[tuple[int, int]]:
    """One draw, with Python's own sampler from an explicit list of what is left."""
    source = random.Random(seed)
    items = sorted({item for _, item in pairs})
    counts = negative_counts(pairs, ratio)
    drawn = []
    for user in sorted({user for user, _ in pairs}):
        left = [item for item in items if (user, item) not in pairs]
        drawn += [(user, item) for item in source.sample(left, counts[user])]
    return drawn


def split_counts(rows: int) -> tuple[int, int, int]:
    """60 / 20 / 20: train and val rounded to the nearest, halves up, and test the rest."""
    train = int(Fraction(6, 10) * rows + Fraction(1, 2))
    val = int(Fraction(2, 10) * rows + Fraction(1, 2))
    return train, val, rows - train - val
