"""What an optimizer remembers: a count of steps and, by name, points of moments."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from mamdr.parameters.point import Allocate, Point
from mamdr.parameters.space import Ids, Space


@dataclass
class Moments:
    """An optimizer's state.

    Rows that the points lack have moments of zero, so a state is no larger than what was touched.

    Args:
        step: steps made so far.
        points: moments by name ("mean", "square", ...).
    """

    step: int = 0
    points: dict[str, Point] = field(default_factory=dict)

    def at(
        self, space: Space, names: Iterable[str], ids: Ids, allocate: dict[str, Allocate] | None = None
    ) -> Moments:
        """A copy with these moments for exactly these rows; what is not remembered is zero."""
        taken = {}
        for name in names:
            known = self.points.get(name)
            make = allocate[name] if allocate else None
            if known is not None:
                taken[name] = known.at(ids, make)
            elif make is not None:
                taken[name] = Point(space, ids, make(space.size(ids)).zero_())
            else:
                taken[name] = Point.zeros(space, ids)
        return Moments(self.step, taken)

    def put(self, walked: Moments) -> None:
        """Take over what `walked` holds for its rows; moments of other rows stay as they are."""
        self.step = walked.step
        for name, point in walked.points.items():
            known = self.points.get(name)
            self.points[name] = point.copy() if known is None else known.overwrite(point)
