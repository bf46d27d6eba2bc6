"""What a step does to a layer's values, as compiled loops.

Torch passes over a layer's values once for each operation, and asking it for one costs five to ten times as much in a
step as by itself, since the values that a step streams through the processor's caches push its code out of them. Where
numba is installed (`pip install 'mamdr[fast]'`) loops do all of them in one pass, and layers are gone through in one
call, their products by the library that torch itself calls. Both come to the same values.
"""

from __future__ import annotations

import ctypes
import importlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch

Address = int
"""Of the first of values that lie one after another, as `Tensor.data_ptr()` tells it."""

WORTHWHILE = 50_000
"""Training rows from which on loading the loops pays, within some twenty passes over them."""

LANES = 16
"""Rows of tables are gone through in loops where their width is a multiple of this: torch rounds the rest of a row
otherwise than the others."""


@dataclass(frozen=True)
class RowLoops:
    """The loops of `engine.compiled_row_loops`, called with addresses."""

    look_up: Callable[[Address, Address, Address, int, int, Address, Address, int, int], int]
    add: Callable[[Address, Address, int, Address, int], None]
    step: Callable[[Address, Address, int], None]


@dataclass(frozen=True)
class Loops:
    """The loops of `engine.compiled_loops`, called with addresses.

    Attributes:
        through, back: all layers forward and back; None where torch's products cannot be called so.
        rows: those for rows of tables; None where they do not come to torch's bits.
    """

    relu_dropout: Callable[[Address, Address, Address, float, int, int], None]
    pass_back: Callable[[Address, Address, float, int], None]
    through: Callable[[Address, int, int, Address, Address, Address], None] | None = None
    back: Callable[[Address, int, int, Address, Address, Address], None] | None = None
    rows: RowLoops | None = None


_loaded: dict[str, Loops | None] = {}
"""What `load` has found, once it was called."""


def loops() -> Loops | None:
    """What `load` has made in this process, or None."""
    return _loaded.get("loops")


def load() -> None:
    """Have the loops compiled for this processor; without numba, or with NUMBA_DISABLE_JIT=1, there are none.

    Cost: what it takes to import numba, about a second and 40 MB; compiling, once on a machine, some seconds.
    """
    if "loops" in _loaded:
        return
    try:
        numba: Any = importlib.import_module("numba")
    except ImportError:
        _loaded["loops"] = None
        return
    _loaded["loops"] = None if numba.config.DISABLE_JIT else _compiled(numba)


def _compiled(numba: Any) -> Loops:
    from mamdr.engine import compiled_loops as source

    number, scale, pointer = numba.types.int64, numba.types.float32, numba.types.CPointer
    values, words, plan = pointer(scale), pointer(numba.types.uint32), pointer(number)
    relu_dropout = _made(numba, source.relu_dropout, values, values, words, scale, number, number)
    pass_back = _made(numba, source.pass_back, values, values, scale, number)
    bare, routines = Loops(relu_dropout, pass_back, rows=_rows(numba)), _routines()
    if routines is None:
        return bare
    layers = [
        _made(numba, loop, number, number, plan, number, number, values, plan, number)
        for loop in (source.through, source.back)
    ]
    through, back = (_given(loop, *routines) for loop in layers)
    return replace(bare, through=through, back=back) if _agrees(source, through) else bare


def _rows(numba: Any) -> RowLoops | None:
    from mamdr.engine import compiled_row_loops as source

    number, pointer = numba.types.int64, numba.types.CPointer
    values, places = pointer(numba.types.float32), pointer(numba.types.int32)
    plan, told = pointer(number), pointer(numba.types.float64)
    found = (plan, told, number, number, number, places, values, number, number)
    look_up = _made(numba, source.look_up, *found, result=number)
    add = _made(numba, source.add, plan, places, number, values, number)
    step = _made(numba, source.step, plan, told, number)
    loops = RowLoops(look_up, add, step)
    from mamdr.engine.compiled_rows import agree

    return loops if agree(loops) else None


def _agrees(source: Any, through: Callable[..., None]) -> bool:
    """Whether a product that is made by the routines found is torch's to the bit: it is not assumed."""
    draw = torch.Generator().manual_seed(0)
    rows, weight, bias = (
        torch.randn(size, generator=draw, dtype=torch.float32) for size in ((70, 24), (64, 24), (64,))
    )
    out = torch.empty(70, 64, dtype=torch.float32)
    plan, same = (torch.zeros(size, dtype=torch.int64) for size in (source.FIELDS, 3))
    layer = (weight.data_ptr(), 24, bias.data_ptr(), rows.data_ptr(), 24, out.data_ptr(), 64, 0, 0)
    plan[: len(layer)] = torch.tensor(layer)
    through(plan.data_ptr(), 1, 70, bias.data_ptr(), same.data_ptr(), 0)
    return torch.equal(out, (rows @ weight.t()).add_(bias))


def _given(loop: Callable[..., None], gemm: Address, gemv: Address) -> Callable[..., None]:
    return lambda *arguments: loop(gemm, gemv, *arguments)


def _routines() -> tuple[Address, Address] | None:
    """Where sgemm and sgemv are that torch calls, as far as it tells."""
    library = ctypes.CDLL(torch._C.__file__)
    try:
        found = [ctypes.cast(getattr(library, name), ctypes.c_void_p).value for name in ("sgemm_", "sgemv_")]
    except AttributeError:
        return None
    gemm, gemv = found
    return (gemm, gemv) if gemm and gemv else None


def _made(numba: Any, loop: Callable[..., Any], *kinds: Any, result: Any = None) -> Callable[..., Any]:
    """A loop compiled for arguments of these kinds, to be called with numbers and addresses; it answers nothing, or a
    number."""
    signature = (result or numba.types.void)(*kinds)
    try:
        made = numba.cfunc(signature, cache=True)(loop)
    except (RuntimeError, OSError):  # no place to keep it: no folder that can be written
        made = numba.cfunc(signature)(loop)
    passed: dict[Any, Any] = {numba.types.float32: ctypes.c_float, numba.types.int64: ctypes.c_int64}
    answer = None if result is None else ctypes.c_int64
    call: Any = ctypes.CFUNCTYPE(answer, *(passed.get(kind, ctypes.c_void_p) for kind in kinds))(made.address)
    call.made = made  # whose code it calls
    return call  # type: ignore[no-any-return]
