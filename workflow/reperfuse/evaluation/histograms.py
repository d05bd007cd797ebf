"""Discrimination of many voxels of few patients, resampled in bins: a draw of patients is a weighted sum of counts.

Scores are put into bins of equal count, half of the edges from positives and half from negatives, once. Pairs of a
positive and a negative in one bin count one half, so that the binned AUC differs from the exact one by at most half
the share of such pairs (`Counts.bound`). Where there are no more different scores than bins nothing is lost. Bins are
for intervals alone: the estimates that tables show are exact.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from reperfuse.evaluation.bca import Bootstrap, acceleration_of, interval_of
from reperfuse.evaluation.estimate import Comparison, Estimate
from reperfuse.evaluation.inputs import Floats

Codes = npt.NDArray[np.intp]
# Enough for intervals: the AUC of the bins is within 1/4096 of the exact one, whatever the scores.
BINS = 4096
# Drawing each bin of each class takes time; for an interval that is only shown for comparison fewer will do.
VOXEL_BINS = 512
CHUNK = 256


@dataclass(frozen=True)
class Counts:
    """One model's scores, counted.

    Attributes
    ----------
    positive, negative : array, shape (patients, bins)
        Voxels of each class, bins from the lowest score to the highest.
    low, high : array, shape (bins,)
        Smallest and largest score of each bin.
    """

    positive: Floats
    negative: Floats
    low: Floats
    high: Floats

    @cached_property
    def bound(self) -> float | None:
        """How far the AUC of the bins can be from the exact one; None without pairs."""
        positive, negative = self.positive.sum(axis=0), self.negative.sum(axis=0)
        if not positive.any() or not negative.any():
            return None
        within = positive * negative * (self.low < self.high)
        return float(within.sum() / positive.sum() / negative.sum() / 2)


def count(y: npt.NDArray[np.int8], score: Floats, owner: Codes, *, patients: int, bins: int = BINS) -> Counts:
    """Count scores in bins.

    Parameters
    ----------
    y : array of int, shape (n,)
        0 or 1.
    score : array of float, shape (n,)
    owner : array of int, shape (n,)
        Whose voxel it is, from 0.
    patients, bins : int
    """
    values = np.sort(score)
    if values.size and np.count_nonzero(np.diff(values)) < bins:
        edges = np.unique(values)
    else:
        edges = np.unique(np.concatenate([_quantiles(np.sort(score[y == k]), bins // 2) for k in (0, 1)]))
    code = np.searchsorted(edges, score, side="left")
    low = edges.copy()
    np.minimum.at(low, code, score)
    cell = owner * edges.size + code
    shape = (patients, edges.size)
    positive, negative = (
        np.bincount(cell[y == k], minlength=patients * edges.size).reshape(shape).astype(np.float64)
        for k in (1, 0)
    )
    return Counts(positive, negative, low, edges)


def _quantiles(values: Floats, n: int) -> Floats:
    """Return the largest value of each of n bins of equal count."""
    if not values.size:
        return values
    last = -(-values.size * np.arange(1, n + 1) // n) - 1
    return values[np.unique(last[last >= 0])]


def auc(positive: Floats, negative: Floats, ties: npt.NDArray[np.bool_]) -> Floats:
    """Return the AUC of each row of counts (rows, bins); NaN where a class is absent."""
    below = np.cumsum(negative, axis=1) - negative / 2
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.einsum("ij,ij->i", positive, below) / (positive.sum(axis=1) * negative.sum(axis=1))


def average_precision(positive: Floats, negative: Floats, ties: npt.NDArray[np.bool_]) -> Floats:
    """Return the average precision of each row of counts; NaN where a class is absent.

    Voxels of one score (``ties``) are called at once; those of other bins one after the other, as if in random order:
    the middle positive of a bin stands for its positives.
    """
    p, n = positive[:, ::-1], negative[:, ::-1]
    above_p, above_n = np.cumsum(p, axis=1) - p, np.cumsum(n, axis=1) - n
    tied = ties[::-1]
    mine_p, mine_n = np.where(tied, p, (p + 1) / 2), np.where(tied, n, n / 2)
    with np.errstate(invalid="ignore", divide="ignore"):
        precision = (above_p + mine_p) / (above_p + mine_p + above_n + mine_n)
        result = np.where(p > 0, p * precision, 0).sum(axis=1) / p.sum(axis=1)
    result[negative.sum(axis=1) == 0] = np.nan
    return result


STATISTICS: Mapping[str, Callable[[Floats, Floats, npt.NDArray[np.bool_]], Floats]] = {
    "auc": auc,
    "average_precision": average_precision,
}


@dataclass(frozen=True)
class Resampled:
    """A statistic of the bins in each draw of patients.

    Attributes
    ----------
    value : float
        Of the bins.
    drawn : array, shape (draws,)
    without : array, shape (patients,)
        With one patient left out; NaN where that leaves no estimate.
    """

    value: float
    drawn: Floats
    without: Floats

    def minus(self, other: Resampled) -> Resampled:
        """Return the difference on the same draws."""
        return Resampled(self.value - other.value, self.drawn - other.drawn, self.without - other.without)


@dataclass(frozen=True)
class Draws:
    """How often each patient is in each draw: with replacement, within those with and those without positives.

    Attributes
    ----------
    weights : array, shape (draws, patients)
    strata : tuple of arrays
        Patients of each stratum.
    """

    weights: Floats
    strata: tuple[Codes, ...]

    @property
    def possible(self) -> bool:
        """Whether each stratum has two patients or more, without which its spread is not known."""
        return bool(self.strata) and min(len(one) for one in self.strata) > 1


def draw_patients(has_positive: npt.NDArray[np.bool_], *, draws: int, seed: int) -> Draws:
    """Draw patients; ``has_positive`` (patients,)."""
    rng = np.random.default_rng(seed)
    strata = tuple(found for k in (False, True) if (found := np.flatnonzero(has_positive == k)).size)
    weights = np.zeros((draws, has_positive.size))
    for one in strata:
        weights[:, one] = rng.multinomial(one.size, np.full(one.size, 1 / one.size), size=draws)
    return Draws(weights, strata)


def resample(counts: Counts, draws: Draws) -> dict[str, Resampled]:
    """Return the AUC and the average precision of every draw and without every patient."""
    n = counts.positive.shape[0]
    rows = np.concatenate([np.ones((1, n)), draws.weights, 1 - np.eye(n)])
    found = _of_rows(rows, counts)
    return {
        name: Resampled(float(v[0]), v[1 : 1 + len(draws.weights)], v[1 + len(draws.weights) :])
        for name, v in found.items()
    }


def _of_rows(rows: Floats, counts: Counts) -> dict[str, Floats]:
    ties = counts.low == counts.high
    parts: dict[str, list[Floats]] = {name: [] for name in STATISTICS}
    for start in range(0, len(rows), CHUNK):
        weights = rows[start : start + CHUNK]
        positive, negative = weights @ counts.positive, weights @ counts.negative
        for name, function in STATISTICS.items():
            parts[name].append(function(positive, negative, ties))
    return {name: np.concatenate(few) for name, few in parts.items()}


def patient_interval(found: Resampled, draws: Draws, *, exact: float, level: float) -> Bootstrap:
    """Return the BCa interval over patients, moved by the difference between the exact value and that of the bins."""
    if not draws.possible:
        return Bootstrap(Estimate(exact, None, None, "none"), 0, len(found.drawn), "too few patients")
    acceleration = acceleration_of([[float(v) for v in found.without[one]] for one in draws.strata])
    got = interval_of(found.drawn.tolist(), found.value, acceleration, level=level)
    return Bootstrap(moved(got.estimate, exact, "patients"), got.dropped, got.draws, got.note)


def moved(estimate: Estimate, exact: float, unit: str) -> Estimate:
    """Return an interval of binned values as one of the exact value, saying what was drawn."""
    if estimate.low is None or estimate.high is None or estimate.value is None:
        return Estimate(exact, None, None, "none")
    shift = exact - estimate.value
    low, high = (min(1.0, max(-1.0, limit + shift)) for limit in (estimate.low, estimate.high))
    return Estimate(exact, low, high, f"{estimate.interval}_{unit}")


def voxel_intervals(
    counts: Counts, exact: Mapping[str, float], *, draws: int, level: float, seed: int
) -> dict[str, Estimate]:
    """Return percentile intervals over voxels, drawn within each class as if they were independent.

    Neighbouring voxels and those of one patient are alike, so that these intervals are too narrow.
    """
    rng = np.random.default_rng(seed)
    starts = np.arange(0, counts.low.size, max(1, -(-counts.low.size // VOXEL_BINS)))
    whole = [np.add.reduceat(one.sum(axis=0), starts) for one in (counts.positive, counts.negative)]
    if not all(one.any() for one in whole):
        return {}
    positive, negative = (
        rng.multinomial(int(one.sum()), one / one.sum(), size=draws).astype(np.float64) for one in whole
    )
    ties = counts.low[starts] == counts.high[np.append(starts[1:], counts.high.size) - 1]
    result = {}
    for name, function in STATISTICS.items():
        binned = float(function(whole[0][None], whole[1][None], ties)[0])
        got = interval_of(function(positive, negative, ties).tolist(), binned, None, level=level)
        result[name] = moved(got.estimate, exact[name], "voxels_optimistic")
    return result


def compare(first: Resampled, second: Resampled, draws: Draws, *, exact: float, level: float) -> Comparison:
    """Return a paired difference with its interval over patients and two-sided p.

    Parameters
    ----------
    first, second : Resampled
        On the same draws.
    draws : Draws
    exact : float
        Difference of the exact values.
    level : float

    Returns
    -------
    Comparison
        p is twice the share of draws on the other side of 0, with one added to both counts (Davison and Hinkley 1997,
        section 4.4); ``statistic`` is the difference over the SD of the draws.
    """
    difference = first.minus(second)
    found = patient_interval(difference, draws, exact=exact, level=level).estimate
    kept = difference.drawn[np.isfinite(difference.drawn)]
    spread = float(kept.std(ddof=1)) if kept.size > 1 else 0.0
    if found.low is None or not spread > 0:
        return Comparison(exact, None, None, None, None)
    below, above = (float(np.sum(one)) for one in (kept <= 0, kept >= 0))
    p = min(1.0, 2 * (min(below, above) + 1) / (kept.size + 1))
    return Comparison(exact, found.low, found.high, exact / spread, p)


def curve(counts: Counts, *, points: int) -> Sequence[tuple[float, float, float, float]]:
    """Return corners of the ROC and precision–recall curves: threshold, FPR, TPR, precision; highest score first.

    At most about ``points`` of them, evenly along the ROC curve; empty where a class is absent.
    """
    p, n = (np.cumsum(one.sum(axis=0)[::-1]) for one in (counts.positive, counts.negative))
    if not p.size or not p[-1] or not n[-1]:
        return []
    tpr, fpr = p / p[-1], n / n[-1]
    step = np.floor((tpr + fpr) / 2 * points)
    chosen = np.flatnonzero(np.diff(step, prepend=-1.0))
    chosen = np.union1d(chosen, [p.size - 1])
    low = counts.low[::-1]
    return [(float(low[i]), float(fpr[i]), float(tpr[i]), float(p[i] / (p[i] + n[i]))) for i in chosen]
