"""Tables, volumes, regions and vectors become blocks."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reperfuse.core.errors import ConfigError
from reperfuse.studies.outcome import data
from reperfuse.studies.outcome.data import Sources
from reperfuse.studies.outcome.scores import SCORES
from tests.studies.outcome.cohorts import cohort, patients

IDS = ("sub-1", "sub-2", "sub-3")


def sources(variable: str, *values: float | str | None, **entry: object) -> Sources:
    clinical = {who: {variable: value} for who, value in zip(IDS, values, strict=True)}
    return Sources(clinical, {variable: {"available_at": "J0", **entry}}, {}, {}, {})


def column(variable: str, *values: float | str | None, **entry: object) -> dict[str, list[float]]:
    block = data.clinical_block("J0:clinical", [variable], IDS, sources(variable, *values, **entry))
    assert block.values.shape == (3, len(block.columns)) and not block.components
    return {name: block.values[:, i].tolist() for i, name in enumerate(block.columns)}


def test_numbers_and_flags_stay_what_they_are_and_absence_is_kept() -> None:
    found = column("age", 71.0, None, 50)
    assert found["age"][0] == 71.0 and np.isnan(found["age"][1]) and found["age"][2] == 50.0
    assert column("ivt", 1, 0, 1, Levels={"1": "yes", "0": "no"}) == {"ivt": [1.0, 0.0, 1.0]}


def test_a_variable_that_nobody_has_is_left_out() -> None:
    assert column("glucose", None, None, None) == {}
    empty = data.clinical_block("J0:clinical", ["glucose", "bmi"], IDS, sources("age", 1, 2, 3))
    assert empty.values.shape == (3, 0) and not data.complete(empty).any()


def test_sex_is_a_flag_and_other_spellings_are_missing() -> None:
    found = column("sex", "F", "M", None)["sex"]
    assert found[:2] == [0.0, 1.0] and np.isnan(found[2])
    assert np.isnan(column("sex", "F", "M", "other")["sex"][2])


def test_the_grade_of_reperfusion_keeps_its_order() -> None:
    grades = ["0", "1", "2a", "2b", "2c", "3"]
    ids = patients(6)
    clinical = {who: {"tici": grade} for who, grade in zip(ids, grades, strict=True)}
    found = Sources(clinical, {"tici": {"available_at": "J1"}}, {}, {}, {})
    block = data.clinical_block("J1:clinical", ["tici"], ids, found)
    assert block.columns == ("tici",) and (np.diff(block.values[:, 0]) == 1).all()


def test_levels_without_an_order_have_a_column_each_and_two_have_one() -> None:
    found = column("site", "B", None, "C", Levels={"A": "a", "B": "b", "C": "c"})
    assert list(found) == ["site=A", "site=B", "site=C"]
    assert found["site=B"][0] == 1.0 and found["site=C"] == pytest.approx([0.0, np.nan, 1.0], nan_ok=True)
    assert all(np.isnan(values[1]) for values in found.values())
    two = column("vendor", "S", "G", "S", Levels={"S": "", "G": ""})
    assert two == {"vendor=S": [1.0, 0.0, 1.0]}


def test_the_order_in_which_a_table_names_its_levels_does_not_matter() -> None:
    """A frozen model meets the levels of another cohort's table."""
    for levels in (("S", "G"), ("C", "A", "B")):
        values = (levels[0], levels[1], None)
        one = column("x", *values, Levels=dict.fromkeys(levels))
        two = column("x", *values, Levels=dict.fromkeys(reversed(levels)))
        assert list(one) == list(two)
        np.testing.assert_array_equal(list(one.values()), list(two.values()))


@pytest.mark.parametrize("entry", [{}, {"Levels": {str(i): "" for i in range(9)}}])
def test_free_text_is_refused_in_one_sentence(entry: dict) -> None:
    with pytest.raises(ConfigError) as error:
        column("hospital_id", "a83f", "77c1", None, **entry)
    sentence = str(error.value)
    assert (
        "hospital_id" in sentence
        and "2 different values" in sentence
        and "studies.outcome.clinical" in sentence
    )
    assert sentence.endswith(".") and "\n" not in sentence


def volumes(*rows: dict[tuple[str, str], float]) -> Sources:
    return Sources({}, {}, dict(zip(IDS, rows, strict=False)), {}, {})


