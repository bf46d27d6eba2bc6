"""Every benchmark runs at tiny sizes and prints what it promises; nothing is timed here."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from benchmarks import (
    bounds,
    models,
    multi,
    multi_masked,
    multi_ours,
    naive,
    ours,
    peers,
    profile_round,
    shapes,
)
from tests.oracles import learning

from mamdr.data.domains import Dataset, Schema
from mamdr.models import MODELS, build

ROOT = Path(__file__).resolve().parents[2]


def _run(name: str, *options: str) -> dict[str, Any]:
    command = [sys.executable, "-m", f"benchmarks.{name}", "--smoke", "--json", *options]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=1200, check=False)
    assert ended.returncode == 0, ended.stderr
    figures: dict[str, Any] = json.loads(ended.stdout.splitlines()[-1])
    assert figures["benchmark"] == name
    assert {"cpu", "cores", "torch", "load"} <= figures["machine"].keys()
    return figures


@pytest.mark.parametrize(
    ("name", "promised"),
    [
        ("rows", ("end_to_end_ratio",)),
        ("ray_cache", ("taobao_fewer", "amazon_fewer")),
        ("taobao_round", ("vs_naive", "two_process_speedup", "two_process_bound", "vs_bound", "peak_mb")),
        ("amazon_round", ("vs_naive", "vs_bound", "peak_mb")),
    ],
)
def test_prints_the_promised_keys(name: str, promised: tuple[str, ...]) -> None:
    figures = _run(name)
    assert all(math.isfinite(figures[key]) and figures[key] > 0 for key in promised)


def test_batched_ends_where_walks_in_turn_end() -> None:
    figures = _run("batched")
    assert figures["difference"] < 1e-4  # a few Adam steps of float32
    assert set(figures["us_a_step"]) == {"sequential", "batched"}
    assert figures["device"] == "cpu" or torch.cuda.is_available()


def test_many_domains_compares_seconds_a_sample_and_a_step() -> None:
    figures = _run("many_domains")
    assert figures["seconds_ratio"] >= 1
    assert figures["step_ratio"] > 0
    assert figures["seconds_per_million"].keys() == figures["ms_a_step"].keys()


@pytest.mark.parametrize("shape", ["taobao", "amazon", "amazon6"])
def test_profile_round_tells_every_part_and_the_bound(shape: str) -> None:
    figures = _run("profile_round", "--shape", shape)
    assert set(figures["parts"]) == set(profile_round.PARTS)
    assert all(seconds > 0 for seconds in figures["parts"].values())
    assert figures["bound_s"] == pytest.approx(figures["arithmetic_s"] + figures["rows_s"])
    assert figures["round_s"] == pytest.approx(
        sum(figures["parts"].values()) - figures["parts"]["evaluation"]
    )


def test_frameworks_times_a_round_of_each_strategy() -> None:
    figures = _run("frameworks", "--only", "pcgrad")
    assert set(figures["seconds"]) == {"alternate", "pcgrad"}
    assert figures["rows_trained"]["pcgrad"] == figures["rows_trained"]["alternate"] == figures["rows"]
    assert figures["ratio"]["alternate"] == 1
    assert all(seconds > 0 for seconds in figures["seconds"].values())


def test_taobao_online_does_every_stage_and_resumes_to_the_bit() -> None:
    figures = _run("taobao_online", "--jobs", "1")
    assert figures["same"] is True
    assert figures["domains"] == 12
    assert figures["rows"] > 12 * 50
    promised = ("ms_a_walk", "ms_a_domain", "checkpoint_mb", "page_mb", "minutes", "peak_mb")
    assert all(math.isfinite(figures[key]) and figures[key] > 0 for key in promised)


def test_conflict_tells_each_methods_cosines_at_each_loss() -> None:
    command = [sys.executable, "-m", "benchmarks.conflict", "--smoke", "--json"]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=True)
    figures = json.loads(ended.stdout)
    assert set(figures["cosine"]) == set(figures["share"]) == {"reptile", "joint", "alternate", "dn"}
    assert all(len(row) == len(figures["losses"]) for rows in figures["cosine"].values() for row in rows)


def test_combined_memory_sets_pcgrads_peak_against_its_bound() -> None:
    figures = _run("combined_memory")
    assert set(figures["over_bound"]) == set(figures["over_tables"]) == {"lazy"}
    assert figures["bound_mb"] > figures["dense_gradients_mb"] > 0


def test_model_domains_names_every_model_of_the_promise() -> None:
    figures = _run("model_domains")
    names = {"shared_bottom", "mmoe", "ple", "star", "pepnet"} & MODELS.keys()
    assert figures["model_domains"].keys() == figures["uniform"].keys() == names
    assert all(ratio > 0 for ratio in figures["model_domains"].values())


def test_model_peers_compares_every_model_with_what_has_it(tmp_path: Path) -> None:
    """The other libraries are not installed; what is made in Scenario-Wise-Rec's manner needs none."""
    figures = _run("model_peers", "--venvs", str(tmp_path))
    assert figures["model_peers"].keys() == {"shared_bottom", "star"}  # of four, in a smoke run
    for by_domains in figures["ratios"].values():
        assert {name for ratios in by_domains.values() for name in ratios} == {"masking"}


