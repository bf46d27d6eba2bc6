"""Memory that is used again."""

import platform
import subprocess
import sys

import pytest

from mamdr.engine.arena import Workspace

_STEPS = """
import resource, torch
from mamdr.engine.arena import keep_freed_memory
{first}
def step():
    return [torch.zeros(2**18) for _ in range(8)]  # 8 MiB that are touched, and freed at once
def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
step(), step()
before = faults()
for _ in range(20):
    step()
print(faults() - before)
"""


def _faults(first: str) -> int:
    """Page faults of twenty steps in a process of their own, after the statement `first`."""
    run = subprocess.run(
        [sys.executable, "-c", _STEPS.format(first=first)], capture_output=True, text=True, check=True
    )
    return int(run.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library keeps memory in its own way")
def test_steps_ask_the_system_for_memory_once() -> None:
    kept, given_back = _faults("keep_freed_memory()"), _faults("pass")
    assert kept < 2 * 2048  # twice 8 MiB, of 20 times
    assert kept < given_back / 5


def test_a_step_takes_the_memory_of_the_step_before() -> None:
    workspace = Workspace()
    first, second = workspace.take(10), workspace.take(5)
    assert first.data_ptr() != second.data_ptr()
    workspace.begin()
    assert workspace.take(8) is first
    larger = workspace.take(20)
    assert len(larger) >= 20
    assert larger.data_ptr() != first.data_ptr()
    workspace.begin()
    assert (workspace.take(1) is first, workspace.take(1) is larger) == (True, True)
