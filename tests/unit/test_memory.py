"""Memory: sizes as settings have them, the most that was resident, and values that stay while there is room."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mamdr.errors import ConfigError
from mamdr.memory import Recent, bytes_of, peak_mb


def test_sizes() -> None:
    assert [bytes_of(size) for size in ("1KB", "512MB", "3GB")] == [1024, 512 << 20, 3 << 30]


@pytest.mark.parametrize("size", ["", "12", "0MB", "-1MB", "1.5GB", "1TB", "1 GB", "12MBs"])
def test_what_is_no_size(size: str) -> None:
    with pytest.raises(ConfigError, match="Write it like 512MB"):
        bytes_of(size)


def test_the_peak_rises_with_what_is_held() -> None:
    before = peak_mb()
    held = bytearray(64 << 20)
    held[:: 1 << 12] = b"x" * len(held[:: 1 << 12])  # every page
    assert peak_mb() > before or before > 64


@given(limit=st.integers(0, 20), steps=st.lists(st.tuples(st.integers(0, 5), st.integers(0, 9)), max_size=40))
def test_recent_holds_the_last_used_within_its_limit(limit: int, steps: list[tuple[int, int]]) -> None:
    recent, order = Recent[int, bytes](limit, len), dict[int, bytes]()
    for key, size in steps:
        if size == 9:  # a look instead of a put
            assert recent.get(key) == order.get(key)
            if key in order:
                order[key] = order.pop(key)
            continue
        order.pop(key, None)
        order[key] = bytes(size)
        while sum(map(len, order.values())) > limit:
            order.pop(next(iter(order)))
        recent.put(key, bytes(size))
        assert recent.held == sum(map(len, order.values())) <= limit
    assert {key: recent.get(key) for key in range(6) if recent.get(key) is not None} == order
