"""Training and evaluating as a user types them, each command a process of its own."""

from __future__ import annotations

import functools
import json
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import torch
from tests.commands import Command, bad, good, run
from tests.unit.training.runs import assert_same_run

import mamdr
from mamdr.seeds import generator
from mamdr.training import Run

ROUNDS = 3
RECIPE = f"""
[model]
name = "mlp"
embedding = 4
hidden = [8]
[strategy]
name = "mamdr"
num_helpers = 1
[walk]
batch_size = 64
[train]
rounds = {ROUNDS}
patience = 0
"""
MARKET = ("--domains", 3, "--users", 60, "--items", 30, "--samples-per-domain", 200)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with data, other data, a recipe, and a run."""
    folder = tmp_path_factory.mktemp("commands")
    (folder / "recipe.toml").write_text(RECIPE)
    good("data", "synthetic", "--out", "data", *MARKET, folder=folder)
    good("data", "synthetic", "--out", "other", *MARKET, "--seed", 9, folder=folder)
    good(*words("run"), folder=folder)
    return folder


def words(out: str, *more: str, recipe: str = "recipe.toml", data: str = "data") -> list[str]:
    return ["train", recipe, "--data", data, "--out", out, *more]


def tree(folder: Path) -> dict[str, bytes]:
    """Every file that is there, hidden ones too; what the test itself keeps aside."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in files
        if path.name not in ("stdout", "stderr")
    }


# What goes well.


def test_the_installed_command_runs(place: Path) -> None:
    script = Path(sys.executable).with_name("mamdr")
    said = subprocess.run([script, "--version"], capture_output=True, text=True, check=True).stdout
    assert said == f"mamdr {mamdr.__version__}\n"
    failed = subprocess.run(
        [script, "evaluate", "none"], capture_output=True, text=True, check=False, cwd=place
    )
    assert (failed.returncode, failed.stdout) == (1, "")
    assert failed.stderr.startswith("mamdr: no run at none; expected a folder that mamdr train wrote.")


def test_training_tells_a_line_a_round_and_what_to_do_next(place: Path) -> None:
    result = run(*words("told"), folder=place)
    assert (result.code, result.out) == (0, "")
    lines = result.err.splitlines()
    assert lines[0].startswith("mlp · mamdr on synthetic, ")
    assert [line.split()[:2] for line in lines[1:4]] == [["round", str(round)] for round in (1, 2, 3)]
    assert lines[4].startswith("Stopped after round 3 (all rounds done); best is round ")
    assert lines[5:] == ["Next: mamdr evaluate told"]
    assert {"recipe.toml", "run.json", "events.jsonl", "checkpoints"} <= {
        p.name for p in (place / "told").iterdir()
    }


def test_quiet_training_says_nothing(place: Path) -> None:
    result = run(*words("quiet", "--quiet"), folder=place)
    assert (result.code, result.out, result.err) == (0, "", "")


def test_the_same_command_gives_the_same_run_in_one_process_or_two(place: Path) -> None:
    good(*words("two", "--set", "train.jobs=2"), folder=place)
    assert_same_run(place / "run", place / "two")


def test_a_runs_own_recipe_gives_the_same_run(place: Path) -> None:
    good(*words("again", recipe="run/recipe.toml"), folder=place)
    assert_same_run(place / "run", place / "again")


def test_evaluate_prints_one_json_object(place: Path) -> None:
    said = good("evaluate", "run", "--json", folder=place)
    assert said.count("\n") == 1
    result = json.loads(said)
    promised = {"split", "mean_auc", "weighted_auc", "pooled_auc", "log_loss", "finetuned", "domains"}
    assert promised | {"run", "strategy", "model", "seed", "round"} <= result.keys()
    assert (result["split"], result["finetuned"], result["strategy"]) == ("test", False, "mamdr")
    opened = Run.open(place / "run")
    for name, row in result["domains"].items():
        assert row.keys() >= {"auc", "log_loss", "samples", "positives"}
        assert opened.evaluate().aucs[name] == row["auc"]
    assert sum(row["samples"] for row in result["domains"].values()) == len(opened.data.test)
    assert json.loads((place / "run" / "metrics-test.json").read_text()) == result


