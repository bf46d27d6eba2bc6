"""The outer loop: what it keeps, what it never reads, and what it refuses before it begins."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.unit.training.runs import Normed, assert_same_run, events_of, odd_market, train, trainer

from mamdr.combiners import PCGrad
from mamdr.data.domains import Dataset
from mamdr.engine import trace
from mamdr.errors import CheckpointError, ConfigError, DataError
from mamdr.strategies import Alternate, Combined, DomainNegotiation
from mamdr.testing import TwoTables, same_bits, tiny_market
from mamdr.training import Trainer, TrainOptions, checkpoint
from mamdr.training.folder import checkpoint_folder, read_info


class _Forbidden:
    """A split that must not be read."""

    def __getattribute__(self, name: str) -> Any:
        raise AssertionError(f"training read {name} of the test split")


def _changed_test(data: Dataset) -> Dataset:
    """The same data with other test labels."""
    splits = {}
    for name in ("train", "val", "test"):
        part = data.split(name)
        domain = np.repeat(np.arange(len(data.schema.domains)), np.diff(part.offsets.numpy()))
        columns = {key: column.numpy() for key, column in part.columns.items()}
        label = part.labels.numpy() if name != "test" else 1 - part.labels.numpy()
        splits[name] = {**columns, "domain": domain, "label": label.astype(np.int64)}
    return Dataset.from_arrays(data.name, data.schema.domains, splits, data.schema.ids)


def test_test_rows_are_never_read(tmp_path: Path) -> None:
    tiny_market().save(tmp_path / "data")
    data = Dataset.load(tmp_path / "data")
    object.__setattr__(data, "test", _Forbidden())
    train(tmp_path / "run", data=data)
    train(tmp_path / "run", data=data, rounds=3, resume=True)


def test_test_labels_change_nothing() -> None:
    one, other = train(rounds=3), train(rounds=3, data=_changed_test(tiny_market()))
    assert same_bits(one.state, other.state)
    assert one.info["best_value"] == other.info["best_value"]


@pytest.mark.parametrize("monitor", ["mean_auc", "weighted_auc", "pooled_auc"])
def test_validation_chooses_the_round_that_is_kept(monitor: str, tmp_path: Path) -> None:
    run = train(tmp_path / "run", rounds=6, monitor=monitor)
    figures = [event["val"][monitor] for event in run.events if event["event"] == "round"]
    best = int(np.argmax(figures)) + 1
    assert (run.info["best_round"], run.info["best_value"]) == (best, max(figures))
    assert run.evaluate("val").to_json()[monitor] == pytest.approx(max(figures), abs=1e-12)
    straight = train(tmp_path / "straight", rounds=best, monitor=monitor)
    last = checkpoint.load(checkpoint_folder(tmp_path / "straight", best), straight.space)[0]
    assert same_bits(run.state, last)
    kept = {path.name for path in (tmp_path / "run" / "checkpoints").iterdir()}
    assert kept == {f"round-{best:05d}", "round-00006"}


def test_in_memory_is_as_in_a_folder(tmp_path: Path) -> None:
    kept, memory = train(tmp_path / "run", rounds=4), train(rounds=4)
    assert same_bits(kept.state, memory.state)
    assert {**kept.info, "time": 0} == {**memory.info, "time": 0}
    assert memory.events == []


def test_events_tell_all(tmp_path: Path) -> None:
    run = train(tmp_path / "run", rounds=3)
    start, *rounds, stop = events_of(tmp_path / "run", "start", "round", "stop")
    assert {"model", "strategy", "seed", "data", "parameters", "version", "round", "rounds"} <= start.keys()
    assert [event["round"] for event in rounds] == [1, 2, 3]
    assert sum(event["samples"] for event in rounds) >= run.state.samples
    for event in rounds:
        assert event["losses"].keys() == {"shared", "specific"}
        assert event["train_loss"] == pytest.approx(sum(event["losses"].values()) / 2)
        assert set(event["val"]["domains"]) == set(run.data.schema.domains)
    assert (stop["round"], stop["stopped_by"]) == (3, "rounds")
    timed = [event for event in run.events if event["event"] == "round"]
    assert all(event["seconds"] >= 0 and event["evaluation_seconds"] >= 0 for event in timed)


def test_the_module_is_left_with_the_shared_weights_of_the_best_round() -> None:
    run = train(strategy=Alternate(), rounds=6)
    assert run.info["best_round"] < 6  # or nothing would be shown
    shared = run.state.shared
    parameters = dict(run.module.named_parameters())
    for part in run.space.dense:
        values = shared.dense[part.offset : part.offset + part.size].view(part.shape)
        assert torch.equal(parameters[part.name], values)
    for table, rows in zip(run.space.tables, shared.tables, strict=True):
        assert torch.equal(parameters[table.name], rows)
    for name, buffer in run.module.named_buffers():
        assert torch.equal(buffer, run.state.buffers[name])


def test_listeners_hear_every_row(tmp_path: Path) -> None:
    class Ear:
        rows, kinds = 0, list[str]()

        def hear(self, event: dict[str, Any]) -> None:
            self.kinds.append(event["event"])

        def walked(self, rows: int) -> None:
            self.rows += rows

        def close(self) -> None:
            self.kinds.append("closed")

    ear, subject = Ear(), trainer(rounds=2)
    subject.listeners = [ear]
    subject.fit()
    assert ear.kinds == ["start", "round", "round", "stop", "closed"]
    again = train(tmp_path / "run", rounds=2)
    assert ear.rows == sum(event["samples"] for event in again.events if event["event"] == "round")


# What is refused, before anything is written.


def refused(kind: type[Exception], message: str, folder: Path | None = None, **settings: Any) -> None:
    with pytest.raises(kind, match=message) as caught:
        train(folder, **settings)
    assert "\n" not in str(caught.value)


def test_no_rows_to_train_on(tmp_path: Path) -> None:
    refused(DataError, "no training rows", tmp_path / "run", data=tiny_market((0, 0)))
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("monitor", ["mean_auc", "pooled_auc"])
def test_no_validation_rows_to_choose_by(monitor: str, tmp_path: Path) -> None:
    rows = {"user_id": np.arange(8), "item_id": np.arange(8), "domain": np.arange(8) % 2}
    mixed, ones = {**rows, "label": np.arange(8) // 2 % 2}, {**rows, "label": np.ones(8, np.int64)}
    data = Dataset.from_arrays(
        "ones", ["a", "b"], {"train": mixed, "val": ones, "test": mixed}, {"user_id": 23, "item_id": 17}
    )
    settings = {"data": data, "module": TwoTables(), "monitor": monitor}
    refused(
        DataError, "no domain has both clicked and unclicked validation rows", tmp_path / "run", **settings
    )
    assert not (tmp_path / "run").exists()


def test_pooled_auc_chooses_where_each_domain_has_one_class(tmp_path: Path) -> None:
    rows = {
        "user_id": np.arange(8),
        "item_id": np.arange(8),
        "domain": np.arange(8) % 2,
        "label": np.arange(8) % 2,
    }
    data = Dataset.from_arrays(
        "split", ["a", "b"], dict.fromkeys(("train", "val", "test"), rows), {"user_id": 23, "item_id": 17}
    )
    refused(DataError, "no domain has both", data=data, module=TwoTables())
    run = train(tmp_path / "run", data=data, module=TwoTables(), monitor="pooled_auc")
    assert run.info["best_value"] is not None


def test_a_folder_that_is_taken(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    refused(CheckpointError, "file is a file; expected a new folder", tmp_path / "file")
    refused(CheckpointError, "file is a file; expected a new folder", tmp_path / "file", resume=True)
    assert (tmp_path / "file").read_text() == "mine"
    refused(DataError, "cannot write .*Not a directory", tmp_path / "file" / "run")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "recipe.toml").write_text("mine")
    refused(CheckpointError, "mine is not empty and holds no run", tmp_path / "mine")
    (tmp_path / "mine" / "other").touch()
    refused(CheckpointError, "mine is not empty and holds no run", tmp_path / "mine", resume=True)
    assert (tmp_path / "mine" / "recipe.toml").read_text() == "mine"


def test_an_empty_folder_is_taken(tmp_path: Path) -> None:
    assert train(tmp_path).info["status"] == "finished"


def test_a_run_that_is_there_already(tmp_path: Path) -> None:
    train(tmp_path / "run")
    train(tmp_path / "straight")
    refused(CheckpointError, "run already holds a run; expected a new folder. Add --resume", tmp_path / "run")
    assert_same_run(tmp_path / "straight", tmp_path / "run")


def test_resume_without_a_folder() -> None:
    refused(ConfigError, "resume without a folder", resume=True)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"data": tiny_market(seed=5)}, "the data 'tiny' are not those that .*run was trained on"),
        ({"module": TwoTables(width=5)}, "holds other parameters than the module's"),
        (
            {"recipe": {"model": {"name": "custom"}, "strategy": {"name": "custom", "k": 3}}},
            "was trained with strategy.k = None, the recipe says 3; .*rounds, .*, conflict_every, memory may change",
        ),
        ({"recipe": {}}, "was trained with model.name = 'custom', the recipe says None"),
    ],
    ids=["data", "module", "settings", "no settings"],
)
def test_going_on_with_something_else(settings: dict[str, Any], message: str, tmp_path: Path) -> None:
    train(tmp_path / "run")
    train(tmp_path / "straight")
    refused(CheckpointError, message, tmp_path / "run", rounds=3, resume=True, **settings)
    assert_same_run(tmp_path / "straight", tmp_path / "run")


def test_rounds_patience_and_jobs_may_change(tmp_path: Path) -> None:
    def recipe(**values: int) -> dict[str, Any]:
        return {"model": {"name": "custom"}, "train": {"seed": 1, **values}}

    train(tmp_path / "run", recipe=recipe(rounds=2, patience=3, jobs=1))
    train(tmp_path / "run", rounds=3, recipe=recipe(rounds=3, patience=1, jobs=2), resume=True)
    assert "rounds = 3" in (tmp_path / "run" / "recipe.toml").read_text()
    refused(
        CheckpointError,
        "with train.seed = 1, the recipe says 2",
        tmp_path / "run",
        recipe=recipe() | {"train": {"seed": 2}},
        resume=True,
    )


@pytest.mark.parametrize("name", ["meta.json", "state.safetensors"])
def test_going_on_from_a_damaged_checkpoint(name: str, tmp_path: Path) -> None:
    train(tmp_path / "run")
    path = checkpoint_folder(tmp_path / "run", 2) / name
    path.write_bytes(path.read_bytes()[:-3])
    refused(CheckpointError, f"{name} is damaged", tmp_path / "run", rounds=3, resume=True)


def test_going_on_where_the_checkpoint_is_gone(tmp_path: Path) -> None:
    train(tmp_path / "run")
    info = read_info(tmp_path / "run")
    (tmp_path / "run" / "run.json").write_text(json.dumps(info | {"last_round": 9}))
    refused(CheckpointError, "no checkpoint at .*round-00009", tmp_path / "run", resume=True)


def test_leftovers_of_killed_writers_go(tmp_path: Path) -> None:
    train(tmp_path / "run", rounds=1)
    train(tmp_path / "straight", rounds=2)
    for left in (".run.json.0123.part", "checkpoints/.old.77.part"):
        (tmp_path / "run" / left).touch()
    (tmp_path / "run" / "checkpoints" / ".round-00002.88.part").mkdir()
    train(tmp_path / "run", rounds=2, resume=True)
    assert_same_run(tmp_path / "straight", tmp_path / "run")


@pytest.mark.parametrize("device", ["gpu", "cuda:99", ""])
def test_a_device_that_is_not_there(device: str, tmp_path: Path) -> None:
    refused(ConfigError, f"train.device = '{device}' ", tmp_path / "run", device=device)
    assert not (tmp_path / "run").exists()


def test_several_jobs_share_no_device() -> None:
    refused(ConfigError, "jobs = 2 on cuda:0; expected jobs = 1", device="cuda:0", jobs=2)


@pytest.mark.parametrize(
    "strategy", [Alternate(), DomainNegotiation(), None], ids=["alternate", "dn", "mamdr"]
)
def test_awkward_domains_are_trained_and_measured(strategy: Any, tmp_path: Path) -> None:
    run = train(tmp_path / "run", strategy, data=odd_market(), rounds=2)
    found = run.evaluate("test")
    assert [row.samples for row in found.domains] == [12, 6, 1, 6, 0]
    assert [row.auc is None for row in found.domains] == [False, False, True, True, True]
    assert found.mean_auc == pytest.approx(np.mean([found.aucs["plain"], found.aucs["unseen"]]))
    assert [len(scores) for _, scores in run.predict("test")] == [12, 6, 1, 6, 0]


def test_one_domain(tmp_path: Path) -> None:
    assert train(tmp_path / "run", data=tiny_market((30,))).info["status"] == "finished"


def test_a_trainer_takes_any_module_and_says_what_it_found() -> None:
    data = tiny_market()
    module = Normed()
    made = Trainer(module, data, Alternate(), TrainOptions(rounds=1), trainer().walk)
    assert made.space == trace(module, data.schema)
    info = made.fit().info
    assert (info["model"], info["strategy"]) == ("Normed", "Alternate")
    assert info["parameters"] == sum(p.numel() for p in module.parameters())


def test_what_a_strategy_costs_is_told_before_it_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.modules["mamdr.strategies.notes"], "MANY", 4)
    train(tmp_path / "run", Combined(PCGrad()), rounds=1)
    [start] = events_of(tmp_path / "run", "start")
    [note] = start["notes"]
    assert note.startswith("PCGrad takes the gradients of up to 4 domains apart")
