"""Of many domains `mamdr evaluate` shows the worst and the best."""

from __future__ import annotations

from typing import Any

from mamdr.cli.evaluate import _shown


def test_the_table_shows_all_of_few_and_both_ends_of_many() -> None:
    few: dict[str, Any] = {str(n): {"auc": None if n == 3 else n / 50} for n in range(50)}
    assert _shown(few) == list(few.items())
    many: dict[str, Any] = {str(n): {"auc": None if n % 2 else (n * 7 % 1000) / 1000} for n in range(1000)}
    shown = [row["auc"] for _, row in _shown(many)]
    known = sorted(row["auc"] for row in many.values() if row["auc"] is not None)
    assert shown == [*known[:25], *known[-25:]]
