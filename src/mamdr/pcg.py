"""NumPy's default generator, as far as its first draw: many of them at once.

`np.random.default_rng(seed)` hashes the seed (`SeedSequence`, O'Neill's seed_seq_fe) and starts a PCG64 with what comes
out; to make one takes longer than to shuffle a small domain. Here the hash is taken of all seeds at once.

Reference: NumPy, `numpy/random/bit_generator.pyx` (NEP 19 keeps both streams as they are); M. O'Neill, PCG: A Family of
Simple Fast Space-Efficient Statistically Good Algorithms for Random Number Generation, 2014 (XSL-RR 128/64).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

_Words = np.ndarray[Any, np.dtype[np.uint32]]

_POOL = 4
_STATE_WORDS = 8
_MIX_LEFT, _MIX_RIGHT = np.uint32(0xCA01F9DD), np.uint32(0x4973F715)
_HALF = np.uint32(16)
_MULTIPLIER = 0x2360ED051FC65DA44385DF649FCCF645
_MASK64, _MASK128 = (1 << 64) - 1, (1 << 128) - 1


class _Hash:
    """A hash of words whose constant changes with each word."""

    def __init__(self, start: int, factor: int) -> None:
        self._constant, self._factor = start, factor

    def __call__(self, words: _Words) -> _Words:
        mixed = words ^ np.uint32(self._constant)
        self._constant = self._constant * self._factor & 0xFFFFFFFF
        mixed *= np.uint32(self._constant)
        return mixed ^ (mixed >> _HALF)


def seeded(seeds: Sequence[int]) -> Iterator[tuple[int, int]]:
    """State and increment, 128 bits each, that PCG64 starts from with each of these seeds (0 <= seed < 2^64)."""
    whole = np.array(seeds, dtype=np.uint64)
    words = [(whole & np.uint64(0xFFFFFFFF)).astype(np.uint32), (whole >> np.uint64(32)).astype(np.uint32)]
    hashed = _Hash(0x43B0D7E5, 0x931E8875)
    pool = [hashed(words[place] if place < len(words) else np.zeros_like(words[0])) for place in range(_POOL)]
    for source in range(_POOL):
        for target in range(_POOL):
            if source != target:
                mixed = _MIX_LEFT * pool[target] - _MIX_RIGHT * hashed(pool[source])
                pool[target] = mixed ^ (mixed >> _HALF)
    hashed = _Hash(0x8B51F9DD, 0x58F38DED)
    drawn = [hashed(pool[place % _POOL]).tolist() for place in range(_STATE_WORDS)]
    for low0, high0, low1, high1, low2, high2, low3, high3 in zip(*drawn, strict=True):
        start = (high0 << 96 | low0 << 64 | high1 << 32 | low1) & _MASK128
        increment = ((high2 << 96 | low2 << 64 | high3 << 32 | low3) << 1 | 1) & _MASK128
        yield ((increment + start) * _MULTIPLIER + increment) & _MASK128, increment


def first64(state: int, increment: int) -> int:
    """The first 64 bits that a PCG64 in this state gives."""
    state = (state * _MULTIPLIER + increment) & _MASK128
    mixed, turn = (state >> 64 ^ state) & _MASK64, state >> 122
    return (mixed >> turn | mixed << (64 - turn)) & _MASK64
