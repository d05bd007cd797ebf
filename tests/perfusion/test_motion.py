"""Injected motion is found again, the bolus is not taken for motion, and nothing is mended that is whole."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import ndimage

from reperfuse.core.settings import fill, load_schema
from reperfuse.imaging.grids import rigid_matrix
from reperfuse.perfusion.motion import Motion, correct, displacement_mm
from reperfuse.phantom.patient import Patient, Protocol, row_of
from reperfuse.phantom.scalars import participant_id, simulate

SCHEMAS = Path(__file__).resolve().parents[2] / "workflow/schemas"
DEFAULTS: dict[str, Any] = fill({}, load_schema(SCHEMAS, "perfusion_series"))["motion"]
BASELINE = slice(0, 4)


@dataclass(frozen=True)
class Case:
    """A patient's series without noise or motion; ``passing`` are the frames of the bolus."""

    series: np.ndarray
    affine: np.ndarray
    brain: np.ndarray
    passing: np.ndarray

    @property
    def centre(self) -> np.ndarray:
        return self.affine[:3, :3] @ np.argwhere(self.brain).mean(axis=0) + self.affine[:3, 3]

    def moved(self, motions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the series with motions (n_frames, 6: mm and degrees) and noise, and the true matrices."""
        truth = np.array([rigid_matrix(m[3:], m[:3], self.centre) for m in motions])
        series = self.series.copy()
        for k in np.flatnonzero(np.abs(motions).max(axis=1) > 0):
            index = np.linalg.inv(self.affine) @ np.linalg.inv(truth[k]) @ self.affine
            series[..., k] = ndimage.affine_transform(
                series[..., k], index[:3, :3], index[:3, 3], order=3, mode="nearest"
            )
        return self.noisy(np.maximum(series, 0)), truth

    def noisy(self, series: np.ndarray) -> np.ndarray:
        """Add the noise of a scanner: 40 times below the brain's signal; air stays blank."""
        random, sigma = np.random.default_rng(7), series[self.brain].mean() / 40
        real, other = (random.standard_normal(series.shape, dtype=np.float32) * sigma for _ in range(2))
        return np.where(series > 0, np.hypot(series + real, other), 0).astype(np.float32)

    def errors_mm(self, found: Motion, truth: np.ndarray) -> np.ndarray:
        """Return the mean distance over the brain between found and true places, per frame."""
        points = np.argwhere(self.brain) @ self.affine[:3, :3].T + self.affine[:3, 3]
        shift = found.matrices - truth
        away = np.einsum("kij,nj->kni", shift[:, :3, :3], points) + shift[:, None, :3, 3]
        return np.linalg.norm(away, axis=2).mean(axis=1)


@cache
def case(index: int = 0, shape: tuple[int, int, int] = (64, 64, 20)) -> Case:
    protocol = Protocol(
        3, shape, (3.5, 3.5, 130 / shape[2]), 128, (44, 44), 0.08, 1000, 1e4, 0.08, 1, 1, 1, 1
    )
    patient = Patient(participant_id(index), row_of(simulate(index + 1, 3), index), protocol)
    _, border = patient.diffusion("J0")
    shot = patient.perfusion(border)
    series = shot.data[..., 2:].astype(np.float32)
    view = patient.view("J0_pwi")
    brain = view.image(view.tissues["brain"], np.bool_)
    course = series[brain].mean(axis=0)
    return Case(series, shot.affine, brain, course < course[:4].mean() - 0.05 * np.ptp(course))


def align(series: np.ndarray, one: Case, **changes: Any) -> Motion:
    return correct(series, one.affine, one.brain, baseline=BASELINE, **{**DEFAULTS, **changes})


@pytest.mark.parametrize("index", [0, 1, 2])
def test_motion_up_to_3_mm_and_3_degrees_is_found_again(index: int) -> None:
    one = case(index)
    motions = np.random.default_rng(index).uniform(-3, 3, (one.series.shape[3], 6))
    motions[BASELINE] = 0
    series, truth = one.moved(motions)
    found = align(series, one)
    errors = one.errors_mm(found, truth)
    assert errors[~one.passing].mean() < 0.25 and errors[~one.passing].max() < 0.5
    assert errors[one.passing].mean() < 0.4 and errors[one.passing].max() < 0.75
    assert found.corrected[4:].all() and not found.corrected[:4].any()
    # Aligned frames are by far nearer to frames that never moved, inside the brain.
    still = one.noisy(one.series)[one.brain]
    before, after = (np.abs(x[one.brain] - still)[:, 4:].mean() for x in (series, found.series))
    assert after < 0.6 * before


def test_motion_within_the_baseline_is_found_too() -> None:
    one = case()
    motions = np.zeros((one.series.shape[3], 6))
    motions[2:] = [1.0, 0.5, 0.5, 0.5, 1.0, 0.0]
    series, truth = one.moved(motions)
    found = align(series, one, untouched_mm=0.0)
    # The reference lies between both positions; motion from frame to frame is what can be known.
    steps = found.matrices @ np.linalg.inv(found.matrices[0])
    errors = one.errors_mm(Motion(series, steps, *[np.zeros(0)] * 3, (), []), truth)  # type: ignore[arg-type]
    assert errors.mean() < 0.3
    assert found.fd_mm.argmax() == 2


@pytest.mark.parametrize("index", [0, 1, 2])
def test_the_bolus_is_not_taken_for_motion(index: int) -> None:
    one = case(index)
    series = one.noisy(one.series)
    found = align(series, one)
    assert found.fd_mm[one.passing].max() < 0.1 and found.fd_mm.max() < 0.1
    assert not found.corrected.any() and not found.spikes and not found.faults
    np.testing.assert_array_equal(found.series, series)
    np.testing.assert_array_equal(found.matrices, np.tile(np.eye(4), (len(found.matrices), 1, 1)))


def test_a_spike_is_found_corrected_and_told() -> None:
    one = case()
    motions = np.zeros((one.series.shape[3], 6))
    at = int(np.flatnonzero(one.passing)[-1]) + 5
    motions[at] = [3, 4, 0, 0, 0, 0]
    series, truth = one.moved(motions)
    found = align(series, one)
    assert found.spikes == (at, at + 1)
    assert found.fd_mm[at] == pytest.approx(5, abs=0.3)
    assert list(np.flatnonzero(found.corrected)) == [at]
    assert one.errors_mm(found, truth)[at] < 0.3
    assert [fault.code for fault in found.faults] == ["W144"]
    assert found.faults[0].values["n_spikes"] == 2
    np.testing.assert_allclose(found.parameters[at, :3], [3, 4, 0], atol=0.4)


def test_the_threshold_decides_what_is_resampled() -> None:
    one = case()
    motions = np.zeros((one.series.shape[3], 6))
    motions[20, 0] = 0.8
    series, _ = one.moved(motions)
    assert list(np.flatnonzero(align(series, one).corrected)) == [20]
    left = align(series, one, untouched_mm=2.0)
    assert not left.corrected.any() and left.fd_mm[20] > 0.5
    np.testing.assert_array_equal(left.series, series)


@pytest.mark.parametrize("slices", [1, 2, 6])
def test_few_slices_move_in_their_plane_only(slices: int) -> None:
    one = case()
    low = (one.series.shape[2] - slices) // 2
    part = slice(low, low + slices)
    few = Case(one.series[:, :, part], one.affine, one.brain[:, :, part], one.passing)
    motions = np.zeros((few.series.shape[3], 6))
    motions[30] = [2, -2, 0, 0, 0, 2]
    series, truth = few.moved(motions)
    found = align(series, few)
    assert few.errors_mm(found, truth)[30] < 0.5
    if slices < 4:
        assert not found.parameters[:, 2:5].any()


def test_frames_without_content_do_no_harm() -> None:
    shape = (20, 20, 6, 30)
    brain = np.zeros(shape[:3], bool)
    brain[5:15, 5:15, 1:5] = True
    random = np.random.default_rng(0).uniform(1, 2, shape).astype(np.float32)
    lost = random.copy()
    lost[..., 12] = 0
    for series, mask in (
        (np.ones(shape), brain),
        (np.zeros(shape), brain),
        (random, ~brain & False),
        (lost, brain),
    ):
        found = correct(series, np.diag([3.0, 3.0, 5.0, 1.0]), mask, baseline=BASELINE, **DEFAULTS)
        assert np.isfinite(found.series).all() and np.isfinite(found.fd_mm).all()
    assert (found.matrices[12] == np.eye(4)).all()


def test_displacement_is_the_root_mean_square_over_a_sphere() -> None:
    points = np.random.default_rng(1).standard_normal((200_000, 3))
    points *= (80 * np.random.default_rng(2).uniform(size=(200_000, 1)) ** (1 / 3)) / np.linalg.norm(
        points, axis=1, keepdims=True
    )
    pose = rigid_matrix([2.0, -1.0, 3.0], [0.4, 1.0, -0.5], np.zeros(3))
    away = points @ pose[:3, :3].T + pose[:3, 3] - points
    assert displacement_mm(pose, 80) == pytest.approx(np.sqrt((away**2).sum(axis=1).mean()), rel=0.01)


def test_the_rim_of_a_frame_that_moved_far_is_read_where_it_is() -> None:
    index = np.indices((48, 48, 12))
    head = (index[0] - 23.5) ** 2 + (index[1] - 23.5) ** 2
    texture = ndimage.gaussian_filter(np.random.default_rng(0).standard_normal(head.shape), (2, 2, 1))
    still = (500 * np.exp(-head / 400) + 300 * texture).astype(np.float32)
    series = np.repeat(still[..., None], 20, axis=3)
    series[..., 15] = np.roll(still, 5, axis=0)  # mm, as a voxel has one
    brain = head < 12**2
    found = correct(series, np.diag([1.0, 1.0, 1.0, 1.0]), brain, baseline=slice(0, 8), **DEFAULTS)
    assert list(np.flatnonzero(found.corrected)) == [15]
    assert np.abs(found.series[brain][:, 15] - still[brain]).max() < 0.02 * still[brain].max()
