from __future__ import annotations

import pytest

from reperfuse.cohort.twins import twins


@pytest.mark.parametrize(("role", "told"), [("gre", True), ("ht", False), ("aif", False), ("lesion", False)])
def test_images_are_one_patients_and_masks_may_be_alike(role: str, told: bool) -> None:
    participants = {sub: {"J1": {role: [[f"{sub}_file.nii.gz", "stamp"]]}} for sub in ("sub-1", "sub-2")}
    assert [fault.code for fault in twins(participants, {})] == ["E124"] * told
