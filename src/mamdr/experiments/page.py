"""An experiment's table as one self-contained HTML page, with a plot of what was found for each row."""

from __future__ import annotations

from mamdr import __version__
from mamdr.evaluation.report.dots import Dot, Row, dot_axis, dot_plot
from mamdr.evaluation.report.page import asset, policy
from mamdr.evaluation.report.svg import chip, definitions, figure
from mamdr.evaluation.report.tables import Column, cell, heading, row, table
from mamdr.evaluation.report.text import decimal, escape, plural, signed
from mamdr.experiments.forms import cells_of
from mamdr.experiments.tables import Entry, Summary


def page(summary: Summary) -> str:
    """The whole document; the same bytes for the same results."""
    experiment = summary.experiment
    title = f"{experiment.name} on {summary.data}"
    seeds = max((len(entry.seeds) for entry in summary.entries), default=0)
    facts = " · ".join(
        (
            plural(len(summary.entries), "method"),
            plural(seeds, "seed"),
            plural(len(summary.samples), "domain"),
        )
    )
    missing = f" · {plural(summary.missing, 'cell')} not trained yet" if summary.missing else ""
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta http-equiv="Content-Security-Policy" content="{policy("")}">
<title>{escape(title)} · mamdr experiment</title>
<link rel="icon" href="data:,">
<style>{asset("report.css")}</style>
</head>
<body>
{definitions()}
<main>
<header><p class="kicker">mamdr experiment {escape(experiment.name)}</p><h1><bdi>{escape(summary.data)}</bdi></h1>
<p class="facts">{escape(facts + missing)}</p><p class="headline">{escape(experiment.title)}</p></header>
<section aria-labelledby="table"><h2 id="table">Test AUC</h2>{_table(summary)}</section>
<section aria-labelledby="plot"><h2 id="plot">Mean over domains</h2>{_plots(summary)}</section>
{_notes(summary)}
</main>
<footer>Written by mamdr {escape(__version__)}. This page loads nothing from a network.</footer>
</body>
</html>
"""


def _table(summary: Summary) -> str:
    heads, lines = cells_of(summary)
    columns = [Column(heads[0] or "model", number=False), *(Column(name) for name in heads[1:])]
    rows = (row(escape(line[0]), (cell(text) for text in line[1:])) for line in lines)
    return table(summary.experiment.title, heading(columns), rows)


def _plots(summary: Summary) -> str:
    """Each row's mean AUC with its interval, a dot a column; and the lifts over the baseline."""
    return _plot(summary, lift=False) + _plot(summary, lift=True)


def _plot(summary: Summary, *, lift: bool) -> str:
    columns = [name for name, _ in summary.columns]
    rows = []
    for name, label in summary.rows:
        entries = [(columns.index(e.column), e) for e in summary.entries if e.row == name]
        dots = tuple(dot for index, entry in entries if (dot := _dot(summary, index, entry, lift)))
        if dots:
            rows.append(Row(label, "", dots))
    if not rows:
        return ""
    what = f"lift over {summary.base}" if lift else "test mean AUC"
    x = dot_axis(rows, what, relative=lift)
    drawn = dot_plot(rows, x, 0.0 if lift else None, what, max(len(row.dots) for row in rows))
    return figure(what, drawn, _legend(summary))


def _dot(summary: Summary, index: int, entry: Entry, lift: bool) -> Dot | None:
    found = entry.lift if lift else entry.test
    if found is None:
        return None
    low = None if found.half is None else found.mean - found.half
    high = None if found.half is None else found.mean + found.half
    shown = signed(found.mean) if lift else decimal(found.mean)
    label = dict(summary.columns).get(entry.column, "")
    return Dot(index, found.mean, low, high, f"{entry.row} {label}: {shown}".replace("  ", " "))


def _legend(summary: Summary) -> str:
    return ", ".join(f"{number + 1}: {label}" for number, (_, label) in enumerate(summary.columns) if label)


def _notes(summary: Summary) -> str:
    ranked = ", ".join(summary.ranked) or "none"
    chips = "".join(
        f'<li class="run">{chip(number)}<bdi>{escape(label)}</bdi></li>'
        for number, (_, label) in enumerate(summary.columns)
        if label
    )
    notes = [
        (
            "Intervals",
            "Student's 95 % interval over seeds of training; the data and their split are the same.",
        ),
        ("Lift", "Taken between runs of the same seed."),
        ("Chosen by", "Validation data choose the round; test is read once, after training."),
        (
            "RANK",
            f"A method's place by AUC in each domain, averaged over domains and seeds, among: {ranked}.",
        ),
    ]
    terms = "".join(f"<dt>{escape(term)}</dt><dd>{escape(text)}</dd>" for term, text in notes)
    shown = f'<ul class="legend">{chips}</ul>' if chips else ""
    title = '<h2 id="notes">How to read the figures</h2>'
    return f'<section aria-labelledby="notes">{title}{shown}<dl>{terms}</dl></section>'
