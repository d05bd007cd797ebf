"""Whom a model was fitted on, and who lies outside."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reperfuse.studies.outcome import domain
from reperfuse.studies.outcome.blocks import Block, Reduction
from reperfuse.studies.outcome.model import FittedRecipe, Workshop
from reperfuse.studies.outcome.recipe import Recipe
from reperfuse.studies.outcome.scanner import scan_of, scans_of

N = 60
SCAN = {"vendor": "Siemens", "field_t": "1.5", "voxel_mm3": 8.0}


def fitted(seed: int = 0) -> tuple[FittedRecipe, dict[str, np.ndarray]]:
    """A model of an image, clinical variables, a lesion volume and a region, and its training patients' values."""
    rng = np.random.default_rng(seed)
    age = rng.normal(70, 8, N)
    age[:5] = np.nan
    blocks = {
        "J0:mri": Block("J0:mri", tuple(map(str, range(30))), rng.normal(size=(N, 30)), components=True),
        "J0:clinical": Block("J0:clinical", ("age", "evt"), np.column_stack([age, rng.integers(0, 2, N)])),
        "J0:lesion": Block("J0:lesion", ("log1p adc620 (ml)",), rng.exponential(2, (N, 1))),
        "J0:territories": Block("J0:territories", ("log1p insula (ml)",), rng.exponential(1, (N, 1))),
    }
    recipe = Recipe(
        tuple(blocks), "J0", "svm", "linear", 0.1, Reduction("pca", 4, 0.95), "pca_on_embeddings", 3
    )
    workshop = Workshop([f"sub-{i}" for i in range(N)], np.arange(N).astype(str), blocks)
    labels = (np.nan_to_num(age, nan=70) + rng.normal(0, 6, N) < 70).astype(int)
    return workshop.fit(recipe, np.arange(N), labels, seed=1), {name: b.values for name, b in blocks.items()}


@pytest.fixture(scope="module")
def model() -> tuple[FittedRecipe, dict[str, np.ndarray]]:
    return fitted()


def changed(
    values: dict[str, np.ndarray], block: str, row: int, column: int, to: float
) -> dict[str, np.ndarray]:
    copy = {name: array.copy() for name, array in values.items()}
    copy[block][row, column] = to
    return copy


def beyond(model: FittedRecipe, known: Any, values: dict[str, np.ndarray], scans: list[Any]) -> list[Any]:
    names = [f"sub-{i}" for i in range(len(scans))]
    return domain.outside_domain(model, known, values, scans, names, split="external:b", configuration="x")


def test_a_range_is_that_of_percentiles_and_says_how_many_it_rests_on(model) -> None:
    recipe, values = model
    known = domain.training_domain(recipe, values, [{"J0": SCAN}] * N)
    age = values["J0:clinical"][:, 0]
    assert known["J0:clinical age"] == {
        "low": np.floor(np.nanmin(age)),
        "high": min(np.ceil(np.nanmax(age)), 90),
        "n": N - 5,
    }
    components = recipe.blocks[0].transform(values["J0:mri"])
    mahalanobis = np.sqrt((components @ np.linalg.inv(np.cov(components.T, ddof=0)) * components).sum(1))
    assert known["J0:mri distance"]["low"] is None
    assert known["J0:mri distance"]["high"] == np.ceil(10 * mahalanobis.max()) / 10
    assert known["J0 vendor"] == {"levels": ["Siemens"], "n": N}
    assert not [name for name in known if "territories" in name]
    # A card is JSON, and nothing in it may point to a patient.
    assert json.loads(json.dumps(known, allow_nan=False)) == known and "sub-" not in json.dumps(known)


def test_nobody_of_a_small_cohort_lies_outside_its_own_ranges(model) -> None:
    recipe, values = model
    scans = [{"J0": SCAN}] * N
    assert beyond(recipe, domain.training_domain(recipe, values, scans), values, scans) == []


