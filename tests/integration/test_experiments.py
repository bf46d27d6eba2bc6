"""`mamdr experiment` from data to tables: the same each time, and never anything twice."""

from __future__ import annotations

import itertools
import json
import shutil
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score
from tests.commands import Command, bad, good

import mamdr
from mamdr import experiments
from mamdr.data.domains import Dataset
from mamdr.errors import TrainingError
from mamdr.experiments import EXPERIMENTS, Cell, cells, results
from mamdr.experiments.write import write
from mamdr.training import Run

SMALL = ("--set", "model.embedding=4", "--set", "mlp:model.hidden=[8]", "--set", "walk.batch_size=64")
SHORT = ("--set", "train.rounds=2", "--set", "mamdr:strategy.num_helpers=1", "--seeds", "2")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("experiments")
    mamdr.synthetic_market(domains=3, users=60, items=30, samples_per_domain=200).save(folder / "data")
    good("experiment", "table-6", "--data", "data", "--out", "straight", *SMALL, *SHORT, folder=folder)
    return folder


def table(folder: Path, name: str = "table-6") -> dict[str, Any]:
    made: dict[str, Any] = json.loads((folder / f"{name}.json").read_text())
    for entry in made["entries"]:
        entry.pop("seconds")  # what differs from run to run
    return made


def test_two_at_once_give_the_same_table(place: Path) -> None:
    good(
        *("experiment", "table-6", "--data", "data", "--out", "two", "--jobs", "2", *SMALL, *SHORT),
        folder=place,
    )
    assert table(place / "two") == table(place / "straight")
    assert (place / "two/table-6.csv").read_bytes() == (place / "straight/table-6.csv").read_bytes()


def test_what_is_done_stays_done(place: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in (place / "straight/results").iterdir()}
    good("experiment", "table-7", "--data", "data", "--out", "straight", *SMALL, *SHORT, folder=place)
    after = {path: path.stat().st_mtime_ns for path in (place / "straight/results").iterdir()}
    assert before == after
    assert len(before) == 2 * 8
    heads = (place / "straight/table-7.md").read_text().splitlines()[0]
    methods = ["MLP+MAMDR (DN+DR)", "w/o DN", "w/o DR", "w/o DN+DR"]
    lifts = [f"{method} − {methods[-1]}" for method in methods[:-1]]
    assert heads == f"| {' | '.join(['domain', 'test rows', *methods, *lifts])} |"


def test_one_round_for_all_and_own_rounds_are_one_training_measured_twice(place: Path) -> None:
    words = ("experiment", "safe", "--data", "data", *SMALL, "--set", "train.rounds=3", "--seeds", "2")
    rows = ["alternate", "alternate+own", "mamdr", "mamdr-one"]
    good(*words, "--rows", ",".join(rows), "--out", "both", folder=place)
    assert [entry["seeds"] for entry in table(place / "both", "safe")["entries"]] == 4 * [[1, 2]]
    good(*words, "--rows", "alternate,mamdr-one", "--out", "apart", folder=place)
    apart = list((place / "apart/results").glob("*.npy"))  # of trainings for themselves
    assert len(apart) == 4
    assert all(path.read_bytes() == (place / "both/results" / path.name).read_bytes() for path in apart)
    for cell in cells(EXPERIMENTS["safe"], 2, [*SMALL[1::2], "train.rounds=3"], rows):
        if one := cell.one_round:
            own, same = (json.loads(results.path_of(place / "both", c).read_text()) for c in (cell, one))
            assert own["val_by_round"] == same["val_by_round"]
            assert own["served"].keys() == own["test"]["domains"].keys()
            assert same["served"] is None
            assert same["val"] == max(same["val_by_round"])
            assert not cell.recipe.train.mean_within, (
                "the mean of several rounds may be below the best of them"
            )
            assert own["val"] >= same["val"]


def test_killed_in_the_middle_and_started_again_it_comes_to_the_same(place: Path) -> None:
    words = ("experiment", "table-6", "--data", "data", "--out", "killed", *SMALL, *SHORT)
    command = Command(*words, folder=place)
    results = place / "killed/results"
    limit = time.monotonic() + 60
    while not (results.is_dir() and len(list(results.glob("*.json"))) >= 3) and time.monotonic() < limit:
        time.sleep(0.005)
    command.kill()
    command.wait()
    before = {path: path.stat().st_mtime_ns for path in results.glob("*.json")}
    assert len(before) >= 3
    good(*words, folder=place)
    assert all(path.stat().st_mtime_ns == made for path, made in before.items())
    assert table(place / "killed") == table(place / "straight")
    assert list((place / "killed/runs").iterdir()) == []


def test_killed_before_there_was_a_run_it_begins_anew(place: Path) -> None:
    key = next((place / "straight/results").glob("*alternate*seed1.json")).stem
    begun = place / "early/runs" / key
    begun.mkdir(parents=True)
    (begun / "recipe.toml").write_text("")
    good("experiment", "table-6", "--data", "data", "--out", "early", *SMALL, *SHORT, folder=place)
    assert table(place / "early") == table(place / "straight")


