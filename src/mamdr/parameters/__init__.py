"""The parameter algebra: spaces, points, stores, and optimizers that act on points."""

from mamdr.parameters import outer
from mamdr.parameters.elsewhere import Elsewhere
from mamdr.parameters.moments import Moments
from mamdr.parameters.point import Point
from mamdr.parameters.push_all import push_all
from mamdr.parameters.space import Dense, Ids, Space, Table
from mamdr.parameters.specific import Specific
from mamdr.parameters.stack import Layout, Stack
from mamdr.parameters.store import Ahead, LocalStore, Overlay, Patched, Store

__all__ = [
    "Ahead",
    "Dense",
    "Elsewhere",
    "Ids",
    "Layout",
    "LocalStore",
    "Moments",
    "Overlay",
    "Patched",
    "Point",
    "Space",
    "Specific",
    "Stack",
    "Store",
    "Table",
    "outer",
    "push_all",
]
