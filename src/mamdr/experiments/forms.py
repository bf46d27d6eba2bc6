"""An experiment's summary as text: Markdown, CSV, and an object for JSON."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from mamdr.evaluation.spread import Spread
from mamdr.experiments.design import Cell
from mamdr.experiments.results import Result
from mamdr.experiments.tables import Entry, Summary, aucs_of


def markdown(summary: Summary) -> str:
    """The table as Markdown: for "methods" a line a method, for "domains" one a domain, for "grid" rows by columns."""
    heads, lines = cells_of(summary)
    rule = ["---"] * len(heads)
    return "\n".join("| " + " | ".join(line) + " |" for line in (heads, rule, *lines)) + "\n"


def cells_of(summary: Summary) -> tuple[list[str], list[list[str]]]:
    """Headings, and lines of text, of the experiment's view."""
    if summary.experiment.view == "grid":
        return _grid(summary)
    return _domains(summary) if summary.experiment.view == "domains" else _methods(summary)


def _methods(summary: Summary) -> tuple[list[str], list[list[str]]]:
    heads = ["method", "test mean AUC", "RANK", f"lift over {summary.base}", "least lift"]
    heads += ["val", "round", "s a round", "parameters", "seeds"]
    paper = any(entry.paper is not None for entry in summary.entries)
    heads += ["paper"] if paper else []
    lines = []
    for name, label in summary.rows:
        for entry in (e for e in summary.entries if e.row == name):
            line = [
                label + (" (fine-tuned)" if entry.finetuned else ""),
                _text(entry),
                _figure(entry.rank, "{:.2f}"),
            ]
            line += [str(entry.lift) if entry.lift else "", _figure(entry.least, "{:+.4f}")]
            line += [_figure(entry.val), _figure(entry.round, "{:g}"), _figure(entry.seconds, "{:.2f}")]
            line += [_figure(entry.parameters, "{:,}"), str(len(entry.seeds))]
            lines.append(line + ([_figure(entry.paper)] if paper else []))
    return heads, lines


def _domains(summary: Summary) -> tuple[list[str], list[list[str]]]:
    entries = [
        (label, entry) for name, label in summary.rows for entry in summary.entries if entry.row == name
    ]
    above = [(label, entry) for label, entry in entries if entry.lift]
    heads = ["domain", "test rows", *(label for label, _ in entries)]
    heads += [f"{label} − {summary.base}" for label, _ in above]
    lines = [
        [
            name,
            f"{summary.samples[name]:,}",
            *(_figure(entry.domains.get(name)) for _, entry in entries),
            *(_lift(entry.domain_lifts.get(name)) for _, entry in above),
        ]
        for name in summary.shown_domains
    ]
    means = [*(_text(entry) for _, entry in entries), *(_lift(entry.lift) for _, entry in above)]
    return heads, [*lines, ["mean of all", "", *means]]


def _lift(lift: Spread | None) -> str:
    """A lift with its interval; one whose interval lies below zero says so."""
    if lift is None:
        return ""
    loses = lift.half is not None and lift.mean + lift.half < 0
    half = "" if lift.half is None else f" ± {lift.half:.4f}"
    return f"{lift.mean:+.4f}{half}" + (" loses" if loses else "")


def _grid(summary: Summary) -> tuple[list[str], list[list[str]]]:
    heads = ["", *(label for _, label in summary.columns), f"s a round ({summary.base})", "parameters"]
    lines = []
    for name, label in summary.rows:
        entries = [summary.entry(name, column) for column, _ in summary.columns]
        base = summary.entry(name, summary.experiment.baseline)
        cost = [_figure(base.seconds, "{:.2f}"), _figure(base.parameters, "{:,}")] if base else ["", ""]
        lines.append([label, *(_text(entry) if entry else "" for entry in entries), *cost])
        if any(entry and entry.paper is not None for entry in entries):
            papers = [_figure(entry.paper) if entry else "" for entry in entries]
            lines.append([f"{label}, paper", *papers, "", ""])
    return heads, lines


def _text(entry: Entry) -> str:
    if entry.test is None:
        return "diverged"
    failed = f" ({len(entry.failed)} diverged)" if entry.failed else ""
    return f"{entry.test}{failed}"


def _figure(value: float | None, form: str = "{:.4f}") -> str:
    return "" if value is None else form.format(value)


def as_json(summary: Summary) -> dict[str, Any]:
    """Everything that the tables show, as one object."""
    return {
        "experiment": summary.experiment.name,
        "title": summary.experiment.title,
        "data": summary.data,
        "baseline": summary.experiment.baseline,
        "ranked": list(summary.ranked),
        "missing": summary.missing,
        "entries": [
            {
                **vars(entry),
                "test": _spread(entry.test),
                "lift": _spread(entry.lift),
                "domain_lifts": {name: _spread(lift) for name, lift in entry.domain_lifts.items()},
            }
            for entry in summary.entries
        ],
    }


def _spread(found: Spread | None) -> dict[str, Any] | None:
    return None if found is None else found._asdict()


def as_csv(cells: Sequence[Cell], results: Mapping[Cell, Result]) -> str:
    """A line for each cell and domain, and one for each cell's mean (domain "mean")."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["row", "column", "seed", "domain", "test_auc", "val_mean_auc", "round"])
    writer.writerows(_lines(cells, results))
    return text.getvalue()


def _lines(cells: Sequence[Cell], results: Mapping[Cell, Result]) -> Iterator[list[Any]]:
    for cell in cells:
        result = results.get(cell)
        if result is None or "test" not in result:
            continue
        about = [cell.row, cell.column, cell.seed]
        yield [*about, "mean", result["test"]["mean_auc"], result["val"], result["round"]]
        for name, auc in aucs_of(result).items():
            yield [*about, name, "" if auc is None else auc, "", ""]
