from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from reperfuse.evaluation.comparison import TESTS, adjust, compare
from reperfuse.evaluation.discrimination import paired_delong
from reperfuse.evaluation.permutation import label_swap
from reperfuse.evaluation.resampling import corrected_t, naive_t

SETTINGS: dict[str, Any] = {
    "test_share": 1 / 7, "draws": 400, "seed": 1, "level": 0.95, "repeated_differences": [],
}  # fmt: skip
FOLDS = [0.1, 0.05, None, -0.02, 0.2, 0.11, 0.0, 0.09]


def cohort(n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    y = np.arange(n) % 2
    common = rng.normal(size=n)
    return y, 1.5 * y + common + rng.normal(size=n), 0.5 * y + common + rng.normal(size=n)


def by_test(rows: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {row["test"]: row for row in rows}


def test_all_repeats_are_tested_together_and_relatives_stay_patients() -> None:
    y, first, second = cohort(80)
    families = np.repeat(np.arange(40), 2)
    repeats = [0.1, 0.05, 0.12, 0.02] * 10
    settings = {**SETTINGS, "repeated_differences": repeats}
    found = by_test(compare(y, first, second, np.arange(80), FOLDS, groups=families, **settings))
    assert tuple(found) == TESTS
    assert found["corrected_t_repeats"]["p"] == corrected_t(repeats, test_share=1 / 7, level=0.95).p
    assert found["delong"]["p"] == paired_delong(y, first, second, level=0.95).p
    assert all(row["n"] == 80 for row in found.values())


def test_four_tests_of_one_difference() -> None:
    y, first, second = cohort(80)
    rows = compare(y, first, second, np.arange(80), FOLDS, groups=np.arange(80), **SETTINGS)
    assert [row["test"] for row in rows] == list(TESTS[:-1])
    keys = ["test", "difference", "ci_low", "ci_high", "statistic", "p", "n", "note"]
    assert all(list(row) == keys and row["n"] == 80 for row in rows)
    found = by_test(rows)
    pooled = roc_auc_score(y, first) - roc_auc_score(y, second)
    assert found["delong"]["difference"] == pytest.approx(pooled)
    assert found["label_swap"]["difference"] == pytest.approx(pooled)
    assert found["delong"]["p"] == paired_delong(y, first, second, level=0.95).p
    swap = label_swap(y, first, second, np.arange(80), draws=400, seed=1)
    assert (found["label_swap"]["p"], found["label_swap"]["ci_low"]) == (swap.p, None)
    # DeLong and the exchange test the same difference of the same patients.
    assert abs(found["delong"]["p"] - swap.p) < 0.02


def test_folds_without_auc_are_left_out_and_told() -> None:
    y, first, second = cohort(80)
    found = by_test(compare(y, first, second, np.arange(80), FOLDS, groups=np.arange(80), **SETTINGS))
    fair, naive = corrected_t(FOLDS, test_share=1 / 7, level=0.95), naive_t(FOLDS, level=0.95)
    for test, wanted in (("corrected_t", fair), ("naive_t", naive)):
        row = found[test]
        assert (row["difference"], row["ci_low"], row["ci_high"]) == (
            wanted.difference,
            wanted.low,
            wanted.high,
        )
        assert (row["statistic"], row["p"]) == (wanted.statistic, wanted.p)
        assert row["note"].startswith("7 folds; 1 more have no AUC")
    assert found["corrected_t"]["p"] > found["naive_t"]["p"]


def test_delong_is_withheld_where_a_patient_has_several_rows() -> None:
    y, first, second = (np.repeat(one, 2) for one in cohort(40))
    found = by_test(
        compare(
            y,
            first,
            second,
            np.repeat(np.arange(40), 2),
            FOLDS,
            groups=np.repeat(np.arange(40), 2),
            **SETTINGS,
        )
    )
    row = found["delong"]
    assert row["difference"] == pytest.approx(roc_auc_score(y, first) - roc_auc_score(y, second))
    assert (row["ci_low"], row["ci_high"], row["statistic"], row["p"]) == (None, None, None, None)
    assert "several rows" in row["note"]
    assert row["n"] == 40 and found["label_swap"]["p"] is not None


def test_one_class_leaves_nothing_and_no_nan() -> None:
    rows = compare(
        [1, 1, 1], [0.1, 0.2, 0.3], [0.3, 0.2, 0.1], [1, 2, 3], [None, None], groups=[1, 2, 3], **SETTINGS
    )
    for row in rows:
        assert [row[key] for key in ("difference", "ci_low", "ci_high", "statistic", "p")] == [None] * 5


def test_benjamini_hochberg_over_secondary_rows_of_each_test() -> None:
    p = {"delong": [0.01, 0.02, 0.03, 0.5], "naive_t": [0.04, None, 0.001]}
    rows = [{"test": test, "role": "secondary", "p": one} for test, values in p.items() for one in values]
    rows.insert(2, {"test": "delong", "role": "primary", "p": 0.04})
    adjusted = adjust(rows)
    assert [row["p"] for row in adjusted] == [row["p"] for row in rows]
    assert "p_adjusted" not in rows[0]
    # By hand: p · m / rank, made monotone from the largest down.
    wanted = [0.04, 0.04, 0.04, 0.04, 0.5, 0.04, None, 0.002]
    assert [row["p_adjusted"] for row in adjusted] == [w if w is None else pytest.approx(w) for w in wanted]


def test_a_family_of_none_is_left_as_it_is() -> None:
    assert adjust([]) == []
    assert adjust([{"test": "delong", "role": "secondary", "p": None}])[0]["p_adjusted"] is None
