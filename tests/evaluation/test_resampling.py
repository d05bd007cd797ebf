from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn.metrics import roc_auc_score

from reperfuse.evaluation.resampling import (
    auc_of,
    cluster_bootstrap,
    corrected_interval,
    corrected_t,
    naive_t,
    rows_of,
)

SETTINGS = {"draws": 500, "level": 0.95, "seed": 3}


def cohort(n: int, *, seed: int, gain: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    y = (np.arange(n) % 2).astype(int)
    return y, rng.normal(size=n) + gain * y


@given(
    st.lists(st.tuples(st.integers(0, 1), st.integers(-4, 4)), min_size=2, max_size=40), st.integers(0, 99)
)
@settings(max_examples=60, deadline=None)
def test_fast_auc_is_that_of_scikit_learn_on_any_resample(rows: list[tuple[int, int]], seed: int) -> None:
    y, score = np.array(rows).T
    indices = np.random.default_rng(seed).integers(0, len(y), len(y))
    found = auc_of(y, score)(indices)
    if len(set(y[indices])) < 2:
        assert found is None
    else:
        assert found == pytest.approx(roc_auc_score(y[indices], score[indices]), abs=1e-12)


def test_rows_of_a_group_stay_together_and_are_repeated_with_it() -> None:
    rows = rows_of(["b", "a", "b", "c", "a", "b"])
    assert rows.size.tolist() == [2, 3, 1]
    assert rows.of(np.array([2, 1, 1])).tolist() == [3, 0, 2, 5, 0, 2, 5]
    assert rows.of(np.array([], dtype=int)).tolist() == []


def test_every_draw_holds_whole_patients_and_as_many_of_each_outcome() -> None:
    groups = np.repeat(np.arange(12), [1, 2, 3] * 4)
    y = (groups < 4).astype(int)
    y[groups == 0] = 1
    seen: list[np.ndarray] = []

    def statistic(indices: np.ndarray) -> float:
        seen.append(indices)
        return float(indices.mean())

    cluster_bootstrap(statistic, y, groups, draws=50, level=0.9, seed=1)
    size = np.bincount(groups)
    draws = seen[1:51]  # after the data, before the jackknife
    assert len({tuple(one) for one in draws}) > 40
    for indices in draws:
        times = np.bincount(groups[indices], minlength=12)
        assert np.all(times % size == 0)
        patients = times // size
        assert patients[:4].sum() == 4 and patients[4:].sum() == 8
    assert [len(np.unique(groups[one])) for one in seen[51:]] == [11] * 12


def test_stratum_of_a_patient_is_the_largest_outcome() -> None:
    groups, y = np.array([0, 0, 1, 1, 2, 2, 3, 3]), np.array([0, 1, 0, 1, 0, 0, 0, 0])
    positives: list[int] = []

    def statistic(indices: np.ndarray) -> float:
        positives.append(int(y[indices].sum()))
        return float(indices.mean())

    cluster_bootstrap(statistic, y, groups, draws=60, level=0.9, seed=1)
    assert set(positives[:61]) == {2}


def test_bca_of_a_mean_is_that_of_scipy() -> None:
    values = np.random.default_rng(0).exponential(size=40)
    found = cluster_bootstrap(
        lambda rows: float(values[rows].mean()), np.zeros(40), np.arange(40), draws=20000, level=0.95, seed=0
    ).estimate
    wanted = stats.bootstrap(
        (values,), np.mean, n_resamples=20000, method="BCa", random_state=1, vectorized=True
    ).confidence_interval
    assert found.interval == "bca" and found.value == pytest.approx(values.mean())
    assert found.low == pytest.approx(wanted.low, abs=0.02)
    assert found.high == pytest.approx(wanted.high, abs=0.02)
    # Skewed data: BCa reaches further up than down.
    assert found.high - found.value > 1.1 * (found.value - found.low)


def test_stratified_bca_of_a_difference_is_that_of_scipy() -> None:
    rng = np.random.default_rng(5)
    one, two = rng.exponential(size=25), rng.exponential(size=50) * 2
    values, y = np.concatenate([one, two]), np.repeat([0, 1], [25, 50])

    def difference(rows: np.ndarray) -> float:
        return float(values[rows][y[rows] == 1].mean() - values[rows][y[rows] == 0].mean())

    found = cluster_bootstrap(difference, y, np.arange(75), draws=8000, level=0.9, seed=0).estimate
    wanted = stats.bootstrap(
        (one, two),
        lambda a, b, axis: b.mean(axis) - a.mean(axis),
        n_resamples=8000,
        confidence_level=0.9,
        method="BCa",
        random_state=1,
    ).confidence_interval
    assert found.low == pytest.approx(wanted.low, abs=0.04)
    assert found.high == pytest.approx(wanted.high, abs=0.04)


def test_interval_covers_the_true_auc_as_often_as_it_says() -> None:
    truth, hits, studies = stats.norm.cdf(1 / np.sqrt(2)), 0, 150
    for seed in range(studies):
        y, score = cohort(60, seed=seed)
        made = cluster_bootstrap(auc_of(y, score), y, np.arange(60), draws=200, level=0.9, seed=seed).estimate
        assert made.low is not None and made.high is not None
        hits += made.low <= truth <= made.high
    assert abs(hits / studies - 0.9) < 3.5 * np.sqrt(0.9 * 0.1 / studies)


def test_rows_repeated_within_patients_do_not_narrow_the_interval() -> None:
    y, score = cohort(40, seed=2)
    once = cluster_bootstrap(auc_of(y, score), y, np.arange(40), **SETTINGS).estimate
    y5, score5, groups = np.repeat(y, 5), np.repeat(score, 5), np.repeat(np.arange(40), 5)
    assert cluster_bootstrap(auc_of(y5, score5), y5, groups, **SETTINGS).estimate == once
    naive = cluster_bootstrap(auc_of(y5, score5), y5, np.arange(200), **SETTINGS).estimate
    assert once.low is not None and once.high is not None
    assert naive.low is not None and naive.high is not None
    assert naive.high - naive.low < 0.6 * (once.high - once.low)


def test_same_seed_same_interval_and_names_of_patients_do_not_matter() -> None:
    y, score = cohort(30, seed=4)
    named = [f"sub-{i:03d}" for i in range(30)]
    one = cluster_bootstrap(auc_of(y, score), y, named, **SETTINGS)
    assert one == cluster_bootstrap(auc_of(y, score), y, np.arange(30), **SETTINGS)
    assert one != cluster_bootstrap(auc_of(y, score), y, named, **{**SETTINGS, "seed": 4})


def test_draws_without_a_value_are_counted_and_the_jackknife_without_one_gives_percentiles() -> None:
    y, score = cohort(20, seed=6)
    fast = auc_of(y, score)

    def statistic(rows: np.ndarray) -> float | None:
        return fast(rows) if 3 in rows else (None if 5 in rows else float("nan"))

    made = cluster_bootstrap(statistic, y, np.arange(20), **SETTINGS)
    # Row 3 is absent from (1 − 1/10)^10 of the draws of its stratum of ten.
    assert abs(made.dropped / 500 - 0.9**10) < 0.08
    assert made.draws == 500
    assert made.estimate.interval == "percentile"
    assert made.estimate.low is not None


@pytest.mark.parametrize(
    ("y", "score", "draws", "note", "value"),
    [
        ([1, 1, 1], [1, 2, 3], 200, "no estimate", None),
        ([1, 0, 0, 0], [3, 1, 4, 2], 200, "one patient alone has an outcome", 2 / 3),
        ([1, 1, 0, 0], [3, 4, 1, 2], 200, "all draws agree", 1.0),
        ([1, 1, 0, 0], [3, 2, 1, 2.5], 20, "too few draws", 0.75),
    ],
)
def test_no_limits_where_there_can_be_none(
    y: list[int], score: list[float], draws: int, note: str, value: float | None
) -> None:
    made = cluster_bootstrap(auc_of(y, score), y, np.arange(len(y)), draws=draws, level=0.95, seed=0)
    assert (made.note, made.estimate.interval) == (note, "none")
    assert made.estimate.value == (value if value is None else pytest.approx(value))
    assert (made.estimate.low, made.estimate.high) == (None, None)


def test_bad_arguments_are_refused() -> None:
    y, score = cohort(6, seed=0)
    with pytest.raises(ValueError, match="groups"):
        cluster_bootstrap(auc_of(y, score), y, np.arange(5), **SETTINGS)
    with pytest.raises(ValueError, match="draws is 0"):
        cluster_bootstrap(auc_of(y, score), y, np.arange(6), **{**SETTINGS, "draws": 0})
    with pytest.raises(ValueError, match="level is 95"):
        cluster_bootstrap(auc_of(y, score), y, np.arange(6), **{**SETTINGS, "level": 95})
    with pytest.raises(ValueError, match="test_share"):
        corrected_t([0.1, 0.2], test_share=-1, level=0.95)


def test_naive_t_is_that_of_scipy_and_the_correction_widens_it_by_the_known_factor() -> None:
    d = np.random.default_rng(1).normal(0.05, 0.1, 8)
    naive, fair = naive_t(list(d), level=0.95), corrected_t(list(d), test_share=1 / 7, level=0.95)
    wanted = stats.ttest_1samp(d, 0)
    interval = wanted.confidence_interval(0.95)
    assert (naive.statistic, naive.p) == pytest.approx((wanted.statistic, wanted.pvalue))
    assert (naive.low, naive.high) == pytest.approx((interval.low, interval.high))
    assert naive.statistic is not None and fair.statistic is not None
    # 1/8 against 1/8 + 1/7: variance factors 0.125 and 0.268.
    assert naive.statistic / fair.statistic == pytest.approx(np.sqrt(0.267857 / 0.125), rel=1e-5)
    assert fair.p is not None and naive.p is not None and fair.p > naive.p


def test_corrected_interval_by_hand_and_without_folds_of_one_class() -> None:
    values = [0.6, None, 0.8, 0.7]
    made = corrected_interval(values, test_share=0.25, level=0.9)
    reach = stats.t.ppf(0.95, 2) * np.sqrt((1 / 3 + 0.25) * 0.01)
    assert made.interval == "corrected_t"
    assert (made.value, made.low, made.high) == pytest.approx((0.7, 0.7 - reach, 0.7 + reach))


@pytest.mark.parametrize("values", [[], [None, None], [0.7], [0.7, 0.7, 0.7]])
def test_no_interval_from_folds_that_have_no_spread(values: list[float | None]) -> None:
    made = corrected_interval(values, test_share=0.25, level=0.9)
    assert (made.low, made.high, made.interval) == (None, None, "none")
    assert made.value == (pytest.approx(0.7) if any(values) else None)
    test = corrected_t(values, test_share=0.25, level=0.9)
    assert (test.statistic, test.p) == (None, None)


def test_two_models_that_never_differ_have_p_of_one() -> None:
    test = corrected_t([0.0, 0.0, 0.0], test_share=0.25, level=0.9)
    assert (test.difference, test.low, test.high, test.statistic, test.p) == (0.0, None, None, 0.0, 1.0)


def test_draws_all_on_one_side_of_the_estimate_give_percentiles() -> None:
    values = np.random.default_rng(0).normal(size=20)

    def statistic(rows: np.ndarray) -> float:
        # The number of distinct rows: no draw has as many as the data, leaving one out has its effect.
        return float(len(np.unique(rows)) + 1e-3 * values[rows].mean())

    made = cluster_bootstrap(statistic, np.zeros(20), np.arange(20), **SETTINGS).estimate
    assert made.interval == "percentile"
    assert made.value is not None and made.high is not None and made.high < made.value


def test_an_extreme_acceleration_gives_percentiles() -> None:
    def statistic(rows: np.ndarray) -> float:
        # One row of thirty carries everything (acceleration near its largest, 1/6), and the data's own
        # value lies high among the draws; at this level the adjusted tail would turn round.
        return 5.5 if len(np.unique(rows)) == 30 else float(np.sum(rows == 0))

    made = cluster_bootstrap(
        statistic, np.zeros(30), np.arange(30), draws=20001, level=0.9999, seed=0
    ).estimate
    assert made.interval == "percentile"
    assert made.low == 0.0
