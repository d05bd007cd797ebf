"""What is changed at random, and what must not change with it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from torch import Tensor

from reperfuse.studies.severity.augmentation import augmented

CHANNELS, SPACING = ("trace", "adc", "lesion"), (5.0, 2.0, 1.5)
NOTHING: dict[str, Any] = {
    "rotation_deg": 0.0, "scale": 0.0, "shift_mm": 0.0, "elastic_mm": 0.0, "gamma": 0.0, "noise": 0.0, "bias": 0.0,
    "dropout": 0.0, "flip": False,
}  # fmt: skip
GEOMETRY = {"rotation_deg": 20.0, "scale": 0.2, "shift_mm": 8.0, "elastic_mm": 4.0}
INTENSITY = {"gamma": 0.3, "noise": 0.2, "bias": 0.3}


def brains(n: int = 6, shape: tuple[int, int, int] = (14, 40, 44)) -> Tensor:
    """Brains of noise around 5 with a lesion, lighter in trace and darker in ADC."""
    rng = np.random.default_rng(0)
    mm = [(np.arange(size) - (size - 1) / 2) * step for size, step in zip(shape, SPACING, strict=True)]
    s, r, c = np.meshgrid(*mm, indexing="ij")
    brain = (s / 28) ** 2 + (r / 32) ** 2 + (c / 26) ** 2 < 1
    lesion = ((s - 5) / 8) ** 2 + ((r + 8) / 7) ** 2 + ((c - 10) / 7) ** 2 < 1
    trace = np.clip(rng.normal(5, 0.5, (n, *shape)) + 3 * lesion, 0.1, 10) * brain
    adc = np.clip(rng.normal(5, 0.5, (n, *shape)) - 3 * lesion, 0.1, 10) * brain
    return torch.from_numpy(
        np.stack([trace, adc, np.broadcast_to(lesion, trace.shape)], 1).astype(np.float32)
    )


def run(images: Tensor, seed: int = 1, channels: tuple[str, ...] = CHANNELS, **changed: Any) -> Tensor:
    torch.manual_seed(seed)
    return augmented(images, channels=channels, spacing_mm=SPACING, **{**NOTHING, **changed})


def centre(volume: Tensor) -> np.ndarray:
    return np.array(ndimage.center_of_mass(volume.numpy())) * SPACING


def test_nothing_changes_nothing_and_the_images_that_are_given_stay() -> None:
    images = brains()
    before = images.clone()
    assert torch.equal(run(images), before)
    run(images, **GEOMETRY, **INTENSITY, dropout=1.0, flip=True)
    assert torch.equal(images, before)


def test_draws_follow_from_the_generator_and_each_sample_has_its_own() -> None:
    images = brains()[:1].repeat(4, 1, 1, 1, 1)
    for changed in (GEOMETRY, INTENSITY, {"dropout": 1.0}):
        one, again, other = (run(images, seed, **changed) for seed in (1, 1, 2))
        assert torch.equal(one, again) and not torch.equal(one, other)
        assert not torch.equal(one[0], one[1])


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_everything_at_once_stays_in_range_with_the_lesion_in_its_place(seed: int) -> None:
    found = run(brains(2), seed, **GEOMETRY, **INTENSITY, dropout=0.5, flip=True)
    assert torch.isfinite(found).all() and found.min() >= 0
    assert found[:, :2].max() <= 10 and found[:, 2].max() <= 1
    moved = run(brains(2), seed, **GEOMETRY)
    for trace, adc, lesion in moved.numpy():
        core = lesion > 0.9
        rest = (trace > 0) & (lesion == 0)
        assert trace[core].mean() > trace[rest].mean() + 2  # one affine for all channels
        assert adc[core].mean() < adc[rest].mean() - 2


def test_intensities_change_inside_the_brain_alone_and_never_of_a_lesion() -> None:
    images = brains()
    found = run(images, **INTENSITY)
    assert torch.equal(found[:, 2], images[:, 2])
    assert not found[:, :2][images[:, :2] == 0].any()
    changed = found[:, :2][images[:, :2] > 0] - images[:, :2][images[:, :2] > 0]
    assert changed.abs().mean() > 0.05 and (changed != 0).float().mean() > 0.99
    alone = run(images[:, 2:], channels=("lesion",), **INTENSITY)
    assert torch.equal(alone, images[:, 2:])


def test_the_exponent_keeps_the_mean_of_the_brain_and_the_order_of_its_values() -> None:
    values = torch.linspace(0.5, 10, 64).reshape(1, 1, 4, 4, 4)
    found = run(values, channels=("adc",), gamma=0.3).flatten()
    exact = run(torch.full((1, 1, 4, 4, 4), 5.0), channels=("adc",), gamma=0.3)
    assert (found[1:] >= found[:-1]).all() and not torch.allclose(found, values.flatten(), atol=0.05)
    assert torch.allclose(exact, torch.tensor(5.0))


def test_a_moved_brain_has_no_rim_darker_than_itself() -> None:
    flat = (brains()[:, :1] > 0).float() * 5.0
    found = run(flat, channels=("trace",), **GEOMETRY)
    assert found[found > 0].min() == pytest.approx(5.0, abs=1e-3)
    assert 0.5 < (found > 0).sum() / (flat > 0).sum() < 1.6


def test_shifts_are_in_mm_along_every_axis() -> None:
    images = brains(40)[:, 2:]
    found = run(images, channels=("lesion",), shift_mm=4.0)
    moved = np.array([centre(one[0]) - centre(images[0, 0]) for one in found])
    assert np.abs(moved).max() < 4.2
    assert (np.abs(moved).max(axis=0) > 2.5).all()  # of slices 5 mm apart as of columns 1.5 mm apart


def test_rotations_keep_distances_in_mm_and_sizes_scale_volumes() -> None:
    points = torch.zeros(30, 2, 14, 40, 44)
    points[:, 0, 5:9, 8:12, 20:24] = 1
    points[:, 1, 5:9, 28:32, 20:24] = 1
    there = np.linalg.norm(centre(points[0, 0]) - centre(points[0, 1]))
    turned = run(points, channels=("lesion", "lesion"), rotation_deg=25.0)
    vectors = np.array([centre(one[1]) - centre(one[0]) for one in turned])
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(there, rel=0.04)
    angles = np.degrees(np.arccos(vectors[:, 1] / np.linalg.norm(vectors, axis=1)))
    assert angles.max() > 10
    scaled = run(points, channels=("lesion", "lesion"), scale=0.3)
    sizes = np.array([np.linalg.norm(centre(one[1]) - centre(one[0])) for one in scaled]) / there
    assert sizes.min() > 0.68 and sizes.max() < 1.32 and np.ptp(sizes) > 0.3


def test_a_flip_exchanges_left_and_right_in_half_of_the_draws_and_is_off_unless_asked_for() -> None:
    images = brains()[:1].repeat(60, 1, 1, 1, 1)
    found = run(images, flip=True)
    mirrored = [torch.allclose(one, images[0].flip(-1), atol=1e-4) for one in found]
    plain = [torch.allclose(one, images[0], atol=1e-4) for one in found]
    assert all(a != b for a, b in zip(mirrored, plain, strict=True)) and 18 < sum(mirrored) < 42
    middle = (images.shape[-1] - 1) / 2 * SPACING[-1]
    moved = run(images, rotation_deg=10.0, scale=0.2, shift_mm=4.0)
    assert all(centre(one[2])[2] > middle for one in moved)


def test_a_blanked_box_is_an_eighth_of_each_edge_in_all_channels() -> None:
    images = torch.ones(50, 2, 16, 40, 44)
    found = run(images, channels=("lesion", "lesion"), dropout=1.0)
    assert ((found == 0).sum(dim=(2, 3, 4)) == 2 * 5 * 5).all()
    assert torch.equal(found[:, 0], found[:, 1])
    some = run(images, channels=("lesion", "lesion"), dropout=0.3)
    assert 5 <= int((some == 0).any(dim=(1, 2, 3, 4)).sum()) <= 26
    tiny = run(torch.ones(3, 1, 2, 3, 1), channels=("lesion",), dropout=1.0)
    assert ((tiny == 0).sum(dim=(1, 2, 3, 4)) == 1).all()


def test_elastic_shifts_are_in_mm_and_differ_within_an_image() -> None:
    points = torch.zeros(30, 2, 14, 40, 44)
    points[:, 0, 6:8, 8:12, 20:24] = 1
    points[:, 1, 6:8, 28:32, 20:24] = 1
    found = run(points, channels=("lesion", "lesion"), elastic_mm=6.0)
    moved = np.array([[centre(one[k]) - centre(points[0, k]) for k in (0, 1)] for one in found])
    assert np.abs(moved).max() < 6.5 and (np.abs(moved).max(axis=(0, 1)) > 2.0).all()
    assert np.abs(moved[:, 0] - moved[:, 1]).max() > 3
