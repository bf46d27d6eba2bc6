"""Packed masks are what nn.Dropout's are: independent, kept with the right probability, scaled to keep the mean."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from mamdr.engine.dropout import mask, packed
from mamdr.models.layers import ReLUDropout

SIZE = 200_000
RATES = (0.1, 0.25, 0.5, 0.9)


def _kept(p: float, seed: int = 1, size: int = SIZE) -> torch.Tensor:
    torch.default_generator.manual_seed(seed)
    return (mask(size, p) > 0).double()


@pytest.fixture(autouse=True)
def _own_random_state() -> object:
    with torch.random.fork_rng(devices=[]):
        yield


def _within(observed: float, expected: float, deviation: float) -> None:
    """Five standard deviations: a false alarm in two million, and the seed is fixed anyway."""
    assert abs(observed - expected) < 5 * deviation


@pytest.mark.parametrize("p", RATES)
def test_values_are_zero_or_the_inverse_of_the_share_kept(p: float) -> None:
    torch.default_generator.manual_seed(1)
    drawn, keep = mask(SIZE, p), round((1 - p) * 256) / 256
    assert abs(keep - (1 - p)) <= 1 / 512
    assert sorted(set(drawn.tolist())) == [0.0, pytest.approx(1 / keep)]
    _within(float((drawn > 0).double().mean()), keep, math.sqrt(keep * (1 - keep) / SIZE))
    _within(float(drawn.double().mean()), 1.0, math.sqrt((1 / keep - 1) / SIZE))


@pytest.mark.parametrize("p", RATES)
@pytest.mark.parametrize("shift", [1, 2, 7, 31, 32, 33, 64, 128])
def test_neighbours_and_words_do_not_go_together(p: float, shift: int) -> None:
    kept = _kept(p)
    keep = float(kept.mean())
    product = float(((kept[:-shift] - keep) * (kept[shift:] - keep)).mean())
    _within(product, 0.0, keep * (1 - keep) / math.sqrt(SIZE - shift))


@pytest.mark.parametrize("p", RATES)
def test_calls_do_not_go_together(p: float) -> None:
    torch.default_generator.manual_seed(2)
    one, two = ((mask(SIZE, p) > 0).double() for _ in range(2))
    keep = float(one.mean())
    _within(float(((one - keep) * (two - keep)).mean()), 0.0, keep * (1 - keep) / math.sqrt(SIZE))


@pytest.mark.parametrize("p", RATES)
def test_each_bit_of_a_word_is_kept_alike(p: float) -> None:
    kept = _kept(p, seed=3, size=32 * 20_000).view(-1, 32).mean(0)
    keep = round((1 - p) * 256) / 256
    for share in kept.tolist():
        _within(share, keep, math.sqrt(keep * (1 - keep) / 20_000))


def test_the_seed_decides() -> None:
    assert torch.equal(_kept(0.3, 1), _kept(0.3, 1))
    assert not torch.equal(_kept(0.3, 1), _kept(0.3, 2))


@pytest.mark.parametrize("size", [0, 1, 31, 32, 33, 1000])
def test_any_size(size: int) -> None:
    assert mask(size, 0.5).shape == (size,)


def test_ends_of_the_range() -> None:
    assert torch.equal(mask(100, 0.0), torch.ones(100))
    assert torch.equal(mask(100, 1.0), torch.zeros(100))
    assert 0 < float(_kept(0.999).mean()) < 0.01  # rounded to 1/256, never to nothing


def test_no_mask_in_evaluation_or_at_zero() -> None:
    x = torch.randn(10)
    assert packed(nn.Dropout(0.5).eval(), x) is x
    assert packed(nn.Dropout(0.0), x) is x


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_shape_type_and_gradient(dtype: torch.dtype) -> None:
    x = torch.ones(40, 5, dtype=dtype, requires_grad=True)
    y = packed(nn.Dropout(0.5), x)
    y.sum().backward()
    assert (y.shape, y.dtype) == (x.shape, dtype)
    assert x.grad is not None
    assert torch.equal(x.grad, y.detach())


@pytest.mark.parametrize("p", [0.1, 0.5])
def test_relu_and_dropout_in_one_are_the_two_one_after_the_other(p: float) -> None:
    x = torch.randn(64, 33, generator=torch.Generator().manual_seed(1))
    upstream = torch.randn(64, 33, generator=torch.Generator().manual_seed(2))
    results = []
    for module in (ReLUDropout(p), nn.Dropout(p)):
        given = x.clone().requires_grad_()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(3)
            out = packed(module, given if isinstance(module, ReLUDropout) else torch.relu(given))
        out.backward(upstream)
        results.append((out.detach(), given.grad))
    assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))
    assert torch.equal(packed(ReLUDropout(p).eval(), x), torch.relu(x))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_relu_and_dropout_leave_their_input_alone_and_drop_what_is_infinite(dtype: torch.dtype) -> None:
    x = torch.randn(8, 40, generator=torch.Generator().manual_seed(1)).to(dtype)
    x[0] = math.inf
    before = x.clone()
    out = packed(ReLUDropout(0.5), x)
    assert torch.equal(x, before)
    assert set(out[0].tolist()) == {0.0, math.inf}
    assert torch.equal(out[1:], torch.where(out[1:] > 0, 2 * x[1:], 0))
