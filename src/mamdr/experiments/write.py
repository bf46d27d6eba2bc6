"""An experiment's tables on disk: Markdown, CSV, JSON and a page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from mamdr.experiments.design import Cell, Experiment
from mamdr.experiments.forms import as_csv, as_json, markdown
from mamdr.experiments.page import page
from mamdr.experiments.results import Result
from mamdr.experiments.tables import Summary, summarise
from mamdr.files import atomic_file, write_json


def write(
    experiment: Experiment,
    cells: Sequence[Cell],
    results: Mapping[Cell, Result],
    data: str,
    out: Path,
) -> Summary:
    """Write OUT/NAME.md, .csv, .json and .html; the same bytes for the same results."""
    summary = summarise(experiment, cells, results, data)
    texts = {".md": markdown(summary), ".csv": as_csv(cells, results), ".html": page(summary)}
    for ending, text in texts.items():
        with atomic_file(out / f"{experiment.name}{ending}") as part:
            part.write_text(text, encoding="utf-8")
    write_json(out / f"{experiment.name}.json", as_json(summary))
    return summary
