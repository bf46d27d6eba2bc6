"""The synthetic market as a built data set."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from mamdr.data.build import Progress, build
from mamdr.data.domains import Dataset
from mamdr.data.synthetic import MarketConfig, make_market


def synthetic_market(*, name: str = "synthetic", progress: Progress | None = None, **dials: Any) -> Dataset:
    """A market to try things on, split and coded as any other data set.

    Args:
        name: of the data set.
        progress: called with a text, what is done and what there is in all.
        dials: of `mamdr.data.synthetic.MarketConfig`; the same dials give the same bytes.

    Raises:
        ConfigError: a value out of range.
    """
    config = MarketConfig(**dials)
    return build(
        make_market(config, progress=progress),
        name=name,
        seed=config.seed,
        options={"market": asdict(config)},
    )
