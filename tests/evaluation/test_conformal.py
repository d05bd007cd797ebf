from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reperfuse.evaluation.conformal import p_values, p_values_new, prediction_sets, summary


def cohort(n: int, *, seed: int, prevalence: float = 0.3) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    y = (rng.random(n) < prevalence).astype(int)
    # Badly calibrated on purpose: validity does not rest on calibration.
    return y, 1 / (1 + np.exp(-(2 * y + rng.normal(size=n) + 1)))


def by_hand(y: np.ndarray, probability: np.ndarray, folds: np.ndarray) -> np.ndarray:
    result = np.empty((len(y), 2))
    for i in range(len(y)):
        for c in (0, 1):
            strange = 1 - probability if c else probability
            others = [j for j in range(len(y)) if y[j] == c and folds[j] != folds[i]]
            result[i, c] = (1 + sum(strange[j] >= strange[i] for j in others)) / (1 + len(others))
    return result


@given(st.lists(st.tuples(st.integers(0, 1), st.integers(0, 8), st.integers(0, 3)), min_size=1, max_size=25))
@settings(max_examples=80, deadline=None)
def test_p_values_are_those_counted_by_hand(rows: list[tuple[int, int, int]]) -> None:
    y, eighths, folds = np.array(rows).T
    np.testing.assert_allclose(p_values(y, eighths / 8, folds), by_hand(y, eighths / 8, folds))
    np.testing.assert_allclose(p_values(y, eighths / 8), by_hand(y, eighths / 8, np.arange(len(y))))


@pytest.mark.parametrize("epsilon", [0.1, 0.2])
@pytest.mark.parametrize("folded", [True, False])
def test_each_class_is_covered_as_often_as_promised(epsilon: float, folded: bool) -> None:
    hits, n = np.zeros(2), np.zeros(2)
    for seed in range(60):
        y, probability = cohort(120, seed=seed)
        folds = np.arange(120) % 8 if folded else None
        for row in summary(
            y, prediction_sets(p_values(y, probability, folds), epsilon=epsilon), epsilon=epsilon
        )[:2]:
            hits[int(row["label"])] += row["coverage"] * row["n"]
            n[int(row["label"])] += row["n"]
    share, error = hits / n, np.sqrt(epsilon * (1 - epsilon) / n)
    assert np.all(share > 1 - epsilon - 3 * error)
    # Conservative by no more than the steps of 1/(n_c + 1).
    assert np.all(share < 1 - epsilon + 3 * error + 1 / 25)


def test_new_patients_are_covered_class_by_class() -> None:
    hits, n = np.zeros(2), np.zeros(2)
    for seed in range(100):
        y, probability = cohort(160, seed=seed)
        sets = prediction_sets(p_values_new(y[:100], probability[:100], probability[100:]), epsilon=0.2)
        inside = sets[np.arange(60), y[100:]]
        for c in (0, 1):
            hits[c] += inside[y[100:] == c].sum()
            n[c] += (y[100:] == c).sum()
    # Patients of one study share its calibration: 100 studies, each a little off.
    assert np.all(np.abs(hits / n - 0.8) < 0.04)


def test_new_patient_by_hand() -> None:
    found = p_values_new([0, 0, 0, 1, 1], [0.1, 0.2, 0.6, 0.5, 0.9], [0.2, 0.95])
    np.testing.assert_allclose(found, [[(1 + 2) / 4, (1 + 0) / 3], [(1 + 0) / 4, (1 + 2) / 3]])


def test_a_class_nobody_has_can_never_be_ruled_out() -> None:
    assert p_values([0, 0, 0], [0.1, 0.2, 0.3])[:, 1].tolist() == [1, 1, 1]
    assert (
        p_values([1, 0, 0], [0.1, 0.2, 0.3])[0, 1] == 1
    )  # the only one of the class: nobody to compare with
    assert p_values([0, 1, 0, 1], [0.4, 0.6, 0.3, 0.7], ["a"] * 4).tolist() == [[1, 1]] * 4


def test_sets_grow_as_the_error_rate_shrinks() -> None:
    y, probability = cohort(80, seed=1)
    p = p_values(y, probability)
    strict, loose = prediction_sets(p, epsilon=0.05), prediction_sets(p, epsilon=0.3)
    assert np.all(strict | ~loose)
    assert strict.sum() > loose.sum()


def test_summary_by_hand() -> None:
    sets = np.array([[1, 0], [1, 1], [0, 0], [1, 0]], dtype=bool)
    none, one, everybody = summary([0, 0, 0, 1], sets, epsilon=0.1)
    assert none == {
        "epsilon": 0.1,
        "label": "0",
        "n": 3,
        "coverage": pytest.approx(2 / 3),
        "singleton": pytest.approx(1 / 3),
        "empty": pytest.approx(1 / 3),
        "both": pytest.approx(1 / 3),
    }
    assert (one["n"], one["coverage"], one["singleton"]) == (1, 0.0, 1.0)
    assert (everybody["label"], everybody["n"], everybody["coverage"]) == ("all", 4, 0.5)
    assert everybody["singleton"] + everybody["empty"] + everybody["both"] == 1
    absent = summary([0], np.array([[True, False]]), epsilon=0.1)[1]
    assert (absent["n"], absent["coverage"], absent["both"]) == (0, None, None)


def test_bad_arguments_are_refused() -> None:
    with pytest.raises(ValueError, match="folds"):
        p_values([0, 1], [0.1, 0.2], [1])
    with pytest.raises(ValueError, match="probability"):
        p_values_new([0, 1], [0.1, 0.2], [1.5])
    with pytest.raises(ValueError, match="epsilon"):
        prediction_sets(np.ones((1, 2)), epsilon=0)
    with pytest.raises(ValueError, match="sets"):
        summary([0, 1], np.ones((1, 2), dtype=bool), epsilon=0.1)
