"""What every test may use: the folder of real data, and one thread as everywhere in mamdr."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

torch.set_num_threads(1)

_DEFAULT = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real research data; tests that need it skip where it is absent."""
    folder = Path(os.environ.get("MAMDR_TEST_DATA", _DEFAULT))
    if not folder.is_dir():
        pytest.skip(f"no real data at {folder}: set MAMDR_TEST_DATA to the folder that holds it")
    return folder
