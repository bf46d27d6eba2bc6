"""Lines of fields with a sign between, as public data come: chosen fields by name, and the line of what is wrong."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl

from mamdr.data.readers.blocks import blocks
from mamdr.errors import DataError

Kind = type[pl.DataType]
_ONE = "\x1f"
"""Stands for a sign of several letters while a block is parsed; no text has it."""


@dataclass(frozen=True)
class Lines:
    """How a file's lines are written.

    Args:
        kinds: the fields to take -> pl.String, pl.Int64 or pl.Float64, which every line must have.
        names: all fields of a line in their order; None where the first line has them.
        sign: what is between two fields.
        encoding: of the text.
        empty: a field -> what stands for an empty one; fields that are not named must not be empty.
        source: where the file can be had, for messages.
    """

    kinds: Mapping[str, Kind]
    names: Sequence[str] | None = None
    sign: str = ","
    encoding: str = "utf-8"
    empty: Mapping[str, str] = field(default_factory=dict)
    source: str = "Fetch the file again"


def find(folder: Path, name: str, source: str) -> Path:
    """A file of a folder; DataError that names it where it is missing."""
    path = folder / name
    if path.is_file():
        return path
    there = sorted(found.name for found in folder.iterdir())[:5] if folder.is_dir() else ["no such folder"]
    raise DataError(
        f"there is no {name} in {folder} ({', '.join(there) or 'it is empty'})", f"the file {name}", source
    )


def read(path: Path, lines: Lines) -> pl.DataFrame:
    """The fields asked for, as columns in the order of `kinds`.

    Raises: DataError naming file and line for a line with more or fewer fields, an empty field, a number that is none;
        for an empty file, and a first line without a name that is asked for.
    Cost: about a second for 2 million lines.
    """
    return pl.concat([frame for frame, _ in parts(path, lines)])


def parts(path: Path, lines: Lines) -> Iterator[tuple[pl.DataFrame, int]]:
    """What `read` gives, block by block, each with the number of its first line."""
    names, some = lines.names, False
    for block, line in blocks(path):
        if names is None:
            first, _, block = block.partition(b"\n")
            names, line = _header(path, first, lines), line + 1
        if block.strip():
            some = True
            yield _parse(path, block, line, names, lines), line
    if not some:
        raise DataError(f"{path.name} holds no rows", _should(lines, names), lines.source)


def check(
    path: Path, line: int, name: str, values: pl.Series, right: pl.Series, expected: str, source: str
) -> None:
    """Raise a DataError for the first value that is not right, if any.

    Args:
        line: the number of the line that holds the first value.
        name: what the values are.
        right: Boolean [rows].
    """
    if not right.all():
        at = (~right).arg_max() or 0
        raise DataError(f"{path.name} line {line + at} has {name} {str(values[at])[:60]!r}", expected, source)


def _header(path: Path, first: bytes, lines: Lines) -> list[str]:
    names = _fields(first.decode(lines.encoding, "replace").lstrip("\ufeff"), lines)
    for name in lines.kinds:
        if name not in names:
            raise DataError(
                f"{path.name} has no column {name!r}, its first line has {', '.join(names)[:200]}",
                _should(lines, None),
                lines.source,
            )
    return names


def _parse(path: Path, block: bytes, line: int, names: Sequence[str], lines: Lines) -> pl.DataFrame:
    """A block at once; line by line when that fails, to name the line that is wrong."""
    raw, sign = block, lines.sign
    if lines.encoding != "utf-8":
        raw = raw.decode(lines.encoding).encode()
    if len(sign) > 1:
        raw, sign = raw.replace(sign.encode(), _ONE.encode()), _ONE
    try:
        frame = pl.read_csv(
            io.BytesIO(raw),
            separator=sign,
            has_header=False,
            schema=dict.fromkeys(names, pl.String),
            quote_char='"' if lines.sign == "," else None,
        )
        table = frame.select(
            pl.col(name).fill_null(lines.empty[name]) if name in lines.empty else pl.col(name)
            for name in lines.kinds
        ).with_columns(pl.col(name).cast(kind, strict=False) for name, kind in lines.kinds.items())
        whole = len(frame) == block.rstrip(b"\n").count(b"\n") + 1
        if whole and not sum(table.null_count().row(0)):
            return table
    except pl.exceptions.PolarsError:
        pass  # told below, with its line
    raise _first_wrong(path, block, line, names, lines)


def _first_wrong(path: Path, block: bytes, line: int, names: Sequence[str], lines: Lines) -> DataError:
    for number, raw in enumerate(block.rstrip(b"\n").split(b"\n"), line):
        fields = _fields(raw.decode(lines.encoding, "replace"), lines)
        if len(fields) != len(names):
            found = f"has {len(fields)} fields" if raw.strip() else "is empty"
            return DataError(f"{path.name} line {number} {found}", _should(lines, names), lines.source)
        row = dict(zip(names, fields, strict=True))
        for name, kind in lines.kinds.items():
            text = row[name] or lines.empty.get(name, "")
            if pl.Series([text or None]).cast(kind, strict=False).null_count():
                found = f"{name} {text!r}" if text else f"no {name}"
                return DataError(
                    f"{path.name} line {number} has {found}", _should(lines, names), lines.source
                )
    return DataError(f"{path.name} cannot be read from line {line} on", _should(lines, names), lines.source)


def _fields(text: str, lines: Lines) -> list[str]:
    text = text.rstrip("\r")
    return next(csv.reader([text]), []) if lines.sign == "," else text.split(lines.sign)


def _should(lines: Lines, names: Sequence[str] | None) -> str:
    numbers = [name for name, kind in lines.kinds.items() if kind != pl.String]
    said = f"{len(names)} fields a line" if names else f"a line of names with {', '.join(lines.kinds)}"
    return f"{said}, numbers in {', '.join(numbers)}" if numbers else said
