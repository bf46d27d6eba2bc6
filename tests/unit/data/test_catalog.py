"""Named sources: the paper's benchmarks, by the paper's procedure and by the authors'."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tests.unit.data import raw

from mamdr.data.catalog import SOURCES, build_source, fetch, source
from mamdr.data.describe import describe
from mamdr.data.domains import SPLITS, Dataset
from mamdr.data.negatives import paper_ratios
from mamdr.data.published import published
from mamdr.data.split import authors_counts
from mamdr.errors import ConfigError, DataError

SMALL = ("Gift_Cards", "Software")
TABLE_4 = (
    *(0.22, 0.23, 0.32, 0.23, 0.47, 0.21, 0.36, 0.30, 0.46, 0.25, 0.30, 0.30, 0.27, 0.20, 0.33),
    *(0.23, 0.38, 0.22, 0.29, 0.33, 0.47, 0.23, 0.24, 0.44, 0.21, 0.47, 0.37, 0.28, 0.45, 0.43),
)


def rows(data: Dataset, domain: int) -> list[tuple[int, int, float, str]]:
    found = []
    for part in SPLITS:
        for batch, labels in data.split(part).batches([domain], 1 << 16, None):
            users, items = batch["user_id"].tolist(), batch["item_id"].tolist()
            found += [(u, i, y, part) for u, i, y in zip(users, items, labels.tolist(), strict=True)]
    return found


def test_the_thirty_ratios_of_table_4() -> None:
    assert tuple(paper_ratios(30)) == TABLE_4


def test_the_benchmarks_are_the_papers() -> None:
    assert len(SOURCES["amazon-6"].categories) == 6
    assert len(SOURCES["amazon-13"].categories) == 13
    assert set(SOURCES["amazon-6"].categories) < set(SOURCES["amazon-13"].categories)


def test_amazon_6_has_its_domains_in_the_papers_order(tmp_path: Path) -> None:
    six = SOURCES["amazon-6"].categories
    folder = raw.amazon(tmp_path / "raw", (*six, "Software"), reviews=60)
    data = build_source("amazon-6", folder)
    assert data.schema.domains == six
    assert data.facts["ctr_ratio"] == [0.22, 0.23, 0.32, 0.23, 0.47, 0.21]


@pytest.mark.parametrize("authors", [False, True])
def test_the_counts_of_table_3_on_the_real_files(real_data: Path, authors: bool) -> None:
    chosen, paper = ["Gift_Cards", "Magazine_Subscriptions"], published("amazon-13")
    assert paper is not None
    ratios = {name: paper.domains[name].ctr_ratio for name in chosen}
    data = build_source("amazon", real_data / "amazon2018", chosen, ctr_ratio=ratios, authors=authors)
    found = describe(data)["domains"]
    for name in chosen:
        assert found[name]["samples"] == pytest.approx(
            paper.domains[name].samples, rel=0 if authors else 0.02
        )


def test_a_benchmark_without_some_of_its_files_names_them_before_any_is_read(tmp_path: Path) -> None:
    folder = raw.amazon(tmp_path / "raw", SOURCES["amazon-6"].categories[2:], reviews=5)
    (folder / "Video_Games_5.json.gz").write_bytes(b"no gzip, which reading it would tell")
    with pytest.raises(
        DataError, match=r"lacks Musical_Instruments_5\.json\.gz, Office_Products_5\.json\.gz"
    ):
        build_source("amazon-6", folder)


def test_taobao_brings_its_vectors_along(tmp_path: Path) -> None:
    data = build_source("taobao", raw.taobao(tmp_path / "raw"))
    assert data.schema.domains == ("D1", "D2", "D3", "D4")
    assert data.schema.vectors["user_id"].shape == (data.schema.ids["user_id"], raw.WIDTH)
    assert data.facts["ctr_ratio"] == [0.22, 0.23, 0.32, 0.23]


def test_the_authors_keep_a_pair_of_two_ratings_twice(tmp_path: Path) -> None:
    folder = raw.amazon(tmp_path / "raw", SMALL, users=8)
    paper, theirs = (build_source("amazon", folder, authors=how) for how in (False, True))
    for domain in (0, 1):
        mine = [(u, i) for u, i, y, _ in rows(paper, domain) if y]
        assert len(mine) == len(set(mine))
        pairs = [(u, i) for u, i, y, _ in rows(theirs, domain) if y]
        assert len(set(pairs)) == len(set(mine)) < len(pairs)


def test_the_authors_draw_for_every_positive_and_split_within_each_user(tmp_path: Path) -> None:
    data = build_source("amazon", raw.amazon(tmp_path / "raw", SMALL, users=40), authors=True)
    for domain, ratio in enumerate(data.facts["ctr_ratio"]):
        found = rows(data, domain)
        items = len({i for _, i, y, _ in found if y})
        for user in {u for u, _, _, _ in found if u > 1}:
            own = [i for u, i, y, _ in found if u == user and y]
            drawn = [(i, part) for u, i, y, part in found if u == user and not y]
            assert len(drawn) == min(int(len(own) / ratio), items - len(set(own)))
            assert not set(own) & {i for i, _ in drawn}
            each = tuple(sum(part == name for _, part in drawn) for name in SPLITS)
            assert each == authors_counts(len(drawn))
        positives = [part for _, _, y, part in found if y]
        assert tuple(positives.count(name) for name in SPLITS) == authors_counts(len(positives))


def test_scikit_learn_rounds_as_the_counts_say() -> None:
    from sklearn.model_selection import train_test_split

    for n in range(2, 60):
        train, rest = train_test_split(np.arange(n), test_size=(1.0 - 0.6), random_state=1)
        val, test = train_test_split(rest, test_size=0.2 / (0.2 + 0.2)) if len(rest) > 1 else ([], rest)
        assert authors_counts(n) == (len(train), len(val), len(test))


def test_a_prepared_folder_takes_no_settings_of_a_build(tmp_path: Path) -> None:
    folder = raw.authors(tmp_path / "split_by_theme_2")
    assert build_source("authors", folder).name == "split_by_theme_2"
    with pytest.raises(ConfigError, match="drawn and split already"):
        build_source("authors", folder, users=0.5)


def test_what_cannot_be_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="Did you mean 'taobao-10'"):
        source("taobao10")
    with pytest.raises(ConfigError, match="--categories of amazon-6"):
        build_source("amazon-6", tmp_path, ["Software"])
    with pytest.raises(ConfigError, match="--download of taobao-10"):
        fetch("taobao-10", tmp_path, None)
    with pytest.raises(ConfigError, match="without categories"):
        fetch("amazon", tmp_path, None)
