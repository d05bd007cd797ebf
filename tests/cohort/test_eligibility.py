from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pytest

from reperfuse.cohort.clinical import Clinical, find_tables, read_clinical
from reperfuse.cohort.eligibility import fold_candidates, judge, lacks
from reperfuse.core.errors import Fault
from reperfuse.studies.requirements import Requirement, requirements

STUDIES: dict[str, dict[str, Any]] = {
    "outcome": {"visits": ["J0", "J1"], "image": "adc", "variable": "mrs_3m", "favourable_max": 1},
    "severity": {"variable": "nihss", "minor_max": 4, "channels": ["trace"]},
    "transformation": {
        "variable": "ht",
        "eligibility": {
            "onset_max_min": 360,
            "unknown_onset": True,
            "before_treatment": True,
            "follow_up_h": [12, 48],
        },
    },
    "fusion": {"contrasts": ["t1w", "flair", "adc", "trace"], "minimum": 2},
    "imputation": {"contrasts": ["adc", "trace", "flair", "t1w"], "minimum": 2},
}
COMPLETE = {"J0": ["adc", "trace", "dwi", "pwi", "flair", "t1w"], "J1": ["adc", "gre"]}


@pytest.fixture
def needs() -> dict[str, Requirement]:
    return requirements(STUDIES)


def clinical(**row: float | str | None) -> Clinical:
    return Clinical({"sub-1": dict(row)})


def test_a_complete_patient_is_eligible_for_everything(needs: dict[str, Requirement]) -> None:
    data = clinical(mrs_3m=2.0, nihss=7.0)
    assert all(judge({"sub-1": COMPLETE}, data, need) == {"sub-1": []} for need in needs.values())


@pytest.mark.parametrize(
    ("study", "images", "row", "reasons"),
    [
        ("outcome", {"J0": ["adc"]}, {"mrs_3m": 1.0}, ["no ADC of J1"]),
        ("outcome", {}, {}, ["no ADC of J0", "no ADC of J1", "mrs_3m is missing"]),
        ("outcome", COMPLETE, {"mrs_3m": None}, ["mrs_3m is missing"]),
        ("severity", {"J0": ["adc"]}, {"nihss": 3.0}, ["no trace or DWI of J0"]),
        ("severity", {"J0": ["dwi"]}, {"nihss": 3.0}, []),
        ("transformation", {"J0": ["pwi", "dwi"]}, {}, ["no GRE of J1, and ht is missing"]),
        ("transformation", {"J0": ["pwi", "dwi"]}, {"ht": 0.0}, []),
        ("transformation", {"J0": ["dwi"], "J1": ["gre"]}, {}, ["no PWI of J0"]),
        ("fusion", {"J0": ["flair"]}, {}, ["no pair out of T1w, FLAIR, ADC and trace (only FLAIR) of J0"]),
        ("fusion", {"J0": ["dwi"]}, {}, []),
        (
            "imputation",
            {"J1": ["adc", "flair"]},
            {},
            ["no pair out of ADC, trace, FLAIR and T1w (none) of J0"],
        ),
        ("imputation", {"J0": ["trace", "t1w"]}, {}, []),
    ],
)
def test_reasons_are_plain(
    needs: dict[str, Requirement],
    study: str,
    images: dict[str, list[str]],
    row: dict[str, float | None],
    reasons: list[str],
) -> None:
    assert judge({"sub-1": images}, clinical(**row), needs[study]) == {"sub-1": reasons}


@pytest.mark.parametrize(
    ("row", "reasons"),
    [
        ({"onset_to_mri_min": 360.0, "onset_to_groin_min": 360.0}, []),
        ({"onset_to_mri_min": 361.0}, ["onset_to_mri_min is 361 min; expected 0 to 360 min"]),
        ({}, ["onset_to_mri_min is missing"]),
        (
            {"onset_to_mri_min": 100.0, "onset_to_ivt_min": 90.0, "onset_to_groin_min": 130.0},
            ["onset_to_ivt_min is 90 and onset_to_mri_min is 100; expected imaging before treatment"],
        ),
        (
            {"onset_to_mri_min": 100.0, "j0_to_j1_min": 7 * 1440.0},
            ["j0_to_j1_min is 10080 min; expected 720 to 2880 min"],
        ),
    ],
)
def test_times_are_held_against_limits_and_each_other(row: dict[str, float], reasons: list[str]) -> None:
    section = STUDIES["transformation"]
    asked = {**section["eligibility"], "unknown_onset": False}
    need = requirements({"transformation": {**section, "eligibility": asked}})["transformation"]
    assert judge({"sub-1": COMPLETE}, clinical(ht=1.0, **row), need) == {"sub-1": reasons}
    anyway = requirements(STUDIES)["transformation"]
    missing = [one for one in reasons if "missing" not in one]
    assert judge({"sub-1": COMPLETE}, clinical(ht=1.0, **row), anyway) == {"sub-1": missing}


def test_a_folder_without_row_serves_the_studies_that_need_none(needs: dict[str, Requirement]) -> None:
    there = {"sub-2": COMPLETE}
    assert judge(there, clinical(), needs["severity"]) == {"sub-2": ["no row in the clinical table"]}
    assert judge(there, clinical(), needs["fusion"]) == {"sub-2": []}


