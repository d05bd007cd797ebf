"""Lesion masks from ADC thresholds, and what is measured on any lesion mask.

Components are found with ``scipy.ndimage.label``: masks are arrays here already, and SimpleITK, which needs a
conversion both ways, is not faster.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy import ndimage

from reperfuse.core.errors import Fault, Refusal
from reperfuse.imaging.grids import points_mm
from reperfuse.imaging.volume import Volume

RANK = {6: 1, 18: 2, 26: 3}
# Turns a median absolute deviation into the standard deviation of a normal distribution.
MAD_TO_SD = 1.4826
Plane = tuple[float, float, float]
MIDSAGITTAL_ZERO: Plane = (0.0, 0.0, 0.0)


def criterion_name(threshold: float, *, raw: bool) -> str:
    """Return the name of a criterion: ``adc620_raw`` or, cleaned, ``adc620``."""
    return f"adc{threshold:g}" + ("_raw" if raw else "")


def threshold_masks(
    adc: Volume,
    brain: np.ndarray,
    trace: np.ndarray | None,
    *,
    thresholds: Sequence[float],
    z_gate: float,
    csf_adc: float,
    csf_margin_voxels: int,
    min_component_ml: float,
    connectivity: int,
) -> tuple[dict[str, np.ndarray], list[Fault]]:
    """Return the raw and the cleaned mask of every ADC threshold.

    Raw is ``0 < ADC < threshold`` inside the brain. Cleaned is raw, where the trace image is bright
    (z > ``z_gate``), away from cerebrospinal fluid, without small components. The thresholds are those of
    arXiv:2512.02088; the cleaning was fixed before any outcome was looked at.

    Parameters
    ----------
    adc : Volume
        10⁻⁶ mm²/s, native grid.
    brain : ndarray of bool
        Brain mask on the same grid.
    trace : ndarray or None
        Trace image on the same grid; without it the gate falls away and W124 says so.
    thresholds : sequence of float
        10⁻⁶ mm²/s.
    z_gate : float
        Robust z of the trace image over the brain that a lesion voxel exceeds.
    csf_adc : float
        10⁻⁶ mm²/s above which a voxel of the brain mask is taken as fluid.
    csf_margin_voxels : int
        Width of the margin around fluid, within the slice, 8-neighbourhood.
    min_component_ml : float
        Smallest component that stays, ml.
    connectivity : {6, 18, 26}
        Which voxels touch.

    Returns
    -------
    masks : dict
        Criterion (``adc620_raw``, ``adc620``) → bool array.
    faults : list of Fault

    Raises
    ------
    Refusal
        E160 where the brain mask is empty.
    """
    brain = brain.astype(bool)
    if not brain.any():
        raise Refusal("E160", step="prepare", image="brain mask")
    keep, faults = _bright(brain, trace, z_gate)
    fluid = brain & (adc.data > csf_adc)
    keep &= ~_widened(fluid, slice_axis(adc), csf_margin_voxels)
    masks: dict[str, np.ndarray] = {}
    for threshold in thresholds:
        # Scanner maps hold negative ADC in air and at rims; without the lower bound it would count as lesion.
        raw = brain & (adc.data > 0) & (adc.data < threshold)
        masks[criterion_name(threshold, raw=True)] = raw
        masks[criterion_name(threshold, raw=False)] = drop_small(
            raw & keep, adc.voxel_ml, min_component_ml=min_component_ml, connectivity=connectivity
        )
    return masks, faults


def percentile_masks(
    adc: Volume,
    brain: np.ndarray,
    trace: np.ndarray | None,
    midline: Plane,
    *,
    percentiles: Sequence[float],
    **recipe: Any,
) -> dict[str, np.ndarray]:
    """Return cleaned masks below a percentile of the patient's own healthier hemisphere.

    The threshold is the percentile of ADC inside the brain (fluid excepted) of each hemisphere, whichever is
    higher: a lesion lowers its own side's. Scanners whose ADC is off by a factor are judged alike.

    Parameters
    ----------
    adc, brain, trace
        As for `threshold_masks`.
    midline : tuple of float
        As for `side`.
    percentiles : sequence of float
        0 to 100.
    **recipe
        What `threshold_masks` takes besides thresholds.

    Returns
    -------
    dict
        ``adcp1`` for the first percentile → bool array; empty where a hemisphere has no voxel.
    """
    inside = brain.astype(bool) & (adc.data > 0) & (adc.data <= recipe["csf_adc"])
    points = points_mm(adc, inside)
    right = points[:, 0] > midline[0] + points[:, 1:] @ np.asarray(midline[1:])
    values = adc.data[inside]
    if not right.any() or right.all():
        return {}
    found = {}
    for percentile in percentiles:
        threshold = max(float(np.percentile(values[half], percentile)) for half in (right, ~right))
        masks, _ = threshold_masks(adc, brain, trace, thresholds=[threshold], **recipe)
        found[f"adcp{percentile:g}"] = masks[criterion_name(threshold, raw=False)]
    return found


def robust_z(image: np.ndarray, brain: np.ndarray) -> np.ndarray | None:
    """Return ``(image - median) / (1.4826 MAD)`` over the brain, or None where the MAD is 0.

    Median and MAD, because the lesion itself must not shift the scale it is measured on.
    """
    values = image[brain & np.isfinite(image)].astype(np.float64)
    if values.size == 0:
        return None
    median = np.median(values)
    mad = np.median(np.abs(values - median))
    return None if mad == 0 else (image - median) / (MAD_TO_SD * mad)


def _bright(brain: np.ndarray, trace: np.ndarray | None, z_gate: float) -> tuple[np.ndarray, list[Fault]]:
    if trace is None:
        return brain.copy(), [Fault("W124")]
    z = robust_z(trace, brain)
    if z is None:
        return brain.copy(), [Fault("W145")]
    return brain & (z > z_gate), []


def slice_axis(volume: Volume) -> int:
    """Return the array axis along which voxels are thickest; the last one where they are isotropic."""
    zooms = np.round(volume.zooms, 3)
    return int(max(range(3), key=lambda axis: (zooms[axis], axis)))


def _widened(mask: np.ndarray, axis: int, margin: int) -> np.ndarray:
    # Within the slice only: partial volume reaches one pixel there; the next slice is millimetres away.
    size = [2 * margin + 1] * 3
    size[axis] = 1
    widened: np.ndarray = ndimage.maximum_filter(mask.astype(np.uint8), size=size, mode="constant") > 0
    return widened


def _components(mask: np.ndarray, connectivity: int) -> tuple[np.ndarray, int]:
    labels, count = ndimage.label(mask, ndimage.generate_binary_structure(3, RANK[connectivity]))
    return labels, int(count)


def drop_small(
    mask: np.ndarray, voxel_ml: float, *, min_component_ml: float, connectivity: int
) -> np.ndarray:
    """Return a mask without components below ``min_component_ml``."""
    labels, _ = _components(mask, connectivity)
    # A relative tolerance: 0.1 ml must not depend on the last digit of an affine's determinant.
    keep = np.bincount(labels.ravel()) * voxel_ml >= min_component_ml * (1 - 1e-6)
    keep[0] = False
    kept: np.ndarray = keep[labels]
    return kept


def measure(mask: np.ndarray, voxel_ml: float, *, connectivity: int) -> dict[str, Any]:
    """Return ``volume_ml``, ``log1p_volume`` (natural logarithm of 1 + ml) and ``n_components``.

    An empty mask is a lesion of 0 ml, not a missing one.
    """
    volume_ml = float(np.count_nonzero(mask) * voxel_ml)
    return {
        "volume_ml": volume_ml,
        "log1p_volume": float(np.log1p(volume_ml)),
        "n_components": _components(mask, connectivity)[1],
    }


def dice(a: np.ndarray, b: np.ndarray) -> float:
    """Return 2|a∩b| / (|a| + |b|) of two masks on one grid; two empty masks agree (1)."""
    if a.shape != b.shape:
        raise ValueError(f"masks of shapes {a.shape} and {b.shape} are not on one grid")
    total = np.count_nonzero(a) + np.count_nonzero(b)
    return float(2.0 * np.count_nonzero(a & b) / total) if total else 1.0


def midsagittal(brain: Volume, *, bin_mm: float = 6.0, rounds: int = 6) -> Plane:
    """Return the mid-sagittal plane of a brain mask, ``x = a + b y + c z`` in RAS mm.

    The plane halves the chords of the mask that stand on it: midpoints of chords give a plane, its normal
    gives new chords, and after a few rounds nothing changes. It follows a head that is turned or tilted. Only
    the mask's outline counts. ``bin_mm`` and ``rounds`` set the accuracy, well beyond what a side needs.
    """
    points = points_mm(brain, brain.data)
    points = points[:: max(1, len(points) // 100_000)]
    origin = points.mean(axis=0)
    points = points - origin
    b = c = offset = 0.0
    for _ in range(rounds):
        normal = np.array([1.0, -b, -c]) / np.sqrt(1.0 + b * b + c * c)
        second = np.array([0.0, 1.0, 0.0]) - normal[1] * normal
        second /= np.linalg.norm(second)
        third = np.cross(normal, second)
        cells = np.floor(points @ np.stack([second, third], axis=1) / bin_mm).astype(np.int64)
        low_cell = cells.min(axis=0)
        span = int(np.ptp(cells[:, 1])) + 1
        keys, owner = np.unique((cells - low_cell) @ [span, 1], return_inverse=True)
        unique = np.stack(np.divmod(keys, span), axis=1) + low_cell
        low, high = np.full(len(unique), np.inf), np.full(len(unique), -np.inf)
        along = points @ normal
        np.minimum.at(low, owner, along)
        np.maximum.at(high, owner, along)
        width = high - low
        wide = width >= 0.5 * width.max()  # short chords at the rim say little about the middle
        foot = (unique[wide] + 0.5) * bin_mm
        middle = (
            np.outer((low + high)[wide] / 2, normal)
            + np.outer(foot[:, 0], second)
            + np.outer(foot[:, 1], third)
        )
        design = np.column_stack([np.ones(len(middle)), middle[:, 1], middle[:, 2]])
        offset, b, c = (float(value) for value in np.linalg.lstsq(design, middle[:, 0], rcond=None)[0])
    return float(origin[0] + offset - b * origin[1] - c * origin[2]), b, c


def side(mask: Volume, midline: Plane, *, side_share: float) -> str:
    """Return on which side of the brain a lesion lies, whatever the handedness of the affine.

    Parameters
    ----------
    mask : Volume of bool
    midline : tuple of float
        ``(a, b, c)`` of ``x = a + b y + c z`` in RAS mm: `midsagittal`; in a template ``MIDSAGITTAL_ZERO``.
    side_share : float
        Share of the lesion that must lie on one side; below it the lesion is on both.

    Returns
    -------
    str
        ``left``, ``right``, ``both``, or ``n/a`` for an empty mask.
    """
    points = points_mm(mask, mask.data)
    if not len(points):
        return "n/a"
    across = np.round(points[:, 0] - midline[0] - points[:, 1:] @ np.asarray(midline[1:]), 6)
    left = float(np.mean(across < 0) + 0.5 * np.mean(across == 0))
    if left >= side_share:
        return "left"
    return "right" if 1.0 - left >= side_share else "both"


def plausibility(
    mask: np.ndarray, brain: np.ndarray, voxel_ml: float, *, max_brain_percent: float, max_outside_ml: float
) -> list[Fault]:
    """Return W122 where a lesion fills too much of the brain or reaches outside it."""
    brain_voxels = np.count_nonzero(brain)
    percent = 100.0 * np.count_nonzero(mask & brain) / brain_voxels if brain_voxels else 0.0
    outside_ml = np.count_nonzero(mask & ~brain) * voxel_ml
    if percent <= max_brain_percent and outside_ml <= max_outside_ml:
        return []
    found = {"percent": f"{percent:.1f}", "outside_ml": f"{outside_ml:.2f}"}
    return [
        Fault(
            "W122",
            values={**found, "limit": f"{max_brain_percent:g}", "outside_limit": f"{max_outside_ml:g}"},
        )
    ]


def growth(j0: Mapping[str, float], j1: Mapping[str, float]) -> dict[str, float]:
    """Return volume at J1 minus volume at J0 in ml, for each criterion that both visits have."""
    return {criterion: j1[criterion] - j0[criterion] for criterion in j0 if criterion in j1}
