from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from reperfuse.evaluation.spread import compare_spread


def test_the_test_is_that_sum_and_difference_are_uncorrelated() -> None:
    rng = np.random.default_rng(1)
    a, b = rng.normal(size=8), rng.normal(size=8)
    found = compare_spread(list(a), list(b), level=0.95)
    assert found.p == pytest.approx(stats.pearsonr(a + b, a - b).pvalue)
    assert found.ratio == pytest.approx(a.std(ddof=1) / b.std(ddof=1))


def test_the_interval_ends_where_the_test_turns() -> None:
    rng = np.random.default_rng(2)
    a, b = rng.normal(size=12), 2 * rng.normal(size=12)
    found = compare_spread(list(a), list(b), level=0.9)
    for limit in (found.low, found.high):
        assert compare_spread(list(a), list(limit * b), level=0.9).p == pytest.approx(0.1)


def test_of_equal_spreads_the_test_rejects_as_often_as_it_should() -> None:
    rng = np.random.default_rng(3)
    shared = rng.normal(size=(2000, 8, 1))
    draws = shared + rng.normal(size=(2000, 8, 2))
    found = [compare_spread(list(one[:, 0]), list(one[:, 1]), level=0.95).p < 0.05 for one in draws]
    assert np.mean(found) == pytest.approx(0.05, abs=0.015)


def test_what_cannot_be_compared_is_none() -> None:
    assert compare_spread([0.5, None, 0.6], [0.4, 0.5, 0.7], level=0.95).ratio is None
    assert compare_spread([0.5] * 4, [0.4, 0.5, 0.6, 0.7], level=0.95).p is None
    same = compare_spread([0.4, 0.5, 0.6], [0.4, 0.5, 0.6], level=0.95)
    assert (same.ratio, same.p) == (1.0, None)
