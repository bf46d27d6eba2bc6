"""Published versions of runs: immutable on disk, and a pointer that says which of them serve."""

from mamdr.registry.helpers import HelperSample
from mamdr.registry.pointer import Placement, Pointer, Split
from mamdr.registry.publish import publish
from mamdr.registry.registry import Registry
from mamdr.registry.version import Joined, Served, Version, load

__all__ = [
    "HelperSample",
    "Joined",
    "Placement",
    "Pointer",
    "Registry",
    "Served",
    "Split",
    "Version",
    "load",
    "publish",
]
