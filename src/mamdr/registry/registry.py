"""A registry: a folder of immutable versions, and a pointer that says which of them serve.

    versions/v00001/     a version, whole (see `registry.layout` and `registry.manifest`)
    current.json         the pointer; replaced by a rename, so that every reader sees one state or the next
    joining/             domains that were added since (see `registry.joining`)

Every change is made under a lock that goes when its process ends. A process that is killed leaves the state before its
change or the one after, and dot-files that the next writer sweeps.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mamdr.config import nearest
from mamdr.data.storage import Content
from mamdr.errors import CheckpointError, ConfigError
from mamdr.files import atomic_folder, discard, disk_errors, locked, sweep, write_json
from mamdr.registry.manifest import read_manifest, verify
from mamdr.registry.pointer import Pointer, Split

_NAME = re.compile(r"v\d{5,}")
_POINTER = "current.json"


class Registry:
    """Versions on disk.

    Args:
        folder: the registry; made by the first publish.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self._threads = threading.RLock()

    @classmethod
    def open(cls, folder: str | Path) -> Registry:
        """A registry that is there already.

        Raises: CheckpointError when it is not.
        """
        if not (Path(folder) / "versions").is_dir():
            raise CheckpointError(
                f"no registry at {folder}", "a folder that `mamdr publish` made", "Check the path"
            )
        return cls(folder)

    def names(self) -> list[str]:
        """All versions, oldest first."""
        place = self.folder / "versions"
        found = (
            [path.name for path in place.iterdir() if _NAME.fullmatch(path.name)] if place.is_dir() else []
        )
        return sorted(found, key=lambda name: int(name[1:]))

    def path(self, version: str) -> Path:
        """Where a version lies.

        Raises: ConfigError for a name that no version has, whatever it holds.
        """
        if not _NAME.fullmatch(version) or not (self.folder / "versions" / version).is_dir():
            names = self.names()
            action = nearest(version, names) if names else "Publish a run first"
            raise ConfigError(f"no version {version[:40]!r} in {self.folder}", "a published version", action)
        return self.folder / "versions" / version

    def manifest(self, version: str) -> Content:
        """A version's manifest. Cost: a look at every file's size."""
        return read_manifest(self.path(version))

    def verify(self, version: str) -> Content:
        """The manifest, after every byte was checked; of a domain's version those of its base as well."""
        content = verify(self.path(version))
        if content["kind"] == "domain":
            verify(self.path(content["base"]))
        return content

    def pointer(self) -> Pointer:
        """Which versions serve.

        Raises: CheckpointError for a pointer that is damaged.
        """
        path = self.folder / _POINTER
        try:
            return Pointer.from_json(json.loads(path.read_text(encoding="utf-8")))
        except FileNotFoundError:
            return Pointer()
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise CheckpointError(
                f"{path} is damaged ({error})",
                "the pointer as mamdr wrote it",
                "Promote a version anew: `mamdr promote VERSION --reset`",
            ) from error

    def promote(self, version: str, domain: str | None = None, *, reset: bool = False) -> Pointer:
        """Let a version serve: every domain, or one.

        Args:
            version: its name. One of a single domain is put in charge of that domain.
            domain: the domain; None for all.
            reset: begin a new pointer, for one that is damaged.

        Raises:
            ConfigError: no such version, or one that does not hold the domain.
            CheckpointError: the version is damaged.
        """
        content = self.verify(version)
        held = frozenset([content["domain"]] if content["kind"] == "domain" else content["schema"]["domains"])
        if content["kind"] == "domain" and domain is None:
            domain = content["domain"]
        if domain is not None and domain not in held:
            raise ConfigError(f"{version} does not hold the domain {domain[:80]!r}", "one that it was trained on",
                              nearest(domain, held))  # fmt: skip
        with self.changing():
            now = Pointer() if reset else self.pointer()
            self.path(version)  # retention may have removed it meanwhile
            return self._point(now.promoted(version, held, domain))

    def rollback(self, domain: str | None = None) -> Pointer:
        """Go back to what served before the last promote, or to the version that served a domain before.

        Raises: CheckpointError when there is nothing to go back to, or what there was is gone or damaged.
        """
        with self.changing():
            back = self.pointer().rolled_back(domain)
            for version in sorted(back.versions):
                self.manifest(version)
            return self._point(back)

    def split(self, domain: str, split: Split | None) -> Pointer:
        """Let another version answer for a share of a domain's users; None lets one answer for all again."""
        if split is not None:
            self.verify(split.version)
        with self.changing():
            return self._point(self.pointer().split(domain, split))

    def retain(self, keep: int) -> list[str]:
        """Remove all but the newest `keep` versions, those that serve, those that one rollback would bring back, and
        those that these stand on; names of what was removed.
        """
        if keep < 1:
            raise ConfigError(f"keep {keep}", "1 or more", "Keep at least the newest version")
        with self.changing():
            pointer, names = self.pointer(), self.names()
            wanted = pointer.versions | set(names[-keep:])
            if pointer.history:
                before = pointer.history[-1]
                wanted |= {before.serving or "", *before.domains.values()}
            wanted |= {self.manifest(v).get("base") or "" for v in wanted if v in names}
            gone = [name for name in names if name not in wanted]
            for name in gone:
                discard(self.folder / "versions" / name)
            return gone

    @contextmanager
    def publishing(self) -> Iterator[tuple[str, Path]]:
        """Yield the next version's name and a folder to fill; when the block ends well the folder is that version."""
        place = self.folder / "versions"
        with self._locked("publishing"):
            sweep(place)
            sweep(self.folder)
            number = int(self.names()[-1][1:]) + 1 if self.names() else 1
            with atomic_folder(place / f"v{number:05d}", error=CheckpointError) as part:
                yield f"v{number:05d}", part

    @contextmanager
    def changing(self) -> Iterator[None]:
        """Keep the pointer to this process and thread."""
        with self._locked("changing"):
            yield

    @contextmanager
    def _locked(self, what: str) -> Iterator[None]:
        with self._threads:
            with disk_errors(self.folder):
                self.folder.mkdir(parents=True, exist_ok=True)
            with locked(self.folder / f".{what}.lock"):
                yield

    def _point(self, pointer: Pointer) -> Pointer:
        write_json(self.folder / _POINTER, pointer.to_json())
        return pointer
