"""What a strategy says and what it gets back.

A strategy decides: it describes walks and says what becomes of their displacements. Something else walks them, in
turn, in processes, on another machine; a strategy knows no engine, file or device.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, MutableMapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal, Protocol

from torch import Tensor

from mamdr.combiners.protocol import Combiner
from mamdr.parameters import Ids, LocalStore, Moments, Patched, Point, Space, Store

Memory = dict[str, dict[str, Tensor]]
"""What combiners remember from step to step: combiner -> name -> values."""


@dataclass(frozen=True)
class Meta:
    r"""A step's gradient, when it is to tell what a step on some rows does to others.

    A mini-batch has two parts, support and query. From the walk's point θ, `inner_steps` times over

        θ' ← θ' − rate · ∇L(θ'; support),    beginning at θ' = θ

    and the walk steps down the gradient, with respect to θ, of own · L(θ; support) + ahead · L(θ'; query). L is the
    mean over the domains of a part of the mean loss of each one's rows.

    Args:
        split: "rows" parts each domain's rows by `seed`, and a mini-batch has rows of one domain; "domains" parts the
            domains of each mini-batch anew.
        share: of rows or domains that are support, in (0, 1); both parts get one at least. A domain of one row has it
            in both parts, and a mini-batch of one domain has no query: own · L(θ; support) alone counts.
        rate: α > 0.
        inner_steps: >= 1.
        order: 2 differentiates θ' with respect to θ; 1 takes the gradient at θ' for the one at θ.
        own, ahead: >= 0.
        seed: of a split by rows.
    """

    split: Literal["rows", "domains"]
    share: float
    rate: float
    inner_steps: int = 1
    order: Literal[1, 2] = 1
    own: float = 0.0
    ahead: float = 1.0
    seed: int = 0


@dataclass(frozen=True)
class Part:
    """Some of the mini-batches of a pass: number `index`, `index + count`, ... of those that `seed` draws.

    Who splits a large domain gives all its parts one seed: then each row is in one part.
    """

    index: int
    count: int
    seed: int


@dataclass(frozen=True)
class Leg:
    """A stretch of a walk: one pass over the training rows of one domain (or of several, mixed).

    Args:
        domains: ids of the domains.
        steps: at most so many mini-batches; None is the whole pass.
        combiner: makes one gradient of the gradients of a mini-batch's domains; None takes that of the mean loss of
            its rows.
        meta: what a step on one part of a mini-batch is to do to the other part; None where nothing is looked ahead
            to. A leg has a combiner or this, not both.
        part: of the pass that is walked, where it is shared out; None is the whole pass.
    """

    domains: tuple[int, ...]
    steps: int | None = None
    combiner: Combiner | None = None
    meta: Meta | None = None
    part: Part | None = None


@dataclass(frozen=True)
class Walk:
    """Training from a point over legs, one after another.

    Args:
        store: where the point is pulled from; the walk never changes it.
        legs: what to train on, in order.
        seed: of the walk's batch order and dropout; two walks with the same seed, point and legs give the same bits.
        moments: the inner optimizer's state to go on from; None starts it fresh.
        buffers: values of the module's buffers to start from (running statistics); one that is not here starts from
            the module's own.
        memory: what combiners remember of earlier walks.
        hold: share of the penalty on embedding rows that holds them back; > 0.
    """

    store: Store
    legs: tuple[Leg, ...]
    seed: int
    moments: Moments | None = None
    buffers: dict[str, Tensor] = field(default_factory=dict)
    memory: Memory = field(default_factory=dict)
    hold: float = 1.0


@dataclass
class Outcome:
    """What a walk brought. Valid until the next outcome is asked for: the buffers behind it are used again.

    Args:
        displacement: end minus start.
        loss: mean training loss over the walk's samples (NaN when it had none).
        samples: rows trained on.
        steps: mini-batches.
        moments: the inner optimizer's state at the end, when the walk was given one.
        buffers: those of the module's buffers that the walk changed, at its end.
        memory: what combiners remember at its end.
    """

    displacement: Point
    loss: float
    samples: int
    steps: int
    moments: Moments | None = None
    buffers: dict[str, Tensor] = field(default_factory=dict)
    memory: Memory = field(default_factory=dict)


Run = Callable[[Sequence[Walk]], Iterable[Outcome]]
"""Walks that do not depend on each other, in; their outcomes, in the same order, out, one at a time."""


@dataclass(frozen=True)
class Problem:
    """What a strategy may know of the data: how many training rows each domain has, and which table rows they touch.

    Args:
        sizes: training rows per domain.
        own_rows: a domain's own table rows.
        batch_size: rows of a mini-batch.
    """

    sizes: tuple[int, ...]
    own_rows: Callable[[int], Ids]
    batch_size: int = 1024

    @cached_property
    def trainable(self) -> tuple[int, ...]:
        """Domains that have training rows; the others are served by shared alone."""
        return tuple(domain for domain, size in enumerate(self.sizes) if size)


@dataclass
class State:
    """All that training has learned and needs to go on; a checkpoint holds exactly this.

    Args:
        shared: θ_S.
        specific: θ_i by domain; a domain without one is shared alone. A point that was changed in place has to be put
            back: the mapping may hold its points on disk.
        moments: optimizers' states by purpose ("outer", "inner").
        buffers: the module's buffers: shared running statistics, set by walks that push to shared (where a strategy has
            none, see `Tally.of_specific`).
        round: rounds made.
        seed: from which every draw of the strategy comes.
        losses: mean training loss of the last round by part of the strategy.
        samples: rows trained on so far, by every walk.
        tuned: δ_i by domain, of strategies that fine-tune; laid over what the domain is served with else.
        memory: what combiners remember.
        shares: λ_i by domain, how much of its specific part (or of its fine-tuning) serves it; 1 where there is none.
            Training knows nothing of them.
        chosen: by domain, the parameters of a round of its own (dense part and its rows), which serve it in place of
            this round's. Training knows nothing of them either.
        further: by `seat`, the parameters of further rounds that serve a domain with a chosen one: its score is the
            mean of theirs.
        backoff: of domains whose parts rest when they are dropped, by domain how many rounds the last rest took and the
            round that ends the one under way; None outside a rest (`DomainRegularization`).
    """

    shared: LocalStore
    specific: MutableMapping[int, Point] = field(default_factory=dict)
    moments: dict[str, Moments] = field(default_factory=dict)
    buffers: dict[str, Tensor] = field(default_factory=dict)
    round: int = 0
    seed: int = 0
    losses: dict[str, float] = field(default_factory=dict)
    samples: int = 0
    tuned: MutableMapping[int, Point] = field(default_factory=dict)
    memory: Memory = field(default_factory=dict)
    shares: dict[int, float] = field(default_factory=dict)
    chosen: MutableMapping[int, Point] = field(default_factory=dict)
    backoff: dict[int, tuple[int, int | None]] = field(default_factory=dict)
    further: MutableMapping[int, Point] = field(default_factory=dict)

    @property
    def space(self) -> Space:
        return self.shared.space

    @property
    def shared_is_trained(self) -> bool:
        """Whether any walk has gone to the shared parameters so far."""
        return "shared" in self.losses


class Strategy(Protocol):
    """A way of learning from many domains. Its settings are its fields; all that changes is in the state."""

    @property
    def finetunes(self) -> bool:
        """Whether domains are fine-tuned on their own data at the end; a report always says so."""
        ...

    def init(self, state: State, problem: Problem) -> State:
        """Prepare a fresh state (θ_S as the module has it)."""
        ...

    def round(self, state: State, problem: Problem, run: Run) -> State:
        """One outer iteration. Changes and returns the state; `state.round` still counts the rounds before it."""
        ...

    def params_for(self, state: State, domain: int) -> Store:
        """The parameters that serve a domain by this state's round; `served` has the last word."""
        ...


SEATS = 64
"""Rounds that may serve a domain at once."""


def seat(domain: int, number: int) -> int:
    """Where the parameters of a further round that serves a domain lie, `number` from 1 to 63, in `State.further`.

    >>> seat(2, 1), seat(2, 63), seat(3, 1)
    (129, 191, 193)
    """
    return domain * SEATS + number


def served(strategy: Strategy, state: State, domain: int) -> list[Store]:
    """The parameters that serve a domain: what evaluation, exports and serving use, and nothing else.

    Mostly one store. Of several (`State.further`) each scores, and their mean probability is the domain's.
    """
    store = strategy.params_for(state, domain)
    if domain not in state.chosen:
        return [store]
    stores = [Patched(store, state.chosen, domain)]
    while (place := seat(domain, len(stores))) in state.further:
        stores.append(Patched(store, state.further, place))
    return [*stores]
