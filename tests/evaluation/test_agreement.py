from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from reperfuse.evaluation.agreement import agreement, bland_altman, concordance, overlap, spearman

LEVEL = {"level": 0.95}


def test_limits_of_agreement_are_those_of_the_definition() -> None:
    rng = np.random.default_rng(1)
    truth = rng.gamma(2.0, 20.0, 60)
    found = bland_altman(truth + 3 + rng.normal(0, 2, 60), truth, **LEVEL)
    difference = found.bias.value
    assert difference == pytest.approx(3, abs=1) and found.sd is not None
    assert found.upper == pytest.approx(difference + 1.959964 * found.sd)
    assert found.bias.low == pytest.approx(difference - stats.t.ppf(0.975, 59) * found.sd / np.sqrt(60))


def test_concordance_falls_with_a_shift_that_correlation_does_not_see() -> None:
    rng = np.random.default_rng(2)
    one = rng.normal(0, 1, 200)
    near, far = (
        concordance(one, one + 0.01 * rng.normal(size=200), **LEVEL),
        concordance(one, one + 2, **LEVEL),
    )
    s = one.var()
    assert far.value == pytest.approx(2 * s / (2 * s + 4)) and near.value > 0.999
    assert near.low < near.value < near.high


def test_the_interval_of_concordance_covers() -> None:
    rng = np.random.default_rng(3)
    truth = 2 * 0.8 / (1 + 1 + 0.25)
    covered = 0
    for _ in range(400):
        pairs = rng.multivariate_normal([0, 0.5], [[1, 0.8], [0.8, 1]], size=60)
        found = concordance(*pairs.T, **LEVEL)
        covered += found.low <= truth <= found.high
    assert covered / 400 == pytest.approx(0.95, abs=0.04)


def test_ranks_are_scipys() -> None:
    rng = np.random.default_rng(4)
    one, two = rng.normal(size=30), rng.normal(size=30)
    found = spearman(one, two, **LEVEL)
    assert found.value == pytest.approx(stats.spearmanr(one, two).statistic)
    assert found.low < found.value < found.high


def test_what_cannot_be_estimated_is_none() -> None:
    assert spearman([1, 1, 1], [1, 2, 3], **LEVEL).value is None
    assert concordance([], [], **LEVEL).value is None
    assert concordance([2, 2], [2, 2], **LEVEL).value is None
    assert bland_altman([], [], **LEVEL).bias.value is None
    assert bland_altman([3.0], [1.0], **LEVEL).bias.value == 2.0
    assert overlap([0, 0], [0, 0]) is None
    with pytest.raises(ValueError, match="not finite"):
        concordance([1, np.nan], [1, 2], **LEVEL)


def test_overlap_is_dice() -> None:
    assert overlap([1, 1, 0, 0], [1, 0, 1, 0]) == 0.5


def test_one_row_holds_both() -> None:
    one, two = [1.0, 2.0, 3.0, 5.0], [1.5, 2.0, 2.5, 4.0]
    found, limits = agreement(one, two), bland_altman(one, two, **LEVEL)
    assert (found.low, found.high, found.bias) == (limits.lower, limits.upper, limits.bias.value)
    assert found.ccc == concordance(one, two, **LEVEL).value and found.n == 4
    assert agreement([1, 2], [1, 2]).bias is None
