"""From values with a unit, or none, to numbers between 0 and 1."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

Array = np.ndarray
JACOBIAN = "jac"
# So many values of all brains together give the quantiles; of larger cohorts every second, third, … voxel.
MOST_VALUES = 20_000_000


@dataclass(frozen=True)
class Range:
    """What becomes 0 and 1.

    Parameters
    ----------
    low, high : float
        In the contrast's unit; of `jac` of its logarithm; of a relative one in medians of the brain.
    relative : bool
        Each image is divided by its own median in the brain first.
    """

    low: float
    high: float
    relative: bool


def fit(
    section: Mapping[str, Any], images: Sequence[Mapping[str, Array]], contrasts: Sequence[str], mask: Array
) -> dict[str, Range]:
    """Return contrast → range, from the configuration or from the training patients.

    Parameters
    ----------
    section : mapping
        ``intensity`` of ``studies.fusion``.
    images : sequence of mapping
        Of each training patient: contrast → (S, R, L), as it was measured.
    contrasts : sequence of str
    mask : ndarray of bool, shape (S, R, L)
        Brain of the template.
    """
    found = {}
    for name in contrasts:
        if name in section["fixed"]:
            low, high = section["fixed"][name]
            found[name] = Range(float(low), float(high), False)
            continue
        mine = [_values(name, one[name][mask]) for one in images if name in one]
        relative = name != JACOBIAN
        step = max(1, sum(map(len, mine)) // MOST_VALUES)
        drawn = [one[::step] / (_median(one) if relative else 1.0) for one in mine]
        low, high = map(float, np.quantile(np.concatenate(drawn), section["quantiles"])) if drawn else (0, 1)
        found[name] = Range(low, high if high > low else low + 1.0, relative)
    return found


def applied(name: str, image: Array, one: Range, mask: Array) -> Array:
    """Return an image between 0 and 1, 0 outside the mask.

    Parameters
    ----------
    name : str
        Contrast.
    image : ndarray, shape (S, R, L)
        As it was measured; of `jac` the determinant.
    one : Range
    mask : ndarray of bool, shape (S, R, L)

    Returns
    -------
    ndarray of float32, shape (S, R, L)
    """
    found = np.zeros(image.shape, dtype=np.float32)
    values = _values(name, image[mask])
    values /= _median(values) if one.relative else 1.0
    found[mask] = np.clip((values - one.low) / (one.high - one.low), 0.0, 1.0)
    return found


def _values(name: str, values: Array) -> Array:
    """Return float32 values; of `jac` the logarithm, far below any range where the map has no determinant."""
    values = values.astype(np.float32)
    return np.log(np.maximum(values, 1e-6)) if name == JACOBIAN else values


def _median(values: Array) -> float:
    """Return the median of what was measured, 0 being background; 1 where that is no scale."""
    measured = values[(values != 0) & np.isfinite(values)]
    middle = float(np.median(measured)) if measured.size else 0.0
    return middle if middle > 0 else 1.0