@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_evaluate_shows_a_table(split: str, place: Path) -> None:
    said = good("evaluate", "run", "--split", split, folder=place)
    figures = json.loads((place / "run" / f"metrics-{split}.json").read_text())
    assert f"{split} split" in said
    assert "not fine-tuned" in said
    assert f"{figures['mean_auc']:.4f}" in said
    assert all(name in said for name in figures["domains"])


def test_a_report_of_runs(place: Path) -> None:
    good(*words("second", "--set", "train.seed=2"), folder=place)
    said = good("report", "run", "second", "--out", "report.html", folder=place)
    assert said.endswith("Wrote report.html\n")
    assert "lift over run" in said
    assert "<html" in (place / "report.html").read_text(encoding="utf-8")


def test_data_that_moved_are_given(place: Path) -> None:
    shutil.copytree(place / "data", place / "gone")
    good(*words("of-gone", data="gone"), folder=place)
    before = good("evaluate", "of-gone", "--json", folder=place)
    shutil.move(place / "gone", place / "moved")
    assert "are no longer at" in bad("evaluate", "of-gone", folder=place)
    assert good("evaluate", "of-gone", "--json", "--data", "moved", folder=place) == before
    good(*words("of-gone", "--resume", data="moved"), folder=place)
    assert good("evaluate", "of-gone", "--json", folder=place) == before


def odd_rows() -> pl.DataFrame:
    """Domains of every awkward kind: many rows, one row, one class."""
    draw = generator(5, "odd rows")
    domain = ["plain"] * 200 + ["single"] + ["all clicked"] * 20 + ["never clicked"] * 20
    label = [*draw.integers(0, 2, 200).tolist(), 1, *[1] * 20, *[0] * 20]
    rows = len(domain)
    return pl.DataFrame(
        {"user_id": draw.integers(0, 25, rows), "item_id": range(rows), "domain": domain, "label": label}
    )


@pytest.mark.parametrize("strategy", ["alternate", "dn", "dr", "mamdr"])
def test_awkward_domains(strategy: str, place: Path) -> None:
    if not (place / "odd").exists():
        odd_rows().write_csv(place / "odd.csv")
        good("data", "import", "odd.csv", "--out", "odd", folder=place)
    recipe = RECIPE.replace('"mamdr"\nnum_helpers = 1', f'"{strategy}"')
    (place / f"{strategy}.toml").write_text(recipe)
    name = f"odd-{strategy}"
    good(*words(name, recipe=f"{strategy}.toml", data="odd"), folder=place)
    result = json.loads(good("evaluate", name, "--json", folder=place))
    assert [row["auc"] is None for row in result["domains"].values()] == [
        name != "plain" for name in result["domains"]
    ]
    assert result["mean_auc"] == pytest.approx(result["domains"]["plain"]["auc"], abs=1e-12)
    assert result["weighted_auc"] == pytest.approx(result["domains"]["plain"]["auc"], abs=1e-12)
    assert "n/a" in good("evaluate", name, folder=place)


def test_fine_tuning_is_told_of(place: Path) -> None:
    recipe = RECIPE.replace('name = "mamdr"\nnum_helpers = 1', 'name = "finetune"\nafter = { name = "dn" }')
    (place / "finetune.toml").write_text(recipe)
    good(*words("tuned", recipe="finetune.toml"), folder=place)
    assert json.loads(good("evaluate", "tuned", "--json", folder=place))["finetuned"] is True
    assert ", fine-tuned, " in good("evaluate", "tuned", folder=place)


