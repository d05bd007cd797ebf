"""The shift over the whole grade, the concordance, and the AUC of each cut."""

from __future__ import annotations

import numpy as np
import pytest
import statsmodels.api as sm
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize
from scipy.special import expit, logit
from scipy.stats import norm

from reperfuse.evaluation.discrimination import auc, auc_interval
from reperfuse.evaluation.ordinal import auc_by_cut, concordance, shift_odds_ratio

patients = st.lists(st.tuples(st.integers(0, 6), st.integers(-5, 5)), min_size=1, max_size=30)


def cohort(seed: int, n: int, *, slope: float) -> tuple[np.ndarray, np.ndarray]:
    """Return mRS from a proportional-odds model and the probability on whose logit it depends."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=n)
    grade = np.digitize(rng.logistic(size=n) - slope * x, [-2, -1, 0, 0.7, 1.4, 2.5])
    return grade, expit(0.3 + 2 * x)


def test_shift_is_the_maximum_of_the_likelihood_written_out() -> None:
    grade, p = cohort(0, 90, slope=1.0)
    x = logit(p)
    x = (x - x.mean()) / x.std(ddof=1)
    codes = np.unique(grade, return_inverse=True)[1]

    def loss(weights: np.ndarray) -> float:
        cuts = np.concatenate([[-np.inf], np.cumsum([weights[1], *np.exp(weights[2:])]), [np.inf]])
        # P(grade <= k) = expit(cut_k + log(OR) x): the better the prediction, the lower the grade.
        upper, lower = expit(cuts[codes + 1] + weights[0] * x), expit(cuts[codes] + weights[0] * x)
        return float(-np.log(upper - lower).sum())

    start = np.concatenate([[0.5, -2.0], np.zeros(codes.max() - 1)])
    best = minimize(loss, start, method="BFGS", options={"gtol": 1e-7})
    found = shift_odds_ratio(grade, p, level=0.95)
    assert found.interval == "wald_log"
    assert found.value == pytest.approx(np.exp(best.x[0]), rel=1e-4)
    assert found.low is not None and found.high is not None and found.value is not None
    assert found.low * found.high == pytest.approx(found.value**2)
    assert found.low > 1


def test_with_two_grades_it_is_the_logistic_model() -> None:
    grade, p = cohort(1, 100, slope=0.8)
    binary = np.where(grade <= 1, 0, 4)
    x = logit(p)
    x = (x - x.mean()) / x.std(ddof=1)
    fit = sm.Logit((binary == 0).astype(int), sm.add_constant(x)).fit(disp=False)
    found = shift_odds_ratio(binary, p, level=0.9)
    reach = norm.ppf(0.95) * fit.bse[1]
    expected = np.exp(fit.params[1] + np.array([0, -reach, reach]))
    assert (found.value, found.low, found.high) == pytest.approx(tuple(expected), rel=1e-3)


def test_a_large_sample_gives_back_the_planted_odds_ratio() -> None:
    found = shift_odds_ratio(*cohort(2, 2000, slope=1.0), level=0.95)
    assert found.value == pytest.approx(np.e, rel=0.12)


def test_worse_predictions_give_the_inverse() -> None:
    grade, p = cohort(3, 80, slope=1.0)
    better, worse = shift_odds_ratio(grade, p, level=0.95), shift_odds_ratio(grade, 1 - p, level=0.95)
    assert better.value is not None and better.high is not None
    assert worse.value == pytest.approx(1 / better.value, rel=1e-4)
    assert worse.low == pytest.approx(1 / better.high, rel=1e-4)


@pytest.mark.parametrize(
    ("grade", "p"),
    [
        ([0, 1, 2, 3], [0.9, 0.7, 0.5, 0.1]),  # in perfect order
        ([0, 1, 2, 3], [0.1, 0.5, 0.7, 0.9]),  # in perfect disorder
        ([0, 0, 1, 1, 2], [0.9, 0.5, 0.5, 0.3, 0.3]),  # with ties
        ([0, 0, 1, 1, 2, 2], [1.0, 0.9, 0.500001, 0.2, 0.2000001, 0.0]),  # all but in order
        ([2, 2, 2], [0.1, 0.2, 0.3]),
        ([0, 1, 2, 0], [0.4, 0.4, 0.4, 0.4]),
        ([1], [0.5]),
        ([], []),
    ],
)
def test_what_has_no_finite_maximum_is_none(grade: list[int], p: list[float]) -> None:
    found = shift_odds_ratio(grade, p, level=0.95)
    assert (found.value, found.low, found.high, found.interval) == (None, None, None, "none")


@settings(deadline=None)
@given(patients)
def test_concordance_is_counted_pair_by_pair(rows: list[tuple[int, int]]) -> None:
    grade, score = (np.array(column) for column in zip(*rows, strict=True))
    total = won = 0.0
    for i in range(len(rows)):
        for j in range(len(rows)):
            if grade[i] < grade[j]:
                total += 1
                won += (score[i] > score[j]) + 0.5 * (score[i] == score[j])
    found = concordance(grade, score)
    assert found == (None if not total else pytest.approx(won / total, abs=1e-12))
    assert concordance(grade, np.exp(score)) == found
    if found is not None:
        assert concordance(grade, -score) == pytest.approx(1 - found, abs=1e-12)


def test_concordance_of_two_grades_is_the_auc() -> None:
    grade, p = cohort(4, 50, slope=0.5)
    assert concordance(grade > 2, p) == pytest.approx(auc(grade <= 2, p))


def test_every_cut_with_both_classes_has_its_auc() -> None:
    grade = np.array([0, 1, 1, 3, 3, 6, 4, 0, 4, 6])
    p = np.array([0.9, 0.8, 0.3, 0.4, 0.5, 0.1, 0.2, 0.7, 0.6, 0.3])
    rows = auc_by_cut(grade, p)
    assert [row["cut"] for row in rows] == [0, 1, 2, 3, 4, 5]
    assert [row["n_positive"] for row in rows] == [2, 4, 4, 6, 8, 8]
    for row in rows:
        one = auc_interval(grade <= row["cut"], p)
        expected = (one.value, one.low, one.high, one.interval)
        assert (row["auc"], row["ci_low"], row["ci_high"], row["interval"]) == expected
        assert row["n"] == 10
    assert [row["cut"] for row in auc_by_cut([2, 4], [0.5, 0.4])] == [2, 3]
    assert auc_by_cut([3, 3], [0.5, 0.4]) == []
    assert auc_by_cut([], []) == []


@pytest.mark.parametrize(
    ("grade", "found"),
    [
        ([0, -1], "grade holds -1"),
        ([0, 1.5], "grade holds 1.5"),
        ([[0, 1]], "shape"),
        ([0, np.nan], "not finite"),
    ],
)
def test_wrong_grades_are_refused(grade: list[float], found: str) -> None:
    with pytest.raises(ValueError, match=found):
        concordance(grade, [0.1, 0.2])
