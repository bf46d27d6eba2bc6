"""How walks are walked: settings that belong to a run, not to a strategy or a model."""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from pydantic import Field

from mamdr.config import component
from mamdr.engine.inner import SGD, Adagrad, Adam

LAZY_ABOVE, LAZY_ABOVE_ON_GPU = 1 << 17, 1 << 20
"""With `rows="auto"`, compact tables of more values than this are stepped lazily: 1,024 rows of 128 on a CPU, from
where on stepping all of them costs more than finding a batch's where they lie, and 8,192 on a GPU."""


@component
class WalkOptions:
    """Settings of the inner loop.

    Args:
        batch_size: rows of a mini-batch, >= 1.
        inner: the inner optimizer; its lr is the paper's α.
        embedding_l2: λ >= 0 of λ · Σ‖row‖², added to the loss for the rows that a batch touches (the authors' code has
            1e-5 on whole tables, which would make every step cost the whole table).
        embedding_l2_per: "touch" holds a row back by all of λ whenever a batch touches it, so that rows of many samples
            and of few are held alike; "pass" by λ over the mini-batches that touch it in a pass (`Rows.touches`), so
            that a pass over the data, domain by domain, holds each row back once, as a prior of fixed strength does:
            rare rows, which over-fit, are held near zero, and frequent ones hardly. That is what a penalty on whole
            tables does, at the cost of a batch's rows; λ is larger, about 1,000 times for the same effect on rare rows.
            "row" divides by the row's training samples in its place, and holds rows of small domains less, since a
            mini-batch has several samples of them: an item of a domain of 7 mini-batches a sixth as much.
        rows: "dense" steps all rows of a walk at every batch; "lazy" steps the rows of the batch and makes up for
            what they missed when they are next needed, which comes to the same (Adam: to a few parts in a thousand
            of a row's move, see `engine.idle`); "auto" is dense up to 2^17 values of a table, 2^20 on a GPU, and lazy
            above, which is fastest. "sparse" lets rows rest that no batch touches, as `torch.optim.SparseAdam`:
            another method.
        dropout: "packed" draws dropout masks from packed bits (p rounded to 1/256), and on a CPU hidden layers are
            trained in one go (`engine.tower`); "torch" leaves `nn.Dropout` and hidden layers to torch.
        precision: "float32", or "bfloat16" for autocast.
    """

    batch_size: Annotated[int, Field(ge=1)] = 1024
    inner: SGD | Adam | Adagrad = Adam()
    embedding_l2: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0
    embedding_l2_per: Literal["touch", "pass", "row"] = "touch"
    rows: Literal["auto", "dense", "lazy", "sparse"] = "auto"
    dropout: Literal["packed", "torch"] = "packed"
    precision: Literal["float32", "bfloat16"] = "float32"

    def lazy(self, values: int, device: torch.device) -> bool:
        """Whether a compact table of so many values (rows times width) is stepped lazily on this device."""
        most = LAZY_ABOVE if device.type == "cpu" else LAZY_ABOVE_ON_GPU
        return self.rows in ("lazy", "sparse") or (self.rows == "auto" and values > most)
