"""Pushes of many displacements at once, to the specific parts of as many domains."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from mamdr.memory import uncollected
from mamdr.parameters.point import Point
from mamdr.parameters.space import Ids, Space
from mamdr.parameters.stack import Layout, tables_of
from mamdr.parameters.store import Overlay, Store


def push_all(pushes: Sequence[tuple[Store, Point]], rate: float) -> None:
    """Push each displacement to its store, as if one after another.

    Cost: some dozens of operations for all of them together where the stores are overlays on one dictionary of whole
    parts, each of another domain, and every parameter may be specific; else a push each.
    """
    overlays = _alike([store for store, _ in pushes])
    if overlays is None:
        for store, displacement in pushes:
            store.push(displacement, rate)
        return
    with uncollected():
        _push_to(overlays, [displacement for _, displacement in pushes], rate)


def _push_to(overlays: Sequence[Overlay], points: Sequence[Point], rate: float) -> None:
    space = overlays[0].space
    pieces = [point.pieces() for point in points]
    tables, layout = tables_of(space, pieces), Layout(space, [point.ids for point in points])
    kept = _kept(layout, tables, overlays)
    keys = [of_table[places] for of_table, places in zip(layout.keys, kept, strict=True)]
    parts = [overlay.specific.get(overlay.domain) for overlay in overlays]
    before = Layout(space, [space.no_ids() if part is None else part.ids for part in parts])
    union = [torch.unique(torch.cat(both)) for both in zip(before.keys, keys, strict=True)]
    grown = _grown(space, parts, Layout.of_keys(space, len(parts), union), points[0].flat)
    held = [part.pieces() for part in parts if part is not None]
    old = tables_of(space, held) if held else [rows[:0] for rows in tables]
    new = [part.pieces() for part in grown]
    torch._foreach_add_([dense for dense, *_ in new], [dense for dense, *_ in pieces], alpha=rate)
    for t, (moved, where) in enumerate(zip(tables, kept, strict=True)):
        rows = moved.new_zeros(union[t].numel(), moved.shape[1])
        rows[torch.searchsorted(union[t], before.keys[t])] = old[t]
        rows.index_add_(0, torch.searchsorted(union[t], keys[t]), moved[where], alpha=rate)
        targets = [each[1 + t] for each in new]
        torch._foreach_copy_(targets, rows.view(-1).split_with_sizes([target.numel() for target in targets]))
    for overlay, part in zip(overlays, grown, strict=True):
        overlay.specific[overlay.domain] = part


def _alike(stores: Sequence[Store]) -> list[Overlay] | None:
    """The stores, where they are overlays that can be pushed to together."""
    overlays = [store for store in stores if isinstance(store, Overlay)]
    if len(overlays) < max(2, len(stores)):
        return None
    space, parts, own = overlays[0].space, overlays[0].specific, overlays[0].rows is not None
    alike = all(each.specific is parts and (each.rows is not None) == own for each in overlays)
    apart = len({each.domain for each in overlays}) == len(overlays)
    return overlays if type(parts) is dict and alike and apart and _whole(space) else None


def _whole(space: Space) -> bool:
    """Whether parts hold every parameter as it is."""
    return space.part is space and not space.frozen and space.specific.issuperset(space.names)


def _kept(layout: Layout, tables: Sequence[Tensor], overlays: Sequence[Overlay]) -> list[Tensor]:
    """For each table which rows of the displacements are kept: those that moved and that the overlay keeps at all."""
    marks = [rows.any(1) for rows in tables]
    own = [overlay.rows for overlay in overlays if overlay.rows is not None]
    if own:
        keys = Layout(layout.space, own).keys
        marks = [
            mark & torch.isin(of_table, among)
            for mark, of_table, among in zip(marks, layout.keys, keys, strict=True)
        ]
    return [mark.nonzero().squeeze(1) for mark in marks]


def _grown(space: Space, parts: Sequence[Point | None], layout: Layout, like: Tensor) -> list[Point]:
    """Points with these rows and the parts' dense values: the parts themselves where they have the rows already, else
    new ones, the rows of which are still to be written."""
    grown: list[Point] = []
    fresh: list[Tensor] = []
    copied: tuple[list[Tensor], list[Tensor]] = [], []
    for part, ids in zip(parts, layout.ids, strict=True):
        if part is not None and _counts(part.ids) == _counts(ids):
            grown.append(part)
            continue
        # Ids of its own: a part may outlive the others by many rounds.
        point = Point(space, tuple(rows.clone() for rows in ids), like.new_empty(space.size(ids)))
        grown.append(point)
        if part is None:
            fresh.append(point.dense)
        else:
            copied[0].append(point.dense)
            copied[1].append(part.dense)
    if fresh:
        torch._foreach_zero_(fresh)
    if copied[0]:
        torch._foreach_copy_(*copied)
    return grown


def _counts(ids: Ids) -> list[int]:
    return [rows.numel() for rows in ids]
