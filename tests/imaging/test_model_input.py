from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from reperfuse.core.errors import Refusal
from reperfuse.imaging.model_input import input_to_index, model_input, to_native
from reperfuse.imaging.volume import Volume

SHAPE = (12, 32, 40)
OPTIONS = {"shape": SHAPE, "clip": 3000.0, "background": "zero", "seed": 1}
CENTRE_MM = np.array([9.0, -14.0, 11.0])


def oriented(order: tuple[int, ...], signs: tuple[int, ...], spacing: float = 2.0) -> np.ndarray:
    """Return an affine whose stored axes are a permutation, with signs, of the body's, about the origin."""
    affine = np.eye(4)
    affine[:3, :3] = 0
    for stored, world in enumerate(order):
        affine[world, stored] = signs[stored] * spacing
    return affine


def head(affine: np.ndarray, size: tuple[int, int, int] = (40, 36, 30)) -> tuple[Volume, Volume]:
    """Return an ellipsoid of ADC 800 with a blob of 1600 at ``CENTRE_MM``, and its mask."""
    affine = affine.copy()
    affine[:3, 3] = -affine[:3, :3] @ ((np.array(size) - 1) / 2)
    index = np.moveaxis(np.indices(size), 0, -1)
    mm = index @ affine[:3, :3].T + affine[:3, 3]
    brain = (mm**2).sum(-1) < 30.0**2
    blob = ((mm - CENTRE_MM) ** 2).sum(-1) < 7.0**2
    data = np.where(brain, np.where(blob, 1600.0, 800.0), 50.0).astype(np.float32)
    return Volume(data, affine), Volume(brain, affine)


ORIENTATIONS = [
    ((0, 1, 2), (1, 1, 1)),
    ((0, 1, 2), (-1, 1, 1)),
    ((0, 2, 1), (-1, -1, 1)),
    ((2, 0, 1), (1, -1, -1)),
    ((1, 2, 0), (1, 1, -1)),
]


@pytest.mark.parametrize(("order", "signs"), ORIENTATIONS)
def test_a_blob_is_found_where_the_body_has_it_and_comes_back_to_its_place(order, signs) -> None:
    adc, brain = head(oriented(order, signs))
    array = model_input(adc, brain, **OPTIONS)
    assert array.shape == SHAPE
    assert array.dtype == np.float32
    blob = array > (array.max() + np.median(array[array != 0])) / 2
    found = ndimage.center_of_mass(blob)
    # Superior, anterior and left grow along the axes; the image spans its whole field of view.
    spans = np.abs(adc.affine[:3, :3] @ np.array(adc.data.shape))[[2, 1, 0]]
    expected = (CENTRE_MM[[2, 1, 0]] * [1, 1, -1] / spans + 0.5) * SHAPE - 0.5
    assert found == pytest.approx(expected, abs=0.35)

    native = to_native(blob.astype(np.float32), adc)
    weights = native.data
    index = ndimage.center_of_mass(weights)
    assert adc.affine[:3, :3] @ index + adc.affine[:3, 3] == pytest.approx(CENTRE_MM, abs=1.0)
    assert native.data.shape == adc.data.shape
    np.testing.assert_array_equal(native.affine, adc.affine)


@pytest.mark.parametrize(("order", "signs"), ORIENTATIONS[:3])
def test_the_same_head_stored_otherwise_gives_the_same_input(order, signs) -> None:
    size = np.array([40, 36, 30])
    one, mask = head(oriented((0, 1, 2), (1, 1, 1)), tuple(size))
    other, other_mask = head(oriented(order, signs), tuple(size[list(order)]))
    np.testing.assert_allclose(
        model_input(one, mask, **OPTIONS), model_input(other, other_mask, **OPTIONS), atol=1e-4
    )


@settings(max_examples=30, deadline=None)
@given(
    size=st.tuples(*[st.integers(3, 40)] * 3),
    shape=st.tuples(*[st.integers(2, 40)] * 3),
    order=st.sampled_from(list(itertools.permutations(range(3)))),
    signs=st.tuples(*[st.sampled_from([1, -1])] * 3),
)
def test_the_input_spans_the_field_of_view_edge_to_edge(size, shape, order, signs) -> None:
    volume = Volume(np.empty(size, np.float32), oriented(order, signs))
    index = input_to_index(shape, volume)
    corners = np.array(list(itertools.product(*((-0.5, n - 0.5) for n in shape))))
    found = corners @ index[:3, :3].T + index[:3, 3]
    np.testing.assert_allclose(found.min(axis=0), -0.5, atol=1e-9)
    np.testing.assert_allclose(found.max(axis=0), np.array(size) - 0.5, atol=1e-9)
    world = volume.affine[:3, :3] @ index[:3, :3]
    assert (world[[2, 1, 0], [0, 1, 2]] * [1, 1, -1] > 0).all()


