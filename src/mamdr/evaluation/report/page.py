"""The page as a whole: head, style, script and sections in one string that needs nothing from outside.

The page's own policy allows no request at all and no script but ours (by its hash), so a name that slipped
through the escaping still could not run.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator
from importlib.resources import files

from mamdr import __version__
from mamdr.evaluation.report.calibration import calibration_section
from mamdr.evaluation.report.comparison import Comparison
from mamdr.evaluation.report.conflict import conflict_section
from mamdr.evaluation.report.curves import curves_section
from mamdr.evaluation.report.domains import domains_section
from mamdr.evaluation.report.overview import headline, runs_section, summary_section
from mamdr.evaluation.report.own import known
from mamdr.evaluation.report.svg import definitions
from mamdr.evaluation.report.text import count, escape, plural


def page(comparison: Comparison) -> str:
    """The whole document; the same bytes for the same comparison."""
    script = asset("report.js")
    title = f"{_title(comparison)} · mamdr report"
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="generator" content="mamdr {escape(__version__)}">
<meta http-equiv="Content-Security-Policy" content="{policy(script)}">
<title>{escape(title)}</title>
<link rel="icon" href="data:,">
<style>{asset("report.css")}</style>
</head>
<body{' class="single"' if len(comparison.runs) == 1 else ""}>
{definitions()}
<main>
{_header(comparison)}
{summary_section(comparison)}
{runs_section(comparison)}
{curves_section(comparison)}
{domains_section(comparison)}
{"".join(_conflicts(comparison))}
{calibration_section(comparison)}
{_notes(comparison)}
</main>
<footer>Written by mamdr {escape(__version__)}. This page loads nothing from a network.</footer>
<script>{script}</script>
</body>
</html>
"""


def _conflicts(comparison: Comparison) -> Iterator[str]:
    """A section for each run of which it is known."""
    for number, run in enumerate(comparison.runs):
        if run.conflict is not None:
            yield conflict_section({**run.conflict, "run": run.name}, run.domains, number)


def asset(name: str) -> str:
    """The text of a file that travels with this package."""
    return (files("mamdr.evaluation.report") / "assets" / name).read_text(encoding="utf-8")


def policy(script: str) -> str:
    """A Content-Security-Policy without any source but this page."""
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'; img-src data:"


def _title(comparison: Comparison) -> str:
    """The data set and, for few runs, their names."""
    names = [run.name for run in comparison.runs]
    return f"{comparison.baseline.data}: {', '.join(names) if len(names) <= 3 else f'{len(names)} runs'}"


def _header(comparison: Comparison) -> str:
    base = comparison.baseline
    facts = " · ".join(
        (
            f"{base.split} split",
            plural(len(base.domains), "domain"),
            f"{count(len(base.labels))} samples",
            plural(len(comparison.runs), "run"),
            _finetuned(comparison),
        )
    )
    return f"""<header><p class="kicker">mamdr report</p><h1><bdi>{escape(base.data)}</bdi></h1>
<p class="facts">{escape(facts)}</p><p class="headline">{headline(comparison)}</p></header>"""


def _finetuned(comparison: Comparison) -> str:
    tuned = sum(run.finetuned for run in comparison.runs)
    if tuned in (0, len(comparison.runs)):
        return "fine-tuned" if tuned else "not fine-tuned"
    return f"{tuned} of {len(comparison.runs)} runs fine-tuned"


def _notes(comparison: Comparison) -> str:
    base = comparison.baseline
    empty = sum(domain.auc is None for domain in base.metrics.domains)
    notes = [
        (
            "AUC",
            "How often a positive scores above a negative of the same domain; exact, ties count half. "
            "0.5 is chance.",
        ),
        ("Mean AUC", "The mean over domains, each counting once."),
        ("Weighted AUC", "The mean over domains, each counting by its samples."),
        ("Pooled AUC", "All rows as one list, so that scores are also compared across domains."),
        (
            "User GAUC",
            "The mean of the users' AUCs, weighted by their samples; users with one class are left out.",
        ),
        (
            "n/a",
            "A domain whose rows are all positive or all negative has no AUC and is counted in no mean. "
            f"Here that is so in {count(empty)} of {plural(len(base.domains), 'domain')}.",
        ),
    ]
    if comparison.lifts:
        notes += _comparison_notes(comparison)
    notes += [(figure.title, figure.note) for figure in known(comparison.runs)]
    notes += [
        ("Log loss", "Mean over all rows of −ln of the probability given to what happened, in nats."),
        (
            "Calibration error",
            "Distance between predicted and observed share, averaged over the bins by rows.",
        ),
        ("Fine-tuned", "Whether each domain was trained further on its own after the rounds shown here."),
    ]
    terms = "".join(f"<dt>{escape(term)}</dt><dd>{escape(text)}</dd>" for term, text in notes)
    title = '<h2 id="notes">How to read the figures</h2>'
    return f'<section aria-labelledby="notes">{title}<dl>{terms}</dl></section>'


def _comparison_notes(comparison: Comparison) -> list[tuple[str, str]]:
    return [
        (
            "Lift",
            f"A run's AUC minus that of {comparison.baseline.name} on the same rows. Its 95 % interval is a "
            f"paired bootstrap: {count(comparison.replicates)} draws of each domain's rows, the same for "
            "both runs. It speaks about these domains, other rows of them, and these trained models, not "
            "about other seeds.",
        ),
        (
            "Gains, loses",
            "The whole interval of a domain's lift lies above zero, or below it (▼). A domain with one positive "
            "and one negative has no interval, as there is no row to draw in place of another.",
        ),
        (
            "RANK",
            "A run's place by AUC in each domain, ties sharing theirs, averaged over the domains where all "
            "runs have an AUC. It depends on which runs are compared.",
        ),
    ]
