"""Shares of users, who stay where they are."""

from __future__ import annotations

from multiprocessing.connection import Connection

import pytest
from tests.faults import Worker

from mamdr.serving.split import assigned, place

USERS = [f"user-{number}" for number in range(20_000)]


@pytest.mark.parametrize("share", [0.0, 0.01, 0.3, 0.5, 1.0])
def test_the_share_of_users_is_the_one_asked_for(share: float) -> None:
    found = sum(assigned("books", user, share) for user in USERS) / len(USERS)
    assert abs(found - share) <= 4 * (share * (1 - share) / len(USERS)) ** 0.5  # 4 deviations


def test_nobody_goes_back_when_the_share_is_raised() -> None:
    sides = [{user for user in USERS if assigned("books", user, share)} for share in (0.1, 0.2, 0.7)]
    assert sides[0] < sides[1] < sides[2]


def test_domains_divide_their_users_by_other_dice() -> None:
    one, two = ({user for user in USERS if assigned(name, user, 0.5)} for name in ("books", "films"))
    assert 0.22 < len(one & two) / len(USERS) < 0.28


def test_names_do_not_run_into_each_other() -> None:
    assert place("a", "bc") != place("ab", "c")


def test_numbers_and_texts_and_odd_names_have_a_place() -> None:
    assert place("d", 17) == place("d", "17")
    assert 0 <= place("\ud800", "\0") < 1


def test_another_process_says_the_same() -> None:
    assert Worker(tell_place).first() == place("books", "ünï")


def tell_place(told: Connection) -> None:
    told.send(place("books", "ünï"))
