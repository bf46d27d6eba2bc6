"""The paper's tables of data, held against their own arithmetic: what does not add up is a slip we name."""

from __future__ import annotations

import pytest

from mamdr.data.catalog import SOURCES
from mamdr.data.negatives import paper_ratios
from mamdr.data.published import Published, published

BENCHMARKS = ("amazon-6", "amazon-13", "taobao-10", "taobao-20", "taobao-30")


def of(name: str) -> Published:
    found = published(name)
    assert found is not None
    return found


def sizes(name: str) -> dict[str, int]:
    """Samples of each domain, with what Table III must mean for Video_Games."""
    found = {domain: row.samples for domain, row in of(name).domains.items()}
    return found | ({"Video_Games": 2_200_000} if name == "amazon-13" else {})


@pytest.mark.parametrize("name", BENCHMARKS)
def test_domains_add_up_to_table_1(name: str) -> None:
    paper, total = of(name), sum(sizes(name).values())
    assert total == pytest.approx(paper.samples, rel=3e-3 if of(name).remarks else 1e-12)
    assert abs(paper.samples / len(paper.domains) - paper.samples_per_domain) < 1


@pytest.mark.parametrize("name", ["amazon-6", "amazon-13", "taobao-30"])
def test_percentages_are_those_of_the_samples(name: str) -> None:
    found, paper = sizes(name), of(name).domains
    for domain, samples in found.items():
        assert 100 * samples / sum(found.values()) == pytest.approx(paper[domain].percentage, abs=0.011)
    assert sum(row.percentage or 0 for row in paper.values()) == pytest.approx(100, abs=0.02)


def test_video_games_contradicts_its_own_percentage() -> None:
    row = of("amazon-13").domains["Video_Games"]
    assert row.percentage == 10.78
    assert 100 * row.samples / of("amazon-13").samples == pytest.approx(2.25, abs=0.01)


@pytest.mark.parametrize("name", BENCHMARKS)
def test_ratios_are_the_sequence_from_its_start(name: str) -> None:
    ratios = [row.ctr_ratio for row in of(name).domains.values()]
    assert ratios == paper_ratios(len(ratios))


def test_names_are_the_builders() -> None:
    for name in ("amazon-6", "amazon-13"):
        assert tuple(of(name).domains) == SOURCES[name].categories
    assert list(of("taobao-20").domains) == [f"D{number}" for number in range(1, 21)]


def test_other_data_have_none() -> None:
    assert published("amazon") is None
    assert of("taobao-online").domains == {}
    assert of("taobao-online").samples == 489_852_853
