"""A single map as a score: turned to point towards HT by the training voxels, and put on the scale of a probability."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import expit

from reperfuse.evaluation.calibration import platt
from reperfuse.evaluation.discrimination import auc
from reperfuse.studies.transformation.baselines import LEAST_SLOPE
from reperfuse.studies.transformation.scan import Sample, Scan

Array = np.ndarray


@dataclass(frozen=True)
class SingleMap:
    """A logistic regression on one map, whose order is the map's own or its reverse.

    Parameters
    ----------
    name : str
        Configuration.
    sign : int
        −1 where low values went with HT in the training voxels.
    middle, width : float
        Median and interquartile range of the training voxels.
    slope, offset : float
        Of the logit of the squashed value, so that a few extreme voxels do not decide.
    seen : frozenset of str
        Patients whose voxels it was fitted on.
    """

    name: str
    sign: int
    middle: float
    width: float
    slope: float
    offset: float
    seen: frozenset[str]

    def probability(self, values: Array) -> Array:
        """Return probabilities of values (n,)."""
        return np.asarray(
            expit(self.slope * _squashed(values, self.sign, self.middle, self.width) + self.offset)
        )

    def predict(self, sample: Sample) -> Array:
        """Return (n,) probabilities of HT."""
        return self.probability(sample.maps[self.name])

    def predict_brain(self, scan: Scan, where: Array) -> Array:
        """Return (n,) probabilities of the voxels (x, y, z) bool, in C order."""
        return self.probability(scan.maps_at(np.flatnonzero(where))[self.name])


def fit(name: str, sample: Sample) -> SingleMap:
    """Fit one map on training voxels of both classes."""
    values = np.asarray(sample.maps[name], dtype=np.float64)
    found = auc(sample.y, values)
    sign = -1 if found is not None and found < 0.5 else 1
    low, middle, high = np.percentile(values, (25, 50, 75))
    width = float(high - low) or float(values.std()) or 1.0
    slope, offset = platt(_squashed(values, sign, float(middle), width), sample.y)
    if slope < LEAST_SLOPE:
        share = float(sample.y.mean())
        slope, offset = LEAST_SLOPE, float(np.log(share / (1 - share)))
    return SingleMap(name, sign, float(middle), width, slope, offset, frozenset(sample.participants))


def _squashed(values: Array, sign: int, middle: float, width: float) -> Array:
    """Return z/(1+|z|), which keeps the order, of the value's distance from the middle in widths."""
    z = sign * (np.asarray(values, dtype=np.float64) - middle) / width
    return np.asarray(z / (1 + np.abs(z)))
