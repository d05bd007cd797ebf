from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from reperfuse.imaging.reader import read_made
from reperfuse.imaging.volume import write_volume
from reperfuse.studies.transformation import assemble
from tests.studies.transformation.made_scans import record, section, write_cohort, write_patient


def test_everybody_who_can_be_used_has_label_fold_group_and_clinical_values(tmp_path: Path) -> None:
    paths, records, excerpt = write_cohort(tmp_path, 4, 2, n_folds=2)
    found = assemble.cohort(section(), excerpt, records, paths)
    assert found.labels == {"sub-00": 1, "sub-01": 1, "sub-02": 0, "sub-03": 0}
    assert found.folds == {"sub-00": 1, "sub-01": 2, "sub-02": 1, "sub-03": 2}
    assert found.groups["sub-02"] == "sub-02" and not found.left_out
    assert found.clinical["sub-01"] == [61.0, 6.0, None]


FAULT = {"code": "E111", "path": "a.nii.gz", "values": {"value": "0"}, "participant_id": "", "session_id": ""}


@pytest.mark.parametrize(
    ("given", "without", "reason"),
    [
        ({"max_fd_mm": 5.1}, (), "the head moved 5.1 mm between two frames; expected at most 5 mm"),
        ({"aif": False}, (), "no arterial input function"),
        ({"faults": (FAULT,)}, (), "every voxel is 0; expected an image"),
        ({}, ("PWI_concentration",), "the step perfusion gave no PWI_concentration"),
        ({}, ("PWI_ht",), "haemorrhage is on record, but no mask says where"),
        (None, (), "no perfusion series that could be read"),
    ],
)
def test_who_is_left_out_and_why(
    given: dict[str, Any] | None, without: tuple[str, ...], reason: str, tmp_path: Path
) -> None:
    paths, records, excerpt = write_cohort(tmp_path, 4, 2, n_folds=2)
    if given is None:
        del records["sub-00"]
    else:
        records["sub-00"] = record("sub-00", **given)
    for name in without:
        del paths["sub-00"][name]
    found = assemble.cohort(section(), excerpt, records, paths)
    assert found.left_out == {"sub-00": reason}
    assert sorted(found.labels) == sorted(found.folds) == ["sub-01", "sub-02", "sub-03"]


def test_diffusion_that_does_not_reach_the_brain_leaves_out(tmp_path: Path) -> None:
    paths, records, excerpt = write_cohort(tmp_path, 4, 2, n_folds=2)
    b0 = read_made(paths["sub-03"]["PWI_b0"])
    write_volume(paths["sub-03"]["PWI_b0"], b0.like(np.zeros(b0.data.shape, np.float32)))
    found = assemble.cohort(section(), excerpt, records, paths)
    assert found.left_out == {"sub-03": "PWI_b0 shows nothing in most of the brain"}


@pytest.mark.parametrize(
    ("known", "bleeds", "mask", "expected"),
    [
        (1.0, True, True, (1, "")),
        (None, True, True, (1, "")),
        (None, False, True, (0, "")),
        (0.0, False, False, (0, "")),
        (None, False, False, (None, "neither a label nor a mask of haemorrhage")),
        (0.0, True, True, (None, "no haemorrhage is on record, but the mask holds some")),
        (1.0, False, True, (None, "haemorrhage is on record, but its mask is empty on the PWI grid")),
    ],
)
def test_a_label_and_a_mask_must_agree(
    known: float | None, bleeds: bool, mask: bool, expected: tuple[int | None, str], tmp_path: Path
) -> None:
    paths = write_patient(tmp_path / "sub-1", ht=bleeds, seed=1, without=() if mask else ("PWI_ht",))
    assert assemble.label_of(known, paths) == expected
