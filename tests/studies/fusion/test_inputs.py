"""What the fusion study is shown: every contrast in the template, or a reason for each that is not."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import ndimage

from reperfuse.core.errors import Fault, Refusal
from reperfuse.core.files import write_marker
from reperfuse.imaging.network_grid import Grid, input_to_mm
from reperfuse.imaging.template import mni152
from reperfuse.imaging.volume import Volume, write_volume
from reperfuse.studies.fusion.inputs import (
    FAR_MM,
    PLACES,
    chunk_inputs,
    files,
    read_inputs,
    template_mask,
    template_tissue,
    write_inputs,
)
from reperfuse.studies.shown import shown_images

GRID = {"shape": [64, 64, 64], "spacing_mm": [4, 4, 4]}
SETTINGS: dict[str, Any] = {"contrasts": ["trace", "lesion"], "grid": GRID, "leave_out": ["W119"]}
BRAIN = mni152(resolution_mm=4)[1]
INSIDE = template_mask(GRID, BRAIN)
SPOT = np.zeros(BRAIN.data.shape, np.float32)
SPOT[14:18, 28:33, 22:26] = 1


def noise(mean: float, sd: float, seed: int = 0) -> np.ndarray:
    """Return a smooth image of the brain, 0 outside it."""
    field = ndimage.gaussian_filter(np.random.default_rng(seed).normal(0, 8, BRAIN.data.shape), 2)
    return (BRAIN.data * (mean + sd * field)).astype(np.float32)


def images(seed: int = 0) -> dict[str, np.ndarray]:
    return {"J0_trace": noise(300, 20, seed) + 200 * SPOT, "J0_adc": noise(800, 50, seed), "J0_lesion": SPOT}


class Cohort:
    """Files and records of patients, as earlier steps leave them; the patients' space is the template's."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.paths = folder, []
        self.records: dict[str, dict[str, dict[str, Any]]] = {}
        self.carry: dict[str, Any] = {}
        self.asked: list[str] = []

    def add(self, who: str, data: Mapping[str, np.ndarray | Volume], *faults: Fault, space: str = "") -> None:
        for name, values in data.items():
            volume = values if isinstance(values, Volume) else BRAIN.like(values.astype(np.float32))
            path = self.folder / who / f"{name}.nii.gz"
            write_volume(path, volume, {})
            self.paths.append(path)
        rows = [{"visit": "J0", "session_id": "ses-1"}]
        self.records[who] = {
            "prepare": {"facts": {}, "faults": [fault.as_dict() for fault in faults]},
            "lesions": {
                "facts": {"space": {"J0_lesion": space} if space else {}, "rows": rows},
                "faults": [],
            },
        }
        self.carry[who] = self.carried

    def carried(self, image: Volume, where: str) -> Volume:
        """Stands for the transform: on the template's grid, and 0 outside the field of view."""
        self.asked.append(where)
        there = np.round(np.linalg.inv(BRAIN.affine) @ image.affine)[:3, 3].astype(int)
        data = np.zeros(BRAIN.data.shape, np.float32)
        index = np.argwhere(np.ones(image.data.shape, dtype=bool)) + there
        kept = ((index >= 0) & (index < data.shape)).all(axis=1)
        data[tuple(index[kept].T)] = image.data.reshape(-1)[kept]
        return BRAIN.like(data)

    def inputs(self, **changed: Any):
        settings = {**SETTINGS, **changed}
        shown = shown_images(self.paths, *files(settings["contrasts"]), visits=PLACES)
        return chunk_inputs(shown, self.records, self.carry, BRAIN, **settings)


@pytest.fixture
def cohort(tmp_path: Path) -> Cohort:
    return Cohort(tmp_path)


def at(volume_data: np.ndarray) -> np.ndarray:
    """Return an image of the template's grid at the nearest voxel of each voxel of `GRID`."""
    index = np.linalg.inv(BRAIN.affine) @ input_to_mm(Grid.of(GRID), None)
    shape = tuple(GRID["shape"])
    return ndimage.affine_transform(volume_data, index[:3, :3], index[:3, 3], shape, order=0)


