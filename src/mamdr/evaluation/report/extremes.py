"""The domains that came out worst and best, where there are too many to draw one by one."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mamdr.evaluation.report.comparison import Comparison
from mamdr.evaluation.report.tables import Column, cell, heading, row, table
from mamdr.evaluation.report.text import count, decimal, escape, plural, signed

SHOWN = 10  # at each end


def extremes_section(comparison: Comparison) -> str:
    """Two tables, by lift where runs are compared, by AUC where there is one run; nothing for few domains."""
    run = comparison.leader[1] if comparison.lifts else comparison.baseline
    values = comparison.leader[2].estimate if comparison.lifts else run.aucs
    known = np.flatnonzero(~np.isnan(values))
    if len(known) <= 2 * SHOWN:
        return ""
    order = known[np.argsort(values[known], kind="stable")]
    what = "lift in AUC" if comparison.lifts else "AUC"
    tables = (
        _table(comparison, f"Lowest {what}", values, order[:SHOWN]),
        _table(comparison, f"Highest {what}", values, order[::-1][:SHOWN]),
    )
    return f"""<h3>Worst and best</h3>
<p>By {what} of <bdi>{escape(run.name)}</bdi>, of {plural(len(known), "domain")} that have an AUC. With few rows a
domain's figure is mostly chance: see its samples.</p>{"".join(tables)}"""


def _table(comparison: Comparison, caption: str, values: NDArray[np.float64], ids: NDArray[np.int64]) -> str:
    titles = ("Domain", "Samples", "Positives", "Lift" if comparison.lifts else "AUC")
    show = signed if comparison.lifts else decimal
    domains = comparison.baseline.metrics.domains
    rows = (
        row(
            f"<bdi>{escape(domains[d].name)}</bdi>",
            [
                cell(count(domains[d].samples)),
                cell(count(domains[d].positives)),
                cell(show(float(values[d]))),
            ],
        )
        for d in ids
    )
    return table(caption, heading([Column(title, title != "Domain") for title in titles]), rows)
