from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reperfuse.evaluation.agreement import agreement

TENTHS = st.integers(-10_000, 10_000).map(lambda n: n / 10)
PAIRS = st.lists(st.tuples(TENTHS, TENTHS), min_size=3, max_size=30)


def test_a_published_kind_of_example() -> None:
    # Computed by hand: means 3 and 4, variances 2 and 2, covariance 2 (n in the denominator).
    found = agreement([1, 2, 3, 4, 5], [2, 3, 4, 5, 6])
    assert found.n == 5 and found.ccc == pytest.approx(4 / 5)
    assert (found.bias, found.low, found.high) == (-1, -1, -1)


def test_limits_of_agreement_are_those_of_bland_and_altman() -> None:
    random = np.random.default_rng(1)
    x = random.normal(50, 10, 400)
    y = x + 2 + random.normal(0, 3, 400)
    found = agreement(y, x)
    assert found.bias == pytest.approx(2, abs=0.5)
    assert found.high - found.low == pytest.approx(2 * 1.96 * 3, rel=0.1)
    outside = np.mean((y - x < found.low) | (y - x > found.high))
    assert 0.02 < outside < 0.09


@given(PAIRS)
def test_concordance_is_symmetric_bounded_and_at_most_the_correlation(
    pairs: list[tuple[float, float]],
) -> None:
    x, y = (np.array(values) for values in zip(*pairs, strict=True))
    found, other = agreement(x, y), agreement(y, x)
    if found.ccc is None:
        assert np.ptp(x) == np.ptp(y) == 0 and x[0] == y[0]
        return
    assert found.ccc == pytest.approx(other.ccc) and -1 - 1e-9 <= found.ccc <= 1 + 1e-9
    assert found.bias == pytest.approx(-other.bias)
    if x.std() > 1e-3 and y.std() > 1e-3:
        assert abs(found.ccc) <= abs(np.corrcoef(x, y)[0, 1]) + 1e-9


def test_two_pairs_say_nothing() -> None:
    found = agreement([1, 2], [1, 2])
    assert (found.n, found.ccc, found.bias) == (2, None, None)


def test_a_value_that_is_not_finite_is_refused() -> None:
    with pytest.raises(ValueError, match="not finite"):
        agreement([1, 2, np.nan], [1, 2, 3])
