from __future__ import annotations

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reperfuse.cohort.variables import STANDARD
from reperfuse.studies.outcome.scores import SCORES, span100, thrive

ITEMS = {
    "age": st.integers(18, 105).map(float),
    "nihss": st.integers(0, 42).map(float),
    "hypertension": st.sampled_from([0.0, 1.0]),
    "diabetes": st.sampled_from([0.0, 1.0]),
    "atrial_fibrillation": st.sampled_from([0.0, 1.0]),
}
PATIENT = {"age": 70.0, "nihss": 12.0, "hypertension": 1.0, "diabetes": 0.0, "atrial_fibrillation": 1.0}


@pytest.mark.parametrize(
    ("age", "nihss", "expected"),
    [(80, 20, 1), (80, 19, 0), (79, 20, 0), (58, 42, 1), (57, 42, 0), (100, 0, 1)],
)
def test_span100_turns_at_100(age: int, nihss: int, expected: int) -> None:
    assert span100({"age": age, "nihss": nihss}) == expected


@pytest.mark.parametrize(("nihss", "points"), [(0, 0), (10, 0), (11, 2), (20, 2), (21, 4), (42, 4)])
def test_thrive_bands_of_nihss(nihss: int, points: int) -> None:
    assert (
        thrive(PATIENT | {"age": 40, "hypertension": 0, "atrial_fibrillation": 0, "nihss": nihss}) == points
    )


@pytest.mark.parametrize(("age", "points"), [(18, 0), (59, 0), (59.9, 0), (60, 1), (79, 1), (80, 2), (99, 2)])
def test_thrive_bands_of_age(age: float, points: int) -> None:
    assert thrive(PATIENT | {"age": age, "hypertension": 0, "atrial_fibrillation": 0, "nihss": 3}) == points


def test_thrive_reaches_every_value_from_0_to_9() -> None:
    found = {
        thrive({"age": age, "nihss": nihss, "hypertension": h, "diabetes": d, "atrial_fibrillation": a})
        for age, nihss, h, d, a in product((50, 70, 85), (5, 15, 25), (0, 1), (0, 1), (0, 1))
    }
    assert found == set(map(float, range(10)))


@given(st.fixed_dictionaries(ITEMS))
def test_scores_stay_in_range_and_the_favourable_form_is_their_negative(row: dict[str, float]) -> None:
    for score in SCORES.values():
        value = score.of(row)
        assert value is not None
        assert 0 <= value <= score.highest
        assert score.favourable_score(row) == -value


@given(st.fixed_dictionaries(ITEMS), st.sampled_from(sorted(ITEMS)))
def test_scores_do_not_fall_where_an_item_gets_worse(row: dict[str, float], item: str) -> None:
    worse = row | {item: 1.0 if item not in ("age", "nihss") else row[item] + 1}
    for score in SCORES.values():
        assert score.of(worse) >= score.of(row)


@pytest.mark.parametrize("name", sorted(SCORES))
def test_a_missing_item_leaves_the_patient_without_score(name: str) -> None:
    score = SCORES[name]
    for item in score.needs:
        for gap in (
            {**PATIENT, item: None},
            {k: v for k, v in PATIENT.items() if k != item},
            {**PATIENT, item: "x"},
        ):
            assert score.of(gap) is None
            assert score.favourable_score(gap) is None
            assert score.missing(gap) == (item,)
    assert score.missing(PATIENT) == ()


def test_items_are_standard_variables_known_at_j0() -> None:
    for name, score in SCORES.items():
        assert score.name == name
        assert {STANDARD[item].available_at for item in score.needs} == {"J0"}


def test_an_age_that_is_a_lower_bound_counts_only_where_it_settles_the_score() -> None:
    capped = {**PATIENT, "age": 89.0, "age_capped": 1.0}
    assert span100(capped | {"nihss": 11.0}) == 1
    assert span100(capped | {"nihss": 5.0}) is None
    assert span100(capped | {"nihss": 5.0, "age_capped": 0.0}) == 0
    assert thrive(capped) == 6
    assert thrive(capped | {"age": 75.0}) is None
