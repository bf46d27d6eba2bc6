"""`mamdr data` as a user types it: folders made, figures shown, and one clear line when they cannot be."""

from __future__ import annotations

import gzip
import json
import resource
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from tests.oracles.data import amazon_pairs, negative_counts
from typer.testing import CliRunner

from mamdr.cli.data import data_app
from mamdr.data.domains import SPLITS, Dataset
from mamdr.data.market import synthetic_market
from mamdr.errors import ConfigError, DataError, MamdrError


def _run(*words: str | Path) -> Any:
    return CliRunner().invoke(data_app, [str(word) for word in words])


def _good(*words: str | Path) -> str:
    result = _run(*words)
    assert result.exception is None, result.exception
    said: str = result.stdout
    return said


def _bad(kind: type[MamdrError], *words: str | Path) -> str:
    error = _run(*words).exception
    assert isinstance(error, kind), error
    assert "\n" not in str(error)
    return str(error)


def _described(folder: Path) -> dict[str, Any]:
    figures: dict[str, Any] = json.loads(_good("describe", folder, "--json"))
    return figures


def _reviews(folder: Path, name: str, rows: list[tuple[str, str]]) -> Path:
    folder.mkdir(exist_ok=True)
    same = {"overall": 5.0, "unixReviewTime": 1}
    lines = [json.dumps({"reviewerID": user, "asin": item, **same}) for user, item in rows]
    (folder / f"{name}_5.json.gz").write_bytes(gzip.compress("\n".join(lines).encode()))
    return folder


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    for number, name in enumerate(("Software", "Gift_Cards", "Video_Games")):
        rows = [(f"U{n % 7}", f"I{n * (number + 2) % 31}") for n in range(60)]
        _reviews(tmp_path / "raw", name, rows + rows[:4])
    return tmp_path / "raw"


@pytest.fixture
def clicks(tmp_path: Path) -> Path:
    rows = {
        "who": [f"u{n % 7}" for n in range(90)],
        "what": list(range(90)),
        "shop": [n % 3 for n in range(90)],
    }
    pl.DataFrame(rows).write_csv(tmp_path / "clicks.csv")
    return tmp_path / "clicks.csv"


NAMED = ("--user", "who", "--item", "what", "--domain", "shop")


def test_build_then_describe(raw: Path, tmp_path: Path) -> None:
    said = _good("build", "amazon", "--raw", raw, "--out", tmp_path / "d")
    assert "Video_Games" in said
    assert "12 duplicate rows were dropped" in said
    figures = _described(tmp_path / "d")
    assert list(figures["domains"]) == ["Gift_Cards", "Software", "Video_Games"]
    assert figures["samples"] == sum(figures[part] for part in SPLITS)
    assert figures["fingerprint"] == Dataset.load(tmp_path / "d").fingerprint
    assert "CTR ratio" in _good("describe", tmp_path / "d")
    assert "by item_id" in _good("describe", tmp_path / "d", "--popularity")
    floor = json.loads(_good("describe", tmp_path / "d", "--popularity", "--json"))["popularity"]
    assert floor.keys() == {"item_id", "user_id"}
    assert floor["item_id"]["aucs"].keys() == figures["domains"].keys()


def test_a_benchmark_is_described_beside_the_paper(raw: Path, tmp_path: Path) -> None:
    said = _good("build", "amazon", "--raw", raw, "--out", tmp_path / "d", "--name", "amazon-13")
    assert "beside the paper's" in said
    assert "contradict its own 10.78 %" in said
    paper = _described(tmp_path / "d")["published"]
    assert paper["train"] + paper["val"] + paper["test"] == paper["samples"] == 20_439_886
    assert paper["domains"]["Gift_Cards"] == {"samples": 11_951, "percentage": 0.06, "ctr_ratio": 0.32}
    line = next(line for line in said.splitlines() if "11,951" in line)
    assert line.split()[0] == "Gift_Cards"
    assert line.split()[-1] == "0.32"
    assert "beside the paper's" not in _good("build", "amazon", "--raw", raw, "--out", tmp_path / "e")
    assert _described(tmp_path / "e")["published"] is None


def test_categories_choose_and_order_the_domains(raw: Path, tmp_path: Path) -> None:
    _good("build", "amazon", "--raw", raw, "--out", tmp_path / "d", "--categories", "Video_Games,Gift_Cards")
    data = Dataset.load(tmp_path / "d")
    assert data.schema.domains == ("Video_Games", "Gift_Cards")
    assert data.facts["ctr_ratio"] == [0.22, 0.23]


