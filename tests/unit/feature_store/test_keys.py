"""The index of ids."""

from __future__ import annotations

import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import mamdr.feature_store.keys as module
from mamdr.feature_store.keys import Ids, Keys


@given(st.sets(st.text()), st.lists(st.text()))
def test_every_id_is_found_and_no_other(texts: set[str], asked: list[str]) -> None:
    kept = sorted(texts)
    keys = Keys.of([text for text in kept if text.isprintable() or text], integers=False)
    names = keys.texts()
    for _ in range(2):  # the second time from what is remembered
        found = keys.find([*names, *asked])
        assert found[: len(names)].tolist() == list(range(len(names)))
        for text, row in zip(asked, found[len(names) :].tolist(), strict=True):
            assert row == (names.index(text) if text in names else len(names))


def test_ids_with_one_hash_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zlib, "crc32", lambda text: 7)
    keys = Keys.of(["a", "b", "c"], integers=False)
    assert keys.find(["c", "a", "d", "b"]).tolist() == [2, 0, 3, 1]


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_WARM", 10)
    names = [str(number) for number in range(100)]
    keys = Keys.of(names, integers=True)
    assert keys.find(names).tolist() == list(range(100))
    assert len(keys._warm) <= 10
    assert keys.find(names).tolist() == list(range(100))


def test_the_arrays_make_the_same_index() -> None:
    keys = Keys.of(["ü", "", "long" * 99], integers=False)
    again = Keys.from_arrays(keys.arrays(), integers=False)
    assert again.texts() == keys.texts()
    assert again.extended(["new"]).find(["new", "ü"]).tolist() == [3, 0]


def test_ids_are_read_when_they_are_looked_at() -> None:
    ids = Ids(Keys.of(["5", "6"], integers=True), np.array([1, 0, 2]), ["other"])
    assert list(ids) == [6, 5, "other"]
    assert list(ids[1:]) == [5, "other"]
    assert ids[-1] == "other"