# What goes wrong: exit code, one line, nothing left behind.


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (["--set", "train.epochs=3"], "unknown key train.epochs"),
        (["--set", "strategy.nmu_helpers=3"], "unknown key strategy.nmu_helpers; expected one of"),
        (["--set", "strategy.specific_lr=2"], "strategy.specific_lr = 2; expected less than or equal to 1"),
        (["--set", "strategy.name=mamd"], "unknown strategy 'mamd'"),
        (["--set", "model.name=deep"], "unknown model 'deep'"),
        (["--set", "model.dropout=2"], "model.dropout = 2; expected less than 1"),
        (["--set", "model.hidden=[0]"], "model.hidden.0 = 0; expected greater than or equal to 1"),
        (["--set", "inner.name=7"], "unknown inner optimizer 7"),
        (["--set", "train.device=tpu:0"], "train.device = 'tpu:0'"),
        (["--set", "rounds=3"], "--set rounds=3; expected table.key=value"),
        (
            ["--set", "data.name=amazon"],
            "the recipe is for the data set 'amazon', the folder holds 'synthetic'",
        ),
    ],
)
def test_recipes_that_do_not_fit(change: list[str], message: str, place: Path) -> None:
    assert message in bad(*words("new", *change), folder=place, code=2)
    assert not (place / "new").exists()


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ('name = "mmoe"\ncount = 1', "model.count = 1; expected greater than or equal to 2"),
        ('name = "ple"\nspecific = 0', "model.specific = 0; expected greater than or equal to 1"),
        ('name = "star"\nhidden = [8, 0]', "model.hidden.1 = 0; expected greater than or equal to 1"),
        (
            'name = "sar_net"\nintervention = "brand"',
            "model.intervention = 'brand'; expected a numeric column",
        ),
    ],
)
def test_models_that_cannot_be(model: str, message: str, place: Path) -> None:
    """Told before training, and nothing is written."""
    (place / "model.toml").write_text(f'[model]\n{model}\n[strategy]\nname = "dn"\n')
    assert message in bad(*words("new", recipe="model.toml"), folder=place, code=2)
    assert not (place / "new").exists()


def test_files_that_are_no_recipe(place: Path) -> None:
    (place / "broken.toml").write_text("[model\n")
    assert "broken.toml is not TOML" in bad(*words("new", recipe="broken.toml"), folder=place, code=2)
    assert "cannot read the recipe none.toml" in bad(*words("new", recipe="none.toml"), folder=place, code=2)
    assert "cannot read the recipe data" in bad(*words("new", recipe="data"), folder=place, code=2)
    assert not (place / "new").exists()


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-5])


def _spoil(path: Path) -> None:
    path.write_text(path.read_text().replace('"name"', '"nmae"'))


def _edit(path: Path) -> None:
    path.write_text(
        path.read_text().replace("num_helpers = 1", "num_helpers = 2").replace('"round": ', '"round": 1')
    )


def _empty(path: Path) -> None:
    path.write_bytes(b"")


@pytest.mark.parametrize(
    ("damage", "name", "message"),
    [
        (Path.unlink, "manifest.json", "holds no manifest.json"),
        (_empty, "manifest.json", "manifest.json is damaged"),
        (_spoil, "manifest.json", "its checksum does not agree"),
        (_cut, "train/user_id.npy", "bytes where the manifest says"),
        (Path.unlink, "val/label.npy", "label.npy is missing"),
        (None, "none", "there is no folder none"),
        (None, "recipe.toml", "holds no manifest.json"),
    ],
)
def test_data_that_cannot_be_used(
    damage: Callable[[Path], object] | None, name: str, message: str, place: Path, tmp_path: Path
) -> None:
    data = name
    if damage is not None:
        shutil.copytree(place / "data", tmp_path / "data")
        damage(tmp_path / "data" / name)
        data = str(tmp_path / "data")
    assert message in bad(*words("new", data=data), folder=place)
    assert not (place / "new").exists()
    assert message in bad("evaluate", "run", "--data", data, folder=place)


def test_no_validation_domain_with_both_classes(place: Path) -> None:
    odd_rows().filter(pl.col("domain") != "plain").write_csv(place / "ones.csv")
    good("data", "import", "ones.csv", "--out", "ones", folder=place)
    assert "no domain has both clicked and unclicked validation rows" in bad(
        *words("new", data="ones"), folder=place
    )
    assert not (place / "new").exists()


def test_an_out_that_is_taken(place: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "thesis.tex").write_text("mine")
    before = tree(place / "run"), tree(tmp_path)
    for out, message in (
        ("run", "run already holds a run; expected a new folder. Add --resume to go on with it."),
        (f"{tmp_path}/file", "file is a file; expected a new folder"),
        (f"{tmp_path}/file/run", "cannot write "),
        (f"{tmp_path}/folder", "folder is not empty and holds no run"),
    ):
        assert message in bad(*words(out), folder=place)
    assert (tree(place / "run"), tree(tmp_path)) == before


