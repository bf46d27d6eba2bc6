"""A state on disk: whole, checked, written atomically.

A checkpoint is a folder: `meta.json` (what is in it, with a hash of itself and of the other file) and
`state.safetensors` (every tensor). Points are stored as `NAME/flat` and `NAME/ids/TABLE`, many domains' specific parts
one after another in one tensor each, so that ten thousands of domains are four tensors and not forty thousand; so are
moments that each domain has of its own. Specific parts that are on a shelf stay in its files, `NAME/NUMBER` in the
folder, each with its hash in `meta.json` (`training.parts`); the format is then 3, else 2.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from mamdr.errors import CheckpointError
from mamdr.files import atomic_folder, write_json
from mamdr.parameters import LocalStore, Moments, Space
from mamdr.strategies import State
from mamdr.training.parts import Parts, points_in, points_out, shelf_in, shelf_out
from mamdr.training.shelf import Shelf

FORMAT, SHELVED, SEVERAL = 2, 3, 4
"""Of a checkpoint whose points are all in tensors; with a shelf's files; where several rounds serve a domain."""

_KNOWN = (FORMAT, SHELVED, SEVERAL)
_META, _TENSORS = "meta.json", "state.safetensors"
_WHOLE = ("chosen", "further")  # kinds of points that are of the module's space, not of specific parts


def save(folder: Path, state: State, extra: Mapping[str, Any]) -> None:
    """Write a state and what the trainer wants to find with it (`extra`, JSON).

    Cost: the state's bytes once to disk, and reading them once for the hash; of what is on a shelf, the bytes that it
    has not written yet.

    Raises:
        DataError: the disk is full or cannot be written; nothing half-written is left.
    """
    tensors = {"shared/dense": state.shared.dense}
    tensors |= {
        f"shared/table/{t.name}": v for t, v in zip(state.space.tables, state.shared.tables, strict=True)
    }
    part = state.space.part
    for prefix, purposes in _shelves({p: m.points for p, m in state.moments.items()}).items():
        name = prefix.rpartition("/")[2]
        tensors |= points_out(prefix, [state.moments[p].points[name] for p in purposes], state.space)
    tensors |= {f"buffers/{name}": value for name, value in state.buffers.items()}
    for combiner, kept in state.memory.items():
        tensors |= {f"memory/{combiner}/{name}": value.clone() for name, value in kept.items()}
    meta: dict[str, Any] = {
        "round": state.round,
        "seed": state.seed,
        "samples": state.samples,
        "losses": state.losses,
        "domains": sorted(state.specific),
        "tuned": sorted(state.tuned),
        "chosen": sorted(state.chosen),
        "further": sorted(state.further),
        "moments": {purpose: [m.step, sorted(m.points)] for purpose, m in state.moments.items()},
        "buffers": sorted(state.buffers),
        "memory": {combiner: sorted(kept) for combiner, kept in state.memory.items()},
        "backoff": [[domain, *state.backoff[domain]] for domain in sorted(state.backoff)],
        "shares": [[domain, state.shares[domain]] for domain in sorted(state.shares)],
        "space": _describe(state.space),
        "part": _describe(part),
        "shelves": {},
        "extra": dict(extra),
    }
    with atomic_folder(folder, overwrite=True, error=CheckpointError) as new:
        of = {kind: getattr(state, kind) for kind in ("specific", "tuned", *_WHOLE)}
        for prefix, parts in of.items():
            if isinstance(parts, Shelf):
                own, meta["shelves"][prefix] = shelf_out(prefix, parts, new)
                tensors |= own
            elif parts or prefix == "specific":
                points = [parts[domain] for domain in sorted(parts)]
                tensors |= points_out(prefix, points, state.space if prefix in _WHOLE else part)
        stated = SEVERAL if state.further else SHELVED if meta["shelves"] else FORMAT
        for absent in ("shelves", "further"):
            if not meta[absent]:
                del meta[absent]
        _write({name: tensor.detach().contiguous().cpu() for name, tensor in tensors.items()}, new / _TENSORS)
        meta["tensors"] = _hash(new / _TENSORS)
        write_json(new / _META, {"format": stated, "sha256": _digest(meta), "content": meta})


