"""The domains that lose: how many in each run, and which the worst are."""

from __future__ import annotations

from collections.abc import Iterator

from mamdr.evaluation.report.comparison import Comparison
from mamdr.evaluation.report.own import own_cells, own_columns
from mamdr.evaluation.report.tables import Column, cell, heading, lift_cell, row, run_title, table
from mamdr.evaluation.report.text import count, decimal, escape, plural

SHOWN = 10  # of each run


def losers_section(comparison: Comparison) -> str:
    """How many domains lose in each run, and the lowest lifts of those; for runs that are compared."""
    told = ", ".join(
        f"{count(lift.lose)} in <bdi>{escape(run.name)}</bdi>" for _, run, lift in comparison.challengers
    )
    known = comparison.leader[2].known  # the same in each run: of the same rows
    chance = ""
    if any(lift.lose for lift in comparison.lifts.values()):
        chance = " Where two runs do not differ at all, about one domain in 40 is among them by chance."
    return f"""<h3>Domains that lose</h3>
<p>Of {plural(known, "domain")} that have an interval, those where it lies below zero: {told}.{chance}</p>
{_table(comparison)}"""


def _table(comparison: Comparison) -> str:
    rows = list(_rows(comparison))
    if not rows:
        return ""
    left_out = sum(max(0, lift.lose - SHOWN) for lift in comparison.lifts.values())
    caption = "Lowest lift first" if not left_out else f"The {SHOWN} lowest lifts of each run"
    base = comparison.baseline.name
    columns = [
        Column("Domain", number=False),
        Column("Lift, 95 % interval"),
        Column("Run", number=False),
        *map(Column, ("AUC", f"AUC of {base}", "Samples", "Positives")),
        *own_columns(comparison.runs[1:]),
    ]
    return table(caption, heading(columns), rows)


def _rows(comparison: Comparison) -> Iterator[str]:
    domains = comparison.baseline.metrics.domains
    for index, run, lift in comparison.challengers:
        for d in lift.losers(SHOWN):
            cells = [
                lift_cell(*lift.of(d), -1),
                f"<td>{run_title(index, run.name)}</td>",
                cell(decimal(run.metrics.domains[d].auc)),
                cell(decimal(domains[d].auc)),
                cell(count(domains[d].samples)),
                cell(count(domains[d].positives)),
                *own_cells(comparison.runs[1:], run, d),
            ]
            yield row(f"<bdi>{escape(domains[d].name)}</bdi>", cells)
