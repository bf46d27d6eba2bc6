"""Options that commands of `mamdr data` share."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from mamdr.data.building import Ratio
from mamdr.errors import ConfigError

Out = Annotated[Path, typer.Option("--out", help="The data folder to make.")]
Seed = Annotated[int, typer.Option("--seed", min=0, help="Seed of negatives and split.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace the folder if it exists.")]
CtrRatio = Annotated[
    list[str] | None,
    typer.Option(
        "--ctr-ratio",
        metavar="R | NAME=R",
        help="Positives per negative: one value for all domains, or NAME=VALUE, again for each. "
        "Default: the paper's, in the order of the domains.",
    ),
]
Users = Annotated[
    float,
    typer.Option("--users", help="Keep this share of the users, drawn by the seed, with all their rows."),
]
Memory = Annotated[
    str | None,
    typer.Option(
        "--memory",
        metavar="SIZE",
        help="Hold about so much at once, such as 2GB, and the rest on disk; the data are the same. "
        "Default: all in memory.",
    ),
]


def sampled(users: float) -> dict[str, float]:
    """What the manifest says of a sample of users."""
    return {} if users == 1 else {"users": users}


def ratio_of(given: Sequence[str]) -> Ratio:
    """What --ctr-ratio says: nothing, one number, or a number by domain."""
    try:
        if len(given) == 1 and "=" not in given[0]:
            return float(given[0])
        return {name: float(value) for name, value in (text.rsplit("=", 1) for text in given)} or None
    except ValueError as error:
        raise ConfigError(
            f"--ctr-ratio {' '.join(given)}",
            "one number, or NAME=NUMBER, again for each",
            "Write it like 0.3",
        ) from error
