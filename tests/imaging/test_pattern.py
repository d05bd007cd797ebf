"""A lesion mask as cells of the template: where it is, how much there is, whatever the axes of the file."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reperfuse.imaging.pattern import BOX, lattice, lesion_pattern
from reperfuse.imaging.volume import Volume


def blob(seed: int, *, spacing: tuple[float, float, float] = (3.0, 3.0, 4.0)) -> Volume:
    """A lesion of random voxels well within the box."""
    rng = np.random.default_rng(seed)
    affine = np.diag([*spacing, 1.0])
    affine[:3, 3] = [-80.0, -110.0, -60.0]
    return Volume(rng.random((50, 55, 30)) > 0.9, affine)


def cell_of(point: tuple[float, float, float], cell_mm: float) -> int:
    index = [int((p - low) // cell_mm) for p, (low, _) in zip(point, BOX, strict=True)]
    return int(np.ravel_multi_index(tuple(index), lattice(cell_mm)))


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 10_000), cell_mm=st.sampled_from([4.0, 6.0, 8.0, 12.0, 24.0]))
def test_the_volume_is_conserved(seed: int, cell_mm: float) -> None:
    mask = blob(seed)
    pattern = lesion_pattern(mask, cell_mm=cell_mm)
    assert pattern.shape == (int(np.prod(lattice(cell_mm))),) and pattern.dtype == np.float32
    volume_ml = float((pattern.astype(np.float64) ** 2).sum()) * cell_mm**3 / 1000
    assert volume_ml == pytest.approx(mask.data.sum() * mask.voxel_ml, rel=1e-5)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_flipped_axes_give_the_same_pattern(axis: int) -> None:
    mask = blob(5)
    flip = np.eye(4)
    flip[axis, axis], flip[axis, 3] = -1, mask.data.shape[axis] - 1
    flipped = Volume(np.flip(mask.data, axis), mask.affine @ flip)
    assert np.array_equal(lesion_pattern(mask, cell_mm=8.0), lesion_pattern(flipped, cell_mm=8.0))


def test_swapped_axes_give_the_same_pattern() -> None:
    mask = blob(6)
    turned = Volume(mask.data.transpose(2, 0, 1), mask.affine[:, [2, 0, 1, 3]])
    assert np.array_equal(lesion_pattern(mask, cell_mm=8.0), lesion_pattern(turned, cell_mm=8.0))


def test_a_lesion_lies_in_the_cell_of_its_coordinates_and_fills_it() -> None:
    affine = np.eye(4)
    affine[:3, 3] = [-95.5, -131.5, -71.5]  # voxels within cells, from the corner of the box
    data = np.zeros((192, 216, 168), np.float32)
    data[96:104, 128:136, 72:80] = 1  # x 0 to 8, y -4 to 4, z 0 to 8 mm
    pattern = lesion_pattern(Volume(data, affine), cell_mm=8.0)
    assert np.flatnonzero(pattern).tolist() == [cell_of((4.0, 0.0, 4.0), 8.0)]
    assert pattern.max() == pytest.approx(1.0)
    data[100:104, 128:136, 72:80] = 0
    assert lesion_pattern(Volume(data, affine), cell_mm=8.0).max() == pytest.approx(np.sqrt(0.5))


def test_what_lies_outside_the_box_is_not_counted() -> None:
    affine = np.eye(4)
    affine[:3, 3] = [200.0, 0.0, 0.0]
    pattern = lesion_pattern(Volume(np.ones((4, 4, 4)), affine), cell_mm=8.0)
    assert not pattern.any() and pattern.size == np.prod(lattice(8.0))


def test_half_and_below_is_no_lesion() -> None:
    mask = Volume(np.full((4, 4, 4), 0.5, np.float32), np.eye(4))
    assert not lesion_pattern(mask, cell_mm=8.0).any()
    assert not lesion_pattern(Volume(np.zeros((4, 4, 4), bool), np.eye(4)), cell_mm=8.0).any()
