from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import ants
import nibabel as nib
import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from reperfuse.imaging import ants_engine
from reperfuse.imaging.alignment_quality import dice, nmi, target_error_mm
from reperfuse.imaging.grids import (
    centre_mm,
    compose,
    invert,
    itk_text,
    read_itk_text,
    resample,
    rigid_matrix,
    rotation_deg,
    transform_points,
)
from reperfuse.imaging.patient_registration import register_patient
from reperfuse.imaging.registration import Alignment, rigid
from reperfuse.imaging.rigid_fit import coarsen
from reperfuse.imaging.volume import Volume

ROOT = Path(__file__).resolve().parents[2]
DATA = Path(os.environ.get("REPERFUSE_DATA", ROOT.parent / "shared" / "data")) / "acute-dwi"
SCHEMA = yaml.safe_load((ROOT / "workflow/schemas/register.schema.yaml").read_text(encoding="utf-8"))
DEFAULTS = {name: rule["default"] for name, rule in SCHEMA["properties"].items()}
SETTINGS = {name: value for name, value in DEFAULTS.items() if not name.startswith("starts_")}
STARTS = DEFAULTS["starts_between"]


def head() -> tuple[Volume, Volume, np.ndarray]:
    """Return two contrasts of one small head (left and right differ) and its brain mask."""
    affine = np.diag([3.6, 3.6, 5.0, 1.0])
    affine[:3, 3] = [-80.0, -95.0, -50.0]
    grid = Volume(np.zeros((46, 54, 26), np.float32), affine)
    mm = np.moveaxis(np.indices(grid.data.shape), 0, -1) @ affine[:3, :3].T + affine[:3, 3]

    def blob(centre: tuple[float, ...], radii: tuple[float, ...]) -> np.ndarray:
        return (((mm - centre) / radii) ** 2).sum(-1) < 1

    skull, brain = blob((0, 0, 5), (70, 85, 60)), blob((0, 0, 5), (60, 74, 50))
    parts = {
        (60.0, 30.0): skull,
        (110.0, 180.0): brain,
        (200.0, 60.0): blob((-14, 8, 12), (9, 28, 14)) | blob((14, 8, 12), (7, 24, 12)),
        (140.0, 240.0): blob((-34, -20, 20), (14, 20, 16)),
        (90.0, 120.0): blob((26, 34, -8), (16, 12, 20)),
        (170.0, 90.0): blob((8, -50, -18), (30, 14, 12)),
    }
    noise = np.random.default_rng(5)
    images = []
    for contrast in (0, 1):
        data = np.zeros(grid.data.shape)
        for values, where in parts.items():
            data[where] = values[contrast]
        data = ndimage.gaussian_filter(data, 0.7) + noise.normal(0, 3, data.shape)
        images.append(grid.like(np.abs(data).astype(np.float32)))
    return images[0], images[1], brain


B0, DWI, BRAIN = head()
CENTRE = centre_mm(B0, BRAIN)
SHIFTED = rigid_matrix([4.0, -3.0, 6.0], [9.0, -6.0, 5.0], CENTRE)


def moved(volume: Volume, truth: np.ndarray, interpolation: Any = "bspline") -> Volume:
    """Return the image for which ``truth`` is the matrix from the old one to it."""
    return resample(volume, volume, invert(truth), interpolation=interpolation)


def align(fixed: Volume, moving: Volume, **changes: Any) -> Alignment:
    given_ = {"fixed_mask": BRAIN, "moving_mask": None, "fixed_name": "J0_s0", "moving_name": "J1_s0"}
    return rigid(fixed, moving, **{**given_, **SETTINGS, "starts": STARTS, "mirror_margin": None, **changes})


# Matrices and grids


