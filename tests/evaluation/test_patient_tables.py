"""Tables of any study with one label and one score for each patient."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from reperfuse.evaluation import patient_tables
from reperfuse.evaluation.crossval import by_configuration
from reperfuse.evaluation.interface import Prediction, is_cross_validation, is_external
from reperfuse.evaluation.patient_tables import Case

Row = dict[str, Any]
N = 60
STATISTICS = {"level": 0.95, "swaps": 100, "subgroup_minimum": 3}
PAIRS = [("a", "b"), ("a", "c")]


def predictions(split: str = "cv", *, folds: int = 4, repeats: int = 2) -> list[Prediction]:
    rng = np.random.default_rng(2)
    y = np.arange(N) % 2
    return [
        Prediction(f"sub-{i:02}", "", "t", name, split, repeat, i // 2 % folds + 1, int(y[i]), float(p))
        for repeat in range(1, repeats + 1)
        for name, strength in (("a", 2.0), ("b", 1.0), ("c", 0.5), ("a[x=1]", 1.0))
        for i, p in enumerate(1 / (1 + np.exp(-(strength * (y - 0.5) + rng.normal(size=N)))))
    ]


@pytest.fixture
def case() -> Case:
    clinical = {f"sub-{i:02}": {"age": 40 + i, "sex": "FM"[i // 2 % 2], "site": "one"} for i in range(N)}
    return Case("t", ("a", "b"), {}, clinical, {}, STATISTICS, "salt")


def compared(rows: list[Prediction], case: Case) -> list[Row]:
    return patient_tables.comparisons(
        rows, case, lambda names: patient_tables.declared_pairs(names, case.compared)
    )


def test_splits_are_told_apart() -> None:
    assert [is_cross_validation(one) for one in ("cv", "cv:3", "external:cv", "new")] == [
        True,
        True,
        False,
        False,
    ]
    assert [is_external(one) for one in ("cv", "cv:3", "external:cv", "new")] == [False, False, True, False]


def test_only_the_main_cross_validation_holds_the_primary_comparison(case: Case) -> None:
    rows = compared(predictions() + predictions("cv:3", folds=3), case)
    roles = {(row["split"], row["first"], row["second"]): row["role"] for row in rows}
    assert roles == {
        ("cv", "a", "b"): "primary", ("cv", "a", "c"): "secondary",
        ("cv:3", "a", "b"): "secondary", ("cv:3", "a", "c"): "secondary",
    }  # fmt: skip
    notes = {row["split"]: row["note"] for row in rows if row["test"] == "corrected_t"}
    assert notes["cv"].startswith("4 folds") and notes["cv:3"].startswith("3 folds")


def test_another_cross_validation_changes_nothing_of_the_main_one(case: Case) -> None:
    alone = compared(predictions(), case)
    both = compared(predictions() + predictions("cv:3", folds=3), case)
    assert [row for row in both if row["split"] == "cv"] == alone


def test_a_repeat_in_which_patients_differ_is_passed_over(case: Case) -> None:
    rows = predictions()
    fewer = [one for one in rows if (one.configuration, one.repeat, one.fold) != ("b", 2, 1)]
    notes = {row["test"]: row["note"] for row in compared(fewer, case) if row["second"] == "b"}
    assert notes["corrected_t"].startswith("4 folds") and notes["corrected_t_repeats"].startswith("4 folds")
    gone = [one for one in rows if (one.configuration, one.repeat, one.fold) != ("b", 1, 1)]
    assert {row["second"] for row in compared(gone, case)} == {"c"}
    assert patient_tables.power_of(gone, case) == {} and patient_tables.power_of(rows, case)["n"] == N


def test_other_cohorts_compare_what_was_declared(case: Case) -> None:
    theirs = [replace(one, split="external:x", repeat=None, fold=None) for one in predictions(repeats=1)]
    rows = compared(theirs, case)
    assert {(row["first"], row["second"], row["role"]) for row in rows} == {("a", "b", "external")}
    assert {row["test"] for row in rows} == {"delong", "label_swap"}


def test_a_decision_curve_is_of_the_first_configurations_patients() -> None:
    scored = by_configuration(predictions(), target="t")
    ids, y, p, fold = scored["b"]
    scored["b"] = (ids[1:], y[1:], p[1:], fold[1:])
    rows = patient_tables.decision(scored, ["a", "b", "c", "nobody"], np.array([0.5]))
    assert [row["configuration"] for row in rows] == ["a", "c", "treat all", "treat none"]
    assert patient_tables.decision(scored, ["nobody"], np.array([0.5])) == []


def test_roc_calibration_conformal_and_subgroups_are_of_the_given_scores(case: Case) -> None:
    found = by_configuration(predictions(), target="t")["a"]
    points = patient_tables.roc("a", found, split="cv:3")
    area = np.trapezoid([row["tpr"] for row in points], [row["fpr"] for row in points])
    assert area == pytest.approx(roc_auc_score(found[1], found[2])) and points[0]["split"] == "cv:3"
    assert sum(row["n"] for row in patient_tables.calibration("a", "after", found, level=0.95)) == N
    assert [row["label"] for row in patient_tables.conformal("a", found, epsilon=0.1)] == ["0", "1", "all"]
    rows = patient_tables.subgroups(
        "a", found, case, categories=("sex", "site"), banded=(("age", [60, 80], "years"), ("bmi", [20], ""))
    )
    # One site is no subgroup, and a number that nobody has is none either.
    assert {row["variable"] for row in rows} == {"sex", "age"}
    young = next(row for row in rows if row["level"] == "< 60 years")
    assert young["n"] == 20 and young["auc"] == pytest.approx(roc_auc_score(found[1][:20], found[2][:20]))


def test_who_was_scored_elsewhere_is_counted() -> None:
    theirs = [
        Prediction(f"sub-{i}", "", "t", name, "external:x", None, None, None if i == 0 else 1, 0.5)
        for name in ("a", "b")
        for i in range(3)
    ]
    missing = [{"participant_id": f"sub-{i}", "reason": "no image", "split": "external:x"} for i in (2, 3, 4)]
    found = patient_tables.external(theirs, missing, ["x", "y"])
    assert found["x"] == {"n_scored": 3, "n_labelled": 2, "n_left_out": 2, "why": "no image"}
    assert found["y"] == {"n_scored": 0, "n_labelled": 0, "n_left_out": 0, "why": ""}
