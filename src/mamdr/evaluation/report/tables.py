"""Tables as HTML: one shape for all of them, so that every one scrolls, prints and reads alike."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from mamdr.evaluation.report.svg import chip
from mamdr.evaluation.report.text import NOT_AVAILABLE, escape, interval, missing, signed

FLAG = '<span aria-hidden="true">▼</span><span class="heard"> loses</span> '
"""Stands before a lift whose interval lies below zero: a sign for the eye, a word for a screen reader."""


class Column(NamedTuple):
    """A heading, and whether numbers stand below it."""

    title: str
    number: bool = True


def table(caption: str, head: str, rows: Iterable[str], *, name: str = "", css: str = "") -> str:
    """A table in a box that scrolls sideways when it is too wide; `head` and `rows` are HTML."""
    attributes = (f' id="{name}"' if name else "") + (f' class="{css}"' if css else "")
    return f"""<div class="scroll" tabindex="0" role="region" aria-label="{escape(caption)}">
<table{attributes}>
<caption><span>{escape(caption)}</span></caption>
<thead>{head}</thead>
<tbody>{"".join(rows)}</tbody></table></div>"""


def heading(columns: Sequence[Column], *, sortable: bool = False) -> str:
    """One line of headings; those of a sortable table are buttons."""
    shown = _button if sortable else escape
    cells = (f'<th scope="col"{_css(column.number)}>{shown(column.title)}</th>' for column in columns)
    return f"<tr>{''.join(cells)}</tr>"


def _button(title: str) -> str:
    return f'<button type="button">{escape(title)}</button>'


def row(title: str, cells: Iterable[str]) -> str:
    """One line: its heading, which is HTML, and its cells."""
    return f'<tr><th scope="row">{title}</th>{"".join(cells)}</tr>'


def cell(text: str, *, number: bool = True) -> str:
    """One value, escaped."""
    return f"<td{_css(number)}>{escape(text)}</td>"


def lift_cell(value: float | None, low: float | None, high: float | None, verdict: int) -> str:
    """A domain's lift and its interval; one that loses (verdict -1) is flagged, not by colour alone."""
    if missing(value):
        return cell(NOT_AVAILABLE)
    css, flag = {1: (" gain", ""), -1: (" lose", FLAG)}.get(verdict, ("", ""))
    return f'<td class="n{css}">{flag}{signed(value)} <span class="ci">{interval(low, high)}</span></td>'


def run_title(index: int, name: str) -> str:
    """A run's marker and name, as HTML."""
    return f'<span class="run">{chip(index)}<bdi>{escape(name)}</bdi></span>'


def _css(number: bool) -> str:
    return ' class="n"' if number else ""