def test_the_same_seed_gives_the_same_bytes_in_another_place(raw: Path, tmp_path: Path) -> None:
    folders = [tmp_path / "one", tmp_path / "elsewhere" / "two"]
    for folder in folders:
        _good("build", "amazon", "--raw", raw, "--out", folder, "--seed", "4")
    one, two = (
        {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
        for folder in folders
    )
    assert one == two
    assert Dataset.load(folders[0]).seed == 4


def test_import_with_ratios(clicks: Path, tmp_path: Path) -> None:
    _good("import", clicks, "--out", tmp_path / "d", *NAMED, "--ctr-ratio", "0.5", "--name", "shop clicks")
    data = Dataset.load(tmp_path / "d")
    assert (data.name, data.schema.domains, data.facts["ctr_ratio"]) == (
        "shop clicks",
        ("0", "1", "2"),
        [0.5] * 3,
    )
    more = ("--ctr-ratio", "1=0.4", "--ctr-ratio", "2=0.25", "--overwrite")
    _good("import", clicks, "--out", tmp_path / "d", *NAMED, *more)
    data = Dataset.load(tmp_path / "d")
    assert (data.name, data.facts["ctr_ratio"]) == ("clicks", [0.22, 0.4, 0.25])


def test_several_files_are_joined(clicks: Path, tmp_path: Path) -> None:
    pl.DataFrame({"who": ["x"], "what": [4], "shop": ["new"]}).write_parquet(tmp_path / "more.parquet")
    _good("import", clicks, tmp_path / "more.parquet", "--out", tmp_path / "d", *NAMED)
    assert Dataset.load(tmp_path / "d").schema.domains == ("0", "1", "2", "new")


def test_wrong_words_are_answered(raw: Path, clicks: Path, tmp_path: Path) -> None:
    out = ("--out", tmp_path / "d")
    assert "Did you mean 'amazon'" in _bad(ConfigError, "build", "amazn", "--raw", raw, *out)
    said = _bad(ConfigError, "build", "amazon", "--raw", raw, *out, "--categories", "Gift_Card")
    assert said.startswith("unknown category 'Gift_Card'; expected one of Gift_Cards, Software, Video_Games")
    assert "no folder" in _bad(DataError, "build", "amazon", "--raw", tmp_path / "none", *out)
    assert "--user" in _bad(DataError, "import", clicks, *out)
    assert "no file" in _bad(DataError, "import", tmp_path / "none.csv", *out)
    answers = {"much": "--ctr-ratio much", "0": "CTR ratio 0.0", "7=0.3": "unknown domain '7'"}
    for ratio, answer in answers.items():
        assert answer in _bad(ConfigError, "import", clicks, *out, *NAMED, "--ctr-ratio", ratio)
    assert not (tmp_path / "d").exists()


def test_an_existing_folder_is_refused_before_any_work(raw: Path, tmp_path: Path) -> None:
    _good("build", "amazon", "--raw", raw, "--out", tmp_path / "d")
    assert "already exists" in _bad(
        DataError, "build", "amazon", "--raw", tmp_path / "none", "--out", tmp_path / "d"
    )
    _good("build", "amazon", "--raw", raw, "--out", tmp_path / "d", "--overwrite", "--seed", "2")
    assert Dataset.load(tmp_path / "d").seed == 2


def test_describe_notices_damage(raw: Path, tmp_path: Path) -> None:
    _good("build", "amazon", "--raw", raw, "--out", tmp_path / "d")
    path = tmp_path / "d" / "val" / "label.npy"
    data = bytearray(path.read_bytes())
    data[-2] ^= 1
    path.write_bytes(data)
    assert "label.npy is damaged" in _bad(DataError, "describe", tmp_path / "d")


def test_a_synthetic_market(tmp_path: Path) -> None:
    words = ("--domains", "3", "--samples-per-domain", "200", "--conflict", "0.5", "--seed", "2")
    _good("synthetic", "--out", tmp_path / "d", *words)
    data = Dataset.load(tmp_path / "d")
    assert (len(data.schema.domains), data.seed, data.options["market"]["conflict"]) == (3, 2, 0.5)
    assert (
        data.fingerprint
        == synthetic_market(domains=3, samples_per_domain=200, conflict=0.5, seed=2).fingerprint
    )
    assert "conflict" in _bad(ConfigError, "synthetic", "--out", tmp_path / "e", "--conflict", "2")


def test_features_for_data_without(raw: Path, tmp_path: Path) -> None:
    _good("build", "amazon", "--raw", raw, "--out", tmp_path / "d")
    words = ("--width", "4", "--passes", "1", "--batch-size", "64", "--neighbours", "2", "2")
    for name in ("one", "two"):
        said = _good("features", tmp_path / "d", "--out", tmp_path / name, *words)
    assert "vectors of 4" in said
    one, two = (Dataset.load(tmp_path / name) for name in ("one", "two"))
    assert one.fingerprint == two.fingerprint
    assert one.schema.vectors["item_id"].shape == (one.schema.ids["item_id"], 4)
    assert one.train.labels.equal(Dataset.load(tmp_path / "d").train.labels)
    again = _bad(ConfigError, "features", tmp_path / "one", "--out", tmp_path / "three", *words)
    assert "has vectors for user_id" in again
    wrong = _bad(ConfigError, "features", tmp_path / "d", "--out", tmp_path / "three", "--width", "0")
    assert "width" in wrong


@pytest.mark.parametrize("command", ["build", "import", "synthetic", "describe", "features"])
def test_help_has_an_example(command: str) -> None:
    assert f"mamdr data {command}" in _good(command, "--help")


def test_the_real_amazon_files(real_data: Path, tmp_path: Path) -> None:
    raw = real_data / "amazon2018"
    _good("build", "amazon", "--raw", raw, "--out", tmp_path / "d")
    data = Dataset.load(tmp_path / "d")
    found = dict.fromkeys(data.schema.domains, 0)
    users, items = (data.vocabularies[column] for column in ("user_id", "item_id"))
    for number, domain in enumerate(data.schema.domains):
        pairs = amazon_pairs(raw / f"{domain}_5.json.gz")
        sizes = Counter[str]()
        for part in SPLITS:
            for batch, labels in data.split(part).batches([number], 4096, None):
                found[domain] += int(labels.sum())
                cells = zip(
                    batch["user_id"].tolist(), batch["item_id"].tolist(), labels.tolist(), strict=True
                )
                for user, item, label in cells:
                    sizes[str(label)] += 1
                    if user > 1 and item > 1:
                        assert ((users.decode(user), items.decode(item)) in pairs) == (label == 1)
        assert found[domain] == len(pairs)
        assert sizes["0.0"] == sum(negative_counts(pairs, data.facts["ctr_ratio"][number]).values())
    assert (found["Gift_Cards"], found["Magazine_Subscriptions"]) == (2965, 2302)


def test_each_user_of_the_real_files_gets_the_negatives_due(real_data: Path) -> None:
    from mamdr.data.negatives import draw

    for name, ratio in (("Gift_Cards", 0.32), ("Magazine_Subscriptions", 0.21), ("Appliances", 0.2)):
        pairs = amazon_pairs(real_data / "amazon2018" / f"{name}_5.json.gz")
        user_names, item_names = (sorted({pair[side] for pair in pairs}) for side in (0, 1))
        users = np.array([user_names.index(user) for user, _ in pairs])
        items = np.array([item_names.index(item) for _, item in pairs])
        drawn_users, drawn_items = draw(users, items, ratio, 1, name)
        drawn = {
            (user_names[user], item_names[item])
            for user, item in zip(drawn_users.tolist(), drawn_items.tolist(), strict=True)
        }
        assert len(drawn) == len(drawn_users)
        assert not drawn & pairs
        due = {user: count for user, count in negative_counts(pairs, ratio).items() if count}
        assert Counter(user for user, _ in drawn) == due


def _files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_in_bounded_memory_data_are_the_same(tmp_path: Path) -> None:
    market = ("synthetic", "--domains", "5", "--users", "90", "--items", "40", "--samples-per-domain", "60")
    rows = pl.DataFrame(
        {"user_id": ["u", "v", "u", "w"], "item_id": [3, 4, 4, 5], "domain": ["b", "a", "b", "b"]}
    )
    rows.write_parquet(tmp_path / "clicks.parquet")
    for words in (market, ("import", str(tmp_path / "clicks.parquet"), "--ctr-ratio", "0.5")):
        shown = _good(*words, "--out", tmp_path / f"{words[0]}-whole").replace("-whole", "")
        assert (
            _good(*words, "--out", tmp_path / f"{words[0]}-parts", "--memory", "1KB").replace("-parts", "")
            == shown
        )
        assert _files(tmp_path / f"{words[0]}-whole") == _files(tmp_path / f"{words[0]}-parts")


def test_what_bounded_memory_cannot_do(tmp_path: Path) -> None:
    out = ("--out", tmp_path / "out")
    assert "Write it like 512MB" in _bad(ConfigError, "synthetic", *out, "--memory", "much")
    assert "Features are made in memory" in _bad(
        ConfigError, "synthetic", *out, "--memory", "1GB", "--features"
    )
    text = tmp_path / "rows.csv"
    text.write_text("user_id,item_id,domain\n1,2,a\n")
    assert "expected Parquet files" in _bad(ConfigError, "import", text, *out, "--memory", "1GB")
    assert "needs less memory" in _bad(ConfigError, "import", text, *out, "--memory", "1GB", "--users", "0.5")
    assert not (tmp_path / "out").exists()


def test_the_real_table_imports_in_bounded_memory(real_data: Path, tmp_path: Path) -> None:
    file = real_data / "amazon2018" / "interactions_6of13.parquet"
    words = [
        "import",
        file,
        "--user",
        "user",
        "--item",
        "item",
        "--domain",
        "category",
        "--out",
        tmp_path / "d",
    ]
    code = "import sys; from mamdr.cli.data import data_app; data_app(sys.argv[1:])"
    subprocess.run([sys.executable, "-c", code, *map(str, words)], check=True, capture_output=True)
    assert resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss < 2e6  # kB
    figures = _described(tmp_path / "d")
    assert {name: row["positives"] for name, row in figures["domains"].items()} == {
        "Gift_Cards": 2965,
        "Industrial_and_Scientific": 59_095,
        "Luxury_Beauty": 27_735,
        "Magazine_Subscriptions": 2302,
        "Musical_Instruments": 206_153,
        "Video_Games": 452_989,
    }
    assert Dataset.load(tmp_path / "d").facts["ctr_ratio"] == [0.22, 0.23, 0.32, 0.23, 0.47, 0.21]
