"""Other images on the perfusion grid."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from reperfuse.imaging.grids import compose, rigid_matrix
from reperfuse.imaging.volume import Volume
from reperfuse.perfusion.grid import carry, from_pwi

CENTRE = (0.0, 0.0, 0.0)
TO_PWI = rigid_matrix((2, -3, 4), (3, 5, -2), CENTRE)  # J0 diffusion → PWI
TO_J1 = rigid_matrix((-4, 1, 6), (-6, 2, 4), CENTRE)  # J0 → J1
TO_GRE = rigid_matrix((1, 2, -1), (2, -1, 3), CENTRE)  # J1 diffusion → GRE
NAMES = {"core_criterion": "adc620", "path": "pwi.nii.gz", "ht_path": "ht.nii.gz"}


def registration(*accepted: str) -> dict[str, Any]:
    pairs = {
        "J0_pwi": ("J0_s0", TO_PWI),
        "J1_trace": ("J0_trace", TO_J1),
        "J1_gre": ("J1_s0", TO_GRE),
    }
    return {
        "pairs": [
            {"fixed": fixed, "moving": moving, "accepted": moving in accepted, "matrix": matrix.tolist()}
            for moving, (fixed, matrix) in pairs.items()
        ]
    }


ALL = registration("J0_pwi", "J1_trace", "J1_gre")


def grid(shape: tuple[int, int, int], zooms: tuple[float, float, float]) -> Volume:
    affine = np.diag([*zooms, 1.0])
    affine[:3, 3] = -(np.array(shape) - 1) / 2 * zooms
    return Volume(np.zeros(shape, np.float32), affine)


def ball(like: Volume, from_j0: np.ndarray, centre: tuple[float, ...], radius_mm: float) -> np.ndarray:
    """A ball given in J0's mm, seen on a grid that lies in the space of an image."""
    back = np.linalg.inv(from_j0) @ like.affine
    index = np.indices(like.data.shape).reshape(3, -1)
    points = back[:3, :3] @ index + back[:3, 3:]
    inside = ((points - np.array(centre)[:, None]) ** 2).sum(axis=0) < radius_mm**2
    return inside.reshape(like.data.shape)


PWI = grid((50, 50, 24), (4.0, 4.0, 6.0))
DWI = grid((100, 100, 30), (2.0, 2.0, 5.0))
GRE = grid((120, 120, 14), (1.6, 1.6, 5.0))


def images() -> dict[str, Volume]:
    lesion = ball(DWI, np.eye(4), (30, 10, 5), 18)
    return {
        "J0_adc": DWI.like(np.where(lesion, 500, 800).astype(np.float32)),
        "J0_s0": DWI.like(np.ones(DWI.data.shape, np.float32)),
        "J0_trace": DWI.like(np.where(lesion, 2, 1).astype(np.float32)),
        "J0_brain": DWI.like(ball(DWI, np.eye(4), (0, 0, 0), 65).astype(np.float32)),
        "J0_lesion": DWI.like(lesion.astype(np.float32)),
        "J0_adc620": DWI.like(lesion.astype(np.float32)),
        "J1_gre": GRE.like(np.ones(GRE.data.shape, np.float32)),
    }


def test_matrices_are_chained_from_the_perfusion_grid_outwards() -> None:
    found = from_pwi(ALL)
    np.testing.assert_allclose(found["J0"] @ TO_PWI, np.eye(4), atol=1e-12)
    np.testing.assert_allclose(found["J1_gre"], compose(found["J0"], TO_J1, TO_GRE))
    assert from_pwi(registration("J1_trace", "J1_gre")) == {}
    assert from_pwi(registration("J0_pwi", "J1_gre")).keys() == {"J0"}
    assert from_pwi({}) == {}


