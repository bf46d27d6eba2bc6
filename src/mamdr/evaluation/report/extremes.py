"""The domains that came out worst and best, where there are too many to draw one by one."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mamdr.evaluation.report.comparison import Comparison
from mamdr.evaluation.report.own import own_cells, own_columns
from mamdr.evaluation.report.summary import RunSummary
from mamdr.evaluation.report.tables import Column, cell, heading, lift_cell, row, table
from mamdr.evaluation.report.text import count, decimal, escape, plural

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
        _table(comparison, run, f"Lowest {what}", order[:SHOWN]),
        _table(comparison, run, f"Highest {what}", order[::-1][:SHOWN]),
    )
    return f"""<h3>Worst and best</h3>
<p>By {what} of <bdi>{escape(run.name)}</bdi>, of {plural(len(known), "domain")} that have an AUC. With few rows a
domain's figure is mostly chance: see its samples.</p>{"".join(tables)}"""


def _table(comparison: Comparison, run: RunSummary, caption: str, ids: NDArray[np.int64]) -> str:
    what = "Lift, 95 % interval" if comparison.lifts else "AUC"
    columns = [
        Column("Domain", number=False),
        *map(Column, (what, "Samples", "Positives")),
        *own_columns([run]),
    ]
    domains = comparison.baseline.metrics.domains
    rows = (
        row(
            f"<bdi>{escape(domains[d].name)}</bdi>",
            [
                _figure(comparison, d),
                cell(count(domains[d].samples)),
                cell(count(domains[d].positives)),
                *own_cells([run], run, d),
            ],
        )
        for d in ids
    )
    return table(caption, heading(columns), rows)


def _figure(comparison: Comparison, domain: int) -> str:
    """The lift of the best run, or the AUC of the only one."""
    if not comparison.lifts:
        return cell(decimal(comparison.baseline.metrics.domains[domain].auc))
    lift = comparison.leader[2]
    return lift_cell(*lift.of(domain), int(lift.verdicts[domain]))
