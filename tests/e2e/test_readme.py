"""What the README shows runs as it is shown."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import mamdr

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_ten_lines_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code = re.search(r"```python\n(.*?)```", README, re.DOTALL)
    assert code is not None
    monkeypatch.chdir(tmp_path)
    data = mamdr.synthetic_market(domains=2, users=60, items=30, samples_per_domain=300)
    data.save(tmp_path / "data" / "amazon")
    exec(code.group(1).replace("Gift_Cards", data.schema.domains[0]), {})
    assert 0 < float(capsys.readouterr().out) < 1


def test_every_path_and_target_it_names_exists() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in re.findall(r"^make (\w+)", README, re.MULTILINE):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target
    for path in re.findall(r"\]\(([\w/.]+\.md)\)", README):
        assert (ROOT / path).exists(), path
    for recipe in re.findall(r"recipes/[\w-]+\.toml", README):
        assert (ROOT / recipe).exists(), recipe