def test_a_gre_that_is_all_of_a_follow_up_is_reached_without_diffusion_of_its_own() -> None:
    known = registration("J0_pwi")
    known["pairs"][2] |= {"fixed": "J0_s0", "accepted": True}
    found = from_pwi(known)
    assert found.keys() == {"J0", "J1_gre"}
    np.testing.assert_allclose(found["J1_gre"], TO_GRE @ np.linalg.inv(TO_PWI), atol=1e-12)


def test_lesion_and_haemorrhage_land_where_they_are_and_keep_their_volume() -> None:
    bleeding = GRE.like(ball(GRE, compose(TO_J1, TO_GRE), (28, 8, 4), 12))
    done = carry(images(), ALL, PWI, ht=bleeding, **NAMES)
    assert done.faults == []
    for name, centre, radius in (("PWI_lesion", (30, 10, 5), 18), ("PWI_ht", (28, 8, 4), 12)):
        mask, truth = done.images[name], ball(PWI, TO_PWI, centre, radius)
        assert mask.data.dtype == bool
        assert 2 * (mask.data & truth).sum() / (mask.data.sum() + truth.sum()) > 0.9
        assert mask.data.sum() == pytest.approx(truth.sum(), rel=0.08)
    assert set(np.unique(done.images["PWI_core"].data)) == {False, True}
    inside = done.images["PWI_adc"].data[ball(PWI, TO_PWI, (30, 10, 5), 12)]
    np.testing.assert_allclose(inside, 500, atol=1)
    assert done.sources["PWI_ht"] == "J1_ht" and done.sources["PWI_adc"] == "J0_adc"
    assert done.brain is not None and done.brain.sum() * PWI.voxel_ml == pytest.approx(1150, rel=0.05)


def test_what_the_gre_did_not_see_is_told_from_what_it_saw() -> None:
    done = carry(images(), ALL, PWI, ht=None, **NAMES)
    covered = done.images["PWI_covered"].data
    share = covered.sum() * PWI.voxel_ml / (GRE.data.size * GRE.voxel_ml)
    assert 0.9 < share < 1.1 and not covered[:, :, 0].any() and covered[25, 25, 12]
    assert "PWI_ht" not in done.images, "without a mask there is no absence of haemorrhage"


@pytest.mark.parametrize(
    ("accepted", "lost", "kept"),
    [
        (("J1_trace", "J1_gre"), {"PWI_adc", "PWI_lesion", "PWI_gre", "PWI_ht"}, set()),
        (("J0_pwi", "J1_gre"), {"PWI_gre", "PWI_ht", "PWI_covered"}, {"PWI_adc", "PWI_lesion", "PWI_core"}),
        (("J0_pwi", "J1_trace"), {"PWI_gre", "PWI_ht"}, {"PWI_adc"}),
    ],
)
def test_nothing_is_carried_by_a_transform_that_was_not_accepted(
    accepted: tuple[str, ...], lost: set[str], kept: set[str]
) -> None:
    done = carry(images(), registration(*accepted), PWI, ht=GRE.like(GRE.data > 0), **NAMES)
    assert not lost & done.images.keys() and kept <= done.images.keys()
    assert {fault.code for fault in done.faults} == {"W160"}
    assert all("register" in fault.sentence for fault in done.faults)


def test_a_mask_of_another_grid_is_refused_and_the_rest_goes_on() -> None:
    elsewhere = Volume(np.ones((10, 10, 4), bool), np.diag([3.0, 3.0, 3.0, 1.0]))
    done = carry(images(), ALL, PWI, ht=elsewhere, **NAMES)
    assert [(fault.code, fault.path) for fault in done.faults] == [("E120", "ht.nii.gz")]
    assert "PWI_ht" not in done.images and "PWI_gre" in done.images


def test_a_mask_without_its_gre_is_told() -> None:
    without = {name: image for name, image in images().items() if name != "J1_gre"}
    done = carry(without, ALL, PWI, ht=GRE.like(GRE.data > 0), **NAMES)
    assert [fault.code for fault in done.faults] == ["W160"] and "J1_gre" in done.faults[0].sentence
