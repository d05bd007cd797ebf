"""Platt's sigmoid, the measures of calibration, and the reliability diagram."""

from __future__ import annotations

import numpy as np
import pytest
import statsmodels.api as sm
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize
from scipy.special import expit, logit

from reperfuse.evaluation.calibration import (
    MEASURES,
    apply_platt,
    calibration,
    platt,
    recalibrated,
    reliability,
)
from reperfuse.evaluation.thresholded import wilson


def cohort(seed: int, n: int, *, slope: float = 1.0, shift: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """Return outcomes and predictions whose logit is ``(true logit - shift) / slope``."""
    rng = np.random.default_rng(seed)
    true = rng.normal(size=n)
    return (rng.random(n) < expit(true)).astype(int), expit((true - shift) / slope)


def platt_loss(weights: np.ndarray, decision: np.ndarray, y: np.ndarray) -> float:
    n1, n0 = y.sum(), (1 - y).sum()
    target = np.where(y == 1, (n1 + 1) / (n1 + 2), 1 / (n0 + 2))
    p = expit(weights[0] * decision + weights[1])
    return float(-np.sum(target * np.log(p) + (1 - target) * np.log1p(-p)))


def test_platt_is_the_minimum_that_another_optimiser_finds() -> None:
    rng = np.random.default_rng(0)
    y = np.arange(60) % 3 == 0
    decision = rng.normal(size=60) * 2 + y * 1.5 - 1
    a, b = platt(decision, y)
    other = minimize(platt_loss, [1.0, 0.0], args=(decision, y.astype(int)), method="Nelder-Mead", tol=1e-12)
    assert (a, b) == pytest.approx(other.x, abs=1e-5)
    assert a > 0


def test_platt_of_two_values_hits_the_smoothed_rates_exactly() -> None:
    # Two values, two weights: the fit passes through the mean smoothed target of each value.
    decision = np.array([-1.0] * 10 + [3.0] * 10)
    y = np.array([1] * 2 + [0] * 8 + [1] * 7 + [0] * 3)
    high, low = (9 + 1) / (9 + 2), 1 / (11 + 2)
    p = apply_platt([-1.0, 3.0], *platt(decision, y))
    assert p == pytest.approx([(2 * high + 8 * low) / 10, (7 * high + 3 * low) / 10], abs=1e-10)


@pytest.mark.parametrize("scale", [1e-8, 1.0, 1e8])
def test_platt_stays_finite_when_the_classes_are_separated(scale: float) -> None:
    y = np.array([0] * 8 + [1] * 5)
    decision = np.where(y == 1, 2.0, -1.0) * scale
    p = apply_platt(decision, *platt(decision, y))
    assert p[y == 1] == pytest.approx(6 / 7, abs=1e-8)
    assert p[y == 0] == pytest.approx(1 / 10, abs=1e-8)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 1), st.integers(-6, 6)), max_size=25),
    st.floats(0.1, 9),
    st.floats(-9, 9),
)
def test_platt_is_finite_and_follows_a_change_of_scale(
    rows: list[tuple[int, int]], scale: float, shift: float
) -> None:
    y, decision = np.array([r[0] for r in rows], int), np.array([r[1] for r in rows], float)
    p = apply_platt(decision, *platt(decision, y))
    assert np.isfinite(p).all() and ((p > 0) & (p < 1)).all()
    moved = decision * scale + shift
    assert apply_platt(moved, *platt(moved, y)) == pytest.approx(p, abs=1e-6)


def test_platt_without_information_gives_the_smoothed_rate() -> None:
    a, b = platt([2.0, 2.0, 2.0, 2.0], [1, 0, 0, 0])
    assert (a, expit(b)) == (0.0, pytest.approx((2 / 3 + 3 / 5) / 4))
    a, b = platt([1.0, 2.0, 3.0], [1, 1, 1])
    assert (a, expit(b)) == (0.0, pytest.approx(4 / 5))
    assert platt([], []) == (0.0, 0.0)


