"""A cluster's checkpoint: a folder of everyone's files, that counts once its manifest is written.

CLUSTER/round-00003/
    dense.safetensors, rows-0.safetensors ...   the shared parameters and their outer optimizer's memory
    parts-0/ ...                                specific parts, by owner
    state/                                      all the rest of the state
    manifest.json                               written last: the names, bytes and rows of all of these

Every machine must see this folder under the same path.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mamdr.errors import CheckpointError
from mamdr.files import write_json

FORMAT = 1
_NAME = "manifest.json"


@dataclass(frozen=True)
class Manifest:
    """What a finished checkpoint consists of.

    Args:
        folder: where it lies.
        round: rounds made.
        rows: files of shared parameters, the dense part's first.
        parts: folders of specific parts.
        facts: what each of them said of itself.
    """

    folder: Path
    round: int
    rows: tuple[str, ...]
    parts: tuple[str, ...]
    facts: tuple[dict[str, Any], ...]

    @property
    def state(self) -> Path:
        """Where the rest of the state lies."""
        return self.folder / "state"

    @property
    def bytes(self) -> int:
        """Bytes of shared parameters and outer moments."""
        return sum(int(fact.get("bytes", 0)) for fact in self.facts)

    def write(self) -> None:
        """Make the checkpoint count. The last thing that is written."""
        said = {"round": self.round, "rows": self.rows, "parts": self.parts, "facts": self.facts}
        write_json(self.folder / _NAME, {"format": FORMAT, **said})

    @classmethod
    def read(cls, folder: Path) -> Manifest:
        """A finished checkpoint.

        Raises:
            CheckpointError: there is none, or a file of it is absent or not as long as it was.
        """
        path = folder / _NAME
        try:
            said = json.loads(path.read_text(encoding="utf-8"))
            made = cls(folder, said["round"], tuple(said["rows"]), tuple(said["parts"]), tuple(said["facts"]))
            known = said["format"] == FORMAT
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise CheckpointError(
                f"no finished checkpoint of a cluster in {folder}",
                _NAME,
                "Restore it, or train into a new folder",
            ) from error
        if not known:
            raise CheckpointError(f"another format in {path}", f"format {FORMAT}", "Train anew")
        for fact in made.facts:
            file = folder / fact["name"]
            if "bytes" in fact and (not file.is_file() or file.stat().st_size != fact["bytes"]):
                raise CheckpointError(
                    f"{file} is absent or cut short", f"{fact['bytes']:,} bytes", "Restore it, or train anew"
                )
        return made


def round_folder(folder: Path, round: int) -> Path:
    return folder / f"round-{round:05d}"


def clear(folder: Path, keep: Sequence[int]) -> None:
    """Remove checkpoints of other rounds, and what never came to count."""
    kept = {round_folder(folder, round) for round in keep}
    for path in folder.iterdir() if folder.is_dir() else ():
        if path not in kept:
            (path / _NAME).unlink(missing_ok=True)  # so that half of a folder never counts
            shutil.rmtree(path, ignore_errors=True)
