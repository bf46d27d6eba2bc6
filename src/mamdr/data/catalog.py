"""The raw sources that can be named on the command line, in one table."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl

from mamdr.config import lookup
from mamdr.data.building import Ratio, build
from mamdr.data.domains import Dataset
from mamdr.data.download import Remote, download
from mamdr.data.interactions import domain_names
from mamdr.data.portion import Progress
from mamdr.data.readers import aliccp, aliexpress, amazon, authors, ciao, kuairand, movielens, taobao
from mamdr.data.sample import sample_users
from mamdr.data.vectors import Vectors
from mamdr.errors import ConfigError, DataError

_SIX = (
    *("Musical_Instruments", "Office_Products", "Patio_Lawn_and_Garden"),
    *("Prime_Pantry", "Toys_and_Games", "Video_Games"),
)
_THIRTEEN = (
    *("Arts_Crafts_and_Sewing", "Digital_Music", "Gift_Cards", "Industrial_and_Scientific", "Luxury_Beauty"),
    *("Magazine_Subscriptions", "Musical_Instruments", "Office_Products", "Patio_Lawn_and_Garden"),
    *("Prime_Pantry", "Software", "Toys_and_Games", "Video_Games"),
)


@dataclass(frozen=True)
class Raw:
    """What a reader finds: a canonical table, vectors by column, and the domains in their order (None: by name)."""

    table: pl.DataFrame
    vectors: dict[str, Vectors] = field(default_factory=dict)
    domains: tuple[str, ...] | None = None


@dataclass(frozen=True)
class Source:
    """Where data come from.

    Args:
        read: of a folder of raw files, categories (None for all) and progress.
        categories: those of a benchmark, in the paper's order; empty where the user chooses.
        remote: where the files of some categories are; None where they cannot be fetched without an account.
        prepared: reads a folder whose rows are split already, under a name.
    """

    read: Callable[[Path, Sequence[str] | None, Progress | None], Raw] | None = None
    categories: tuple[str, ...] = ()
    remote: Callable[[Sequence[str]], list[Remote]] | None = None
    prepared: Callable[[Path, str, Progress | None], Dataset] | None = None


def _amazon(raw: Path, categories: Sequence[str] | None, progress: Progress | None) -> Raw:
    return Raw(amazon.read(raw, categories, progress), domains=tuple(categories) if categories else None)


def _amazon_whole(raw: Path, categories: Sequence[str] | None, progress: Progress | None) -> Raw:
    """All categories of a benchmark, each of which must have its file before any is read."""
    found = amazon.find(raw)
    missing = [name for name in categories or () if name not in found]
    if missing:
        files = ", ".join(f"{name}_5.json.gz" for name in missing)
        raise DataError(
            f"{raw} lacks {files}",
            "a review file for each category of the benchmark",
            "Add --download, or build amazon with --categories",
        )
    return _amazon(raw, categories, progress)


def _taobao(
    raw: Path, categories: Sequence[str] | None, progress: Progress | None, *, themes: int | None
) -> Raw:
    if categories:
        raise ConfigError(
            "--categories of taobao", "no categories: themes come in the order of the log", "Leave it out"
        )
    table, vectors = taobao.read(raw, themes, progress)
    names = sorted(table["domain"].unique().to_list(), key=lambda name: int(name[1:]))
    return Raw(table, vectors, tuple(names))


def _whole(
    raw: Path,
    categories: Sequence[str] | None,
    progress: Progress | None,
    *,
    read: Callable[[Path], pl.DataFrame],
) -> Raw:
    """A source whose reader takes the folder; categories choose among its domains."""
    if progress:
        progress(f"reading {raw}", 0, 1)
    table = read(raw)
    names = dict.fromkeys(domain_names(table))
    for name in categories or ():
        lookup(names, name, "category")
    chosen = tuple(categories or names)
    return Raw(table.filter(pl.col("domain").is_in(chosen)), domains=chosen)


SOURCES: Mapping[str, Source] = {
    "ali-ccp": Source(functools.partial(_whole, read=aliccp.read)),
    "aliexpress": Source(functools.partial(_whole, read=aliexpress.read)),
    "amazon": Source(_amazon, remote=amazon.remote),
    "amazon-6": Source(_amazon_whole, _SIX, amazon.remote),
    "amazon-13": Source(_amazon_whole, _THIRTEEN, amazon.remote),
    "authors": Source(prepared=authors.read),
    "ciao": Source(functools.partial(_whole, read=ciao.read)),
    "kuairand": Source(functools.partial(_whole, read=kuairand.read)),
    "movielens-1m": Source(functools.partial(_whole, read=movielens.read)),
    "taobao": Source(functools.partial(_taobao, themes=None)),
    "taobao-10": Source(functools.partial(_taobao, themes=10)),
    "taobao-20": Source(functools.partial(_taobao, themes=20)),
    "taobao-30": Source(functools.partial(_taobao, themes=30)),
}
"""Sources by name: the paper's five benchmarks (MAMDR, section V-A), the files they are made of, what the authors'
code prepares, and other public data with the domains that others give them."""


def source(name: str) -> Source:
    """The named source; ConfigError, with the nearest name, for one that is not in the table."""
    return lookup(SOURCES, name, "source")


def fetch(name: str, raw: Path, categories: Sequence[str] | None, progress: Progress | None = None) -> None:
    """Fetch what the raw folder lacks of a source.

    Raises: ConfigError for a source that cannot be fetched, or one whose categories are not named.
    """
    chosen = source(name)
    if chosen.remote is None:
        raise ConfigError(
            f"--download of {name}",
            "a source that needs no account: amazon, amazon-6, amazon-13",
            "Fetch it by hand",
        )
    wanted = chosen.categories or categories
    if not wanted:
        raise ConfigError(
            "--download without categories", "the categories to fetch", "Name them with --categories"
        )
    download(chosen.remote(wanted), raw, progress)


def build_source(
    name: str,
    raw: Path,
    categories: Sequence[str] | None = None,
    *,
    seed: int = 1,
    ctr_ratio: Ratio = None,
    users: float = 1.0,
    authors: bool = False,
    called: str | None = None,
    progress: Progress | None = None,
) -> Dataset:
    """Built data of a named source.

    Args:
        name: a key of `SOURCES`.
        raw: the folder of raw files.
        categories: for a source where the user chooses.
        seed, ctr_ratio, progress: as `build`.
        users: the share of users to keep (see `sample_users`).
        authors: by the authors' procedure: duplicates go only where the rating agrees, and negatives are split within
            each user.
        called: the data's name; by default the source's, or the folder's where its rows are split already.

    Raises: ConfigError for a source, or a setting, that is none; DataError as the readers and `build`.
    """
    chosen = source(name)
    if chosen.prepared is not None:
        if categories or users != 1 or ctr_ratio is not None or authors:
            raise ConfigError(
                f"a setting for {name}, whose rows are drawn and split already", "none", "Leave it out"
            )
        return chosen.prepared(raw, called or raw.name, progress)
    if chosen.categories and categories:
        raise ConfigError(
            f"--categories of {name}, which are {', '.join(chosen.categories)}",
            "none",
            "Leave them out, or build amazon",
        )
    assert chosen.read is not None
    found = chosen.read(raw, chosen.categories or categories, progress)
    said = {"users": users} if users != 1 else {}
    return build(
        sample_users(found.table, users, seed),
        name=called or name,
        seed=seed,
        ctr_ratio=ctr_ratio,
        domains=found.domains,
        vectors=found.vectors,
        authors=authors,
        progress=progress,
        options={"source": name} | said,
    )
