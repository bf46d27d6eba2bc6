"""Keys, roles, and a service that is not left open."""

from __future__ import annotations

from pathlib import Path

import pytest

from mamdr.errors import ConfigError
from mamdr.serving.keys import ANYONE, Caller, Keys, check_open, digest, line, make_key


def test_a_key_opens_by_its_hash_alone(tmp_path: Path) -> None:
    key = make_key()
    file = tmp_path / "keys"
    file.write_text(
        f"# ours\n\n{line('reader', 'shop-1', key)} # since May\n{line('admin', 'owner', make_key())}\n"
    )
    keys = Keys.load(file)
    assert len(keys) == 2
    assert keys.caller(f"Bearer {key}") == Caller("shop-1", "reader")
    assert keys.caller(f"bearer  {key}") == Caller("shop-1", "reader")
    for wrong in (None, "", key, f"Basic {key}", f"Bearer {digest(key)}", f"Bearer {key}x", "Bearer"):
        assert keys.caller(wrong) is None
    assert key not in file.read_text()


def test_keys_come_from_the_environment_too() -> None:
    first, second = make_key(), make_key()
    told = {"MAMDR_KEYS": f"{line('reader', 'a', first)};{line('admin', 'b', second)}"}
    assert Keys.load(None, told).caller(f"Bearer {second}") == Caller("b", "admin")


@pytest.mark.parametrize(
    "text", ["reader shop", "root shop " + "0" * 64, "reader shop " + "0" * 63, "reader a b c"]
)
def test_lines_that_are_no_keys_are_refused_without_saying_what_they_hold(tmp_path: Path, text: str) -> None:
    (tmp_path / "keys").write_text(text)
    with pytest.raises(ConfigError, match="line 1 of") as caught:
        Keys.load(tmp_path / "keys")
    assert text not in str(caught.value)
    with pytest.raises(ConfigError, match="cannot read the keys"):
        Keys.load(tmp_path / "absent")


def test_short_keys_and_odd_names_are_refused() -> None:
    with pytest.raises(ConfigError, match="a key of 5 signs"):
        line("reader", "shop", "short")
    with pytest.raises(ConfigError, match="the name"):
        line("reader", "a b", make_key())


def test_without_keys_only_this_machine_is_let_in() -> None:
    assert Keys({}).caller(None) is ANYONE
    for host in ("127.0.0.1", "localhost", "::1"):
        check_open(Keys({}), host)
    for host in ("0.0.0.0", "192.168.1.5", "::", "example.org"):
        with pytest.raises(ConfigError, match="no keys"):
            check_open(Keys({}), host)
    check_open(Keys({digest(make_key()): ANYONE}), "0.0.0.0")
