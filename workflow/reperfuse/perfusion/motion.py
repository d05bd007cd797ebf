"""Head motion during a perfusion series: every frame aligned with the mean of the baseline."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from scipy import ndimage
from scipy.spatial.transform import Rotation

from reperfuse.core.errors import Fault
from reperfuse.imaging.grids import box_of

Array = np.ndarray
# Motion that can be followed without leaving the part of the image that is read.
REACH_MM = 8.0
# A frame that is darker than this share of the baseline shows no head.
DARKEST = 0.05


@dataclass(frozen=True)
class Motion:
    """Motion of a series, and the series without it.

    Parameters
    ----------
    series : ndarray, shape (x, y, z, n_frames), float32
        Frames on the grid of the baseline; those that hardly moved are as they were.
    matrices : ndarray, shape (n_frames, 4, 4)
        RAS mm of the baseline (fixed) to RAS mm of each frame (moving); the identity for untouched frames.
    parameters : ndarray, shape (n_frames, 6)
        As estimated, also of untouched frames: shift along the axes of the grid in mm, rotation about them in
        degrees, around the centre of the brain.
    fd_mm : ndarray, shape (n_frames,)
        Framewise displacement against the frame before, 0 for the first.
    corrected : ndarray of bool, shape (n_frames,)
        Frames that were resampled.
    spikes : tuple of int
        Frames whose displacement exceeds the limit.
    faults : list of Fault
        W144 where there are any.
    """

    series: Array
    matrices: Array
    parameters: Array
    fd_mm: Array
    corrected: Array
    spikes: tuple[int, ...]
    faults: list[Fault]


def correct(
    series: Array,
    affine: Array,
    brain: Array,
    *,
    baseline: slice,
    path: str = "",
    margin_mm: float,
    smoothing_mm: float,
    contrast_smoothing_mm: float,
    points: int,
    iterations: int,
    converged_mm: float,
    untouched_mm: float,
    spike_mm: float,
    radius_mm: float,
) -> Motion:
    """Align every frame rigidly with the mean of the baseline.

    Gauss-Newton on the intensities of the brain, as 3dvolreg (Cox & Jesmanowicz, Magn Reson Med
    1999;42:1014) and SPM's realignment do, with the gradients of the reference taken once (inverse
    compositional: Baker & Matthews, Int J Comput Vis 2004;56:221). The passage of the bolus changes the
    contrast; columns that follow it (`_contrast`) take up what is change of signal, so that it is not taken
    for motion. Where frames have moved, reference and columns are made again from aligned frames, and the
    fit is repeated.

    Parameters
    ----------
    series : ndarray, shape (x, y, z, n_frames)
        Steady state, finite.
    affine : ndarray, shape (4, 4)
        Voxel to RAS mm.
    brain : ndarray of bool, shape (x, y, z)
    baseline : slice
        Frames before the bolus.
    margin_mm : float
        The fit reads so far beyond the brain, where signal hardly changes while the bolus passes.
    smoothing_mm, contrast_smoothing_mm : float
        Standard deviation of the Gaussians over the images before the fit, and over the maps of how far the
        bolus darkens the brain. The result is not smoothed.
    points : int
        At most so many voxels of the brain are read.
    iterations, converged_mm : int, float
        At most so many steps, until one moves the brain less than this.
    untouched_mm : float
        A frame that is displaced by no more is left as it is: interpolation would cost more than it mends.
    spike_mm : float
        Framewise displacement above which a frame counts as a spike.
    radius_mm : float
        Of the sphere over which displacement is averaged.

    Notes
    -----
    Displacement is the root mean square over a sphere of the motion between two frames (Jenkinson et al.,
    NeuroImage 2002;17:825). With fewer than four slices only motion in their plane is estimated. Moved frames
    are resampled by cubic splines in a box around the brain; outside it they stay as they are.
    """
    poses = np.tile(np.eye(4), (series.shape[3], 1, 1))
    result = series.astype(np.float32)
    zooms = np.linalg.norm(affine[:3, :3], axis=0)
    centre = np.argwhere(brain).mean(axis=0) if brain.any() else np.zeros(3)
    if brain.any():
        region = ndimage.distance_transform_edt(~brain, sampling=zooms) <= margin_mm
        fit = _Fit.prepare(result, region, centre, zooms, smoothing_mm, points)
        for _ in range(2):
            design = fit.design(poses, baseline, contrast_smoothing_mm)
            fit.refine(poses, design, iterations, converged_mm, radius_mm)
            if max(displacement_mm(pose, radius_mm) for pose in poses) <= untouched_mm:
                break
    parameters = np.array([_parameters(pose) for pose in poses])
    steps = [then @ np.linalg.inv(before) for before, then in pairwise(poses)]
    fd = np.array([0.0, *(displacement_mm(step, radius_mm) for step in steps)])
    corrected = np.array([displacement_mm(pose, radius_mm) > untouched_mm for pose in poses])
    poses[~corrected] = np.eye(4)
    # Millimetres around the brain's centre along the grid's axes → voxels, and → RAS mm.
    to_index = np.diag([*(1 / zooms), 1.0])
    to_index[:3, 3] = centre
    box = box_of(brain, border=int(np.ceil(REACH_MM / zooms.min())))
    for k in np.flatnonzero(corrected):
        result[(*box, k)] = _resampled(result[(*box, k)], to_index, poses[k], [edge.start for edge in box], 3)
    to_ras = affine @ to_index
    spikes = tuple(int(k) for k in np.flatnonzero(fd > spike_mm))
    faults = []
    if spikes:
        values = {"n_spikes": len(spikes), "limit_mm": f"{spike_mm:g}", "max_mm": f"{fd.max():.2f}"}
        faults.append(Fault("W144", path, values))
    matrices = to_ras @ poses @ np.linalg.inv(to_ras)
    return Motion(result, matrices, parameters, fd, corrected, spikes, faults)


def displacement_mm(pose: Array, radius_mm: float) -> float:
    """Return the root mean square displacement by a rigid motion over a sphere around its origin, in mm.

    Source: Jenkinson et al., NeuroImage 2002;17:825: √(r²/5·tr(MᵀM) + tᵀt), M the rotation less the identity.
    """
    turn, shift = pose[:3, :3] - np.eye(3), pose[:3, 3]
    return float(np.sqrt(radius_mm**2 / 5 * np.trace(turn.T @ turn) + shift @ shift))


@dataclass(frozen=True)
class _Design:
    """Least squares as a matrix: residuals of the points → the ``free`` ones of six motion parameters."""

    solve: Array
    free: list[int]
    base: Array


@dataclass(frozen=True)
class _Fit:
    """What the fit reads: smoothed frames (n_frames, x, y, z) in a box, and points in the brain.

    ``index`` and ``mm`` are the points in voxels of the box and in mm around ``origin``, the brain's centre.
    """

    smooth: Array
    index: Array
    mm: Array
    zooms: Array
    origin: Array

    @classmethod
    def prepare(
        cls, series: Array, region: Array, centre: Array, zooms: Array, smoothing_mm: float, points: int
    ) -> _Fit:
        box = box_of(region, border=int(np.ceil(REACH_MM / zooms.min())))
        smooth = np.ascontiguousarray(np.moveaxis(series[box], 3, 0))
        smooth = ndimage.gaussian_filter(smooth, (0, *_sigma(smoothing_mm, zooms, region)), truncate=3)
        # What the first and last slice show may leave the image when the head moves.
        inner = region.copy()
        for axis, size in enumerate(region.shape):
            if size >= 6:
                np.moveaxis(inner, axis, 0)[[0, -1]] = False
        index = np.argwhere((inner if inner.any() else region)[box])
        if len(index) > points:
            index = index[np.sort(np.random.default_rng(0).permutation(len(index))[:points])]
        origin = centre - [edge.start for edge in box]
        return cls(smooth, index, (index - origin) * zooms, zooms, origin)

    def design(self, poses: Array, baseline: slice, contrast_smoothing_mm: float) -> _Design:
        """Make the reference from the aligned baseline, its gradients, and the columns of the contrast."""
        frames = range(*baseline.indices(len(poses)))
        reference = self._mean(poses, list(frames))
        i, j, k = self.index.T
        base = reference[i, j, k].astype(np.float64)
        slopes = [
            np.gradient(reference, zoom, axis=axis)[i, j, k] if reference.shape[axis] > 1 else 0 * base
            for axis, zoom in enumerate(self.zooms)
        ]
        motion = np.stack([*slopes, *np.cross(self.mm, np.stack(slopes, axis=1)).T], axis=1)
        free = [0, 1, 5] if reference.shape[2] < 4 else list(range(6))
        columns = np.concatenate(
            [motion[:, free], self._contrast(poses, reference, base, contrast_smoothing_mm)], axis=1
        )
        scale = np.maximum(np.linalg.norm(columns, axis=0), 1e-12)
        solve = np.linalg.pinv(columns / scale, rcond=1e-6) / scale[:, None]
        return _Design(solve[: len(free)], free, base)

    def refine(
        self, poses: Array, design: _Design, iterations: int, converged_mm: float, radius_mm: float
    ) -> None:
        """Move ``poses`` until the aligned frames fit the reference, but for what the bolus changes."""
        base = design.base
        active = np.arange(len(poses))
        for _ in range(iterations):
            values = np.stack([self._read(int(k), poses[k]) for k in active], axis=1)
            gain = base @ values / max(float(base @ base), 1e-12)
            seen = np.isfinite(gain) & (gain > DARKEST)
            active, values, gain = active[seen], values[:, seen], gain[seen]
            if not active.size:
                break
            step = np.zeros((active.size, 6))
            step[:, design.free] = (design.solve @ (values / gain - base[:, None])).T
            moved = np.array([_pose(one) for one in step])
            poses[active] = poses[active] @ np.linalg.inv(moved)
            active = active[[displacement_mm(one, radius_mm) >= converged_mm for one in moved]]
            if not active.size:
                break

    def _read(self, frame: int, pose: Array) -> Array:
        """Return a frame's values where the points lie after a motion."""
        if (pose == np.eye(4)).all():
            i, j, k = self.index.T
            return self.smooth[frame, i, j, k]
        at = (self.mm @ pose[:3, :3].T + pose[:3, 3]) / self.zooms + self.origin
        return ndimage.map_coordinates(self.smooth[frame], at.T, order=1, mode="nearest")

    def _mean(self, poses: Array, frames: list[int]) -> Array:
        """Return the mean of aligned frames."""
        to_index = np.diag([*(1 / self.zooms), 1.0])
        to_index[:3, 3] = self.origin
        total = np.zeros(self.smooth.shape[1:], np.float32)
        for k in frames:
            still = (poses[k] == np.eye(4)).all()
            total += self.smooth[k] if still else _resampled(self.smooth[k], to_index, poses[k], [0, 0, 0], 1)
        return total / max(len(frames), 1)

    def _contrast(self, poses: Array, reference: Array, base: Array, smoothing_mm: float) -> Array:
        """Return what the bolus does to the signal, shape (n_points, m).

        The signal falls in proportion to the baseline, differently by tissue (its square and a constant), by
        place (linear in space), and as it does, smoothed so that no edge is left that could be motion, in the
        frames before and after the lowest.
        """
        i, j, k = self.index.T
        extent = np.abs(self.mm).max(axis=0) + 1e-9
        columns = [base, base**2 / max(float(base.max()), 1e-12), np.ones_like(base)]
        columns += list((base[:, None] * self.mm / extent).T)
        course = self.smooth[:, i, j, k] @ base / max(float(base @ base), 1e-12)
        lowest, frames = int(np.argmin(np.where(course > DARKEST, course, np.inf))), np.arange(len(course))
        passing = (course < (1 + course[lowest]) / 2) & (course > DARKEST)
        head = (reference > 0.1 * reference.max()).astype(np.float32)
        sigma = _sigma(smoothing_mm, self.zooms, reference)
        for part in (passing & (frames <= lowest), passing & (frames > lowest)):
            if part.any():
                mean = self._mean(poses, [int(one) for one in np.flatnonzero(part)])
                fall = np.clip(1 - mean / np.maximum(reference, 1e-6), -1, 1) * head
                weight = np.maximum(ndimage.gaussian_filter(head, sigma), 1e-3)
                columns.append(base * (ndimage.gaussian_filter(fall, sigma) / weight)[i, j, k])
        return np.stack(columns, axis=1)


def _sigma(smoothing_mm: float, zooms: Array, image: Array) -> Array:
    return np.where(np.array(image.shape) > 1, smoothing_mm / zooms, 0.0)


def _resampled(frame: Array, to_index: Array, pose: Array, start: list[int], order: int) -> Array:
    """Return the part of a frame that begins at voxel ``start``, pulled through a motion."""
    box = to_index.copy()
    box[:3, 3] -= start
    index = box @ pose @ np.linalg.inv(box)
    return ndimage.affine_transform(frame, index[:3, :3], index[:3, 3], order=order, mode="nearest")


def _pose(parameters: Array) -> Array:
    """Return the motion of shift in mm and rotations in radians."""
    pose = np.eye(4)
    pose[:3, :3] = Rotation.from_euler("xyz", parameters[3:]).as_matrix()
    pose[:3, 3] = parameters[:3]
    return pose


def _parameters(pose: Array) -> Array:
    """Return shift in mm and rotations in degrees."""
    return np.concatenate([pose[:3, 3], Rotation.from_matrix(pose[:3, :3]).as_euler("xyz", degrees=True)])