@pytest.mark.parametrize(
    ("more", "data", "message"),
    [
        (["--set", "train.seed=2"], "data", "was trained with train.seed = 1, the recipe says 2"),
        (
            ["--set", "walk.batch_size=32"],
            "data",
            "was trained with walk.batch_size = 64, the recipe says 32",
        ),
        (["--set", "model.embedding=8"], "data", "was trained with model.embedding = 4, the recipe says 8"),
        ([], "other", "the data 'synthetic' are not those that run was trained on"),
    ],
)
def test_going_on_with_something_else(more: list[str], data: str, message: str, place: Path) -> None:
    before = tree(place / "run")
    assert message in bad(*words("run", "--resume", *more, data=data), folder=place)
    assert tree(place / "run") == before


def test_runs_of_your_own_modules_and_data_say_what_is_missing(place: Path) -> None:
    data = mamdr.Dataset.load(place / "data")
    module = torch.nn.Embedding(data.schema.ids["user_id"], 1)

    class Mine(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.user = module

        def forward(self, batch: dict[str, torch.Tensor]) -> torch.Tensor:
            logits: torch.Tensor = self.user(batch["user_id"])
            return logits.squeeze(1)

    mamdr.fit(Mine(), data, rounds=1, folder=place / "mine")
    said = bad("evaluate", "mine", folder=place, code=2)
    assert "a module of your own" in said
    assert "Mine); expected that module. Open the run in Python: mamdr.Run.open(folder, module=...)." in said
    mamdr.fit(
        Mine(), mamdr.synthetic_market(domains=2, users=60, items=30), rounds=1, folder=place / "memory"
    )
    assert "in no folder ('synthetic' was in memory)" in bad("evaluate", "memory", folder=place)


def test_a_folder_that_is_no_run(place: Path) -> None:
    for name in ("none", "data", "recipe.toml"):
        assert f"no run at {name}; expected a folder that mamdr train wrote" in bad(
            "evaluate", name, folder=place
        )
        assert f"no run at {name}" in bad("report", name, folder=place)
    assert "are not those that run was trained on" in bad("evaluate", "run", "--data", "other", folder=place)
    assert "no split is named 'tset'" in bad("evaluate", "run", "--split", "tset", folder=place, code=2)


def _unfinished(path: Path) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | {"best_round": 0}))


@pytest.mark.parametrize(
    ("damage", "name", "message"),
    [
        (_empty, "run.json", "run.json is damaged"),
        (_cut, "run.json", "run.json is damaged"),
        (_spoil, "run.json", "run.json is damaged ('name' is missing"),
        (_unfinished, "run.json", "has no finished round"),
        (Path.unlink, "recipe.toml", "no readable recipe.toml"),
        (_edit, "recipe.toml", "was trained with strategy.num_helpers = 1, the recipe says 2"),
        (_cut, "checkpoints/BEST/meta.json", "meta.json is damaged"),
        (_edit, "checkpoints/BEST/meta.json", "meta.json is damaged"),
        (_cut, "checkpoints/BEST/state.safetensors", "state.safetensors is damaged"),
        (_empty, "checkpoints/BEST/state.safetensors", "state.safetensors is damaged"),
        (shutil.rmtree, "checkpoints", "no checkpoint at"),
    ],
)
def test_a_damaged_run(
    damage: Callable[[Path], object], name: str, message: str, place: Path, tmp_path: Path
) -> None:
    shutil.copytree(place / "run", tmp_path / "run")
    best = json.loads((place / "run" / "run.json").read_text())["best_round"]
    damage(tmp_path / "run" / name.replace("BEST", f"round-{best:05d}"))
    before = tree(tmp_path)
    assert message in bad("evaluate", str(tmp_path / "run"), folder=place)
    assert tree(tmp_path) == before


def test_wrong_use_exits_with_2(place: Path) -> None:
    for wrong in (
        ["fly"],
        ["train"],
        ["evaluate"],
        ["evaluate", "run", "--fast"],
        ["train", "recipe.toml", "--out", "x"],
    ):
        result = run(*wrong, folder=place)
        assert (result.code, result.out) == (2, "")
        assert "Traceback" not in result.err


