"""Every lesion mask of one patient: what counts, what is measured, what a failure leaves standing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import yaml

from reperfuse.core.errors import ConfigError, Refusal
from reperfuse.imaging.atlas import Atlas, make_atlas, read_atlas
from reperfuse.imaging.given import GivenMask
from reperfuse.imaging.patient_lesions import PatientLesions, lesions_of_patient
from reperfuse.imaging.volume import Volume

SCHEMAS = Path(__file__).resolve().parents[2] / "workflow/schemas"
SECTION = yaml.safe_load((SCHEMAS / "lesions.schema.yaml").read_text(encoding="utf-8"))
DEFAULTS = {key: part["default"] for key, part in SECTION["properties"].items()}
SHAPE = (40, 44, 10)
SESSIONS = {"J0": "01", "J1": "02"}
KEPT = ("adc480_raw", "adc480", "adc620_raw", "adc620")
MEASURED = (*KEPT, "adcp1")  # the percentile has rows and no image


def grid(flip: bool = True) -> np.ndarray:
    size = np.array([-3.0 if flip else 3.0, 3.0, 6.0])
    affine = np.diag([*size, 1.0])
    affine[:3, 3] = -size * (np.array(SHAPE) - 1) / 2 + [4.0, 0.0, 0.0]
    return affine


def across(affine: np.ndarray) -> np.ndarray:
    return (np.arange(SHAPE[0]) * affine[0, 0] + affine[0, 3])[:, None, None] * np.ones(SHAPE)


def visit(name: str, *, extent: int, flip: bool = True) -> dict[str, Volume]:
    """A head centred at x = 4 mm with a lesion of ``extent`` × 4 × 2 voxels (54 mm³ each), left."""
    affine = grid(flip)
    brain = np.zeros(SHAPE, bool)
    brain[4:36, 4:40, 1:9] = True
    adc = np.where(brain, 800.0, 0).astype(np.float32)
    trace = np.where(brain, np.random.default_rng(3).normal(100, 5, SHAPE), 0).astype(np.float32)
    where = np.zeros(SHAPE, bool)
    start = 25 if flip else 15 - extent
    where[start : start + extent, 10:14, 4:6] = True
    adc[where], trace[where] = 450, 250
    volumes = {"adc": Volume(adc, affine), "trace": Volume(trace, affine), "brain": Volume(brain, affine)}
    return {f"{name}_{role}": volume for role, volume in volumes.items()}


def run(
    images: dict[str, Volume],
    given: dict[str, GivenMask] | None = None,
    atlases: dict[str, Atlas] | None = None,
    to_template: Any = None,
    **changed: Any,
) -> PatientLesions:
    settings = {**DEFAULTS, **changed}
    return lesions_of_patient(
        images, given or {}, atlases or {}, refused=(), sessions=SESSIONS, to_template=to_template, **settings
    )


def hemispheres() -> Atlas:
    affine = grid()
    labels = np.where(across(affine) < 0, 1, 2).astype(np.float32)
    return make_atlas(Volume(labels, affine), {1: ("left half",), 2: ("right half",)}, path="h.nii.gz")[0]


def codes(result: PatientLesions) -> list[str]:
    return [fault.code for fault in result.faults]


@pytest.mark.parametrize("flip", [False, True])
def test_both_visits_have_masks_volumes_sides_and_growth(flip: bool) -> None:
    result = run({**visit("J0", extent=5, flip=flip), **visit("J1", extent=8, flip=flip)})
    assert list(result.images) == [
        f"{v}_{name}" for v in SESSIONS for name in ("adc480raw", "adc480", "adc620raw", "adc620", "lesion")
    ]
    assert [(row["session_id"], row["visit"], row["criterion"]) for row in result.rows] == [
        (session, v, c) for v, session in SESSIONS.items() for c in MEASURED
    ]
    for row in result.rows:
        assert row["volume_ml"] == pytest.approx((5 if row["visit"] == "J0" else 8) * 8 * 0.054)
        assert row["log1p_volume"] == pytest.approx(np.log1p(row["volume_ml"]))
        assert (row["n_components"], row["side"], row["dice_given"]) == (1, "left", None)
    assert result.facts["lesion"] == {"J0": "adc620", "J1": "adc620"}
    assert result.facts["growth_ml"] == pytest.approx(dict.fromkeys(MEASURED, 3 * 8 * 0.054))
    assert result.facts["rows"] == result.rows and result.facts["loads"] == []
    assert result.faults == []
    assert result.images["J0_lesion"].data.dtype == bool
    json.dumps(result.facts, allow_nan=False)


def test_a_given_mask_takes_the_place_of_the_thresholded_one() -> None:
    images = visit("J0", extent=5)
    mask = np.zeros(SHAPE, bool)
    mask[25:29, 10:14, 4:6] = True
    given = GivenMask(Volume(mask, grid()), "derivatives/manual/sub-1_mask.nii.gz", "")
    result = run(images, {"J0": given})
    assert np.array_equal(result.images["J0_lesion"].data, mask)
    assert result.images["J0_adc620"].data.sum() == 40
    assert result.facts["lesion"] == {"J0": "given (derivatives/manual/sub-1_mask.nii.gz)"}
    by_criterion = {row["criterion"]: row for row in result.rows}
    assert by_criterion["given"]["volume_ml"] == pytest.approx(32 * 0.054)
    assert by_criterion["given"]["dice_given"] is None
    assert by_criterion["adc620"]["dice_given"] == pytest.approx(2 * 32 / (40 + 32))
    json.dumps(result.facts, allow_nan=False)


def test_a_given_mask_of_another_space_is_refused_and_no_threshold_takes_its_place() -> None:
    given = GivenMask(Volume(np.ones((4, 4, 4), bool), np.eye(4)), "derivatives/x/mask.nii.gz", "T1w")
    result = run(visit("J0", extent=5), {"J0": given})
    assert codes(result) == ["E120"] and "space-T1w" in result.faults[0].sentence
    assert result.faults[0].session_id == "01" and result.faults[0].path == "derivatives/x/mask.nii.gz"
    assert "J0_lesion" not in result.images and result.facts["lesion"] == {}
    assert [row["criterion"] for row in result.rows] == list(MEASURED)


def test_a_given_mask_on_a_grid_that_does_not_fit_is_refused_with_its_file() -> None:
    given = GivenMask(
        Volume(np.ones((9, 9, 9), bool), np.diag([7.0, 7.0, 7.0, 1.0])), "derivatives/x/mask.nii.gz", ""
    )
    result = run(visit("J0", extent=5), {"J0": given})
    assert codes(result) == ["E120"] and result.faults[0].path == "derivatives/x/mask.nii.gz"
    assert "J0_lesion" not in result.images


def test_a_mask_in_the_template_needs_no_other_image() -> None:
    affine = grid()
    mask = (across(affine) > 10) & (across(affine) < 25)
    given = {"J0": GivenMask(Volume(mask, affine), "sub-1_space-MNI152Lin_mask.nii.gz", "MNI152Lin")}
    result = run({}, given, {"halves": hemispheres()})
    [row] = result.rows
    assert (row["criterion"], row["side"], row["dice_given"]) == ("given", "right", None)
    assert row["volume_ml"] == pytest.approx(mask.sum() * 0.054)
    left, right = result.facts["loads"]
    assert (left["visit"], left["atlas"], left["label"], left["side"]) == ("J0", "halves", 1, "left")
    assert left["volume_ml"] == 0 and right["volume_ml"] == pytest.approx(row["volume_ml"])
    assert result.faults == [] and list(result.images) == ["J0_lesion"]


def test_native_lesions_are_brought_to_the_template_for_their_loads() -> None:
    seen: list[str] = []

    def shifted(mask: Volume, which: str) -> Volume:
        seen.append(which)
        affine = mask.affine.copy()
        affine[0, 3] += 60  # to the other side
        return Volume(mask.data.astype(np.float32), affine)

    result = run(visit("J1", extent=5), atlases={"halves": hemispheres()}, to_template=shifted)
    assert seen == ["J1"] and result.faults == []
    assert [load["volume_ml"] for load in result.facts["loads"]] == pytest.approx([0, 40 * 0.054])


def test_without_a_way_to_the_template_only_the_loads_are_missing() -> None:
    def refuses(mask: Volume, which: str) -> Volume:
        raise Refusal("E160", step="normalise", image="xfm_affine")

    images = visit("J0", extent=5)
    absent = run(images, atlases={"halves": hemispheres()})
    assert codes(absent) == ["W160"] and absent.facts["loads"] == []
    assert len(absent.rows) == len(MEASURED)
    refused = run(images, atlases={"halves": hemispheres()}, to_template=refuses)
    assert codes(refused) == ["E160"] and "J0_lesion" in refused.images


def test_an_empty_lesion_is_valid() -> None:
    result = run(
        visit("J0", extent=0), atlases={"halves": hemispheres()}, to_template=lambda mask, which: mask
    )
    for row in result.rows:
        assert (row["volume_ml"], row["log1p_volume"], row["n_components"], row["side"]) == (0, 0, 0, "n/a")
    assert result.faults == [] and not result.images["J0_lesion"].data.any()
    assert [load["volume_ml"] for load in result.facts["loads"]] == [0, 0]
    empty = GivenMask(Volume(np.zeros(SHAPE, bool), grid()), "empty", "")
    assert run(visit("J0", extent=0), {"J0": empty}).rows[0]["dice_given"] == 1.0


@pytest.mark.parametrize("missing", ["brain", "adc"])
def test_one_visit_s_failure_does_not_stop_the_other(missing: str) -> None:
    images = {**visit("J0", extent=5), **visit("J1", extent=8)}
    del images[f"J0_{missing}"]
    result = run(images)
    [fault] = result.faults
    assert (fault.code, fault.session_id) == ("E160", "01") and f"J0_{missing}" in fault.sentence
    assert {row["visit"] for row in result.rows} == {"J1"} and result.facts["growth_ml"] == {}


def test_without_a_trace_image_the_masks_are_made_and_it_is_said() -> None:
    images = visit("J0", extent=5)
    del images["J0_trace"]
    result = run(images)
    assert codes(result) == ["W124"] and len(result.rows) == len(MEASURED)


def test_percentiles_are_measured_and_not_kept_and_need_both_hemispheres() -> None:
    images = visit("J0", extent=5)
    result = run(images, percentiles=[1, 2.5])
    assert [row["criterion"] for row in result.rows] == [*KEPT, "adcp1", "adcp2.5"]
    assert set(result.images) == {f"J0_{name.replace('_', '')}" for name in (*KEPT, "lesion")}
    assert [row["criterion"] for row in run(images, percentiles=[]).rows] == list(KEPT)
    with pytest.raises(ConfigError, match="adcp1"):
        run(images, lesion_criterion="adcp1")  # without an image it cannot be what counts


def test_trace_and_brain_on_other_grids_are_brought_to_the_adc_map() -> None:
    images = visit("J0", extent=5)
    expected = run(images).images["J0_adc620"].data
    for role in ("J0_trace", "J0_brain"):
        flipped = np.diag([-1.0, 1.0, 1.0, 1.0])
        flipped[0, 3] = SHAPE[0] - 1
        stored = images[role].data[::-1].astype(np.float32)  # as read from a file
        images[role] = Volume(stored, images[role].affine @ flipped)
    assert np.array_equal(run(images).images["J0_adc620"].data, expected)


def test_an_implausible_lesion_is_told() -> None:
    images = visit("J0", extent=5)
    result = run(images, {"J0": GivenMask(images["J0_brain"], "m", "")})
    assert codes(result) == ["W122"]
    outside = Volume(~images["J0_brain"].data & (np.indices(SHAPE)[0] < 4), grid())
    assert codes(run(images, {"J0": GivenMask(outside, "m", "")})) == ["W122"]


def test_other_images_make_no_visit() -> None:
    images = visit("J0", extent=5)
    result = run({**images, "space-J0_adc": images["J0_adc"], "J1_flair": images["J0_adc"]})
    assert {row["visit"] for row in result.rows} == {"J0"} and result.faults == []


def test_another_criterion_can_count_and_must_be_known() -> None:
    result = run(visit("J0", extent=5), lesion_criterion="adc480_raw")
    assert result.facts["lesion"] == {"J0": "adc480_raw"}
    with pytest.raises(ConfigError, match="adc620"):
        run(visit("J0", extent=5), lesion_criterion="adc700")


def test_the_schema_states_where_each_value_comes_from() -> None:
    assert SECTION["additionalProperties"] is False
    for part in SECTION["properties"].values():
        assert part["x-source"] in ("stated", "assumed", "measured")
        assert part["description"]


def test_masks_in_the_template_lie_where_the_arterial_atlas_says(real_data: Path) -> None:
    folder = real_data / "soop/atlas"
    atlas, _ = read_atlas(folder / "ArterialAtlas136.nii.gz", folder / "ArterialAtlas136.txt")
    sides = set()
    for subject in ("sub-100", "sub-1001", "sub-1003", "sub-1004", "sub-1005"):
        name = f"{subject}_space-MNI152Lin_label-L_mask.nii.gz"
        image = nib.load(real_data / "soop" / subject / "dwi" / name)
        mask = Volume(np.asarray(image.dataobj) > 0.5, image.affine)
        result = run({}, {"J0": GivenMask(mask, name, "MNI152Lin")}, {"arterial": atlas})
        [row] = result.rows
        found = {"left": 0.0, "right": 0.0}
        for load in result.facts["loads"]:
            found[load["side"]] += load["volume_ml"]
        assert sum(found.values()) <= row["volume_ml"] + 1e-9
        if row["side"] != "both":
            assert found[row["side"]] >= 0.8 * sum(found.values()) > 0
        sides.add(row["side"])
    assert len(sides) > 1
