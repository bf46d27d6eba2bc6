"""What a person sees of training: a bar for the round under way and a line for each round done."""

from __future__ import annotations

import time

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

from mamdr.training.events import Event


class Watch:
    """A listener that draws on stderr: where that is no terminal, lines alone.

    The bar counts rows walked against those of the round before; the first round has nothing to compare with.
    """

    def __init__(self) -> None:
        self.console = Console(stderr=True, highlight=False, soft_wrap=True)
        columns = (
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            TaskProgressColumn(),
            TextColumn("{task.fields[speed]}"),
            TimeElapsedColumn(),
        )
        plain = not self.console.is_interactive
        self._bar = Progress(*columns, console=self.console, transient=True, disable=plain)
        self._task = self._bar.add_task("", total=None, speed="")
        self._rounds, self._rows, self._begun = 0, 0, time.monotonic()

    def hear(self, event: Event) -> None:
        if event["event"] == "start":
            self._rounds = event["rounds"]
            self.console.print(
                f"[bold]{event['model']} · {event['strategy']}[/] on {escape(event['data']['name'])}, "
                f"{event['parameters']:,} parameters, seed {event['seed']}"
                + (f", going on after round {event['round']}" if event["round"] else "")
            )
            self._note(event)
            self._bar.start()
            self._next(event["round"] + 1, None)
        elif event["event"] == "round":
            self.console.print(self._line(event))
            self._note(event)
            self._next(event["round"] + 1, event["samples"])
        elif event["event"] in ("shares", "own_rounds"):
            self._bar.stop()
            self.console.print(self._chosen(event))
        elif event["event"] == "stop":
            self._bar.stop()
            why = "validation stopped rising" if event["stopped_by"] == "validation" else "all rounds done"
            self.console.print(
                f"Stopped after round {event['round']} ({why}); best is round {event['best_round']}."
            )

    def _note(self, event: Event) -> None:
        for note in event.get("notes", ()):
            self.console.print(f"[yellow]Note:[/] {escape(note)}.")

    def walked(self, rows: int) -> None:
        self._rows += rows
        speed = self._rows / max(time.monotonic() - self._begun, 1e-3)
        self._bar.update(self._task, completed=self._rows, speed=f"{speed:,.0f} rows/s")

    def close(self) -> None:
        self._bar.stop()

    def _line(self, event: Event) -> str:
        auc, best = event["val"]["mean_auc"], event["best_round"] == event["round"]
        shown = "n/a" if auc is None else f"{auc:.4f}"
        loss = "" if event["train_loss"] is None else f"loss {event['train_loss']:.4f}  "
        return (
            f"round {event['round']:>3}  {loss}val AUC {shown}  "
            f"{event['samples']:,} rows in {event['seconds']:.1f} s{'  [green]best[/]' if best else ''}"
        )

    @staticmethod
    def _chosen(event: Event) -> str:
        """What was chosen domain by domain, in a line."""
        auc = event["val"]["mean_auc"]
        shown = "n/a" if auc is None else f"{auc:.4f}"
        if event["event"] == "shares":
            given = list(event["shares"].values())
            none = sum(share == 0 for share in given)
            what = f"a share of its part chosen for each of {len(given):,} domains ({none:,} have none)"
        else:
            rounds = [domain["round"] for domain in event["domains"].values()]
            between = f" (rounds {min(rounds)} to {max(rounds)})" if rounds else ""
            several = any("snapshots" in domain for domain in event["domains"].values())
            own = "rounds that score together" if several else "a round of its own"
            what = f"{own} chosen for each of {len(rounds):,} domains{between}"
        return f"On validation {what}: val AUC {shown}"

    def _next(self, round: int, rows: int | None) -> None:
        self._rows, self._begun = 0, time.monotonic()
        self._bar.reset(self._task, total=rows, description=f"round {round}/{self._rounds}", speed="")
