"""A machine of a cluster goes away while it trains."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.unit.engine.ray.lab import cluster_trainer, dropping, last_state, on_a_cluster

from mamdr.data.domains import Dataset
from mamdr.parameters.outer import Adagrad
from mamdr.strategies import MAMDR
from mamdr.testing import same_bits, tiny_market

ray = pytest.importorskip("ray")

from mamdr.engine.ray.actors import cluster  # noqa: E402 (it imports Ray)

STRATEGY = MAMDR(num_helpers=1, outer=Adagrad(lr=0.3))
QUICK = {
    "health_check_initial_delay_ms": 0,
    "health_check_period_ms": 500,
    "health_check_failure_threshold": 4,
}


@pytest.fixture
def machines(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A head, where this process is, and two more machines of two processors each."""
    from ray.cluster_utils import Cluster

    small = {"object_store_memory": 100 << 20}
    made = Cluster(head_node_args={"num_cpus": 0, "_system_config": QUICK, **small})
    try:
        made.others = [made.add_node(num_cpus=2, **small) for _ in range(2)]
        yield made
    finally:
        ray.shutdown()
        made.shutdown()


def test_a_machine_that_goes_away_changes_nothing(machines: Any, tmp_path: Path) -> None:
    tiny_market((40, 26, 9)).save(tmp_path / "data")
    data = Dataset.load(tmp_path / "data")

    class PullsThePlug:
        def hear(self, event: dict[str, Any]) -> None: ...

        def walked(self, rows: int) -> None:
            if len(machines.others) == 2 and trainer.members.clock.round == 1:
                machines.remove_node(machines.others.pop(), allow_graceful=False)
                machines.add_node(num_cpus=4, object_store_memory=100 << 20)

        def close(self) -> None: ...

    with cluster(machines.address, 4, 120.0) as launcher:
        trainer = cluster_trainer(
            STRATEGY,
            tmp_path / "run",
            2,
            dropping,
            data,
            launcher=launcher,
            listeners=[PullsThePlug()],
            units=2,
            workers=2,
        )
        trainer.fit()
        there = last_state(trainer, 2)
    assert same_bits(on_a_cluster(STRATEGY, 2, data=data, units=2), there)
