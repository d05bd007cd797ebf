"""Errors and contrast-to-noise ratios of a reconstruction."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reperfuse.studies.fusion import measures

SHAPE = (6, 6, 6)
MASK = np.ones(SHAPE, dtype=bool)
MASK[0] = False
RNG = np.random.default_rng(0)


def test_errors_by_hand() -> None:
    x = np.full(SHAPE, 0.5)
    x[1] = 1.0
    found = measures.errors(x, np.full(SHAPE, 0.6), np.full(SHAPE, 0.5), MASK)
    assert found["mse"] == pytest.approx((4 * 0.01 + 0.16) / 5)
    assert found["mse_mean"] == pytest.approx(0.25 / 5)
    assert found["r2"] == pytest.approx(1 - 0.04 / 0.05)
    assert found["norm_diff"] == pytest.approx((4 * 0.1 + 0.4) / (4 * 0.5 + 1))


def test_what_cannot_be_had_is_none_and_never_nan() -> None:
    empty = np.zeros(SHAPE)
    found = measures.errors(empty, empty, empty, MASK)
    assert found == {"mse": 0.0, "mse_mean": 0.0, "r2": None, "norm_diff": None}
    assert set(measures.cnr_columns(empty, empty, None).values()) == {None}
    flat = measures.cnr_columns(empty, empty, ("lesion", MASK, MASK))
    assert set(flat.values()) == {None}


@given(st.floats(0.1, 10), st.floats(-5, 5))
def test_contrast_to_noise_knows_neither_scale_nor_offset(scale: float, offset: float) -> None:
    x = RNG.normal(0, 1, SHAPE)
    first = MASK & (np.indices(SHAPE)[1] < 3)
    x[first] += 2
    one = measures.contrast_to_noise(x, first, MASK & ~first)
    assert one == pytest.approx(
        measures.contrast_to_noise(scale * x + offset, first, MASK & ~first), rel=1e-6
    )
    assert one == pytest.approx(2 / np.sqrt(2), abs=0.4)


def test_a_smoother_image_has_another_ratio() -> None:
    first = MASK & (np.indices(SHAPE)[1] < 3)
    x = RNG.normal(0, 0.1, SHAPE) + first
    half = np.where(first, 0.75, 0.25) + (x - first)
    found = measures.cnr_columns(x, half, ("grey_white", first, MASK & ~first))
    assert found["cnr_of"] == "grey_white" and found["cnr_change"] == pytest.approx(-0.5, abs=0.02)


def test_regions_are_tissue_then_lesion_then_nothing() -> None:
    grey = np.indices(SHAPE)[1] < 3
    lesion = np.zeros(SHAPE, dtype=bool)
    lesion[:, :, 0] = True
    name, first, second = measures.regions("trace", MASK, {"grey": grey, "white": ~grey}, lesion) or (
        "",
        None,
        None,
    )
    assert name == "grey_white" and not (first & lesion).any() and not (second & lesion).any()
    name, first, second = measures.regions("trace", MASK, None, lesion) or ("", None, None)
    assert name == "lesion" and second[1, 0, 5] and not second[..., :5].any() and not (first & ~MASK).any()
    both = lesion | lesion[..., ::-1]
    name, first, second = measures.regions("trace", MASK, None, both) or ("", None, None)
    assert not second.any() and measures.contrast_to_noise(np.ones(SHAPE), first, second) is None
    assert measures.regions("trace", MASK, None, None) is None
    assert measures.regions("lesion", MASK, {"grey": grey, "white": ~grey}, lesion) is None
