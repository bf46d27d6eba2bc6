"""The gradient of a domain at given parameters, nothing trained: what diagnostics look at."""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from mamdr.data.domains import Batch
from mamdr.engine.binding import RowMiss
from mamdr.engine.session import Session
from mamdr.parameters import Ids, Point, Store
from mamdr.seeds import generator

_BATCH = 8192


class Gradients:
    r"""Takes domains' gradients at a store's parameters, over their training rows.

        ḡ_i = ∇_Θ (1 / |rows of i|) Σ_rows loss

    The module is in evaluation mode: no dropout, running statistics as they are. The penalty on embeddings is no part
    of the loss.

    Args:
        session: the bound module.
        buffers: values of the module's buffers (running statistics).
        rows: at most so many rows of a domain, drawn without replacement; None takes all.
        seed: of the draw.
    """

    def __init__(
        self, session: Session, buffers: dict[str, Tensor], *, rows: int | None = None, seed: int = 0
    ) -> None:
        self.session, self.buffers, self.rows, self.seed = session, buffers, rows, seed

    def __call__(self, store: Store, domain: int) -> Point:
        """ḡ_i as a point of its own, with the table rows that the domain's rows touch; zero without training rows.

        Cost: a pull, and a forward and a backward pass over the rows.
        """
        session, ids = self.session, self.session.rows.of(domain)
        session.module.eval()
        session.buffers.load(self.buffers)
        while True:
            try:
                return self._at(store, ids, domain)
            except RowMiss as miss:  # ids that the module computed in another way than when it was watched
                ids = miss.added_to(ids)

    def _at(self, store: Store, ids: Ids, domain: int) -> Point:
        session = self.session
        gradient = Point.zeros(session.space, ids)
        session.binding.load(store.pull(ids), gradient.flat)
        total = 0
        for batch, labels in self._batches(domain):
            session.matmul.use(len(labels) == _BATCH)
            logits = session.module(batch)
            binary_cross_entropy_with_logits(logits, labels.to(logits.dtype), reduction="sum").backward()  # type: ignore[no-untyped-call]
            total += len(labels)
        gradient.flat.div_(max(total, 1))
        return gradient

    def _batches(self, domain: int) -> Iterator[tuple[Batch, Tensor]]:
        data, device = self.session.data.train, self.session.space.device
        left = size = data.size(domain)
        draw = None
        if self.rows is not None and self.rows < size:
            left, draw = self.rows, generator(self.seed, "gradient", domain)
        for batch, labels in data.batches([domain], _BATCH, draw):
            if not left:
                return
            taken = {name: column[:left].to(device) for name, column in batch.items()}
            yield taken, labels[:left].to(device)
            left -= min(left, len(labels))