# Ctrl-C.


def slow_rounds() -> None:
    """Rounds take a second at least."""
    import mamdr.training.trainer

    owner: Any = mamdr.training.trainer
    real = owner.measure

    def slow(*args: Any, **kwargs: Any) -> Any:
        time.sleep(1)
        return real(*args, **kwargs)

    owner.measure = slow


def told(path: Path, text: str) -> bool:
    return path.exists() and text in path.read_text()


def _interrupt(command: Command, events: Path) -> None:
    """Ctrl-C, and again if another round ends all the same.

    A signal that reaches Python inside an extension's callback can be lost with the error it raised there; a person
    presses the keys once more.
    """
    for _ in range(3):
        command.interrupt()
        time.sleep(0.3)  # a round under way may end just then; the next one takes a second at least
        rounds = events.read_text().count('"event": "round"')
        while command.process.is_alive() and events.read_text().count('"event": "round"') == rounds:
            time.sleep(0.01)
        if not command.process.is_alive():
            return


def interrupted(name: str, place: Path, options: Sequence[str], ready: Callable[[], bool]) -> str:
    """What a training says that is interrupted when it is ready for that."""
    command = Command(*words(name, *options), folder=place, prepare=slow_rounds)
    while not ready():
        assert command.process.is_alive(), command.wait()
        time.sleep(0.01)
    _interrupt(command, place / name / "events.jsonl")
    result = command.wait()
    assert (result.code, result.out) == (130, ""), result
    assert "Traceback" not in result.err, result.err
    return result.err


@pytest.mark.parametrize("jobs", [1, 2])
@pytest.mark.parametrize("rounds", [0, 1])
def test_ctrl_c_says_how_to_go_on(jobs: int, rounds: int, place: Path) -> None:
    name = f"interrupted {jobs} {rounds}"
    event = '"event": "round"' if rounds else '"event": "start"'
    ready = functools.partial(told, place / name / "events.jsonl", event)
    said = interrupted(name, place, ["--quiet", "--set", f"train.jobs={jobs}"], ready)
    assert said.count("\n") == 1
    start, _, again = said.rstrip("\n").partition("go on with: ")
    assert start == "mamdr: interrupted; "
    assert again == f"mamdr train recipe.toml --data data --out '{name}' --set train.jobs={jobs} --resume"
    good(*shlex.split(again)[1:], folder=place)
    assert_same_run(place / "run", place / name)


def test_ctrl_c_after_lines_of_rounds(place: Path) -> None:
    lines = interrupted(
        "seen", place, [], functools.partial(told, place / "stderr", "round   1")
    ).splitlines()
    assert lines[-1].startswith("mamdr: interrupted; go on with: mamdr train ")
    assert lines[-2].startswith("round   1  ")


def test_two_processes_cannot_train_one_run(place: Path) -> None:
    """The second is refused while the first goes on undisturbed."""
    (place / "first").mkdir()
    for file in ("data", "recipe.toml"):
        (place / "first" / file).symlink_to(place / file)
    first = Command(*words("../shared"), folder=place / "first", prepare=slow_rounds)
    while not told(place / "shared" / "events.jsonl", '"event": "round"'):
        assert first.process.is_alive(), first.wait()
        time.sleep(0.01)
    assert "another process is training in shared; expected one at a time." in bad(
        *words("shared", "--resume"), folder=place
    )
    assert first.wait().code == 0
    assert_same_run(place / "run", place / "shared")


@pytest.mark.parametrize("jobs", [1, 2])
def test_ctrl_c_at_random_moments(jobs: int, place: Path) -> None:
    draw, name = generator(jobs, "interrupts"), f"random-{jobs}"
    more = ["--quiet", "--resume", "--set", f"train.jobs={jobs}"]
    for _ in range(5):
        command = Command(*words(name, *more), folder=place)
        time.sleep(float(draw.uniform(0.02, 0.4)))
        command.interrupt()
        result = command.wait()
        assert result.code in (0, 130), result
        if result.code:
            assert result.err.startswith("mamdr: interrupted; "), result.err
            assert result.err.count("\n") == 1, result.err
    good(*words(name, *more), folder=place)
    assert_same_run(place / "run", place / name)