def test_contrasts_keep_their_unit_and_are_0_outside_the_templates_brain(cohort: Cohort) -> None:
    cohort.add("sub-1", images())
    arrays, facts, faults = cohort.inputs(contrasts=["trace", "adc", "lesion"])
    assert set(arrays) == {f"sub-1/{name}" for name in ("trace", "adc", "lesion", "lesion_mask")}
    trace, adc, lesion = (arrays[f"sub-1/{name}"] for name in ("trace", "adc", "lesion"))
    assert trace.shape == (64, 64, 64) and trace.dtype == adc.dtype == lesion.dtype == np.float16
    assert not (trace[~INSIDE].any() or adc[~INSIDE].any() or lesion[~INSIDE].any())
    assert 780 < np.median(adc[INSIDE]) < 820 and 290 < np.median(trace[INSIDE]) < 310
    spot = at(SPOT) > 0.5
    assert trace[spot].astype(float).mean() > 440 and arrays["sub-1/lesion_mask"].dtype == np.uint8
    both = (arrays["sub-1/lesion_mask"] > 0) & spot
    assert 2 * both.sum() / (arrays["sub-1/lesion_mask"].sum() + spot.sum()) > 0.8
    # The rim is the mean over what lies inside: background is not mixed into it.
    rim = INSIDE & ~ndimage.binary_erosion(INSIDE)
    assert adc[rim & (adc > 0)].min() > 500
    assert facts["seen"]["sub-1"]["adc"] == np.count_nonzero(adc) > 0.95 * INSIDE.sum()
    assert not facts["left_out"] and not facts["missing"] and not faults


def test_each_contrast_is_carried_from_the_space_that_it_lies_in(cohort: Cohort) -> None:
    names = ("J0_adc", "J0_flair", "J0_t1w", "J0_gre", "PWI_tmax", "PWI_mtt", "J0_map_fa")
    data = {name: noise(500, 30, seed) for seed, name in enumerate(names)}
    cohort.add("sub-1", data | {"space-MNI_jacobian": np.where(SPOT > 0, 1.5, 0.9)})
    contrasts = ["adc", "flair", "t1w", "gre", "tmax", "mtt", "fa", "jac"]
    arrays, facts, faults = cohort.inputs(contrasts=contrasts)
    assert set(arrays) == {f"sub-1/{one}" for one in contrasts} and not faults
    spaces = ["J0", "J0_flair", "J0_t1w", "J0_gre", "J0_pwi", "J0_pwi", "J0_map_fa"]
    assert cohort.asked == [space for space in spaces for _ in range(2)]  # values and where there are any
    jac = arrays["sub-1/jac"].astype(float)
    assert np.median(jac[INSIDE]) == pytest.approx(0.9, abs=1e-3) and jac.max() == pytest.approx(1.5, 0.01)
    assert facts["missing"] == {}