def test_values_are_normalised_over_the_brain_and_clipped() -> None:
    adc, brain = head(oriented(*ORIENTATIONS[0]))
    array = model_input(adc, brain, **OPTIONS)
    inside = array[array != 0].astype(np.float64)
    assert inside.mean() == pytest.approx(0, abs=1e-5)
    assert inside.std() == pytest.approx(1, abs=1e-5)
    # The tissue around the brain (50) is neither in the statistics nor in the rim.
    assert inside.min() == pytest.approx(np.median(inside), abs=1e-4)
    bright = np.where(adc.data == 1600, 9000, adc.data).astype(np.float32)
    at_limit = np.where(adc.data == 1600, 3000, adc.data).astype(np.float32)
    np.testing.assert_array_equal(
        model_input(adc.like(bright), brain, **OPTIONS), model_input(adc.like(at_limit), brain, **OPTIONS)
    )


def test_units_cancel_and_zeros_inside_the_brain_are_background() -> None:
    adc, brain = head(oriented(*ORIENTATIONS[0]))
    array = model_input(adc, brain, **OPTIONS)
    doubled = model_input(adc.like(adc.data * 2), brain, **{**OPTIONS, "clip": 6000.0})
    np.testing.assert_allclose(array, doubled, atol=1e-4)
    holed = adc.data.copy()
    holed[18:22, 16:20, 13:17] = 0
    holed[0, 0, 0] = np.nan
    found = model_input(adc.like(holed), brain, **OPTIONS)
    assert (found == 0).sum() > (array == 0).sum()
    assert np.isfinite(found).all()


def test_noise_depends_on_the_seed_alone_and_spares_the_brain() -> None:
    adc, brain = head(oriented(*ORIENTATIONS[0]))
    zero = model_input(adc, brain, **OPTIONS)
    first, again, other = (
        model_input(adc, brain, **{**OPTIONS, "background": "noise", "seed": seed}) for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(first, again)
    outside = zero == 0
    np.testing.assert_array_equal(first[~outside], other[~outside])
    assert (first[outside] != other[outside]).all()
    assert first[outside].mean() == pytest.approx(0, abs=0.05)
    assert first[outside].std() == pytest.approx(1, abs=0.05)


def test_without_a_mask_what_is_above_zero_counts() -> None:
    adc, brain = head(oriented(*ORIENTATIONS[0]))
    stripped = adc.like(np.where(brain.data, adc.data, 0).astype(np.float32))
    np.testing.assert_array_equal(model_input(stripped, None, **OPTIONS), model_input(adc, brain, **OPTIONS))


def test_a_map_without_contrast_or_with_another_grids_mask_is_refused() -> None:
    adc, brain = head(oriented(*ORIENTATIONS[0]))
    for data in (np.zeros_like(adc.data), -adc.data, np.full_like(adc.data, 700.0)):
        with pytest.raises(Refusal) as caught:
            model_input(adc.like(data), brain, **OPTIONS)
        assert caught.value.fault.code == "E111"
    with pytest.raises(Refusal) as caught:
        model_input(adc, brain.like(np.zeros_like(brain.data)), **OPTIONS)
    assert caught.value.fault.code == "E111"
    with pytest.raises(Refusal, match="40×36×29") as caught:
        model_input(adc, Volume(brain.data[..., :-1], brain.affine), **OPTIONS)
    assert caught.value.fault.code == "E120"


def test_a_map_of_features_lies_where_the_strides_put_it() -> None:
    adc, _ = head(oriented(*ORIENTATIONS[1]), (64, 64, 24))
    coarse = np.zeros((3, 8, 8), np.float32)
    coarse[1, 3, 5] = 1
    native = to_native(coarse, adc, shape=(24, 64, 64), stride=8)
    peak = np.unravel_index(native.data.argmax(), native.data.shape)
    # Stored axes run left, anterior, superior, as the input's do: columns, rows, slices.
    assert tuple(map(int, peak)) == (5 * 8, 3 * 8, 8)
    middle = to_native(coarse, adc)
    assert ndimage.center_of_mass(middle.data) == pytest.approx((43.5, 27.5, 11.5), abs=0.1)
