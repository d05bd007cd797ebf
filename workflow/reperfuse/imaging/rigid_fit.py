"""One rigid fit: what is stripped, what is cut away, from where it starts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy import ndimage

from reperfuse.imaging.alignment_quality import nmi_within
from reperfuse.imaging.ants_engine import EngineError, Stage, fit
from reperfuse.imaging.grids import centre_mm, invert, resample
from reperfuse.imaging.volume import Volume

# A ring around the brain mask tells a stripped image from a whole head; it starts off the mask's own errors.
RING_FROM_MM = 4.0
# A carried mask is as wrong as the alignment that carried it, so it is widened before it cuts.
CARRIED_MARGIN_MM = 6.0


@dataclass(frozen=True)
class Pair:
    """Two images at working resolution, the fixed one cut to where the metric looks."""

    fixed: Volume
    moving: Volume
    brain: np.ndarray
    region: np.ndarray
    moving_mask: np.ndarray | None
    fixed_is_bare: bool
    moving_is_bare: bool | None
    margin_mm: float
    seed: int

    def fit(self, stage: Stage, start: np.ndarray) -> np.ndarray:
        """Return the matrix found from a start."""
        if self.moving_is_bare is not None:
            cut = self.fixed_is_bare != self.moving_is_bare
            return self._fit(stage, start, self.moving_mask if cut else None)
        matrix = self._fit(stage, start, None)
        carried = resample(
            self.fixed.like(self.brain), self.moving, invert(matrix), interpolation="nearest"
        ).data
        if not carried.any():
            return matrix
        away = _distance(self.moving, carried, max(self.margin_mm, CARRIED_MARGIN_MM))
        if is_bare(self.moving, carried, away, self.margin_mm) == self.fixed_is_bare:
            return matrix
        fine = stage.levels(slice(-2, None))
        return self._fit(fine, matrix, away <= CARRIED_MARGIN_MM)

    def mirrored(self, stage: Stage, matrix: np.ndarray, bins: int) -> float:
        """Return the normalised mutual information that the mirrored moving image reaches.

        The last level is left out: it moves the index far less than a wrong side does.
        """
        centre = matrix @ np.append(centre_mm(self.fixed, self.brain), 1.0)
        flip = np.diag([-1.0, 1.0, 1.0, 1.0])
        flip[0, 3] = 2 * centre[0]
        moving = Volume(self.moving.data, flip @ self.moving.affine)
        try:
            found = replace(self, moving=moving)._fit(stage.levels(slice(None, -1)), matrix, None)
        except EngineError:
            return 1.0
        return nmi_within(self.fixed, moving, found, self.brain, bins=bins)

    def _fit(self, stage: Stage, start: np.ndarray, moving_cut: np.ndarray | None) -> np.ndarray:
        """Fit; a cut of the moving image says that both are to be stripped."""
        fixed, moving = self.fixed, self.moving
        if moving_cut is not None:
            fixed = fixed.like(np.where(self.brain, fixed.data, 0))
            moving = moving.like(np.where(moving_cut, moving.data, 0))
        return fit(
            fixed,
            moving,
            [stage],
            start=start,
            fixed_mask=self.region,
            moving_mask=None,
            seed=self.seed,
        ).matrix


def prepare(
    fixed: Volume,
    moving: Volume,
    brain: np.ndarray,
    moving_mask: np.ndarray | None,
    margin_mm: float,
    seed: int,
) -> Pair:
    away = _distance(fixed, brain, margin_mm)
    region = away <= margin_mm
    box = box_of(region, border=3)
    bare = None
    if moving_mask is not None:
        bare = is_bare(moving, moving_mask, _distance(moving, moving_mask, margin_mm), margin_mm)
    return Pair(
        fixed=cut_to(fixed, box),
        moving=moving,
        brain=brain[box],
        region=region[box],
        moving_mask=moving_mask,
        fixed_is_bare=is_bare(fixed, brain, away, margin_mm),
        moving_is_bare=bare,
        margin_mm=margin_mm,
        seed=seed,
    )


def _distance(volume: Volume, mask: np.ndarray, reach_mm: float) -> np.ndarray:
    """Return the distance to a mask in mm, and infinity beyond a box that holds all within reach."""
    border = int(np.ceil(reach_mm / min(volume.zooms))) + 1
    box = box_of(mask, border=border)
    away = np.full(mask.shape, np.inf, dtype=np.float32)
    away[box] = ndimage.distance_transform_edt(~mask[box], sampling=volume.zooms)
    return away


def is_bare(volume: Volume, mask: np.ndarray, away: np.ndarray, margin_mm: float) -> bool:
    """Whether an image is empty around its brain, that is, stripped of the skull.

    Parameters
    ----------
    volume : Volume
        The image.
    mask, away : ndarray
        Brain mask, and the distance to it in mm.
    margin_mm : float
        Outer radius of the ring that is looked at.
    """
    ring = (away > RING_FROM_MM) & (away <= max(margin_mm, 2 * RING_FROM_MM))
    if not ring.any() or not mask.any():
        return False
    # Interpolation rings a little around a stripped brain: faint is empty.
    faint = 0.01 * float(np.median(np.abs(volume.data[mask])))
    return float(np.mean(np.abs(volume.data[ring]) > faint)) < 0.3


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


def box_of(mask: np.ndarray, *, border: int) -> tuple[slice, ...]:
    """Return the box that holds a mask with a border in voxels; all of the grid where the mask is empty."""
    where = np.argwhere(mask)
    if where.size == 0:
        return tuple(slice(0, n) for n in mask.shape)
    low = np.maximum(where.min(0) - border, 0)
    high = np.minimum(where.max(0) + 1 + border, mask.shape)
    return tuple(slice(int(a), int(b)) for a, b in zip(low, high, strict=True))


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