@pytest.mark.parametrize("name", ["shared_bottom", "mmoe", "ple", "star"])
def test_masked_models_have_our_models_values(name: str) -> None:
    """As many to train, but for STAR's norms of each domain; and a logit a row."""
    sizes = {"user_id": 30, "item_id": 20, "domain": 4}
    settings = multi_ours.SETTINGS[name] | {"embedding": multi.EMBEDDING}
    schema = Schema(tuple("abcd"), {"user_id": 30, "item_id": 20})
    masked = multi_masked.MODELS[name](sizes)
    counts = [sum(p.numel() for p in made.parameters()) for made in (build(name, schema, settings), masked)]
    assert counts[0] == pytest.approx(counts[1], rel=0.01)
    table = multi.rows(domains=4, steps=2, batch=32, users=30, items=20)
    assert all(masked(batch).shape == labels.shape == (32,) for batch, labels in multi.batches(table, 32, 1))


def test_building_times_both_tables() -> None:
    figures = _run("building")
    market = figures["market"]
    assert market["rows"] > 3 * market["positives"] > 0
    assert all(market[key] > 0 for key in ("wall_s", "cpu_s", "peak_mb"))
    assert "amazon" not in figures  # not at tiny sizes


def test_peers_names_its_peers_and_says_which_are_not_installed(tmp_path: Path) -> None:
    figures = _run("peers", "--venvs", str(tmp_path))
    assert figures["peers"] == dict.fromkeys(peers.PEERS)
    assert figures["samples_per_s"]["frozen"]["mamdr"] > 0
    assert figures["peak_mb"]["trainable"]["mamdr"] > 0


def test_tables_have_the_papers_sizes_and_overlapping_users() -> None:
    table = shapes.taobao()
    assert (len(table), table.users, table.items) == (92_137, 23_778, 6_932)
    assert len(table.sizes) == 10
    assert np.array(table.sizes) / 92_137 == pytest.approx(
        np.array(shapes.TAOBAO_SAMPLES) / 173_284, abs=1e-4
    )
    assert len(np.unique(table.user)) == table.users
    met = [set(table.user[table.domain == d].tolist()) for d in range(10)]
    assert sum(map(len, met)) > 1.1 * table.users
    wide = shapes.amazon(scale=0.01)
    assert (len(wide), wide.users + wide.items, len(wide.sizes)) == (10_000, 1_400, 6)
    assert set(np.unique(wide.label)) == {0.0, 1.0}


def test_work_of_a_round_by_hand() -> None:
    table = shapes.taobao(scale=0.01)
    work = bounds.round_work(table, helpers=5, trainable=False)
    assert work.samples == len(table) * 11
    upper = 256 * 128 + 128 * 64 + 64
    # two products of the first layer where its inputs are frozen, three of the others
    assert work.flops == work.samples * 2 * (2 * 256 * 256 + 3 * upper)
    assert work.flops_unfolded == work.samples * 2 * (2 * 384 * 256 + 128 * 256 + 3 * upper)
    assert bounds.round_samples(table, helpers=50) == len(table) * 19