def test_perfusion_maps_count_where_curves_could_be_used(cohort: Cohort) -> None:
    valid = BRAIN.data.astype(np.float32)
    valid[: valid.shape[0] // 3] = 0
    tmax = np.where(valid > 0, 3 + noise(0, 1), 90)
    cohort.add("sub-1", {"PWI_tmax": tmax, "PWI_valid": valid})
    arrays, facts, _ = cohort.inputs(contrasts=["tmax"])
    assert 0 < arrays["sub-1/tmax"].max() < 10
    assert facts["seen"]["sub-1"]["tmax"] == pytest.approx((INSIDE & (at(valid) > 0.5)).sum(), rel=0.05)


def test_distance_grows_from_the_lesion_and_is_beyond_any_range_without_one(cohort: Cohort) -> None:
    cohort.add("sub-1", {"J0_lesion": SPOT})
    cohort.add("sub-2", {"J0_lesion": 0 * SPOT})
    arrays, facts, faults = cohort.inputs(contrasts=["lesion", "lesion_distance"])
    distance = arrays["sub-1/lesion_distance"].astype(float)
    wanted = at(ndimage.distance_transform_edt(SPOT == 0, sampling=BRAIN.zooms).astype(np.float32))
    off = np.abs(distance - wanted)[INSIDE & (at(np.ones_like(SPOT)) > 0)]
    assert off.max() < 8 and off.mean() < 2
    assert (arrays["sub-2/lesion_distance"][INSIDE] == FAR_MM).all()
    assert not arrays["sub-2/lesion"].any() and not arrays["sub-2/lesion_mask"].any()
    assert not faults and not facts["left_out"]


def test_a_lesion_given_in_the_template_needs_no_transform(cohort: Cohort) -> None:
    cohort.add("sub-1", {"J0_lesion": SPOT}, space="MNI152")
    cohort.carry.clear()
    arrays, facts, faults = cohort.inputs(contrasts=["lesion"])
    share = arrays["sub-1/lesion"].astype(float)
    assert share.sum() == pytest.approx(SPOT.sum(), rel=0.03) and share.max() <= 1
    assert set(facts["seen"]) == {"sub-1"} and not faults and not facts["missing"]


def test_a_lesion_smaller_than_the_templates_voxels_has_a_distance(cohort: Cohort) -> None:
    affine = np.diag([1.0, 1.0, 1.0, 1.0])
    affine[:3, 3] = (BRAIN.affine @ [16, 30, 24, 1])[:3]
    mask = np.zeros((9, 9, 9), np.float32)
    mask[4, 4, 4] = 1
    cohort.add("sub-1", {"J0_lesion": Volume(mask, affine)}, space="MNI152")
    arrays, _, _ = cohort.inputs(contrasts=["lesion_distance"])
    assert 0 <= arrays["sub-1/lesion_distance"][INSIDE].min() < 4


@pytest.mark.parametrize("absent", ["flair", "tmax", "jac", "fa"])
def test_a_contrast_that_is_not_there_counts_as_missing_and_the_others_go_on(
    cohort: Cohort, absent: str
) -> None:
    cohort.add("sub-1", images())
    arrays, facts, faults = cohort.inputs(contrasts=["trace", absent, "lesion"])
    assert "sub-1/trace" in arrays and f"sub-1/{absent}" not in arrays
    assert facts["missing"] == {"sub-1": {absent: f"no {absent} of J0"}} and not facts["left_out"]
    assert not faults  # `prepare` and the index have said so


@pytest.mark.parametrize("value", [0, 7])
def test_a_constant_image_counts_as_missing(cohort: Cohort, value: float) -> None:
    cohort.add("sub-1", images() | {"J0_map_fa": np.full(BRAIN.data.shape, value)})
    arrays, facts, faults = cohort.inputs(contrasts=["trace", "fa"])
    assert "sub-1/fa" not in arrays and "sub-1/trace" in arrays
    assert [(one.code, one.participant_id, one.path) for one in faults] == [("E111", "sub-1", "J0_map_fa")]
    assert facts["missing"]["sub-1"]["fa"] == f"every voxel is {value}; expected an image"


def test_a_map_whose_header_puts_it_beside_the_brain_counts_as_missing(cohort: Cohort) -> None:
    away = BRAIN.affine.copy()
    away[:3, 3] += [-100, 0, 0]
    cohort.add("sub-1", images() | {"J0_map_fa": Volume(noise(0.4, 0.1), away)})
    arrays, facts, faults = cohort.inputs(contrasts=["trace", "fa"])
    assert "sub-1/fa" not in arrays and "sub-1/trace" in arrays
    assert [one.code for one in faults] == ["E155"]
    found = facts["missing"]["sub-1"]["fa"]
    assert found.startswith("J0_map_fa holds values in ") and "expected at least 50 %" in found


def test_a_lesion_beside_the_brain_is_not_taken(cohort: Cohort) -> None:
    beside = np.zeros_like(SPOT)
    beside[:3, :3, :3] = 1
    cohort.add("sub-1", images() | {"J0_lesion": beside}, space="MNI152")
    arrays, facts, faults = cohort.inputs(contrasts=["trace", "lesion"])
    assert set(arrays) == {"sub-1/trace"}
    assert [one.code for one in faults] == ["E156"]
    assert facts["missing"]["sub-1"]["lesion"].startswith("0 % of J0_lesion lie in the template's brain")


def test_who_could_not_be_normalised_is_left_out_with_one_finding(cohort: Cohort) -> None:
    cohort.add("sub-1", images())
    del cohort.carry["sub-1"]
    arrays, facts, faults = cohort.inputs(contrasts=["trace", "adc", "lesion"])
    assert not arrays and [one.code for one in faults] == ["E160"]
    assert facts["left_out"] == {"sub-1": "normalise gave no transform to the template; expected it"}


def test_an_image_that_could_not_be_aligned_is_missing(cohort: Cohort) -> None:
    def refuses(image: Volume, where: str) -> Volume:
        if where == "J0_flair":
            raise Refusal("E160", step="register", image="alignment of J0_flair")
        return cohort.carried(image, where)

    cohort.add("sub-1", images() | {"J0_flair": noise(400, 40)})
    cohort.carry["sub-1"] = refuses
    arrays, facts, faults = cohort.inputs(contrasts=["trace", "flair"])
    assert "sub-1/trace" in arrays and [one.code for one in faults] == ["E160"]
    assert facts["missing"]["sub-1"]["flair"].startswith("register gave no alignment of J0_flair")


def test_findings_that_the_configuration_names_leave_out(cohort: Cohort) -> None:
    values = {"coverage_mm": "40", "n_slices": 8, "minimum_mm": "60"}
    cohort.add("sub-1", images(), Fault("W119", "a.nii.gz", values, "sub-1", "ses-1"))
    arrays, facts, faults = cohort.inputs()
    assert not arrays and not faults and "the image covers 40 mm" in facts["left_out"]["sub-1"]
    arrays, facts, _ = cohort.inputs(leave_out=[])
    assert "sub-1/trace" in arrays and not facts["left_out"]


@pytest.mark.parametrize("scale", [1e-8, 1e3])
def test_values_that_half_precision_would_lose_are_kept(cohort: Cohort, scale: float) -> None:
    cohort.add("sub-1", {"J0_map_md": noise(800, 50) * scale})
    array = cohort.inputs(contrasts=["md"])[0]["sub-1/md"]
    assert array.dtype == np.float32 and np.isfinite(array).all()
    assert np.median(array[INSIDE]) == pytest.approx(800 * scale, rel=0.05)


def test_what_a_chunk_wrote_is_read_by_patient_and_markers_are_passed_over(
    cohort: Cohort, tmp_path: Path
) -> None:
    cohort.add("sub-1", images())
    cohort.add("sub-x+2", images(1))
    arrays, _, _ = cohort.inputs()
    write_inputs(tmp_path / "a", arrays)
    write_marker(tmp_path / "b")
    found = read_inputs([tmp_path / "a", tmp_path / "b"])
    assert found.keys() == {"sub-1", "sub-x+2"}
    assert found["sub-1"].keys() == {"trace", "lesion", "lesion_mask"}
    np.testing.assert_array_equal(found["sub-x+2"]["trace"], arrays["sub-x+2/trace"])


def test_mask_and_tissue_of_the_template() -> None:
    volume = INSIDE.sum() * 4**3 / 1000
    assert volume == pytest.approx(BRAIN.data.sum() * BRAIN.voxel_ml, rel=0.06)
    tissue = template_tissue(GRID, BRAIN)
    assert tissue is not None and tissue.keys() == {"grey", "white"}
    grey, white = tissue["grey"], tissue["white"]
    assert not (grey & white).any() and 0.3 < grey.sum() / INSIDE.sum() < 0.8
    assert (grey & ~INSIDE).sum() < 0.05 * grey.sum() and 0.15 < white.sum() / INSIDE.sum() < 0.5
    # Grey matter lies around white matter: farther from the middle of the brain.
    middle = np.argwhere(INSIDE).mean(axis=0)
    far = [np.linalg.norm(np.argwhere(one) - middle, axis=1).mean() for one in (grey, white)]
    assert far[0] > far[1]
    other = Volume(BRAIN.data, BRAIN.affine + np.eye(4) * [[1], [1], [1], [0]])
    assert template_tissue(GRID, other) is None
