"""The table of all domains: its first page as HTML, and every domain as compact JSON for the page's script.

The JSON holds columns, not rows, and whole numbers: AUC and lift in ten-thousandths, as the page prints them,
null where there is none. 70,000 domains and three runs take about 5 MB.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mamdr.evaluation.report.comparison import Comparison
from mamdr.evaluation.report.tables import cell, row, run_title, table
from mamdr.evaluation.report.text import clean, count, decimal, escape, interval, plural, signed

PAGE = 50
_UNIT = 10_000

Values = list[int | None]


def domain_data(comparison: Comparison) -> dict[str, Any]:
    """What the script needs, by column, domains from the largest to the smallest.

    Keys: names, samples, positives [D]; auc: [D] for each run; lift: estimate, low, high and verdict (1
    clearly better, -1 clearly worse, 0 open), each [D], for each run but the baseline. All but the verdicts
    and the counts are ten-thousandths.
    """
    order = np.argsort(-comparison.samples, kind="stable")
    domains = comparison.baseline.metrics.domains
    return {
        "names": [clean(domains[d].name) for d in order],
        "samples": [domains[d].samples for d in order],
        "positives": [domains[d].positives for d in order],
        "auc": [_whole(run.aucs[order]) for run in comparison.runs],
        "lift": [
            [
                *(_whole(column[order]) for column in (lift.estimate, lift.low, lift.high)),
                lift.verdicts[order].tolist(),
            ]
            for _, _, lift in comparison.challengers
        ],
    }


def _whole(values: NDArray[np.float64]) -> Values:
    return [None if np.isnan(v) else int(v) for v in np.rint(values * _UNIT)]


def embed(value: object) -> str:
    """JSON that may stand inside a script element, whatever names it holds.

    >>> embed({"name": "</script>"})
    '{"name":"\\\\u003c/script\\\\u003e"}'
    """
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def domain_table(comparison: Comparison) -> str:
    """Controls (shown by the script), the first page, and the data."""
    data = domain_data(comparison)
    total = len(data["names"])
    rows = (_row(data, i) for i in range(min(PAGE, total)))
    more = ""
    if total > PAGE:
        more = f"The {PAGE} largest of {plural(total, 'domain')}; the others are shown by JavaScript."
    caption = "Largest domain first; n/a: a domain with one class has no AUC"
    return f"""<h3>All domains</h3>{_controls(comparison)}<noscript><p class="quiet">{more}</p></noscript>
{table(caption, _head(comparison), rows, name="domain-table")}
<script type="application/json" id="domain-data">{embed(data)}</script>"""


def _controls(comparison: Comparison) -> str:
    verdicts = ""
    if comparison.lifts:
        verdicts = """<label>Show <select id="domain-verdict"><option value="all">all domains</option>
<option value="better">clearly better in some run</option>
<option value="worse">clearly worse in some run</option><option value="none">n/a</option></select></label>"""
    return f"""<div class="controls" id="domain-controls" hidden>
<label>Filter <input type="search" id="domain-filter" placeholder="part of a name" autocomplete="off"></label>
{verdicts}
<label>Rows <select id="domain-size"><option>{PAGE}</option><option>100</option><option>500</option></select>
</label>
<span class="pager"><button type="button" id="domain-previous" aria-label="Previous page">‹</button>
<span id="domain-status" role="status"></span>
<button type="button" id="domain-next" aria-label="Next page">›</button></span></div>"""


def _head(comparison: Comparison) -> str:
    runs = comparison.runs
    aucs = "".join(_column(f"auc:{i}", run_title(i, run.name)) for i, run in enumerate(runs))
    lifts = "".join(
        _column(f"lift:{k}", run_title(i, run.name)) for k, (i, run, _) in enumerate(comparison.challengers)
    )
    groups = _group("AUC", len(runs))
    if lifts:
        groups += _group(f"Lift against {comparison.baseline.name}, 95 % interval", len(runs) - 1)
    first = '<th rowspan="2" scope="col" data-sort="names"><button type="button">Domain</button></th>'
    second = _column("samples", "Samples", ' rowspan="2" aria-sort="descending"')
    third = _column("positives", "Positives", ' rowspan="2"')
    return f"<tr>{first}{second}{third}{groups}</tr><tr>{aucs}{lifts}</tr>"


def _column(key: str, title: str, attributes: str = "") -> str:
    button = f'<button type="button">{title}</button>'
    return f'<th scope="col" class="n" data-sort="{key}"{attributes}>{button}</th>'


def _group(title: str, columns: int) -> str:
    return f'<th scope="colgroup" colspan="{columns}">{escape(title)}</th>'


def _row(data: dict[str, Any], i: int) -> str:
    """One domain, written as the script writes it."""
    cells = [cell(count(data["samples"][i])), cell(count(data["positives"][i]))]
    cells += [cell(decimal(_real(column[i]))) for column in data["auc"]]
    cells += [_lift(verdict[i], *(_real(c[i]) for c in columns)) for *columns, verdict in data["lift"]]
    return row(f"<bdi>{escape(data['names'][i])}</bdi>", cells)


def _real(value: int | None) -> float | None:
    return None if value is None else value / _UNIT


def _lift(verdict: int, value: float | None, low: float | None, high: float | None) -> str:
    if value is None:
        return '<td class="n">n/a</td>'
    css = {1: " better", -1: " worse"}.get(verdict, "")
    return f'<td class="n{css}">{signed(value)} <span class="ci">{interval(low, high)}</span></td>'
