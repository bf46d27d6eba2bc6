"""Aggregators of the TorchJD library, by their names there."""

from __future__ import annotations

import importlib
from typing import Any, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

from mamdr.combiners.cosines import gram_of
from mamdr.combiners.protocol import Seen
from mamdr.config import component
from mamdr.errors import ConfigError


@component
class TorchJD:
    r"""Let an aggregator of TorchJD find the weights from the Gram matrix.

        w = torchjd.aggregation.NAMEWeighting(**options)(gram)

    For methods that we do not have (DualProj, FairGrad), and to compare ours with. Those that remember something
    between steps are not offered, for a checkpoint would not hold it; nor are those that need whole gradients.

    Args:
        aggregator: its name there.
        options: its arguments; CAGrad wants `c`, FairGrad wants `alpha`.

    Raises:
        ConfigError: when first used, if TorchJD or what the aggregator needs is not installed, or options do not fit.

    What the aggregator draws comes from our seeds. It gets the Gram matrix as it is: our own methods stand more.

    Cost: the aggregator's; for most of them a quadratic program or more a step.
    Reference: https://torchjd.org; Quinton and Rey, arXiv 2406.16232.
    """

    aggregator: Literal[
        "AlignedMTL", "CAGrad", "DualProj", "FairGrad", "IMTLG", "MGDA", "PCGrad", "UPGrad"
    ] = "UPGrad"
    options: dict[str, float | str] = Field(default_factory=dict)
    needs: ClassVar[Literal["losses", "gram"]] = "gram"
    looks_back: ClassVar[bool] = False

    def weights(self, seen: Seen) -> Tensor:
        weighting = self._weighting()
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(int(seen.draw.integers(2**62)))
            weights: Tensor = weighting(gram_of(seen))
        return weights.to(torch.float64)

    def learn(self, seen: Seen, weights: Tensor, after: Tensor | None) -> None:
        """There is nothing to learn."""

    def _weighting(self) -> Any:
        try:
            made = getattr(importlib.import_module("torchjd.aggregation"), f"{self.aggregator}Weighting")
            return made(**self.options)
        except ImportError as error:
            raise ConfigError(
                f"the combiner torchjd with aggregator {self.aggregator!r} cannot be used: {error}",
                "TorchJD and what this aggregator needs",
                "Install it: pip install 'mamdr[torchjd]', or for all aggregators 'torchjd[full]'",
            ) from error
        except (TypeError, ValueError) as error:
            raise ConfigError(
                f"options {self.options} of TorchJD's {self.aggregator} do not fit: {error}",
                "the arguments of the aggregator",
                "See https://torchjd.org",
            ) from error
