"""What the report knows of a run: how it was trained, what it predicted, and how good that is."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mamdr.evaluation.metrics import Metrics, evaluate
from mamdr.training.conflict import read_conflict
from mamdr.training.run import Run

Array = NDArray[Any]
Floats = NDArray[np.float64]
Progress = Callable[[str, int, int], None]
"""Told of work as it is done: what, steps done, steps in all."""

_MONITORS = {
    "mean_auc": "mean validation AUC",
    "weighted_auc": "sample-weighted validation AUC",
    "pooled_auc": "pooled validation AUC",
}
_STOPPED = {"validation": "no better validation", "rounds": "all rounds done", "": "not finished"}


def quiet(what: str, done: int, total: int) -> None:
    """Progress that nobody watches."""


@dataclass(frozen=True, slots=True)
class RoundRecord:
    """One round of training.

    Attributes:
        round: counted from 1.
        seconds: how long it took, training and validation.
        train_loss: mean over the round's steps, in nats; None when it was not measured.
        val_mean_auc, val_log_loss: on the validation split; None when they cannot be computed.
    """

    round: int
    seconds: float | None
    train_loss: float | None
    val_mean_auc: float | None
    val_log_loss: float | None


@dataclass(frozen=True, eq=False)
class RunSummary:
    """One run, with its predictions of one split.

    Attributes:
        name: how the page calls the run; unlike every other run's in the report.
        data: the data set's name; `fingerprint` tells whether two runs saw the same content.
        finetuned: whether each domain was fine-tuned after training.
        best_round: the round whose parameters were evaluated; None when there is none.
        stopped_by: why training ended, in words.
        metrics: of the split named by `split`.
        labels, probabilities: [N], rows of a domain together.
        offsets: [D + 1], domain d is rows offsets[d]:offsets[d + 1].
        domains: the D names.
        version: the mamdr that trained the run.
        chosen_by: what chose `best_round`.
        conflict: what `mamdr conflict` found, when it was run.
        shares: λ of each domain [D], how much of its own part serves it, NaN where it has none; None when no domain
            has one, or nothing tells (`training.served`).
        own_rounds: the round of its own that serves each domain [D], NaN where the run's best round does; else None.
    """

    name: str
    strategy: str
    model: str
    data: str
    seed: int
    finetuned: bool
    best_round: int | None
    stopped_by: str
    split: str
    rounds: Sequence[RoundRecord]
    metrics: Metrics
    labels: Array
    probabilities: Array
    offsets: Array
    domains: tuple[str, ...]
    fingerprint: str = ""
    version: str = ""
    chosen_by: str = "mean validation AUC"
    conflict: Mapping[str, Any] | None = None
    shares: Floats | None = None
    own_rounds: Floats | None = None

    @classmethod
    def from_run(
        cls, run: Run, split: str = "test", *, name: str | None = None, progress: Progress = quiet
    ) -> RunSummary:
        """Score a split with a run's best round and gather what its folder tells of the training.

        Cost: one pass of predictions over the split.
        """
        rows, names = run.data.split(split), run.data.schema.domains
        scores = []
        for domain, probabilities in run.predict(split):
            scores.append(probabilities)
            progress(f"Scoring {name or run.name}", domain + 1, len(names))
        labels, offsets, probabilities = rows.labels.numpy(), rows.offsets.numpy(), np.concatenate(scores)
        info, users, served = run.info, rows.columns["user_id"].numpy(), run.served or ()
        return cls(
            name=name or run.name,
            strategy=info["strategy"],
            model=info["model"],
            data=run.data.name,
            seed=info["seed"],
            finetuned=info["finetuned"],
            best_round=info["best_round"],
            stopped_by=_STOPPED.get(info["stopped_by"], info["stopped_by"]),
            split=split,
            rounds=[_record(event) for event in run.events if event["event"] == "round"],
            metrics=evaluate(names, offsets, labels, probabilities, users),
            labels=labels,
            probabilities=probabilities,
            offsets=offsets,
            domains=names,
            fingerprint=run.data.fingerprint,
            version=info["version"],
            chosen_by=_MONITORS.get(info["monitor"], info["monitor"]),
            conflict=read_conflict(run.folder, run.data.fingerprint) if run.folder else None,
            shares=_column([domain.share for domain in served]),
            own_rounds=_column([domain.own_round for domain in served]),
        )

    @property
    def seconds(self) -> float | None:
        """Time spent in all rounds; None when some round's is not known."""
        times = [record.seconds for record in self.rounds if record.seconds is not None]
        return sum(times) if times and len(times) == len(self.rounds) else None

    @property
    def aucs(self) -> Floats:
        """AUC of each domain [D], NaN where there is none."""
        return np.array([np.nan if d.auc is None else d.auc for d in self.metrics.domains], np.float64)


def _column(values: Sequence[float | None]) -> Floats | None:
    """Values [D], NaN where there is none; None where there is none at all."""
    column = np.array(values, np.float64)  # numpy takes None for NaN
    return None if np.isnan(column).all() else column


def _record(event: Mapping[str, Any]) -> RoundRecord:
    """What a "round" event of events.jsonl says."""
    times = [event[key] for key in ("seconds", "evaluation_seconds") if event.get(key) is not None]
    val = event["val"]
    return RoundRecord(
        round=event["round"],
        seconds=sum(times) if times else None,
        train_loss=event["train_loss"],
        val_mean_auc=val["mean_auc"],
        val_log_loss=val["log_loss"],
    )
