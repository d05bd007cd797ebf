from __future__ import annotations

import numpy as np
import pytest

from reperfuse.core.errors import Refusal
from reperfuse.imaging.carry import mask_mapper, pair_matrix
from reperfuse.imaging.volume import Volume
from reperfuse.imaging.warp import Warp

GRID = Volume(np.zeros((12, 12, 12, 3), np.float32), np.diag([2.0, 2.0, 2.0, 1.0]))
STILL = Warp(np.eye(4), GRID, GRID)


def shift(x_mm: float) -> list[list[float]]:
    matrix = np.eye(4)
    matrix[0, 3] = x_mm
    return matrix.tolist()


def block(first: int) -> Volume:
    data = np.zeros((12, 12, 12), bool)
    data[first : first + 3, 4:7, 4:7] = True
    return Volume(data, GRID.affine)


def pair(fixed: str, moving: str, x_mm: float, *, accepted: bool = True) -> dict:
    return {"fixed": fixed, "moving": moving, "matrix": shift(x_mm), "accepted": accepted}


def test_a_mask_of_j0_goes_through_the_driving_image() -> None:
    # The T1w lies 4 mm to the left of the diffusion image: its point x is the diffusion image's x + 4.
    to_mni = mask_mapper(STILL, {"to_reference": shift(4)}, {})
    assert to_mni is not None
    assert np.array_equal(to_mni(block(5), "J0").data, block(3).data)


@pytest.mark.parametrize("images", [("J0_s0", "J1_s0"), ("J0_trace", "J1_trace")])
def test_a_mask_of_j1_goes_through_j0_by_whatever_pair_was_accepted(images: tuple[str, str]) -> None:
    facts = {"reference": "J0_s0", "pairs": [pair(*images, 6)]}
    to_mni = mask_mapper(STILL, {"to_reference": shift(0)}, facts)
    assert to_mni is not None
    assert np.array_equal(to_mni(block(5), "J1").data, block(2).data)


def test_without_an_accepted_pair_j1_is_refused() -> None:
    facts = {"reference": "J0_s0", "pairs": [pair("J0_s0", "J1_s0", 6, accepted=False)]}
    to_mni = mask_mapper(STILL, {"to_reference": shift(0)}, facts)
    assert to_mni is not None
    with pytest.raises(Refusal, match="E160"):
        to_mni(block(5), "J1")


def test_without_a_warp_there_is_no_way() -> None:
    assert mask_mapper(None, {}, {}) is None
    assert pair_matrix({}, "J0_s0", "J0_t1w") is None


def test_an_image_with_a_space_of_its_own_goes_through_its_alignment() -> None:
    facts = {"pairs": [pair("J0_s0", "J0_flair", 6), pair("J0_s0", "J0_t1w", 4)]}
    to_mni = mask_mapper(STILL, {"to_reference": shift(0)}, facts)
    assert to_mni is not None
    assert np.array_equal(to_mni(block(5), "J0_flair").data, block(2).data)
    # The driving image itself: to the diffusion image and back.
    to_mni = mask_mapper(STILL, {"to_reference": shift(-4)}, facts)
    assert to_mni is not None
    assert np.array_equal(to_mni(block(5), "J0_t1w").data, block(5).data)
    with pytest.raises(Refusal, match="alignment of J0_gre"):
        to_mni(block(5), "J0_gre")


def test_an_image_of_j1_with_a_space_of_its_own_goes_through_both_visits() -> None:
    facts = {"pairs": [pair("J0_s0", "J1_s0", 2), pair("J1_s0", "J1_gre", 4)]}
    to_mni = mask_mapper(STILL, {"to_reference": shift(0)}, facts)
    assert to_mni is not None
    assert np.array_equal(to_mni(block(5), "J1_gre").data, block(2).data)
