"""Who is shown what: channels on the grid, cells, and a reason for everybody who is left out."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save

from reperfuse.core.errors import Fault, Refusal
from reperfuse.core.files import write_bytes, write_marker
from reperfuse.imaging.pattern import lattice, lesion_share
from reperfuse.imaging.volume import Volume, write_volume
from reperfuse.studies.severity.inputs import NAMES, chunk_inputs, read_inputs
from reperfuse.studies.shown import shown_images

SETTINGS: dict[str, Any] = {
    "channels": ["trace", "lesion"], "space": "native", "grid": {"shape": [10, 16, 14], "spacing_mm": [8, 8, 8]},
    "cell_mm": 8, "leave_out": ["W119", "W122"],
}  # fmt: skip
AFFINE = np.diag([4.0, 4.0, 6.0, 1.0])
AFFINE[:3, 3] = [-40.0, -60.0, -30.0]
SIZE = (20, 24, 12)


def images(*, seed: int = 0, lesion: bool = True) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    brain = np.zeros(SIZE, np.float32)
    brain[3:17, 3:21, 2:10] = 1
    mask = np.zeros(SIZE, np.float32)
    if lesion:
        mask[12:15, 8:12, 4:7] = 1
    trace = brain * (rng.normal(300, 20, SIZE) + 200 * mask)
    return {"trace": trace, "adc": brain * rng.normal(800, 50, SIZE), "brain": brain, "lesion": mask}


class Cohort:
    """Files and records of patients, as earlier steps leave them."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.paths = folder, []
        self.records: dict[str, dict[str, dict[str, Any]]] = {}

    def add(self, who: str, data: Mapping[str, np.ndarray], *faults: Fault, space: str = "") -> None:
        for name, values in data.items():
            path = self.folder / who / f"J0_{name}.nii.gz"
            write_volume(path, Volume(values.astype(np.float32), AFFINE), {})
            self.paths.append(path)
        rows = [{"visit": visit, "session_id": f"ses-{i}"} for i, visit in enumerate(("J0", "J1"), 1)]
        found = [fault.as_dict() for fault in faults]
        self.records[who] = {
            "prepare": {"facts": {}, "faults": [one for one in found if one["code"] == "W119"]},
            "lesions": {
                "facts": {"space": {"J0_lesion": space} if space else {}, "rows": rows},
                "faults": [one for one in found if one["code"] != "W119"],
            },
        }

    def inputs(self, carry: Mapping[str, Any] | None = None, **changed: Any):
        shown = shown_images(self.paths, *NAMES, visits=("J0",))
        return chunk_inputs(shown, self.records, carry or {}, **{**SETTINGS, **changed})


@pytest.fixture
def cohort(tmp_path: Path) -> Cohort:
    return Cohort(tmp_path)


def shifted(image: Volume, visit: str) -> Volume:
    """Stands for the transform: the template's brain lies around (0, -24, 12)."""
    affine = image.affine.copy()
    affine[:3, 3] += [2.0, -8.0, 9.0]
    return Volume(image.data, affine)


def test_channels_are_in_their_order_on_the_grid_in_half_precision(cohort: Cohort) -> None:
    cohort.add("sub-1", images())
    arrays, facts, faults = cohort.inputs(channels=["lesion", "adc", "trace"])
    image = arrays["sub-1/image"]
    assert image.shape == (3, 10, 16, 14) and image.dtype == np.float16
    assert image[0].max() == 1 and image[1].max() > 5 and image[2].max() > 5
    assert image[2][image[0] > 0.9].mean() > image[2][(image[2] > 0) & (image[0] == 0)].mean() + 1
    seen = facts["seen"]["sub-1"]
    assert seen["brain_share"] == seen["lesion_share"] == 1.0 and seen["trace_voxels"] == seen["adc_voxels"]
    assert not facts["left_out"] and not faults and set(arrays) == {"sub-1/image"}  # no way to the template


def test_no_lesion_is_a_lesion_of_zero_even_where_nothing_can_be_carried(cohort: Cohort) -> None:
    cohort.add("sub-1", images(lesion=False))
    arrays, facts, faults = cohort.inputs()
    assert not arrays["sub-1/image"][1].any() and arrays["sub-1/image"][0].any()
    assert arrays["sub-1/cells"].shape == (np.prod(lattice(8)),) and not arrays["sub-1/cells"].any()
    assert not facts["left_out"] and not faults
    alone, _, _ = cohort.inputs(channels=["lesion"], space="template")
    assert not alone["sub-1/image"].any()


def test_in_the_template_images_and_lesion_are_carried_by_the_same_transform(cohort: Cohort) -> None:
    cohort.add("sub-1", images())
    cohort.add("sub-2", images(seed=1))
    arrays, facts, faults = cohort.inputs({"sub-1": shifted}, space="template")
    image = arrays["sub-1/image"].astype(float)
    assert image[0][image[1] > 0.5].mean() > image[0][(image[0] > 0) & (image[1] == 0)].mean() + 1
    mask = shifted(Volume(images()["lesion"], AFFINE), "J0")
    np.testing.assert_array_equal(arrays["sub-1/cells"], lesion_share(mask, cell_mm=8))
    assert facts["left_out"] == {"sub-2": "normalise gave no transform to the template; expected it"}
    assert [(one.code, one.participant_id) for one in faults] == [("E160", "sub-2")]
    assert "sub-2/image" not in arrays and "sub-2/cells" not in arrays


