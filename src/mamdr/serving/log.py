"""One line of JSON for each thing that happens, on standard error. No key, no body, no user and no item is in it."""

from __future__ import annotations

import json
import os
import sys
from datetime import UTC, datetime
from typing import Any


def log(event: str, **values: Any) -> None:
    """Tell of something, in one write, so that lines of several workers do not mix."""
    said = {
        "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "event": event,
        "pid": os.getpid(),
        **values,
    }
    sys.stderr.write(json.dumps(said) + "\n")
    sys.stderr.flush()
