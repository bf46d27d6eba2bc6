"""What a person sees of training: a line a round, and a bar where there is a terminal."""

from __future__ import annotations

from typing import Any

import pytest

from mamdr.cli.watch import Watch
from mamdr.training.events import Event

START: Event = {
    "event": "start",
    "model": "mlp",
    "strategy": "dn",
    "data": {"name": "amazon [all] " + "and more " * 9},
    "parameters": 12345,
    "seed": 7,
    "round": 0,
    "rounds": 3,
}


def round_event(
    round: int, auc: float | None = 0.75, loss: float | None = 0.5, best: int = 1
) -> dict[str, Any]:
    return {
        "event": "round",
        "round": round,
        "val": {"mean_auc": auc},
        "train_loss": loss,
        "best_round": best,
        "samples": 1200,
        "seconds": 1.25,
    }


def show(*events: Event) -> None:
    watch = Watch()
    for event in events:
        watch.hear(event)
        watch.walked(600)
    watch.close()


def test_lines_alone_where_there_is_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    show(
        START,
        round_event(1),
        round_event(2, None, None),
        {"event": "stop", "round": 2, "best_round": 1, "stopped_by": "rounds"},
    )
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines() == [
        f"mlp · dn on {START['data']['name']}, 12,345 parameters, seed 7",
        "round   1  loss 0.5000  val AUC 0.7500  1,200 rows in 1.2 s  best",
        "round   2  val AUC n/a  1,200 rows in 1.2 s",
        "Stopped after round 2 (all rounds done); best is round 1.",
    ]


def test_going_on_and_stopping_early(capsys: pytest.CaptureFixture[str]) -> None:
    show(START | {"round": 4}, {"event": "stop", "round": 4, "best_round": 2, "stopped_by": "validation"})
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].endswith("seed 7, going on after round 4")
    assert lines[1] == "Stopped after round 4 (validation stopped rising); best is round 2."


def test_a_bar_on_a_terminal(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    for name, value in (("FORCE_COLOR", "1"), ("TERM", "xterm"), ("COLUMNS", "100")):
        monkeypatch.setenv(name, value)
    show(START, round_event(1), round_event(2))
    err = capsys.readouterr().err
    assert "round 1/3" in err
    assert "rows/s" in err


def test_closing_before_anything_happened_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    Watch().close()
    assert capsys.readouterr() == ("", "")


def test_notes_are_told_before_the_first_round(capsys: pytest.CaptureFixture[str]) -> None:
    show(START | {"notes": ["it will take long [as ever]"]}, round_event(1))
    assert capsys.readouterr().err.splitlines()[1] == "Note: it will take long [as ever]."


def test_what_was_chosen_for_each_domain_is_told_in_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    own = {"a": {"round": 3, "share": 1.0, "val_auc": 0.7}, "b": {"round": 11, "share": 0.5, "val_auc": 0.8}}
    stop: Event = {"event": "stop", "round": 12, "best_round": 9, "stopped_by": "validation"}
    show(
        START,
        {"event": "own_rounds", "round": 9, "domains": own, "val": {"mean_auc": 0.75}},
        {"event": "shares", "round": 9, "shares": {"a": 0.0, "b": 1.0}, "val": {"mean_auc": None}},
        stop,
    )
    assert capsys.readouterr().err.splitlines()[1:] == [
        "On validation a round of its own chosen for each of 2 domains (rounds 3 to 11): val AUC 0.7500",
        "On validation a share of its part chosen for each of 2 domains (1 have none): val AUC n/a",
        "Stopped after round 12 (validation stopped rising); best is round 9.",
    ]
