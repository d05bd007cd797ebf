from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reperfuse.evaluation.discrimination import weighted_auc
from reperfuse.studies.outcome.selection import (
    REASON_COLUMNS,
    SELECTION_COLUMNS,
    WEIGHTED_COLUMNS,
    _auc,
    effective_n,
    inverse_probability_weights,
    reasons,
    selection_design,
    selection_table,
    weighted_comparison,
)

ROWS: dict[str, dict[str, float | str | None]] = {
    "sub-1": {"age": 60.0, "sex": "F", "diabetes": 0.0, "evt": 1.0},
    "sub-2": {"age": 70.0, "sex": "M", "diabetes": 0.0, "evt": None},
    "sub-3": {"age": 80.0, "sex": "F", "diabetes": 1.0, "evt": 0.0},
    "sub-4": {"age": 90.0, "sex": "M", "diabetes": 1.0, "evt": 0.0},
    "sub-5": {"age": 80.0, "sex": None, "diabetes": 1.0, "evt": 0.0},
}
HAS_J1 = {"sub-1": True, "sub-2": True, "sub-3": True, "sub-4": False, "sub-5": False}


def table() -> dict[tuple[str, str], dict[str, object]]:
    rows = selection_table(ROWS, HAS_J1, ["age", "sex", "diabetes", "evt", "nihss"])
    assert all(tuple(row) == SELECTION_COLUMNS for row in rows)
    return {(row["variable"], row["group"]): row for row in rows}


def test_numbers_are_summarised_by_mean_and_sd() -> None:
    found = table()
    assert found["age", "with J1"]["summary"] == "70.0 (10.0)"
    assert found["age", "without J1"]["summary"] == "85.0 (7.1)"
    assert found["age", "with J1"]["smd"] == pytest.approx(-15 / np.sqrt((100 + 50) / 2))
    assert found["patients", "with J1"]["summary"] == "3 (60 %)"


def test_flags_and_levels_are_counted_among_those_with_a_value() -> None:
    found = table()
    assert found["diabetes", "with J1"]["summary"] == "1 (33 %)"
    assert found["diabetes", "without J1"]["summary"] == "2 (100 %)"
    assert found["diabetes", "with J1"]["smd"] == pytest.approx((1 / 3 - 1) / np.sqrt((2 / 9 + 0) / 2))
    assert found["sex = F", "with J1"]["summary"] == "2 (67 %)"
    assert found["sex = F", "without J1"] | {"smd": 0} == {
        "variable": "sex = F", "group": "without J1", "summary": "0 (0 %)", "n": 1, "smd": 0,
    }  # fmt: skip


def test_missing_values_get_a_row_of_their_own_only_where_there_are_any() -> None:
    found = table()
    assert found["sex missing", "without J1"]["summary"] == "1 (50 %)"
    assert found["evt missing", "with J1"]["summary"] == "1 (33 %)"
    assert ("age missing", "with J1") not in found
    # A variable that nobody has shows as missing in everybody, without a difference.
    assert found["nihss missing", "with J1"]["summary"] == "3 (100 %)"
    assert found["nihss missing", "with J1"]["smd"] is None
    assert ("nihss", "with J1") not in found


def test_groups_without_patients_have_no_summary() -> None:
    rows = selection_table(ROWS, dict.fromkeys(HAS_J1, True), ["age", "diabetes"])
    without = [row for row in rows if row["group"] == "without J1" and row["variable"] != "patients"]
    assert {row["summary"] for row in without} == {None}
    assert {row["smd"] for row in rows} == {None}


def test_variables_of_ones_own_are_summarised_by_what_they_hold() -> None:
    rows = {f"sub-{i}": {"frailty": float(i), "ward": "AB"[i % 2], "alone": float(i % 2)} for i in range(6)}
    found = selection_table(rows, {f"sub-{i}": i < 3 for i in range(6)}, ["frailty", "ward", "alone"])
    assert {row["variable"] for row in found} == {"patients", "frailty", "ward = A", "ward = B", "alone"}


def test_reasons_are_counted_among_patients_without_j1() -> None:
    stated = {"sub-4": "died", "sub-1": "died"}
    rows = reasons({**HAS_J1, "sub-6": False, "sub-7": False}, {**stated, "sub-6": "died", "sub-7": None})
    assert rows == [{"reason": "died", "n": 2}, {"reason": "not stated", "n": 2}]
    assert tuple(rows[0]) == REASON_COLUMNS
    assert reasons({"sub-1": True}, stated) == []


def test_the_design_fills_gaps_and_says_where_they_were() -> None:
    x, names = selection_design(ROWS, sorted(ROWS), ["age", "sex", "diabetes", "evt", "nihss"])
    columns = dict(zip(names, x.T, strict=True))
    assert set(names) == {"age", "sex = F", "sex missing", "diabetes", "evt", "evt missing"}
    assert columns["evt"].tolist() == [1, 0, 0, 0, 0]
    assert columns["evt missing"].tolist() == [0, 1, 0, 0, 0]
    assert columns["sex missing"].tolist() == [0, 0, 0, 0, 1]
    assert selection_design(ROWS, sorted(ROWS), ["nihss"])[0].shape == (5, 0)


