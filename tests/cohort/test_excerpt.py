"""What a study's fit reads changes with those who take part in it, and with nobody else."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from reperfuse.cohort.excerpt import excerpt, taking_part
from reperfuse.core.errors import Fault
from reperfuse.core.provenance import digest

MISSING = Fault("E138", "", {"name": "mrs_3m"}, "sub-3").as_dict()


def manifest() -> dict[str, Any]:
    rows = [
        {"participant_id": one, "fold": i, "stratum": "1", "group": one}
        for i, one in enumerate(("sub-1", "sub-2", "sub-4"), 1)
    ]
    return {
        "name": "", "folders": ["sub-1", "sub-2", "sub-3", "sub-4"], "n_files": 4,
        "active": {f"sub-{i}": {"J0": {"adc": [[f"sub-{i}_ADC.nii.gz", "stamp"]]}} for i in range(1, 4)},
        "clinical": {
            "sub-1": {"age": 61.0, "mrs_3m": 0.0, "site": None}, "sub-2": {"age": 62.0, "mrs_3m": 3.0},
            "sub-3": {"age": 63.0, "mrs_3m": None, "site": "A"}, "sub-4": {"age": 64.0, "mrs_3m": None},
        },
        "dictionary": {
            "age": {"Description": "Age", "available_at": "J0", "Source": "participants.tsv: age"},
            "site": {"Description": "Site", "Levels": {"A": "A"}, "available_at": "J0", "Source": "t: site"},
            "mrs_3m": {"Description": "mRS", "available_at": "J2", "Source": "participants.tsv: mrs"},
        },
        "eligibility": {"outcome": {"sub-1": [], "sub-2": [], "sub-3": [MISSING], "sub-4": [MISSING]}},
        "folds": {"outcome": {"n_folds": 2, "frozen": False, "rows": rows, "balance": [], "notices": []}},
        "session_ids": {"J0": "ses-01"}, "atlases": {"a": {"image": "1", "labels": "2"}},
    }  # fmt: skip


def changed(*path: Any, to: Any) -> dict[str, Any]:
    found = one = copy.deepcopy(manifest())
    for key in path[:-1]:
        one = one[key]
    one[path[-1]] = to
    return found


def name(of: dict[str, Any]) -> str:
    return digest(excerpt(of, "outcome"))


def test_who_is_eligible_and_has_a_fold_takes_part() -> None:
    assert taking_part(manifest(), "outcome") == ["sub-1", "sub-2"]
    found = excerpt(manifest(), "outcome")
    assert found["clinical"] == {"sub-1": {"age": 61.0, "mrs_3m": 0.0}, "sub-2": {"age": 62.0, "mrs_3m": 3.0}}
    assert found["dictionary"] == {"age": {"available_at": "J0"}, "mrs_3m": {"available_at": "J2"}}
    assert [row["participant_id"] for row in found["folds"]["outcome"]["rows"]] == ["sub-1", "sub-2"]


@pytest.mark.parametrize(
    "other",
    [
        changed("clinical", "sub-3", "age", to=90.0),
        changed("clinical", "sub-5", to={"age": 50.0, "mrs_3m": None, "nihss_24h": 3.0}),
        changed("eligibility", "outcome", "sub-5", to=[MISSING]),
        changed("eligibility", "outcome", "sub-5", to=[]),  # a frozen fold table does not name whoever joins
        changed("active", "sub-5", to={"J0": {"adc": [["sub-5_ADC.nii.gz", "stamp"]]}}),
        changed("dictionary", "nihss_24h", to={"Description": "NIHSS", "available_at": "J1", "Source": "t: n"}),
        changed("clinical", "sub-2", "site", to=None),
        changed("folds", "outcome", "notices", to=["1 eligible patient is not in the frozen fold table."]),
        changed("folds", "outcome", "rows", 2, "group", to="family-1"),
    ],
)  # fmt: skip
def test_what_concerns_nobody_who_takes_part_changes_nothing(other: dict[str, Any]) -> None:
    assert other != manifest() and name(other) == name(manifest())


@pytest.mark.parametrize(
    "other",
    [
        changed("clinical", "sub-1", "age", to=90.0),
        changed("clinical", "sub-1", "site", to="A"),
        changed("eligibility", "outcome", "sub-2", to=[MISSING]),
        changed("eligibility", "outcome", "sub-4", to=[]),
        changed("folds", "outcome", "rows", 0, "fold", to=2),
        changed("folds", "outcome", "rows", 0, "group", to="family-1"),
        changed("dictionary", "age", "available_at", to="J1"),
        changed("session_ids", "J0", to="ses-02"),
        changed("atlases", "a", "image", to="3"),
    ],
)
def test_what_concerns_somebody_who_takes_part_does(other: dict[str, Any]) -> None:
    assert name(other) != name(manifest())