def test_slope_and_intercepts_are_those_of_statsmodels() -> None:
    y, p = cohort(1, 120, slope=0.6, shift=0.4)
    found = calibration(y, p)
    line = sm.GLM(y, sm.add_constant(logit(p)), family=sm.families.Binomial()).fit()
    level = sm.GLM(y, np.ones(120), family=sm.families.Binomial(), offset=logit(p)).fit()
    assert (found["calibration_intercept"], found["calibration_slope"]) == pytest.approx(line.params)
    assert found["calibration_in_the_large"] == pytest.approx(level.params[0], abs=1e-7)


def test_a_large_sample_gives_back_the_planted_slope_and_shift() -> None:
    y, p = cohort(2, 20_000, slope=0.5, shift=0.7)
    # The true logit is 0.5 logit(p) + 0.7.
    line = calibration(y[:3000], p[:3000])
    assert line["calibration_slope"] == pytest.approx(0.5, abs=0.06)
    assert line["calibration_intercept"] == pytest.approx(0.7, abs=0.1)


def test_shifting_the_logit_shifts_calibration_in_the_large_alone() -> None:
    y, p = cohort(3, 200)
    before, after = calibration(y, p), calibration(y, expit(logit(p) - 0.8))
    large = (before["calibration_in_the_large"], after["calibration_in_the_large"])
    assert large[0] is not None
    assert large[1] == pytest.approx(large[0] + 0.8, abs=1e-7)
    assert after["calibration_slope"] == pytest.approx(before["calibration_slope"])


def test_brier_and_its_skill_by_hand() -> None:
    found = calibration([1, 0, 1, 0], [0.9, 0.2, 0.6, 0.5])
    assert found["brier"] == pytest.approx((0.01 + 0.04 + 0.16 + 0.25) / 4)
    assert found["brier_skill"] == pytest.approx(1 - 0.115 / 0.25)
    told = calibration([1, 0, 0, 0], [0.25] * 4)
    assert told["brier_skill"] == pytest.approx(0)
    assert told["calibration_in_the_large"] == pytest.approx(0, abs=1e-9)


def test_constant_error_shows_in_every_distance() -> None:
    # Everybody is told 0.3 and half have it: the curve is flat at 0.5, whatever lowess would say.
    found = calibration([0, 1] * 20, [0.3] * 40)
    for name in ("ici", "e50", "e90", "ece"):
        assert found[name] == pytest.approx(0.2), name
    assert found["calibration_slope"] is None


def test_a_value_that_fills_the_neighbourhood_keeps_its_own_rate() -> None:
    y = np.array([1] * 15 + [0] * 45 + [1] * 14)
    p = np.array([0.2] * 60 + [0.9] * 14)
    found = calibration(y, p)
    assert found["e50"] == pytest.approx(0.05)


def test_curve_of_calibrated_predictions_is_near_the_diagonal_and_of_shrunken_ones_is_not() -> None:
    y, p = cohort(4, 1500)
    good, bad = calibration(y, p)["ici"], calibration(y, expit(logit(p) * 4))["ici"]
    assert good is not None and bad is not None
    assert good < 0.04
    assert bad > 0.1


def test_ici_of_a_local_line_is_that_of_the_planted_line() -> None:
    # Observed rates 0.25, 0.5, 0.75 at p = 0.3, 0.5, 0.7: the best local line passes through all three.
    p = np.repeat([0.3, 0.5, 0.7], 20)
    y = np.concatenate([np.repeat([1, 0], [k, 20 - k]) for k in (5, 10, 15)])
    found = calibration(y, p)
    assert found["ici"] == pytest.approx((0.05 + 0 + 0.05) / 3, abs=1e-9)
    assert found["e50"] == pytest.approx(0.05, abs=1e-9)


def test_ece_takes_ten_bins_of_equal_count() -> None:
    rng = np.random.default_rng(5)
    y, p = rng.integers(0, 2, 100), rng.permutation(100) / 100
    order = np.argsort(p).reshape(10, 10)
    expected = np.mean(np.abs(p[order].mean(1) - y[order].mean(1)))
    assert calibration(y, p)["ece"] == pytest.approx(expected)


