"""Kinds of values that models' settings have."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

Width = Annotated[int, Field(ge=1, le=65536)]
"""The size of an embedding or of a layer."""

Widths = Annotated[tuple[Width, ...], Field(min_length=1)]
"""The sizes of one hidden layer or more."""

Count = Annotated[int, Field(ge=1, le=1024)]
"""How many of something: heads, levels, experts."""

Rate = Annotated[float, Field(ge=0, lt=1)]
"""A dropout rate."""
