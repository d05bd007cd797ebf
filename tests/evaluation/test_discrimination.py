"""The AUC, DeLong's interval and test, average precision and the ROC curve."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit, logit
from scipy.stats import norm
from sklearn.metrics import average_precision_score, roc_auc_score

from reperfuse.evaluation.discrimination import (
    auc,
    auc_interval,
    average_precision,
    delong,
    paired_delong,
    roc_points,
    weighted_auc,
)

# Labels and scores on a coarse grid, so that ties are common.
patients = st.lists(st.tuples(st.integers(0, 1), st.integers(-8, 8)), min_size=2, max_size=40)


def cohort(seed: int, n: int = 74, *, gain: float = 1.0, grid: float = 0.5) -> tuple[np.ndarray, np.ndarray]:
    """Return labels and two correlated, tied scores of the same patients."""
    rng = np.random.default_rng(seed)
    y = np.arange(n) % 2
    common = rng.normal(size=n)
    scores = [common + rng.normal(size=n) + gain * y for _ in range(2)]
    return y, np.round(np.array(scores) / grid) * grid


def kernel(y: np.ndarray, score: np.ndarray) -> np.ndarray:
    """Return the comparison of every positive (row) with every negative (column): 1, half or 0."""
    gap = score[y == 1][:, None] - score[y == 0][None]
    return (gap > 0) + 0.5 * (gap == 0)


@settings(deadline=None)
@given(patients)
def test_auc_is_the_share_of_pairs_in_order_as_scikit_learn_has_it(rows: list[tuple[int, int]]) -> None:
    y, score = (np.array(column) for column in zip(*rows, strict=True))
    if len(set(y)) < 2:
        assert auc(y, score) is None
        return
    found = auc(y, score)
    assert found == pytest.approx(kernel(y, score).mean(), abs=1e-12)
    assert found == pytest.approx(roc_auc_score(y, score), abs=1e-12)


@settings(deadline=None)
@given(patients)
def test_auc_depends_on_order_alone_and_flips_with_the_score_or_the_label(
    rows: list[tuple[int, int]],
) -> None:
    y, score = (np.array(column) for column in zip(*rows, strict=True))
    found = auc(y, score)
    assert auc(y, expit(score) * 3 - 7) == found
    if found is not None:
        assert auc(y, -score) == pytest.approx(1 - found, abs=1e-12)
        assert auc(1 - y, score) == pytest.approx(1 - found, abs=1e-12)


def test_delong_covariance_equals_that_of_placements_counted_pair_by_pair() -> None:
    y, scores = cohort(1, n=41)
    m, n = int(y.sum()), int((1 - y).sum())
    kernels = [kernel(y, score) for score in scores]
    expected = np.zeros((2, 2))
    for i, a in enumerate(kernels):
        for j, b in enumerate(kernels):
            s10 = np.sum((a.mean(1) - a.mean()) * (b.mean(1) - b.mean())) / (m - 1)
            s01 = np.sum((a.mean(0) - a.mean()) * (b.mean(0) - b.mean())) / (n - 1)
            expected[i, j] = s10 / m + s01 / n
    areas, covariance = delong(y, scores)
    assert areas is not None and covariance is not None
    assert areas == pytest.approx([a.mean() for a in kernels], abs=1e-14)
    assert covariance == pytest.approx(expected, abs=1e-14)
    one = delong(y, scores[:1])
    assert one[1] is not None and one[1].shape == (1, 1)
    assert one[1][0, 0] == pytest.approx(expected[0, 0], abs=1e-14)


def test_interval_is_symmetric_on_the_logit_scale() -> None:
    y, scores = cohort(2)
    found = auc_interval(y, scores[0], level=0.9)
    areas, covariance = delong(y, scores[:1])
    assert areas is not None and covariance is not None
    assert found.interval == "delong_logit"
    assert found.value == pytest.approx(areas[0])
    assert found.low is not None and found.high is not None and found.value is not None
    reach = norm.ppf(0.95) * np.sqrt(covariance[0, 0]) / (areas[0] * (1 - areas[0]))
    assert logit(found.value) - logit(found.low) == pytest.approx(reach)
    assert logit(found.high) - logit(found.value) == pytest.approx(reach)
    wider = auc_interval(y, scores[0])
    assert wider.low is not None and wider.low < found.low


def test_interval_covers_the_true_auc_about_as_often_as_it_says() -> None:
    # Two normals a distance 1 apart: the true AUC is Phi(1/sqrt 2).
    truth = norm.cdf(1 / np.sqrt(2))
    rng = np.random.default_rng(20)
    y = np.arange(74) % 2
    covered = 0
    for _ in range(300):
        found = auc_interval(y, rng.normal(size=74) + y)
        assert found.low is not None and found.high is not None
        covered += found.low <= truth <= found.high
    assert 0.91 <= covered / 300 <= 0.985


def test_perfect_order_has_the_exact_bound_of_disjoint_pairs() -> None:
    y = np.array([0] * 10 + [1] * 6)
    perfect = auc_interval(y, np.arange(16.0))
    assert (perfect.value, perfect.high, perfect.interval) == (1.0, 1.0, "exact_pairs")
    assert perfect.low == pytest.approx(0.025 ** (1 / 6))
    reversed_ = auc_interval(y, -np.arange(16.0))
    assert (reversed_.value, reversed_.low) == (0.0, 0.0)
    assert reversed_.high == pytest.approx(1 - 0.025 ** (1 / 6))


def test_what_has_no_interval() -> None:
    tied = auc_interval([0, 0, 1, 1], [3, 3, 3, 3])
    assert (tied.value, tied.low, tied.high, tied.interval) == (0.5, None, None, "none")
    single = auc_interval([0, 0, 0, 1], [1, 2, 4, 3])
    assert single.value == pytest.approx(2 / 3)
    assert (single.low, single.high, single.interval) == (None, None, "none")
    absent = auc_interval([1, 1], [0, 1])
    assert (absent.value, absent.low, absent.high) == (None, None, None)
    assert delong([1, 1], [[0, 1]]) == (None, None)
    areas, covariance = delong([0, 1], [[0, 1]])
    assert areas == pytest.approx([1.0]) and covariance is None


def test_paired_test_is_that_of_the_covariance() -> None:
    y, scores = cohort(3)
    areas, c = delong(y, scores)
    assert areas is not None and c is not None
    found = paired_delong(y, scores[0], scores[1])
    error = np.sqrt(c[0, 0] + c[1, 1] - 2 * c[0, 1])
    assert found.difference == pytest.approx(areas[0] - areas[1])
    assert found.statistic == pytest.approx((areas[0] - areas[1]) / error)
    assert found.p == pytest.approx(2 * norm.cdf(-abs((areas[0] - areas[1]) / error)))
    assert found.low == pytest.approx(areas[0] - areas[1] - norm.ppf(0.975) * error)
    back = paired_delong(y, scores[1], scores[0])
    assert back.difference == pytest.approx(-found.difference)
    assert back.p == pytest.approx(found.p)
    assert (back.low, back.high) == (pytest.approx(-found.high), pytest.approx(-found.low))


def test_paired_test_rejects_about_as_often_as_nominal_when_there_is_no_difference() -> None:
    rejected = 0
    for seed in range(400):
        y, scores = cohort(seed + 1000, grid=0.01)
        p = paired_delong(y, scores[0], scores[1]).p
        assert p is not None
        rejected += p < 0.05
    # 0.05 with a binomial SD of 0.011.
    assert 0.02 <= rejected / 400 <= 0.085


def test_paired_test_without_variance() -> None:
    y = np.array([0, 0, 0, 1, 1, 1])
    score = np.array([1.0, 3, 2, 2, 4, 5])
    same = paired_delong(y, score, np.exp(score))
    assert (same.difference, same.statistic, same.p, same.low, same.high) == (0.0, 0.0, 1.0, None, None)
    apart = paired_delong(y, np.arange(6), np.zeros(6))
    assert apart.difference == pytest.approx(0.5)
    assert (apart.statistic, apart.p, apart.low) == (None, None, None)
    assert paired_delong([1, 1], [0, 1], [1, 0]).difference is None
    single = paired_delong([0, 0, 1], [0, 1, 2], [2, 1, 0])
    assert (single.difference, single.p) == (1.0, None)


def test_average_precision_of_a_short_list_by_hand() -> None:
    # Ranks of positives 1 and 3: (1/1 + 2/3) / 2.
    assert average_precision([1, 0, 1, 0], [0.9, 0.8, 0.7, 0.1]) == pytest.approx(5 / 6)
    y, scores = cohort(4)
    assert average_precision(y, scores[0]) == pytest.approx(average_precision_score(y, scores[0]))
    assert average_precision([1, 1], [0.1, 0.2]) is None
    assert average_precision([0, 0], [0.1, 0.2]) is None


@settings(deadline=None)
@given(patients, st.lists(st.integers(0, 3), min_size=40, max_size=40))
def test_whole_weights_are_copies(rows: list[tuple[int, int]], weights: list[int]) -> None:
    y, score = (np.array(column) for column in zip(*rows, strict=True))
    weight = np.array(weights[: y.size])
    expected = auc(np.repeat(y, weight), np.repeat(score, weight))
    found = weighted_auc(y, score, weight / 7)
    assert (found is None) == (expected is None)
    if expected is not None:
        assert found == pytest.approx(expected, abs=1e-12)


def test_a_negative_weight_is_refused() -> None:
    with pytest.raises(ValueError, match="weight holds -1"):
        weighted_auc([0, 1], [0, 1], [1, -1])


@settings(max_examples=60, deadline=None)
@given(patients)
def test_each_point_of_the_curve_is_what_its_threshold_gives(rows: list[tuple[int, int]]) -> None:
    y, score = (np.array(column) for column in zip(*rows, strict=True))
    fpr, tpr, threshold = roc_points(y, score)
    if len(set(y)) < 2:
        assert fpr.size == tpr.size == threshold.size == 0
        return
    assert np.isfinite(threshold).all()
    assert threshold[0] == score.max() + 1
    assert (fpr[0], tpr[0], fpr[-1], tpr[-1]) == (0, 0, 1, 1)
    for x, s, at in zip(fpr, tpr, threshold, strict=True):
        assert s == pytest.approx(np.mean(score[y == 1] >= at))
        assert x == pytest.approx(np.mean(score[y == 0] >= at))
    assert np.trapezoid(tpr, fpr) == pytest.approx(auc(y, score))


def test_wrong_input_is_refused_in_words() -> None:
    with pytest.raises(ValueError, match=r"score has shape \(1,\); expected \(2,\)"):
        auc([0, 1], [0.5])
    with pytest.raises(ValueError, match=r"scores have shape \(2,\); expected \(k, 2\)"):
        delong([0, 1], [0.5, 0.6])
    with pytest.raises(ValueError, match="level is 95"):
        auc_interval([0, 1], [0, 1], level=95)
    with pytest.raises(ValueError, match="second holds 1 values that are not finite"):
        paired_delong([0, 1], [0, 1], [0, np.nan])
