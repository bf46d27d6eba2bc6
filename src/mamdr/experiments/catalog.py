"""The experiments by name: the paper's tables V to X and figures 8 and 9, and the models' own table."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from mamdr import models, strategies
from mamdr.experiments.design import Experiment, Line, Tables
from mamdr.strategies import MAMDR

_MODEL_LABELS = {
    "mlp": "MLP",
    "wdl": "WDL",
    "neurfm": "NeurFM",
    "autoint": "AutoInt",
    "deepfm": "DeepFM",
    "shared_bottom": "Shared-bottom",
    "mmoe": "MMOE",
    "ple": "PLE",
    "star": "Star",
}
"""Table V's models, in its order and spelling."""

_STRATEGY_LABELS = {
    "alternate": "Alternate",
    "finetune": "Alternate+Finetune",
    "weighted_loss": "Weighted Loss",
    "pcgrad": "PCGrad",
    "maml": "MAML",
    "reptile": "Reptile",
    "mldg": "MLDG",
    "dn": "DN",
    "dr": "DR",
    "mamdr": "MAMDR (DN+DR)",
}
"""Table X's frameworks, in its order and spelling."""

_TABLE_10_MODELS = ("mlp", "wdl", "neurfm", "deepfm", "shared_bottom", "star")
_ONE = (Line("", "", {}),)


def _ordered(first: Iterable[str], known: Iterable[str]) -> list[str]:
    """The names known, those of `first` before the others."""
    known, first = list(known), list(first)
    return [name for name in first if name in known] + [name for name in known if name not in first]


def _model(name: str, strategy: str | None = None, *, extra: bool = False, **settings: Any) -> Line:
    tables: dict[str, Mapping[str, Any]] = {"model": {"name": name, **settings}}
    if strategy:
        tables["strategy"] = {"name": strategy}
    return Line(name, _MODEL_LABELS.get(name, name), tables, extra)


def _strategy(name: str, tables: Tables | None = None, *, extra: bool = False, label: str = "") -> Line:
    made = {**(tables or {}), "strategy": {"name": name}}
    return Line(name, label or _STRATEGY_LABELS.get(name, name), made, extra)


_MLP: Tables = {"model": {"name": "mlp"}}
_MODELS = _ordered(_MODEL_LABELS, models.MODELS)
_STRATEGIES = [
    name
    for name in _ordered(_STRATEGY_LABELS, strategies.STRATEGIES)
    if name not in ("freeze", "then", "torchjd")  # what is made of others
]
_ABLATION = (
    _strategy("mamdr", _MLP, label="MLP+MAMDR (DN+DR)"),
    _strategy("dr", _MLP, label="w/o DN"),
    _strategy("dn", _MLP, label="w/o DR"),
    _strategy("alternate", _MLP, label="w/o DN+DR"),
)
_INDUSTRY = (
    Line("raw", "RAW", {**_MLP, "strategy": {"name": "alternate"}}),
    *(
        Line(name, name.upper(), {"model": {"name": name}, "strategy": {"name": "alternate"}})
        for name in ("mmoe", "cgc", "ple")
    ),
    Line("raw+separate", "RAW+Separate", {**_MLP, "strategy": {"name": "separate"}}),
    Line("raw+dn", "RAW+DN", {**_MLP, "strategy": {"name": "dn"}}),
    Line("raw+mamdr", "RAW+MAMDR", {**_MLP, "strategy": {"name": "mamdr"}}),
)

_SHRINK = {"shares": [0.0, 0.5, 1.0], "shrink": True}
_OWN: Tables = {"train": {"choose": "domain"}}
_SAFE: Tables = {"train": {"choose": "domain", "snapshots": 3, **_SHRINK}}
_MEAN = {"averaging": MAMDR.safe().averaging}


def _part(name: str, label: str, strategy: Mapping[str, Any], tables: Tables | None = None) -> Line:
    return Line(name, label, {**_MLP, **(tables or {}), "strategy": strategy})


_PARTS = (
    _part("alternate", "Alternate", {"name": "alternate"}),
    _part("alternate+own", "Alternate, own rounds", {"name": "alternate"}, _OWN),
    _part("alternate+mean", "Alternate, mean of rounds", {"name": "alternate", **_MEAN}),
    _part("alternate+both", "Alternate, both", {"name": "alternate", **_MEAN}, _OWN),
    _part("joint", "Joint", {"name": "joint"}),
    _part("joint+both", "Joint, both", {"name": "joint", **_MEAN}, _OWN),
    _part("dn", "DN", {"name": "dn"}),
    _part("dn+own", "DN, own rounds", {"name": "dn"}, _OWN),
    _part("mamdr-paper", "MAMDR of the paper", {"name": "mamdr"}),
    _part("mamdr", "MAMDR, safe", strategies.describe(MAMDR.safe()), _SAFE),
    _part(
        "mamdr-one", "MAMDR, safe, one round for all", strategies.describe(MAMDR.safe()), {"train": _SHRINK}
    ),
)
"""MAMDR with what keeps it safe, and each part of that by itself, over plain training."""