def load(
    folder: Path, space: Space, place: Callable[[Space], Parts] = lambda space: {}
) -> tuple[State, dict[str, Any]]:
    """Read a state back, with `extra`.

    Args:
        folder: what `save` wrote.
        space: of the module that goes on; it must be the one that was saved.
        place: makes an empty mapping for domains' points of a space, in memory or a shelf.

    Raises:
        CheckpointError: the folder is absent, damaged, of another format, or of another module.
    """
    meta = read_meta(folder)
    path = folder / _TENSORS
    try:
        if _hash(path) != meta["tensors"]:
            raise _damaged(path, "its checksum is not the one in meta.json")
        tensors = load_file(path)
    except (OSError, SafetensorError) as error:
        raise _damaged(path, str(error)) from error
    if meta["space"] != _describe(space):
        raise CheckpointError(
            f"the checkpoint in {folder} holds other parameters than the module's",
            "the module (or recipe) that the run was made with",
            "Use the run's own recipe, or train into a new folder",
        )
    if meta.get("part", meta["space"]) != _describe(space.part):
        raise CheckpointError(
            f"the specific parts in {folder} hold other parameters, or other ranks, than asked for",
            "the [specific] settings that the run was made with",
            "Use the run's own recipe, or train into a new folder",
        )
    tensors = {name: tensor.to(space.device) for name, tensor in tensors.items()}
    shared = LocalStore(
        space, tensors["shared/dense"], [tensors[f"shared/table/{t.name}"] for t in space.tables]
    )
    specific = _parts("specific", meta["domains"], meta, tensors, folder, place(space.part), space.part)
    moments = {purpose: Moments(step) for purpose, (step, _) in meta["moments"].items()}
    for prefix, purposes in _shelves({p: names for p, (_, names) in meta["moments"].items()}).items():
        for purpose, point in zip(purposes, points_in(prefix, tensors, space), strict=True):
            moments[purpose].points[prefix.rpartition("/")[2]] = point
    buffers = {name: tensors[f"buffers/{name}"] for name in meta["buffers"]}
    owners = meta.get("tuned", [])  # absent from checkpoints of before there was fine-tuning
    tuned = _parts("tuned", owners, meta, tensors, folder, place(space.part), space.part)
    own, further = (  # absent from checkpoints of before domains had rounds of their own, or several
        _parts(kind, meta.get(kind, []), meta, tensors, folder, place(space), space) for kind in _WHOLE
    )
    kept = meta.get("memory", {})  # absent from checkpoints of before there were combiners
    memory = {c: {name: tensors[f"memory/{c}/{name}"].cpu() for name in names} for c, names in kept.items()}
    state = State(
        shared,
        specific,
        moments,
        buffers,
        meta["round"],
        meta["seed"],
        dict(meta["losses"]),
        meta["samples"],
        tuned,
        memory,
        dict(meta.get("shares", [])),  # absent from checkpoints of before there were shares
        own,
        {domain: (wait, due) for domain, wait, due in meta.get("backoff", [])},  # likewise
        further,
    )
    return state, meta["extra"]


def read_meta(folder: Path) -> dict[str, Any]:
    """The content of a checkpoint's `meta.json`, checked for its format and against its own checksum."""
    path = folder / _META
    if not path.is_file():
        raise CheckpointError(
            f"no checkpoint at {folder}", "a folder with meta.json and state.safetensors", "Train anew"
        )
    try:
        written = json.loads(path.read_text(encoding="utf-8"))
        found, stated = written["format"], written["sha256"]
        content: dict[str, Any] = written["content"] if found in _KNOWN else {}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise _damaged(path, "no JSON with format, sha256 and content") from error
    if found not in _KNOWN:
        raise CheckpointError(
            f"checkpoint format {found} in {folder}", f"format {FORMAT} to {SEVERAL}", "Train anew"
        )
    if stated != _digest(content):
        raise _damaged(path, "its checksum does not agree with its content")
    return content


def _shelves(moments: Mapping[str, Iterable[str]]) -> dict[str, list[str]]:
    """Where moments lie: prefix -> the purposes whose points are there, one after another.

    A purpose is a word ("inner") or a word and a domain ("inner/3"); all of a word lie together.
    """
    shelves: dict[str, list[str]] = {}
    for purpose in sorted(moments):
        for name in moments[purpose]:
            shelves.setdefault(f"moments/{purpose.partition('/')[0]}/{name}", []).append(purpose)
    return shelves


def _parts(
    prefix: str,
    domains: list[int],
    meta: Mapping[str, Any],
    tensors: Mapping[str, Tensor],
    folder: Path,
    parts: Parts,
    space: Space,
) -> Parts:
    """Domains' points of a space, put into `parts`, which may be in memory or on a shelf, however they were saved."""
    files = meta.get("shelves", {}).get(prefix)
    if files is None:
        parts.update(zip(domains, points_in(prefix, tensors, space) if domains else [], strict=True))
        return parts
    shelf = parts if isinstance(parts, Shelf) else Shelf(space, 0)
    try:
        wrong = shelf_in(prefix, tensors, files, folder, shelf)
        if wrong is None and parts is not shelf:
            parts.update(shelf)
    except OSError as error:
        raise _damaged(folder / prefix, str(error)) from error
    if wrong is not None:
        raise _damaged(folder / wrong, "its checksum is not the one in meta.json")
    return parts


def _describe(space: Space) -> list[list[Any]]:
    dense = [[part.name, *part.shape] for part in space.dense]
    return [*dense, *([table.name, table.rows, table.dim] for table in space.tables)]


def _write(tensors: dict[str, Tensor], path: Path) -> None:
    try:
        save_file(tensors, path)
    except SafetensorError as error:  # how safetensors says that the disk is full
        raise OSError(str(error)) from error


def _damaged(path: Path, why: str) -> CheckpointError:
    return CheckpointError(
        f"{path} is damaged ({why})",
        "the bytes that were saved",
        "Restore the file or train into a new folder",
    )


def _digest(content: Mapping[str, Any]) -> str:
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
