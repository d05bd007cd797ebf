"""What a trained network is shown: where it lies, what it means over what it covers, and the way back."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from reperfuse.core.errors import Refusal
from reperfuse.imaging import network_grid
from reperfuse.imaging.grids import invert
from reperfuse.imaging.network_grid import Grid, channel, to_native
from reperfuse.imaging.pattern import lattice, lesion_share
from reperfuse.imaging.volume import Volume

BLOB_MM = np.array([9.0, -14.0, 11.0])
GRID = Grid((24, 20, 22), (3.0, 4.0, 3.5))
ORIENTATIONS = [
    ((0, 1, 2), (1, 1, 1)), ((0, 1, 2), (-1, 1, 1)), ((0, 2, 1), (-1, -1, 1)), ((2, 0, 1), (1, -1, -1)),
    ((1, 2, 0), (1, 1, -1)),
]  # fmt: skip


def head(order=(0, 1, 2), signs=(1, 1, 1), *, spacing: float = 2.0, field: float = 80.0):
    """An ellipsoid of 800 with a blob of 1600 at ``BLOB_MM`` in a noisy field of view, and its mask."""
    affine, size = np.eye(4), [round(field / spacing)] * 3
    affine[:3, :3] = 0
    for stored, world in enumerate(order):
        affine[world, stored] = signs[stored] * spacing
    affine[:3, 3] = -affine[:3, :3] @ ((np.array(size) - 1) / 2)
    mm = np.moveaxis(np.indices(size), 0, -1) @ affine[:3, :3].T + affine[:3, 3]
    brain = ((mm / [28, 34, 30]) ** 2).sum(-1) < 1
    blob = ((mm - BLOB_MM) ** 2).sum(-1) < 8.0**2
    data = np.where(brain, np.where(blob, 1600.0, 800.0), 50.0).astype(np.float32)
    return Volume(data, affine), Volume(brain, affine), Volume(blob, affine)


def shown(name: str, volume: Volume, brain: Volume, grid: Grid = GRID) -> tuple[np.ndarray, np.ndarray]:
    matrix = invert(volume.affine) @ network_grid.input_to_mm(grid, brain)
    return channel(name, volume, brain, matrix, grid.shape), matrix


@pytest.mark.parametrize(("order", "signs"), ORIENTATIONS)
def test_a_lesion_is_found_where_the_body_has_it_and_comes_back_to_its_place(order, signs) -> None:
    _, brain, blob = head(order, signs)
    array, matrix = shown("lesion", blob, brain)
    found = (np.array(ndimage.center_of_mass(array)) - (np.array(GRID.shape) - 1) / 2) * GRID.spacing_mm
    assert found == pytest.approx(BLOB_MM[[2, 1, 0]] * [1, 1, -1], abs=0.3)  # superior, anterior, left

    native = to_native(array, blob, matrix, GRID.shape)
    index = ndimage.center_of_mass(native.data)
    assert blob.affine[:3, :3] @ index + blob.affine[:3, 3] == pytest.approx(BLOB_MM, abs=0.5)
    assert native.data.shape == blob.data.shape and native.data.dtype == np.float32


@pytest.mark.parametrize("name", ["trace", "lesion"])
@pytest.mark.parametrize(("order", "signs"), ORIENTATIONS[1:])
def test_the_same_head_stored_otherwise_is_shown_alike(order, signs, name: str) -> None:
    one, other = (head(), head(order, signs))
    pick = 2 if name == "lesion" else 0
    np.testing.assert_allclose(
        shown(name, one[pick], one[1])[0], shown(name, other[pick], other[1])[0], atol=1e-4
    )


def test_spacing_is_that_of_the_grid_whatever_that_of_the_image() -> None:
    fine, coarse = head(spacing=1.0), head(spacing=2.5)
    one, other = (shown("lesion", each[2], each[1])[0] for each in (fine, coarse))
    assert ndimage.center_of_mass(one) == pytest.approx(ndimage.center_of_mass(other), abs=0.4)
    assert one.sum() == pytest.approx(other.sum(), rel=0.08)
    wide = shown("lesion", fine[2], fine[1], Grid(GRID.shape, (6.0, 8.0, 7.0)))[0]
    assert wide.sum() == pytest.approx(one.sum() / 8, rel=0.01)


@settings(max_examples=20, deadline=None)
@given(
    spacing=st.tuples(*[st.floats(1.0, 9.0)] * 3),
    order=st.sampled_from(list(itertools.permutations(range(3)))),
    signs=st.tuples(*[st.sampled_from([1, -1])] * 3),
)
def test_a_lesion_within_the_grid_keeps_its_volume(spacing, order, signs) -> None:
    _, brain, blob = head(order, signs, spacing=2.0)
    shape = tuple(int(np.ceil(70 / one)) + 1 for one in spacing)
    array, matrix = shown("lesion", blob, brain, Grid(shape, spacing))
    assert array.min() >= 0 and array.max() <= 1
    assert array.sum() * np.prod(spacing) == pytest.approx(blob.data.sum() * 8.0, rel=0.06)
    assert network_grid.share_inside(blob, matrix, shape) == 1


def test_on_the_lattice_of_the_template_a_lesion_is_the_share_of_each_cell() -> None:
    affine = np.eye(4)
    affine[:3, 3] = [-95.5, -131.5, -71.5]
    mask = Volume(
        ndimage.gaussian_filter(np.random.default_rng(0).random((192, 216, 168)), 3) > 0.503, affine
    )
    across, along, up = lattice(6.0)
    grid = Grid((up, along, across), (6.0, 6.0, 6.0))
    matrix = invert(affine) @ network_grid.input_to_mm(grid, None)
    array = channel("lesion", mask, None, matrix, grid.shape)
    cells = lesion_share(mask, cell_mm=6.0).reshape(across, along, up)
    assert 0.05 < cells.mean() < 0.95
    np.testing.assert_allclose(array, cells.transpose(2, 1, 0)[:, :, ::-1], atol=1e-6)


def test_an_image_has_mean_five_and_sd_one_in_the_brain_and_nothing_around_it() -> None:
    adc, brain, _ = head()
    array, _ = shown("adc", adc, brain)
    inside = array[array > 0].astype(np.float64)
    assert array.dtype == np.float32 and array.min() == 0 and array.max() <= 10
    # Tissue of 800 around the blob is the lowest value: neither the field of view's 50 nor a rim of 0 is mixed in.
    assert inside.min() == pytest.approx(np.median(inside), abs=1e-4)
    assert inside.mean() == pytest.approx(5, abs=0.05)
    np.testing.assert_allclose(shown("adc", adc.like(adc.data * 1e-6), brain)[0], array, atol=1e-3)
    share = np.count_nonzero(array) * np.prod(GRID.spacing_mm) / (brain.data.sum() * 8.0)
    assert share == pytest.approx(1, abs=0.05)


def test_values_beyond_five_sd_are_cut() -> None:
    adc, brain, _ = head()
    data = np.where(brain.data, np.random.default_rng(0).normal(800, 20, adc.data.shape), 0).astype(
        np.float32
    )
    data[20, 20, 20] = 50_000
    array, _ = shown("trace", adc.like(data), brain, Grid((40, 40, 40), (2.0, 2.0, 2.0)))
    assert array.max() == 10.0 and (array == 10.0).sum() == 1


def test_a_coarse_grid_shows_means_and_not_single_voxels() -> None:
    adc, brain, _ = head(spacing=1.0)
    noise = np.random.default_rng(0).normal(0, 150, adc.data.shape).astype(np.float32)
    noisy = adc.like(np.where(brain.data, adc.data + noise, 50).astype(np.float32))
    smooth, found = shown("adc", adc, brain)[0], shown("adc", noisy, brain)[0]
    inside = smooth > 0
    matrix = invert(adc.affine) @ network_grid.input_to_mm(GRID, brain)
    points = ndimage.affine_transform(noisy.data, matrix[:3, :3], matrix[:3, 3], GRID.shape, order=1)
    kept, single = (np.corrcoef(smooth[inside], one[inside])[0, 1] for one in (found, points))
    # A voxel covers 42 of the image, so that little noise is left; a plain interpolation shows much of it.
    assert kept > 0.93 and single < 0.7


def test_a_brain_mask_on_another_grid_of_the_same_space_is_taken() -> None:
    adc, brain, _ = head(spacing=2.0)
    _, finer, _ = head(spacing=1.0)
    here, there = shown("adc", adc, brain)[0], shown("adc", adc, finer)[0]
    assert ((here > 0) != (there > 0)).mean() < 0.02


def test_the_share_of_the_brain_on_the_grid_is_measured_and_half_is_the_least() -> None:
    _, brain, _ = head()
    everything = invert(brain.affine) @ network_grid.input_to_mm(GRID, brain)
    assert network_grid.share_inside(brain, everything, GRID.shape) == 1
    slab = Grid((4, 20, 22), (3.0, 4.0, 3.5))
    matrix = invert(brain.affine) @ network_grid.input_to_mm(slab, brain)
    share = network_grid.share_inside(brain, matrix, slab.shape)
    assert share == pytest.approx(0.3, abs=0.05)  # the 12 mm in the middle of an ellipsoid of 60
    with pytest.raises(Refusal, match=r"E153.*30 %|E153.*29 %|E153.*28 %"):
        network_grid.check_share(share)
    network_grid.check_share(0.5)


def test_the_grid_lies_around_the_box_of_the_brain_in_the_image() -> None:
    _, brain, _ = head()
    data = brain.data.copy()
    data[:, :, 20:] = False
    assert network_grid.centre_of(brain) == pytest.approx([0, 0, 0], abs=1e-6)
    found = network_grid.centre_of(brain.like(data))
    assert found[:2] == pytest.approx([0, 0], abs=1e-6) and found[2] == pytest.approx(-15, abs=1.1)
    with pytest.raises(Refusal, match="E111"):
        network_grid.centre_of(brain.like(np.zeros_like(data)))


@pytest.mark.parametrize("value", [0.0, 800.0])
def test_an_image_without_contrast_in_the_brain_is_refused(value: float) -> None:
    adc, brain, _ = head()
    with pytest.raises(Refusal, match="E111"):
        shown("adc", adc.like(np.where(brain.data, value, 900.0).astype(np.float32)), brain)


def test_a_map_of_features_comes_back_by_stride_or_edge_to_edge_and_is_zero_beyond_the_grid() -> None:
    adc, brain, _ = head()
    small = Grid((8, 8, 8), (4.0, 4.0, 4.0))
    matrix = invert(adc.affine) @ network_grid.input_to_mm(small, brain)
    coarse = np.zeros((4, 4, 4), np.float32)
    coarse[1, 2, 1] = 1
    for stride, at in (((2, 2, 2), np.array([2.0, 4.0, 2.0])), (None, np.array([2.5, 4.5, 2.5]))):
        native = to_native(coarse, adc, matrix, small.shape, stride=stride)
        expected = matrix[:3, :3] @ at + matrix[:3, 3]
        assert ndimage.center_of_mass(native.data) == pytest.approx(expected, abs=0.2)
    full = to_native(np.ones((4, 4, 4)), adc, matrix, small.shape, stride=(2, 2, 2))
    assert full.data.sum() * 8.0 == pytest.approx(32.0**3, rel=1e-6)


@settings(max_examples=30, deadline=None)
@given(
    at=st.tuples(*[st.integers(0, 9)] * 3),
    shift=st.tuples(*[st.floats(-6, 6)] * 3),
    step=st.floats(0.5, 3.5),
)
def test_what_is_computed_only_where_an_image_is_not_0_is_the_same(
    at: tuple[int, int, int], shift: tuple[float, float, float], step: float
) -> None:
    data = np.zeros((10, 10, 10), np.float32)
    data[at], data[tuple(min(9, i + 2) for i in at)] = 1, 0.5
    matrix = np.diag([step, step, step, 1.0])
    matrix[:3, 3] = shift
    shape = (8, 7, 6)
    whole = network_grid._mean_over(data, matrix, shape)
    share = network_grid.covered(Volume(data, np.eye(4)), matrix, shape)
    np.testing.assert_allclose(share, np.clip(whole, 0, 1), atol=1e-5)


def test_means_are_of_what_is_known() -> None:
    known = np.zeros((8, 8, 8), np.float32)
    known[:3] = 1
    values, share = network_grid.mean_inside(
        Volume(known * 7, np.eye(4)), known, np.diag([2.0, 2.0, 2.0, 1.0]), (4, 4, 4)
    )
    assert values[0, 1, 1] == pytest.approx(7) and values[1, 1, 1] == pytest.approx(7)
    assert 0 < share[1, 1, 1] < 1 and share[3, 1, 1] == 0 == values[3, 1, 1]
