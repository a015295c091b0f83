"""Low-rank metrics: exact where they can be, and what they keep where they cannot."""

from __future__ import annotations

import pytest
import torch

from pipeline.errors import PipelineError
from pipeline.generators.low_rank import (
    FULL_WIDTH,
    FullSum,
    LowRank,
    LowRankSum,
    leading,
    quadratic_form,
    trace_of,
    truncate,
)
from pipeline.generators.pullback import metric_sum, whitening

WIDTH = 12


@pytest.fixture(scope="module")
def rows():
    """Vectors whose variance falls fast."""
    random = torch.Generator().manual_seed(0)
    rotation = torch.linalg.qr(torch.randn(WIDTH, WIDTH, generator=random)).Q.double()
    return torch.randn(300, WIDTH, generator=random).double() * 0.5 ** torch.arange(WIDTH) @ rotation


def low_rank(rows, rank):
    total = LowRankSum(WIDTH, rank)
    for part in rows.split(50):
        total.add(part)
    return total.metric(1 / len(rows))


def dense(metric):
    return metric.factor.T @ metric.factor + metric.diagonal.diag()


@pytest.fixture(scope="module")
def full(rows):
    total = FullSum(WIDTH)
    total.add(rows)
    return total.metric(1 / len(rows))


def test_wide_metrics_are_low_rank():
    assert isinstance(metric_sum(FULL_WIDTH), FullSum)
    assert isinstance(metric_sum(FULL_WIDTH + 1), LowRankSum)


def test_a_low_rank_sum_of_few_vectors_is_exact(rows):
    few = rows[:5]
    total = LowRankSum(WIDTH, rank=5)
    total.add(few[:2])
    total.add(few[2:])
    torch.testing.assert_close(dense(total.metric(1.0)), few.T @ few)


def test_a_low_rank_sum_of_full_rank_is_exact(rows, full):
    torch.testing.assert_close(dense(low_rank(rows, WIDTH)), full)


def test_the_diagonal_and_the_trace_are_exact_at_any_rank(rows, full):
    found = low_rank(rows, 3)
    torch.testing.assert_close(dense(found).diagonal(), full.diagonal())
    assert trace_of(found) == pytest.approx(trace_of(full))


def test_the_strongest_directions_survive_a_low_rank(rows, full):
    values, vectors = leading(low_rank(rows, 6))
    expected, known = leading(full)
    torch.testing.assert_close(values[:3], expected[:3], rtol=1e-3, atol=0)
    assert (vectors[:, :3].T @ known[:, :3]).square().sum() > 3 * 0.999


def test_truncating_keeps_directions_and_diagonal(full):
    found = truncate(full, 4)
    values, vectors = leading(full)
    torch.testing.assert_close(found.factor, (vectors * values.sqrt()).T[:4])
    torch.testing.assert_close(dense(found).diagonal(), full.diagonal())


def test_truncating_twice_is_truncating_once(full):
    once, twice = truncate(full, 2), truncate(truncate(full, 4), 2)
    torch.testing.assert_close(dense(twice), dense(once))


def test_the_form_is_that_of_the_matrix(full):
    d = torch.randn(5, WIDTH, generator=torch.Generator().manual_seed(1))
    found = truncate(full, 4)
    torch.testing.assert_close(quadratic_form(found, d), quadratic_form(dense(found), d))


def test_whitening_a_low_rank_metric_is_its_form_inside_the_span(full):
    metric = truncate(full, 4)
    found = whitening(metric)
    inside = (
        torch.randn(5, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64) @ metric.factor
    )
    torch.testing.assert_close((inside @ found.factor.T).square().sum(1), quadratic_form(metric, inside))
    torch.testing.assert_close(found.factor @ found.inverse, torch.eye(4, dtype=torch.float64))


def test_whitening_counts_what_a_low_rank_metric_leaves_out(full):
    expected = whitening(full, rank=4).energy
    assert whitening(truncate(full, 4)).energy == pytest.approx(expected, rel=0.01)
    assert whitening(truncate(full, 4), energy=1.0).energy < 1


def test_whitening_refuses_a_low_rank_metric_with_nan(full):
    with pytest.raises(PipelineError, match=r"\[4, 12\] and \[12\]"):
        whitening(truncate(full, 4)._replace(diagonal=torch.full((WIDTH,), torch.nan)))


def test_to_changes_both_parts(full):
    assert all(part.dtype == torch.float32 for part in truncate(full, 4).to(torch.float32))
    assert isinstance(truncate(full, 4).to("cpu"), LowRank)
