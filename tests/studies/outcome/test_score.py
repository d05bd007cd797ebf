"""Frozen models on patients whom they have never seen: who is scored, under which name, and why others are not."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from reperfuse.core.participants import inside
from reperfuse.evaluation.interface import Prediction
from reperfuse.studies.outcome.data import Sources
from reperfuse.studies.outcome.domain import domains
from reperfuse.studies.outcome.model import FittedRecipe
from reperfuse.studies.outcome.score import SET_COLUMNS, prediction_sets, score
from tests.studies.outcome.cohorts import DICTIONARY, TARGET, cohort, patients, section, study

CONFIGURATIONS = (
    "J0_mri+clinical+lesion",
    "J0_clinical",
    "J1_mri+J0_clinical",
    "J1-J0_mri+clinical+lesion",
    "age+nihss",
)
SESSIONS = {"J0": "ses-01", "J1": "ses-02"}
Found = tuple[list[Prediction], dict[str, str], list[dict[str, Any]]]


@pytest.fixture(scope="module")
def models() -> dict[str, tuple[FittedRecipe, dict[str, Any]]]:
    sources, labels = cohort(60, 1)
    one, y = study(sources), np.array(list(labels.values()))
    fitted = {name: one.workshop.fit(one.recipes[name], np.arange(60), y, seed=1) for name in CONFIGURATIONS}
    ranges = domains(one, fitted)
    return {name: (model, {"target": TARGET, "domain": ranges[name]}) for name, model in fitted.items()}


@pytest.fixture(scope="module")
def others() -> Sources:
    """Eight patients of another cohort, under their inside names."""
    found, _ = cohort(8, 2)

    def renamed(mapping: Any) -> dict[str, Any]:
        return {inside(who, "b"): value for who, value in mapping.items()}

    return Sources(
        renamed(found.clinical),
        DICTIONARY,
        renamed(found.volumes),
        renamed(found.loads),
        renamed(found.embeddings),
    )


def scored(models: Any, found: Sources, *names: str, split: str = "external:b") -> Found:
    chosen = {name: models[name] for name in names or models}
    return score(chosen, section(), tuple(found.clinical), found, split=split, session_ids=SESSIONS)


def without(found: Sources, who: str, visit: str) -> Sources:
    mine = {v: x for v, x in found.embeddings[who].items() if v != visit}
    return replace(found, embeddings={**found.embeddings, who: mine})


def test_everybody_is_scored_once_per_model_under_the_datasets_own_name(models, others) -> None:
    found, reasons, _ = scored(models, others)
    assert reasons == {}
    for name in CONFIGURATIONS:
        rows = [one for one in found if one.configuration == name]
        assert [one.participant_id for one in rows] == list(patients(8))
        assert {(one.split, one.repeat, one.fold, one.target) for one in rows} == {
            ("external:b", None, None, TARGET)
        }
        assert {one.session_id for one in rows} == {"ses-02" if "J1" in name else "ses-01"}
        assert all(0 < one.y_score < 1 for one in rows)


def test_a_score_is_what_the_model_says_of_that_patient_whoever_else_is_there(models, others) -> None:
    everybody = {(one.configuration, one.participant_id): one.y_score for one in scored(models, others)[0]}
    some = tuple(others.clinical)[2:5]
    few = score(models, section(), some, others, split="external:b", session_ids=SESSIONS)[0]
    assert len(few) == 3 * len(CONFIGURATIONS)
    for one in few:
        assert one.y_score == pytest.approx(everybody[one.configuration, one.participant_id], abs=1e-12)
    main, labels = cohort(60, 1)
    whole = study(main)
    name = "J0_mri+clinical+lesion"
    again = score({name: models[name]}, section(), patients(60), main, split="new", session_ids=SESSIONS)[0]
    np.testing.assert_allclose(
        [one.y_score for one in again], whole.workshop.probability(models[name][0], np.arange(60)), atol=1e-12
    )
    assert {one.participant_id: one.y_true for one in again} == labels


def test_a_label_that_is_not_known_stays_unknown(models, others) -> None:
    first, second = list(others.clinical)[:2]
    clinical = {**others.clinical, first: {**others.clinical[first], "mrs_3m": None}}
    clinical[second] = {**clinical[second], "mrs_3m": 1.0}
    found, _, _ = scored(models, replace(others, clinical=clinical), "J0_clinical")
    assert [one.y_true for one in found][:2] == [None, 1] and None not in [one.y_true for one in found][2:]


def test_who_lacks_the_image_that_a_model_reads_is_named_with_the_reason(models, others) -> None:
    found, reasons, _ = scored(models, without(others, "sub-b+003", "J1"), "J1-J0_mri+clinical+lesion")
    assert reasons == {"sub-003": "no J1:mri"} and len(found) == 7
    found, reasons, _ = scored(models, without(others, "sub-b+003", "J1"), "J0_mri+clinical+lesion")
    assert reasons == {} and len(found) == 8


def test_only_the_blocks_that_a_model_reads_are_asked_for(models, others) -> None:
    """J0's clinical data stand beside the image of J1: the image of J0 is not needed."""
    found, reasons, _ = scored(models, without(others, "sub-b+003", "J0"), "J1_mri+J0_clinical")
    assert reasons == {} and len(found) == 8


