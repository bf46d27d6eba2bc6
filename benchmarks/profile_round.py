"""Where the time of a round goes, with the arithmetic and the memory bound of the machine beside it.

    python -m benchmarks.profile_round [--json] [--shape taobao|amazon|amazon6|amazon6-samples] [--scale 1.0]

A MAMDR round (k = 5 on Taobao-10's shape, k = 3 on Amazon's: a million rows, of which a tenth by default; amazon6 is
Amazon-6 as the paper has it, 618 thousand ids, whole: ten minutes; amazon6-samples has ten million train rows over
them) in one thread; `--helpers 0` leaves Domain Negotiation's walk alone. With a clock at each part: data (drawing and
gathering mini-batches), translate (ids to rows, with the gathering of rows that are stepped lazily), forward, backward,
optimizer (dense part and rows), pull (base, work, moments), push (displacements taken in, rows settled), evaluation
(scores and metrics of the validation rows), and the rest (Python between them). Keys: parts,
seconds of each; bound_s, of it arithmetic_s and rows_s; vs_bound, the round without evaluation over the bound. The
clocks cost about one part in a hundred.
"""

from __future__ import annotations

import functools
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch

from benchmarks import bounds, harness, ours, shapes
from benchmarks.harness import Case
from mamdr.data.domains import DomainData
from mamdr.engine.binding import Binding
from mamdr.engine.compiled_rows import CompiledRows
from mamdr.engine.lazy import LazyRows
from mamdr.engine.walk import Walked
from mamdr.parameters import LocalStore, Overlay
from mamdr.strategies import MAMDR
from mamdr.training.scoring import measure

PARTS = ("data", "translate", "forward", "backward", "optimizer", "pull", "push", "evaluation", "rest")


_SHAPES = {
    "taobao": shapes.taobao,
    "amazon": shapes.amazon,
    "amazon6": shapes.amazon6,
    "amazon6-samples": shapes.amazon6_samples,
}


class Clocks:
    """Seconds by part; a part inside another is not counted in that one."""

    def __init__(self) -> None:
        self._open: list[str] = ["rest"]
        self.start()

    def start(self) -> None:
        """Begin anew."""
        self.seconds = dict.fromkeys(PARTS, 0.0)
        self._since = time.perf_counter()

    def turn(self) -> None:
        """Bring the running clock up to date."""
        now = time.perf_counter()
        self.seconds[self._open[-1]] += now - self._since
        self._since = now

    def __call__(self, part: str, act: Callable[..., Any]) -> Callable[..., Any]:
        """The same function, with this part's clock running."""

        @functools.wraps(act)
        def timed(*args: Any, **kwargs: Any) -> Any:
            self.turn()
            self._open.append(part)
            try:
                return act(*args, **kwargs)
            finally:
                self.turn()
                self._open.pop()

        return timed

    def each(self, part: str, act: Callable[..., Iterator[Any]]) -> Callable[..., Iterator[Any]]:
        """The same for a generator: the clock runs while it makes its next value."""

        @functools.wraps(act)
        def timed(*args: Any, **kwargs: Any) -> Iterator[Any]:
            values, none = act(*args, **kwargs), object()
            step = self(part, lambda: next(values, none))
            while (value := step()) is not none:
                yield value

        return timed


def watch(clocks: Clocks) -> None:
    """Put a clock at each part, for the rest of this process."""
    places: list[tuple[Any, str, str]] = [
        (Walked, "__init__", "pull"),
        (Walked, "loss_once", "forward"),
        (Walked, "advance", "optimizer"),
        (Binding, "_translate", "translate"),
        (CompiledRows, "find", "translate"),
        (torch.Tensor, "backward", "backward"),
        (LazyRows, "settle", "push"),
        (LocalStore, "push", "push"),
        (Overlay, "push", "push"),
    ]
    for owner, name, part in places:
        setattr(owner, name, clocks(part, getattr(owner, name)))
    DomainData.batches = clocks.each("data", DomainData.batches)  # type: ignore[method-assign]


def prepare(folder: str, helpers: int, dropout: float) -> Callable[[], dict[str, Any]]:
    """A case for worker.py: a round with clocks, after one that warms up; tells the parts' seconds and samples."""
    clocks = Clocks()
    watch(clocks)
    at_work = ours.Ours(folder, MAMDR(num_helpers=helpers), dropout)
    at_work.round()

    def run() -> dict[str, Any]:
        clocks.start()
        figures = at_work.round()
        clocks("evaluation", measure)(at_work.session, at_work.strategy, at_work.state, "val")
        clocks.turn()
        return {"samples": figures["samples"], "parts": clocks.seconds}

    return run


def compare(shape: str, scale: float, helpers: int, quick: bool) -> dict[str, Any]:
    """A round's parts and its bound."""
    table = _SHAPES[shape](scale=scale)
    trainable = table.user_features is None
    with tempfile.TemporaryDirectory() as folder:
        ours.write(table, Path(folder), validation=0.1)
        options = {"folder": folder, "helpers": helpers, "dropout": 0.5}
        cases = {
            "round": Case("benchmarks.profile_round:prepare", options),
            "bound": Case(
                "benchmarks.bounds:prepare", {"table_rows": table.users + table.items, "quick": quick}
            ),
        }
        runs = harness.interleave(cases, 1)
    answer = runs["round"].answers[0]
    peaks = bounds.Peaks(**runs["bound"].answers[0]["peaks"])
    work, parts = bounds.round_work(table, helpers, trainable), answer["parts"]
    share = answer["samples"] / work.samples  # a round draws its own helpers
    arithmetic, rows = work.flops / (peaks.gflops * 1e9) * share, work.rows / peaks.rows_per_s * share
    trained = sum(parts.values()) - parts["evaluation"]
    return {
        "shape": shape,
        "samples": answer["samples"],
        "parts": parts,
        "round_s": trained,
        "arithmetic_s": arithmetic,
        "rows_s": rows,
        "bound_s": arithmetic + rows,
        "vs_bound": trained / (arithmetic + rows),
    }


def main() -> None:
    parser = harness.parser(__doc__ or "", repeats=1)
    parser.add_argument("--shape", choices=tuple(_SHAPES), default="taobao")
    parser.add_argument("--scale", type=float, help="of the table's rows and ids; 0.1 for amazon, else 1")
    parser.add_argument("--helpers", type=int, help="k; by default 5 for Taobao-10 and 3 for Amazon")
    options = parser.parse_args()
    helpers = (5 if options.shape == "taobao" else 3) if options.helpers is None else options.helpers
    scale = options.scale or (0.1 if options.shape == "amazon" else 1.0)
    figures = compare(options.shape, 0.01 if options.smoke else scale, helpers, options.smoke)
    table: list[list[object]] = [["part", "seconds", "share of the round"]]
    for part, seconds in figures["parts"].items():
        table.append([part, seconds, "" if part == "evaluation" else f"{seconds / figures['round_s']:.1%}"])
    table.append(
        ["bound: arithmetic", figures["arithmetic_s"], f"{figures['arithmetic_s'] / figures['round_s']:.1%}"]
    )
    table.append(["bound: rows", figures["rows_s"], f"{figures['rows_s'] / figures['round_s']:.1%}"])
    harness.report("profile_round", figures, table, options.json)


if __name__ == "__main__":
    main()
