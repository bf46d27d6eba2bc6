"""What every model must do: take batches, return a logit a row, learn, and depend on a row's own features alone."""

from __future__ import annotations

import copy
import functools
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.func import functional_call

from mamdr.data.domains import Batch, Dataset, Schema
from mamdr.engine import trace
from mamdr.strategies import MAMDR, Alternate
from mamdr.testing.boards import checkerboard, loss_after_fitting
from mamdr.testing.lab import parameters_of, same_bits, scores, train
from mamdr.testing.market import tiny_market
from mamdr.testing.modules import lively
from mamdr.training import Run, fit

ROWS = 32
TRAINED, OTHER = 2, 5
"""Two of the domains of data with many; only these have rows."""


class ModelConformance(ABC):
    """Tests of a model: subclass it, name the subclass Test..., return a module built for a schema.

        from mamdr.testing import ModelConformance

        class TestMine(ModelConformance):
            def module(self, schema):
                torch.manual_seed(0)
                return Mine(schema, width=4)

    Keep the module tiny: one of a few hundred values passes all tests in a second or two. What a model cannot do by its
    nature it says in the class attributes below, and the suite then checks that it truly cannot. A module that keeps a
    domain's own parameters otherwise than as rows of an embedding fed by "domain" says which they are in `domain_of`.
    """

    interactions = True
    """Whether two features together can say what neither says alone; a linear model cannot."""

    knows_domain = True
    """Whether the same features can score differently in two domains."""

    exact_gradients = True
    """Whether gradients are those of the scores; a model that stops some, or adds those of a penalty, has others."""

    by_rows = True
    """Whether every embedding is looked up by columns alone, so that its cost is that of a batch's rows."""

    @abstractmethod
    def module(self, schema: Schema) -> nn.Module:
        """A fresh module; the same values at every call."""

    def learner(self, schema: Schema) -> nn.Module:
        """A module with room to learn a checkerboard of 4 x 4: layers of 16 or more; by default the tested one."""
        return self.module(schema)

    def domain_of(self, name: str) -> int | None:
        """The domain that the parameter or buffer of this name belongs to, where it belongs to one as a whole.

        Rows of tables that are fed by "domain" alone, and of buffers [D, ...], are known without.
        """
        return None

    def data(self) -> Dataset:
        """What the module is tried on; `tiny_market(numeric=True, lists=True)` for one that takes columns of lists."""
        return tiny_market(numeric=True)

    def _batch(self, data: Dataset, rows: int = ROWS) -> Batch:
        """Training rows of all domains, in no order."""
        batch, labels = next(data.train.batches(range(len(data.schema.domains)), 1 << 16, None))
        order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(3))
        return _at(batch, order[:rows])

    def _exact_batch(self, data: Dataset, rows: int = ROWS) -> Batch:
        """The same with numbers in float64, for `_lively` modules."""
        return _exact(self._batch(data, rows))

    def _lively(self, schema: Schema) -> nn.Module:
        return lively(self.module(schema))

    # A logit a row

    def test_forward_returns_a_finite_logit_a_row(self) -> None:
        data = self.data()
        logits = self.module(data.schema)(self._batch(data))
        assert logits.shape == (ROWS,)
        assert torch.isfinite(logits).all()

    def test_one_row_makes_a_batch(self) -> None:
        data = self.data()
        assert self.module(data.schema).eval()(_at(self._batch(data), slice(1))).shape == (1,)

    def test_the_batch_is_left_as_it_was(self) -> None:
        data = self.data()
        batch = self._batch(data)
        before = {name: column.clone() for name, column in batch.items()}
        self.module(data.schema)(batch)
        assert batch.keys() == before.keys()
        assert all(torch.equal(batch[name], before[name]) for name in before)

    def test_every_id_and_every_domain_scores(self) -> None:
        """The first ids (padding, unknown) and the last ones, in each domain, in training as well."""
        data = self.data()
        module, batch, domains = self.module(data.schema), self._batch(data), len(data.schema.domains)
        for id_of in (lambda _: 0, lambda _: 1, lambda size: size - 1):
            batch |= {
                name: torch.full(batch[name].shape, id_of(size)) for name, size in data.schema.ids.items()
            }
            batch["domain"] = torch.arange(ROWS) % domains
            assert torch.isfinite(module.train()(batch)).all()
            assert torch.isfinite(module.eval()(batch)).all()

    def test_an_unseen_domain_scores(self) -> None:
        """After training without rows of it, from the parameters that a strategy serves it with."""
        data = _few_domains(self.data().schema)
        module = self.module(data.schema)
        state = train(module, data, MAMDR(num_helpers=1), rounds=1)
        found = scores(module, data, MAMDR(num_helpers=1), state, 0)
        assert len(found) == data.test.size(0)
        assert torch.isfinite(found).all()

    # A row's own features alone

    def test_a_score_does_not_depend_on_the_order_of_rows(self) -> None:
        data = self.data()
        module, batch = self._lively(data.schema), self._exact_batch(data)
        order = torch.randperm(ROWS, generator=torch.Generator().manual_seed(7))
        torch.testing.assert_close(module(batch)[order], module(_at(batch, order)))

    def test_a_score_does_not_depend_on_the_other_rows(self) -> None:
        """Alone, among a few, among all, and in a batch of its domain whose domain column is one value expanded."""
        data = self.data()
        module, batch = self._lively(data.schema), self._exact_batch(data)
        together = module(batch)
        for rows in (slice(5), slice(5, 18), *(slice(row, row + 1) for row in range(0, ROWS, 7))):
            torch.testing.assert_close(module(_at(batch, rows)), together[rows])
        for domain in sorted(set(batch["domain"].tolist())):
            mine = torch.nonzero(batch["domain"] == domain).squeeze(1)
            alone = _at(batch, mine) | {"domain": torch.tensor(domain).expand(len(mine))}
            torch.testing.assert_close(module(alone), together[mine])

    # Gradients

    def test_gradients_reach_every_parameter(self) -> None:
        data = self.data()
        module = self._lively(data.schema).train()
        module(self._exact_batch(data, 1 << 16)).square().sum().backward()
        missing = [name for name, p in module.named_parameters() if p.requires_grad and not _moves(p.grad)]
        assert missing == []

    def test_gradients_are_those_of_the_scores(self) -> None:
        """Against differences of the scores in float64, each parameter moved along a random direction; in evaluation
        and in training."""
        data = self.data()
        batch = self._exact_batch(data, 12)
        batch["domain"] = torch.arange(12) % 2  # in training a statistic needs several rows of a domain
        exact = []
        for training in (False, True):
            module = self._lively(data.schema).train(training)
            count = sum(p.requires_grad for p in module.parameters())
            moves = torch.zeros(count, dtype=torch.float64, requires_grad=True)
            compared = functools.partial(_logits, module, batch)
            exact.append(torch.autograd.gradcheck(compared, (moves,), raise_exception=self.exact_gradients))
        assert all(exact) is self.exact_gradients

    def test_every_parameter_can_learn(self) -> None:
        """After a few rounds no parameter is where it started."""
        data = self.data()
        module = self.module(data.schema)
        start = {name: p.detach().clone() for name, p in module.named_parameters() if p.requires_grad}
        end = parameters_of(train(module, data, Alternate(), rounds=2).shared)
        still = [name for name in start if torch.equal(start[name], end[name])]
        assert still == []

    # What a domain keeps

    def test_a_domains_rows_give_no_other_domain_a_gradient(self) -> None:
        data = _few_domains(self.data().schema)
        module = self._lively(data.schema).train()
        batch, _ = next(data.train.batches([TRAINED, OTHER], 1000, None))
        module(_exact(batch)).square().sum().backward()
        parameters = dict(module.named_parameters())
        for name, domain, rows in self._kept(data.schema):
            grad = parameters[name].grad if name in parameters else None
            if grad is not None and domain not in (TRAINED, OTHER):
                assert not _moves(grad[rows]), f"{name}, domain {domain}"

    def test_training_on_a_domain_leaves_what_others_keep_alone(self) -> None:
        """Through the engine: parameters and running statistics of domains without rows are as before."""
        data = _few_domains(self.data().schema)
        module = self.module(data.schema)
        before = {name: value.clone() for name, value in module.state_dict().items()}
        state = train(module, data, Alternate(), rounds=1)
        after = parameters_of(state.shared) | state.buffers
        for name, domain, rows in self._kept(data.schema):
            if name in after and domain not in (TRAINED, OTHER):
                assert torch.equal(after[name][rows], before[name][rows]), f"{name}, domain {domain}"

    def _kept(self, schema: Schema) -> Iterator[tuple[str, int, slice]]:
        """Name of a parameter or buffer, a domain, and the rows that are the domain's."""
        module, domains = self.module(schema), len(schema.domains)
        by_rows = {table.name for table in trace(module, schema).tables if table.columns == ("domain",)}
        by_rows |= {name for name, buffer in module.named_buffers() if buffer.shape[:1] == (domains,)}
        for name in module.state_dict():
            whole = self.domain_of(name)
            if whole is not None:
                yield name, whole, slice(None)
            elif name in by_rows:
                yield from ((name, domain, slice(domain, domain + 1)) for domain in range(domains))

    # Learning

    def test_learns_a_checkerboard(self) -> None:
        """Labels that two features tell together and neither alone; a model without interactions must fail."""
        schema = self.data().schema
        loss = loss_after_fitting(self.learner(schema), *checkerboard(schema))
        assert loss < 0.1 if self.interactions else loss > 0.6

    def test_learns_opposite_checkerboards(self) -> None:
        """The second domain's colours are exchanged; a model that is not told the domain must fail."""
        schema = self.data().schema
        loss = loss_after_fitting(self.learner(schema), *checkerboard(schema, opposite=True))
        assert loss < 0.1 if self.interactions and self.knows_domain else loss > 0.6

    def test_training_is_the_same_every_time(self) -> None:
        data = self.data()
        one, two = (train(self.module(data.schema), data, Alternate(), rounds=1) for _ in range(2))
        assert same_bits(one, two)

    def test_the_engine_can_hold_its_tables_by_rows(self) -> None:
        """Every embedding is looked up by columns and used in no other way: else it must be held whole."""
        data = self.data()
        module = self.module(data.schema)
        found = {table.name for table in trace(module, data.schema).tables if table.columns}
        learns = {id(p): name for name, p in module.named_parameters() if p.requires_grad}
        embeddings = [part for part in module.modules() if isinstance(part, (nn.Embedding, nn.EmbeddingBag))]
        wanted = {learns[id(part.weight)] for part in embeddings if id(part.weight) in learns}
        assert wanted == found if self.by_rows else wanted != found

    # Saving

    def test_a_saved_module_scores_as_before(self) -> None:
        data = self.data()
        module, batch = self._lively(data.schema), self._exact_batch(data)
        again = self.module(data.schema).double()
        with tempfile.TemporaryDirectory() as folder:
            torch.save(module.state_dict(), Path(folder) / "module.pt")
            again.load_state_dict(torch.load(Path(folder) / "module.pt", weights_only=True))
        assert torch.equal(again.eval()(batch), module(batch))

    def test_a_run_opened_again_scores_as_before(self) -> None:
        data = self.data()
        with tempfile.TemporaryDirectory() as folder:
            run = fit(
                self.module(data.schema), data, MAMDR(num_helpers=1), rounds=1, batch_size=16, folder=folder
            )
            again = Run.open(folder, module=self.module(data.schema), data=data)
        for domain in range(len(data.schema.domains)):
            batch, _ = next(data.test.batches([domain], ROWS, None))
            assert torch.equal(again.score(domain, batch), run.score(domain, batch))

    def test_a_copy_is_a_module_of_its_own(self) -> None:
        data = self.data()
        module, batch = self._lively(data.schema), self._exact_batch(data)
        other = copy.deepcopy(module)
        with torch.no_grad():
            for parameter in module.parameters():
                parameter.zero_()
        assert not torch.equal(other(batch), module(batch))


def _at(batch: Batch, rows: slice | Tensor) -> Batch:
    return {name: column[rows] for name, column in batch.items()}


def _exact(batch: Batch) -> Batch:
    return {name: values.double() if values.is_floating_point() else values for name, values in batch.items()}


def _moves(grad: Tensor | None) -> bool:
    return grad is not None and bool(grad.any())


def _logits(module: nn.Module, batch: Batch, moves: Tensor) -> Tensor:
    """The logits with each parameter that learns moved so far along its direction, with the same dropout each time."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        learns = [(name, p.detach()) for name, p in module.named_parameters() if p.requires_grad]
        moved = {name: p + move * torch.randn_like(p) for (name, p), move in zip(learns, moves, strict=True)}
        found: Tensor = functional_call(module, moved, (batch,))
        return found


def _few_domains(schema: Schema) -> Dataset:
    """Columns as in `schema`; 13 domains, a number that no width is likely to be, of which two have training rows."""
    sizes = [0] * 13
    sizes[TRAINED], sizes[OTHER] = 20, 9
    return tiny_market(sizes, numeric=bool(schema.numeric), lists=bool(schema.lists))
