"""Metrics at a threshold, Wilson's interval, and the check of printed rows."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, balanced_accuracy_score, f1_score, precision_score, recall_score

from reperfuse.evaluation.thresholded import METRICS, at_threshold, consistent, wilson

# TRACT-NET (doi 10.1007/s10278-026-01892-5) as printed; 273 patients at the first centre, 1106 of SOOP.
TRACT_NET = {
    "first centre": {
        "sensitivity": 0.81,
        "specificity": 0.9645,
        "ppv": 0.8188,
        "npv": 0.8054,
        "f1": 0.7946,
        "accuracy": 0.8137,
        "auc": 0.8137,
    },
    "SOOP": {
        "sensitivity": 0.6896,
        "specificity": 0.7881,
        "ppv": 0.7054,
        "npv": 0.6360,
        "f1": 0.6875,
        "accuracy": 0.6896,
        "auc": 0.7094,
    },
}


def test_metrics_are_those_of_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, 60)
    p = rng.random(60)
    called = (p >= 0.4).astype(int)
    assert at_threshold(y, p, threshold=0.4) == pytest.approx(
        {
            "accuracy": accuracy_score(y, called),
            "balanced_accuracy": balanced_accuracy_score(y, called),
            "f1": f1_score(y, called),
            "sensitivity": recall_score(y, called),
            "specificity": recall_score(y, called, pos_label=0),
            "ppv": precision_score(y, called),
            "npv": precision_score(y, called, pos_label=0),
        }
    )


def test_a_probability_at_the_threshold_is_positive() -> None:
    assert at_threshold([1, 0], [0.5, 0.4], threshold=0.5)["accuracy"] == 1


def test_undefined_metrics_are_none() -> None:
    nobody = at_threshold([1, 0, 0], [0.1, 0.2, 0.3], threshold=0.5)
    assert (nobody["ppv"], nobody["f1"], nobody["sensitivity"]) == (None, 0, 0)
    assert nobody["npv"] == pytest.approx(2 / 3)
    negatives = at_threshold([0, 0], [0.1, 0.9], threshold=0.5)
    assert [negatives[k] for k in ("sensitivity", "f1", "balanced_accuracy")] == [None, None, None]
    assert (negatives["specificity"], negatives["accuracy"], negatives["ppv"]) == (0.5, 0.5, 0)
    positives = at_threshold([1, 1], [0.1, 0.9], threshold=0.5)
    assert (positives["specificity"], positives["balanced_accuracy"], positives["sensitivity"]) == (
        None,
        None,
        0.5,
    )
    assert at_threshold([], [], threshold=0.5) == dict.fromkeys(METRICS)
    with pytest.raises(ValueError, match="threshold is nan"):
        at_threshold([0, 1], [0, 1], threshold=float("nan"))


def test_wilson_solves_its_equation() -> None:
    # The limits are the p at which |successes/n - p| = z sqrt(p (1 - p)/n).
    z = 1.959963984540054
    for limit in wilson(7, 20, level=0.95):
        assert limit is not None
        assert abs(7 / 20 - limit) == pytest.approx(z * np.sqrt(limit * (1 - limit) / 20))
    assert wilson(0, 10, level=0.95) == (0.0, pytest.approx(z**2 / (10 + z**2)))
    assert wilson(10, 10, level=0.95) == (pytest.approx(10 / (10 + z**2)), 1.0)
    assert wilson(0, 0, level=0.95) == (None, None)
    with pytest.raises(ValueError, match="11 successes of 10"):
        wilson(11, 10, level=0.95)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 1), st.integers(0, 10)), min_size=1, max_size=30), st.integers(0, 10)
)
def test_own_rows_pass_to_1e_9(rows: list[tuple[int, int]], cut: int) -> None:
    y, p = np.array([row[0] for row in rows]), np.array([row[1] / 10 for row in rows])
    row = at_threshold(y, p, threshold=cut / 10)
    assert consistent(row, n=y.size, n_positive=int(y.sum()), tolerance=1e-9) == []
    printed = {k: None if v is None else round(v, 3) for k, v in row.items()}
    assert consistent(printed, n=y.size, n_positive=int(y.sum()), tolerance=0.0005 + 1e-9) == []


@pytest.mark.parametrize(("where", "n"), [("first centre", 273), ("SOOP", 1106)])
@pytest.mark.parametrize("prevalence", [0.3, 0.433, 0.533, 0.7])
def test_the_published_row_of_tract_net_comes_from_no_confusion_matrix(
    where: str, n: int, prevalence: float
) -> None:
    said = consistent(TRACT_NET[where], n=n, n_positive=round(n * prevalence), tolerance=0.00005 + 1e-9)
    assert said
    assert any("No confusion matrix of" in sentence for sentence in said)
    share = {"first centre": "97.6 %", "SOOP": "100.0 %"}[where]
    assert any(f"would come with {share} of positives" in sentence for sentence in said)


@pytest.mark.parametrize(("where", "n", "every"), [("first centre", 273, 3), ("SOOP", 1106, 79)])
def test_no_prevalence_rescues_the_published_row(where: str, n: int, every: int) -> None:
    # An exhaustive search finds the largest miss to be 0.047 and 0.035 at best.
    for n_positive in range(0, n + 1, every):
        assert consistent(TRACT_NET[where], n=n, n_positive=n_positive, tolerance=0.03)


def test_accuracy_must_lie_where_sensitivity_and_specificity_put_it() -> None:
    row = {"sensitivity": 0.8, "specificity": 0.9, "accuracy": 0.95, "auc": 0.2}
    said = consistent(row, n=20, n_positive=10, tolerance=1e-9)
    assert said[0].endswith("10 negatives has accuracy 0.95 and sensitivity 0.8 together.")
    assert said[1] == (
        "Sensitivity 0.8 and specificity 0.9 make an accuracy of 0.8500 where 50.0 % are positive; "
        "0.95 would come with no share of positives."
    )
    assert said[2].startswith("The nearest matrix (TP 8, FN 2, FP ")
    assert said[2].endswith("by 0.1000.")
    assert len(said) == 3


def test_a_value_that_the_counts_do_not_allow_is_named_alone() -> None:
    said = consistent({"sensitivity": 0.75, "specificity": 0.5}, n=20, n_positive=10, tolerance=0.001)
    assert said[0] == "No confusion matrix of 10 positives and 10 negatives has sensitivity 0.75."
    assert "misses sensitivity by 0.0500" in said[1]
    assert len(said) == 2


def test_a_value_given_where_none_can_exist() -> None:
    said = consistent({"sensitivity": 0.5}, n=10, n_positive=0, tolerance=0.1)
    assert said == ["No confusion matrix of 0 positives and 10 negatives has sensitivity 0.5."]
    assert consistent({"sensitivity": None, "auc": 0.5}, n=10, n_positive=0, tolerance=0) == []


def test_the_search_misses_no_matrix_and_does_not_depend_on_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("reperfuse.evaluation.thresholded.CHUNK", 5)
    for tp, tn in product(range(4), range(6)):
        row = {"accuracy": (tp + tn) / 8, "sensitivity": tp / 3, "specificity": tn / 5}
        assert consistent(row, n=8, n_positive=3, tolerance=1e-9) == []
        assert consistent({**row, "accuracy": (tp + tn + 1) / 8}, n=8, n_positive=3, tolerance=1e-9)


@pytest.mark.parametrize(
    ("row", "n_positive", "tolerance", "found"),
    [
        ({"accuracy": float("nan")}, 1, 0.1, "accuracy is nan"),
        ({"accuracy": 0.5}, 5, 0.1, "5 positives of 4"),
        ({"accuracy": 0.5}, 1, -1, "tolerance is -1"),
    ],
)
def test_wrong_input_is_refused(row: dict[str, float], n_positive: int, tolerance: float, found: str) -> None:
    with pytest.raises(ValueError, match=found):
        consistent(row, n=4, n_positive=n_positive, tolerance=tolerance)
