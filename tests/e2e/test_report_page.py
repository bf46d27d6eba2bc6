"""The report in a real browser: silent, alone, readable without its script, and its tables sort, filter and page."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.unit.evaluation.report_runs import make_run, three_runs

from mamdr.evaluation.report import build_report

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
DOMAINS = 120
ABSENT = {"n/a", "none"}


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Headless Chromium; tests skip where it or playwright is absent."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    program = next(filter(None, map(shutil.which, BROWSERS)), None)
    if program is None:
        pytest.skip(f"no browser: none of {', '.join(BROWSERS)} is on the path")
    with playwright.sync_playwright() as started:
        chromium = started.chromium.launch(
            executable_path=program, args=["--no-sandbox", "--disable-background-networking"]
        )
        yield chromium
        chromium.close()


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three runs on 120 domains, the last of which have one class; in one run many lose."""
    names = [f"domain {i:03d}" if i % 7 else f"<img src=x onerror=alert({i})>" for i in range(DOMAINS)]
    sizes = [30 + (i * 37) % 101 for i in range(DOMAINS)]
    ends = (DOMAINS - 2, DOMAINS - 1)
    own = np.arange(DOMAINS) % 4
    shares, rounds = np.where(own == 3, np.nan, own / 3), np.where(own == 2, np.nan, own + 1.0)
    runs = [
        make_run(name, skill, names=names, sizes=sizes, one_class=ends, **more)
        for name, skill, more in (
            ("alternate", 0.5, {}),
            ("dn", 0.3, {"own_rounds": rounds}),
            ("mamdr", 0.8, {"own_rounds": rounds, "shares": shares}),
        )
    ]
    return build_report(runs, out=tmp_path_factory.mktemp("page") / "report.html")


class Visit:
    """A page, and all that it said or asked for."""

    def __init__(self, browser: Any, path: Path, **settings: Any) -> None:
        self.page = browser.new_context(**settings).new_page()
        self.noise: list[str] = []
        self.requests: list[str] = []
        self.page.on("console", lambda message: self.noise.append(message.text))
        self.page.on("pageerror", lambda error: self.noise.append(str(error)))
        self.page.on("dialog", lambda dialog: (self.noise.append(dialog.message), dialog.dismiss()))
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.goto(path.as_uri())

    def column(self, number: int) -> list[str]:
        cells = self.page.locator(f"#domain-table tbody tr > :nth-child({number})")
        return [" ".join(text.split()) for text in cells.all_inner_texts()]

    @property
    def status(self) -> str:
        return self.page.locator("#domain-status").inner_text()

    def sort(self, key: str) -> None:
        self.page.locator(f'#domain-table th[data-sort="{key}"] button').click()


@pytest.fixture
def visit(browser: Any, report: Path) -> Iterator[Visit]:
    visit = Visit(browser, report)
    yield visit
    assert visit.noise == []
    assert visit.requests == [report.as_uri()]
    visit.page.context.close()


def number(text: str) -> float:
    return float(text.removeprefix("▼ loses").split()[0].replace("−", "-").replace(",", ""))


def test_page_is_silent_and_asks_for_nothing(visit: Visit) -> None:
    assert visit.page.title() == "amazon: alternate, dn, mamdr · mamdr report"
    assert visit.status == f"1–50 of {DOMAINS} domains"


def test_script_draws_the_first_page_as_it_was_written(browser: Any, report: Path, visit: Visit) -> None:
    plain = Visit(browser, report, java_script_enabled=False)
    columns = range(1, 12)
    assert [visit.column(i) for i in columns] == [plain.column(i) for i in columns]
    assert len(plain.column(1)) == 50
    assert any("▼ loses" in cell for cell in plain.column(7))
    assert {"none", "0.3333"} < set(plain.column(9))
    assert plain.page.locator("#domain-controls").is_hidden()
    plain.page.context.close()


