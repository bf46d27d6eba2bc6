"""The section on single domains: a dot plot of the largest, the spread of the rest, and a table of all."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mamdr.evaluation.report.comparison import Comparison
from mamdr.evaluation.report.curves import legend
from mamdr.evaluation.report.domain_table import domain_table
from mamdr.evaluation.report.dots import Dot, Row, dot_axis, dot_plot, histogram
from mamdr.evaluation.report.extremes import extremes_section
from mamdr.evaluation.report.losers import losers_section
from mamdr.evaluation.report.svg import axis, figure
from mamdr.evaluation.report.text import count, decimal, escape, interval, plural, signed

DRAWN = 50  # domains, fewer when each has many dots
_DOTS = 200
_SAMPLES = "with the samples of each domain"

Ints = NDArray[np.int64]


def domains_section(comparison: Comparison) -> str:
    """Lift per domain between runs, or AUC per domain of a single run."""
    shown, rest = _largest(comparison)
    title, chart = "AUC by domain", _auc_chart(comparison, shown)
    if comparison.lifts:
        title, chart = "Lift by domain", _lift_chart(comparison, shown)
    parts = (
        _spread(comparison, rest),
        losers_section(comparison) if comparison.lifts else "",
        extremes_section(comparison) if len(rest) else "",
        domain_table(comparison),
    )
    return f"""<section aria-labelledby="domains"><h2 id="domains">{title}</h2>
<p>{_introduction(comparison, len(shown))}</p>{chart}
{"".join(parts)}</section>"""


def _introduction(comparison: Comparison, drawn: int) -> str:
    total = len(comparison.baseline.domains)
    which = plural(total, "domain")
    if drawn < total:
        which = f"The {drawn} largest of {which}"
    if not comparison.lifts:
        return f"{which}, from the highest AUC to the lowest; the vertical line is the mean over domains."
    name = f"<bdi>{escape(comparison.baseline.name)}</bdi>"
    return (
        f"{which}: AUC of a run minus AUC of {name}, with 95 % intervals, from the largest lift of "
        f"<bdi>{escape(comparison.leader[1].name)}</bdi> to the smallest. An interval that crosses the "
        "vertical line leaves open which run is better."
    )


def _largest(comparison: Comparison) -> tuple[Ints, Ints]:
    """Ids of the domains drawn one by one, by falling value with n/a last, and of the rest."""
    by_size = np.argsort(-comparison.samples, kind="stable")
    values = comparison.leader[2].estimate if comparison.lifts else comparison.baseline.aucs
    drawn = min(DRAWN, max(10, _DOTS // max(len(comparison.lifts), 1)))
    shown = by_size[:drawn]
    order = np.argsort(np.nan_to_num(-values[shown], nan=np.inf), kind="stable")
    return shown[order], by_size[drawn:]


def _lift_chart(comparison: Comparison, ids: Ints) -> str:
    names, samples = comparison.baseline.domains, comparison.samples
    rows = [Row(names[d], count(samples[d]), _lifts(comparison, d)) for d in ids]
    x = dot_axis(rows, f"AUC minus AUC of {comparison.baseline.name}", relative=True)
    words = f"Lift of each run in {plural(len(rows), 'domain')}; the table below holds the same figures"
    body = dot_plot(rows, x, 0.0, words, len(comparison.lifts))
    runs = legend((i, run) for i, run, _ in comparison.challengers)
    return runs + figure("Lift in AUC", body, _SAMPLES)


def _lifts(comparison: Comparison, domain: int) -> tuple[Dot, ...]:
    dots = []
    name = comparison.baseline.domains[domain]
    for index, run, lift in comparison.challengers:
        value, low, high = lift.of(domain)
        if not np.isnan(value):
            tip = f"{run.name} in {name}: {signed(value)} {interval(low, high)}"
            known = not np.isnan(low)
            dots.append(Dot(index, value, low if known else None, high if known else None, tip))
    return tuple(dots)


def _auc_chart(comparison: Comparison, ids: Ints) -> str:
    run = comparison.baseline
    rows = []
    aucs = run.aucs
    for d in ids:
        dot = Dot(0, float(aucs[d]), None, None, f"{run.domains[d]}: AUC {decimal(aucs[d])}")
        rows.append(Row(run.domains[d], count(comparison.samples[d]), () if np.isnan(aucs[d]) else (dot,)))
    include = () if run.metrics.mean_auc is None else (run.metrics.mean_auc,)
    x = axis((dot.value for row in rows for dot in row.dots), "AUC", include=include)
    words = f"AUC by domain, {plural(len(rows), 'domain')}; the table below holds the same figures"
    return figure("AUC", dot_plot(rows, x, run.metrics.mean_auc, words, 1), _SAMPLES)


def _spread(comparison: Comparison, rest: Ints) -> str:
    """Histograms of the domains that are not drawn one by one, all at one scale."""
    values = [(i, run, lift.estimate[rest]) for i, run, lift in comparison.challengers]
    known = [(i, run, v[~np.isnan(v)]) for i, run, v in values]
    everything = np.concatenate([v for _, _, v in known]) if known else np.zeros(0)
    if not everything.size:
        return ""
    reach = float(np.quantile(np.abs(everything), 0.97))
    x = axis((-reach, reach), "lift in AUC", show=signed, count=4)
    charts = "".join(
        histogram(i, run.name, v, x, f"{_above(v)} of {plural(v.size, 'domain')} above zero")
        for i, run, v in known
    )
    return f"""<h3>The other {plural(len(rest), "domain")}</h3>
<p>How the lift spreads over the domains that are not drawn above; the outer bars hold the rest.</p>
<div class="charts">{charts}</div>"""


def _above(values: NDArray[np.float64]) -> str:
    return f"{100 * float(np.mean(values > 0)):.0f} %" if values.size else "n/a"
