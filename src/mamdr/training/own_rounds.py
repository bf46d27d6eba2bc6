"""For each domain the round that its own validation rows prefer, and how much of its specific part serves it there.

Domains do not peak together: what has a few thousand rows over-fits while what has millions still rises, and one round
for all is a compromise. What a domain is served with at its own best round is kept beside the run's:

    Θ_i = θ_S(r_i) + λ_i · θ_i(r_i),    (r_i, λ_i) of the highest validation AUC of domain i, the earliest of several

for the dense part and for the table rows that the domain's training and validation data touch; other rows are those of
the run's best round.
With a share of 0 among the λ no domain is below the shared parameters of any round on validation.

The best of many rounds by a few hundred rows is in part the luckiest. With `within` > 0 a domain is served with the
mean over the rounds that its rows cannot tell from the best: those whose AUC lies within so many standard errors of it
(which trees are as good as the best: Breiman et al. 1984, section 3.4.3; weights along a trajectory may be averaged:
Izmailov et al. 2018). It is a running mean: a round that is better by more begins it anew, whichever came before.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from torch import nn

from mamdr.data.domains import Dataset
from mamdr.engine import Session
from mamdr.engine.buffers import Buffers
from mamdr.engine.look import looking
from mamdr.engine.rows import Rows
from mamdr.engine.trace import probe
from mamdr.errors import ConfigError
from mamdr.evaluation.auc import standard_error
from mamdr.evaluation.metrics import Metrics
from mamdr.parameters import Ids, Point
from mamdr.parameters.point import union_ids
from mamdr.strategies import State, Strategy
from mamdr.training.shares import share_aucs


class Own(NamedTuple):
    """A domain's highest validation AUC, the round and the share that had it, and over how many rounds the mean is."""

    auc: float
    round: int
    share: float
    rounds: int = 1


_NONE = Own(-math.inf, 0, 1.0, 0)


@dataclass
class OwnRounds:
    """What each domain did best with so far.

    Args:
        shares: the λ to try; none for 1 alone.
        within: standard errors of the highest AUC within which rounds are averaged; 0 for the best alone.
        best: by domain.

    Cost: P values and its own rows for each domain, in memory and in every checkpoint; with shares, a pass over the
    validation rows for each share and round.
    """

    shares: Sequence[float] = ()
    within: float = 0.0
    best: dict[int, Own] = field(default_factory=dict)

    def update(
        self,
        session: Session,
        strategy: Strategy,
        state: State,
        metrics: Metrics,
        kept: Mapping[int, float],
    ) -> None:
        """Take in a round that has just been measured: what it is best for is kept in `state.chosen`.

        Args:
            kept: the shares that were kept of parts before they were measured (`train.shrink`).
        """
        plain = dataclasses.replace(state, chosen={}, shares={})
        tried = share_aucs(session, strategy, plain, self.shares) if self.shares else {}
        for domain, figures in enumerate(metrics.domains):
            if figures.auc is None:
                continue
            auc, share = max(((auc, -share) for share, auc in tried.get(domain, {1.0: figures.auc}).items()))
            found = Own(auc, state.round, kept.get(domain, -share))
            known, negatives = self.best.get(domain, _NONE), figures.samples - figures.positives
            margin = self.within * standard_error(max(auc, known.auc), figures.positives, negatives)
            anew = auc > known.auc + margin
            if not anew and not (self.within and auc >= known.auc - margin):
                continue
            served = dataclasses.replace(plain, shares={domain: -share})
            point = strategy.params_for(served, domain).pull(_rows(session, domain))
            if anew:
                self.best[domain], state.chosen[domain] = found, point
                continue
            better = found if auc > known.auc else known
            self.best[domain] = better._replace(rounds=known.rounds + 1)
            mean = torch.lerp(state.chosen[domain].flat, point.flat, 1 / (known.rounds + 1))
            state.chosen[domain] = Point(point.space, point.ids, mean)

    def told(self, names: Sequence[str]) -> dict[str, dict[str, Any]]:
        """What an event tells: by domain's name the round, the share, and its validation AUC; of a mean of several
        rounds how many, and of the best of them the rest."""
        return {
            names[domain]: {"round": own.round, "share": own.share, "val_auc": own.auc}
            | ({"rounds": own.rounds} if self.within else {})
            for domain, own in sorted(self.best.items())
        }

    def to_json(self) -> list[list[Any]]:
        """For a checkpoint."""
        return [[domain, *self.best[domain]] for domain in sorted(self.best)]

    def load(self, said: Sequence[Sequence[Any]]) -> None:
        """Go on from what a checkpoint holds."""
        self.best = {domain: Own(*own) for domain, *own in said}


def _rows(session: Session, domain: int) -> Ids:
    """The rows that a domain's training and validation data touch; of ids that the module makes itself, training's."""
    own = session.rows.of(domain)
    if any(table.columns is None for table in session.space.tables):
        return own
    return union_ids(own, Rows(session.module, session.space, session.data.val).of(domain))


def check_statistics(module: nn.Module, data: Dataset) -> None:
    """Raise ConfigError for a module whose training moves buffers (batch normalisation): they are one round's.

    Cost: a forward pass of a few hundred rows.
    """
    buffers = Buffers(module)
    with looking(module), torch.no_grad():
        device = next((p.device for p in module.parameters()), torch.device("cpu"))
        module.train()({name: column.to(device) for name, column in probe(data.schema).items()})
        moved: Mapping[str, Any] = buffers.changed()
    if moved:
        raise ConfigError(
            f"train.choose = 'domain' with a model that keeps running statistics ({min(moved)})",
            "a model without them, whose parameters are all that a round leaves",
            "Set train.choose to 'run', or use another normalisation (nn.LayerNorm)",
        )
