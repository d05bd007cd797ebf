"""Lesion masks from ADC thresholds, and what is measured on them."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from reperfuse.core.errors import Refusal
from reperfuse.imaging import lesion
from reperfuse.imaging.volume import Volume

RECIPE = {
    "thresholds": [480, 620],
    "z_gate": 2,
    "csf_adc": 1800,
    "csf_margin_voxels": 1,
    "min_component_ml": 0.1,
    "connectivity": 26,
}
AXIAL = np.diag([2.0, 2.0, 5.0, 1.0])  # 0.02 ml a voxel: 5 voxels make 0.1 ml


def head() -> tuple[Volume, np.ndarray, np.ndarray]:
    """A block of brain with a bright, dark-ADC lesion of 4 × 4 × 2 voxels (0.64 ml)."""
    rng = np.random.default_rng(1)
    brain = np.zeros((30, 30, 8), bool)
    brain[3:27, 3:27, 1:7] = True
    adc = np.where(brain, 800.0, 0.0).astype(np.float32)
    trace = np.where(brain, rng.normal(100, 5, brain.shape), 0.0).astype(np.float32)
    adc[6:10, 6:10, 3:5] = 400
    trace[6:10, 6:10, 3:5] = 200
    return Volume(adc, AXIAL), brain, trace


def test_a_bright_lesion_below_both_thresholds_is_found_exactly() -> None:
    adc, brain, trace = head()
    masks, faults = lesion.threshold_masks(adc, brain, trace, **RECIPE)
    assert list(masks) == ["adc480_raw", "adc480", "adc620_raw", "adc620"]
    expected = np.zeros(brain.shape, bool)
    expected[6:10, 6:10, 3:5] = True
    for mask in masks.values():
        assert np.array_equal(mask, expected)
    assert faults == []
    found = lesion.measure(masks["adc620"], adc.voxel_ml, connectivity=26)
    assert found["volume_ml"] == pytest.approx(0.64)
    assert found["log1p_volume"] == pytest.approx(np.log(1.64))
    assert found["n_components"] == 1


def test_each_cleaning_step_takes_out_what_it_is_for() -> None:
    adc, brain, trace = head()
    adc.data[20:24, 6:10, 3] = 500  # dark ADC that is not bright on the trace image
    adc.data[20, 20, 3:5] = 500  # too small
    trace[20, 20, 3:5] = 200
    adc.data[15, 15, 3] = 2500  # fluid, with a dark rim that is bright
    adc.data[14:17, 14:17, 3][adc.data[14:17, 14:17, 3] == 800] = 500
    trace[14:17, 14:17, 3] = 200
    adc.data[15, 15, 4:6] = 500  # beside the fluid, in the next slices
    adc.data[14, 14:17, 4] = 500
    trace[14:17, 14:17, 4:6] = 200
    masks, _ = lesion.threshold_masks(adc, brain, trace, **RECIPE)
    raw, clean = masks["adc620_raw"], masks["adc620"]
    assert raw[20:24, 6:10, 3].all() and not clean[20:24, 6:10, 3].any()
    assert raw[20, 20, 3:5].all() and not clean[20, 20, 3:5].any()
    assert raw[14, 14, 3] and not clean[14:17, 14:17, 3].any()
    assert clean[14, 14:17, 4].all() and clean[15, 15, 4:6].all()  # the margin stays within the slice


def test_negative_and_zero_adc_and_voxels_outside_the_brain_never_count() -> None:
    adc, brain, trace = head()
    adc.data[12, 12, 3] = -300
    adc.data[13, 12, 3] = 0
    adc.data[0, 0, 0] = 300
    adc.data[14, 12, 3] = np.nan
    masks, _ = lesion.threshold_masks(adc, brain, trace, **RECIPE)
    assert masks["adc620_raw"].sum() == 32


def test_without_a_trace_image_the_gate_falls_away_and_says_so() -> None:
    adc, brain, _ = head()
    adc.data[20:24, 6:10, 3] = 500
    masks, faults = lesion.threshold_masks(adc, brain, None, **RECIPE)
    assert masks["adc620"][20:24, 6:10, 3].all()
    assert [fault.code for fault in faults] == ["W124"]


def test_a_trace_image_without_contrast_gates_nothing_and_says_so() -> None:
    adc, brain, trace = head()
    masks, faults = lesion.threshold_masks(adc, brain, np.ones_like(trace), **RECIPE)
    assert masks["adc620"].sum() == 32
    assert [fault.code for fault in faults] == ["W145"]


def test_an_empty_brain_mask_is_refused() -> None:
    adc, brain, trace = head()
    with pytest.raises(Refusal) as refusal:
        lesion.threshold_masks(adc, np.zeros_like(brain), trace, **RECIPE)
    assert refusal.value.fault.code == "E160"


def test_thresholds_name_their_criteria() -> None:
    adc, brain, trace = head()
    masks, _ = lesion.threshold_masks(adc, brain, trace, **{**RECIPE, "thresholds": [550.5]})
    assert list(masks) == ["adc550.5_raw", "adc550.5"]


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10_000), z_gate=st.floats(0, 3), margin=st.integers(0, 2))
def test_cleaned_masks_lie_within_raw_ones_and_grow_with_the_threshold(
    seed: int, z_gate: float, margin: int
) -> None:
    rng = np.random.default_rng(seed)
    brain = rng.random((12, 12, 5)) > 0.2
    adc = Volume(rng.uniform(-100, 2500, brain.shape).astype(np.float32), AXIAL)
    trace = rng.normal(100, 20, brain.shape)
    recipe = {**RECIPE, "z_gate": z_gate, "csf_margin_voxels": margin, "min_component_ml": 0.04}
    masks, _ = lesion.threshold_masks(adc, brain, trace, **recipe)
    for threshold in ("adc480", "adc620"):
        assert not (masks[threshold] & ~masks[f"{threshold}_raw"]).any()
        assert not (masks[threshold] & ~brain).any()
    assert not (masks["adc480_raw"] & ~masks["adc620_raw"]).any()
    assert not (masks["adc480"] & ~masks["adc620"]).any()


@settings(max_examples=15, deadline=None)
@given(scale=st.floats(0.01, 100), shift=st.floats(-50, 50))
def test_the_gate_does_not_depend_on_the_scale_of_the_trace_image(scale: float, shift: float) -> None:
    _, brain, trace = head()
    z = lesion.robust_z(trace.astype(np.float64), brain)
    other = lesion.robust_z(trace.astype(np.float64) * scale + shift, brain)
    assert z is not None and other is not None
    assert np.allclose(z[brain], other[brain], atol=1e-6)


def test_connectivity_decides_what_is_one_component() -> None:
    mask = np.zeros((6, 6, 6), bool)
    mask[1, 1, 1] = mask[2, 2, 2] = True  # corners touch
    mask[4, 1, 1] = mask[4, 2, 2] = True  # edges touch
    counts = [lesion.measure(mask, 1.0, connectivity=c)["n_components"] for c in (6, 18, 26)]
    assert counts == [4, 3, 2]


def test_a_component_of_exactly_the_smallest_volume_stays() -> None:
    mask = np.zeros((12, 6, 6), bool)
    mask[0:5, 1, 1] = True
    mask[7:11, 1, 1] = True
    kept = lesion.drop_small(mask, 0.02 * (1 - 1e-9), min_component_ml=0.1, connectivity=26)
    assert kept.sum() == 5 and kept[0:5, 1, 1].all()


def test_an_empty_lesion_has_volume_zero() -> None:
    found = lesion.measure(np.zeros((4, 4, 4), bool), 0.01, connectivity=26)
    assert found == {"volume_ml": 0.0, "log1p_volume": 0.0, "n_components": 0}


def test_dice() -> None:
    a, b = np.zeros((2, 10, 1), bool)
    a[:4], b[2:8] = True, True
    assert lesion.dice(a, b) == pytest.approx(2 * 2 / 10)
    assert lesion.dice(a, a) == 1.0
    assert lesion.dice(a, np.zeros_like(a)) == 0.0
    assert lesion.dice(np.zeros_like(a), np.zeros_like(a)) == 1.0
    with pytest.raises(ValueError, match="grid"):
        lesion.dice(a, b[:5])


def ellipsoid(*, turn_deg: float, shift_mm: float, flip: bool) -> tuple[Volume, np.ndarray]:
    """A brain turned about z and shifted along x, and its signed distance to its own midline in mm."""
    size = 4.0 * np.array([-1.0 if flip else 1.0, 1.0, 1.0])
    affine = np.diag([*size, 1.0])
    shape = (50, 56, 40)
    affine[:3, 3] = -size * (np.array(shape) - 1) / 2
    grid = np.stack(np.meshgrid(*[np.arange(n) for n in shape], indexing="ij"), axis=-1)
    x, y, z = np.moveaxis(grid @ affine[:3, :3].T + affine[:3, 3], -1, 0)
    angle = np.radians(turn_deg)
    across = np.cos(angle) * (x - shift_mm) + np.sin(angle) * y
    along = -np.sin(angle) * (x - shift_mm) + np.cos(angle) * y
    return Volume((across / 65) ** 2 + (along / 85) ** 2 + (z / 60) ** 2 < 1, affine), across


@pytest.mark.parametrize("turn_deg", [0.0, 12.0, -20.0])
@pytest.mark.parametrize("flip", [False, True])
def test_the_midline_follows_a_turned_and_shifted_head(turn_deg: float, flip: bool) -> None:
    brain, _ = ellipsoid(turn_deg=turn_deg, shift_mm=9.0, flip=flip)
    a, b, c = lesion.midsagittal(brain)
    assert a == pytest.approx(9.0, abs=1.0)
    assert np.degrees(np.arctan(-b)) == pytest.approx(turn_deg, abs=2.0)
    assert c == pytest.approx(0.0, abs=2 / 60)  # half a voxel over half the height


@pytest.mark.parametrize("flip", [False, True])
def test_a_side_is_that_of_the_turned_brain_whatever_the_affine(flip: bool) -> None:
    brain, across = ellipsoid(turn_deg=20.0, shift_mm=6.0, flip=flip)
    midline = lesion.midsagittal(brain)

    def where(low: float, high: float) -> str:
        mask = brain.like(brain.data & (across > low) & (across < high))
        return lesion.side(mask, midline, side_share=0.9)

    assert where(-40, -8) == "left"
    assert where(8, 40) == "right"
    assert where(-30, 30) == "both"
    assert where(-60, 3) == "left"  # a little over the midline
    assert where(500, 600) == "n/a"


def test_plausibility() -> None:
    brain = np.zeros((10, 10, 10), bool)
    brain[2:8] = True
    limits = {"max_brain_percent": 50, "max_outside_ml": 0.5}
    mask = brain.copy()
    mask[5:8] = False
    assert lesion.plausibility(mask, brain, 0.01, **limits) == []
    [fault] = lesion.plausibility(brain, brain, 0.01, **limits)
    assert fault.code == "W122" and "100.0 % of the brain" in fault.sentence
    outside = np.zeros_like(brain)
    outside[9, :, :] = True
    [fault] = lesion.plausibility(outside, brain, 0.01, **limits)
    assert "1.00 ml outside" in fault.sentence and "0.5 ml" in fault.sentence


# What a percentile takes of the recipe: everything but the thresholds.
CLEANING = {key: value for key, value in RECIPE.items() if key != "thresholds"}


def two_halves(seed: int) -> tuple[Volume, np.ndarray, np.ndarray, np.ndarray]:
    """A brain of noisy ADC on both sides of x = 0, a flat trace image, and where a lesion may be put."""
    rng = np.random.default_rng(seed)
    shape = (30, 30, 8)
    affine = AXIAL.copy()
    affine[:3, 3] = [-29.0, 0.0, 0.0]  # 15 columns of voxels on either side
    brain = np.zeros(shape, bool)
    brain[3:27, 3:27, 1:7] = True
    adc = np.where(brain, rng.normal(800, 60, shape), 0.0)
    lesion_here = np.zeros(shape, bool)
    lesion_here[5:12, 6:12, 2:5] = True
    return Volume(adc.astype(np.float64), affine), brain, np.where(brain, 100.0, 0.0), lesion_here


def halves_percentile(adc: Volume, brain: np.ndarray, percentile: float) -> tuple[float, float]:
    left, right = brain.copy(), brain.copy()
    left[15:], right[:15] = False, False
    return float(np.percentile(adc.data[left], percentile)), float(np.percentile(adc.data[right], percentile))


@pytest.mark.parametrize("side_of_lesion", ["left", "right"])
def test_a_lesion_lowers_its_own_side_and_not_the_threshold(side_of_lesion: str) -> None:
    adc, brain, _, where = two_halves(1)
    if side_of_lesion == "right":
        where = where[::-1]
    adc.data[where] = 500
    left, right = halves_percentile(adc, brain, 1)
    own, healthier = (left, right) if side_of_lesion == "left" else (right, left)
    assert own == 500 < healthier < 800
    # Without a gate and without cleaning, the mask is what lies below the healthier side's percentile.
    plain = {**CLEANING, "min_component_ml": 0.0}
    found = lesion.percentile_masks(adc, brain, None, (0.0, 0.0, 0.0), percentiles=[1], **plain)["adcp1"]
    assert np.array_equal(found, brain & (adc.data < healthier))
    assert found[where].all()


@pytest.mark.parametrize("factor", [2.0, 0.5])
def test_a_percentile_does_not_depend_on_the_scale_of_adc(factor: float) -> None:
    adc, brain, trace, where = two_halves(2)
    adc.data[where] = 500
    rng = np.random.default_rng(0)
    trace += np.where(brain, rng.normal(0, 5, brain.shape), 0)
    trace[where] = 200
    adc.data[20, 20, 4] = 3000  # fluid
    masks = [
        lesion.percentile_masks(
            Volume(adc.data * scale, adc.affine),
            brain,
            trace,
            (0.0, 0.0, 0.0),
            percentiles=[1, 5],
            **{**CLEANING, "csf_adc": CLEANING["csf_adc"] * scale},
        )
        for scale in (1.0, factor)
    ]
    assert masks[0]["adcp1"].sum() == where.sum()
    for name in ("adcp1", "adcp5"):
        assert np.array_equal(masks[0][name], masks[1][name])


def test_fluid_and_what_is_not_positive_do_not_move_the_percentile() -> None:
    adc, brain, _, where = two_halves(3)
    adc.data[where] = 500
    plain = {**CLEANING, "min_component_ml": 0.0, "csf_margin_voxels": 0}
    before = lesion.percentile_masks(adc, brain, None, (0.0, 0.0, 0.0), percentiles=[1], **plain)["adcp1"]
    more = brain.copy()
    more[2, :, 1:7] = more[27, :, 1:7] = True  # a rim of air and fluid that the brain mask takes in
    adc.data[2], adc.data[27] = -200, 2600
    after = lesion.percentile_masks(adc, more, None, (0.0, 0.0, 0.0), percentiles=[1], **plain)["adcp1"]
    assert np.array_equal(before, after)


def test_a_brain_on_one_side_has_no_healthier_one() -> None:
    adc, brain, trace, _ = two_halves(4)
    brain[15:] = False
    assert lesion.percentile_masks(adc, brain, trace, (0.0, 0.0, 0.0), percentiles=[1], **CLEANING) == {}


def test_growth_is_over_the_criteria_that_both_visits_have() -> None:
    assert lesion.growth({"adc480": 2.0, "adc620": 5.0}, {"adc620": 3.5, "given": 9.0}) == {"adc620": -1.5}


def real_case(data: Path, name: str) -> tuple[Volume, np.ndarray, np.ndarray]:
    stem = data / f"acute-dwi/sub-{name}/dwi/sub-{name}"
    image = nib.load(f"{stem}_ADC.nii.gz")
    adc = Volume(np.asarray(image.dataobj) * 1000, image.affine)  # from 10⁻³ mm²/s
    trace = np.asarray(nib.load(f"{stem}_trace.nii.gz").dataobj)
    # The images are skull-stripped: what is positive, without the rim that resampling left around it.
    labels, _ = ndimage.label(ndimage.binary_opening(trace > 0))
    brain = labels == np.argmax(np.bincount(labels.ravel())[1:]) + 1
    for index in range(brain.shape[2]):
        brain[:, :, index] = ndimage.binary_fill_holes(brain[:, :, index])
    return adc, brain, trace


def test_regression_anchors_on_a_manual_case(real_data: Path) -> None:
    """What unchanged code gives on one case on which the recipe was looked at. This is no accuracy."""
    adc, brain, trace = real_case(real_data, "isles0009")
    masks, _ = lesion.threshold_masks(adc, brain, trace, **RECIPE)
    volumes = {name: round(float(mask.sum()) * adc.voxel_ml, 3) for name, mask in masks.items()}
    assert volumes == {"adc480_raw": 30.392, "adc480": 1.0, "adc620_raw": 106.328, "adc620": 2.968}
    manual_path = "derivatives/manual/sub-isles0009/dwi/sub-isles0009_label-L_desc-manual_mask.nii.gz"
    manual = np.asarray(nib.load(real_data / "acute-dwi" / manual_path).dataobj) > 0.5
    found = lesion.measure(manual, adc.voxel_ml, connectivity=26)
    assert (round(found["volume_ml"], 2), found["n_components"]) == (4.18, 18)
    assert lesion.dice(masks["adc620"], manual) == pytest.approx(0.430, abs=0.0005)
    assert lesion.dice(masks["adc620_raw"], manual) == pytest.approx(0.041, abs=0.0005)


def test_regression_anchors_on_a_case_without_reference(real_data: Path) -> None:
    adc, brain, trace = real_case(real_data, "isles0001")
    masks, _ = lesion.threshold_masks(adc, brain, trace, **RECIPE)
    volumes = {name: round(float(mask.sum()) * adc.voxel_ml, 3) for name, mask in masks.items()}
    assert volumes == {"adc480_raw": 18.4, "adc480": 0.12, "adc620_raw": 57.112, "adc620": 0.544}
