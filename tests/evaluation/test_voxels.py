from __future__ import annotations

import numpy as np
import pytest
import statsmodels.api as sm
from scipy.special import expit, logit

from reperfuse.evaluation.voxel_tables import judge
from reperfuse.evaluation.voxels import Voxels, mean_within, metrics, shift_prior, slope_of, within_patients


def sample(seed: int, n: int = 4000) -> Voxels:
    rng = np.random.default_rng(seed)
    owner = rng.integers(0, 10, n)
    p = expit(rng.normal(0, 1.5, n))
    y = (rng.random(n) < p).astype(np.int8) * (owner < 6)
    return Voxels(
        y.astype(np.int8), p, owner, tuple(f"sub-{i}" for i in range(10)), tuple(i % 2 for i in range(10))
    )


def test_the_slope_is_that_of_a_logistic_regression() -> None:
    one = sample(1)
    slope, intercept = slope_of(one.y, one.score)
    fit = sm.Logit(one.y, sm.add_constant(logit(one.score))).fit(disp=0)
    assert (intercept, slope) == pytest.approx(tuple(fit.params), abs=2e-3)


def test_a_separated_or_single_class_has_no_slope() -> None:
    assert slope_of(np.array([0, 0, 1, 1]), np.array([0.1, 0.2, 0.8, 0.9])) == (None, None)
    assert slope_of(np.zeros(5, dtype=np.int8), np.linspace(0.1, 0.9, 5)) == (None, None)


def test_scores_that_are_no_probabilities_have_no_calibration() -> None:
    y, score = np.array([0, 1, 0, 1], dtype=np.int8), np.array([-3.0, 2.0, 0.5, 7.0])
    assert metrics(y, score, probability=False) == {"auc": 1.0, "average_precision": 1.0}


def test_one_class_has_a_brier_score_and_nothing_else() -> None:
    found = metrics(np.zeros(4, dtype=np.int8), np.full(4, 0.5), probability=True)
    assert found.pop("brier") == 0.25 and set(found.values()) == {None}


def test_inside_patients_a_constant_says_nothing() -> None:
    one = sample(2)
    constant = Voxels(one.y, one.owner.astype(float), one.owner, one.patients, one.fold)
    assert set(within_patients(constant).values()) == {0.5}
    assert sorted(within_patients(one)) == list(range(6))


def test_the_mean_over_patients_has_an_interval_over_patients() -> None:
    found = mean_within([0.6, 0.7, 0.8, 0.9, 0.75], draws=500, level=0.95, seed=1)
    assert found.value == pytest.approx(0.75) and 0.6 < found.low < 0.75 < found.high < 0.9
    assert mean_within([], draws=10, level=0.95, seed=1).value is None


def test_prevalence_moves_the_logit() -> None:
    p = np.array([0.1, 0.5, 0.9])
    moved = shift_prior(p, trained=0.5, true=0.1)
    assert logit(moved) == pytest.approx(logit(p) + logit(0.1))
    assert shift_prior(moved, trained=0.1, true=0.5) == pytest.approx(p)
    with pytest.raises(ValueError, match="strictly between"):
        shift_prior(p, trained=0.5, true=0.0)


def test_the_correction_is_right_for_voxels_that_were_thinned() -> None:
    rng = np.random.default_rng(3)
    p = expit(rng.normal(-3, 1.5, 200_000))
    y = rng.random(p.size) < p
    kept = y | (rng.random(p.size) < y.mean())
    odds = p / (1 - p) / y.mean()  # what a perfect model of the thinned sample says
    trained, true = float(y[kept].mean()), float(y.mean())
    back = shift_prior(odds / (1 + odds), trained=trained, true=true)
    assert back.mean() == pytest.approx(true, rel=0.03)
    assert slope_of(y.astype(np.int8), back)[0] == pytest.approx(1, abs=0.03)


def test_tables_of_one_configuration() -> None:
    one = sample(4)
    found = judge(
        "t", "c", one, level=0.95, draws=200, seed=1, paper=lambda *key: "0.5" if key[2] == "auc" else ""
    )
    by = {(row["metric"], row["estimator"]): row for row in found.rows}
    assert by["auc", "pooled"]["paper"] == "0.5" and by["auc", "pooled_voxels"]["paper"] == ""
    assert by["auc", "fold_mean"]["estimate"] == pytest.approx(
        np.mean([row["estimate"] for row in found.by_fold if row["metric"] == "auc"])
    )
    assert by["brier", "pooled"]["interval"] == "none"
    assert {row["n_patients"] for row in found.rows} == {10} and by["auc", "pooled"][
        "n_patients_positive"
    ] == 6
    assert sum(row["n"] for row in found.by_subject if row["metric"] == "brier") == one.y.size
    assert {row["participant_id"] for row in found.by_subject if row["metric"] == "auc"} == set(
        one.patients[:6]
    )


def test_part_of_the_patients_keeps_their_voxels() -> None:
    one = sample(5)
    part = one.of([i in (2, 7) for i in range(10)])
    assert part.patients == ("sub-2", "sub-7") and part.fold == (0, 1)
    assert np.array_equal(part.score, one.score[np.isin(one.owner, (2, 7))])
    assert part.counts()["n_patients_positive"] == 1