def test_a_model_without_image_scores_who_has_none(models, others) -> None:
    for change in (without(others, "sub-b+003", "J0"), replace(others, embeddings={}, volumes={})):
        found, reasons, _ = scored(models, change, "J0_clinical", "age+nihss")
        assert reasons == {} and len(found) == 16


def test_a_cohort_without_images_is_not_scored_by_a_model_of_images(models, others) -> None:
    found, reasons, _ = scored(
        models, replace(others, embeddings={}), "J0_mri+clinical+lesion", "J0_clinical"
    )
    assert {one.configuration for one in found} == {"J0_clinical"}
    assert reasons == dict.fromkeys(patients(8), "no J0:mri")


def test_embeddings_of_another_kind_are_a_reason_and_no_crash(models, others) -> None:
    short = {who: {v: x[:30] for v, x in mine.items()} for who, mine in others.embeddings.items()}
    found, reasons, _ = scored(
        models, replace(others, embeddings=short), "J0_mri+clinical+lesion", "J0_clinical"
    )
    assert {one.configuration for one in found} == {"J0_clinical"}
    assert set(reasons) == set(patients(8)) and "expects 40 columns" in reasons["sub-000"]


def test_a_variable_that_the_other_cohort_lacks_is_filled_in_as_the_model_learnt_to(models, others) -> None:
    clinical = {
        who: {name: value for name, value in row.items() if name != "age"}
        for who, row in others.clinical.items()
    }
    dictionary = {name: entry for name, entry in DICTIONARY.items() if name != "age"}
    found, reasons, _ = scored(
        models, replace(others, clinical=clinical, dictionary=dictionary), "J0_clinical"
    )
    assert reasons == {} and len(found) == 8
    known = {who: {**row, "age": None} for who, row in others.clinical.items()}
    same, _, _ = scored(models, replace(others, clinical=known), "J0_clinical")
    assert [one.y_score for one in found] == [one.y_score for one in same]


def test_who_has_no_clinical_value_at_all_has_no_score_and_the_reason(models, others) -> None:
    bare = {**others.clinical, "sub-b+003": {}}
    found, reasons, beyond = scored(models, replace(others, clinical=bare))
    assert reasons == {"sub-003": "no clinical value"} and len(found) == 7 * len(CONFIGURATIONS)
    assert "sub-003" not in {row["participant_id"] for row in beyond}
    nobody: dict[str, Any] = {who: {} for who in others.clinical}
    found, reasons, _ = scored(models, replace(others, clinical=nobody), "J0_clinical", "age+nihss")
    assert found == [] and reasons == dict.fromkeys(patients(8), "no clinical value")
    # One value is enough, as it is for those whom the model was fitted on.
    one = {**others.clinical, "sub-b+003": {"nihss": 4.0}}
    assert len(scored(models, replace(others, clinical=one), "J0_clinical")[0]) == 8


def test_an_age_that_nobody_lacked_in_training_is_not_taken_for_0(others) -> None:
    sources, labels = cohort(60, 1, missing=0.0)
    one, y = study(sources), np.array(list(labels.values()))
    fitted = {"J0_clinical": one.workshop.fit(one.recipes["J0_clinical"], np.arange(60), y, seed=1)}
    card = {"target": TARGET, "domain": domains(one, fitted)["J0_clinical"]}
    frozen = {"J0_clinical": (fitted["J0_clinical"], card)}
    median = float(np.median([row["age"] for row in sources.clinical.values()]))

    def at(age: float | None) -> list[float]:
        clinical = {who: {**row, "age": age, "hypertension": 0.0} for who, row in others.clinical.items()}
        return [one.y_score for one in scored(frozen, replace(others, clinical=clinical), "J0_clinical")[0]]

    assert at(None) == at(median) != at(0.0)


def test_nobody_to_score_gives_nothing(models, others) -> None:
    assert score(models, section(), (), others, split="new", session_ids={}) == ([], {}, [])


def predicted(name: str, split: str, i: int, y: int | None, p: float, repeat: int | None = 1) -> Prediction:
    return Prediction(f"sub-{i}", "", TARGET, name, split, repeat, 1 if repeat else None, y, p)


def test_sets_of_new_patients_are_calibrated_on_the_first_repeat_of_the_same_configuration() -> None:
    known = [predicted("a", "cv", i, i % 2, 0.9 - 0.01 * i if i % 2 else 0.1 + 0.01 * i) for i in range(38)]
    elsewhere = [replace(one, repeat=2, y_score=0.5) for one in known]
    elsewhere += [replace(one, target="mrs_3m<=2", y_score=0.5) for one in known]
    new = [
        predicted(name, "new", i, None, p, None)
        for name in ("a", "b")
        for i, p in enumerate((0.95, 0.02, 0.5))
    ]
    rows = prediction_sets(new, known + elsewhere, epsilon=0.1)
    assert all(list(row) == SET_COLUMNS and row["epsilon"] == 0.1 for row in rows)
    found = {row["participant_id"]: (row["contains_1"], row["contains_0"]) for row in rows}
    assert {row["configuration"] for row in rows} == {"a"} and len(rows) == 3
    # 1 of 20 as strange as 0.5: below 0.1 for either class.
    assert found == {"sub-0": (True, False), "sub-1": (False, True), "sub-2": (False, False)}
    wide = prediction_sets(new, known, epsilon=0.01)
    assert all(row["contains_1"] and row["contains_0"] for row in wide)
    assert prediction_sets([], known, epsilon=0.1) == prediction_sets(new, [], epsilon=0.1) == []
