"""PCGrad as its paper has it, and training on combined gradients, on whole gradient vectors and a copied module.

Shares no code with the library. P is the number of all trainable values, tables and all.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Mapping, Sequence

import torch
from tests.oracles.learning import Batch, MakeOptimizer, loss_of, parameters_of
from tests.oracles.optimizers import Params
from torch import Tensor, nn

Combine = Callable[[list[int], list[Tensor], list[Tensor]], Tensor]
"""(domains of the batch, their mean losses, their gradients [P]) -> the gradient to step down, [P]."""


def pcgrad(gradients: Sequence[Tensor], orders: Sequence[Sequence[int]]) -> list[Tensor]:
    """Yu et al. 2020, Algorithm 1: each task's gradient after its projections.

    Args:
        gradients: g_k, [P] each.
        orders: for each task the others, in the order in which they were drawn.
    """
    projected = [gradient.clone() for gradient in gradients]
    for i, others in enumerate(orders):
        for j in others:
            dot = torch.dot(projected[i], gradients[j])
            if dot < 0:
                projected[i] = projected[i] - dot / torch.dot(gradients[j], gradients[j]) * gradients[j]
    return projected


class Combined:
    """Training on mixed batches, down a gradient made of those of the domains in it.

    Args:
        module: the model; it is copied.
        optimizer: parameters -> a torch optimizer, kept throughout.
        start: the first parameters.
    """

    def __init__(self, module: nn.Module, optimizer: MakeOptimizer, start: Mapping[str, Tensor]) -> None:
        self.module = copy.deepcopy(module).train()
        with torch.no_grad():
            for name, parameter in self.module.named_parameters():
                parameter.copy_(start[name])
        self.parameters = [p for p in self.module.parameters() if p.requires_grad]
        self.optimizer = optimizer(self.parameters)

    def run(self, batches: Iterable[tuple[Batch, Tensor]], combine: Combine) -> Params:
        """Where these batches lead."""
        for batch, labels in batches:
            domains = sorted(set(batch["domain"].tolist()))
            losses, gradients = [], []
            for domain in domains:
                mine = batch["domain"] == domain
                loss = loss_of(
                    self.module, {name: column[mine] for name, column in batch.items()}, labels[mine]
                )
                found = torch.autograd.grad(loss, self.parameters)
                losses.append(loss.detach())
                gradients.append(torch.cat([gradient.flatten() for gradient in found]))
            self._step(combine(domains, losses, gradients))
        return parameters_of(self.module)

    def _step(self, gradient: Tensor) -> None:
        start = 0
        for parameter in self.parameters:
            parameter.grad = gradient[start : start + parameter.numel()].view(parameter.shape).clone()
            start += parameter.numel()
        self.optimizer.step()


class WeightedLoss:
    """Kendall et al. 2018, equation 10: Σ_i exp(−s_i) · L_i + s_i / 2 with s_i = log σ_i², both sides by autograd.

    Args:
        lr: of Adam on each s_i, which steps when its domain is in the batch.
    """

    def __init__(self, lr: float) -> None:
        self.lr = lr
        self.s: dict[int, nn.Parameter] = {}
        self.optimizers: dict[int, torch.optim.Optimizer] = {}

    def __call__(self, domains: list[int], losses: list[Tensor], gradients: list[Tensor]) -> Tensor:
        for domain in domains:
            if domain not in self.s:
                self.s[domain] = nn.Parameter(torch.zeros((), dtype=torch.float64))
                self.optimizers[domain] = torch.optim.Adam([self.s[domain]], lr=self.lr)
        combined = sum(torch.exp(-self.s[d].detach()) * g for d, g in zip(domains, gradients, strict=True))
        for domain, loss in zip(domains, losses, strict=True):
            self.optimizers[domain].zero_grad()
            s = self.s[domain]
            (torch.exp(-s) * loss.double() + s / 2).backward()
            self.optimizers[domain].step()
        assert isinstance(combined, Tensor)
        return combined.to(gradients[0].dtype)
