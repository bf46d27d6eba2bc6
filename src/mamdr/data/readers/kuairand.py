"""KuaiRand (Pure, 1K or 27K), with the tab of the app as the domain.

    log_standard_*.csv             user_id, video_id, hourmin, time_ms, is_click, tab and other columns
    user_features_*.csv            user_id, user_active_degree, ..., onehot_feat0 to onehot_feat17
    video_features_basic_*.csv     video_id, author_id, video_type, upload_type, music_type, tag, ...

The label is is_click. All files that fit these names are read, in alphabetical order (27K comes in parts). Left out
are the logs of random exposure (log_random_*), whose videos the app did not choose, and videos' statistics, which
were counted over the very days of the log. Scenario-Wise-Rec takes the second log of 1K and the tabs 0, 1, 2, 4 and
6: put that log alone into the folder, and choose `--categories 0,1,2,4,6`. Its features are others: it has a video's
size and a user's numbers beside their ranges, and no author and no tags.
Source: Gao et al., CIKM 2022.
"""

from __future__ import annotations

from pathlib import Path

import polars as pl

from mamdr.data.interactions import canonical
from mamdr.data.readers import text
from mamdr.errors import DataError

_SOURCE = "Unpack KuaiRand (kuairand.com), and name its folder `data`"
_LOG: dict[str, text.Kind] = dict.fromkeys(
    ("user_id", "video_id", "hourmin", "time_ms", "is_click", "tab"), pl.Int64
)
_USER = (
    *("user_active_degree", "is_lowactive_period", "is_live_streamer", "is_video_author"),
    *("follow_user_num_range", "fans_user_num_range", "friend_user_num_range", "register_days_range"),
    *(f"onehot_feat{number}" for number in range(18)),
)
_ITEM = ("author_id", "video_type", "upload_type", "music_type", "tag")
UNKNOWN = "unknown"
"""Stands for a feature that a user or a video lacks."""


def read(raw: Path) -> pl.DataFrame:
    """The canonical table, with labels, context:hour, a user's ranges and codes, and a video's author, types and tags.

    A video without a line of its own has unknown features, and so has a user.
    Raises: DataError naming file and line for what is wrong, and the files that are missing.
    Cost: a second of one core and 0.9 GB a million rows; 1K has 12 million.
    """
    files = [
        _files(raw, f"{name}_*.csv") for name in ("log_standard", "user_features", "video_features_basic")
    ]
    users, videos = _side(files[1], "user_id", _USER), _side(files[2], "video_id", _ITEM)
    log = _tables(files[0], _LOG)
    joined = log.join(users, on="user_id", how="left", maintain_order="left").join(
        videos, on="video_id", how="left", maintain_order="left"
    )
    known = joined.with_columns(pl.col(*_USER, *_ITEM).fill_null(UNKNOWN))
    table = known.select(
        "user_id",
        item_id="video_id",
        domain="tab",
        label="is_click",
        timestamp=pl.col("time_ms") // 1000,
        **{f"user:{name}": pl.col(name) for name in _USER},
        **{f"item:{name}": pl.col(name) for name in _ITEM if name != "tag"},
        **{"item:tag": pl.col("tag").str.split(","), "context:hour": pl.col("hourmin") // 100},
    )
    return canonical(table, "KuaiRand's log")


def _files(raw: Path, pattern: str) -> list[Path]:
    found = sorted(raw.glob(pattern))
    if not found:
        there = sorted(path.name for path in raw.iterdir())[:5] if raw.is_dir() else ["no such folder"]
        raise DataError(
            f"there is no {pattern} in {raw} ({', '.join(there) or 'it is empty'})",
            f"files {pattern}",
            _SOURCE,
        )
    return found


def _side(files: list[Path], key: str, names: tuple[str, ...]) -> pl.DataFrame:
    """A user's or a video's features, by its id."""
    table = _tables(files, {key: pl.Int64} | dict.fromkeys(names, pl.String), names)
    return table.unique(key, keep="first", maintain_order=True)


def _tables(files: list[Path], kinds: dict[str, text.Kind], may_lack: tuple[str, ...] = ()) -> pl.DataFrame:
    """All files of a kind together."""
    lines = text.Lines(kinds, empty=dict.fromkeys(may_lack, UNKNOWN), source=_SOURCE)
    return pl.concat([text.read(path, lines) for path in files])
