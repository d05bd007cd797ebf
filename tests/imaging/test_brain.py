"""Head and brain masks."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from reperfuse.imaging.brain import brain_mask, head_mask, largest, opening, otsu
from reperfuse.imaging.diffusion import diffusion_of, read_bvals
from reperfuse.imaging.reader import read_mask, read_volume
from reperfuse.imaging.volume import Volume

SETTINGS: dict[str, Any] = {"smoothing_mm": 2.0, "opening_mm": 5.0, "edge_mm": 2.0}
Dice = Callable[[np.ndarray, np.ndarray], float]


def dice(a: np.ndarray, b: np.ndarray) -> float:
    return 2 * float((a & b).sum()) / float(a.sum() + b.sum())


def test_otsu_separates_two_classes() -> None:
    random = np.random.default_rng(0)
    values = np.concatenate([random.normal(100, 10, 5000), random.normal(300, 20, 3000)])
    assert 140 < otsu(values) < 240


def test_opening_measures_in_millimetres() -> None:
    mask = np.zeros((40, 40, 20), bool)
    mask[10:30, 10:30, 5:15] = True
    mask[30:38, 19:21, 9:11] = True
    thin, thick = opening(mask, 2.5, (1.0, 1.0, 5.0)), opening(mask, 2.5, (4.0, 4.0, 5.0))
    assert not thin[33:].any() and thin[12:28, 12:28, 6:14].all()
    assert thick[33:].any(), "the same bar is 8 mm wide in larger voxels"
    assert not (thin & ~mask).any()


def test_opening_keeps_a_brain_that_the_field_of_view_cuts() -> None:
    mask = np.zeros((30, 30, 6), bool)
    mask[8:22, 8:22] = True
    assert opening(mask, 4.0, (1.0, 1.0, 5.0))[15, 15].all()


def test_the_largest_of_two_components() -> None:
    mask = np.zeros((10, 10, 10), bool)
    mask[:2, :2, :2] = mask[5:9, 5:9, 5:9] = True
    assert largest(mask).sum() == 64 and not largest(np.zeros_like(mask)).any()


def test_the_head_holds_scalp_and_brain_and_no_air(head: SimpleNamespace) -> None:
    for image in (head.s0, head.trace):
        assert dice(head_mask(image, head.zooms), head.scalp) > 0.85
        assert head_mask(image, head.zooms)[head.brain].all()


@pytest.mark.parametrize("contrast", ["s0", "trace"])
def test_the_brain_of_a_whole_head(contrast: str, head: SimpleNamespace) -> None:
    image = Volume(getattr(head, contrast), head.affine)
    found = brain_mask(image, contrast=contrast, **SETTINGS)  # type: ignore[arg-type]
    assert not found.skull_stripped and contrast in found.method
    assert dice(found.mask, head.brain) > 0.93
    assert found.mask[head.fluid].mean() > 0.99 and found.mask[head.lesion].mean() > 0.97


@pytest.mark.parametrize("contrast", ["s0", "trace", "adc"])
@pytest.mark.parametrize("scale", [1.0, 1e-6])
def test_a_stripped_brain_is_taken_as_it_is(contrast: str, scale: float, head: SimpleNamespace) -> None:
    data = (np.where(head.brain, getattr(head, contrast), 0) * scale).astype(np.float32)
    found = brain_mask(Volume(data, head.affine), contrast=contrast, **SETTINGS)  # type: ignore[arg-type]
    assert found.skull_stripped and "skull-stripped" in found.method
    assert dice(found.mask, head.brain) > 0.99


def test_air_set_to_zero_does_not_make_a_head_a_stripped_brain(head: SimpleNamespace) -> None:
    for contrast in ("s0", "trace"):
        image = np.where(head.scalp, getattr(head, contrast), 0)
        found = brain_mask(Volume(image, head.affine), contrast=contrast, **SETTINGS)  # type: ignore[arg-type]
        assert not found.skull_stripped and dice(found.mask, head.brain) > 0.93


def test_the_mask_does_not_depend_on_the_scale_or_the_axes(head: SimpleNamespace) -> None:
    plain = brain_mask(Volume(head.s0, head.affine), contrast="s0", **SETTINGS).mask
    scaled = brain_mask(Volume(head.s0 * 8, head.affine), contrast="s0", **SETTINGS).mask
    np.testing.assert_array_equal(plain, scaled)
    turned = brain_mask(
        Volume(np.ascontiguousarray(head.s0.transpose(2, 0, 1)[::-1]), head.affine[:, [2, 0, 1, 3]]),
        contrast="s0",
        **SETTINGS,
    ).mask
    assert dice(turned[::-1].transpose(1, 2, 0), plain) > 0.999


def test_an_image_without_signal_has_no_brain() -> None:
    found = brain_mask(Volume(np.full((4, 4, 4), -1.0, np.float32), np.eye(4)), contrast="s0", **SETTINGS)
    assert not found.mask.any() and found.method == "no signal"


def test_the_real_brain_agrees_with_the_mask_that_came_with_it(real_data: Path) -> None:
    folder = real_data / "acute-dwi"
    stem = folder / "sub-ads02/dwi/sub-ads02_dwi"
    series, _ = read_volume(stem.with_suffix(".nii.gz"))
    diffusion, _ = diffusion_of(series, read_bvals(stem.with_suffix(".bval")), b0_max=50, b_min=500)
    given, faults = read_mask(folder / "derivatives/ads/sub-ads02/dwi/sub-ads02_desc-brain_mask.nii.gz")
    assert diffusion.s0 is not None and faults == []
    assert given.data.sum() * given.voxel_ml == pytest.approx(1312.43, abs=0.5)
    found = brain_mask(diffusion.s0, contrast="s0", **SETTINGS)
    assert not found.skull_stripped and dice(found.mask, given.data) >= 0.93
