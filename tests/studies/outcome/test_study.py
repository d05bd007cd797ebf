"""Who takes part with what, and that a model of J0 sees nothing of J1."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from reperfuse.core.errors import ConfigError
from reperfuse.evaluation.interface import Study, System
from reperfuse.studies.outcome.data import Sources
from reperfuse.studies.outcome.study import Outcome
from reperfuse.studies.outcome.systems import RecipeModel
from tests.studies.outcome.cohorts import DICTIONARY, LATE, cohort, patients, study


@pytest.fixture(scope="module")
def found() -> Sources:
    return cohort(24, 1)[0]


def without(found: Sources, who: str, visit: str, what: str) -> Sources:
    if what == "mri":
        mine = {v: x for v, x in found.embeddings[who].items() if v != visit}
        return replace(found, embeddings={**found.embeddings, who: mine})
    mine_ml = {key: ml for key, ml in found.volumes[who].items() if key[0] != visit}
    return replace(found, volumes={**found.volumes, who: mine_ml})


def test_everybody_with_both_images_takes_part(found: Sources) -> None:
    one = study(found)
    assert one.eligible() == patients(24) and one.left_out == {} and one.impossible == {}
    offered: Study = one
    assert offered.name == "outcome"
    some: System = offered.systems()["J0_mri"]
    model = some.fit(patients(20), np.arange(20) % 2, seed=1)
    assert isinstance(model, RecipeModel) and model.seen == frozenset(patients(20))
    assert model.predict(patients(24)[20:]).shape == (4,)


@pytest.mark.parametrize(
    ("visit", "what"), [("J0", "mri"), ("J1", "mri"), ("J0", "lesion"), ("J1", "lesion")]
)
def test_who_lacks_an_image_is_left_out_and_the_reason_is_said(found: Sources, visit: str, what: str) -> None:
    one = study(without(found, "sub-003", visit, what))
    assert one.left_out == {"sub-003": f"no {visit}:{what}"}
    assert one.eligible() == tuple(who for who in patients(24) if who != "sub-003")
    assert all(block.values.shape[0] == 23 for block in one.blocks.values())
    if visit == "J1":
        assert study(without(found, "sub-003", visit, what), visits=["J0"]).left_out == {}


def test_a_cohort_without_any_image_is_judged_on_the_rest(found: Sources) -> None:
    one = study(replace(found, embeddings={}))
    assert one.left_out == {} and "J0_clinical+lesion" in one.recipes
    assert one.impossible["J0_mri"] == "nobody has J0:mri" and one.compared == ()


def test_missing_clinical_values_leave_nobody_out(found: Sources) -> None:
    clinical = {**found.clinical, "sub-003": {}}
    assert study(replace(found, clinical=clinical)).left_out == {}


def test_a_model_of_j0_sees_nothing_of_j1(found: Sources) -> None:
    one = study(found)
    assert set(one.blocks["J0:clinical"].columns) == set(DICTIONARY) - {*LATE, "mrs_3m"}
    assert set(one.blocks["J1:clinical"].columns) == set(DICTIONARY) - {"mrs_3m"}
    rng = np.random.default_rng(0)
    changed = Sources(
        {
            who: {**row, **{name: float(rng.integers(0, 2)) for name in LATE}}
            for who, row in found.clinical.items()
        },
        DICTIONARY,
        {
            who: {key: ml * (1 if key[0] == "J0" else rng.uniform(0, 9)) for key, ml in mine.items()}
            for who, mine in found.volumes.items()
        },
        {who: {**mine, "J1": {"arterial 1": rng.uniform(0, 9)}} for who, mine in found.loads.items()},
        {who: {"J0": mine["J0"], "J1": rng.normal(size=40)} for who, mine in found.embeddings.items()},
    )
    other, y = study(changed), np.arange(24) % 2
    for name in one.recipes:
        a, b = (
            this.systems()[name].fit(patients(24), y, seed=1).predict(patients(24)) for this in (one, other)
        )
        assert np.array_equal(a, b) is (one.recipes[name].visit == "J0"), name


@pytest.mark.parametrize(
    ("visit", "variable", "at"), [("J0", "evt", "J1"), ("J0", "mrs_3m", "none"), ("J1", "mrs_3m", "none")]
)
def test_a_predictor_that_is_not_known_yet_is_refused_by_name(
    found: Sources, visit: str, variable: str, at: str
) -> None:
    one = study(found, clinical={visit: ["age", variable]})
    with pytest.raises(ConfigError) as error:
        one.systems()
    assert f"studies.outcome.clinical.{visit}" in str(error.value)
    assert f"{variable} (known at {at})" in str(error.value) and "age" not in str(error.value)


def test_a_comparator_of_what_is_not_known_yet_is_not_made(found: Sources) -> None:
    """Where a table says that NIHSS was taken at J1, no model of J0 may use it under another name."""
    late = {**DICTIONARY, "nihss": {"available_at": "J1"}, "nihss_24h": {"available_at": "none"}}
    one = study(replace(found, dictionary=late), clinical={"J0": ["age"], "J1": []})
    assert not {"age+nihss", "thrive", "span100", "nihss_24h"} & set(one.recipes)
    assert {"age+nihss", "thrive", "span100", "nihss_24h"} <= set(study(found).recipes)


def test_the_block_of_growth_is_the_difference_of_the_visits(found: Sources) -> None:
    one = study(found)
    for kind in ("mri", "lesion"):
        early, late, growth = (one.blocks[f"{visit}:{kind}"].values for visit in ("J0", "J1", "J1-J0"))
        np.testing.assert_allclose(growth, late - early)


def test_methods_of_the_lesion_volume_are_tried_on_the_compared_configurations(found: Sources) -> None:
    methods = {"raw": ["adc480_raw", "adc620_raw"], "given": ["given"]}
    one = study(found, sensitivity={"c": [1], "components": [], "method": [], "kernel": [], "order": [],
                                    "lesion": methods})  # fmt: skip
    assert one.compared == ("J1_mri+clinical+lesion", "J0_mri+clinical+lesion")
    assert set(one.sensitivity()) == {
        f"{name}[{what}]" for name in one.compared for what in ("c=1", "lesion=raw")
    }
    raw = one.sensitivity()["J0_mri+clinical+lesion[lesion=raw]"].recipe
    assert set(raw.blocks) == {"J0:mri", "J0:clinical", "J0:lesion raw"}
    ml = [found.volumes[who]["J0", "adc620_raw"] for who in patients(24)]
    np.testing.assert_allclose(one.blocks["J0:lesion raw"].values[:, 1], np.log1p(ml))


def test_primary_and_comparator_may_be_one(found: Sources) -> None:
    assert study(found, primary="J0_mri", comparator="J0_mri").compared == ("J0_mri",)
    assert study(found, primary="J0_mri", comparator="nonsense").compared == ("J0_mri",)


def test_groups_go_with_their_patients(found: Sources) -> None:
    groups = {"sub-001": "family-1", "sub-002": "family-1"}
    one = Outcome(study(found).section, patients(24), groups, without(found, "sub-000", "J0", "mri"))
    assert one.workshop.ids[:2] == ("sub-001", "sub-002")
    assert one.workshop.groups[:3].tolist() == ["family-1", "family-1", "sub-003"]
