"""Parameters by their names: what a list of patterns means."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase

from mamdr.config import nearest
from mamdr.errors import ConfigError


def matching(patterns: Iterable[str], names: Sequence[str], where: str) -> frozenset[str]:
    """The names that at least one of the patterns fits; `*` is any text, `?` any character.

    Args:
        patterns: such as "hidden.*"; a name is its own pattern.
        names: of a module's trainable parameters.
        where: the setting's name in the recipe, for messages.

    Raises:
        ConfigError: a pattern that fits no name.

    >>> sorted(matching(["hidden.*"], ["user.weight", "hidden.weight", "hidden.bias"], "frozen"))
    ['hidden.bias', 'hidden.weight']
    """
    found: set[str] = set()
    for pattern in patterns:
        fitting = [name for name in names if fnmatchcase(name, pattern)]
        if not fitting:
            raise ConfigError(
                f"{where}: no trainable parameter of the module is called {pattern!r}",
                "a parameter's name, or a pattern with * and ?",
                nearest(pattern, names),
            )
        found.update(fitting)
    return frozenset(found)
