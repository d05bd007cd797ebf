from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reperfuse.studies.outcome import flags

NAME = "J1_mri+clinical"


def gap(a: float | None, b: float | None) -> dict[str, Any]:
    return flags.train_validation_gap(NAME, a, b, limit=0.15)


def test_a_row_has_the_columns_of_the_table() -> None:
    row = gap(0.95, 0.7)
    assert tuple(row) == flags.COLUMNS
    assert row["configuration"] == NAME
    assert row["value"] == pytest.approx(0.25)
    assert (row["flag"], row["limit"], row["raised"]) == ("train_validation_gap", 0.15, 1)
    assert "0.95" in row["sentence"] and "0.70" in row["sentence"] and row["sentence"].endswith("overfits.")
    assert gap(0.8, 0.7)["raised"] == 0
    assert "overfits" not in gap(0.8, 0.7)["sentence"]


def test_fold_spread_is_the_sd_over_estimable_folds() -> None:
    aucs = [0.2, 0.9, None, 0.7, 1.0]
    row = flags.fold_spread("J0_mri", aucs, limit=0.2)
    assert row["value"] == pytest.approx(np.std([0.2, 0.9, 0.7, 1.0], ddof=1))
    assert row["raised"] == 1
    assert flags.fold_spread("J0_mri", [0.7, 0.72, 0.71], limit=0.2)["raised"] == 0


def test_the_image_is_ignored_where_its_share_of_the_weight_vanishes() -> None:
    weights = {"mri": 0.02, "clinical": 0.9, "lesion": 0.08}
    row = flags.image_weight(NAME, weights, limit=0.05)
    assert row["value"] == pytest.approx(0.02)
    assert row["raised"] == 1
    assert "the image is ignored" in row["sentence"]
    assert (
        flags.image_weight(NAME, {"J0:mri": 0.3, "J1:mask": 0.2, "J1:clinical": 0.5}, limit=0.05)["value"]
        == 0.5
    )
    assert flags.image_weight(NAME, {"mri": 1.0, "clinical": 1.0}, limit=0.05)["raised"] == 0


def test_events_per_parameter() -> None:
    row = flags.events_per_parameter(NAME, 30, 12, limit=10)
    assert (row["value"], row["raised"]) == (2.5, 1)
    assert flags.events_per_parameter(NAME, 30, 3, limit=10)["raised"] == 0


def test_a_fold_of_one_outcome_is_named() -> None:
    row = flags.one_class_folds(NAME, {1: (3, 9), 2: (0, 9), 3: (9, 9)}, limit=0)
    assert (row["value"], row["raised"]) == (2, 1)
    assert "(2, 3)" in row["sentence"]
    assert flags.one_class_folds(NAME, {1: (3, 9), 2: (4, 9)}, limit=0)["raised"] == 0


@pytest.mark.parametrize(
    ("naive", "others", "raised"),
    [
        (0.01, {"corrected_t": 0.2, "delong": 0.3}, 1),
        (0.01, {"corrected_t": 0.2, "delong": 0.01}, 0),
        (0.2, {"corrected_t": 0.3}, 0),
        (0.01, {"corrected_t": 0.2, "delong": None}, 1),
    ],
)
def test_only_the_naive_test_finds_a_difference(
    naive: float, others: dict[str, float | None], raised: int
) -> None:
    assert flags.naive_test_only("J1_mri - J0_mri", naive, others, alpha=0.05)["raised"] == raised


def test_the_image_alone_does_no_better_than_chance() -> None:
    assert flags.image_alone_by_chance("J0_mri", 0.42, 0.66, chance=0.5)["raised"] == 1
    assert flags.image_alone_by_chance("J1_mri", 0.58, 0.81, chance=0.5)["raised"] == 0
    # Worse than chance is another defect than no signal.
    assert flags.image_alone_by_chance("J1_mri", 0.20, 0.41, chance=0.5)["raised"] == 0


@pytest.mark.parametrize(
    ("slope", "raised", "word"), [(0.3, 1, "extreme"), (1.0, 0, "ideal"), (2.5, 1, "timid")]
)
def test_calibration_slope(slope: float, raised: int, word: str) -> None:
    row = flags.calibration_slope(NAME, slope, low=0.5, high=2)
    assert row["raised"] == raised
    assert row["limit"] == "0.5 to 2"
    assert word in row["sentence"]


def test_missing_predictors_are_named_the_worst_first() -> None:
    row = flags.missing_predictors(NAME, {"age": 0.0, "glucose": 0.3, "sbp": 0.5}, limit=0.2)
    assert (row["value"], row["raised"]) == (0.5, 1)
    assert "sbp 50 %, glucose 30 %" in row["sentence"]
    assert flags.missing_predictors(NAME, {"age": 0.0, "sbp": 0.2}, limit=0.2)["raised"] == 0


def test_patients_without_j1() -> None:
    row = flags.without_j1("all", 80, 20, limit=0.1)
    assert (row["value"], row["raised"]) == (0.25, 1)
    assert flags.without_j1("all", 80, 8, limit=0.1)["raised"] == 0


def test_a_null_without_spread_is_degenerate() -> None:
    rng = np.random.default_rng(5)
    y = np.array([1] * 30 + [0] * 44)
    ranks = [rng.permutation(74) + 1 for _ in range(300)]
    null = [float((r[y == 1].sum() - 30 * 31 / 2) / (30 * 44)) for r in ranks]
    honest = flags.degenerate_null(NAME, null, 30, 74, limit=0.1)
    assert honest["raised"] == 0
    # Ranks by chance have the SD that the value is relative to.
    assert honest["value"] == pytest.approx(1, abs=0.12)
    stuck = flags.degenerate_null(NAME, [0.71] * 50, 30, 74, limit=0.1)
    assert (stuck["value"], stuck["raised"]) == (0, 1)


@pytest.mark.parametrize(
    "row",
    [
        gap(None, 0.7),
        gap(0.9, None),
        flags.fold_spread(NAME, [0.7, None], limit=0.2),
        flags.image_weight(NAME, {"clinical": 1.0}, limit=0.05),
        flags.image_weight(NAME, {"mri": 0.0}, limit=0.05),
        flags.events_per_parameter("span100", 30, 0, limit=10),
        flags.naive_test_only(NAME, None, {"delong": 0.1}, alpha=0.05),
        flags.naive_test_only(NAME, 0.01, {"delong": None}, alpha=0.05),
        flags.image_alone_by_chance(NAME, None, None, chance=0.5),
        flags.calibration_slope(NAME, None, low=0.5, high=2),
        flags.missing_predictors("J0_mri", {}, limit=0.2),
        flags.without_j1("all", 0, 0, limit=0.1),
        flags.degenerate_null(NAME, [0.5], 3, 6, limit=0.1),
        flags.degenerate_null(NAME, [0.5, 0.6], 0, 6, limit=0.1),
    ],
)
def test_what_cannot_be_judged_says_so_and_is_not_raised(row: dict[str, Any]) -> None:
    assert row["value"] is None
    assert row["raised"] == 0
    assert row["sentence"].startswith("Not judged: ")


@given(st.floats(0, 1), st.floats(0, 1), st.floats(0.01, 0.5))
def test_the_gap_is_raised_exactly_above_its_limit(training: float, validation: float, limit: float) -> None:
    row = flags.train_validation_gap(NAME, training, validation, limit=limit)
    assert row["raised"] == int(training - validation > limit)
    assert "\t" not in row["sentence"] and row["sentence"].count(".") >= 1
