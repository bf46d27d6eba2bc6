"""The report's page: its figures and structure, and what it does with names, gaps and runs that do not fit."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.unit.evaluation.report_runs import NAMES, SIZES, make_run, three_runs

from mamdr.errors import ConfigError, DataError
from mamdr.evaluation.bootstrap import paired_bootstrap
from mamdr.evaluation.ranking import rank_methods
from mamdr.evaluation.report import RoundRecord, RunSummary, build_report, comparison, report_runs
from mamdr.evaluation.report.calibration import reliability
from mamdr.evaluation.report.comparison import compare
from mamdr.evaluation.report.text import decimal, interval, signed

VOID = {"meta", "link", "input", "br", "hr", "img"}


class Page(HTMLParser):
    """A page's elements, its cells by table, and a check that every element is closed where it should be."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.text = text
        self.stack: list[str] = []
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.tables: list[list[list[str]]] = []
        self.words: list[str] = []
        self.json = ""
        self.feed(text)
        self.close()
        assert not self.stack, self.stack

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {key: value or "" for key, value in attrs}))
        if tag not in VOID:
            self.stack.append(tag)
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in ("td", "th"):
            self.tables[-1][-1].append("")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {key: value or "" for key, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        assert self.stack.pop() == tag, f"{tag} at {self.getpos()}"

    def handle_data(self, data: str) -> None:
        if self.stack and self.stack[-1] == "script":
            if self.elements[-1][1].get("type") == "application/json":
                self.json += data
            return
        if self.stack and self.stack[-1] not in ("style", "title"):
            self.words.append(data)
        if self.tables and {"td", "th"} & set(self.stack) and "title" not in self.stack:
            self.tables[-1][-1][-1] += data

    @property
    def shown(self) -> str:
        return re.sub(r"\s+", " ", "".join(self.words))

    @property
    def data(self) -> dict[str, Any]:
        return json.loads(self.json)

    def row(self, table: int, name: str) -> list[str]:
        return next(row for row in self.tables[table] if row and row[0] == name)


def render(folder: Path, runs: list[RunSummary], baseline: str | None = None, seed: int = 0) -> Page:
    return Page(
        build_report(runs, baseline, out=folder / "report.html", seed=seed).read_text(encoding="utf-8")
    )


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Page:
    return render(tmp_path_factory.mktemp("report"), three_runs())


def test_summary_figures_are_those_of_metrics(page: Page) -> None:
    runs = three_runs()
    ranks = rank_methods({run.name: run.metrics.aucs for run in runs}).ranks
    for run in runs:
        row, m = page.row(0, run.name), run.metrics
        assert row[1] == decimal(m.mean_auc)
        assert row[3] == decimal(ranks[run.name], 2)
        assert row[4:8] == [decimal(v) for v in (m.weighted_auc, m.pooled_auc, m.user_gauc, m.log_loss)]


def test_lift_and_intervals_are_those_of_the_paired_bootstrap(page: Page) -> None:
    base, dn, _ = three_runs()
    lift = paired_bootstrap(NAMES, dn.offsets, dn.labels, dn.probabilities, base.probabilities, seed=0)
    assert lift.mean is not None
    assert page.row(0, "dn")[2] == f"{signed(lift.mean.estimate)} {interval(lift.mean.low, lift.mean.high)}"
    names = page.data["names"]
    estimate, low, high, verdict = page.data["lift"][0]
    for name, expected in lift.domains.items():
        i = names.index(name)
        if expected is None:
            assert (estimate[i], low[i], high[i], verdict[i]) == (None, None, None, 0)
        else:
            shown = [round(v * 10_000) for v in (expected.estimate, expected.low, expected.high)]
            assert [estimate[i], low[i], high[i]] == shown
            assert verdict[i] == (expected.low > 0) - (expected.high < 0)


def test_headline_counts_domains_that_gain_and_lose(page: Page) -> None:
    lift = compare(three_runs()).lifts["mamdr"]
    assert lift.gain > 1
    assert f"Of 4 domains, {lift.gain} gain and {lift.lose} lose." in page.shown
    assert page.row(0, "mamdr")[-1] == f"{lift.gain} / {lift.lose}"


def test_domain_table_and_its_data_hold_the_same_figures_as_metrics(page: Page) -> None:
    runs, data = three_runs(), page.data
    assert data["samples"] == sorted(SIZES, reverse=True)
    for domain in runs[0].metrics.domains:
        i = data["names"].index(domain.name)
        assert (data["samples"][i], data["positives"][i]) == (domain.samples, domain.positives)
        row = page.row(3, domain.name)
        aucs = [run.metrics.aucs[domain.name] for run in runs]
        assert row[1:6] == [str(domain.samples), str(domain.positives), *(decimal(auc) for auc in aucs)]
        assert [column[i] for column in data["auc"]] == [
            None if a is None else round(a * 10_000) for a in aucs
        ]


def test_one_class_domain_is_na_and_counted_nowhere(page: Page) -> None:
    assert page.row(3, "one class")[3:] == ["n/a"] * 5
    assert "Here that is so in 1 of 5 domains." in page.shown


def test_every_name_is_escaped(tmp_path: Path) -> None:
    evil = '"><script>alert(2)</script>'
    runs = [
        make_run(f"{evil}{i}", 0.5 + i / 10, strategy=evil, model=evil, data=evil, stopped_by=evil)
        for i in (1, 2)
    ]
    shown = render(tmp_path, runs)
    scripts = [attributes for tag, attributes in shown.elements if tag == "script"]
    assert scripts == [{"type": "application/json", "id": "domain-data"}, {}]
    assert set(shown.data["names"]) == set(NAMES)
    assert not re.search(r"<script>alert", shown.text)
    assert not any(name.startswith("on") for _, attributes in shown.elements for name in attributes)


def test_odd_characters_are_shown_as_replacements(tmp_path: Path) -> None:
    shown = render(tmp_path, [make_run("dn", names=["\x00a", "\ud800b", "ünï çødé 商品", "\u202ertl", "e"])])
    assert "\ufffda" in shown.data["names"]
    assert "\ufffdb" in shown.data["names"]
    assert "ünï çødé 商品" in shown.shown


def test_page_is_whole_and_needs_nothing_from_outside(page: Page) -> None:
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    for tag, attributes in page.elements:
        target = attributes.get("href", attributes.get("src", ""))
        assert target == "" or target == "data:," or target.removeprefix("#") in ids, (tag, target)
        assert attributes.get("aria-labelledby", ids[0]) in ids
    assert "http://" not in page.text
    assert "https://" not in page.text
    assert "@import" not in page.text
    assert "url(" not in page.text
    policy = next(a["content"] for t, a in page.elements if t == "meta" and "http-equiv" in a)
    assert "default-src 'none'" in policy


def test_page_is_accessible_and_follows_the_reader(page: Page) -> None:
    assert ("html", {"lang": "en"}) in page.elements
    headings = [attributes for tag, attributes in page.elements if tag == "th"]
    assert all(attributes.get("scope") in ("col", "row", "colgroup") for attributes in headings)
    assert sum(tag == "caption" for tag, _ in page.elements) == len(page.tables)
    charts = [
        attributes for tag, attributes in page.elements if "plot" in attributes.get("class", "").split()
    ]
    assert charts
    assert all(attributes["role"] == "img" and attributes["aria-label"] for attributes in charts)
    assert "prefers-color-scheme:dark" in page.text
    assert "@media print" in page.text


def test_runs_table_says_how_each_was_trained(tmp_path: Path) -> None:
    tuned = make_run("tuned", 0.7, finetuned=True, seed=7, best_round=None, rounds=[], version="")
    shown = render(tmp_path, [make_run("plain"), tuned])
    assert shown.row(1, "plain")[1:] == [
        "plain",
        "mlp",
        "1",
        "5",
        "3",
        "no better validation",
        "7.5 s",
        "no",
        "0.1.0",
    ]
    assert shown.row(1, "tuned")[1:] == [
        "tuned",
        "mlp",
        "7",
        "0",
        "n/a",
        "no better validation",
        "n/a",
        "yes",
        "n/a",
    ]
    assert "1 of 2 runs fine-tuned" in shown.shown
    assert "chosen by mean validation AUC" in shown.shown


def test_one_run_has_no_lift_and_no_rank(tmp_path: Path) -> None:
    shown = render(tmp_path, [make_run("only", finetuned=True)])
    assert "Lift" not in shown.shown
    assert "RANK" not in shown.shown
    assert "AUC by domain" in shown.shown
    assert "fine-tuned" in shown.shown
    assert shown.data["lift"] == []


def test_missing_values_are_na_and_break_the_curve(tmp_path: Path) -> None:
    rounds = [
        RoundRecord(1, None, 0.7, 0.60, None),
        RoundRecord(2, 1.0, None, 0.62, 0.5),
        RoundRecord(3, 1.0, 0.5, None, float("nan")),
        RoundRecord(4, 1.0, 0.4, 0.66, 0.5),
        RoundRecord(5, 1.0, 0.3, 0.67, 0.5),
    ]
    shown = render(tmp_path, [make_run("dn", rounds=rounds)])
    curves = [
        attributes["points"] for tag, attributes in shown.elements if attributes.get("class") == "curve r0"
    ]
    assert [len(points.split()) for points in curves] == [2, 2, 3]
    assert "nan" not in shown.shown.lower()
    assert "None" not in shown.shown


def test_no_domain_with_two_classes(tmp_path: Path) -> None:
    runs = [make_run(name, one_class=range(5)) for name in ("a", "b")]
    shown = render(tmp_path, runs)
    assert "no AUC to compare" in shown.shown
    assert shown.row(0, "a")[1] == "n/a"


def test_a_run_without_any_round_or_rows(tmp_path: Path) -> None:
    shown = render(tmp_path, [make_run("empty", sizes=(0, 0, 0, 0, 0), rounds=[])])
    assert "Learning curves" not in shown.shown
    assert shown.row(0, "empty")[1] == "n/a"


def test_baseline_is_alternate_unless_named(tmp_path: Path) -> None:
    runs = three_runs()
    assert compare(runs[::-1]).baseline.name == "alternate"
    assert compare(runs[1:]).baseline.name == "dn"
    assert compare(runs, "mamdr").baseline.name == "mamdr"
    assert "No run has a higher mean AUC than the baseline mamdr" in render(tmp_path, runs, "mamdr").shown
    with pytest.raises(
        ConfigError, match=r"no run is named 'star'; expected a baseline among 'alternate', 'dn', 'mamdr'"
    ):
        compare(runs, "star")


def test_runs_on_different_data_are_an_error_that_names_both() -> None:
    other = make_run("dn", data="ciao", fingerprint="fedcba9876543210")
    with pytest.raises(
        ConfigError, match=r"'alternate' was trained on 'amazon' .* 'dn' was trained on 'ciao'"
    ):
        compare([make_run("alternate"), other])
    with pytest.raises(ConfigError, match="'other' was trained on"):
        compare([make_run("alternate"), make_run("other", names=["v", "w", "x", "y", "z"])])


def test_runs_that_cannot_stand_in_one_table() -> None:
    with pytest.raises(ConfigError, match="no runs"):
        compare([])
    with pytest.raises(ConfigError, match="two runs named 'dn'"):
        compare([make_run("dn"), make_run("dn")])
    with pytest.raises(ConfigError, match="'a' predicts the test split and 'b' the val split"):
        compare([make_run("a"), make_run("b", split="val")])


def test_figures_of_the_validation_split_come_with_a_warning(tmp_path: Path) -> None:
    assert "so they flatter" in render(tmp_path, [make_run("dn", split="val")]).shown


def test_same_runs_and_seed_give_the_same_bytes(tmp_path: Path) -> None:
    first, second = (build_report(three_runs(), out=tmp_path / name, seed=3) for name in ("a.html", "b.html"))
    assert first.read_bytes() == second.read_bytes()
    assert first.read_bytes() != build_report(three_runs(), out=tmp_path / "c.html", seed=4).read_bytes()


def test_a_page_that_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(DataError, match="cannot write"):
        build_report([make_run()], out=tmp_path / "file" / "report.html")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_seventy_thousand_domains_stay_small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(comparison, "REPLICATES", 100)
    count = 70_000
    names = [f"theme {i:05d} of a large market" for i in range(count)]
    sizes = [40] * 2_000 + [1] * (count - 2_000)
    own = {"shares": np.arange(count) % 5 / 4, "own_rounds": np.arange(count) % 30 + 1.0}
    runs = [
        make_run(name, skill, names=names, sizes=sizes, one_class=(), **own)
        for name, skill in (("alternate", 0.4), ("dn", 0.6), ("mamdr", 0.3))
    ]
    out = build_report(runs, out=tmp_path / "report.html")
    assert out.stat().st_size < 15_000_000
    shown = Page(out.read_text(encoding="utf-8"))
    assert len(shown.data["names"]) == count
    assert sum(attributes.get("class") == "name" for _, attributes in shown.elements) == 50
    losers, worst, best, every = shown.tables[3:7]
    assert [line[2] for line in losers[1:]] == ["dn"] * 10 + ["mamdr"] * 10
    assert len(worst) == len(best) == 1 + 10
    lifts = [lift_of(line[1]) for line in (*worst[1:], *best[:0:-1])]
    assert lifts == sorted(lifts)
    assert len(every) == 2 + 50
    assert "The other 69,950 domains" in shown.shown


def lift_of(cell: str) -> float:
    """The lift in a cell, which a flag may stand before and an interval behind."""
    return float(cell.removeprefix("▼ loses").split()[0].replace("−", "-"))


def flagged(page: Page, table: int) -> set[str]:
    return {row[0] for row in page.tables[table] if any("▼ loses" in cell for cell in row)}


def test_domains_that_lose_and_only_those_are_flagged(tmp_path: Path) -> None:
    names = [f"domain {i:02d}" for i in range(40)]
    sizes = [40 + 5 * i for i in range(40)]
    runs = [
        make_run(name, skill, names=names, sizes=sizes, one_class=(3,))
        for name, skill in (("alternate", 0.5), ("dn", 0.3))
    ]
    lift = compare(runs).lifts["dn"]
    below = {names[d] for d in np.flatnonzero(lift.high < 0)}
    negative = {names[d] for d in np.flatnonzero(lift.estimate < 0)}
    assert below
    assert below < negative, "a lift below zero whose interval is not is what may not be flagged"
    shown = render(tmp_path, runs)
    losers, every = 3, 4
    assert flagged(shown, every) == below
    assert (lift.lose, lift.known) == (len(below), 39)
    listed = [row[0] for row in shown.tables[losers][1:]]
    assert listed == [names[d] for d in np.argsort(lift.estimate) if names[d] in below][:10]
    assert flagged(shown, losers) == set(listed)
    assert f"those where it lies below zero: {lift.lose} in dn." in shown.shown
    figures = dict(zip(shown.tables[losers][0], shown.row(losers, listed[0]), strict=True))
    first = names.index(listed[0])
    assert figures["AUC of alternate"] == decimal(runs[0].aucs[first])
    assert figures["AUC"] == decimal(runs[1].aucs[first])
    assert figures["Samples"] == str(sizes[first])


def test_where_no_domain_loses_none_is_flagged(tmp_path: Path) -> None:
    runs = [
        make_run("alternate", 0.4),
        make_run("again", 0.4, probabilities=make_run("alternate", 0.4).probabilities),
    ]
    shown = render(tmp_path, runs)
    assert "those where it lies below zero: 0 in again." in shown.shown
    assert not any(flagged(shown, table) for table in range(len(shown.tables)))
    assert "Share λ" not in shown.shown
    assert "Own round" not in shown.shown


def test_two_rows_have_a_lift_and_no_interval(tmp_path: Path) -> None:
    """One positive and one negative: each draw is the same, so what looks like an interval is a point."""
    names = [f"pair {i}" for i in range(200)]
    runs = [make_run(name, names=names, sizes=[2] * 200, one_class=()) for name in ("alternate", "dn")]
    lift = compare(runs).lifts["dn"]
    assert (lift.estimate == -1).any(), "only pairs that were right before and are wrong now test anything"
    assert (lift.known, lift.lose, lift.gain) == (0, 0, 0)
    shown = render(tmp_path, runs)
    assert not flagged(shown, len(shown.tables) - 2)
    assert shown.data["lift"][0][1] == [None] * 200
    name = names[int(np.flatnonzero(lift.estimate == -1)[0])]
    assert any(row[0] == name and "−1.0000 n/a" in row for table in shown.tables for row in table if row)


def test_each_run_shows_what_serves_a_domain(tmp_path: Path) -> None:
    nan = float("nan")
    shares, rounds = np.array([0.0, 0.5, 1.0, nan, 0.3333]), np.array([3, 12, nan, 1, 2])
    runs = [
        make_run("alternate", 0.4),
        make_run("dn", 0.6, own_rounds=rounds[::-1]),
        make_run("mamdr", 0.5, shares=shares, own_rounds=rounds),
    ]
    shown = render(tmp_path, runs)
    assert shown.tables[-2][0][-2:] == ["Share λ", "Own round"]
    assert shown.tables[-2][1][-3:] == ["mamdr", "dn", "mamdr"]
    assert [shown.row(-2, name)[-3:] for name in NAMES] == [
        ["0", "2", "3"],
        ["0.5", "1", "12"],
        ["1", "none", "none"],
        ["none", "12", "1"],
        ["0.3333", "3", "2"],
    ]
    order = [NAMES.index(name) for name in shown.data["names"]]
    assert shown.data["share"] == [[[0, 5000, 10_000, None, 3333][d] for d in order]]
    assert shown.data["round"][1] == [[3, 12, None, 1, 2][d] for d in order]
    assert "Chosen on validation where train.shares says so" in shown.shown


def test_many_runs_get_markers_of_their_own(tmp_path: Path) -> None:
    shown = render(tmp_path, [make_run(f"run {i}", 0.3 + i / 20) for i in range(10)])
    looks = {(a["class"], a["href"]) for t, a in shown.elements if t == "use" and a["class"].startswith("r")}
    assert len(looks) == 10


def test_bins_hold_every_row_once() -> None:
    probabilities = np.linspace(0.01, 0.99, 103)
    bins = reliability((probabilities > 0.5).astype(np.float32), probabilities)
    assert int(bins.rows.sum()) == 103
    assert np.all(np.diff(bins.predicted) > 0)
    assert np.all((bins.low <= bins.observed) & (bins.observed <= bins.high))
    assert reliability(np.zeros(0), np.zeros(0)).error is None


def test_a_run_named_twice_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="named twice"):
        report_runs([tmp_path, tmp_path])
