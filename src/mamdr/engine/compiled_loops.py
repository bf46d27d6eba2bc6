"""The compiled loops themselves. Importing this imports numba, which `engine.compiled` does where it pays.

Addresses are of the first of values that lie one after another, as `Tensor.data_ptr()` tells them. Matrix products are
those of the BLAS library that torch itself calls, so that they are torch's to the bit.
"""

from __future__ import annotations

from typing import Any

import numba
import numba.core.cgutils
import numba.extending
import numpy as np
from llvmlite import ir

types: Any = numba.types
cgutils: Any = numba.core.cgutils
intrinsic: Any = numba.extending.intrinsic

WEIGHT, STRIDE, BIAS, GIVEN, WIDTH, OUT, SIZE, WORDS, RELU = range(9)
WEIGHT_GRAD, BIAS_GRAD, GRAD, GIVEN_GRAD = range(9, 13)
FIELDS = 13
"""What a plan says of a layer, in int64, the second line for the way back. A stride is that of the weight's rows, in
values.

    out [rows, SIZE] = given [rows, WIDTH] · weight [SIZE, WIDTH]ᵀ + bias, and then, if RELU, ReLU and dropout by WORDS

0 is said for words where nothing is dropped, and for the gradient of what is given where it is not wanted.
"""

CONSTANT, CONSTANT_WIDTH, CONSTANT_GRAD = 0, 1, 2
"""What is said, in int64, of the values that the first layer is given for all rows alike: where they are, how many (0
for none), and where their gradient is to be (0 for nowhere)."""

_ZERO, _ONE = np.float32(0), np.float32(1)
_NO, _YES = ord("N"), ord("T")
_STEP, _LEVELS, _POWER = 16, 4, 4


