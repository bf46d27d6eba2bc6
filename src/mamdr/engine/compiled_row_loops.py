"""The compiled loops for the rows of tables. Importing this imports numba, which `engine.compiled` does where it pays.

Addresses are of the first of values that lie one after another, as `Tensor.data_ptr()` tells them. What a loop comes to
are the bits of the torch operations that it stands for (`engine.lazy`, `engine.idle`, `engine.inner`): where torch's
own loop multiplies and adds in one rounding, so does this. What runs over a row's values is a loop of its own that
divides without looking for zeros, and so is made for many values at once.
"""

from __future__ import annotations

from typing import Any

import numba
import numba.extending
import numpy as np
from llvmlite import ir

from mamdr.engine.compiled_loops import address_of

types: Any = numba.types
intrinsic: Any = numba.extending.intrinsic

SLOTS, IDS, ROWS, MEAN, SQUARE, LAST, WIDTH, PENALTY, SUMS, MOST, FADED, LONGEST = range(12)
TOUCHED, PLACE, GRADS, COUNT = range(12, 16)
"""What a plan says of a table, in int64. SLOTS leads from an id, of IDS, to its place, -1 for none; where its rows
[n, WIDTH] lie, their two moments, the step that each belongs to; the penalty of each row, 0 for none; the sums of idle
steps [MOST, 2] and the powers that fade [LONGEST, 3] of `engine.idle`, 0 for rows that rest. The second line is of
gradients summed: the COUNT places that have one, in the order in which they are met; for each place where it is among
those, if it is; and the sums."""

LR, EPS, BETA2, OF_MEAN, OF_SQUARE, SIZE, ROOT = range(7)
"""What is said of Adam, in float64: lr, eps, β₂, 1 − β₁ and 1 − β₂; and of the step at hand −lr / (1 − β₁ᵗ) and
√(1 − β₂ᵗ)."""

_ZERO, _ONE, _TWO = np.float32(0), np.float32(1), np.float32(2)
_TINY = 1e-30


def _float32(name: str, arguments: int) -> Any:
    """An instruction on float32, of as many values at once as the processor has room for."""

    def instruction(context: Any, *given: Any) -> Any:
        def make(context: Any, builder: Any, signature: Any, values: Any) -> Any:
            kind = ir.FloatType()
            called = ir.FunctionType(kind, [kind] * arguments)
            return builder.call(builder.module.declare_intrinsic(f"llvm.{name}", [kind], called), values)

        return types.float32(*[types.float32] * arguments), make

    if arguments == 1:
        return intrinsic(lambda context, a: instruction(context, a))
    return intrinsic(lambda context, a, b, c: instruction(context, a, b, c))


_root, _fused = _float32("sqrt", 1), _float32("fma", 3)
_floats, _doubles, _longs, _ints = (
    address_of(kind) for kind in (types.float32, types.float64, types.int64, types.int32)
)


def _coast(
    row: Any, mean: Any, square: Any, width: int, idle: int, last: int, now: int, plan: Any, adam: Any
) -> None:
    """`engine.idle.coast` for one row that has idled."""
    sums, faded = _doubles(plan[SUMS]), _doubles(plan[FADED])
    here, there = 2 * min(last, plan[MOST] - 1), 2 * min(now, plan[MOST] - 1)
    power = 3 * min(idle, plan[LONGEST] - 1)
    a = sums[here] - faded[power] * sums[there]
    g = sums[here + 1] - faded[power + 1] * sums[there + 1]
    times = np.float32(1.0 / (g * adam[LR] + _TINY))
    more = np.float32(adam[EPS] / (a * adam[LR]))
    mean_fades, square_fades = np.float32(faded[power]), np.float32(faded[power + 2])
    for i in range(width):
        row[i] -= mean[i] / (times / (_ONE / _root(square[i])) + more)
        mean[i] *= mean_fades
        square[i] *= square_fades


_coast = numba.njit(error_model="numpy")(_coast)