def test_figures_from_saved_predictions_by_another_route(place: Path) -> None:
    """AUC by scikit-learn and RANK by counting, from the probabilities on disk."""
    data, made = Dataset.load(place / "data"), table(place / "straight")
    offsets, labels = data.test.offsets.tolist(), data.test.labels.numpy()
    aucs: dict[tuple[str, int], list[float]] = {}
    for path in sorted((place / "straight/results").glob("*.npy")):
        _, strategy, _, seed = path.stem.split("-")
        scores = np.load(path).astype(np.float64)
        aucs[strategy, int(seed.removeprefix("seed"))] = [
            round(float(roc_auc_score(labels[a:b], scores[a:b])), 13)  # equal AUCs are equal
            for a, b in itertools.pairwise(offsets)
        ]
    methods = [entry["row"] for entry in made["entries"]]
    for entry in made["entries"]:
        means = [float(np.mean(aucs[entry["row"], seed])) for seed in (1, 2)]
        assert entry["test"]["mean"] == pytest.approx(np.mean(means), abs=1e-12)
        ranks = [
            1
            + sum(aucs[m, s][d] > aucs[entry["row"], s][d] for m in methods)
            + (sum(aucs[m, s][d] == aucs[entry["row"], s][d] for m in methods) - 1) / 2
            for s in (1, 2)
            for d in range(3)
        ]
        assert entry["rank"] == pytest.approx(np.mean(ranks), abs=1e-12)


def test_a_dry_run_trains_nothing(place: Path) -> None:
    told = good("experiment", "table-6", "--data", "data", "--out", "dry", "--dry-run", *SMALL, folder=place)
    assert "12 trainings, about" in told
    assert not (place / "dry").exists()


def test_a_training_that_diverges_is_a_line_in_the_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = mamdr.synthetic_market(domains=2, users=40, items=30, samples_per_domain=100)
    table_6 = EXPERIMENTS["table-6"]
    todo = cells(
        table_6, 1, ["model.embedding=4", "model.hidden=[8]", "train.rounds=1", "walk.batch_size=64"]
    )
    honest = results._trained

    def wild(folder: Path, cell: Cell, data: Dataset) -> Run:
        if cell.row == "dn":
            raise TrainingError("the training loss became nan", "a finite number", "Lower the inner lr")
        return honest(folder, cell, data)

    monkeypatch.setattr(results, "_trained", wild)
    summary = write(table_6, todo, experiments.run(todo, data, tmp_path), data.name, tmp_path)
    entry = summary.entry("dn", "")
    assert entry is not None
    assert entry.failed == (1,)
    assert "| w/o DR | diverged |" in (tmp_path / "table-6.md").read_text()


def test_settings_come_from_files_too(place: Path) -> None:
    small, short = ([text for text in words if "=" in text] for words in (SMALL, SHORT))
    undone = [line.partition("=")[0] + "=7" for line in short]  # what the second file says counts
    (place / "small.txt").write_text(
        "# small\n\n" + "\n".join(f"{line}  # a remark" for line in (*small, *undone))
    )
    (place / "short.txt").write_text("\n".join(short))
    files = ("--settings", "small.txt", "--settings", "short.txt")
    words = ("experiment", "table-6", "--data", "data", "--out", "straight", *files)
    before = {path: path.stat().st_mtime_ns for path in (place / "straight/results").iterdir()}
    good(*words, "--seeds", "2", folder=place)  # the same cells, for nothing is trained again
    assert {path: path.stat().st_mtime_ns for path in (place / "straight/results").iterdir()} == before
    told = bad(
        "experiment", "table-6", "--data", "data", "--out", "x", "--settings", "no.txt", folder=place, code=2
    )
    assert "cannot read no.txt" in told


def test_seeds_may_be_shared_out_and_put_together(place: Path) -> None:
    words = (
        "experiment",
        "table-6",
        "--data",
        "data",
        *SMALL,
        "--set",
        "train.rounds=1",
        "--rows",
        "dn,alternate",
    )
    for seeds in ("1-2", "3-3"):
        good(*words, "--out", f"seeds-{seeds}", "--seeds", seeds, folder=place)
    assert [len(entry["seeds"]) for entry in table(place / "seeds-3-3")["entries"]] == [1, 1]
    shutil.copytree(place / "seeds-3-3/results", place / "seeds-1-2/results", dirs_exist_ok=True)
    before = {path: path.stat().st_mtime_ns for path in (place / "seeds-1-2/results").iterdir()}
    good(*words, "--out", "seeds-1-2", "--seeds", "3", folder=place)
    assert [entry["seeds"] for entry in table(place / "seeds-1-2")["entries"]] == [[1, 2, 3]] * 2
    assert {path: path.stat().st_mtime_ns for path in (place / "seeds-1-2/results").iterdir()} == before
    for wrong, told in (
        ("0", "has no seed"),
        ("5-4", "has no seed"),
        ("few", "a number"),
        ("-2", "a number"),
    ):
        assert told in bad(*words, "--out", "x", "--seeds", wrong, folder=place, code=2)


def test_a_wrong_setting_is_told_before_anything_is_trained(place: Path) -> None:
    words = ("experiment", "table-6", "--data", "data", "--out", "wrong")
    assert "unknown key model.std" in bad(*words, "--set", "model.std=1", folder=place, code=2)
    assert "Did you mean 'table-6'" in bad("experiment", "table6", *words[2:], folder=place, code=2)
    assert not (place / "wrong").exists()


def test_other_data_in_the_same_folder_is_refused(place: Path) -> None:
    mamdr.synthetic_market(domains=2, users=40, items=30, samples_per_domain=100).save(place / "other")
    told = bad(
        "experiment", "table-6", "--data", "other", "--out", "straight", *SMALL, *SHORT, folder=place, code=2
    )
    assert "one folder for each data set" in told
