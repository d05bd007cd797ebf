from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import ants
import numpy as np
import pytest
import yaml
from scipy import ndimage

from reperfuse.imaging.alignment_quality import dice
from reperfuse.imaging.ants_engine import Stage, fit, to_ants
from reperfuse.imaging.grids import centre_mm, invert, itk_text, rigid_matrix
from reperfuse.imaging.normalisation import Normalisation, normalise
from reperfuse.imaging.template import mni152
from reperfuse.imaging.volume import Volume
from reperfuse.imaging.warp import Warp, from_template, jacobian, read_warp, to_template, write_warp

ROOT = Path(__file__).resolve().parents[2]
SCHEMA = yaml.safe_load((ROOT / "workflow/schemas/normalise.schema.yaml").read_text(encoding="utf-8"))
SETTINGS = {name: rule["default"] for name, rule in SCHEMA["properties"].items() if name != "resolution_mm"}
FAST = {"affine_iterations": [100, 50], "syn_iterations": [15, 4]}
TEMPLATE, TEMPLATE_MASK = mni152(resolution_mm=4)


def smooth_field(amplitude_mm: float) -> np.ndarray:
    """Return a smooth displacement on the template grid that does not fold."""
    rng = np.random.default_rng(2)
    field = np.stack([ndimage.gaussian_filter(rng.normal(size=TEMPLATE.data.shape), 5) for _ in range(3)], -1)
    return (field * amplitude_mm / np.abs(field).max()).astype(np.float32)


def patient() -> tuple[Volume, np.ndarray]:
    """Return the template warped by a known transform, with another contrast, and its brain mask."""
    matrix = rigid_matrix([5, -4, 8], [12, -20, 15], centre_mm(TEMPLATE, TEMPLATE_MASK.data))
    matrix[:3, :3] *= 0.92
    truth = Warp(matrix, TEMPLATE.like(smooth_field(0)), TEMPLATE.like(smooth_field(5)))
    grid = Volume(np.zeros((52, 60, 34), np.float32), np.diag([-4.0, 4.0, 5.0, 1.0]))
    grid.affine[:3, 3] = centre_mm(TEMPLATE, TEMPLATE_MASK.data) + np.array([116, -140, -70])
    image = from_template(TEMPLATE, grid, truth, interpolation="linear").data
    mask = from_template(TEMPLATE_MASK, grid, truth, interpolation="linear").data
    other = np.where(mask, 900 - 700 * image, 0) + np.random.default_rng(0).normal(0, 10, image.shape)
    return grid.like(np.where(mask, other, 0).astype(np.float32)), mask


PATIENT, BRAIN = patient()


def run(**changes: Any) -> Normalisation:
    settings = {
        **SETTINGS,
        **FAST,
        "moving_name": "J0_s0",
        "template_name": "MNI152",
        **changes,
    }
    return normalise(PATIENT, BRAIN, TEMPLATE, TEMPLATE_MASK.data, **settings)


@pytest.fixture(scope="module")
def found() -> Normalisation:
    return run()


def test_another_contrast_is_normalised_and_the_nonlinear_stage_helps(found: Normalisation) -> None:
    assert found.accepted and found.faults == () and found.facts["accepted"]
    assert found.facts["nmi_syn"] > found.facts["nmi_affine"] + 0.01
    assert found.facts["brain_dice"] > 0.95
    assert found.facts["affine_determinant"] == pytest.approx(0.92**3, abs=0.06)
    assert found.warp is not None
    pulled = to_template(PATIENT, found.warp, interpolation="linear").data
    inner = ndimage.binary_erosion(TEMPLATE_MASK.data, iterations=3)
    assert np.corrcoef(pulled[inner], TEMPLATE.data[inner])[0, 1] < -0.85


def test_there_and_back_is_the_same_place(found: Normalisation) -> None:
    assert found.warp is not None
    there = to_template(PATIENT.like(BRAIN), found.warp, interpolation="linear")
    back = from_template(there, PATIENT, found.warp, interpolation="linear")
    assert back.data.dtype == bool and dice(back.data, BRAIN) > 0.96


def test_labels_keep_their_values(found: Normalisation) -> None:
    assert found.warp is not None
    x = np.indices(TEMPLATE.data.shape)[0]
    labels = TEMPLATE.like(np.where(TEMPLATE_MASK.data, np.where(x > 24, 12, 7), 0).astype(np.int16))
    carried = from_template(labels, PATIENT, found.warp, interpolation="nearest").data
    assert carried.dtype == np.int16 and set(np.unique(carried)) == {0, 7, 12}


def test_the_jacobian_says_how_volumes_change(found: Normalisation) -> None:
    assert found.warp is not None and found.jacobian is not None
    assert found.jacobian.data.shape == TEMPLATE.data.shape
    assert found.facts["jacobian_min"] > 0
    predicted = found.jacobian.data[TEMPLATE_MASK.data].sum() * TEMPLATE.voxel_ml
    assert predicted == pytest.approx(BRAIN.sum() * PATIENT.voxel_ml, rel=0.06)