def test_what_cannot_be_estimated_is_none() -> None:
    assert calibration([], []) == dict.fromkeys(MEASURES)
    one = calibration([1] * 12, np.linspace(0, 1, 12))
    assert one["brier"] is not None
    assert [one[name] for name in MEASURES[1:]] == [None] * 8
    for p in (np.linspace(0.1, 0.9, 12), np.linspace(0.9, 0.1, 12)):
        apart = calibration([0] * 5 + [1] * 7, p)
        assert (apart["calibration_slope"], apart["calibration_intercept"]) == (None, None)
        assert apart["calibration_in_the_large"] is not None
    touching = calibration([0, 0, 1, 1], [0.1, 0.5, 0.5, 0.9])
    assert touching["calibration_slope"] is None
    assert (touching["ici"], touching["e50"], touching["e90"]) == (None, None, None)
    assert touching["ece"] is not None


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 1), st.integers(0, 20)), max_size=40))
def test_nothing_is_ever_nan_and_order_does_not_matter(rows: list[tuple[int, int]]) -> None:
    y, p = np.array([r[0] for r in rows], int), np.array([r[1] / 20 for r in rows])
    found = calibration(y, p)
    assert tuple(found) == MEASURES
    assert all(value is None or np.isfinite(value) for value in found.values())
    again = calibration(y[::-1], p[::-1])
    for name, value in found.items():
        assert again[name] == (None if value is None else pytest.approx(value, abs=1e-6)), name


def test_reliability_by_hand() -> None:
    y, p = [0, 0, 1, 0, 1, 1], [0.1, 0.2, 0.3, 0.6, 0.7, 0.9]
    rows = reliability(y, p, bins=2, level=0.9)
    low, high = wilson(1, 3, level=0.9)
    assert rows[0] == {
        "bin": 1,
        "mean_score": pytest.approx(0.2),
        "observed": pytest.approx(1 / 3),
        "ci_low": low,
        "ci_high": high,
        "n": 3,
    }
    assert (rows[1]["bin"], rows[1]["observed"], rows[1]["n"]) == (2, pytest.approx(2 / 3), 3)
    assert len(rows) == 2


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 1), st.integers(0, 8)), max_size=40), st.integers(1, 12))
def test_reliability_keeps_everybody_once_and_ties_together(rows: list[tuple[int, int]], bins: int) -> None:
    y, p = np.array([r[0] for r in rows], int), np.array([r[1] / 8 for r in rows])
    found = reliability(y, p, bins=bins, level=0.95)
    assert [row["bin"] for row in found] == list(range(1, len(found) + 1))
    assert len(found) <= min(bins, len(np.unique(p)))
    assert sum(row["n"] for row in found) == y.size
    assert sum(row["n"] * row["observed"] for row in found) == pytest.approx(y.sum())
    assert sum(row["n"] * row["mean_score"] for row in found) == pytest.approx(p.sum())
    means = [row["mean_score"] for row in found]
    assert means == sorted(means)


def test_wrong_input_is_refused() -> None:
    with pytest.raises(ValueError, match="bins is 0"):
        reliability([0, 1], [0, 1], bins=0, level=0.95)
    with pytest.raises(ValueError, match=r"probability holds 1\.5"):
        calibration([0, 1], [0, 1.5])
    with pytest.raises(ValueError, match="decision has shape"):
        platt([1.0], [0, 1])


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 10_000), st.floats(-3, 3))
def test_recalibration_shifts_the_log_odds_to_the_prevalence(seed: int, off: float) -> None:
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 2, 60)
    y[:2] = 0, 1
    p = expit(rng.normal(size=60) + off)
    found = recalibrated(y, p)
    assert found is not None and found.mean() == pytest.approx(y.mean(), abs=1e-9)
    assert np.ptp(logit(found) - logit(p)) < 1e-8


def test_recalibration_on_one_class_is_not_estimable() -> None:
    assert recalibrated([1, 1], [0.2, 0.3]) is None
