"""One rigid fit: what is cut away, how coarse it is, from where it starts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy import ndimage

from reperfuse.imaging.alignment_quality import nmi_within
from reperfuse.imaging.ants_engine import EngineError, Stage, fit
from reperfuse.imaging.grids import box_of, centre_mm
from reperfuse.imaging.volume import Volume


@dataclass(frozen=True)
class Pair:
    """Two images at working resolution, the fixed one cut to the region that the metric reads."""

    fixed: Volume
    moving: Volume
    brain: np.ndarray
    region: np.ndarray
    seed: int

    @classmethod
    def prepare(cls, fixed: Volume, moving: Volume, brain: np.ndarray, margin_mm: float, seed: int) -> Pair:
        """Widen the brain mask to the region and cut the rest away: it would cost smoothing time only."""
        box = box_of(brain, border=int(np.ceil(margin_mm / min(fixed.zooms))) + 3)
        region = ndimage.distance_transform_edt(~brain[box], sampling=fixed.zooms) <= margin_mm
        return cls(cut_to(fixed, box), moving, brain[box], region, seed)

    def fit(self, stage: Stage, start: np.ndarray) -> np.ndarray:
        """Return the matrix found from a start."""
        found = fit(
            self.fixed,
            self.moving,
            [stage],
            start=start,
            fixed_mask=self.region,
            moving_mask=None,
            seed=self.seed,
        )
        return found.matrix

    def mirrored(self, stage: Stage, matrix: np.ndarray, bins: int) -> float:
        """Return the normalised mutual information that the mirrored moving image reaches.

        The last level is left out: it moves the index far less than a wrong side does.
        """
        centre = matrix @ np.append(centre_mm(self.fixed, self.brain), 1.0)
        flip = np.diag([-1.0, 1.0, 1.0, 1.0])
        flip[0, 3] = 2 * centre[0]
        moving = Volume(self.moving.data, flip @ self.moving.affine)
        try:
            found = replace(self, moving=moving).fit(stage.levels(slice(None, -1)), matrix)
        except EngineError:
            return 1.0
        return nmi_within(self.fixed, moving, found, self.brain, bins=bins)


def winsorized(volume: Volume, quantiles: Sequence[float]) -> Volume:
    """Cut intensities at two quantiles; ANTs' own cut reads a histogram that a hot voxel makes too coarse."""
    low, high = np.quantile(volume.data, quantiles)
    return volume.like(np.clip(volume.data, low, high))


def foreground(volume: Volume) -> np.ndarray:
    """Return a crude mask of the head: what is brighter than the mean."""
    return volume.data > volume.data.mean()


def _weights(
    fixed: Volume, moving: Volume, brain: np.ndarray, moving_mask: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray]:
    """Return what stands for the mass of both images, taken alike: a neck in one alone would mislead."""
    if moving_mask is not None and moving_mask.any():
        return brain.astype(float), moving_mask.astype(float)
    return foreground(fixed).astype(float), foreground(moving).astype(float)


def weight_centres(
    fixed: Volume, moving: Volume, brain: np.ndarray, moving_mask: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray]:
    """Return the centres of mass of both images in RAS mm: of the brains where known, else of the heads."""
    here, there = _weights(fixed, moving, brain, moving_mask)
    return centre_mm(fixed, here), centre_mm(moving, there)


def cut_to(volume: Volume, box: tuple[slice, ...]) -> Volume:
    """Return the part of a volume within a box, where it was in space."""
    affine = volume.affine.copy()
    affine[:3, 3] += affine[:3, :3] @ [s.start for s in box]
    return Volume(volume.data[box], affine)


def coarsen(volume: Volume, size_mm: float) -> Volume:
    """Average whole blocks of voxels along axes finer than ``size_mm``, to at most that size.

    Masks stay masks, by majority.
    """
    factors = [max(int(size_mm / zoom + 1e-6), 1) for zoom in volume.zooms]
    if factors == [1, 1, 1]:
        return volume
    shape = [n // f for n, f in zip(volume.data.shape, factors, strict=True)]
    data = volume.data[tuple(slice(0, n * f) for n, f in zip(shape, factors, strict=True))]
    split = [part for n, f in zip(shape, factors, strict=True) for part in (n, f)]
    means = data.astype(np.float32).reshape(split).mean(axis=(1, 3, 5))
    affine = volume.affine.copy()
    affine[:3, 3] += affine[:3, :3] @ ((np.asarray(factors) - 1) / 2.0)
    affine[:3, :3] = affine[:3, :3] * factors
    return Volume(means >= 0.5 if data.dtype == bool else means, affine)


def start_matrix(
    kind: str, fixed: Volume, moving: Volume, brain: np.ndarray, moving_mask: np.ndarray | None
) -> np.ndarray:
    """Return a first guess, fixed RAS mm to moving RAS mm."""
    if kind == "identity":
        return np.eye(4)
    here, there = weight_centres(fixed, moving, brain, moving_mask)
    matrix = np.eye(4)
    if kind == "moments":
        weights = _weights(fixed, moving, brain, moving_mask)
        matrix[:3, :3] = _axes(moving, weights[1]) @ _axes(fixed, weights[0]).T
    elif kind != "centre of mass":
        raise ValueError(f"a start is 'centre of mass', 'moments' or 'identity', not {kind!r}")
    matrix[:3, 3] = there - matrix[:3, :3] @ here
    return matrix


def _axes(volume: Volume, weights: np.ndarray) -> np.ndarray:
    """Return the principal axes as columns, ordered and signed like right, anterior, superior."""
    index = np.argwhere(weights > 0)
    if len(index) < 4:
        raise EngineError("too little of the image is bright enough to find its axes")
    points = index @ volume.affine[:3, :3].T
    vectors = np.linalg.eigh(np.cov(points.T))[1]
    # The assignment to the body's axes that turns least; a head is never upside down within a study.
    order = [int(np.argmax(np.abs(vectors[0])))]
    rest = [column for column in range(3) if column not in order]
    order += rest if abs(vectors[1, rest[0]]) >= abs(vectors[1, rest[1]]) else rest[::-1]
    axes = vectors[:, order]
    axes = axes * np.where(np.diag(axes) < 0, -1.0, 1.0)
    if np.linalg.det(axes) < 0:
        axes[:, 2] *= -1.0
    return axes
