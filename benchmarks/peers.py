"""Samples a second of Alternate training against DeepCTR-Torch and torch-rechub, side by side on one thread.

    python -m benchmarks.peers [--json] [--repeats 3] [--venvs build/peers] [--no-install]

The same MLP [256, 128, 64] with dropout 0.5 over the same embeddings of 128, Adam at 0.001, batch 1024, on the same
Taobao-10-shaped table, with frozen user and item tables and with trainable ones. Each peer lives in a virtual
environment of its own, which the first run makes (torch as in constraints.txt; needs a package index). Keys: peers, an
object from peer to the smaller of its two ratios (our samples per processor second over the peer's), the ratios
by kind under frozen and trainable, and peak_mb, each one's largest resident memory by kind. Ours passes over domain
after domain, a peer over the whole table at once.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import venv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import harness, ours, shapes
from benchmarks.harness import ROOT, Case, Runs
from benchmarks.shapes import Table


@dataclass(frozen=True)
class Peer:
    """A package to compare with.

    Attributes:
        package: installed without its requirements,
        needs: which are named here, so that torch stays the same.
        case: of worker.py.
    """

    package: str
    needs: tuple[str, ...]
    case: str


PEERS = {
    "deepctr-torch": Peer(
        "deepctr-torch==0.3.0",
        ("numpy", "tqdm", "scikit-learn", "packaging"),
        "benchmarks.peer_deepctr:prepare",
    ),
    "torch-rechub": Peer(
        "torch-rechub==0.9.0", ("numpy", "pandas", "scikit-learn", "tqdm"), "benchmarks.peer_rechub:prepare"
    ),
}
DROPOUT = 0.5


def python_of(name: str, folder: Path, install: bool) -> str | None:
    """The interpreter of a peer's environment, made when absent; None where it is absent and may not be made."""
    where = folder / name
    python, done = where / "bin" / "python", where / "installed.txt"
    peer = PEERS[name]
    if done.exists() and done.read_text() == peer.package:
        return str(python)
    if not install:
        return None
    print(f"making {where} for {peer.package}", file=sys.stderr)
    venv.create(where, with_pip=True, clear=True)
    pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    with_torch = [*pip, "-c", str(ROOT / "constraints.txt"), "torch", *peer.needs]
    for command in (with_torch, [*pip, "--no-deps", peer.package]):
        subprocess.run(command, check=True, stdout=sys.stderr)
    done.write_text(peer.package)
    return str(python)


def measure(table: Table, pythons: dict[str, str], trainable: bool, repeats: int) -> dict[str, Runs]:
    """Passes over the table: ours and each peer's."""
    with tempfile.TemporaryDirectory() as folder:
        ours.write(table, Path(folder))
        options = {"folder": folder, "trainable": trainable, "dropout": DROPOUT}
        cases = {"mamdr": Case("benchmarks.ours:prepare_alternate", options)}
        for name, python in pythons.items():
            cases[name] = Case(PEERS[name].case, options, python)
        # The first pass of each warms its caches and is left out.
        return harness.interleave(cases, repeats + 1)


def _rate(run: Runs) -> float:
    """Samples per processor second."""
    warm = Runs(answers=run.answers[1:])
    return warm.median("samples") / warm.median("cpu")


def compare(table: Table, pythons: dict[str, str], repeats: int) -> dict[str, Any]:
    runs = {kind: measure(table, pythons, kind == "trainable", repeats) for kind in ("frozen", "trainable")}
    rates = {kind: {name: _rate(run) for name, run in each.items()} for kind, each in runs.items()}
    peaks = {kind: {name: run.peak_mb for name, run in each.items()} for kind, each in runs.items()}
    ratios = {kind: {name: rate["mamdr"] / rate[name] for name in pythons} for kind, rate in rates.items()}
    least = {name: min(ratios[kind][name] for kind in ratios) if name in pythons else None for name in PEERS}
    return {"peers": least, **ratios, "samples_per_s": rates, "peak_mb": peaks}


def rows_of(figures: dict[str, Any]) -> Sequence[Sequence[object]]:
    """The table for people."""
    table: list[list[object]] = [["", "frozen samples/s", "trainable samples/s", "ratios", "peak MB"]]
    rates, peaks = figures["samples_per_s"], figures["peak_mb"]
    for name in rates["frozen"]:
        ratios = [f"{figures[kind][name]:.2f}" for kind in ("frozen", "trainable") if name in figures[kind]]
        most = f"{peaks['frozen'][name]:.0f} / {peaks['trainable'][name]:.0f}"
        table.append([name, rates["frozen"][name], rates["trainable"][name], " / ".join(ratios), most])
    return table


def main() -> None:
    parser = harness.parser(__doc__ or "", repeats=3)
    parser.add_argument(
        "--venvs", type=Path, default=ROOT / "build" / "peers", help="where the environments are"
    )
    parser.add_argument("--no-install", action="store_true", help="leave out peers that are not installed")
    options = parser.parse_args()
    install = not (options.no_install or options.smoke)
    found = {name: python_of(name, options.venvs, install) for name in PEERS}
    pythons = {name: python for name, python in found.items() if python is not None}
    table = shapes.taobao(scale=0.02 if options.smoke else 1.0)
    figures = compare(table, pythons, 1 if options.smoke else options.repeats)
    harness.report("peers", figures, rows_of(figures), options.json)


if __name__ == "__main__":
    main()
