from __future__ import annotations

import io
from itertools import permutations, product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from reperfuse.imaging.volume import Volume
from reperfuse.reporting.slices import Layout, block, bounding_box, outline, plane, render, spread


def _spot(order: tuple[int, ...], signs: tuple[int, ...]) -> Volume:
    """Return an image, stored along any axes, whose bright voxel is far right, anterior and superior."""
    data = np.zeros((5, 6, 7), np.float32)
    data[4, 5, 6] = 1.0
    affine = np.diag([2.0, 3.0, 4.0, 1.0])
    for axis, sign in enumerate(signs):
        if sign < 0:
            data = np.flip(data, axis)
            affine[axis, axis] *= -1
    columns = [*order, 3]
    return Volume(data.transpose(order), affine[:, columns])


@pytest.mark.parametrize("order", list(permutations(range(3))))
@pytest.mark.parametrize("signs", list(product((1, -1), repeat=3)))
def test_any_storage_is_turned_the_same_way(order: tuple[int, ...], signs: tuple[int, ...]) -> None:
    turned = block(_spot(order, signs))
    assert turned is not None
    assert turned.zooms == (2.0, 3.0, 4.0)
    assert turned.data[4, 5, 6] == 1.0


def test_the_right_side_is_on_the_left_and_anterior_is_up() -> None:
    turned = block(_spot((0, 1, 2), (1, 1, 1)))
    assert turned is not None
    assert plane(turned.data, "axial", 6)[0, 0] == 1.0
    assert plane(turned.data, "coronal", 5)[0, 0] == 1.0
    assert plane(turned.data, "sagittal", 4)[0, 0] == 1.0


def test_a_voxel_is_shown_with_its_proportions() -> None:
    layout = Layout(
        (10, 10, 4), (1.0, 2.0, 5.0), (slice(0, 10), slice(0, 10), slice(0, 4)), (("axial", 1),), 1, 0.5
    )
    assert layout.tile_size("axial") == (20, 40)
    assert layout.tile_size("coronal") == (20, 40)
    assert layout.tile_size("sagittal") == (40, 40)


def test_contour_and_picture_agree() -> None:
    mask = np.zeros((20, 30, 4), bool)
    mask[3:9, 20:26, 2] = True
    whole = (slice(0, 20), slice(0, 30), slice(0, 4))
    layout = Layout(mask.shape, (2.0, 2.0, 5.0), whole, (("axial", 1), ("axial", 2)), 2, 0.5)
    turned = block(Volume(mask.astype(np.float32), np.diag([2.0, 2.0, 5.0, 1.0])))
    assert turned is not None
    grey = np.asarray(Image.open(io.BytesIO(render(turned, layout, (0.0, 1.0)))).convert("L"))
    assert grey.shape == layout.size[::-1]
    rows, columns = np.nonzero(grey > 128)
    numbers = outline(mask, layout).replace("M", "").replace("Z", "").replace("L", " ").split()
    points = np.array(numbers, float).reshape(-1, 2)
    assert points.min(axis=0) == pytest.approx([columns.min(), rows.min()], abs=2.0)
    assert points.max(axis=0) == pytest.approx([columns.max(), rows.max()], abs=2.0)
    # The patient's right (high first index) is left: low indices lie in the right half of their tile.
    assert points[:, 0].min() > layout.cell[0] * 1.5


def test_nothing_has_no_contour() -> None:
    layout = Layout(
        (4, 4, 2), (1.0, 1.0, 1.0), (slice(0, 4), slice(0, 4), slice(0, 2)), (("axial", 0),), 1, 1.0
    )
    assert outline(np.zeros((4, 4, 2), bool), layout) == ""


@given(st.integers(0, 200), st.integers(0, 200), st.integers(1, 40), st.data())
def test_spread_stays_inside_and_keeps_one(low: int, length: int, count: int, data: st.DataObject) -> None:
    keep = data.draw(st.integers(low, low + length))
    chosen = spread(low, low + length, count, keep)
    assert keep in chosen
    assert chosen == sorted(set(chosen))
    assert len(chosen) <= count
    assert low <= chosen[0]
    assert chosen[-1] <= low + length


def test_box_holds_the_mask() -> None:
    mask = np.zeros((10, 10, 10), bool)
    mask[4:6, 5, 9] = True
    box = bounding_box(mask, (1.0, 2.0, 4.0), (2.0, 2.0, 0.0))
    assert box == (slice(2, 8), slice(4, 7), slice(9, 10))
    assert bounding_box(np.zeros((3, 4, 5), bool), (1.0, 1.0, 1.0), (0.0, 0.0, 0.0))[2] == slice(0, 5)


def test_an_image_of_no_extent_or_none_is_none() -> None:
    assert block(None) is None
    assert block(Volume(np.zeros((0, 3, 3), np.float32), np.eye(4))) is None


def test_a_noisy_picture_is_stored_within_the_budget() -> None:
    noise = block(
        Volume(np.random.default_rng(3).random((90, 110, 24), np.float32), np.diag([2.0, 2.0, 5.0, 1.0]))
    )
    assert noise is not None
    whole = (slice(0, 90), slice(0, 110), slice(0, 24))
    tiles = tuple(("axial", index) for index in range(20))
    content = render(noise, Layout(noise.data.shape, noise.zooms, whole, tiles, 5, 1.0), (-1.0, 2.0))
    assert 100_000 < len(content) <= 150_000
