"""Intervals by resampling: the bootstrap over patients, and the fold values of a cross-validation."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import stats

from reperfuse.evaluation.bca import NO_SPREAD, Bootstrap, acceleration_of, interval_of, number
from reperfuse.evaluation.estimate import Comparison, Estimate
from reperfuse.evaluation.inputs import ArrayLike, labels_of, scores_of, unit_interval

Indices = npt.NDArray[np.int64]
Statistic = Callable[[Indices], float | None]


@dataclass(frozen=True)
class Rows:
    """Which rows belong to each group: those of group g are ``order[start[g]:start[g] + size[g]]``."""

    order: Indices
    start: Indices
    size: Indices

    @property
    def n(self) -> int:
        """Number of groups."""
        return len(self.size)

    def of(self, chosen: Indices) -> Indices:
        """Return all rows of the chosen groups, a group chosen twice with its rows twice."""
        size = self.size[chosen]
        ends = np.cumsum(size)
        within = np.arange(ends[-1] if ends.size else 0) - np.repeat(ends - size, size)
        return self.order[np.repeat(self.start[chosen], size) + within]


def rows_of(groups: Sequence[Any] | npt.NDArray[Any]) -> Rows:
    """Return the rows of each group, groups in the sorted order of their names, rows in their own order."""
    _, codes, size = np.unique(np.asarray(groups), return_inverse=True, return_counts=True)
    order = np.argsort(codes, kind="stable").astype(np.int64)
    return Rows(order, (np.cumsum(size) - size).astype(np.int64), size.astype(np.int64))


def auc_of(y: ArrayLike, score: ArrayLike) -> Statistic:
    """Return the AUC as a fast function of row indices, for `cluster_bootstrap`.

    Scores are ranked once; each call only counts, so that it takes time proportional to the rows.

    Parameters
    ----------
    y : array of int, shape (n,)
    score : array of float, shape (n,)

    Returns
    -------
    callable
        Indices → AUC with ties counted one half, or None where the rows are of one class.
    """
    label = labels_of(y)
    values, code = np.unique(scores_of(score, n=len(label)), return_inverse=True)
    n_codes = len(values)
    cell = code + n_codes * label  # counts both classes in one pass

    def statistic(indices: Indices) -> float | None:
        count = np.bincount(cell[indices], minlength=2 * n_codes)
        negative, positive = count[:n_codes], count[n_codes:]
        m, n = int(positive.sum()), int(negative.sum())
        if m == 0 or n == 0:
            return None
        return float(positive @ (np.cumsum(negative) - negative / 2.0)) / (m * n)

    return statistic


def cluster_bootstrap(
    statistic: Statistic,
    y: ArrayLike,
    groups: Sequence[Any] | npt.NDArray[Any],
    *,
    draws: int,
    level: float,
    seed: int,
) -> Bootstrap:
    """Return a statistic with its BCa interval over patients.

    Groups (patients) are drawn with replacement within strata of the outcome, so that every draw has as many
    patients of each outcome as the data; all rows of a group go along. Bias correction and acceleration are
    those of Efron (1987, doi 10.1080/01621459.1987.10478410), the acceleration from leaving one group out,
    summed over strata (Davison and Hinkley 1997, chapter 5).

    Parameters
    ----------
    statistic : callable
        Row indices → value, or None (or not finite) where these rows cannot give one.
    y : array, shape (n,)
        Outcome of each row, of few distinct values; the stratum of a group is the largest of its rows.
    groups : sequence, shape (n,)
        Whose row it is.
    draws : int
    level : float
        Confidence level, between 0 and 1.
    seed : int

    Returns
    -------
    Bootstrap
        No limits where the statistic of the data is None, where a stratum holds one group (its spread is
        unknown), where all draws agree, or where the limits would lie beyond the outermost draw kept.

    Raises
    ------
    ValueError
        When lengths differ, or ``draws`` is less than 1.
    """
    outcome, owners = np.asarray(y), np.asarray(groups)
    if outcome.shape != owners.shape or outcome.ndim != 1:
        raise ValueError(f"y has shape {outcome.shape}, groups {owners.shape}; expected one of each per row.")
    if draws < 1:
        raise ValueError(f"draws is {draws}; expected at least 1.")
    unit_interval(level, name="level")
    rows = rows_of(owners)
    value = number(statistic(np.arange(len(outcome), dtype=np.int64))) if rows.n else None
    if value is None:
        return Bootstrap(Estimate(None, None, None, "none"), 0, draws, "no estimate")
    strata = _strata(outcome, rows)
    without = Estimate(value, None, None, "none")
    if min(len(stratum) for stratum in strata) < 2:
        return Bootstrap(without, 0, draws, "one patient alone has an outcome")
    drawn = [number(statistic(rows.of(chosen))) for chosen in _draws(strata, draws, seed)]
    return interval_of(drawn, value, _acceleration(statistic, rows, strata), level=level)


def corrected_interval(values: Sequence[float | None], *, test_share: float, level: float) -> Estimate:
    """Return the mean of fold values with an interval that allows for overlapping training sets.

    The variance of the mean is s²(1/k + n_test/n_train) with k − 1 degrees of freedom (Nadeau and Bengio
    2003, doi 10.1023/A:1024068626366). The limits are not cut at 0 or 1.

    Parameters
    ----------
    values : sequence of float or None, length k
        A metric in each fold, or fold and repeat; None (a fold of one class) is left out.
    test_share : float
        n_test / n_train; 1/7 for eight folds.
    level : float
        Confidence level.
    """
    test = _fold_t(values, factor=test_share, level=level)
    return Estimate(test.difference, test.low, test.high, "none" if test.low is None else "corrected_t")


def corrected_t(differences: Sequence[float | None], *, test_share: float, level: float) -> Comparison:
    """Return the corrected resampled t test of fold differences (Nadeau and Bengio 2003).

    Parameters
    ----------
    differences : sequence of float or None, length k
        First minus second model in each fold; None is left out.
    test_share : float
        n_test / n_train.
    level : float
        Confidence level.

    Returns
    -------
    Comparison
        ``statistic`` is t with k − 1 degrees of freedom. Only the difference where fewer than two folds are
        left or all differences are the same; if all are 0, t is 0 and p is 1.
    """
    return _fold_t(differences, factor=test_share, level=level)


def naive_t(differences: Sequence[float | None], *, level: float) -> Comparison:
    """Return the t test that takes folds as independent: shown beside `corrected_t`, not to be relied on."""
    return _fold_t(differences, factor=0.0, level=level)


def _fold_t(values: Sequence[float | None], *, factor: float, level: float) -> Comparison:
    if not (math.isfinite(factor) and factor >= 0):
        raise ValueError(f"test_share is {factor}; expected n_test / n_train, 0 or more.")
    unit_interval(level, name="level")
    kept = np.array([one for one in map(number, values) if one is not None], dtype=np.float64)
    k = len(kept)
    if k == 0:
        return Comparison(None, None, None, None, None)
    mean = float(kept.mean())
    if k < 2 or np.ptp(kept) < NO_SPREAD:
        same = k > 1 and abs(mean) < NO_SPREAD
        return Comparison(mean, None, None, 0.0 if same else None, 1.0 if same else None)
    error = math.sqrt((1 / k + factor) * float(kept.var(ddof=1)))
    t = mean / error
    reach = float(stats.t.ppf((1 + level) / 2, k - 1)) * error
    return Comparison(mean, mean - reach, mean + reach, t, float(2 * stats.t.sf(abs(t), k - 1)))


def _strata(outcome: npt.NDArray[Any], rows: Rows) -> list[Indices]:
    """Return the groups of each stratum."""
    highest = np.maximum.reduceat(outcome[rows.order], rows.start)
    return [np.flatnonzero(highest == one) for one in np.unique(highest)]


def _draws(strata: list[Indices], draws: int, seed: int) -> Iterator[Indices]:
    """Yield the groups of each draw."""
    rng = np.random.default_rng(seed)
    parts = [one[rng.integers(0, len(one), size=(draws, len(one)))] for one in strata]
    yield from np.concatenate(parts, axis=1)


def _acceleration(statistic: Statistic, rows: Rows, strata: list[Indices]) -> float | None:
    """Return the acceleration, None where a group cannot be left out or none makes a difference."""
    without: list[list[float | None]] = []
    everybody = np.ones(rows.n, dtype=bool)
    for stratum in strata:
        without.append([])
        for group in stratum:
            everybody[group] = False
            without[-1].append(statistic(rows.of(np.flatnonzero(everybody))))
            everybody[group] = True
    return acceleration_of(without)