@given(value=st.floats(-1e6, 1e6).filter(lambda x: x == 0 or abs(x) > 1e-6), up=st.booleans())
def test_ends_of_few_patients_are_rounded_outwards_to_two_digits(value: float, up: bool) -> None:
    found = domain.outwards(value, up=up)
    slack = 1e-8 * abs(value)
    assert found >= value - slack if up else found <= value + slack
    assert abs(found - value) <= 0.1 * abs(value) + slack and float(f"{found:.1e}") == found
    assert domain.outwards(found, up=up) == found


@pytest.mark.parametrize(
    ("value", "low", "high"),
    [(0.13, 0.13, 0.13), (2.345, 2.3, 2.4), (99.5, 99, 100), (-0.0451, -0.046, -0.045), (0, 0, 0), (1234, 1200, 1300)],
)  # fmt: skip
def test_rounding_outwards(value: float, low: float, high: float) -> None:
    assert (domain.outwards(value, up=False), domain.outwards(value, up=True)) == (low, high)


def test_who_is_older_than_90_counts_as_90_and_lies_not_outside(model) -> None:
    recipe, values = model
    old = changed(values, "J0:clinical", 7, 0, 97.3)
    known = domain.training_domain(recipe, old, [{}] * N)
    assert known["J0:clinical age"]["high"] == 90
    older = changed(old, "J0:clinical", 8, 0, 103.0)
    assert beyond(recipe, known, older, [{}] * N) == []


def test_of_many_patients_two_in_a_hundred_lie_outside(model) -> None:
    recipe, values = model
    many = {name: np.tile(array, (10, 1)) for name, array in values.items()}
    many["J0:lesion"] = np.random.default_rng(1).exponential(2, (600, 1))
    known = domain.training_domain(recipe, many, [{}] * 600)
    rows = beyond(recipe, known, many, [{}] * 600)
    found = [row["predictor"] for row in rows]
    assert known["J0:lesion log1p adc620 (ml)"]["n"] == 600
    assert 8 <= found.count("J0:lesion log1p adc620 (ml)") <= 12


def test_a_mark_that_one_patient_has_is_inside() -> None:
    recipe, values = MODEL
    rare = {**values, "J0:clinical": values["J0:clinical"].copy()}
    rare["J0:clinical"][:, 1] = 0
    rare["J0:clinical"][5, 1] = 1
    known = domain.training_domain(recipe, rare, [{}] * N)
    assert known["J0:clinical evt"] == {"low": 0.0, "high": 1.0, "n": N}


def test_who_lies_outside_is_named_with_what_was_found_and_expected(model) -> None:
    recipe, values = model
    scans: list[Any] = [{"J0": SCAN}] * N
    known = domain.training_domain(recipe, values, scans)
    before = beyond(recipe, known, values, scans)
    child = changed(values, "J0:clinical", 7, 0, 4.0)
    (row,) = [row for row in beyond(recipe, known, child, scans) if row not in before]
    assert set(row) <= set(domain.COLUMNS)
    assert (row["participant_id"], row["predictor"], row["value"]) == ("sub-7", "J0:clinical age", 4.0)
    assert row["low"] == known["J0:clinical age"]["low"] > 4 and row["n"] == N - 5
    noise = {**values, "J0:mri": values["J0:mri"].copy()}
    noise["J0:mri"][9] *= 40
    (row,) = [row for row in beyond(recipe, known, noise, scans) if row not in before]
    assert (row["participant_id"], row["predictor"]) == ("sub-9", "J0:mri distance")
    assert row["value"] > row["high"]


def test_another_scanner_lies_outside(model) -> None:
    recipe, values = model
    known = domain.training_domain(recipe, values, [{"J0": SCAN}] * N)
    scans: list[Any] = [{"J0": SCAN}] * N
    scans[3] = {"J0": {"vendor": "GE", "field_t": "3", "voxel_mm3": 4.0}}
    scans[4] = {}  # nothing is known of it: not outside
    rows = [row for row in beyond(recipe, known, values, scans) if row["predictor"].startswith("J0 ")]
    assert {(row["participant_id"], row["predictor"], row["value"], row.get("levels")) for row in rows} == {
        ("sub-3", "J0 vendor", "GE", "Siemens"),
        ("sub-3", "J0 field (T)", "3", "1.5"),
        ("sub-3", "J0 voxel (mm3)", 4.0, None),
    }