def test_composing_maps_points_in_order_and_inverting_undoes_it() -> None:
    a = rigid_matrix([10, 20, 30], [1, 2, 3], [5, 5, 5])
    b = rigid_matrix([-5, 0, 7], [0, -9, 1], [0, 0, 0])
    points = np.random.default_rng(0).normal(size=(7, 3)) * 50
    chained = transform_points(b, transform_points(a, points))
    assert np.allclose(transform_points(compose(a, b), points), chained)
    assert np.allclose(compose(a, b, invert(b), invert(a)), np.eye(4))


@given(st.floats(-170, 170), st.sampled_from([0, 1, 2]))
def test_rotation_angle_is_read_back(angle: float, axis: int) -> None:
    angles = np.zeros(3)
    angles[axis] = angle
    assert rotation_deg(rigid_matrix(angles, np.zeros(3), np.ones(3))) == pytest.approx(abs(angle), abs=1e-4)


def test_a_positive_turn_about_z_takes_right_to_anterior() -> None:
    matrix = rigid_matrix([0, 0, 90], [0, 0, 0], [0, 0, 0])
    assert np.allclose(transform_points(matrix, np.array([[1.0, 0, 0]])), [[0, 1, 0]])


def test_itk_text_is_read_by_ants_as_the_same_map_in_lps(tmp_path: Path) -> None:
    path = tmp_path / "x.txt"
    path.write_text(itk_text(SHIFTED), encoding="ascii")
    transform = ants.read_transform(str(path))
    point = np.array([12.0, -34.0, 5.0])
    found = np.array(transform.apply_to_point((point * [-1, -1, 1]).tolist())) * [-1, -1, 1]
    assert np.allclose(found, transform_points(SHIFTED, point[None])[0], atol=1e-9)
    assert np.allclose(read_itk_text(itk_text(SHIFTED)), SHIFTED, atol=1e-12)


def test_resampling_agrees_with_ants_on_a_left_handed_grid() -> None:
    flipped = B0.affine.copy()
    flipped[0] *= -1
    moving = Volume(B0.data, flipped)
    like = Volume(np.zeros((30, 40, 20), np.float32), np.diag([4.0, 4.0, 5.0, 1.0]) + 0.0)
    like.affine[:3, 3] = [-55, -80, -40]
    ours = resample(moving, like, SHIFTED, interpolation="linear").data
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "x.txt")
        path.write_text(itk_text(SHIFTED), encoding="ascii")
        pair = ants_engine.to_ants(like), ants_engine.to_ants(moving)
        theirs = ants.apply_transforms(*pair, [str(path)]).numpy()
    inner = (slice(2, -2),) * 3
    assert theirs[inner].max() > 100
    assert np.abs(ours[inner] - theirs[inner]).max() < 0.05


def test_resampling_with_the_identity_changes_nothing() -> None:
    for interpolation in ("linear", "nearest"):
        assert np.array_equal(resample(B0, B0, np.eye(4), interpolation=interpolation).data, B0.data)
    mask = resample(B0.like(BRAIN), B0, np.eye(4), interpolation="linear").data
    assert mask.dtype == bool and np.array_equal(mask, BRAIN)


def test_outside_the_field_of_view_is_zero() -> None:
    shift = np.eye(4)
    shift[0, 3] = 10 * 3.6
    found = resample(B0.like(np.ones(B0.data.shape, np.float32)), B0, shift, interpolation="linear").data
    assert (found[:-10] == 1).all() and (found[-10:] == 0).all()


def test_empty_voxels_do_not_lower_the_rim_of_an_adc_map() -> None:
    adc = B0.like(np.where(BRAIN, 800, 0).astype(np.float32))
    plain = resample(adc, B0, SHIFTED, interpolation="linear").data
    kept = resample(adc, B0, SHIFTED, interpolation="linear", valid=adc.data > 0).data
    assert np.count_nonzero((plain > 1) & (plain < 620)) > 500
    assert np.allclose(kept[kept > 0], 800, atol=0.1)
    assert kept.min() == 0


