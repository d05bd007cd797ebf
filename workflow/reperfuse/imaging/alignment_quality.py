"""How well two images lie on each other, and whether that is good enough to go on with."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from reperfuse.imaging.grids import (
    centre_mm,
    inside,
    points_mm,
    resample,
    rotation_deg,
    transform_points,
)
from reperfuse.imaging.volume import Volume

# Standard deviation of the blur that puts two indices on a par, in voxels of the moving image.
BLUR_VOXELS = 1.0


@dataclass(frozen=True)
class Quality:
    """Measured quality of a rigid alignment.

    Parameters
    ----------
    nmi_before, nmi_after : float
        Normalised mutual information within the fixed brain mask, with the headers alone and with the fit.
    brain_dice : float or None
        Dice of the two brain masks; None where one is not known.
    translation_mm : float
        How far the fit moves the centre of the fixed brain from where the headers put it.
    off_centre_mm : float
        How far it takes the fixed image's centre of mass from the moving image's.
    rotation_deg : float
        Angle of the rotation.
    covered : float
        Share of the fixed brain mask that lies within the moving image's field of view.
    nmi_mirrored : float or None
        The same index after mirroring the moving image left to right and fitting again; None if not asked.
    """

    nmi_before: float
    nmi_after: float
    brain_dice: float | None
    translation_mm: float
    off_centre_mm: float
    rotation_deg: float
    covered: float
    nmi_fall: float = 0.0
    nmi_mirrored: float | None = None


def nmi(a: np.ndarray, b: np.ndarray, *, bins: int) -> float:
    """Normalised mutual information (H(A) + H(B)) / H(A, B): 1 without any relation, 2 for the same image.

    Parameters
    ----------
    a, b : ndarray, shape (n,)
        Intensities at the same points. Cut at their 0.5th and 99.5th percentile.
    bins : int
        Per image.

    Notes
    -----
    Studholme, Hill and Hawkes, Pattern Recognition 32:71 (1999). Entropies carry Miller's correction
    (occupied bins - 1) / 2n, without which few voxels make any two images look related.
    """
    if a.size == 0:
        return 1.0
    binned = [_binned(np.asarray(x, dtype=float), bins) for x in (a, b)]
    joint = np.bincount(binned[0] * bins + binned[1], minlength=bins * bins).reshape(bins, bins)
    together = _entropy(joint)
    if together <= 0:
        return 1.0
    return (_entropy(joint.sum(0)) + _entropy(joint.sum(1))) / together


def _binned(x: np.ndarray, bins: int) -> np.ndarray:
    low, high = np.percentile(x, [0.5, 99.5])
    scaled = (x - low) / (high - low) if high > low else np.zeros_like(x)
    return np.clip((scaled * bins).astype(int), 0, bins - 1)


def _entropy(counts: np.ndarray) -> float:
    n = counts.sum()
    p = counts[counts > 0] / n
    return float(-(p * np.log(p)).sum() + (p.size - 1) / (2 * n))


def dice(a: np.ndarray, b: np.ndarray) -> float:
    """Dice coefficient of two masks; 1 for two empty ones."""
    total = int(a.sum()) + int(b.sum())
    return 2.0 * float(np.logical_and(a, b).sum()) / total if total else 1.0


def nmi_within(fixed: Volume, moving: Volume, matrix: np.ndarray, mask: np.ndarray, *, bins: int) -> float:
    """Normalised mutual information within a mask of the fixed image, where the moving image is seen."""
    region = mask & inside(moving, fixed, matrix)
    pulled = resample(moving, fixed, matrix, interpolation="linear").data
    return nmi(fixed.data[region], pulled[region], bins=bins)


def measure(
    fixed: Volume,
    moving: Volume,
    matrix: np.ndarray,
    *,
    fixed_mask: np.ndarray,
    moving_mask: np.ndarray | None,
    centres: tuple[np.ndarray, np.ndarray],
    bins: int,
) -> Quality:
    """Measure the quality of a rigid alignment.

    Parameters
    ----------
    fixed, moving : Volume
        3-D images.
    matrix : ndarray, shape (4, 4)
        Fixed RAS mm to moving RAS mm.
    fixed_mask, moving_mask : ndarray of bool
        Brain masks on the images' own grids; the moving one may be unknown.
    centres : pair of ndarray, shape (3,)
        Centres of mass of the fixed and of the moving image, taken alike, RAS mm.
    bins : int
        Histogram bins per image.
    """
    seen = inside(moving, fixed, matrix)
    overlap = None
    if moving_mask is not None:
        brain = resample(moving.like(moving_mask), fixed, matrix, interpolation="nearest")
        overlap = dice(fixed_mask & seen, brain.data)
    centre = centre_mm(fixed, fixed_mask)[None]
    there = transform_points(matrix, centre)
    # Between grids, interpolation blurs the moving image and so lowers the index by itself, most for coarse
    # voxels and not at all where the grids coincide before the fit. Blurred beforehand, both are on a par.
    blurred = moving.like(ndimage.gaussian_filter(moving.data.astype(np.float32), BLUR_VOXELS))
    blurred_index = [nmi_within(fixed, blurred, m, fixed_mask, bins=bins) for m in (np.eye(4), matrix)]
    return Quality(
        nmi_before=nmi_within(fixed, moving, np.eye(4), fixed_mask, bins=bins),
        nmi_after=nmi_within(fixed, moving, matrix, fixed_mask, bins=bins),
        brain_dice=overlap,
        translation_mm=float(np.linalg.norm(there - centre)),
        off_centre_mm=float(np.linalg.norm(transform_points(matrix, centres[0][None]) - centres[1])),
        rotation_deg=rotation_deg(matrix),
        covered=float(seen[fixed_mask].mean()) if fixed_mask.any() else 0.0,
        nmi_fall=blurred_index[0] - blurred_index[1],
    )


def objections(
    quality: Quality,
    *,
    min_nmi: float,
    min_dice: float,
    min_covered: float,
    max_shift_mm: float,
    max_rotation_deg: float,
) -> list[str]:
    """Return what speaks against an alignment, one phrase each; none if it is accepted.

    The shift is the smaller of the two that can be told: from where the headers put the brain, and from where
    the centres of mass meet. Two scanners may well differ by more than a head's width in their origins.
    """
    found = []
    shift = min(quality.translation_mm, quality.off_centre_mm)
    if shift > max_shift_mm:
        found.append(f"the brain was shifted by {shift:.0f} mm")
    if quality.rotation_deg > max_rotation_deg:
        found.append(f"it was turned by {quality.rotation_deg:.0f} degrees")
    if quality.covered < min_covered:
        found.append(f"only {100 * quality.covered:.0f} % of the brain is in its field of view")
    if quality.nmi_after < min_nmi:
        found.append(f"the normalised mutual information is {quality.nmi_after:.3f}")
    elif quality.nmi_fall > 0.005:
        found.append(f"the normalised mutual information fell by {quality.nmi_fall:.3f}")
    if quality.brain_dice is not None and quality.brain_dice < min_dice:
        found.append(f"the brain masks overlap with a Dice of {quality.brain_dice:.2f}")
    return found


def target_error_mm(found: np.ndarray, truth: np.ndarray, volume: Volume, mask: np.ndarray) -> float:
    """Mean distance in mm between where two matrices take the voxels of a mask."""
    points = points_mm(volume, mask)
    gap = transform_points(found, points) - transform_points(truth, points)
    return float(np.linalg.norm(gap, axis=1).mean())
