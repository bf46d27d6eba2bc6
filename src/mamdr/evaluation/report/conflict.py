"""The section on conflict between domains: a heat map, and its course over the rounds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from mamdr.evaluation.conflict import Conflict
from mamdr.evaluation.report.svg import (
    Axis,
    axis,
    figure,
    mark,
    percent,
    plot,
    polyline,
    stretched,
    whole_axis,
)
from mamdr.evaluation.report.tables import Column, cell, heading, row, table
from mamdr.evaluation.report.text import count, decimal, escape, plural, signed

_NAMED = 40
"""Domains whose cells tell their names and cosine; of more the map is shapes alone, so that the page stays small."""

_LEVELS = 10
"""Shades on either side of zero."""


def conflict_section(content: Mapping[str, Any], names: tuple[str, ...], number: int = 0) -> str:
    """A run's map, figures and rounds.

    Args:
        content: what `training.conflict.run_conflict` made.
        names: the data set's domains.
        number: of the section on its page.
    """
    found = Conflict.from_json(dict(content), names)
    name = f"conflict{number or ''}"
    title = f"Conflict between domains: <bdi>{escape(content['run'])}</bdi>, round {content['round']}"
    return f"""<section aria-labelledby="{name}"><h2 id="{name}">{title}</h2>
<p>{_words(found)}</p>
<div class="charts">{_map(found, names)}{_course(content.get("rounds", ()))}</div>
{_table(found, names)}</section>"""


def _words(found: Conflict) -> str:
    share = "n/a" if found.share is None else f"{100 * found.share:.1f} %"
    compared = plural(len(found.domains), "domain")
    if found.sampled:
        compared = f"a sample of {count(len(found.domains))} of {count(found.total)} domains"
        error = found.error(found.products < 0)
        share += "" if error is None else f" (standard error {100 * error:.1f})"
    return (
        f"Cosines between the gradients of {compared} at the shared parameters: mean "
        f"<b>{signed(found.mean_cosine)}</b>; <b>{share}</b> of {count(found.pairs)} pairs conflict: a step for one "
        "is a step against the other. Domains that agree stand together."
    )


def _map(found: Conflict, names: tuple[str, ...]) -> str:
    order = found.order()
    size, shown = len(order), found.cosines[np.ix_(order, order)]
    labels = [names[found.domains[place]] for place in order]
    cells = "".join(_cells(shown, labels) if size <= _NAMED else _shapes(shown))
    words = f"Heat map of {size} by {size} cosines, mean {signed(found.mean_cosine)}"
    body = (
        f'<svg class="heat" role="img" aria-label="{escape(words)}" viewBox="0 0 {size} {size}" '
        f'shape-rendering="crispEdges">{cells}</svg>'
    )
    key = "blue agrees, orange conflicts, pale is indifferent"
    return figure("Cosines", body, key)


def _level(value: float) -> tuple[str, float]:
    """The side of zero that a cosine is on, and how strongly."""
    if np.isnan(value):
        return "pos", 0.0
    return ("pos" if value >= 0 else "neg"), np.ceil(abs(value) * _LEVELS) / _LEVELS


def _cells(shown: Any, labels: list[str]) -> Iterator[str]:
    for y, line in enumerate(shown.tolist()):
        for x, value in enumerate(line):
            css, strength = _level(value)
            tip = f"{labels[y]} and {labels[x]}: {signed(value)}"
            yield (
                f'<rect class="{css}" x="{x}" y="{y}" width="1" height="1" fill-opacity="{strength:g}">'
                f"<title>{escape(tip)}</title></rect>"
            )


def _shapes(shown: Any) -> Iterator[str]:
    """One path for each shade."""
    paths: dict[tuple[str, float], list[str]] = {}
    for y, line in enumerate(shown.tolist()):
        for x, value in enumerate(line):
            paths.setdefault(_level(value), []).append(f"M{x} {y}h1v1h-1z")
    for (css, strength), parts in sorted(paths.items()):
        if strength:
            yield f'<path class="{css}" fill-opacity="{strength:g}" d="{"".join(parts)}"/>'


def _course(rounds: Any) -> str:
    """The mean cosine by round, where more than one round is known."""
    known = [(r["round"], r["mean_cosine"]) for r in rounds if r["mean_cosine"] is not None]
    if len(known) < 2:
        return ""
    x, y = whole_axis(known[-1][0], "round"), axis([c for _, c in known], show=signed, include=(0.0,))
    if known[0][0] == 0:
        x = Axis(x.low - 1, x.high, (0.0, *x.ticks), x.label, x.show)
    points = [(x.share(r), 1 - y.share(c)) for r, c in known]
    marks = "".join(
        mark(0, px, percent(py), f"round {r}: {signed(c)}", "s")
        for (px, py), (r, c) in zip(points, known, strict=True)
    )
    words = f"Mean cosine by round, from {signed(known[0][1])} to {signed(known[-1][1])}"
    return figure("Mean cosine", plot(x, y, stretched(polyline(points, "curve r0")) + marks, words))


def _table(found: Conflict, names: tuple[str, ...]) -> str:
    """Each domain's place among the others, in the map's order."""
    cosines = found.cosines.copy()
    np.fill_diagonal(cosines, np.nan)
    titles = ("Domain", "Mean cosine with others", "Conflicting with", "Size of gradient")
    rows = []
    for place in found.order():
        known = cosines[place][~np.isnan(cosines[place])]
        mean = float(known.mean()) if known.size else None
        cells = (
            cell(signed(mean)),
            cell(f"{int((known < 0).sum())} of {known.size}"),
            cell(decimal(float(np.sqrt(found.products[place, place])), 6)),
        )
        rows.append(row(f"<bdi>{escape(names[found.domains[place]])}</bdi>", cells))
    body = table("Domains in the map's order", heading([Column(t, t != "Domain") for t in titles]), rows)
    return f"<details><summary>All domains as a table</summary>{body}</details>"