def test_the_jacobian_of_a_known_stretch() -> None:
    points = np.moveaxis(np.indices(TEMPLATE.data.shape), 0, -1) @ TEMPLATE.affine[:3, :3].T
    stretch = (points * [0.1, 0.0, -0.2]).astype(np.float32)
    warp = Warp(np.diag([2.0, 1.0, 1.0, 1.0]), TEMPLATE.like(stretch), TEMPLATE.like(stretch))
    assert np.allclose(jacobian(warp).data, 1.1 * 0.8 * 2.0, atol=1e-4)


def test_files_are_what_ants_applies_and_read_back_the_same(found: Normalisation, tmp_path: Path) -> None:
    assert found.warp is not None
    names = ("affine.txt", "warp.nii.gz", "inverse.nii.gz")
    affine, forward, inverse = (tmp_path / name for name in names)
    write_warp(found.warp, affine=affine, forward=forward, inverse=inverse)
    first = forward.read_bytes()
    write_warp(found.warp, affine=affine, forward=forward, inverse=inverse)
    assert forward.read_bytes() == first

    again = read_warp(affine=affine, forward=forward, inverse=inverse)
    assert np.allclose(again.matrix, found.warp.matrix, atol=1e-12)
    assert np.array_equal(again.forward.data, found.warp.forward.data)
    assert np.array_equal(again.inverse.data, found.warp.inverse.data)

    apply = ants.apply_transforms
    pair = to_ants(TEMPLATE), to_ants(PATIENT)
    theirs = apply(*pair, [str(forward), str(affine)]).numpy()
    ours = to_template(PATIENT, found.warp, interpolation="linear").data
    assert np.abs(ours - theirs)[TEMPLATE_MASK.data].max() < 1.0
    # antspyx inverts nothing but .mat files; the command line has no such wish.
    affine.write_text(itk_text(invert(found.warp.matrix)), encoding="ascii")
    theirs = apply(*pair[::-1], [str(affine), str(inverse)]).numpy()
    ours = from_template(TEMPLATE, PATIENT, found.warp, interpolation="linear").data
    # ANTs gives 0 where the field ends; the brain is well within.
    assert np.abs(ours - theirs)[BRAIN].max() < 0.01


def test_a_mask_of_another_space_is_chained_and_interpolated_once(found: Normalisation) -> None:
    assert found.warp is not None
    through = rigid_matrix([0, 0, 0], [8.0, -4.0, 5.0], [0, 0, 0])
    shifted = Volume(BRAIN, through @ PATIENT.affine)
    direct = to_template(PATIENT.like(BRAIN), found.warp, interpolation="nearest").data
    chained = to_template(shifted, found.warp, interpolation="nearest", through=through).data
    assert dice(direct, chained) > 0.999


def test_two_runs_agree_to_the_bit_and_leave_nothing(
    found: Normalisation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    again = run()
    assert again.warp is not None and found.warp is not None
    assert again.warp.matrix.tobytes() == found.warp.matrix.tobytes()
    assert again.warp.forward.data.tobytes() == found.warp.forward.data.tobytes()
    assert again.warp.inverse.data.tobytes() == found.warp.inverse.data.tobytes()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("side", [-1, 1])
@pytest.mark.parametrize("which", ["fixed_mask", "moving_mask"])
def test_the_metric_reads_within_the_masks_only(which: str, side: int) -> None:
    # The halves of this image are shifted against each other: a mask decides which shift is found.
    halves = np.indices(TEMPLATE.data.shape)[0] > 24
    up, down = (ndimage.shift(TEMPLATE.data, [0, 0, step], order=1) for step in (2, -2))
    moving = TEMPLATE.like(np.where(halves, up, down))
    masks = {"fixed_mask": None, "moving_mask": None, which: halves if side > 0 else ~halves}
    stage = Stage("Translation[0.5]", "mattes", 32, 0.3, (60, 30), (2, 1), (2.0, 1.0), 1e-7, 10)
    found = fit(TEMPLATE, moving, [stage], start=np.eye(4), seed=1, **masks)
    assert found.matrix[2, 3] == pytest.approx(8.0 * side, abs=1.0)


def test_an_image_without_anatomy_is_refused() -> None:
    noise = np.random.default_rng(4).normal(500, 100, BRAIN.shape).astype(np.float32)
    settings = {**SETTINGS, **FAST, "affine_iterations": [5, 0], "syn_iterations": [2, 0]}
    names: dict[str, Any] = {"moving_name": "J0_s0", "template_name": "MNI152"}
    found = normalise(PATIENT.like(noise), BRAIN, TEMPLATE, TEMPLATE_MASK.data, **settings, **names)
    assert not found.accepted
    (fault,) = found.faults
    assert fault.code == "E150" and "J0_s0 could not be aligned with MNI152" in fault.sentence
