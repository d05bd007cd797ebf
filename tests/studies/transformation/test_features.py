from __future__ import annotations

import json

import numpy as np
import pytest

from reperfuse.studies.transformation.features import (
    Scaling,
    diffusion,
    diffusion_maps,
    interior,
    patches,
    vectors,
    with_aif,
)

RNG = np.random.default_rng(2)


def test_a_patch_holds_the_neighbours_in_plane_row_by_row() -> None:
    grid = RNG.normal(size=(6, 5, 3, 4)).astype(np.float32)
    at = np.argwhere(interior(np.ones(grid.shape[:3], dtype=bool)))
    found = patches(grid, at)
    assert found.shape == (4 * 3 * 3, 4, 9) and found.dtype == np.float32
    for (x, y, z), patch in zip(at, found, strict=True):
        assert np.array_equal(patch.T, grid[x - 1 : x + 2, y - 1 : y + 2, z].reshape(9, 4))
    assert np.array_equal(patches(grid[..., 2], at.astype(np.int16)), found[:, 2])


@pytest.mark.parametrize("voxel", [(0, 2, 1), (5, 2, 1), (2, 0, 1), (2, 4, 1), (2, 2, 3), (-1, 2, 0)])
def test_a_voxel_without_a_full_patch_is_refused(voxel: tuple[int, int, int]) -> None:
    with pytest.raises(ValueError, match="border of the grid 6×5×3"):
        patches(np.zeros((6, 5, 3)), np.array([voxel]))


def test_the_first_and_the_last_slice_have_patches() -> None:
    kept = interior(np.ones((4, 4, 2), dtype=bool))
    assert kept.sum() == 8 and kept[1, 1, 0] and kept[2, 2, 1] and not kept[0].any() and not kept[:, -1].any()
    assert patches(np.ones((4, 4, 2)), np.argwhere(kept)).shape == (8, 9)
    assert patches(np.ones((4, 4, 2)), np.empty((0, 3), dtype=int)).shape == (0, 9)


def test_the_aif_is_the_tenth_feature_and_the_vector_has_618() -> None:
    curves, dwi = RNG.normal(size=(5, 60, 9)), RNG.normal(size=(5, 18))
    one, each = RNG.normal(size=60), RNG.normal(size=(5, 60))
    assert np.allclose(with_aif(curves, one)[3, :, 9], one) and with_aif(curves, one).shape == (5, 60, 10)
    assert np.allclose(with_aif(curves, each)[3, :, 9], each[3])
    flat = vectors(curves, each, dwi)
    assert flat.shape == (5, 618) and flat.dtype == np.float32
    assert np.allclose(flat[2], np.concatenate([curves[2].ravel(), each[2], dwi[2]]))


def test_diffusion_is_divided_by_the_brain_of_the_patient() -> None:
    b0, trace = RNG.uniform(200, 400, (6, 6, 2)), RNG.uniform(20, 60, (6, 6, 2))
    brain = interior(np.ones(b0.shape, dtype=bool))
    b0[0, 0] = 1e6  # outside of the brain
    at = np.argwhere(brain)
    found = diffusion(diffusion_maps(b0, trace, brain), at)
    assert np.allclose(found, diffusion(diffusion_maps(3 * b0, 7 * trace, brain), at), rtol=1e-5)
    assert np.median(found[:, 4]) == pytest.approx(1) == np.median(found[:, 13])
    assert np.allclose(found[:, 4], b0[brain] / np.median(b0[brain]), rtol=1e-6)
    with pytest.raises(ValueError, match="median of trace in the brain is 0"):
        diffusion_maps(b0, 0 * trace, brain)


def test_scaling_keeps_amplitudes_and_ratios_of_curves() -> None:
    curves = RNG.normal(3, 2, (50, 60, 9)).astype(np.float32)
    aif = RNG.normal(30, 5, (4, 60))
    clinical = np.array([[70, 6.0, np.nan], [60, 8.0, 5.0], [80, np.nan, 5.0], [66, 7.0, 5.0]])
    scaling = Scaling.of(curves, aif, clinical)
    scaled = scaling.curves(curves)
    assert scaled.dtype == np.float32
    assert float(scaled.mean()) == pytest.approx(0, abs=1e-4) and float(scaled.std()) == pytest.approx(
        1, abs=1e-4
    )
    assert np.allclose(np.diff(scaled, axis=1) * scaling.curve_sd, np.diff(curves, axis=1), atol=1e-5)
    assert np.allclose(scaling.aif(aif), (aif - aif.mean()) / aif.std(), atol=1e-5)
    z = scaling.clinical(clinical)
    assert np.allclose(z[:, 0], (clinical[:, 0] - 69) / clinical[:, 0].std())
    assert z[2, 1] == 0 and z[0, 2] == 0 and (z[:, 2] == 0).all()  # missing, missing, never varies
    assert np.isfinite(z).all()


def test_scaling_survives_a_card() -> None:
    scaling = Scaling.of(RNG.normal(size=(5, 60, 9)), RNG.normal(size=(2, 60)), RNG.normal(size=(2, 3)))
    assert Scaling.from_plain(json.loads(json.dumps(scaling.plain()))) == scaling
    assert (
        Scaling.of(RNG.normal(size=(5, 60, 9)), RNG.normal(size=(2, 60)), np.empty((2, 0))).clinical_mean
        == ()
    )


@pytest.mark.parametrize("value", [0.0, np.nan])
def test_curves_that_cannot_be_scaled_are_refused(value: float) -> None:
    with pytest.raises(ValueError, match="SD of the training concentrations"):
        Scaling.of(np.full((5, 60, 9), value), RNG.normal(size=(2, 60)), np.empty((2, 0)))
