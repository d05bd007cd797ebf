"""The bootstrap interval that corrects for bias and skewness, from draws that are already made."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from reperfuse.evaluation.estimate import Estimate
from reperfuse.evaluation.inputs import Floats, unit_interval

# Sums of rounding errors of values of order 1, such as AUC; a spread below it is none.
NO_SPREAD = 1e-12


@dataclass(frozen=True)
class Bootstrap:
    """A bootstrap interval and how many draws it rests on.

    Parameters
    ----------
    estimate : Estimate
        ``interval`` is ``bca``; ``percentile`` where the acceleration is undefined; ``none`` without limits.
    dropped : int
        Draws in which the statistic could not be had.
    draws : int
        Draws asked for.
    note : str
        Why there are no limits; empty where there are.
    """

    estimate: Estimate
    dropped: int
    draws: int
    note: str = ""


def interval_of(
    drawn: Sequence[float | None], value: float, acceleration: float | None, *, level: float
) -> Bootstrap:
    """Return the BCa interval of draws that are already made (Efron 1987, doi 10.1080/01621459.1987.10478410).

    Parameters
    ----------
    drawn : sequence of float or None
        The statistic in each draw; None where a draw cannot give one.
    value : float
        The statistic of the data.
    acceleration : float or None
        See `acceleration_of`; None gives the percentile interval.
    level : float
        Confidence level.
    """
    tail = (1 - unit_interval(level, name="level")) / 2
    draws, without = len(drawn), Estimate(value, None, None, "none")
    kept = np.array([one for one in map(number, drawn) if one is not None], dtype=np.float64)
    dropped = draws - len(kept)
    if len(kept) * tail < 1:
        return Bootstrap(without, dropped, draws, "too few draws")
    if np.ptp(kept) < NO_SPREAD:
        return Bootstrap(without, dropped, draws, "all draws agree")
    probabilities = _bca(kept, value, acceleration, tail)
    how = "percentile" if probabilities is None else "bca"
    low, high = np.quantile(kept, probabilities or (tail, 1 - tail))
    return Bootstrap(Estimate(value, float(low), float(high), how), dropped, draws)


def acceleration_of(without: Sequence[Sequence[float | None]]) -> float | None:
    """Return the acceleration from the statistic without each group, by stratum; None where it is undefined."""
    cubes = squares = 0.0
    for stratum in without:
        known = [number(one) for one in stratum]
        if any(one is None for one in known):
            return None
        left_out = np.array(known, dtype=np.float64)
        n = len(left_out)
        influence = (n - 1) * (left_out.mean() - left_out)
        cubes += float((influence**3).sum()) / n**3
        squares += float((influence**2).sum()) / n**2
    return cubes / (6 * squares**1.5) if squares > NO_SPREAD**2 else None


def number(value: float | None) -> float | None:
    """Return a finite float, or None."""
    return float(value) if value is not None and math.isfinite(value) else None


def _bca(kept: Floats, value: float, acceleration: float | None, tail: float) -> tuple[float, float] | None:
    """Return the two probabilities at which the draws are read, or None where BCa is undefined."""
    if acceleration is None:
        return None
    below = float((np.sum(kept < value - NO_SPREAD) + np.sum(kept <= value + NO_SPREAD)) / (2 * len(kept)))
    if not 0 < below < 1:
        return None
    bias = float(stats.norm.ppf(below))
    ends = []
    for z in (float(stats.norm.ppf(tail)), float(stats.norm.ppf(1 - tail))):
        denominator = 1 - acceleration * (bias + z)
        if denominator <= 0:
            return None
        ends.append(float(stats.norm.cdf(bias + (bias + z) / denominator)))
    return ends[0], ends[1]
