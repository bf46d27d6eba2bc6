"""The compiled loops themselves. Importing this imports numba, which `engine.compiled` does where it pays.

Addresses are of the first of values that lie one after another, as `Tensor.data_ptr()` tells them. Matrix products are
those of the BLAS library that torch itself calls, so that they are torch's to the bit.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

WEIGHT, STRIDE, BIAS, GIVEN, GIVEN_STRIDE, WIDTH = 0, 1, 2, 3, 4, 5
OUT, SIZE, WORDS, RELU, WEIGHT_GRAD, BIAS_GRAD, GRAD, GIVEN_GRAD = 6, 7, 8, 9, 10, 11, 12, 13
FIELDS = 14
"""What a plan says of a layer, in int64; a stride is that of rows, in values.

    out [rows, SIZE] = given [rows, WIDTH] · weight [SIZE, WIDTH]ᵀ + bias, and then, if RELU, ReLU and dropout by WORDS

0 is said for words where nothing is dropped, and for the gradient of what is given where it is not wanted.
"""

CONSTANT, CONSTANT_WIDTH, CONSTANT_GRAD = 0, 1, 2
"""What is said of the values that the first layer is given for all rows alike; a width of 0 for none."""

_ZERO, _ONE = np.float32(0), np.float32(1)
_NO, _YES = ord("N"), ord("T")
_STEP, _LEVELS, _POWER = 16, 4, 4


def _at(kind: Any) -> Any:
    @intrinsic  # type: ignore[untyped-decorator]
    def at(context: Any, address: Any) -> Any:
        """The values at an address."""

        def make(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            return builder.inttoptr(arguments[0], context.get_value_type(signature.return_type))

        return types.CPointer(kind)(types.int64), make

    return at


_floats, _words = _at(types.float32), _at(types.uint32)


def _by_reference(builder: Any, value: Any) -> Any:
    return builder.bitcast(cgutils.alloca_once_value(builder, value), cgutils.voidptr_t)


@intrinsic  # type: ignore[untyped-decorator]
def _gemm(
    context: Any, routine: Any, a_t: Any, b_t: Any, m: Any, n: Any, k: Any, a: Any, a_stride: Any, b: Any,
    b_stride: Any, beta: Any, c: Any, c_stride: Any,
) -> Any:  # fmt: skip
    """BLAS's sgemm at an address, columns first: C [m, n] = A [m, k] · B [k, n] + β · C."""
    number = types.int64

    def make(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        routine, a_t, b_t, m, n, k, a, a_stride, b, b_stride, beta, c, c_stride = arguments
        kind = ir.FunctionType(ir.VoidType(), [cgutils.voidptr_t] * 13)

        def ref(value: Any) -> Any:
            return _by_reference(builder, value)

        def at(value: Any) -> Any:
            return builder.inttoptr(value, cgutils.voidptr_t)

        one = ref(ir.Constant(ir.FloatType(), 1.0))
        sizes = [ref(value) for value in (a_t, b_t, m, n, k)]
        operands = [at(a), ref(a_stride), at(b), ref(b_stride), ref(beta), at(c), ref(c_stride)]
        builder.call(builder.inttoptr(routine, kind.as_pointer()), [*sizes, one, *operands])
        return context.get_dummy_value()

    return types.void(*[number] * 10, types.float32, number, number), make


@intrinsic  # type: ignore[untyped-decorator]
def _gemv(
    context: Any, routine: Any, a_t: Any, m: Any, n: Any, a: Any, a_stride: Any, x: Any, beta: Any, y: Any
) -> Any:
    """BLAS's sgemv at an address, columns first: y = A [m, n] · x + β · y, or Aᵀ · x + β · y."""
    number = types.int64

    def make(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        routine, a_t, m, n, a, a_stride, x, beta, y = arguments
        kind = ir.FunctionType(ir.VoidType(), [cgutils.voidptr_t] * 11)

        def ref(value: Any) -> Any:
            return _by_reference(builder, value)

        def at(value: Any) -> Any:
            return builder.inttoptr(value, cgutils.voidptr_t)

        one, by = ref(ir.Constant(ir.FloatType(), 1.0)), ref(ir.Constant(ir.IntType(64), 1))
        matrix = [ref(a_t), ref(m), ref(n), one, at(a), ref(a_stride)]
        builder.call(builder.inttoptr(routine, kind.as_pointer()), [*matrix, at(x), by, ref(beta), at(y), by])
        return context.get_dummy_value()

    return types.void(*[number] * 7, types.float32, number), make


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
        same: CONSTANT ...
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
            _gemv(gemv, _YES, same[CONSTANT_WIDTH], size, fixed, stride, same[CONSTANT], _ONE, bias)
            added = bias
        given, given_stride = plan[at + GIVEN], plan[at + GIVEN_STRIDE]
        _gemm(gemm, _YES, _NO, size, rows, width, weight, stride, given, given_stride, _ZERO, out, size)
        if plan[at + WORDS]:
            _relu_dropout(_floats(out), _floats(added), _words(plan[at + WORDS]), scales[layer], rows, size)
        else:
            _add(_floats(out), _floats(added), plan[at + RELU] != 0, rows, size)


def back(
    gemm: int, gemv: int, plan: Any, layers: int, rows: int, scales: Any, same: Any, sums: Any
) -> None:
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
        given, given_stride = plan[at + GIVEN], plan[at + GIVEN_STRIDE]
        _gemm(gemm, _NO, _YES, width, size, rows, given, given_stride, grad, size, _ONE, of_weight, stride)
        if plan[at + GIVEN_GRAD]:
            _gemm(gemm, _NO, _NO, width, rows, size, weight, stride, grad, size, _ZERO, plan[at + GIVEN_GRAD], width)
        if layer == 0 and same[CONSTANT_WIDTH]:
            made, fixed = _floats(sums), _floats(same[CONSTANT])
            into = _floats(of_weight + 4 * width)
            for row in range(size):
                for column in range(same[CONSTANT_WIDTH]):
                    into[row * stride + column] += made[row] * fixed[column]
            if same[CONSTANT_GRAD]:
                _gemv(gemv, _NO, same[CONSTANT_WIDTH], size, weight + 4 * width, stride, sums, _ZERO, same[CONSTANT_GRAD])