def test_a_missing_value_is_not_outside(model) -> None:
    recipe, values = model
    scans: list[Any] = [{}] * N
    known = domain.training_domain(recipe, values, scans)
    assert not [name for name in known if name.startswith("J0 ")]
    empty = {name: np.full_like(array, np.nan) for name, array in values.items()}
    assert beyond(recipe, known, empty, scans) == []


@given(shift=st.floats(-5, 5), row=st.integers(0, N - 1))
def test_nobody_inside_the_range_of_a_predictor_is_named_for_it(shift: float, row: int) -> None:
    recipe, values = MODEL
    known = domain.training_domain(recipe, values, [{}] * N)
    age = known["J0:clinical age"]
    moved = changed(values, "J0:clinical", row, 0, age["low"] + (age["high"] - age["low"]) * (shift + 5) / 10)
    rows = beyond(recipe, known, moved, [{}] * N)
    named = [
        one for one in rows if one["participant_id"] == f"sub-{row}" and one["predictor"] == "J0:clinical age"
    ]
    assert named == []


MODEL = fitted()


def test_patients_are_counted_once_whatever_they_lie_outside_of() -> None:
    rows = [
        {
            "split": "external:b",
            "participant_id": who,
            "predictor": what,
            "configuration": configuration,
            "n": n,
        }
        for who, what in (("sub-1", "age"), ("sub-1", "vendor"), ("sub-2", "vendor"))
        for configuration, n in (("J0_mri", "19"), ("J1_mri", "20"))
    ]
    scored = {("external:b", f"sub-{i}") for i in range(5)} | {("new", "sub-9")}
    found = domain.counts(rows, scored)
    assert [tuple(row.values()) for row in found] == [
        ("external:b", "", 2, 5, 19), ("external:b", "vendor", 2, 5, 19), ("external:b", "age", 1, 5, 19),
        ("new", "", 0, 1, None),
    ]  # fmt: skip
    (sentence,) = domain.notices(found, most=1)
    assert (
        sentence.startswith("2 of 5 patients of cohort b lie outside") and "vendor (2) and 1 more" in sentence
    )
    assert "With 19 patients or more" in sentence and "up to 10 in 100" in sentence
    assert domain.counts([], []) == [] and domain.notices([], most=5) == []


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ({"Manufacturer": "SIEMENS", "MagneticFieldStrength": 1.494}, {"vendor": "Siemens", "field_t": "1.5"}),
        ({"Manufacturer": "Siemens AG", "MagneticFieldStrength": 2.8936}, {"vendor": "Siemens", "field_t": "3"}),
        ({"Manufacturer": "GE MEDICAL SYSTEMS", "MagneticFieldStrength": 3}, {"vendor": "GE", "field_t": "3"}),
        ({"Manufacturer": "GE", "MagneticFieldStrength": 0.064}, {"vendor": "GE", "field_t": "0.06"}),
        ({"Manufacturer": "Image Generator", "MagneticFieldStrength": "3"}, {"vendor": "image generator"}),
        ({"Manufacturer": " ", "MagneticFieldStrength": -1}, {}),
    ],
)  # fmt: skip
def test_scanners_have_one_spelling(said: dict[str, Any], expected: dict[str, Any]) -> None:
    assert scan_of({"acquisition": said}) == expected


def test_scans_are_those_of_prepared_visits() -> None:
    facts = {"J0": {"images": {"adc": {"zooms_mm": [2.0, 2.0, 5.0]}}}, "J1": {"images": {}}}
    records = {"sub-1": {"prepare": {"facts": facts}}, "sub-2": {"lesions": {"facts": {}}}}
    assert scans_of(records) == {"sub-1": {"J0": {"voxel_mm3": 20.0}}}
