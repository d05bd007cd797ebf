"""Whether printed metrics can come from one confusion matrix, under the average that they are said to be of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from reperfuse.evaluation.averages import AVERAGES, METRICS, of_counts
from reperfuse.evaluation.inputs import Floats

# Each metric under whichever average suits it best: the most that can be granted to a printed row.
ANY = "any"
# How far matrices are searched for at first, beyond rounding; doubled until one is found.
FIRST_REACH = 0.01
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
        The matrix whose largest miss beyond the tolerance is smallest, of several the one with the fewest positives,
        then the fewest true positives. None where nothing is reported, or no matrix defines all metrics.

    Raises
    ------
    ValueError
        Numbers of patients contradict each other, or a value is not finite.

    Notes
    -----
    Exact, though not every matrix is looked at: each metric that is further off than the reach at hand rules a matrix
    out, and the reach is widened until a matrix is left.
    """
    if n < 1 or not 0 <= (n_positive or 0) <= n:
        raise ValueError(f"{n_positive} positives of {n}; expected 0 <= n_positive <= n, and a patient.")
    given = {name: float(reported[name]) for name in METRICS if reported.get(name) is not None}
    if not np.isfinite(list(given.values())).all():
        raise ValueError(f"a metric is not finite: {given}; expected finite numbers.")
    # Averages over both classes are the same when these are exchanged.
    most = n if average in ("positive", ANY) else n // 2
    positives = range(most + 1) if n_positive is None else [n_positive]
    reach = 0.0
    while given and reach < 2:
        best: tuple[float, Nearest] | None = None
        for positive in positives:
            found = _within(given, n, positive, average, tolerance, reach + SLACK)
            if found is not None and (best is None or found[0] < best[0]):
                best = found
        if best is not None:
            return best[1]
        reach = max(2 * reach, FIRST_REACH)
    return None


def _within(
    given: Mapping[str, float],
    n: int,
    positive: int,
    average: str,
    tolerance: Mapping[str, float],
    reach: float,
) -> tuple[float, Nearest] | None:
    """Return the best matrix with so many positives that misses nothing by more than ``reach``, and its miss."""
    low, high = 0, n
    if "accuracy" in given:
        allowed = tolerance["accuracy"] + reach
        low = max(0, int(np.ceil(n * (given["accuracy"] - allowed) - SLACK)))
        high = min(n, int(np.floor(n * (given["accuracy"] + allowed) + SLACK)))
    tp, right = (one.ravel() for one in np.mgrid[0 : positive + 1, low : high + 1])
    tn = right - tp
    kept = (tn >= 0) & (tn <= n - positive)
    tp, tn = tp[kept], tn[kept]
    used = AVERAGES if average == ANY else (average,)
    miss, at, near = np.full(tp.size, -np.inf), np.zeros(tp.size, np.int64), np.zeros(tp.size)
    for k, (name, value) in enumerate(given.items()):
        fn, fp = positive - tp, n - positive - tn
        here = _closest(np.stack([of_counts(name, tp, fn, fp, tn, average=one) for one in used]), value)
        off = np.abs(here - value) - tolerance[name]
        kept = off <= reach  # never of NaN: a matrix that leaves a printed value undefined is not near
        worse = off > miss
        at, near, miss = np.where(worse, k, at), np.where(worse, here, near), np.where(worse, off, miss)
        tp, tn, miss, at, near = (one[kept] for one in (tp, tn, miss, at, near))
    if not tp.size:
        return None
    best = int(miss.argmin())
    name = list(given)[at[best]]
    matrix = int(tp[best]), int(positive - tp[best]), int(n - positive - tn[best]), int(tn[best])
    found = Nearest(*matrix, name, given[name], float(near[best]), bool(miss[best] <= SLACK))
    return float(miss[best]), found


def _closest(candidates: Floats, to: float) -> Floats:
    """Return, of each column (averages, k), the value closest to a number; NaN where none is defined."""
    off = np.where(np.isnan(candidates), np.inf, np.abs(candidates - to))
    return np.take_along_axis(candidates, off.argmin(axis=0)[None], axis=0)[0]