def test_naive_baseline_is_mamdr_as_the_oracle_has_it() -> None:
    """A table of one batch a domain, no dropout: both must end at the same weights."""
    table = shapes.taobao(scale=0.003)
    baseline = naive.Naive(table, dropout=0.0)
    order, helpers = naive.draws(len(table.sizes), 2, seed=3)
    module = models.build(table, dropout=0.0)
    ends = np.cumsum(table.sizes)

    def batches(domain: int, _: learning.Pass) -> list[tuple[learning.Batch, torch.Tensor]]:
        rows = slice(int(ends[domain]) - table.sizes[domain], int(ends[domain]))
        arrays = {"user_id": table.user, "item_id": table.item, "domain": table.domain}
        batch = {name: torch.from_numpy(values[rows].astype(np.int64)) for name, values in arrays.items()}
        return [(batch, torch.from_numpy(table.label[rows]))]

    walker = learning.Walker(module, lambda parameters: torch.optim.Adam(parameters, lr=naive.LR))
    [(shared, specific)] = learning.mamdr(
        walker, learning.parameters_of(module), [order], [dict(enumerate(helpers))], batches, 0.1, 0.1
    )
    baseline.round(order, helpers)
    for name, value in shared.items():
        torch.testing.assert_close(baseline.shared[name], value, rtol=0, atol=1e-5)
        for i, part in specific.items():
            torch.testing.assert_close(baseline.specific[i][name], part[name], rtol=0, atol=1e-5)
    assert baseline.samples == len(table) + sum(
        table.sizes[j] + table.sizes[i] for i, h in enumerate(helpers) for j in h
    )


@pytest.mark.parametrize("trainable", [False, True])
def test_our_model_is_the_plain_one(trainable: bool, tmp_path: Path) -> None:
    """The same logits from the same weights, in a batch of one domain and in a mixed one."""
    table = shapes.taobao(scale=0.01)
    ours.write(table, tmp_path)
    data = Dataset.load(tmp_path / "dataset")
    plain = models.build(table, 0.5, trainable).eval()
    mine = ours.model(table, data.schema, 0.5, trainable).eval()
    for domains in ([3], [0, 1, 2]):
        for batch, _ in data.train.batches(domains, 64, None):
            torch.testing.assert_close(mine(batch), plain(batch), rtol=0, atol=1e-6)


def test_units_are_told_by_their_number_and_rule() -> None:
    assert set(_run("ray_units")["auc"]) == {"1 mean", "2 mean", "2 sum"}


def test_feature_stores_are_timed_side_by_side() -> None:
    pytest.importorskip("lmdb")
    figures = _run("feature_store")
    assert {"snapshot", "snapshot, new", "lmdb"} <= figures["cases"]["zipf"].keys()
    assert figures["cases"].keys() == {"zipf", "uniform", "lists"}
    assert figures["snapshot_us"] == figures["cases"]["zipf"]["snapshot"]["p50_us"] > 0


def test_the_service_answers_a_load_whole(tmp_path: Path) -> None:
    """Every answer under a change of versions is the whole answer of one of them."""
    for extra in ("fastapi", "uvicorn", "lmdb", "prometheus_client"):
        pytest.importorskip(extra)
    parts = _run("serving_load")["parts"]
    assert parts.keys() == {"recommend", "score", "switch", "domains", "join", "naive"}
    join = parts.pop("join")
    assert 0 < join["served_s"] < join["gated_s"]
    assert all(part["requests"] > 0 and part["failed"] == 0 for part in parts.values())
    assert parts["switch"]["mixed"] == 0
    assert parts["switch"]["switches"] > 0
    assert 0 < parts["domains"]["hit_rate"] < 1
    assert parts["domains"]["merged_mb"] <= 8


def test_the_benchmark_of_a_new_domain_compares_three_ways_of_serving_it() -> None:
    (figures,) = _run("new_domain")["domains"].values()
    assert all(0 < figures[name] < 1 for name in ("shared", "joined", "trained"))
    assert figures["rounds"] >= 1
