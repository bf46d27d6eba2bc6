"""Quadratic programs over non-negative vectors: optimality, whichever solver."""

from __future__ import annotations

import pytest
import torch
from tests.unit.combiners.grams import gradients

from mamdr.combiners.quadratic import accelerated, interior, nonnegative


@pytest.mark.parametrize(("count", "width"), [(1, 3), (5, 3), (20, 40), (20, 8), (64, 33)])
def test_solutions_are_optimal(count: int, width: int) -> None:
    """x >= 0, y = A x − b >= 0, and never both above zero."""
    each = torch.nn.functional.normalize(gradients(count, width=width))
    A, B = each @ each.T, -each @ each.T
    X = nonnegative(A, B)
    assert float(torch.minimum(X, A @ X - B).abs().max()) < 1e-8


@pytest.mark.parametrize("width", [5, 30])
def test_both_solvers_find_the_same(width: int) -> None:
    each = torch.nn.functional.normalize(gradients(12, width=width))
    cosines = each @ each.T
    exact, close = interior(cosines, -cosines), accelerated(cosines, -cosines, tolerance=1e-9, at_most=20_000)
    torch.testing.assert_close(exact.T @ each, close.T @ each, rtol=0, atol=1e-6)


def test_a_program_that_asks_for_nothing_is_answered_by_zeros() -> None:
    found = nonnegative(torch.eye(3).double(), -torch.eye(3).double())
    assert torch.equal(found, torch.zeros(3, 3, dtype=torch.float64))


def test_programs_by_hand() -> None:
    """Separable ones: x = max(0, b)."""
    right = torch.tensor([[1.0, -2.0], [-3.0, 4.0]], dtype=torch.float64)
    torch.testing.assert_close(
        nonnegative(torch.eye(2).double(), right), right.clamp(min=0), rtol=0, atol=1e-8
    )