def test_columns_sort_both_ways_with_absent_values_last(visit: Visit) -> None:
    visit.page.locator("#domain-size").select_option("500")
    assert len(visit.column(1)) == DOMAINS
    sorts = (("samples", 2), ("auc:1", 5), ("lift:0", 7), ("lift:1", 8), ("share:0", 9), ("round:1", 11))
    for key, column in sorts:
        for direction in ("descending", "ascending"):
            if visit.page.locator(f'th[data-sort="{key}"]').get_attribute("aria-sort") != direction:
                visit.sort(key)
            assert visit.page.locator(f'th[data-sort="{key}"]').get_attribute("aria-sort") == direction
            cells = visit.column(column)
            known = [number(cell) for cell in cells if cell not in ABSENT]
            assert 0 < len(known) < DOMAINS or key == "samples"
            assert known == sorted(known, reverse=direction == "descending")
            assert not ABSENT & set(cells[: len(known)])
    visit.sort("names")
    assert visit.column(1) == sorted(visit.column(1), key=str.lower)
    assert visit.page.locator("#domain-table th[aria-sort]").count() == 1


def test_names_filter(visit: Visit) -> None:
    visit.page.locator("#domain-filter").fill("DOMAIN 11")
    visit.page.locator("#domain-status", has_text=f"(all: {DOMAINS})").wait_for()
    assert visit.column(1)
    assert all(name.startswith("domain 11") for name in visit.column(1))
    visit.page.locator("#domain-filter").fill("no such domain")
    visit.page.locator("#domain-status", has_text="0 domains (all").wait_for()
    assert visit.column(1) == []


def test_verdicts_filter(visit: Visit) -> None:
    visit.page.locator("#domain-size").select_option("500")
    visit.page.locator("#domain-verdict").select_option("none")
    assert visit.column(4) == ["n/a", "n/a"]
    rows = visit.page.locator("#domain-table tbody tr")
    for verdict in ("gain", "lose"):
        visit.page.locator("#domain-verdict").select_option(verdict)
        flagged = visit.page.locator(f"#domain-table tbody tr:has(td.{verdict})")
        assert rows.count() == flagged.count() > 0


def test_a_domain_that_loses_is_flagged_by_a_sign_and_by_a_word(visit: Visit) -> None:
    """And no other: what is seen and heard beside the colour is there exactly where the interval is below zero."""
    visit.page.locator("#domain-size").select_option("500")
    below = [
        cell
        for cell in visit.column(7)
        if cell.endswith("]") and cell.rstrip("]").split()[-1].startswith("−")
    ]
    assert 0 < len(below) < DOMAINS
    assert [cell for cell in visit.column(7) if cell.startswith("▼ loses")] == below
    heard = visit.page.locator("#domain-table td.lose .heard").first
    assert heard.bounding_box()["width"] <= 1
    tree = visit.page.locator("#domain-table").aria_snapshot()
    assert tree.count('cell "loses −') == len(below)
    assert 'cell "▼' not in tree


def test_the_table_is_worked_by_keyboard(visit: Visit) -> None:
    visit.page.locator('th[data-sort="share:0"] button').focus()
    visit.page.keyboard.press("Enter")
    assert visit.page.locator('th[data-sort="share:0"]').get_attribute("aria-sort") == "descending"
    visit.page.locator("#domain-verdict").focus()
    visit.page.keyboard.type("loses")
    assert visit.page.locator("#domain-verdict").input_value() == "lose"
    assert "▼ loses" in " ".join(visit.column(7))


def test_ten_thousand_domains_are_found_and_sorted(browser: Any, tmp_path: Path) -> None:
    count = 10_000
    names, own = [f"theme {i:05d}" for i in range(count)], np.arange(count) % 7
    runs = [
        make_run(name, skill, names=names, sizes=[12] * count, one_class=(), **more)
        for name, skill, more in (
            ("alternate", 0.5, {}),
            ("mamdr", 0.3, {"shares": own / 6, "own_rounds": own + 1.0}),
        )
    ]
    visit = Visit(browser, build_report(runs, out=tmp_path / "report.html"))
    assert visit.status == "1–50 of 10,000 domains"
    assert visit.page.locator("tbody tr").count() < 150
    visit.page.locator("#domain-verdict").select_option("lose")
    visit.sort("share:0")
    assert visit.column(7) == ["1"] * 50
    assert all("▼ loses" in cell for cell in visit.column(6))
    visit.page.locator("#domain-filter").fill("theme 09")
    visit.page.locator("#domain-table tbody tr:first-child", has_text="theme 09").wait_for()
    assert all(name.startswith("theme 09") for name in visit.column(1))
    assert visit.noise == []
    visit.page.context.close()


