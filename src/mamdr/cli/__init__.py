"""The command line: one file a command, no logic.

Exit codes: 0; 1 for what cannot be done (one line says what was found, what was expected and what to do); 2 for a
command, recipe or option that is wrong; 130 when interrupted.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from mamdr import __version__
from mamdr.cli.cluster import cluster_app
from mamdr.cli.conflict import conflict
from mamdr.cli.data import data_app
from mamdr.cli.domain import domain_app
from mamdr.cli.evaluate import evaluate
from mamdr.cli.events import events
from mamdr.cli.experiment import experiment
from mamdr.cli.interrupt import interruptible
from mamdr.cli.models import models
from mamdr.cli.registry import promote, publish, rollback, versions
from mamdr.cli.report import report
from mamdr.cli.serve import keys, serve
from mamdr.cli.store import store_app
from mamdr.cli.train import train
from mamdr.cli.tune import tune
from mamdr.errors import MamdrError


class _Commands(TyperGroup):
    """Commands that end quietly when a person interrupts them, or when nobody reads their output any more."""

    def make_context(self, *args: Any, **settings: Any) -> Any:
        with _told():
            return super().make_context(*args, **settings)

    def invoke(self, ctx: Any) -> Any:
        with _told():
            return super().invoke(ctx)


@contextmanager
def _told() -> Iterator[None]:
    """Tell of an interruption in one line, before typer hears of it; what a command has to say of it comes along."""
    try:
        with interruptible():
            yield
    except KeyboardInterrupt as interrupt:
        typer.echo(
            f"mamdr: interrupted; {str(interrupt) or 'nothing half-written was left behind'}", err=True
        )
        raise typer.Exit(130) from None
    except BrokenPipeError:  # | head
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit from None


app = typer.Typer(
    name="mamdr",
    cls=_Commands,
    help="Multi-domain recommendation: train one model on many domains, and serve each with its own parameters.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.add_typer(data_app)
app.add_typer(domain_app)
app.add_typer(cluster_app)
app.command()(train)
app.command()(evaluate)
app.command()(report)
app.command()(conflict)
app.command()(models)
app.command()(experiment)
app.command()(tune)
app.add_typer(store_app)
app.command()(events)
app.command()(publish)
app.command()(versions)
app.command()(promote)
app.command()(rollback)
app.command()(serve)
app.command()(keys)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"mamdr {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Options that every command has."""


def main() -> None:
    """The `mamdr` command."""
    import torch

    torch.set_num_threads(1)  # a process is a thread: jobs are processes
    try:
        app()
    except MamdrError as error:
        typer.echo(f"mamdr: {error}", err=True)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:  # before a command began
        typer.echo("mamdr: interrupted; nothing was done yet", err=True)
        sys.exit(130)