def look_up(
    plan: Any, adam: Any, ids: int, wide: int, count: int, places: Any, out: Any, stride: int, now: int
) -> int:
    """The rows of `count` ids, brought to step `now`, to `out`; how many ids have no place, and then nothing else.

    Args:
        plan, adam: as told above.
        ids: where they are, int64 if `wide`, else int32.
        places: [count], int32, filled.
        out: rows of `stride` values.
    """
    slots, known, width = _ints(plan[SLOTS]), plan[IDS], plan[WIDTH]
    rows, mean, square, last = plan[ROWS], plan[MEAN], plan[SQUARE], _longs(plan[LAST])
    missing = 0
    for i in range(count):
        id = _longs(ids)[i] if wide else np.int64(_ints(ids)[i])
        places[i] = slots[id] if 0 <= id < known else np.int32(-1)
        missing += places[i] < 0
    if missing:
        return missing
    for i in range(count):
        place = np.int64(places[i])
        idle, far = now - last[place], 4 * place * width
        row = _floats(rows + far)
        if idle:
            if plan[SUMS]:
                _coast(
                    row, _floats(mean + far), _floats(square + far), width, idle, last[place], now, plan, adam
                )
            last[place] = now
        to = i * stride
        for j in range(width):
            out[to + j] = row[j]
    return 0


def add(plan: Any, places: Any, count: int, grads: Any, stride: int) -> None:
    """Add gradients, rows of `stride` values, to the sums of the rows at `count` places (int32)."""
    touched, place_of, sums = _ints(plan[TOUCHED]), _ints(plan[PLACE]), _floats(plan[GRADS])
    width, known = plan[WIDTH], plan[COUNT]
    for i in range(count):
        place = places[i]
        at, given = np.int64(place_of[place]), i * stride
        if at < 0 or at >= known or touched[at] != place:  # what place_of has been left with is anything
            at = known
            touched[at] = place
            place_of[place] = np.int32(at)
            known += 1
            for j in range(width):
                sums[at * width + j] = _ZERO
        for j in range(width):
            sums[at * width + j] += grads[given + j]
    plan[COUNT] = known


def _hold_back(grad: Any, row: Any, penalty: Any, width: int) -> None:
    for j in range(width):
        grad[j] += _TWO * (row[j] * penalty)


def _adam(
    row: Any,
    mean: Any,
    square: Any,
    grad: Any,
    width: int,
    weight: Any,
    of_square: Any,
    beta2: Any,
    size: Any,
    root: Any,
    eps: Any,
) -> None:
    """As torch's fused Adam on a processor that multiplies and adds in one."""
    for j in range(width):
        g = grad[j]
        m = _fused(weight, g - mean[j], mean[j])
        v = _fused(of_square * g, g, beta2 * square[j])
        mean[j] = m
        square[j] = v
        row[j] += size * m / (_root(v) / root + eps)


_hold_back, _adam = (numba.njit(error_model="numpy")(loop) for loop in (_hold_back, _adam))


def step(plan: Any, adam: Any, now: int) -> None:
    """Step the rows touched down their gradients, to step `now`; after it nothing is touched."""
    touched, width, last = _ints(plan[TOUCHED]), plan[WIDTH], _longs(plan[LAST])
    rows, means, squares, grads, penalty = plan[ROWS], plan[MEAN], plan[SQUARE], plan[GRADS], plan[PENALTY]
    weight, of_square = np.float32(adam[OF_MEAN]), np.float32(adam[OF_SQUARE])
    beta2, eps = np.float32(adam[BETA2]), np.float32(adam[EPS])
    size, root = np.float32(adam[SIZE]), np.float32(adam[ROOT])
    for i in range(plan[COUNT]):
        place = np.int64(touched[i])
        at = 4 * place * width
        row, mean, square = _floats(rows + at), _floats(means + at), _floats(squares + at)
        grad = _floats(grads + 4 * i * width)
        if penalty:
            _hold_back(grad, row, _floats(penalty)[place], width)
        _adam(row, mean, square, grad, width, weight, of_square, beta2, size, root, eps)
        last[place] = now
    plan[COUNT] = 0