def test_print_holds_the_whole_table(browser: Any, report: Path) -> None:
    """On A4 without its margins (687 pixels), which browsers shrink a page to fit by 4/3 at least."""
    visit = Visit(browser, report, viewport={"width": 687, "height": 1000})
    visit.page.emulate_media(media="print")
    assert visit.page.locator("#domain-controls").is_hidden()
    assert visit.page.locator("#domain-table td.lose", has_text="▼").count() > 0
    assert visit.page.locator("#domain-table").evaluate("table => table.offsetWidth") <= 687 * 4 / 3
    visit.page.context.close()


def test_pages_turn(visit: Visit) -> None:
    first = visit.column(1)
    visit.page.locator("#domain-next").click()
    assert visit.status == f"51–100 of {DOMAINS} domains"
    assert not set(first) & set(visit.column(1))
    visit.page.locator("#domain-next").click()
    assert visit.page.locator("#domain-next").is_disabled()
    visit.page.locator("#domain-previous").click()
    visit.page.locator("#domain-previous").click()
    assert visit.column(1) == first


def test_summary_sorts(visit: Visit) -> None:
    table = visit.page.locator("table.sortable")
    table.locator("th button", has_text="Log loss").click()
    assert table.locator("tbody th").all_inner_texts() == ["dn", "alternate", "mamdr"]
    table.locator("th button", has_text="Log loss").click()
    assert table.locator("tbody th").all_inner_texts() == ["mamdr", "alternate", "dn"]


def test_a_mark_tells_its_value(visit: Visit) -> None:
    visit.page.locator(".dots .mark").first.hover(force=True)
    assert " in " in visit.page.locator("#tip").inner_text()


@pytest.mark.parametrize("width", [320, 390, 768, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_sticks_out_on_any_screen(browser: Any, report: Path, width: int, scheme: str) -> None:
    visit = Visit(browser, report, viewport={"width": width, "height": 800}, color_scheme=scheme)
    assert visit.page.evaluate("document.documentElement.scrollWidth") <= width
    background = visit.page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (int(background.removeprefix("rgb(").split(",")[0]) < 128) == (scheme == "dark")
    visit.page.context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out(browser: Any, tmp_path: Path, scheme: str) -> None:
    """Every text and mark has the contrast that WCAG AA asks for: 4.5 for text, 3 for what is drawn."""
    visit = Visit(browser, build_report(three_runs(), out=tmp_path / "report.html"), color_scheme=scheme)
    ratios = visit.page.evaluate(CONTRAST)
    assert {name: ratio for name, ratio in ratios if ratio < (4.5 if name.startswith("text") else 3)} == {}
    visit.page.context.close()


CONTRAST = """() => {
  const light = (colour) => {
    const parts = colour.match(/[0-9.]+/g).slice(0, 3).map((v) => v / 255);
    const [r, g, b] = parts.map((v) => (v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ground = (node) => {
    for (let at = node; at; at = at.parentElement) {
      const colour = getComputedStyle(at).backgroundColor;
      if (!/rgba\\(0, 0, 0, 0\\)/.test(colour)) return colour;
    }
    return "rgb(255,255,255)";
  };
  const ratio = (a, b) => {
    const [low, high] = [light(a), light(b)].sort((x, y) => x - y);
    return (high + 0.05) / (low + 0.05);
  };
  const found = [];
  for (const node of document.querySelectorAll("p, td, th, dt, dd, h1, h2, h3, .ci, caption, summary, footer, .note"))
    found.push([`text ${node.tagName} ${node.className}`, ratio(getComputedStyle(node).color, ground(node))]);
  for (const node of document.querySelectorAll("svg text"))
    found.push([`text svg ${node.className.baseVal}`, ratio(getComputedStyle(node).fill, ground(node))]);
  for (const node of document.querySelectorAll("use, .curve"))
    found.push([`mark ${node.className.baseVal}`, ratio(getComputedStyle(node).color, ground(node))]);
  return found;
}"""
