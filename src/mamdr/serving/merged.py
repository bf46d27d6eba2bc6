"""Merged dense parts of domains, Θ_i = θ_S + λ_i θ_i, made when they are asked for and kept up to so many bytes."""

from __future__ import annotations

from collections import OrderedDict

from torch import Tensor

from mamdr.registry import Served


class Merged:
    """The dense values that serve domains; those asked for least recently go first.

    Args:
        limit: bytes kept at most; the newest is kept whatever its size.

    A domain without a part of its own costs nothing: it has the shared values themselves.
    """

    def __init__(self, limit: int) -> None:
        self.limit, self.bytes, self.hits, self.misses = limit, 0, 0, 0
        self._kept: OrderedDict[tuple[str, int, int], Tensor] = OrderedDict()

    def __len__(self) -> int:
        return len(self._kept)

    def dense(self, served: Served, number: int = 0) -> Tensor:
        """The dense values [P] of a domain, of several stores those of this number.

        Cost: of a miss, one pass over P values (and a product of factors).
        """
        if not served.own:
            return served.base.state.shared.dense
        key = served.version, served.number, number
        found = self._kept.get(key)
        if found is not None:
            self._kept.move_to_end(key)
            self.hits += 1
            return found
        self.misses += 1
        made = served.stores[number].pull(served.base.space.no_ids()).flat
        self._kept[key] = made
        self.bytes += made.nbytes
        while self.bytes > self.limit and len(self._kept) > 1:
            self._drop(next(iter(self._kept)))
        return made

    def forget(self, versions: set[str]) -> None:
        """Drop what belongs to other versions than these."""
        for key in [key for key in self._kept if key[0] not in versions]:
            self._drop(key)

    def _drop(self, key: tuple[str, int, int]) -> None:
        self.bytes -= self._kept.pop(key).nbytes
