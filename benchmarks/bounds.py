"""What one core of this machine could do at best: arithmetic and memory traffic of a MAMDR round, at measured peaks.

A round of MAMDR passes over N + k (N + N) samples: DN once over each domain, DR for each domain i and each helper j
over j and over i, and a helper is an average domain. Each pass of a sample costs

    forward   2 Σ_l in_l out_l                      multiplications and additions
    backward  2 Σ_l in_l out_l (weights) + 2 Σ_l in_l out_l (inputs, for the first layer only its trained columns)

and reads or writes rows of 512 bytes: one for each id; where the table is trained, also its gradient's addition and,
for each distinct row of a batch, Adam's reading of two moments and writing of the row and the moments.

The least arithmetic folds the domain's embedding, which is the same for a whole batch, into the first layer's bias.
The bound is arithmetic at the matrix-product rate plus rows at the row rate: no executor that computes the same
function on one core in float32 is faster, except where rows stay in the processor's caches.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.models import HIDDEN
from benchmarks.naive import BATCH
from benchmarks.shapes import WIDTH, Table

FLOAT32_ERROR = 1e-5


@dataclass(frozen=True)
class Peaks:
    """Rates of one core.

    Attributes:
        gflops_default, gflops: billions of operations a second of float32 matrix products at the model's shapes, by
            torch's default path and by the best path whose error is float32's.
        rows_per_s: rows of 512 bytes read or written at random in a table of the benchmark's size.
    """

    gflops_default: float
    gflops: float
    best_path: str
    rows_per_s: float


@dataclass(frozen=True)
class Work:
    """What a round has to do."""

    samples: int
    flops: float
    flops_unfolded: float
    rows: float

    def seconds(self, peaks: Peaks) -> float:
        return self.flops / (peaks.gflops * 1e9) + self.rows / peaks.rows_per_s

    def seconds_unfolded(self, peaks: Peaks) -> float:
        return self.flops_unfolded / (peaks.gflops * 1e9) + self.rows / peaks.rows_per_s


def round_samples(table: Table, helpers: int) -> int:
    """Expected samples of a round, N (1 + 2k), with k at most the number of other domains."""
    return len(table) * (1 + 2 * min(helpers, len(table.sizes) - 1))


def round_work(table: Table, helpers: int, trainable: bool) -> Work:
    """The work of a round; `trainable` says that the user and item tables are trained."""
    samples = round_samples(table, helpers)
    per_sample_rows = 2.0
    if trainable:
        per_sample_rows += 2 + 5 * _distinct_share(table)
    return Work(
        samples=samples,
        flops=samples * _flops(WIDTH * 2, WIDTH * 2 if trainable else 0),
        flops_unfolded=samples * _flops(WIDTH * 3, WIDTH * 3 if trainable else WIDTH),
        rows=samples * per_sample_rows,
    )


def _flops(inputs: int, trained_inputs: int) -> float:
    """Operations of one sample, forward and backward."""
    widths = [inputs, *HIDDEN, 1]
    layers = [a * b for a, b in itertools.pairwise(widths)]
    return 2.0 * (2 * sum(layers) + sum(layers[1:]) + trained_inputs * HIDDEN[0])


def _distinct_share(table: Table) -> float:
    """Distinct rows of user and item in a batch of 1024 of a domain, per sample, over the domains by their size."""
    draw, total = np.random.default_rng(0), 0.0
    ends = np.cumsum(table.sizes)
    for rows, end in zip(table.sizes, ends, strict=True):
        count = min(BATCH, rows)
        picked = draw.choice(rows, size=count, replace=False) + end - rows
        distinct = len(np.unique(table.user[picked])) + len(np.unique(table.item[picked]))
        total += rows * distinct / count
    return total / len(table)


def measure(table_rows: int, quick: bool = False) -> Peaks:
    """Measure one core's rates: the best of repeats, for a bound wants the machine at its best."""
    torch.set_num_threads(1)
    repeats = 3 if quick else 15
    rates = {}
    for path in ("default", "onednn"):
        with _precision("bf16" if path == "onednn" else None):
            if path == "default" or _error() < FLOAT32_ERROR:
                rates[path] = _matmul_gflops(repeats)
    best = max(rates, key=lambda path: rates[path])
    return Peaks(rates["default"], rates[best], best, _row_rate(table_rows, repeats))


@contextmanager
def _precision(value: str | None) -> Iterator[None]:
    """The path of float32 matrix products: "bf16" lets oneDNN choose, which on many processors stays in float32."""
    settings: Any = torch.backends.mkldnn.matmul  # type: ignore[attr-defined]
    before = settings.fp32_precision
    if value is not None:
        settings.fp32_precision = value
    try:
        yield
    finally:
        settings.fp32_precision = before


def _shapes() -> list[tuple[int, int, int]]:
    """(m, k, n) of every product of one step, forward and backward, at the batch of 1024."""
    widths = [3 * WIDTH, *HIDDEN]
    shapes = []
    for a, b in itertools.pairwise(widths):
        shapes += [(BATCH, a, b), (b, BATCH, a), (BATCH, b, a)]
    return shapes


def _error() -> float:
    """Relative error of a product against float64."""
    draw = torch.Generator().manual_seed(0)
    a, b = torch.randn(BATCH, 384, generator=draw), torch.randn(384, 256, generator=draw)
    exact = a.double() @ b.double()
    return float(((a @ b).double() - exact).abs().max() / exact.abs().max())


def _matmul_gflops(repeats: int) -> float:
    operations = seconds = 0.0
    for m, k, n in _shapes():
        a, b, out = torch.randn(m, k), torch.randn(k, n), torch.empty(m, n)

        def product(a: Tensor = a, b: Tensor = b, out: Tensor = out) -> None:
            torch.mm(a, b, out=out)

        operations += 2.0 * m * k * n
        seconds += _fastest(product, repeats, inner=8)
    return operations / seconds / 1e9


def _row_rate(table_rows: int, repeats: int) -> float:
    """Rows a second: the mean of gathering and of adding 4,096 random rows of 512 bytes."""
    table = torch.zeros(table_rows, WIDTH).uniform_()
    count = min(4096, table_rows)
    draws = [torch.randint(table_rows, (count,)) for _ in range(8)]
    out, state = torch.zeros(count, WIDTH), iter(range(10**9))

    def gather() -> None:
        torch.index_select(table, 0, draws[next(state) % 8], out=out)

    def scatter() -> None:
        table.index_copy_(0, draws[next(state) % 8], out)

    return 2 * count / (_fastest(gather, repeats, inner=8) + _fastest(scatter, repeats, inner=8))


def _fastest(act: Callable[[], None], repeats: int, inner: int) -> float:
    """Seconds of one call, at the fastest repeat of `inner` calls."""
    act()
    best = float("inf")
    for _ in range(repeats):
        begun = time.perf_counter()
        for _ in range(inner):
            act()
        best = min(best, (time.perf_counter() - begun) / inner)
    return best


def prepare(table_rows: int, quick: bool = False) -> Callable[[], dict[str, Any]]:
    """A case for worker.py: the peaks of this machine, now."""

    def run() -> dict[str, Any]:
        peaks = measure(table_rows, quick)
        return {"peaks": vars(peaks)}

    return run