def test_coarsening_keeps_the_place_of_things() -> None:
    fine = Volume(B0.data, np.diag([0.9, 1.0, 5.0, 1.0]))
    mask = coarsen(fine.like(BRAIN), 2.0)
    assert mask.zooms == pytest.approx((1.8, 2.0, 5.0)) and mask.data.dtype == bool
    assert np.allclose(centre_mm(mask, mask.data), centre_mm(fine, BRAIN), atol=0.1)
    assert coarsen(fine, 2.0).data.mean() == pytest.approx(fine.data.mean(), rel=0.01)
    assert coarsen(fine, 0.5) is fine


def test_one_hot_corner_does_not_spoil_a_fit() -> None:
    spoilt = B0.data.copy()
    spoilt[:5, :5, :5] = 1e6
    found = align(DWI, moved(B0.like(spoilt), SHIFTED, "linear"))
    assert target_error_mm(found.matrix, SHIFTED, B0, BRAIN) < 1.0


# Quality


def test_nmi_is_two_for_the_same_and_one_for_unrelated_images() -> None:
    rng = np.random.default_rng(1)
    a, b = rng.normal(size=(2, 10_000))
    assert nmi(a, a, bins=32) == pytest.approx(2.0, abs=0.05)
    assert nmi(a, b, bins=32) == pytest.approx(1.0, abs=0.005)
    assert nmi(a, -3 * a + 2, bins=32) > 1.8


def test_dice_by_hand() -> None:
    a, b = np.zeros(10, bool), np.zeros(10, bool)
    a[:4], b[2:8] = True, True
    assert dice(a, b) == pytest.approx(2 * 2 / (4 + 6))


# Fits


def test_a_known_shift_between_two_contrasts_is_recovered() -> None:
    moving_mask = resample(B0.like(BRAIN), B0, invert(SHIFTED), interpolation="nearest").data
    found = align(DWI, moved(B0, SHIFTED), moving_mask=moving_mask)
    assert found.accepted and found.faults == () and found.start == STARTS[0]
    assert target_error_mm(found.matrix, SHIFTED, B0, BRAIN) < 1.0
    quality = found.quality
    assert quality is not None and quality.brain_dice is not None
    assert quality.brain_dice > 0.95
    assert quality.nmi_after > quality.nmi_before + 0.05
    assert quality.translation_mm == pytest.approx(np.linalg.norm([9, 6, 5]), abs=1.5)
    assert quality.rotation_deg == pytest.approx(rotation_deg(SHIFTED), abs=2)
    assert np.linalg.det(found.matrix[:3, :3]) == pytest.approx(1, abs=1e-4)


def test_a_stripped_map_is_aligned_with_a_whole_head_both_ways() -> None:
    bare = DWI.like(np.where(BRAIN, DWI.data, 0))
    for fixed, moving in ((bare, B0), (B0, bare)):
        found = align(fixed, moved(moving, SHIFTED))
        assert target_error_mm(found.matrix, SHIFTED, B0, BRAIN) < 2.0


def test_two_calls_and_two_processes_agree_to_the_bit() -> None:
    moving = moved(B0, SHIFTED)
    first, second = (align(DWI, moving).matrix for _ in range(2))
    assert first.tobytes() == second.tobytes()
    code = (
        "import sys; sys.path.insert(0, 'tests/imaging'); import test_registration as t;"
        "print(t.align(t.DWI, t.moved(t.B0, t.SHIFTED)).matrix.tobytes().hex())"
    )
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT / "workflow"),
        "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS": "2",
    }
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True, check=True
    )
    assert run.stdout.split()[-1] == first.tobytes().hex()


def test_nothing_is_left_in_the_temporary_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    align(DWI, B0, iterations=[2, 1], shrink_factors=[4, 2], smoothing_mm=[4, 2])
    assert list(tmp_path.iterdir()) == []


def test_noise_is_refused_after_every_start_and_the_fault_says_why() -> None:
    noise = np.random.default_rng(3).normal(100, 30, B0.data.shape)
    found = align(DWI, B0.like(ndimage.gaussian_filter(noise, 1).astype(np.float32)), iterations=[9, 9, 9, 0])
    assert not found.accepted and found.start == STARTS[-1]
    (fault,) = found.faults
    assert fault.code == "E150" and fault.excludes
    assert "J1_s0 could not be aligned with J0_s0 (the normalised mutual information is 1.0" in fault.sentence


