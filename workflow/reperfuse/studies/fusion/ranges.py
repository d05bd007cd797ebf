"""From values with a unit, or none, to numbers between 0 and 1."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import ndimage

Array = np.ndarray
Intensity = Mapping[str, Any]
JACOBIAN = "jac"
# Contrasts in which 0 is a value, rather than what was not measured.
ZERO_COUNTS = ("lesion", "lesion_distance")
# So many values of all brains together give the quantiles; of larger cohorts every second, third, … voxel.
MOST_VALUES = 20_000_000
# Share of values below 0 that interpolation and noise explain.
FEW_BELOW = 0.01
# A Gaussian is cut where so many SD are left and right of it.
TRUNCATE = 2.0


@dataclass(frozen=True)
class Range:
    """What becomes 0 and 1, in the unit of `prepared`."""

    low: float
    high: float


def prepared(
    name: str, image: Array, mask: Array, intensity: Intensity, spacing_mm: Sequence[float]
) -> Array:
    """Return a contrast in a unit that is the same for all patients, 0 where it was not measured.

    Of `jac` it is the logarithm; of contrasts with a fixed range their own unit; others are divided, with
    ``field_mm``, by their own smooth mean in the brain, which takes the coil's field out, and by their median there.

    Parameters
    ----------
    name : str
        Contrast.
    image : ndarray, shape (S, R, L)
        As it was measured.
    mask : ndarray of bool, shape (S, R, L)
        Brain of the template.
    intensity : mapping
        ``intensity`` of ``studies.fusion``.
    spacing_mm : sequence of 3 floats

    Returns
    -------
    ndarray of float32, shape (S, R, L)
    """
    values = np.where(mask & np.isfinite(image), image, 0).astype(np.float32)
    known = mask if name in ZERO_COUNTS else mask & (values != 0)
    if name == JACOBIAN:
        values = np.where(known, np.log(np.maximum(values, 1e-6)), 0).astype(np.float32)
    elif is_relative(name, intensity) and known.any():
        if intensity["field_mm"]:
            field = _smooth_mean(values, known, intensity["field_mm"], spacing_mm)[known]
            values[known] = values[known] / np.where(field > 0, field, 1)
        # Around a mean of 1 the median tells how much of the brain is of which tissue, which belongs to its thickness.
        level = float(np.median(values[known]))
        values[known] = values[known] / (level if level > 0 else 1)
    if intensity["smooth_mm"]:
        values = _smooth_mean(values, known, intensity["smooth_mm"], spacing_mm)
    return values


def fit(name: str, values: Array, intensity: Intensity) -> Range:
    """Return the range of a contrast, from the configuration or from the training patients.

    Parameters
    ----------
    name : str
        Contrast.
    values : ndarray, shape (n, V)
        Of the training patients who have it, from `prepared`, in the V voxels of the brain.
    intensity : mapping
        ``intensity`` of ``studies.fusion``.
    """
    low, high = 0.0, 1.0
    if name in intensity["fixed"]:
        low, high = intensity["fixed"][name]
    elif len(values):
        step = max(1, values.size // MOST_VALUES)
        low, high = np.quantile(values[:, ::step], intensity["quantiles"])
    return Range(float(low), float(high) if high > low else float(low) + 1)


def apply(values: Array, of: Range) -> Array:
    """Return values of `prepared` between 0 and 1."""
    return np.clip((values - of.low) / (of.high - of.low), 0.0, 1.0)


def lacks_range(name: str, image: Array, mask: Array, intensity: Intensity) -> str:
    """Return why a contrast cannot be brought to a range: a signed map has no median to divide by; or nothing."""
    if not is_relative(name, intensity) or np.mean(image[mask] < 0) <= FEW_BELOW:
        return ""
    return "it has values below 0; give it a range under `studies.fusion.intensity.fixed`"


def is_relative(name: str, intensity: Intensity) -> bool:
    """Return whether a contrast has no unit, so that each image is divided by what is usual in it."""
    return name not in intensity["fixed"] and name != JACOBIAN and name not in ZERO_COUNTS


def _smooth_mean(values: Array, known: Array, sd_mm: float, spacing_mm: Sequence[float]) -> Array:
    """Return Gaussian means over the voxels that are known; 0 elsewhere."""
    box = ndimage.find_objects(known.astype(np.uint8))
    found = np.zeros_like(values)
    if not box:
        return found
    at, sd = box[0], [sd_mm / mm for mm in spacing_mm]
    weights = known[at].astype(np.float32)
    total, weight = (
        ndimage.gaussian_filter(one, sd, mode="constant", truncate=TRUNCATE)
        for one in (values[at] * weights, weights)
    )
    found[at] = np.where(known[at], total / np.maximum(weight, 1e-6), 0)
    return found
