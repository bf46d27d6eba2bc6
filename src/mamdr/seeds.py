"""Every random draw in mamdr starts here: a seed, and the words that say what the draw is for.

No module keeps a generator of its own between calls, so a result depends on (seed, purpose) alone and not on what
ran before it, in which process, or in which order.
"""

from __future__ import annotations

import hashlib

import numpy as np


def derive(seed: int, *purpose: str | int) -> int:
    """A 63-bit seed for one purpose, the same on every machine.

    >>> derive(1, "walk", 3) == derive(1, "walk", 3), derive(1, "walk", 3) == derive(1, "walk", 4)
    (True, False)
    """
    text = "/".join([str(seed), *(f"{type(part).__name__}:{part}" for part in purpose)])
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little") >> 1


def generator(seed: int, *purpose: str | int) -> np.random.Generator:
    """A NumPy generator for one purpose.

    >>> int(generator(1, "order").integers(10)) == int(generator(1, "order").integers(10))
    True
    """
    return np.random.default_rng(derive(seed, *purpose))