def selected(n: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(3)
    x = np.column_stack([rng.normal(size=n), rng.normal(size=n)])
    return x, rng.random(n) < 1 / (1 + np.exp(-(1 - 1.2 * x[:, 0])))


def test_weighted_patients_look_like_all_patients() -> None:
    x, observed = selected(4000)
    weights = inverse_probability_weights(x, observed, ridge=1.0, limit=50.0)
    biased = x[observed, 0].mean() - x[:, 0].mean()
    mended = np.average(x[observed, 0], weights=weights) - x[:, 0].mean()
    assert biased < -0.2
    assert abs(mended) < 0.05
    assert weights.mean() == pytest.approx(1, abs=0.05)


def test_weights_are_cut_and_stay_finite_where_a_variable_separates() -> None:
    x = np.array([[0.0], [0.1], [0.2], [5.0], [5.1], [0.15]])
    weights = inverse_probability_weights(x, [True, True, True, False, False, True], ridge=1.0, limit=1.5)
    assert weights.shape == (4,)
    assert np.isfinite(weights).all() and weights.max() <= 1.5 and weights.min() > 0


@settings(max_examples=15, deadline=None)
@given(st.floats(0.01, 1000), st.floats(-1000, 1000), st.booleans())
def test_weights_do_not_depend_on_units_nor_on_columns_that_are_sums(
    scale: float, shift: float, flip: bool
) -> None:
    x, observed = selected(60)
    plain = inverse_probability_weights(x, observed, ridge=1.0, limit=10.0)
    other = np.column_stack([x[:, 0] * scale * (-1 if flip else 1) + shift, x[:, 1], np.full(60, shift)])
    np.testing.assert_allclose(
        inverse_probability_weights(other, observed, ridge=1.0, limit=10.0), plain, rtol=1e-3
    )


def test_without_anything_to_mend_every_weight_is_one() -> None:
    x, observed = selected(20)
    assert inverse_probability_weights(x, np.ones(20, bool), ridge=1.0, limit=10.0).tolist() == [1] * 20
    assert set(inverse_probability_weights(np.ones((20, 1)), observed, ridge=1.0, limit=10.0)) == {1.0}
    assert effective_n(np.ones(7)) == 7
    assert effective_n([1, 3]) == pytest.approx(16 / 10)


def test_what_cannot_be_weighed_is_refused() -> None:
    x, observed = selected(20)
    with pytest.raises(ValueError, match="one row per patient"):
        inverse_probability_weights(x[:5], observed, ridge=1.0, limit=10.0)
    with pytest.raises(ValueError, match="not finite"):
        inverse_probability_weights(np.where(x > 0, x, np.nan), observed, ridge=1.0, limit=10.0)
    with pytest.raises(ValueError, match="limit above 1"):
        inverse_probability_weights(x, observed, ridge=1.0, limit=1.0)
    with pytest.raises(ValueError, match="nobody has J1"):
        inverse_probability_weights(x, np.zeros(20, bool), ridge=1.0, limit=10.0)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_the_fast_weighted_auc_is_that_of_the_judge(seed: int) -> None:
    rng = np.random.default_rng(seed)
    y, score, w = rng.integers(0, 2, 20), np.round(rng.normal(size=20), 1), rng.uniform(0.2, 4, 20)
    rows = rng.integers(0, 20, 20)
    expected = weighted_auc(y[rows], score[rows], w[rows])
    assert _auc(y, score, w)(rows) == (expected if expected is None else pytest.approx(expected, abs=1e-12))


def test_the_comparison_gives_both_aucs_and_their_difference() -> None:
    rng = np.random.default_rng(7)
    y = np.array([0, 1] * 20)
    good, poor, w = y + rng.normal(size=40), rng.normal(size=40), rng.uniform(0.5, 3, 40)
    rows = weighted_comparison(y, good, poor, w, np.arange(40), draws=400, level=0.95, seed=1)
    assert all(tuple(row) == WEIGHTED_COLUMNS for row in rows)
    found = {(row["weighting"], row["quantity"]): row for row in rows}
    assert len(found) == 6
    for weighting, used in (("none", np.ones(40)), ("inverse probability", w)):
        a, b, d = (found[weighting, q] for q in ("auc_first", "auc_second", "difference"))
        assert a["estimate"] == pytest.approx(weighted_auc(y, good, used))
        assert d["estimate"] == pytest.approx(a["estimate"] - b["estimate"])
        assert d["ci_low"] < d["estimate"] < d["ci_high"]
        assert (d["n"], d["n_positive"]) == (40, 20)
        assert d["n_effective"] == pytest.approx(effective_n(used))
    assert rows == weighted_comparison(y, good, poor, w, np.arange(40), draws=400, level=0.95, seed=1)


def test_a_model_that_is_compared_with_itself_differs_by_nothing() -> None:
    y = np.array([0, 1] * 10)
    score = np.arange(20.0)
    rows = weighted_comparison(y, score, score, np.ones(20), np.arange(20), draws=50, level=0.95, seed=1)
    assert {row["estimate"] for row in rows if row["quantity"] == "difference"} == {0.0}


def test_one_outcome_has_no_auc_and_a_weight_of_zero_is_refused() -> None:
    rows = weighted_comparison(
        np.ones(6, int),
        np.arange(6.0),
        np.arange(6.0),
        np.ones(6),
        np.arange(6),
        draws=20,
        level=0.95,
        seed=1,
    )
    assert {row["estimate"] for row in rows} == {None}
    with pytest.raises(ValueError, match="above 0"):
        weighted_comparison(
            [0, 1], [0.1, 0.2], [0.1, 0.2], [0.0, 1.0], ["a", "b"], draws=20, level=0.95, seed=1
        )
