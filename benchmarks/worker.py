"""Runs one case of a benchmark in a process of its own, when its parent says so.

    python -m benchmarks.worker MODULE:FUNCTION '{"option": value}'

FUNCTION(**options) prepares the case and returns a callable without arguments; each "run" line on stdin calls it once
and answers with one JSON line: seconds by the wall and by the processor (with the case's own child processes), the
peak of resident memory so far and whatever the callable returned. A process of its own gives each case its own
global settings, caches and memory figures. Only the standard library is imported here, so that the same file runs in
another project's virtual environment.
"""

from __future__ import annotations

import importlib
import json
import os
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

Case = Callable[[], dict[str, Any] | None]


def memory_mb(field: str = "VmHWM") -> float:
    """Resident memory of this process in MB: VmHWM is its peak since it started, VmRSS is now."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field):
            return int(line.split()[1]) / 1024
    raise OSError(f"/proc/self/status has no line {field}")


def timed(case: Case) -> dict[str, Any]:
    """One call: seconds by the wall and by the processor, peak memory, and the case's own figures."""
    cpu, wall = processor_seconds(), time.perf_counter()
    figures = case() or {}
    spent = time.perf_counter() - wall
    return {"wall": spent, "cpu": processor_seconds() - cpu, "peak_mb": memory_mb(), **figures}


def processor_seconds() -> float:
    """Of this process and of its child processes that have ended."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)


def main(name: str, options: str) -> None:
    # The case may print; the answers must stay clean. So the real stdout is kept aside for them.
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    module, function = name.split(":")
    case: Case = getattr(importlib.import_module(module), function)(**json.loads(options))
    answers.write(json.dumps({"ready": True, "base_mb": memory_mb("VmRSS")}) + "\n")
    for line in sys.stdin:
        if line.strip() != "run":
            break
        answers.write(json.dumps(timed(case)) + "\n")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
