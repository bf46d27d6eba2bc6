"""What a worker sees of the registry while others change it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.unit.registry.shop import Shop
from tests.unit.serving.calls import options_of

from mamdr.registry import newcomers
from mamdr.registry.newcomers import Newcomers
from mamdr.serving.desk import Desk


@pytest.mark.parametrize("own", [True, False])
def test_a_domain_whose_folder_was_empty_at_one_look_is_known_at_the_next(
    shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, own: bool
) -> None:
    """Also in a folder of another user's, of which only the time as it is now may be set."""
    mine, seen, set_time = shop.copy(tmp_path / "shop"), [], newcomers.os.utime
    desk = Desk(options_of(mine))

    def looked_at(path: Path, value: Any) -> None:
        path.parent.mkdir(parents=True)
        seen.append(desk._known())
        write(path, value)

    def refused(path: Path, ns: tuple[int, int] | None = None) -> None:
        if ns is None:
            set_time(path)
        elif own:
            set_time(path, ns=ns)
        else:
            raise PermissionError("not yours")

    write = newcomers.write_json
    monkeypatch.setattr(newcomers, "write_json", looked_at)
    monkeypatch.setattr(newcomers.os, "utime", refused)
    try:
        Newcomers(mine.registry).put("garden")
        assert seen == [frozenset()]
        assert desk._known() == {"garden"}
    finally:
        desk.close()
