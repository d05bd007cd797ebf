"""Every average over classes, beside scikit-learn's."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, f1_score, precision_score, recall_score, roc_auc_score

from reperfuse.evaluation.averages import AVERAGES, METRICS, averages, of_counts


def drawn(seed: int, n: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 2, n)
    y[:2] = 0, 1
    return y, rng.random(n)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.integers(10, 60))
def test_averages_are_those_of_scikit_learn(seed: int, n: int) -> None:
    y, p = drawn(seed, n)
    called = (p >= 0.5).astype(int)
    if len(set(called.tolist())) < 2:
        return
    for row in averages(y, p, 0.5):
        average = {"positive": "binary"}.get(row["average"], row["average"])
        assert row["sensitivity"] == pytest.approx(recall_score(y, called, average=average), abs=1e-12)
        assert row["ppv"] == pytest.approx(precision_score(y, called, average=average), abs=1e-12)
        assert row["f1"] == pytest.approx(f1_score(y, called, average=average), abs=1e-12)
        assert row["accuracy"] == pytest.approx(accuracy_score(y, called), abs=1e-12)
        assert row["auc_scores"] == pytest.approx(roc_auc_score(y, p), abs=1e-12)
        assert row["auc_labels"] == pytest.approx(roc_auc_score(y, called), abs=1e-12)


def test_weighted_sensitivity_is_accuracy_and_macro_sensitivity_the_auc_of_labels() -> None:
    y, p = drawn(3, 91)
    positive, macro, weighted = averages(y, p, 0.4)
    assert weighted["sensitivity"] == pytest.approx(weighted["accuracy"])
    assert macro["sensitivity"] == pytest.approx(macro["specificity"])
    assert macro["sensitivity"] == pytest.approx(positive["auc_labels"])
    assert positive["specificity"] == pytest.approx(np.mean(p[y == 0] < 0.4))
    assert positive["npv"] == pytest.approx(np.mean(y[p < 0.4] == 0))


def test_each_patient_may_have_a_threshold_of_the_own_fold() -> None:
    y, p = np.array([0, 1, 0, 1]), np.array([0.1, 0.2, 0.7, 0.8])
    row = averages(y, p, np.array([0.15, 0.15, 0.75, 0.75]))[0]
    assert row["accuracy"] == 1 and row["auc_labels"] == 1
    assert averages(y, p, 0.5)[0]["accuracy"] == 0.5


@pytest.mark.parametrize("label", [0, 1])
def test_one_class_is_not_estimable_and_never_nan(label: int) -> None:
    rows = averages(np.full(6, label), np.linspace(0.1, 0.9, 6), 0.5)
    assert [row["average"] for row in rows] == list(AVERAGES)
    for row in rows:
        assert row["auc_scores"] is None and row["auc_labels"] is None and row["accuracy"] == 0.5
        assert all(row[name] is None or np.isfinite(row[name]) for name in METRICS)
    assert rows[1]["sensitivity"] is None and rows[1]["f1"] is None


def test_an_average_that_is_none_is_named() -> None:
    one = np.array([1])
    with pytest.raises(ValueError, match="micro"):
        of_counts("ppv", one, one, one, one, average="micro")
    with pytest.raises(ValueError, match="threshold"):
        averages([0, 1], [0.1, 0.9], np.inf)