def address_of(kind: Any) -> Any:
    """What makes values of an address."""

    def at(context: Any, address: Any) -> Any:
        def make(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            return builder.inttoptr(arguments[0], context.get_value_type(signature.return_type))

        return types.CPointer(kind)(types.int64), make

    return intrinsic(at)


def _blas(told: str) -> Any:
    """What calls a routine at an address with arguments, told as "@" an address, as "&" the address of a value."""

    def call(context: Any, routine: Any, arguments: Any) -> Any:
        def make(context: Any, builder: Any, signature: Any, given: Any) -> Any:
            at: Any = cgutils.voidptr_t
            values = [
                builder.inttoptr(value, at)
                if how == "@"
                else builder.bitcast(cgutils.alloca_once_value(builder, value), at)
                for how, value in zip(told, cgutils.unpack_tuple(builder, given[1]), strict=True)
            ]
            kind = ir.FunctionType(ir.VoidType(), [at] * len(told))
            builder.call(builder.inttoptr(given[0], kind.as_pointer()), values)
            return context.get_dummy_value()

        return types.void(types.int64, arguments), make

    return intrinsic(call)


_floats, _words = address_of(types.float32), address_of(types.uint32)
_gemm = _blas("&&&&&&@&@&&@&")
"""C [m, n] = A [m, k] · B [k, n] + β · C, columns first: transposed A?, B?, m, n, k, 1, A, stride, B, stride, β, C,
stride. Numbers are of 64 bits, whose first 32 are the same number to a library that reads those."""

_gemv = _blas("&&&&@&@&&@&")
"""y = A [m, n] · x + β · y, columns first: transposed A?, m, n, 1, A, stride, x, 1, β, y, 1."""


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


def _add_bias(x: Any, bias: Any, relu: bool, rows: int, columns: int) -> None:
    """x ← x + bias, or 0 where that is not positive and there is a ReLU."""
    for row in range(rows):
        for column in range(columns):
            value = x[row * columns + column] + bias[column]
            x[row * columns + column] = _ZERO if relu and value <= _ZERO else value


def _pass_back_and_add(
    grad: Any, out: Any, scale: float, sums: Any, total: Any, rows: int, columns: int
) -> None:
    """`pass_back`, and the gradient's sum over rows in `sums` [4, columns], first row, and added to `total`.

    Rows are added in the order in which torch adds them: sixteen of them, then sixteen such sums, and so on.
    """
    for i in range(_LEVELS * columns):
        sums[i] = _ZERO
    done = 0
    while done < rows:
        end = min(done + _STEP, rows)
        for row in range(done, end):
            start = row * columns
            for column in range(columns):
                value = _ZERO if out[start + column] <= _ZERO else grad[start + column] * scale
                grad[start + column] = value
                sums[column] += value
        if end == done + _STEP:
            for level in range(1, _LEVELS):
                here, below = level * columns, (level - 1) * columns
                for column in range(columns):
                    sums[here + column] += sums[below + column]
                    sums[below + column] = _ZERO
                if end & ((_STEP - 1) << (level * _POWER)):
                    break
        done = end
    for level in range(1, _LEVELS):
        for column in range(columns):
            sums[column] += sums[level * columns + column]
    for column in range(columns):
        total[column] += sums[column]


_relu_dropout, _add, _back = (numba.njit(loop) for loop in (relu_dropout, _add_bias, _pass_back_and_add))


def through(
    gemm: int, gemv: int, plan: Any, layers: int, rows: int, scales: Any, same: Any, bias: Any
) -> None:
    """Rows through layers.

    Args:
        gemm, gemv: where BLAS's routines are.
        plan: [layers, FIELDS].
        scales: by layer, what values that are kept are multiplied by.
        same: [3], CONSTANT and what follows it.
        bias: room for the first layer's bias with what is the same for all rows.
    """
    for layer in range(layers):
        at = layer * FIELDS
        weight, stride, width, size = plan[at + WEIGHT], plan[at + STRIDE], plan[at + WIDTH], plan[at + SIZE]
        out, added = plan[at + OUT], plan[at + BIAS]
        if layer == 0 and same[CONSTANT_WIDTH]:
            own, room = _floats(added), _floats(bias)
            for i in range(size):
                room[i] = own[i]
            fixed = weight + 4 * width
            columns = same[CONSTANT_WIDTH]
            _gemv(gemv, (_YES, columns, size, _ONE, fixed, stride, same[CONSTANT], 1, _ONE, bias, 1))
            added = bias
        given = plan[at + GIVEN]
        _gemm(gemm, (_YES, _NO, size, rows, width, _ONE, weight, stride, given, width, _ZERO, out, size))
        if plan[at + WORDS]:
            _relu_dropout(_floats(out), _floats(added), _words(plan[at + WORDS]), scales[layer], rows, size)
        else:
            _add(_floats(out), _floats(added), plan[at + RELU] != 0, rows, size)


def back(gemm: int, gemv: int, plan: Any, layers: int, rows: int, scales: Any, same: Any, sums: Any) -> None:
    """The way back: gradients of weights and biases are added to, that of what is given is made where it is wanted.

    Args:
        sums: room for four rows of the largest size.

    The gradient of the bias of a last layer without ReLU is left to the caller, and the first layer must have one.
    """
    for backward in range(layers):
        layer = layers - 1 - backward
        at = layer * FIELDS
        weight, stride, width, size = plan[at + WEIGHT], plan[at + STRIDE], plan[at + WIDTH], plan[at + SIZE]
        grad, of_weight = plan[at + GRAD], plan[at + WEIGHT_GRAD]
        if plan[at + RELU]:
            total = _floats(plan[at + BIAS_GRAD])
            _back(_floats(grad), _floats(plan[at + OUT]), scales[layer], _floats(sums), total, rows, size)
        given, back_to = plan[at + GIVEN], plan[at + GIVEN_GRAD]
        _gemm(gemm, (_NO, _YES, width, size, rows, _ONE, given, width, grad, size, _ONE, of_weight, stride))
        if back_to:
            _gemm(
                gemm, (_NO, _NO, width, rows, size, _ONE, weight, stride, grad, size, _ZERO, back_to, width)
            )
        if layer == 0 and same[CONSTANT_WIDTH]:
            columns, made, fixed = same[CONSTANT_WIDTH], _floats(sums), _floats(same[CONSTANT])
            into = _floats(of_weight + 4 * width)
            for row in range(size):
                for column in range(columns):
                    into[row * stride + column] += made[row] * fixed[column]
            if same[CONSTANT_GRAD]:
                part = weight + 4 * width
                back_to = same[CONSTANT_GRAD]
                _gemv(gemv, (_NO, columns, size, _ONE, part, stride, sums, 1, _ZERO, back_to, 1))
