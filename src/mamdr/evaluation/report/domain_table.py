"""The table of all domains: its first page as HTML, and every domain as compact JSON for the page's script.

The JSON holds columns, not rows, and whole numbers: AUC, lift and share in ten-thousandths, as the page prints
them, null where there is none. 70,000 domains and three runs take about 7 MB.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import numpy as np

from mamdr.evaluation.report.comparison import Comparison
from mamdr.evaluation.report.own import OWN, Own
from mamdr.evaluation.report.summary import Floats
from mamdr.evaluation.report.tables import cell, lift_cell, row, run_title, table
from mamdr.evaluation.report.text import clean, count, decimal, escape, own, plural

PAGE = 50
_UNIT = 10_000

Values = list[int | None]


def domain_data(comparison: Comparison) -> dict[str, Any]:
    """What the script needs, by column, domains from the largest to the smallest.

    Keys: names, samples, positives [D]; auc: [D] for each run; lift: estimate, low, high and verdict (1 gains,
    -1 loses, 0 open), each [D], for each run but the baseline; share, round: [D] for each run in which domains
    have a part, or a round, of their own. All but the verdicts, the rounds and the counts are ten-thousandths.
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
        **{
            figure.key: [_whole(values[order], figure.unit) for _, _, values in _own(comparison, figure)]
            for figure in OWN
        },
    }


def _own(comparison: Comparison, figure: Own) -> Iterator[tuple[int, str, Floats]]:
    """The runs that have this figure: number on the page, name, values [D]."""
    for i, run in enumerate(comparison.runs):
        values = figure.of(run)
        if values is not None:
            yield i, run.name, values


def _whole(values: Floats, unit: int = _UNIT) -> Values:
    return [None if np.isnan(v) else int(v) for v in np.rint(values * unit)]


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
    if comparison.lifts:
        caption += "; ▼: the run loses there"
    return f"""<h3>All domains</h3>{_controls(comparison)}<noscript><p class="quiet">{more}</p></noscript>
{table(caption, _head(comparison), rows, name="domain-table")}
<script type="application/json" id="domain-data">{embed(data)}</script>"""


def _controls(comparison: Comparison) -> str:
    verdicts = ""
    if comparison.lifts:
        verdicts = """<label>Show <select id="domain-verdict"><option value="all">all domains</option>
<option value="gain">gains in some run</option><option value="lose">loses in some run</option>
<option value="none">n/a</option></select></label>"""
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
    owns = ""
    for figure in OWN:
        columns = [
            _column(f"{figure.key}:{k}", run_title(i, name))
            for k, (i, name, _) in enumerate(_own(comparison, figure))
        ]
        if columns:
            groups += _group(figure.title, len(columns))
            owns += "".join(columns)
    first = '<th rowspan="2" scope="col" data-sort="names"><button type="button">Domain</button></th>'
    second = _column("samples", "Samples", ' rowspan="2" aria-sort="descending"')
    third = _column("positives", "Positives", ' rowspan="2"')
    return f"<tr>{first}{second}{third}{groups}</tr><tr>{aucs}{lifts}{owns}</tr>"


def _column(key: str, title: str, attributes: str = "") -> str:
    button = f'<button type="button">{title}</button>'
    return f'<th scope="col" class="n" data-sort="{key}"{attributes}>{button}</th>'


def _group(title: str, columns: int) -> str:
    return f'<th scope="colgroup" colspan="{columns}">{escape(title)}</th>'


def _row(data: dict[str, Any], i: int) -> str:
    """One domain, written as the script writes it."""
    cells = [cell(count(data["samples"][i])), cell(count(data["positives"][i]))]
    cells += [cell(decimal(_real(column[i]))) for column in data["auc"]]
    for estimate, low, high, verdict in data["lift"]:
        cells.append(lift_cell(_real(estimate[i]), _real(low[i]), _real(high[i]), verdict[i]))
    cells += [cell(own(_real(column[i], figure.unit))) for figure in OWN for column in data[figure.key]]
    return row(f"<bdi>{escape(data['names'][i])}</bdi>", cells)


def _real(value: int | None, unit: int = _UNIT) -> float | None:
    return None if value is None else value / unit
