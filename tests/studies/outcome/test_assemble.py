"""From the manifest and the records to predictors, labels, folds and reasons."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reperfuse.core.errors import Fault
from reperfuse.studies.outcome import assemble, selected
from tests.studies.outcome.cohorts import DICTIONARY, section

REFUSED = {"code": "E160", "path": "", "values": {"step": "prepare", "image": "J1_adc"}, "participant_id": "sub-4",
           "session_id": "ses-02"}  # fmt: skip


def row(visit: str, criterion: str, ml: float, side: str = "left") -> dict[str, Any]:
    return {"session_id": "", "visit": visit, "criterion": criterion, "volume_ml": ml, "side": side}


def manifest(**changed: Any) -> dict[str, Any]:
    return {
        "active": {f"sub-{i}": {} for i in range(1, 6)},
        "clinical": {f"sub-{i}": {"age": 60.0 + i, "mrs_3m": grade} for i, grade in enumerate((0, 1, 2, 6, None), 1)},
        "dictionary": DICTIONARY,
        "eligibility": {"outcome": {"sub-1": [], "sub-2": [], "sub-3": [], "sub-4": [REFUSED], "sub-5": []}},
        "folds": {
            "outcome": {
                "n_folds": 2,
                "frozen": False,
                "rows": [
                    {"participant_id": f"sub-{i}", "fold": i % 2 + 1, "group": "f" if i < 3 else f"sub-{i}"}
                    for i in (1, 2, 3)
                ],
            }
        },
        "session_ids": {"J0": "ses-01", "J1": "ses-02"},
        **changed,
    }  # fmt: skip


def records(what: str = "adc620") -> dict[str, dict[str, dict[str, Any]]]:
    rows = [
        row("J0", "adc480", 1.0),
        row("J0", "adc620", 2.0),
        row("J0", "given", 3.0, "right"),
        row("J1", "adc620", 5.0),
    ]
    loads = [
        {"visit": "J0", "atlas": "arterial", "label": 3, "name": "MCA", "side": "left", "volume_ml": 0.5}
    ]
    facts = {"rows": rows, "lesion": {"J0": what, "J1": "adc620"}, "loads": loads}
    return {"sub-1": {"lesions": {"facts": facts}}, "sub-2": {"prepare": {"facts": {}}}}


@pytest.mark.parametrize(
    ("what", "ml", "side"), [("adc620", 2.0, "left"), ("given (derivatives/m/x.nii.gz)", 3.0, "right")]
)
def test_volumes_sides_and_regions_come_from_the_records(what: str, ml: float, side: str) -> None:
    found = assemble.sources(manifest(), records(what), {"sub-1": {"J0": np.ones(3)}})
    assert found.volumes["sub-1"]["J0", "adc480"] == 1.0 and found.volumes["sub-1"]["J1", "adc620"] == 5.0
    assert found.volumes["sub-1"]["J0", "lesion"] == ml and found.volumes["sub-1"]["J1", "lesion"] == 5.0
    assert found.volumes["sub-2"] == {} and found.loads == {"sub-1": {"J0": {"arterial 3 MCA (left)": 0.5}}}
    assert found.clinical["sub-1"] == {"age": 61.0, "mrs_3m": 0, "lesion_side": side}
    assert found.embeddings["sub-1"]["J0"].tolist() == [1, 1, 1]


def test_the_manifest_stays_as_it_was() -> None:
    one = manifest()
    assemble.sources(one, records(), {})
    assert one == manifest()


def test_only_the_eligible_with_a_fold_are_candidates() -> None:
    one = assemble.study(section(), manifest(), assemble.sources(manifest(), records(), {}))
    assert one.candidates == ("sub-1", "sub-2", "sub-3")
    assert one.groups == {"sub-1": "f", "sub-2": "f", "sub-3": "sub-3"}
    assert assemble.session_ids(manifest()) == {"J0": "ses-01", "J1": "ses-02"}


def test_everybody_who_takes_no_part_has_a_reason() -> None:
    found = assemble.sources(manifest(), records(), {"sub-1": {"J0": np.ones(3), "J1": np.ones(3)}})
    rows = assemble.left_out(assemble.study(section(), manifest(), found).left_out, manifest())
    reasons = {one["participant_id"]: one["reason"] for one in rows}
    assert list(reasons) == ["sub-2", "sub-3", "sub-4", "sub-5"]
    assert reasons["sub-2"] == reasons["sub-3"] == "no J0:mri"
    assert reasons["sub-4"] == Fault(**REFUSED).reason
    assert reasons["sub-5"] == "not in the frozen fold table"


def test_who_was_embedded_at_one_visit_alone_takes_no_part() -> None:
    both, one = {"J0": np.ones(3), "J1": np.ones(3)}, {"J0": np.ones(3)}
    everybody = dict.fromkeys(("sub-1", "sub-2", "sub-3"), records()["sub-1"])
    found = assemble.sources(manifest(), everybody, {"sub-1": both, "sub-2": one, "sub-3": both})
    study = assemble.study(section(lesion_criteria=["adc620"]), manifest(), found)
    reasons = {row["participant_id"]: row["reason"] for row in assemble.left_out(study.left_out, manifest())}
    assert study.eligible() == ("sub-1", "sub-3") and reasons["sub-2"] == "no J1:mri"


def test_labels_are_cut_from_the_grades_of_those_who_have_one() -> None:
    grades = {f"sub-{i}": {"mrs_3m": grade} for i, grade in enumerate((0, 1.0, 2, 3, 5, 6, None, "n/a"))}
    found = assemble.labels(section(), grades, grades)
    assert list(found) == ["mrs_3m<=1", "mrs_3m<=2"]  # one death alone does not make a cut at 5
    assert list(found["mrs_3m<=1"].values()) == [1, 1, 0, 0, 0, 0]
    assert list(found["mrs_3m<=2"].values()) == [1, 1, 1, 0, 0, 0]
    assert set(found["mrs_3m<=1"]) == {f"sub-{i}" for i in range(6)}
    other = assemble.labels(section(variable="mrs_discharge"), grades, grades)
    assert other == {"mrs_discharge<=1": {}}
    assert list(assemble.labels(section(favourable_max=2, other_cuts=[2]), grades, grades)) == ["mrs_3m<=2"]


def test_the_main_cut_stays_even_where_nobody_lies_beyond_it() -> None:
    grades = {"sub-1": {"mrs_3m": 0}, "sub-2": {"mrs_3m": 1}}
    assert assemble.labels(section(), grades, grades) == {"mrs_3m<=1": {"sub-1": 1, "sub-2": 1}}


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_later_folds_hold_whole_groups_and_the_first_are_the_cohorts(seed: int) -> None:
    rng = np.random.default_rng(seed)
    ids = [f"sub-{i:02d}" for i in range(40)]
    groups = {one: f"f{i // 2}" for i, one in enumerate(ids)}
    rows = [
        {"participant_id": one, "fold": i // 2 % 4 + 1, "group": groups[one]} for i, one in enumerate(ids)
    ]
    labels = {one: int(rng.random() < 0.5) for one in ids[:36]}
    table = manifest(folds={"outcome": {"n_folds": 4, "rows": rows}})
    drawn = assemble.folds(section(repeats=3, salt=str(seed)), table, labels, groups)
    assert list(drawn) == [1, 2, 3]
    assert drawn[1] == {row["participant_id"]: row["fold"] for row in rows[:36]}
    for folds in drawn.values():
        assert set(folds) == set(labels) and set(folds.values()) == {1, 2, 3, 4}
        for i in range(0, 36, 2):
            assert folds[ids[i]] == folds[ids[i + 1]]
    assert drawn[2] != drawn[3]
    assert drawn == assemble.folds(section(repeats=3, salt=str(seed)), table, labels, groups)


def test_only_patients_without_a_label_of_the_main_cohort_are_new_to_the_model() -> None:
    found = assemble.sources(manifest(), records(), {})
    assert assemble.unseen(section(), manifest(), found, "") == ("new", ["sub-5"])
    split, ids = assemble.unseen(section(), manifest(), found, "centre2")
    assert split == "external:centre2" and ids == [f"sub-{i}" for i in range(1, 6)]


def test_whom_a_frozen_fold_table_does_not_name_is_new_to_the_model_and_judged_nowhere() -> None:
    plan = manifest()["folds"]["outcome"]
    frozen = manifest(folds={"outcome": {**plan, "frozen": True, "rows": plan["rows"][:2]}})
    found = assemble.sources(frozen, records(), {})
    assert assemble.study(section(), frozen, found).candidates == ("sub-1", "sub-2")
    # One with an outcome, one who lacks an image and one without an outcome.
    assert assemble.unseen(section(), frozen, found, "") == ("new", ["sub-3", "sub-4", "sub-5"])
    rows = [{"split": "new"}, {"split": "external:centre2"}]
    assert assemble.judged(rows, frozen) == rows[1:] and assemble.judged(rows, manifest()) == rows


def test_whom_a_frozen_fold_table_does_not_name_is_no_patient_without_j1() -> None:
    visits = {"J0": {"adc": []}, "J1": {"adc": []}}
    active = {"sub-1": visits, "sub-2": visits, "sub-4": {"J0": {"adc": []}}, "sub-5": visits}
    assert selected.has_j1(manifest(active=active), "adc") == {"sub-1": True, "sub-2": True, "sub-4": False}


def test_weights_are_told_once_whatever_they_are() -> None:
    mine = {"kind": "MedicalNet", "text": "MedicalNet: a at b, c", "sha256": "1" * 64}
    chunk = {"step": "embed", "facts": {"weights": mine}}
    others = [
        {"step": "embed", "facts": {}},
        {"step": "embed", "facts": {"weights": {}}},
        {"step": "lesions", "facts": {}},
    ]
    assert assemble.weights_of([chunk, *others, chunk]) == [mine] and assemble.weights_of(others) == []


def test_weights_that_are_not_medicalnets_are_stamped_once() -> None:
    def chunk(kind: str | None) -> dict[str, Any]:
        facts = {"weights": {"kind": kind, "text": f"NOT MedicalNet: {kind}", "sha256": ""}} if kind else {}
        return {"step": "embed", "facts": facts}

    assert assemble.stamps_of([chunk("MedicalNet"), chunk(None)]) == []
    assert assemble.stamps_of([chunk("random"), chunk("random"), {"step": "lesions", "facts": {}}]) == [
        "NOT MedicalNet: random"
    ]
