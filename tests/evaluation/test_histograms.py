from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, roc_auc_score

from reperfuse.evaluation import histograms
from reperfuse.evaluation.resampling import auc_of, cluster_bootstrap

N_PATIENTS = 30


def voxels(seed: int, n: int = 6000, decimals: int = 9) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    owner = rng.integers(0, N_PATIENTS, n)
    y = ((rng.random(n) < 0.3) & (owner < 12)).astype(np.int8)
    score = np.round(y + 0.8 * rng.normal(size=N_PATIENTS)[owner] + rng.normal(size=n), decimals)
    return y, score, owner


@given(st.integers(0, 10_000), st.sampled_from([1, 2, 9]), st.sampled_from([64, 512, 4096]))
@settings(max_examples=40, deadline=None)
def test_bins_are_as_near_as_they_say(seed: int, decimals: int, bins: int) -> None:
    y, score, owner = voxels(seed, 2000, decimals)
    counts = histograms.count(y, score, owner, patients=N_PATIENTS, bins=bins)
    found = histograms.resample(counts, histograms.draw_patients(np.arange(N_PATIENTS) < 12, draws=2, seed=1))
    assert counts.bound is not None and counts.bound <= 1 / bins
    assert abs(found["auc"].value - roc_auc_score(y, score)) <= counts.bound + 1e-12
    assert found["average_precision"].value == pytest.approx(average_precision_score(y, score), abs=2 / bins)


def test_few_scores_lose_nothing() -> None:
    y, score, owner = voxels(3, decimals=1)
    counts = histograms.count(y, score, owner, patients=N_PATIENTS)
    found = histograms.resample(counts, histograms.draw_patients(np.arange(N_PATIENTS) < 12, draws=2, seed=1))
    assert counts.bound == 0
    assert found["auc"].value == pytest.approx(roc_auc_score(y, score), abs=1e-12)
    assert found["average_precision"].value == pytest.approx(average_precision_score(y, score), abs=1e-12)


def test_a_draw_is_the_auc_of_the_voxels_drawn() -> None:
    y, score, owner = voxels(4)
    counts = histograms.count(y, score, owner, patients=N_PATIENTS)
    draws = histograms.draw_patients(np.bincount(owner, weights=y) > 0, draws=3, seed=7)
    found = histograms.resample(counts, draws)
    for weights, auc, precision in zip(
        draws.weights, found["auc"].drawn, found["average_precision"].drawn, strict=True
    ):
        rows = np.repeat(np.arange(y.size), weights[owner].astype(int))
        assert auc == pytest.approx(roc_auc_score(y[rows], score[rows]), abs=3e-4)
        assert precision == pytest.approx(average_precision_score(y[rows], score[rows]), abs=2e-3)
    without = np.flatnonzero(owner != 5)
    assert found["auc"].without[5] == pytest.approx(roc_auc_score(y[without], score[without]), abs=3e-4)


def test_the_interval_is_that_of_rows() -> None:
    y, score, owner = voxels(5)
    counts = histograms.count(y, score, owner, patients=N_PATIENTS)
    draws = histograms.draw_patients(np.bincount(owner, weights=y) > 0, draws=2000, seed=7)
    exact = roc_auc_score(y, score)
    binned = histograms.patient_interval(
        histograms.resample(counts, draws)["auc"], draws, exact=exact, level=0.95
    )
    rows = cluster_bootstrap(auc_of(y, score), y, owner, draws=2000, level=0.95, seed=3).estimate
    assert binned.estimate.value == exact
    assert (binned.estimate.low, binned.estimate.high) == pytest.approx((rows.low, rows.high), abs=0.012)


def test_voxels_as_if_independent_are_narrower() -> None:
    y, score, owner = voxels(6)
    counts = histograms.count(y, score, owner, patients=N_PATIENTS)
    draws = histograms.draw_patients(np.bincount(owner, weights=y) > 0, draws=500, seed=7)
    exact = {"auc": roc_auc_score(y, score), "average_precision": average_precision_score(y, score)}
    of_voxels = histograms.voxel_intervals(counts, exact, draws=500, level=0.95, seed=1)
    resampled = histograms.resample(counts, draws)
    for name, value in exact.items():
        of_patients = histograms.patient_interval(resampled[name], draws, exact=value, level=0.95).estimate
        narrow = of_voxels[name]
        assert narrow.high - narrow.low < 0.6 * (of_patients.high - of_patients.low)
        assert narrow.low < value < narrow.high


def test_pairs_are_compared_on_the_same_draws() -> None:
    y, score, owner = voxels(8)
    rng = np.random.default_rng(1)
    worse = score + rng.normal(0, 1.5, score.size)
    draws = histograms.draw_patients(np.bincount(owner, weights=y) > 0, draws=999, seed=7)
    one, two = (
        histograms.resample(histograms.count(y, s, owner, patients=N_PATIENTS), draws)["auc"]
        for s in (score, worse)
    )
    exact = roc_auc_score(y, score) - roc_auc_score(y, worse)
    found = histograms.compare(one, two, draws, exact=exact, level=0.95)
    assert found.difference == exact and found.low > 0 and 2 / 1000 <= found.p < 0.01
    same = histograms.compare(one, one, draws, exact=0.0, level=0.95)
    assert (same.difference, same.low, same.p) == (0.0, None, None)


def test_one_patient_of_a_kind_has_no_interval_and_one_class_no_value() -> None:
    y, score, owner = voxels(9)
    counts = histograms.count(y, score, owner, patients=N_PATIENTS)
    draws = histograms.draw_patients(np.arange(N_PATIENTS) == 0, draws=50, seed=1)
    found = histograms.patient_interval(
        histograms.resample(counts, draws)["auc"], draws, exact=0.7, level=0.95
    )
    assert (found.estimate.value, found.estimate.low, found.note) == (0.7, None, "too few patients")
    nobody = histograms.count(np.zeros_like(y), score, owner, patients=N_PATIENTS)
    assert nobody.bound is None and histograms.curve(nobody, points=10) == []
    assert histograms.voxel_intervals(nobody, {}, draws=5, level=0.95, seed=1) == {}


def test_the_curve_ends_where_everything_is_called() -> None:
    y, score, owner = voxels(10)
    points = histograms.curve(histograms.count(y, score, owner, patients=N_PATIENTS), points=100)
    assert 50 < len(points) <= 102
    threshold, fpr, tpr, precision = points[-1]
    assert (threshold, fpr, tpr) == (score.min(), 1.0, 1.0) and precision == pytest.approx(y.mean())
    middle = points[len(points) // 2]
    called = score >= middle[0]
    assert middle[1] == pytest.approx(called[y == 0].mean()) and middle[2] == pytest.approx(
        called[y == 1].mean()
    )
    area = np.trapezoid([0.0, *(p[2] for p in points)], [0.0, *(p[1] for p in points)])
    assert area == pytest.approx(roc_auc_score(y, score), abs=0.002)
