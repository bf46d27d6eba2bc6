"""Which version answers for which domain, after any change."""

from __future__ import annotations

import pytest

from mamdr.errors import CheckpointError, ConfigError
from mamdr.registry import Placement, Pointer, Split

ALL = frozenset({"books", "toys"})


def test_a_promote_of_all_and_its_way_back() -> None:
    first = Pointer().promoted("v00001", ALL)
    second = first.promoted("v00002", ALL)
    assert second.placement.of("books") == "v00002"
    back = second.rolled_back()
    assert (back.placement.serving, back.generation) == ("v00001", 3)
    with pytest.raises(CheckpointError, match="nothing to go back to"):
        back.rolled_back()


def test_one_domain_is_promoted_and_goes_back_by_itself() -> None:
    pointer = Pointer().promoted("v00001", ALL).promoted("v00002", ALL).promoted("v00001", ALL, "toys")
    assert (pointer.placement.of("toys"), pointer.placement.of("books")) == ("v00001", "v00002")
    back = pointer.rolled_back("toys")
    assert (back.placement.of("toys"), back.placement.of("books")) == ("v00002", "v00002")


def test_a_newcomer_without_an_earlier_version_goes_back_to_shared() -> None:
    pointer = Pointer().promoted("v00001", ALL).promoted("v00002", frozenset({"garden"}), "garden")
    assert pointer.rolled_back("garden").placement.of("garden") == "v00001"


def test_a_promote_of_all_takes_back_domains_that_it_holds_and_leaves_newcomers() -> None:
    pointer = Pointer(Placement("v00001", {"toys": "v00003", "garden": "v00004"}))
    after = pointer.promoted("v00005", ALL).placement
    assert after == Placement("v00005", {"garden": "v00004"})


def test_promoting_what_serves_already_changes_nothing() -> None:
    pointer = Pointer().promoted("v00001", ALL)
    assert pointer.promoted("v00001", ALL) == pointer


def test_splits_are_set_and_ended() -> None:
    pointer = Pointer().promoted("v00001", ALL).split("toys", Split("v00002", 0.1))
    assert pointer.versions == {"v00001", "v00002"}
    assert pointer.split("toys", None).versions == {"v00001"}
    with pytest.raises(ConfigError, match="share 2"):
        pointer.split("toys", Split("v00002", 2.0))


def test_a_pointer_is_read_as_it_was_written() -> None:
    pointer = (
        Pointer().promoted("v00001", ALL).promoted("v00002", ALL, "toys").split("a/b", Split("v00001", 0.5))
    )
    assert Pointer.from_json(pointer.to_json()) == pointer
    with pytest.raises(ValueError, match="format 9"):
        Pointer.from_json(pointer.to_json() | {"format": 9})