def test_volumes_are_the_logarithm_of_one_plus_ml_and_an_empty_lesion_is_0() -> None:
    found = volumes({("J0", "adc480"): 0.0, ("J0", "adc620"): np.e - 1}, {("J0", "adc480"): 9.0})
    block = data.volume_block("J0:lesion", "J0", ["adc480", "adc620", "given"], IDS, found)
    assert block.columns == ("log1p adc480 (ml)", "log1p adc620 (ml)")  # nobody has a given one
    np.testing.assert_allclose(block.values[0], [0.0, 1.0])
    np.testing.assert_allclose(block.values[1], [np.log(10), np.nan])
    assert data.complete(block).tolist() == [True, True, False]
    assert data.volume_block("J1:lesion", "J1", ["adc480"], IDS, found).values.shape == (3, 0)


@given(st.lists(st.floats(0, 500), min_size=3, max_size=3))
def test_a_larger_lesion_has_a_larger_value(ml: list[float]) -> None:
    found = volumes(*({("J0", "adc620"): one} for one in ml))
    values = data.volume_block("J0:lesion", "J0", ["adc620"], IDS, found).values[:, 0]
    assert (np.diff(values[np.argsort(ml)]) >= 0).all() and (values >= 0).all()


def test_regions_that_a_lesion_reaches_have_a_column_and_a_patient_without_loads_has_none() -> None:
    loads = {"sub-1": {"J0": {"atlas 1": 3.0, "atlas 2": 0.0}}, "sub-2": {"J0": {"atlas 3": 1.0}}}
    block = data.load_block("J0:territories", "J0", IDS, Sources({}, {}, {}, loads, {}))
    assert block.columns == ("log1p atlas 1 (ml)", "log1p atlas 3 (ml)")
    np.testing.assert_allclose(block.values, np.log1p([[3, 0], [0, 1], [np.nan, np.nan]]))
    assert data.complete(block).tolist() == [True, True, False]


def test_an_embedding_is_a_row_and_its_absence_is_no_row_of_zeros() -> None:
    embeddings = {"sub-1": {"J0": np.arange(4, dtype=np.float32)}, "sub-3": {"J1": np.ones(4)}}
    block = data.embedding_block("J0:mri", "J0", IDS, Sources({}, {}, {}, {}, embeddings))
    assert block.components and block.columns == ("0", "1", "2", "3")
    np.testing.assert_array_equal(block.values[0], [0, 1, 2, 3])
    assert np.isnan(block.values[1:]).all() and data.complete(block).tolist() == [True, False, False]


def test_bedside_scores_stand_as_published() -> None:
    row = {"age": 82.0, "nihss": 21.0, "hypertension": 1.0, "diabetes": 0.0, "atrial_fibrillation": 1.0}
    clinical = {"sub-1": row, "sub-2": {**row, "nihss": None}, "sub-3": {**row, "age": 60.0}}
    found = Sources(clinical, {}, {}, {}, {})
    for name in SCORES:
        values = data.score_block(name, IDS, found).values[:, 0]
        assert np.isnan(values[1]) and values[0] == SCORES[name].of(row)
    assert data.score_block("thrive", IDS, found).values[0, 0] == 8.0


def test_the_difference_of_two_visits_is_the_later_minus_the_earlier() -> None:
    found, _ = cohort(12, 1)
    ids = patients(12)
    late, early = (data.embedding_block(f"{v}:mri", v, ids, found) for v in ("J1", "J0"))
    block = data.difference("J1-J0:mri", late, early)
    np.testing.assert_allclose(block.values, late.values - early.values)
    assert block.components and block.name == "J1-J0:mri"
    volumes = [data.volume_block(f"{v}:lesion", v, ["adc480", "adc620"], ids, found) for v in ("J1", "J0")]
    block = data.difference("J1-J0:lesion", *volumes)
    ml = np.array([[found.volumes[who][v, "adc620"] for v in ("J0", "J1")] for who in ids])
    np.testing.assert_allclose(block.values[:, 1], np.log((1 + ml[:, 1]) / (1 + ml[:, 0])))
    fewer = replace(volumes[1], columns=volumes[1].columns[1:], values=volumes[1].values[:, 1:])
    assert data.difference("J1-J0:lesion", volumes[0], fewer).columns == ("log1p adc620 (ml)",)