def test_a_refused_value_gives_its_own_finding(needs: dict[str, Requirement]) -> None:
    fault = Fault("E132", "participants.tsv", {"column": "mRS", "value": "9 (line 2)", "allowed": "0 to 6"})
    data = Clinical({"sub-1": {"mrs_3m": None}}, refused={"sub-1": {"mrs_3m": fault}})
    assert judge({"sub-1": COMPLETE}, data, needs["outcome"])["sub-1"] == [
        "mRS is 9 (line 2); expected 0 to 6"
    ]
    found = lacks({"sub-1": COMPLETE}, data, needs["outcome"])["sub-1"][0]
    assert (found.code, found.participant_id) == ("E132", "sub-1")


def test_a_ragged_row_is_the_reason_rather_than_a_missing_row(
    needs: dict[str, Requirement], tmp_path: Path
) -> None:
    (tmp_path / "participants.tsv").write_text("participant_id\tage\tnihss\nsub-1\t5\n")
    data = read_clinical(
        find_tables(tmp_path, []), root=tmp_path, columns={}, sessions={}, id_columns=["participant_id"],
        session_columns=["session_id"], missing=["n/a"],
    )  # fmt: skip
    (reason,) = judge({"sub-1": COMPLETE}, data, needs["severity"])["sub-1"]
    assert reason.startswith("line 2, column nihss: 2 cells in place of 3")


def test_candidates_carry_label_and_family(needs: dict[str, Requirement]) -> None:
    data = Clinical(
        {
            "sub-1": {"nihss": 4.0, "family": "a"},
            "sub-2": {"nihss": 5.0, "family": None},
            "sub-3": {"family": "a"},
        }
    )
    people = ["sub-3", "sub-2", "sub-1"]
    assert fold_candidates(people, data, needs["severity"], group="family") == {
        "sub-1": ("0", "family-a"),
        "sub-2": ("1", "sub-2"),
        "sub-3": ("n/a", "family-a"),
    }
    assert set(fold_candidates(people, data, needs["fusion"], group="").values()) == {
        ("all", "sub-1"), ("all", "sub-2"), ("all", "sub-3"),
    }  # fmt: skip


def test_soop_serves_single_visit_studies(real_data: Path) -> None:
    root = real_data / "soop"
    if not (root / "participants.tsv").is_file():
        pytest.skip(f"no SOOP table in {root}")
    data = read_clinical(
        find_tables(root, []), root=root, columns={}, sessions={}, id_columns=["participant_id"],
        session_columns=["session_id"], missing=["n/a"],
    )  # fmt: skip
    surrogate = {"visits": ["J0"], "image": "adc", "variable": "mrs_discharge", "favourable_max": 1}
    needs = requirements(STUDIES | {"outcome": surrogate})
    there = {name: {"J0": ["adc", "trace", "flair", "t1w"]} for name in data.rows}
    n = {
        study: sum(not found for found in judge(there, data, need).values()) for study, need in needs.items()
    }
    assert n == {"outcome": 566, "severity": 852, "transformation": 0, "fusion": 1155, "imputation": 1155}
    by_masks = requirements({"severity": {**STUDIES["severity"], "channels": ["lesion"]}})["severity"]
    masks = {name: {"J0": ["lesion"] if (root / name).is_dir() else []} for name in data.rows}
    assert sum(not found for found in judge(masks, data, by_masks).values()) == 729
    with (root / "participants.tsv").open(encoding="utf-8") as stream:
        scores = [row["nihss"] for row in csv.DictReader(stream, delimiter="\t") if row["nihss"] != "n/a"]
    eligible = [name for name, found in judge(there, data, needs["severity"]).items() if not found]
    strata = [s for s, _ in fold_candidates(eligible, data, needs["severity"], group="family").values()]
    assert strata.count("1") == sum(int(score) > 4 for score in scores)


def test_nothing_that_gives_the_label_alone_is_asked_for_where_a_model_is_applied(
    needs: dict[str, Requirement],
) -> None:
    there = {"sub-1": {"J0": ["pwi", "dwi"]}, "sub-2": {"J0": ["dwi"]}, "sub-3": {"J0": ["pwi"]}}
    found = {
        study: {sub: [f.reason for f in faults] for sub, faults in judged.items()}
        for study in ("transformation", "severity", "fusion")
        for judged in [lacks(there, clinical(), needs[study], to_score=True)]
    }
    assert found["transformation"]["sub-2"] == ["no PWI of J0"]
    assert found["severity"] == {"sub-1": [], "sub-2": [], "sub-3": ["no trace or DWI of J0"]}
    fused = {"sub-1": [], "sub-2": [], "sub-3": ["no pair out of T1w, FLAIR, ADC and trace (none) of J0"]}
    assert found["fusion"] == fused, "a study without label asks for the same"


@pytest.mark.parametrize(
    ("contrasts", "minimum", "images", "reason"),
    [
        (["trace", "jac"], 2, ["dwi"], ""),
        (["flair", "jac"], 2, ["flair"], "no pair out of FLAIR and Jacobian determinant (only FLAIR) of J0"),
        (["tmax", "cbf", "adc"], 3, ["pwi"], "no set of 3 out of Tmax, CBF and ADC (only Tmax and CBF) of J0"),
        (["lesion"], 1, ["adc"], ""),
        (["lesion"], 1, ["flair"], "no lesion mask of J0"),
        (["fa", "ndi"], 2, ["map_fa", "map_ndi"], ""),
    ],
)  # fmt: skip
def test_a_contrast_counts_where_it_can_be_made(
    contrasts: list[str], minimum: int, images: list[str], reason: str
) -> None:
    need = requirements({"fusion": {"contrasts": contrasts, "minimum": minimum}})["fusion"]
    assert judge({"sub-1": {"J0": images}}, clinical(), need)["sub-1"] == ([reason] if reason else [])
