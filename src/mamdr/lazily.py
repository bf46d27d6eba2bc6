"""Names that a package offers and imports only when somebody asks for them."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Mapping
from typing import Any


def late(package: str, places: Mapping[str, str], name: str) -> Any:
    """What a package's `__getattr__` gives for `name`, and keeps.

    Args:
        places: by name the package's module that has it.

    Raises:
        AttributeError: the package offers nothing of this name.
    """
    if name not in places:
        raise AttributeError(f"module {package!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{package}.{places[name]}"), name)
    setattr(sys.modules[package], name, value)
    return value
