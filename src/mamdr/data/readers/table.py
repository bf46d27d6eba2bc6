"""Any CSV or Parquet files whose columns the user names."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

import polars as pl
from pyarrow import ArrowException
from pyarrow.parquet import ParquetFile

from mamdr.data.interactions import Columns, canonical, concatenate
from mamdr.data.lists import INTEGER
from mamdr.errors import ConfigError, DataError

_TEXT = {".csv": ",", ".tsv": "\t"}
_PARQUET = (".parquet", ".pq")


def read(files: Sequence[str | Path], columns: Columns | None = None) -> pl.DataFrame:
    """The canonical table of some files together, each checked under its own name.

    Args:
        files: .csv, .tsv (either may end in .gz) or .parquet.
        columns: what the columns are called in them.

    Raises: DataError for no files, a file that is absent, empty or damaged, and all that `canonical` refuses.
    """
    paths = [Path(file) for file in files]
    if not paths:
        raise DataError("no files were given", "one file or more", "Name the files that hold interactions")
    lists = columns.lists if columns else ()
    tables = [canonical(read_file(path, lists), path.name, columns) for path in paths]
    return concatenate(tables, [path.name for path in paths])


def read_chunks(files: Sequence[str | Path], columns: Columns | None, rows: int) -> Iterator[pl.DataFrame]:
    """The same table in chunks of at most so many rows, of Parquet files alone: what text holds, all of it has to say.

    Raises: as `read`; ConfigError for a file that is not Parquet.
    """
    paths = [Path(file) for file in files]
    for path in paths:
        if path.suffix.lower() not in _PARQUET:
            raise ConfigError(
                f"{path.name} in bounded memory", "Parquet files", "Convert it, or leave --memory out"
            )
        if not path.is_file():
            raise DataError(f"there is no file {path}", "a Parquet file", "Check the path")
    for path in paths:
        done = 0
        try:
            with ParquetFile(path) as file:
                for batch in file.iter_batches(rows):
                    frame = pl.DataFrame(pl.from_arrow(batch))
                    yield canonical(frame, f"{path.name} after row {done:,}" if done else path.name, columns)
                    done += len(frame)
        except (ArrowException, OSError) as error:
            raise _unreadable(path, error) from error
        if not done:
            canonical(pl.DataFrame(pl.read_parquet(path)), path.name, columns)


def read_file(path: Path, lists: Collection[str] = ()) -> pl.DataFrame:
    """A raw table as it stands in one file.

    Args:
        path: the file.
        lists: columns that hold lists. In a text file they stay text, and an empty cell is an empty list.
    """
    if not path.is_file():
        raise DataError(f"there is no file {path}", "a CSV or Parquet file", "Check the path")
    if not path.stat().st_size:
        raise DataError(f"{path.name} is empty", "a header and rows", "Give a file with interactions")
    kind = Path(path.name.removesuffix(".gz")).suffix.lower()
    try:
        if kind in _PARQUET:
            return pl.read_parquet(path)
        if kind in _TEXT:
            return _typed(pl.read_csv(path, separator=_TEXT[kind], infer_schema=False), lists)
    except (pl.exceptions.PolarsError, OSError) as error:
        raise _unreadable(path, error) from error
    raise DataError(
        f"{path.name} is of kind {kind or 'unknown'!r}", ".csv, .tsv or .parquet", "Convert the file first"
    )


def _unreadable(path: Path, error: Exception) -> DataError:
    reason = str(error).split("\n", 1)[0].rstrip(".")
    return DataError(
        f"{path.name} cannot be read ({reason})",
        "a whole CSV or Parquet file",
        "Fetch or write the file again",
    )


def _typed(frame: pl.DataFrame, lists: Collection[str]) -> pl.DataFrame:
    """Columns of text that hold nothing but integers, or numbers, as such.

    Integers with leading zeros stay strings: "007" and "7" may be different users.
    """
    kinds: dict[str, pl.DataType] = {}
    frame = frame.with_columns(pl.col(name).fill_null("") for name in lists if name in frame.columns)
    for name in frame.columns:
        if name in lists:
            continue
        cells = frame[name].drop_nulls()
        if len(cells) and cells.str.contains(INTEGER).all():
            kinds[name] = pl.Int64()
        elif len(cells) and ":" in name and cells.cast(pl.Float64, strict=False).is_not_null().all():
            kinds[name] = pl.Float64()
    return frame.with_columns(pl.col(name).cast(kind) for name, kind in kinds.items())
