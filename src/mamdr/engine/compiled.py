"""What a step does to each value of a layer besides its matrix products, as compiled loops.

Torch passes over a layer's values once for each operation. Where numba is installed (`pip install 'mamdr[fast]'`) a
loop here does all of them in one pass, and comes to the same values.
"""

from __future__ import annotations

import ctypes
import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

Address = int
"""Of the first of values that lie one after another, as `Tensor.data_ptr()` tells it."""

WORTHWHILE = 50_000
"""Training rows from which on loading the loops pays, within some twenty passes over them."""

_ZERO = np.float32(0)


@dataclass(frozen=True)
class Loops:
    """`relu_dropout` and `pass_back` of this module, compiled: called with addresses."""

    relu_dropout: Callable[[Address, Address, Address, float, int, int], None]
    pass_back: Callable[[Address, Address, float, int], None]


_loaded: dict[str, Loops | None] = {}
"""What `load` has found, once it was called."""


def loops() -> Loops | None:
    """What `load` has made in this process, or None."""
    return _loaded.get("loops")


def load() -> None:
    """Have the loops compiled for this processor; without numba, or with NUMBA_DISABLE_JIT=1, there are none.

    Cost: what it takes to import numba, about a second and 40 MB; compiling, once on a machine, another second.
    """
    if "loops" in _loaded:
        return
    try:
        numba: Any = importlib.import_module("numba")
    except ImportError:
        _loaded["loops"] = None
        return
    off = numba.config.DISABLE_JIT
    _loaded["loops"] = None if off else Loops(_compiled(numba, relu_dropout), _compiled(numba, pass_back))


def relu_dropout(x: Any, bias: Any, words: Any, scale: float, rows: int, columns: int) -> None:
    """x ← (x + bias) · scale where that is positive, or no number, and its bit is set; else 0.

    Args:
        x: [rows, columns], float32; columns a multiple of 32.
        bias: [columns], float32.
        words: rows · columns / 32 of 32 bits, uint32; the highest of the first word is for the first value.
    """
    for row in range(rows):
        for column in range(0, columns, 32):
            start = row * columns + column
            word = words[start // 32]
            for j in range(32):
                bit = word >> np.uint32(31 - j) & np.uint32(1)
                value = x[start + j] + bias[column + j]
                x[start + j] = _ZERO if bit == 0 or value <= _ZERO else value * scale


def pass_back(grad: Any, out: Any, scale: float, n: int) -> None:
    """grad ← grad · scale where `out` is positive, or no number; else 0. Both n values, float32."""
    for i in range(n):
        grad[i] = _ZERO if out[i] <= _ZERO else grad[i] * scale


def _compiled(numba: Any, loop: Callable[..., None]) -> Callable[..., None]:
    types = numba.types
    kinds = {"words": types.CPointer(types.uint32), "scale": types.float32}
    kinds |= dict.fromkeys(("rows", "columns", "n"), types.intp)
    names = loop.__code__.co_varnames[: loop.__code__.co_argcount]
    signature = types.void(*(kinds.get(name, types.CPointer(types.float32)) for name in names))
    try:
        made = numba.cfunc(signature, cache=True)(loop)
    except (RuntimeError, OSError):  # no place to keep it: no folder that can be written
        made = numba.cfunc(signature)(loop)
    passed = {"scale": ctypes.c_float} | dict.fromkeys(("rows", "columns", "n"), ctypes.c_ssize_t)
    call: Any = ctypes.CFUNCTYPE(None, *(passed.get(name, ctypes.c_void_p) for name in names))(made.address)
    call.made = made  # whose code it calls
    return call  # type: ignore[no-any-return]
