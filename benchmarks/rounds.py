"""A MAMDR round with mamdr, with the naive baseline and at the machine's bound, side by side."""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks import bounds, harness, ours, shapes
from benchmarks.harness import Case, Runs
from benchmarks.shapes import Table


def compare(
    table: Table,
    helpers: int,
    repeats: int,
    *,
    dropout: float = 0.5,
    naive_fraction: float = 1.0,
    two_processes: bool = False,
    quick: bool = False,
) -> dict[str, Any]:
    """Time rounds and tell the figures of a command.

    Seconds are processor seconds of one thread for the expected number of samples of a round, N (1 + 2k), because
    each round draws its own helpers. `two_process_speedup` compares seconds by the wall, of rounds of which each begins
    the next one's Domain Negotiation, and `two_process_bound` is the most that it can be on this machine: two processes
    that share nothing but the machine take as long for two rounds as one alone for so many.
    """
    trainable = table.user_features is None
    rows = table.users + table.items
    with tempfile.TemporaryDirectory() as folder:
        ours.write(table, Path(folder))
        common = {"folder": folder, "helpers": helpers, "dropout": dropout}
        cases = {
            "ours": Case("benchmarks.ours:prepare_round", common),
            "naive": Case("benchmarks.naive:prepare_round", common | {"fraction": naive_fraction}),
            "bound": Case("benchmarks.bounds:prepare", {"table_rows": rows, "quick": quick}),
        }
        if two_processes:
            cases["two"] = Case("benchmarks.ours:prepare_round", common | {"jobs": 2}, settle=1)
            cases["pair"] = Case("benchmarks.ours:prepare_pair", common)
        runs = harness.interleave(cases, repeats)
    work = bounds.round_work(table, helpers, trainable)
    peaks = bounds.Peaks(**max((a["peaks"] for a in runs["bound"].answers), key=lambda p: float(p["gflops"])))
    return _figures(runs, work, peaks, _libraries_mb(helpers, dropout, trainable))


def _figures(
    runs: dict[str, Runs], work: bounds.Work, peaks: bounds.Peaks, libraries_mb: float
) -> dict[str, Any]:
    ours_s = _seconds(runs["ours"], work.samples)
    naive_s = _seconds(runs["naive"], work.samples)
    bound_s = work.seconds(peaks)
    needed = {key: runs["ours"].median(key) for key in ("data_mb", "parameters_mb", "walk_mb")}
    own = (runs["ours"].peak_mb - libraries_mb) / sum(needed.values())
    needed["libraries_mb"] = libraries_mb
    figures: dict[str, Any] = {
        "vs_naive": naive_s / ours_s,
        "vs_bound": ours_s / bound_s,
        "peak_mb": runs["ours"].peak_mb,
        "peak_vs_needed": runs["ours"].peak_mb / sum(needed.values()),
        "peak_vs_needed_without_libraries": own,
        "ours_s": ours_s,
        "naive_s": naive_s,
        "ours_least_s": _seconds(runs["ours"], work.samples, least=True),
        "naive_least_s": _seconds(runs["naive"], work.samples, least=True),
        "bound_s": bound_s,
        "bound_as_written_s": work.seconds_unfolded(peaks),
        **needed,
        "gflops": peaks.gflops,
        "gflops_default": peaks.gflops_default,
        "rows_per_s": peaks.rows_per_s,
        "naive_peak_mb": runs["naive"].peak_mb,
    }
    if "two" in runs:
        one, two, pair = (_seconds(runs[name], work.samples, "wall") for name in ("ours", "two", "pair"))
        figures["two_process_speedup"] = one / two
        figures["two_process_bound"] = 2 * one / pair
        figures["two_process_cpu_ratio"] = _seconds(runs["two"], work.samples) / ours_s
    return figures


def _seconds(runs: Runs, samples: int, clock: str = "cpu", least: bool = False) -> float:
    """The median (or the least) over repeats of the seconds that a round of so many samples takes."""
    each = [(a[clock] + a.get("left_out_s", 0.0)) / a["samples"] for a in runs.answers]
    seconds = min(each) if least else statistics.median(each)
    return samples * float(seconds)


def _libraries_mb(helpers: int, dropout: float, trainable: bool) -> float:
    """Peak memory of the same round on a table of a few hundred rows: the interpreter, the libraries and their code."""
    table = shapes.amazon(scale=1e-3) if trainable else shapes.taobao(scale=1e-2)
    with tempfile.TemporaryDirectory() as folder:
        ours.write(table, Path(folder))
        options = {"folder": folder, "helpers": helpers, "dropout": dropout}
        with harness.Worker("benchmarks.ours:prepare_round", options) as worker:
            return float(worker.run()["peak_mb"])


def rows_of(figures: dict[str, Any]) -> Sequence[Sequence[object]]:
    """The table for people."""
    table: list[list[object]] = [["", "seconds a round", "peak MB"]]
    table.append(["naive", figures["naive_s"], figures["naive_peak_mb"]])
    table.append(["mamdr", figures["ours_s"], figures["peak_mb"]])
    table.append(["bound of one core, least arithmetic", figures["bound_s"], ""])
    table.append(["bound of one core, as the model is written", figures["bound_as_written_s"], ""])
    return table