_AGAINST = (
    *(_strategy(name) for name in ("alternate", "finetune", "pcgrad", "famo", "dn")),
    Line("mamdr", "MAMDR, safe", {"strategy": strategies.describe(MAMDR.safe()), "train": _SHRINK}),
)
"""The safe MAMDR over any model (one round for all: models with running statistics have no others), and its rivals."""

_PATHS = tuple(
    Line(
        name,
        label,
        {
            **_MLP,
            "strategy": {"name": "alternate"},
            "walk": walk,
            "train": {"rounds": 5, "patience": 0},
        },
    )
    for name, label, walk in (
        ("fast", "as it is", {"rows": "lazy", "dropout": "packed"}),
        ("rows", "every row at every step", {"rows": "dense", "dropout": "packed"}),
        ("dropout", "PyTorch's dropout", {"rows": "lazy", "dropout": "torch"}),
        ("plain", "both", {"rows": "dense", "dropout": "torch"}),
    )
)
"""Five rounds of plain training, with shortcuts of the inner loop and without."""

_ALL = (
    Experiment(
        "table-5",
        "models trained alternately, and MLP with MAMDR",
        (
            *(_model(name, "alternate", extra=name not in _MODEL_LABELS) for name in _MODELS),
            Line("mlp+mamdr", "MLP+MAMDR", {**_MLP, "strategy": {"name": "mamdr"}}),
        ),
        _ONE,
        "methods",
        "mlp",
    ),
    Experiment(
        "table-6", "MAMDR without DN, without DR, without both", _ABLATION, _ONE, "methods", "alternate"
    ),
    Experiment("table-7", "the same, domain by domain", _ABLATION, _ONE, "domains", "alternate"),
    Experiment(
        "table-8", "methods of an industry's size, RAW being the MLP", _INDUSTRY, _ONE, "methods", "raw"
    ),
    Experiment(
        "table-9", "the same, on the ten largest domains", _INDUSTRY, _ONE, "domains", "raw", largest=10
    ),
    Experiment(
        "table-10",
        "learning frameworks, model by model",
        tuple(
            _model(name, extra=name not in _TABLE_10_MODELS) for name in _ordered(_TABLE_10_MODELS, _MODELS)
        ),
        tuple(_strategy(name, extra=name not in _STRATEGY_LABELS) for name in _STRATEGIES),
        "grid",
        "alternate",
    ),
    Experiment(
        "figure-8",
        "how many helpers: k of Domain Regularization",
        tuple(
            Line(f"k={k}", f"k = {k}", {**_MLP, "strategy": {"name": "mamdr", "num_helpers": k}})
            for k in (1, 3, 5, 7, 9)
        ),
        _ONE,
        "methods",
        "k=1",
    ),
    Experiment(
        "figure-9",
        "inner and outer learning rate of DN",
        tuple(
            Line(f"inner={r:g}", f"α = {r:g}", {**_MLP, "inner": {"lr": r}}) for r in (1e-1, 1e-2, 1e-3, 1e-4)
        ),
        tuple(
            Line(f"outer={r:g}", f"β = {r:g}", {"strategy": {"name": "dn", "outer_lr": r}})
            for r in (1.0, 0.5, 0.1, 0.05, 0.01)
        ),
        "grid",
        "outer=1",
    ),
    Experiment(
        "safe", "the safe MAMDR and what each part of it brings", _PARTS, _ONE, "methods", "alternate"
    ),
    Experiment(
        "safe-models",
        "the safe MAMDR model by model, beside what else learns from many domains",
        tuple(
            _model(name, extra=name not in (*_MODEL_LABELS, "pepnet", "mlora"))
            for name in _ordered(_MODEL_LABELS, models.MODELS)
        ),
        _AGAINST,
        "grid",
        "alternate",
    ),
    Experiment("safe-domains", "the same, domain by domain", _PARTS, _ONE, "domains", "alternate"),
    Experiment(
        "fast-paths", "what the inner loop's shortcuts change: five rounds", _PATHS, _ONE, "methods", "plain"
    ),
    Experiment(
        "models",
        "every model with Alternate, DN, DR and MAMDR",
        tuple(_model(name) for name in _MODELS),
        tuple(_strategy(name, extra=name not in ("alternate", "dn", "dr", "mamdr")) for name in _STRATEGIES),
        "grid",
        "alternate",
    ),
)

EXPERIMENTS = {experiment.name: experiment for experiment in _ALL}
"""Experiments by the name that the command takes."""