def test_a_lesion_given_in_the_template_needs_neither_brain_nor_transform(cohort: Cohort) -> None:
    cohort.add("sub-1", {"lesion": images()["lesion"]}, space="MNI152")
    arrays, facts, faults = cohort.inputs(channels=["lesion"], space="template")
    assert arrays["sub-1/image"].any() and not faults and facts["seen"]["sub-1"] == {"lesion_share": 1.0}
    cells = lesion_share(Volume(images()["lesion"], AFFINE), cell_mm=8)
    np.testing.assert_array_equal(arrays["sub-1/cells"], cells)
    cohort.add("sub-2", images(), space="MNI152")
    _, facts, faults = cohort.inputs(channels=["trace", "lesion"])
    assert "J0_lesion lies in MNI152" in facts["left_out"]["sub-2"]
    assert [one.code for one in faults] == ["E154"]


@pytest.mark.parametrize(
    ("code", "session", "out"),
    [("W119", "ses-1", True), ("W122", "ses-1", True), ("W119", "ses-2", False), ("W138", "ses-1", False)],
)
def test_findings_on_j0_that_the_configuration_names_leave_out(
    cohort: Cohort, code: str, session: str, out: bool
) -> None:
    values = {"coverage_mm": "40", "n_slices": 8, "minimum_mm": "60"}
    cohort.add("sub-1", images(), Fault(code, "a.nii.gz", values, "sub-1", session))
    arrays, facts, faults = cohort.inputs()
    assert (facts["left_out"].keys() == {"sub-1"}) is out and ("sub-1/image" not in arrays) is out
    assert not faults  # said by the step that found it
    if code == "W119" and out:
        expected = "the image covers 40 mm (8 slices); expected at least 60 mm of brain"
        assert facts["left_out"]["sub-1"] == expected
    arrays, facts, _ = cohort.inputs(leave_out=[])
    assert "sub-1/image" in arrays and not facts["left_out"]


def test_everybody_is_shown_or_has_a_reason(cohort: Cohort) -> None:
    data = images()
    cohort.add("sub-1", data)
    cohort.add("sub-2", {name: data[name] for name in ("adc", "brain", "lesion")})
    cohort.add("sub-3", {name: data[name] for name in ("trace", "lesion")})
    cohort.add("sub-4", {**data, "trace": np.where(data["brain"] > 0, 0, 300)})
    cohort.add("sub-5", {**data, "brain": np.zeros(SIZE)})
    cohort.records["sub-6"] = {}
    arrays, facts, faults = cohort.inputs()
    assert [name for name in arrays if name.endswith("/image")] == ["sub-1/image"]
    assert facts["left_out"] == {
        "sub-2": "no trace of J0", "sub-3": "no brain of J0", "sub-4": "every voxel is 0; expected an image",
        "sub-5": "every voxel is 0; expected an image", "sub-6": "no brain of J0",
    }  # fmt: skip
    assert facts["seen"].keys() == {"sub-1"}
    assert [(one.participant_id, one.code) for one in faults] == [("sub-4", "E111"), ("sub-5", "E111")]


def test_a_grid_that_holds_less_than_half_of_the_brain_leaves_out(cohort: Cohort) -> None:
    cohort.add("sub-1", images())
    _, facts, faults = cohort.inputs(grid={"shape": [2, 16, 14], "spacing_mm": [8, 8, 8]})
    assert facts["left_out"] == {"sub-1": "the grid holds 25 % of the brain; expected at least 50 %"}
    assert [one.code for one in faults] == ["E153"] and not facts["seen"]
    arrays, facts, _ = cohort.inputs(grid={"shape": [5, 16, 14], "spacing_mm": [8, 8, 8]})
    assert 0.5 < facts["seen"]["sub-1"]["brain_share"] < 1 and "sub-1/image" in arrays


def test_a_transform_that_refuses_leaves_only_the_cells_out(cohort: Cohort) -> None:
    def refuses(image: Volume, visit: str) -> Volume:
        raise Refusal("E160", step="normalise", image="transform")

    cohort.add("sub-1", images())
    arrays, facts, faults = cohort.inputs({"sub-1": refuses})
    assert set(arrays) == {"sub-1/image"} and not facts["left_out"] and not faults


def test_what_chunks_wrote_is_read_by_kind_and_markers_are_passed_over(tmp_path: Path) -> None:
    cells = np.arange(4, dtype=np.float32)
    image = np.zeros((1, 2, 2, 2), np.float16)
    write_bytes(tmp_path / "a", save({"sub-1/image": image, "sub-1/cells": cells}))
    write_bytes(tmp_path / "b", save({"sub-x+2/image": image + 1}))
    write_marker(tmp_path / "c")
    found = read_inputs([tmp_path / one for one in "abc"], "image")
    assert found.keys() == {"sub-1", "sub-x+2"} and found["sub-1"].dtype == np.float16
    assert read_inputs([tmp_path / "a", tmp_path / "b"], "cells").keys() == {"sub-1"}
