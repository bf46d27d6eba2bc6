"""How much of its specific part serves a domain: Θ_i = θ_S + λ_i · θ_i, with λ_i chosen on validation.

What a domain learned from few rows may be worse than nothing. A share of 0 serves it by the shared parameters, so that
no domain is below them on validation; a share between takes the part back to where it still helps.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from mamdr.engine import Predictor, Session
from mamdr.evaluation.auc import grouped_auc
from mamdr.parameters import Overlay
from mamdr.strategies import State, Strategy


def shrink(session: Session, strategy: Strategy, state: State, shares: Sequence[float]) -> dict[int, float]:
    """Keep of each specific part the share that its domain's validation rows prefer: θ_i ← λ_i θ_i; the λ_i.

    Done after each round, a part that over-fits does not grow from round to round: where it helps no more it is
    dropped, and begins again from zero.

    Cost: as `choose_shares`.
    """
    chosen = choose_shares(session, strategy, state, shares)
    parts = state.tuned if strategy.finetunes else state.specific
    for domain, share in chosen.items():
        if not share:
            parts.pop(domain, None)
        elif share < 1:
            Overlay(state.shared, parts, domain).fade(share)
    return chosen


def choose_shares(
    session: Session, strategy: Strategy, state: State, shares: Sequence[float]
) -> dict[int, float]:
    """λ_i of each domain with a part of its own: the share of the highest validation AUC, the smallest of several.

    A domain whose validation rows have one class, or none, keeps all of its part.

    Cost: a pull and a forward pass over a domain's validation rows for each share.
    """
    tried = share_aucs(session, strategy, state, shares)
    return {domain: max(aucs, key=lambda share: (aucs[share], -share)) for domain, aucs in tried.items()}


def share_aucs(
    session: Session, strategy: Strategy, state: State, shares: Sequence[float]
) -> dict[int, dict[float, float]]:
    """For each domain with a part of its own and with validation rows of both classes: its AUC with each share."""
    val = session.data.val
    predict = Predictor(session, val, state.buffers)
    bounds, labels = val.offsets.tolist(), val.labels.numpy()
    found: dict[int, dict[float, float]] = {}
    for domain in sorted({*state.specific, *state.tuned}):
        own = labels[bounds[domain] : bounds[domain + 1]]
        if own.min(initial=1) == own.max(initial=0):
            continue
        found[domain] = {}
        for share in sorted(shares):
            served = strategy.params_for(dataclasses.replace(state, shares={domain: share}), domain)
            scores = predict(served, domain).numpy()
            found[domain][share] = float(grouped_auc(scores, own, np.zeros(len(own), np.int64), 1)[0])
    return found
