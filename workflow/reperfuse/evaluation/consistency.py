"""Whether printed metrics can come from one confusion matrix, under the average that they are said to be of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from reperfuse.evaluation.averages import AVERAGES, METRICS, of_counts
from reperfuse.evaluation.inputs import Floats

Array = np.ndarray
# Each metric under whichever average suits it best: the most that can be granted to a printed row.
ANY = "any"
# Of floating point, when a value lies on the edge of its rounding.
SLACK = 1e-12


@dataclass(frozen=True)
class Nearest:
    """The integer confusion matrix whose metrics come nearest to those printed.

    Attributes
    ----------
    tp, fn, fp, tn
        The matrix.
    metric
        The one that misses most beyond its rounding.
    reported, value
        As printed, and of the matrix.
    passes
        Whether every metric agrees within its rounding.
    """

    tp: int
    fn: int
    fp: int
    tn: int
    metric: str
    reported: float
    value: float
    passes: bool

    @property
    def distance(self) -> float:
        """By how much the worst metric misses."""
        return abs(self.reported - self.value)

    @property
    def matrix(self) -> str:
        """The matrix in words."""
        return f"TP {self.tp}, FN {self.fn}, FP {self.fp}, TN {self.tn}"


def rounding(text: str) -> float:
    """Return half a unit of the last digit of a printed number: 0.005 of ``0.81``."""
    return 0.5 * 10.0 ** -len(text.partition(".")[2])


def nearest(
    reported: Mapping[str, float],
    *,
    n: int,
    average: str,
    tolerance: Mapping[str, float],
    n_positive: int | None = None,
) -> Nearest | None:
    """Search every integer confusion matrix of n patients for the one that agrees best.

    Parameters
    ----------
    reported : mapping
        Metric (`reperfuse.evaluation.averages.METRICS`) → value; others are passed over.
    n : int
        Patients.
    average : {"positive", "macro", "weighted", "any"}
        What the values are said to be of; ``any`` grants each of them its own.
    tolerance : mapping
        Metric → how far the true value may lie from the printed one: `rounding`, or 1e-9 for values not rounded.
    n_positive : int, optional
        Patients of the positive class; where it is not given, any number is tried.

    Returns
    -------
    Nearest or None
        The matrix whose largest miss beyond the tolerance is smallest. None where nothing is reported, or no matrix
        defines all metrics.

    Raises
    ------
    ValueError
        Numbers of patients contradict each other, or a value is not finite.

    Notes
    -----
    Exact, by branch and bound: with so many positives every metric rises with true positives and with true
    negatives, so that its values at two corners of a box of matrices bound those inside.
    """
    if n < 1 or not 0 <= (n_positive or 0) <= n:
        raise ValueError(f"{n_positive} positives of {n}; expected 0 <= n_positive <= n, and a patient.")
    given = {name: float(reported[name]) for name in METRICS if reported.get(name) is not None}
    if not np.isfinite(list(given.values())).all():
        raise ValueError(f"a metric is not finite: {given}; expected finite numbers.")
    search = _Search(given, n, AVERAGES if average == ANY else (average,), tolerance)
    # Averages over both classes are the same when these are exchanged.
    most = n if average in ("positive", ANY) else n // 2
    positive = np.arange(most + 1) if n_positive is None else np.array([n_positive])
    boxes = np.stack([positive, 0 * positive, positive, 0 * positive, n - positive])
    best, at = np.inf, None
    while given and boxes.size:
        middle = np.stack([boxes[0], (boxes[1] + boxes[2]) // 2, (boxes[3] + boxes[4]) // 2])
        off = search.miss(search.values(middle))
        if off.min(initial=np.inf) < best:
            best, at = float(off.min()), middle[:, int(off.argmin())]
        boxes = _divided(boxes)
        boxes = boxes[:, search.least_miss(boxes) < best]
    return None if at is None else search.found(at)


def _divided(boxes: Array) -> Array:
    """Return the halves, in both directions, of boxes (5, k) of more than one matrix."""
    p, low_tp, high_tp, low_tn, high_tn = boxes[:, (boxes[1] < boxes[2]) | (boxes[3] < boxes[4])]
    tp, tn = (low_tp + high_tp) // 2, (low_tn + high_tn) // 2
    parts = [
        np.stack([p, *rows, *columns])
        for rows in ((low_tp, tp), (tp + 1, high_tp))
        for columns in ((low_tn, tn), (tn + 1, high_tn))
    ]
    every = np.concatenate(parts, axis=1)
    return every[:, (every[1] <= every[2]) & (every[3] <= every[4])]


@dataclass(frozen=True)
class _Search:
    """What is looked for; matrices are (3, k): positives, true positives, true negatives."""

    given: Mapping[str, float]
    n: int
    averages: Sequence[str]
    tolerance: Mapping[str, float]

    def values(self, matrices: Array) -> Floats:
        """Return (metrics, averages, k); NaN where a metric is undefined."""
        p, tp, tn = matrices
        cells = tp, p - tp, self.n - p - tn, tn
        return np.array(
            [[of_counts(name, *cells, average=one) for one in self.averages] for name in self.given]
        )

    def miss(self, values: Floats) -> Floats:
        """Return (k) by how much the worst metric misses beyond its rounding; infinite where one is undefined."""
        return self._worst(np.where(np.isnan(values), np.inf, np.abs(values - self._target)))

    def least_miss(self, boxes: Array) -> Floats:
        """Return (k) what no matrix of a box can miss by less."""
        low, high = self.values(boxes[[0, 1, 3]]), self.values(boxes[[0, 2, 4]])
        below, above = np.nan_to_num(low, nan=0.0), np.nan_to_num(high, nan=1.0)
        return self._worst(np.maximum(np.maximum(below - self._target, self._target - above), 0.0))

    def found(self, matrix: Array) -> Nearest:
        """Return a matrix with the metric that it misses most."""
        every = self.values(matrix[:, None])
        closest = np.nanargmin(np.abs(every - self._target), axis=1)
        values = np.take_along_axis(every, closest[:, None], axis=1)[:, 0, 0]
        names = list(self.given)
        off = [
            abs(value - self.given[name]) - self.tolerance[name]
            for name, value in zip(names, values, strict=True)
        ]
        worst = int(np.argmax(off))
        p, tp, tn = map(int, matrix)
        name = names[worst]
        return Nearest(
            tp,
            p - tp,
            self.n - p - tn,
            tn,
            name,
            self.given[name],
            float(values[worst]),
            bool(off[worst] <= SLACK),
        )

    @property
    def _target(self) -> Floats:
        return np.array(list(self.given.values()))[:, None, None]

    def _worst(self, off: Floats) -> Floats:
        allowed = np.array([self.tolerance[name] for name in self.given])[:, None]
        return np.asarray((off.min(axis=1) - allowed).max(axis=0))
