"""Interleaved repeats of cases, each in its own process, their medians and ratios, and the output of a command."""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

ROOT = Path(__file__).resolve().parents[1]


class Worker:
    """One case in a process of its own (see worker.py): prepared once, run as often as asked.

    Args:
        case: "module:function".
        options: its keyword arguments, plain values.
        python: the interpreter, for a case that lives in another virtual environment.
        threads: the threads that numerical libraries may use.
    """

    def __init__(
        self, case: str, options: Mapping[str, Any], python: str = sys.executable, threads: int = 1
    ) -> None:
        count = str(threads)
        environment = os.environ | {
            "OMP_NUM_THREADS": count,
            "MKL_NUM_THREADS": count,
            "TQDM_DISABLE": "1",
            "PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")])),
        }
        self.case = case
        self.process = subprocess.Popen(
            [python, "-m", "benchmarks.worker", case, json.dumps(options)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
            cwd=ROOT,
        )
        self.base_mb = float(self.answer()["base_mb"])

    def run(self) -> dict[str, Any]:
        """One timed call of the case: wall, cpu (seconds), peak_mb and the case's own figures."""
        self.start()
        return self.answer()

    def start(self) -> None:
        """Begin a call; `answer` waits for its end."""
        assert self.process.stdin is not None
        self.process.stdin.write("run\n")
        self.process.stdin.flush()

    def close(self) -> None:
        if self.process.stdin is not None:
            self.process.stdin.close()
        if self.process.stdout is not None:
            self.process.stdout.close()
        self.process.wait()

    def __enter__(self) -> Worker:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def answer(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self.case} ended with code {self.process.wait()}: its error is above")
        answer: dict[str, Any] = json.loads(line)
        return answer


@dataclass
class Runs:
    """All repeats of one case."""

    base_mb: float = 0.0
    answers: list[dict[str, Any]] = field(default_factory=list)

    def median(self, key: str) -> float:
        return statistics.median(float(answer[key]) for answer in self.answers)

    def least(self, key: str) -> float:
        return min(float(answer[key]) for answer in self.answers)

    @property
    def peak_mb(self) -> float:
        """After the first run: what one run needs."""
        return float(self.answers[0]["peak_mb"])


@dataclass(frozen=True)
class Case:
    """A case to run beside others.

    Attributes:
        function, options: see Worker.
        repeats: caps its own count (a slow baseline may be timed less often).
        settle: calls before each timed one, which bring back what the others' turns have driven out of the caches.
    """

    function: str
    options: Mapping[str, Any]
    python: str = sys.executable
    repeats: int | None = None
    settle: int = 0


def interleave(cases: Mapping[str, Case], repeats: int) -> dict[str, Runs]:
    """Run every case `repeats` times, A B C A B C ..., one at a time, each in its own process.

    Machines drift (other work, heat); neighbours in time share the drift, so ratios of medians hold where single
    timings do not.
    """
    workers: dict[str, Worker] = {}
    runs = {name: Runs() for name in cases}
    try:
        for name, case in cases.items():
            workers[name] = Worker(case.function, case.options, case.python)
            runs[name].base_mb = workers[name].base_mb
        for repeat in range(repeats):
            for name, case in cases.items():
                if case.repeats is None or repeat < case.repeats:
                    for _ in range(case.settle):
                        workers[name].run()
                    runs[name].answers.append(workers[name].run())
    finally:
        for worker in workers.values():
            worker.close()
    return runs


def machine() -> dict[str, Any]:
    """What the figures were measured on: processor, cores, memory, load, versions."""
    import torch

    return {
        "cpu": _cpu_model(),
        "cores": os.cpu_count(),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "load": [round(load, 2) for load in os.getloadavg()],
        "python": platform.python_version(),
        "torch": torch.__version__,
    }


def _cpu_model() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def parser(description: str, repeats: int) -> argparse.ArgumentParser:
    """The options that every benchmark has."""
    made = argparse.ArgumentParser(description=description)
    made.add_argument("--json", action="store_true", help="print one JSON object as the last line")
    made.add_argument("--repeats", type=int, default=repeats, help="interleaved repeats of each case")
    made.add_argument("--smoke", action="store_true", help="tiny sizes: checks that it runs, times nothing")
    return made


def report(name: str, figures: Mapping[str, Any], table: Sequence[Sequence[object]], as_json: bool) -> None:
    """Print a table for people, or one JSON object as the last line."""
    about = machine()
    if as_json:
        print(json.dumps({"benchmark": name, **figures, "machine": about}))
        return
    print(f"{name}: {about['cpu']}, {about['cores']} cores, torch {about['torch']}, load {about['load']}")
    cells = [[_cell(value) for value in row] for row in table]
    widths = [max(len(row[column]) for row in cells) for column in range(len(cells[0]))]
    for row in cells:
        print("  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    for key, value in figures.items():
        if isinstance(value, int | float | str):
            print(f"  {key} = {_cell(value)}")


def _cell(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
