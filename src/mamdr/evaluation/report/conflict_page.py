"""A page about one run's conflict alone."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mamdr import __version__
from mamdr.evaluation.report.conflict import conflict_section
from mamdr.evaluation.report.page import asset, policy
from mamdr.evaluation.report.svg import definitions
from mamdr.evaluation.report.text import escape
from mamdr.files import atomic_file


def write_conflict(content: Mapping[str, Any], names: tuple[str, ...], out: Path) -> None:
    """Write a self-contained page about one run's conflict.

    Raises:
        DataError: it cannot be written.
    """
    facts = " · ".join((content["model"], content["strategy"], f"seed {content['seed']}", content["data"]))
    text = f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta http-equiv="Content-Security-Policy" content="{policy("")}">
<title>{escape(content["run"])} · mamdr conflict</title>
<link rel="icon" href="data:,">
<style>{asset("report.css")}</style>
</head>
<body class="single">
{definitions()}
<main>
<header><p class="kicker">mamdr conflict</p><h1><bdi>{escape(content["run"])}</bdi></h1>
<p class="facts">{escape(facts)}</p></header>
{conflict_section(content, names)}
</main>
<footer>Written by mamdr {escape(__version__)}. This page loads nothing from a network.</footer>
</body>
</html>
"""
    with atomic_file(out) as part:
        part.write_text(text, encoding="utf-8")
