"""Position, size, shear and finite voxels."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from reperfuse.core.errors import Refusal
from reperfuse.imaging import checks
from reperfuse.imaging.reader import read_mask, read_volume
from reperfuse.imaging.stream import ReadLimits

Writer = Callable[..., Path]
DATA = np.random.default_rng(0).integers(1, 900, (9, 8, 7)).astype(np.int16)


def turned(degrees: float, zooms: tuple[float, float, float] = (2.0, 2.0, 2.0)) -> np.ndarray:
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    affine = np.eye(4)
    affine[:3, :3] = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]]) * zooms
    return affine


def refused(path: Path, **limits: object) -> Refusal:
    with pytest.raises(Refusal) as caught:
        read_volume(path, limits=ReadLimits(**limits))  # type: ignore[arg-type]
    return caught.value


def test_the_sform_counts_where_it_is_set(nifti: Writer) -> None:
    shifted = turned(0)
    shifted[0, 3] = 100
    volume, faults = read_volume(nifti("a.nii.gz", DATA, shifted, qform=turned(0), qform_code=1))
    assert volume.affine[0, 3] == 100
    assert [fault.code for fault in faults] == ["W115"] and faults[0].values["distance_mm"] == "100.0"


@pytest.mark.parametrize(("degrees", "codes"), [(0.0, []), (0.9, []), (1.2, ["W115"]), (30, ["W115"])])
def test_a_difference_in_angle_is_told_above_one_degree(
    degrees: float, codes: list[str], nifti: Writer
) -> None:
    small = np.diag([0.5, 0.5, 0.5, 1.0])
    qform = turned(degrees, (0.5, 0.5, 0.5))
    _, faults = read_volume(nifti("a.nii.gz", DATA, small, qform=qform, qform_code=1))
    assert [fault.code for fault in faults] == codes
    if codes:
        assert float(faults[0].values["angle_deg"]) == pytest.approx(degrees, abs=0.06)


def test_the_qform_counts_alone_and_a_broken_one_is_ignored(nifti: Writer) -> None:
    affine = turned(20)
    volume, faults = read_volume(nifti("a.nii.gz", DATA, affine, sform_code=0, qform_code=1))
    np.testing.assert_allclose(volume.affine, affine, atol=1e-5)
    broken = nifti("b.nii.gz", DATA, affine, qform_code=1, quatern_b=0.9, quatern_c=0.9)
    volume, more = read_volume(broken)
    np.testing.assert_allclose(volume.affine, affine, atol=1e-5)
    assert faults == more == []


def test_without_a_position_the_image_is_refused_unless_allowed(nifti: Writer) -> None:
    path = nifti("a.nii.gz", DATA, np.diag([2.0, 3.0, 4.0, 1.0]), sform_code=0)
    assert refused(path).fault.code == "E116"
    volume, faults = read_volume(path, limits=ReadLimits(allow_no_orientation=True))
    assert [fault.code for fault in faults] == ["W116"] and volume.zooms == (2.0, 3.0, 4.0)
    centre = volume.affine @ np.array([4, 3.5, 3, 1])
    np.testing.assert_allclose(centre[:3], 0, atol=1e-6)


@pytest.mark.parametrize("zooms", [(0.0, 2, 2), (np.nan, 2, 2), (2, 2, 50.0), (0.002, 0.002, 0.002)])
def test_impossible_voxel_sizes(zooms: tuple[float, float, float], nifti: Writer) -> None:
    affine = np.diag([*zooms, 1.0])
    assert refused(nifti("a.nii.gz", DATA, affine)).fault.code == "E118"


@pytest.mark.parametrize(("unit", "stored"), [(1, 0.002), (3, 2000.0), (1, 2.0), (3, 2.0)])
def test_metres_and_microns_become_millimetres(unit: int, stored: float, nifti: Writer) -> None:
    affine = np.diag([stored] * 3 + [1.0])
    volume, faults = read_volume(nifti("a.nii.gz", DATA, affine, xyzt_units=unit))
    assert volume.zooms == pytest.approx((2.0, 2.0, 2.0))
    assert [fault.code for fault in faults] == ["W118"] and faults[0].values["zooms_mm"] == "2 × 2 × 2"


def test_unknown_units_are_millimetres_and_nothing_is_said(nifti: Writer) -> None:
    assert read_volume(nifti("a.nii.gz", DATA, xyzt_units=0))[1] == []


def sheared(amount: float) -> np.ndarray:
    affine = np.diag([2.0, 2.0, 2.0, 1.0])
    affine[:3, 1] = 2 * np.array([amount, np.sqrt(1 - amount**2), 0])
    return affine


@pytest.mark.parametrize("amount", [0.0, 1e-7, 5e-4])
def test_a_tiny_shear_is_taken_out_without_touching_a_voxel(amount: float, nifti: Writer) -> None:
    volume, faults = read_volume(nifti("a.nii.gz", DATA, sheared(amount)))
    assert faults == []
    np.testing.assert_array_equal(volume.data, DATA)
    np.testing.assert_allclose(volume.affine, sheared(amount), atol=0.01)
    axes = volume.affine[:3, :3] / volume.zooms
    assert np.abs(axes.T @ axes - np.eye(3)).max() < 1e-6


def test_a_larger_shear_is_resampled_where_things_stay_in_place(nifti: Writer) -> None:
    data = np.zeros((30, 30, 30), np.float32)
    data[12:17, 10:16, 13:18] = 100
    data = ndimage.gaussian_filter(data, 1.5)
    affine = sheared(0.2)
    volume, faults = read_volume(nifti("a.nii.gz", data, affine))
    assert [fault.code for fault in faults] == ["W123"] and faults[0].values["shear"] == "0.2000"
    axes = volume.affine[:3, :3] / volume.zooms
    np.testing.assert_allclose(axes.T @ axes, np.eye(3), atol=1e-9)
    there = affine[:3, :3] @ ndimage.center_of_mass(data) + affine[:3, 3]
    here = volume.affine[:3, :3] @ ndimage.center_of_mass(volume.data) + volume.affine[:3, 3]
    np.testing.assert_allclose(here, there, atol=0.02)
    assert volume.data.sum() * volume.voxel_ml == pytest.approx(
        data.sum() * abs(np.linalg.det(affine[:3, :3])) / 1000, rel=0.01
    )


def test_a_sheared_mask_stays_a_mask_and_a_series_a_series(nifti: Writer) -> None:
    mask, faults = read_mask(nifti("m.nii.gz", (DATA > 400).astype(np.uint8), sheared(0.2)))
    assert mask.data.dtype == bool and faults[0].code == "W123"
    series, _ = read_volume(nifti("s.nii.gz", np.stack([DATA, DATA], -1), sheared(0.2)))
    assert series.data.shape[3] == 2
    np.testing.assert_array_equal(series.data[..., 0], series.data[..., 1])


def test_axes_in_one_plane_are_refused(nifti: Writer) -> None:
    affine = np.diag([2.0, 2.0, 2.0, 1.0])
    affine[:3, 2] = affine[:3, 0]
    assert refused(nifti("a.nii.gz", DATA, affine)).fault.code == "E119"
    assert refused(nifti("b.nii.gz", DATA, sheared(0.7))).fault.code == "E119"


@settings(max_examples=40, deadline=None)
@given(
    st.tuples(*[st.floats(-180, 180)] * 3),
    st.tuples(*[st.floats(0.3, 8)] * 3),
    st.tuples(*[st.sampled_from([-1.0, 1.0])] * 3),
)
def test_any_orthogonal_affine_is_left_alone(
    angles: tuple[float, ...], zooms: tuple[float, ...], signs: tuple[float, ...]
) -> None:
    affine = np.eye(4)
    for k, angle in enumerate(np.radians(angles)):
        i, j = (k + 1) % 3, (k + 2) % 3
        turn = np.eye(4)
        turn[[i, i, j, j], [i, j, i, j]] = np.cos(angle), -np.sin(angle), np.sin(angle), np.cos(angle)
        affine = turn @ affine
    affine[:3, :3] *= np.array(zooms) * signs
    data, result, faults = checks.orthogonalise(DATA, affine, order=1, path="")
    assert data is DATA and result is affine and faults == []


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_nan_outside_the_head_is_set_to_zero_and_counted(
    bad: float, head: SimpleNamespace, nifti: Writer
) -> None:
    data = head.s0.copy()
    data[:3] = bad
    volume, faults = read_volume(nifti("a.nii.gz", data, head.affine))
    assert [fault.code for fault in faults] == ["W110"] and faults[0].values["count"] == data[:3].size
    assert not volume.data[:3].any() and np.isfinite(volume.data).all()


def test_nan_inside_the_head_excludes_above_the_limit(head: SimpleNamespace, nifti: Writer) -> None:
    data = head.s0.copy()
    data[head.fluid] = np.nan
    share = 100 * head.fluid.sum() / head.scalp.sum()
    fault = refused(nifti("a.nii.gz", data, head.affine)).fault
    assert fault.code == "E110" and float(fault.values["percent"]) == pytest.approx(share, rel=0.15)
    assert read_volume(nifti("b.nii.gz", data, head.affine), limits=ReadLimits(max_nonfinite_percent=20))[1]
    assert refused(nifti("c.nii.gz", np.full(DATA.shape, np.nan, np.float32))).fault.code == "E110"


def test_a_masked_map_with_nan_around_the_brain_is_used(head: SimpleNamespace, nifti: Writer) -> None:
    data = np.where(head.brain, head.adc, np.nan).astype(np.float32)
    volume, faults = read_volume(nifti("a.nii.gz", data, head.affine))
    assert [fault.code for fault in faults] == ["W110"]
    np.testing.assert_array_equal(volume.data > 0, head.brain & (head.adc > 0))


@pytest.mark.parametrize("whole", [False, True])
@pytest.mark.parametrize("axis", [0, 2])
def test_a_lost_slice_is_no_background(axis: int, whole: bool, head: SimpleNamespace, nifti: Writer) -> None:
    data = head.s0.copy()
    middle = np.indices(data.shape)[axis] == data.shape[axis] // 2
    data[middle if whole else middle & head.brain] = np.inf
    assert refused(nifti("a.nii.gz", data, head.affine)).fault.code == "E110"


def test_nan_in_one_volume_of_a_series_counts(head: SimpleNamespace, nifti: Writer) -> None:
    series = np.stack([head.s0, head.trace], -1)
    series[head.fluid, 1] = np.nan
    assert refused(nifti("a.nii.gz", series, head.affine)).fault.code == "E110"


def test_numbers_too_large_for_float32_count_as_infinite(head: SimpleNamespace, nifti: Writer) -> None:
    data = head.s0.astype(np.float64)
    data[0, 0, 0] = 1e300
    assert read_volume(nifti("a.nii.gz", data, head.affine))[1][0].code == "W110"
