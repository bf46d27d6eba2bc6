"""What `mamdr report` says in the terminal of the domains that lose: how many, and the worst by name."""

from __future__ import annotations

import numpy as np
import pytest
from tests.unit.evaluation.report_runs import make_run

from mamdr.cli.report import _losses, _show
from mamdr.evaluation.report.comparison import RunLift, compare


def lift(*rows: tuple[float, float, float]) -> RunLift:
    estimate, low, high = np.array(rows).T
    return RunLift(None, estimate, low, high)


def test_the_worst_are_named_first_and_the_rest_counted() -> None:
    names = [f"d{i}" for i in range(10)]
    run = make_run("dn", names=names, sizes=[20] * 10, one_class=())
    below = [(-0.01 * i, -0.01 * i - 0.02, -0.001) for i in range(1, 8)]
    nan = float("nan")
    said = _losses(run, lift(*below, (-0.5, -0.9, 0.1), (0.1, 0.05, 0.2), (nan, nan, nan)))
    assert said.startswith("dn: 7 of 9 domains lose (interval below 0): d6 -0.0700 [-0.0900, -0.0010], d5 ")
    assert said.endswith("d2 -0.0300 [-0.0500, -0.0010] and 2 more")
    assert "d7" not in said


def test_one_and_none() -> None:
    run = make_run("dn", names=["a", "b"], sizes=[20, 20], one_class=())
    assert _losses(run, lift((-0.2, -0.3, -0.1), (0, -1, 1))) == (
        "dn: 1 of 2 domains loses (interval below 0): a -0.2000 [-0.3000, -0.1000]"
    )
    assert _losses(run, lift((0.2, 0.1, 0.3), (0, -1, 1))) == "dn: 0 of 2 domains lose"


def test_names_are_shown_as_they_are_and_cut(capsys: pytest.CaptureFixture[str]) -> None:
    names = ["[red]\x1b[31mtoys", "n" * 200, "c"]
    base = make_run("alternate", 0.9, names=names, sizes=[400] * 3, one_class=())
    _show(compare([base, make_run("dn", 0.1, names=names, sizes=[400] * 3, one_class=())]))
    said = capsys.readouterr().out
    assert "dn: 3 of 3 domains lose" in said
    assert "[red]\ufffd[31mtoys -0." in said
    assert f" {'n' * 39}… -0." in said
    assert "\x1b" not in said
