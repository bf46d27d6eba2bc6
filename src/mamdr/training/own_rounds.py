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

With `snapshots` > 1 a domain is served by the scores of several rounds instead (`training.snapshots`).
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from mamdr.data.domains import Dataset
from mamdr.engine import Predictor, Session
from mamdr.engine.buffers import Buffers
from mamdr.engine.look import looking
from mamdr.engine.rows import Rows
from mamdr.engine.trace import probe
from mamdr.errors import ConfigError
from mamdr.evaluation.auc import standard_error
from mamdr.evaluation.metrics import DomainMetrics, Metrics
from mamdr.parameters import Ids, Point, Space, Store
from mamdr.parameters.point import union_ids
from mamdr.strategies import State, Strategy, seat, served
from mamdr.training.shares import share_aucs
from mamdr.training.snapshots import seating


class Own(NamedTuple):
    """A domain's highest validation AUC, the round and the share that had it, and over how many rounds the mean is.

    Of several rounds that serve it together the AUC is theirs, round and share those of the best of them by itself,
    and `members` says AUC, round and share of each, in the order of their seats.
    """

    auc: float
    round: int
    share: float
    rounds: int = 1
    members: tuple[tuple[float, int, float], ...] = ()


_NONE = Own(-math.inf, 0, 1.0, 0)


@dataclass
class OwnRounds:
    """What each domain did best with so far.

    Args:
        shares: the λ to try; none for 1 alone.
        within: standard errors of the highest AUC within which rounds are averaged; 0 for the best alone.
        snapshots: rounds at most that serve a domain together, `within` 0; 1 for one round, or one mean.
        best: by domain.

    Cost: P values and its own rows for each domain (and snapshot), in memory and in every checkpoint; a pass over the
    validation rows a round for each share that is tried, and one more with snapshots, whose validation scores are kept
    in memory.
    """

    shares: Sequence[float] = ()
    within: float = 0.0
    snapshots: int = 1
    best: dict[int, Own] = field(default_factory=dict)
    _held: dict[int, list[Tensor]] = field(default_factory=dict, repr=False)

    def update(
        self,
        session: Session,
        strategy: Strategy,
        state: State,
        metrics: Metrics,
        kept: Mapping[int, float],
    ) -> None:
        """Take in a round that has just been measured: what it is best for is kept in `state.chosen` and `further`.

        Args:
            kept: the shares that were kept of parts before they were measured (`train.shrink`).
        """
        plain = dataclasses.replace(state, chosen={}, shares={})
        tried = share_aucs(session, strategy, plain, self.shares) if self.shares else {}
        predict = Predictor(session, session.data.val, state.buffers) if self.snapshots > 1 else None
        for domain, figures in enumerate(metrics.domains):
            if figures.auc is None:
                continue
            auc, share = max(((auc, -share) for share, auc in tried.get(domain, {1.0: figures.auc}).items()))
            found = Own(auc, state.round, kept.get(domain, -share))
            store = strategy.params_for(dataclasses.replace(plain, shares={domain: -share}), domain)
            if predict is not None:
                self._seat(predict, strategy, state, domain, found, store)
            else:
                self._average(session, state, domain, found, store, figures)

    def _average(
        self, session: Session, state: State, domain: int, found: Own, store: Store, figures: DomainMetrics
    ) -> None:
        """Let a round serve a domain alone, where it is better by more than the margin, or in a mean within it."""
        known, negatives = self.best.get(domain, _NONE), figures.samples - figures.positives
        margin = self.within * standard_error(max(found.auc, known.auc), figures.positives, negatives)
        anew = found.auc > known.auc + margin
        if not anew and not (self.within and found.auc >= known.auc - margin):
            return
        point = store.pull(_rows(session, domain))
        if anew:
            self.best[domain], state.chosen[domain] = found, point
            return
        better = found if found.auc > known.auc else known
        self.best[domain] = better._replace(rounds=known.rounds + 1)
        mean = torch.lerp(state.chosen[domain].flat, point.flat, 1 / (known.rounds + 1))
        state.chosen[domain] = Point(point.space, point.ids, mean)

    def _seat(
        self, predict: Predictor, strategy: Strategy, state: State, domain: int, found: Own, store: Store
    ) -> None:
        """Let a round serve a domain beside others, or in the place of one, where its validation AUC rises by it."""
        if domain in state.chosen and (domain not in self._held or not _foreseen(state.space)):
            # of a run that goes on; or with rows that only the state of now has
            self._held[domain] = [predict(other, domain) for other in served(strategy, state, domain)]
        scores, held = predict(store, domain), self._held.setdefault(domain, [])
        begin, end = (int(bound) for bound in predict.data.offsets[domain : domain + 2])
        known = self.best.get(domain, _NONE)
        number, alone, auc = seating(held, scores, predict.data.labels[begin:end], self.snapshots)
        if auc <= known.auc:
            return
        point, members = store.pull(_rows(predict.session, domain)), [*known.members]
        if number:
            state.further[seat(domain, number)] = point
        else:
            state.chosen[domain] = point
        last = len(members) if alone else number + 1
        for dropped in range(number + 1, last):
            del state.further[seat(domain, dropped)]
        held[number:last] = [scores]
        members[number:last] = [(found.auc, found.round, found.share)]
        _, round, share = max(members, key=lambda member: (member[0], -member[1]))
        self.best[domain] = Own(auc, round, share, len(members), tuple(members))

    def told(self, names: Sequence[str]) -> dict[str, dict[str, Any]]:
        """What an event tells: by domain's name the round, the share, and its validation AUC; of a mean of several
        rounds how many, and of the best of them the rest; of several rounds that serve it together, which."""
        return {
            names[domain]: {"round": own.round, "share": own.share, "val_auc": own.auc}
            | ({"rounds": own.rounds} if self.within else {})
            | ({"snapshots": [round for _, round, _ in own.members]} if own.members else {})
            for domain, own in sorted(self.best.items())
        }

    def to_json(self) -> list[list[Any]]:
        """For a checkpoint."""
        return [[domain, *self.best[domain]] for domain in sorted(self.best)]

    def load(self, said: Sequence[Sequence[Any]]) -> None:
        """Go on from what a checkpoint holds."""
        for domain, auc, round, share, rounds, *more in said:  # members: none in what earlier versions wrote
            members = tuple((a, r, s) for a, r, s in more[0]) if more else ()
            self.best[domain] = Own(auc, round, share, rounds, members)


def _rows(session: Session, domain: int) -> Ids:
    """The rows that a domain's training and validation data touch; of ids that the module makes itself, training's."""
    own = session.rows.of(domain)
    if not _foreseen(session.space):
        return own
    return union_ids(own, Rows(session.module, session.space, session.data.val).of(domain))


def _foreseen(space: Space) -> bool:
    """Whether the rows that data touch are known beforehand: no id is made by the module itself."""
    return all(table.columns is not None for table in space.tables)


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
            "Set train.choose to 'run' (train.snapshots to 1, train.mean_within to 0), or use nn.LayerNorm",
        )