def test_another_start_is_tried_where_the_first_fails() -> None:
    # A brain mask that took a corner of the image for the brain leads the centres of mass astray.
    stray = np.zeros(BRAIN.shape, dtype=bool)
    stray[:6, :6, :6] = True
    found = align(DWI, B0, moving_mask=stray, min_dice=0, starts=["centre of mass", "identity"])
    assert found.accepted and found.start == "identity"
    assert [fault.code for fault in found.faults] == ["W150"]
    assert target_error_mm(found.matrix, np.eye(4), B0, BRAIN) < 2.0


def test_a_shift_beyond_the_limit_is_refused() -> None:
    found = align(DWI, moved(B0, SHIFTED), max_rotation_deg=3.0, starts=["identity"])
    assert not found.accepted
    assert "turned by 8 degrees" in str(found.faults[0].values["why"])


def test_a_mirrored_image_is_noticed() -> None:
    mirrored = B0.like(B0.data[::-1].copy())
    found = align(DWI, mirrored, mirror_margin=SETTINGS["mirror_margin"])
    assert "W117" in [fault.code for fault in found.faults] or not found.accepted
    plain = align(DWI, B0, mirror_margin=SETTINGS["mirror_margin"])
    assert plain.faults == ()
    assert plain.quality is not None and plain.quality.nmi_mirrored is not None
    assert plain.quality.nmi_mirrored < plain.quality.nmi_after


# A whole patient


def test_a_patient_is_brought_to_the_first_visit() -> None:
    later = rigid_matrix([-3.0, 2.0, -5.0], [6.0, 8.0, -4.0], CENTRE)
    within = rigid_matrix([1.0, 0.0, 2.0], [2.0, -1.0, 1.0], CENTRE)
    adc = DWI.like(np.where(BRAIN, DWI.data, 0))
    images = {
        "J0_s0": B0,
        "J0_adc": adc,
        "J0_brain": B0.like(BRAIN),
        "J0_gre": DWI,
        "J1_s0": moved(B0, later),
        "J1_adc": moved(adc, later, "linear"),
        "J1_brain": B0.like(moved(B0.like(BRAIN), later, "nearest").data),
        "J1_gre": moved(DWI, compose(later, within)),
        "J1_flair": moved(DWI, compose(later, within)),
    }
    starts = {name: DEFAULTS[name] for name in ("starts_within", "starts_between")}
    found = register_patient(images, **starts, **{**SETTINGS, "mirror_margin": None})
    assert found.facts["reference"] == "J0_s0"
    assert {(p["fixed"], p["moving"]) for p in found.facts["pairs"]} == {
        ("J0_s0", "J1_s0"),
        ("J0_s0", "J0_gre"),
        ("J1_s0", "J1_gre"),
        ("J1_s0", "J1_flair"),
    }
    assert set(found.images) == {"space-J0_adc", "space-J0_gre", "space-J0_flair"}
    for name, truth in (("J1_adc", later), ("J1_gre", compose(later, within)), ("J0_gre", np.eye(4))):
        assert target_error_mm(found.matrices["J0_s0", name], truth, B0, BRAIN) < 1.0
    carried = found.images["space-J0_adc"].data
    inner = ndimage.binary_erosion(BRAIN, iterations=2)
    assert np.corrcoef(carried[inner], adc.data[inner])[0, 1] > 0.95
    assert carried.min() >= 0
    assert found.faults == ()


