"""Optimizers as plain formulas on dicts of tensors: what the inner and outer optimizers must compute.

Each rule takes parameters Θ and gradients g by name and returns new parameters. Nothing is changed in
place, and every entry moves at every step, with gradient zero too (the dense reading). All state is in
the rule object: keep the object and the state is kept, make another and it is fresh.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import torch
from torch import Tensor

Params = dict[str, Tensor]


class Rule(Protocol):
    """One step of a rule that descends along gradients."""

    def step(self, params: Mapping[str, Tensor], grads: Mapping[str, Tensor]) -> Params: ...


class Sgd:
    """Θ ← Θ − lr · g."""

    def __init__(self, lr: float) -> None:
        self.lr = lr

    def step(self, params: Mapping[str, Tensor], grads: Mapping[str, Tensor]) -> Params:
        return {name: value - self.lr * grads[name] for name, value in params.items()}


class Adam:
    r"""Kingma and Ba's Adam with bias correction and ε outside the root, as torch.optim.Adam.

    m ← β₁ m + (1−β₁) g;  v ← β₂ v + (1−β₂) g²;  Θ ← Θ − lr · (m / (1−β₁ᵗ)) / (√(v / (1−β₂ᵗ)) + ε)
    """

    def __init__(self, lr: float, beta1: float = 0.9, beta2: float = 0.999, eps: float = 1e-8) -> None:
        self.lr, self.beta1, self.beta2, self.eps = lr, beta1, beta2, eps
        self.m: Params = {}
        self.v: Params = {}
        self.t = 0

    def step(self, params: Mapping[str, Tensor], grads: Mapping[str, Tensor]) -> Params:
        self.t += 1
        moved = {}
        for name, value in params.items():
            g = grads[name]
            self.m[name] = self.beta1 * self.m.get(name, torch.zeros_like(g)) + (1 - self.beta1) * g
            self.v[name] = self.beta2 * self.v.get(name, torch.zeros_like(g)) + (1 - self.beta2) * g * g
            mean = self.m[name] / (1 - self.beta1**self.t)
            spread = (self.v[name] / (1 - self.beta2**self.t)).sqrt()
            moved[name] = value - self.lr * mean / (spread + self.eps)
        return moved


class Adagrad:
    """s ← s + g²;  Θ ← Θ − lr · g / (√s + ε), as torch.optim.Adagrad."""

    def __init__(self, lr: float, eps: float = 1e-10, initial: float = 0.0) -> None:
        self.lr, self.eps, self.initial = lr, eps, initial
        self.total: Params = {}

    def step(self, params: Mapping[str, Tensor], grads: Mapping[str, Tensor]) -> Params:
        moved = {}
        for name, value in params.items():
            g = grads[name]
            self.total[name] = self.total.get(name, torch.full_like(g, self.initial)) + g * g
            moved[name] = value - self.lr * g / (self.total[name].sqrt() + self.eps)
        return moved


class Nesterov:
    """m ← μ m + g;  Θ ← Θ − lr · (μ m + g): the outer optimizer of DiLoCo, torch's SGD(nesterov=True)."""

    def __init__(self, lr: float, momentum: float = 0.9) -> None:
        self.lr, self.momentum = lr, momentum
        self.m: Params = {}

    def step(self, params: Mapping[str, Tensor], grads: Mapping[str, Tensor]) -> Params:
        moved = {}
        for name, value in params.items():
            g = grads[name]
            self.m[name] = self.momentum * self.m.get(name, torch.zeros_like(g)) + g
            moved[name] = value - self.lr * (self.momentum * self.m[name] + g)
        return moved


def push(params: Mapping[str, Tensor], displacement: Mapping[str, Tensor], rule: Rule) -> Params:
    """The outer step: descend along the pseudo-gradient −(Θ̃ − Θ). With Sgd(β) this is Equation 3."""
    return rule.step(params, {name: -delta for name, delta in displacement.items()})