def test_a_gre_that_is_all_of_a_follow_up_is_aligned_with_the_first_visit() -> None:
    later = rigid_matrix([-3.0, 2.0, -5.0], [6.0, 8.0, -4.0], CENTRE)
    images = {"J0_s0": B0, "J0_brain": B0.like(BRAIN), "J1_gre": moved(DWI, later), "J1_flair": DWI}
    starts = {name: DEFAULTS[name] for name in ("starts_within", "starts_between")}
    found = register_patient(images, **starts, **{**SETTINGS, "mirror_margin": None})
    assert [(p["fixed"], p["moving"]) for p in found.facts["pairs"]] == [("J0_s0", "J1_gre")]
    assert target_error_mm(found.matrices["J0_s0", "J1_gre"], later, B0, BRAIN) < 1.0
    assert set(found.images) == {"space-J0_gre"}


def test_a_map_lies_where_the_image_does_whose_grid_it_has() -> None:
    away = rigid_matrix([2.0, 1.0, -3.0], [4.0, -3.0, 2.0], CENTRE)
    grids = [B0.affine @ np.diag([1.0, 1.0, stretch, 1.0]) for stretch in (1.001, 1.002)]
    t1w, own = (Volume(moved(DWI, away).data, affine) for affine in grids)
    maps = {"J0_map_fa": B0.like(BRAIN * 0.5), "J0_map_myelin": t1w, "J0_map_other": own}
    starts = {name: DEFAULTS[name] for name in ("starts_within", "starts_between")}
    images = {"J0_s0": B0, "J0_brain": B0.like(BRAIN), "J0_t1w": t1w, **maps}
    found = register_patient(images, **starts, **{**SETTINGS, "mirror_margin": None})
    pairs = {p["moving"]: p for p in found.facts["pairs"]}
    assert pairs["J0_map_fa"]["matrix"] == np.eye(4).tolist() and pairs["J0_map_fa"]["accepted"]
    assert pairs["J0_map_myelin"]["matrix"] == pairs["J0_t1w"]["matrix"]
    assert pairs["J0_map_other"]["start"] == "identity" and "nmi_after" in pairs["J0_map_other"]
    assert target_error_mm(found.matrices["J0_s0", "J0_map_other"], away, B0, BRAIN) < 1.0
    assert set(found.images) == {"space-J0_t1w"}  # maps are carried to the template alone


def test_a_patient_without_diffusion_images_has_no_reference() -> None:
    found = register_patient({"J0_flair": B0}, starts_within=STARTS, starts_between=STARTS, **SETTINGS)
    assert found.facts == {"reference": None, "sources": {}, "pairs": []} and not found.images


# Real images


@pytest.mark.skipif(not DATA.is_dir(), reason=f"the acute-dwi data are not at {DATA.parent}")
@pytest.mark.parametrize(("pair", "limit_mm"), [("dwi-b0", 1.0), ("adc-dwi", 2.0)])
def test_a_known_shift_of_a_real_head_is_recovered(pair: str, limit_mm: float) -> None:
    series = nib.nifti1.load(DATA / "sub-ads02/dwi/sub-ads02_dwi.nii.gz")
    adc = nib.nifti1.load(DATA / "sub-ads02/dwi/sub-ads02_ADC.nii.gz")
    mask = nib.nifti1.load(DATA / "derivatives/ads/sub-ads02/dwi/sub-ads02_desc-brain_mask.nii.gz")
    brain = np.asarray(mask.dataobj) > 0.5
    b0, dwi = (Volume(np.asarray(series.dataobj[..., i], np.float32), series.affine) for i in (0, 1))
    bare_adc = b0.like(np.where(brain, np.asarray(adc.dataobj, np.float32), 0))
    fixed, moving = {"dwi-b0": (dwi, b0), "adc-dwi": (bare_adc, dwi)}[pair]
    truth = rigid_matrix([-5.0, 4.0, 6.0], [7.0, -6.0, 5.0], centre_mm(b0, brain))
    found = align(fixed, moved(moving, truth), fixed_mask=brain)
    assert found.accepted
    assert target_error_mm(np.eye(4), truth, b0, brain) > 10
    assert target_error_mm(found.matrix, truth, b0, brain) <= limit_mm
