"""How far two measurements of one quantity agree: concordance, limits of agreement, ranks, overlap."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy import stats

from reperfuse.evaluation.estimate import Estimate
from reperfuse.evaluation.inputs import ArrayLike, Floats, scores_of, unit_interval


@dataclass(frozen=True)
class BlandAltman:
    """Bias and limits of agreement (Bland and Altman 1986, doi 10.1016/S0140-6736(86)90837-8).

    Attributes
    ----------
    bias : Estimate
        Mean of first − second, with its t interval.
    lower, upper : float or None
        Between these lie so many of the differences as the level says, were they normal.
    sd : float or None
        Of the differences.
    n : int
    """

    bias: Estimate
    lower: float | None
    upper: float | None
    sd: float | None
    n: int


@dataclass(frozen=True)
class Agreement:
    """How far a measurement agrees with a reference.

    Attributes
    ----------
    n
        Pairs.
    ccc
        Lin's concordance correlation coefficient; None where it is not defined.
    bias, low, high
        Mean of measurement minus reference, and its 95 % limits of agreement; None with fewer than three pairs.
    """

    n: int
    ccc: float | None
    bias: float | None
    low: float | None
    high: float | None


def agreement(measured: ArrayLike, reference: ArrayLike) -> Agreement:
    """Compare paired measurements, shape (n,) each: `concordance` and `bland_altman` in one row, at 95 %.

    Raises
    ------
    ValueError
        When the shapes differ or a value is not finite.
    """
    limits = bland_altman(measured, reference, level=0.95)
    if limits.n < 3:
        return Agreement(limits.n, None, None, None, None)
    ccc = concordance(measured, reference, level=0.95).value
    return Agreement(limits.n, ccc, limits.bias.value, limits.lower, limits.upper)


def bland_altman(first: ArrayLike, second: ArrayLike, *, level: float) -> BlandAltman:
    """Return bias and limits of agreement of ``first − second``.

    Parameters
    ----------
    first, second : array of float, shape (n,)
        Two measurements of the same things, in one unit.
    level : float
        Of the limits and of the bias's interval; 0.95 gives the usual 1.96 SD.

    Returns
    -------
    BlandAltman
        Only the bias with one pair, and nothing without any.

    Raises
    ------
    ValueError
        When shapes differ, a value is not finite, or ``level`` is not between 0 and 1.
    """
    one, two = _pair(first, second)
    level = unit_interval(level, name="level")
    n = one.size
    if n < 2:
        alone = Estimate(float((one - two)[0]) if n else None, None, None, "none")
        return BlandAltman(alone, None, None, None, n)
    difference = one - two
    mean, sd = float(difference.mean()), float(difference.std(ddof=1))
    reach = float(stats.t.ppf((1 + level) / 2, n - 1)) * sd / math.sqrt(n)
    limit = float(stats.norm.ppf((1 + level) / 2)) * sd
    return BlandAltman(Estimate(mean, mean - reach, mean + reach, "t"), mean - limit, mean + limit, sd, n)


def concordance(first: ArrayLike, second: ArrayLike, *, level: float) -> Estimate:
    """Return Lin's concordance correlation coefficient, 2 s12 / (s1² + s2² + (m1 − m2)²).

    Lin 1989 (doi 10.2307/2532051), with moments divided by n; interval by his Z transformation.

    Parameters
    ----------
    first, second : array of float, shape (n,)
    level : float

    Returns
    -------
    Estimate
        None with fewer than two pairs or where neither varies and they do not differ; no limits with fewer
        than three pairs or where the correlation is 0 or 1.
    """
    one, two = _pair(first, second)
    level = unit_interval(level, name="level")
    n = one.size
    if n < 2:
        return Estimate(None, None, None, "none")
    s11, s22 = float(one.var()), float(two.var())
    s12 = float(np.mean((one - one.mean()) * (two - two.mean())))
    shift = float(one.mean() - two.mean())
    total = s11 + s22 + shift**2
    if not total > 0:
        return Estimate(None, None, None, "none")
    value = 2 * s12 / total
    r = s12 / math.sqrt(s11 * s22) if s11 > 0 and s22 > 0 else 0.0
    if n < 3 or abs(r) < 1e-12 or 1 - r**2 < 1e-12 or 1 - value**2 < 1e-12:
        return Estimate(value, None, None, "none")
    u2 = shift**2 / math.sqrt(s11 * s22)
    c2, r2 = value**2, r**2
    variance = (
        (1 - r2) * c2 / ((1 - c2) * r2)
        + 2 * value**3 * (1 - value) * u2 / (r * (1 - c2) ** 2)
        - value**4 * u2**2 / (2 * r2 * (1 - c2) ** 2)
    ) / (n - 2)
    if variance < 0:
        return Estimate(value, None, None, "none")
    reach = float(stats.norm.ppf((1 + level) / 2)) * math.sqrt(variance)
    z = math.atanh(value)
    return Estimate(value, math.tanh(z - reach), math.tanh(z + reach), "lin_z")


def spearman(first: ArrayLike, second: ArrayLike, *, level: float) -> Estimate:
    """Return Spearman's rank correlation; interval of Bonett and Wright (2000, doi 10.1007/BF02294183).

    Returns
    -------
    Estimate
        None with fewer than three pairs or where one of both does not vary; no limits with fewer than four
        pairs or a correlation of ±1.
    """
    one, two = _pair(first, second)
    level = unit_interval(level, name="level")
    n = one.size
    if n < 3 or not np.ptp(one) > 0 or not np.ptp(two) > 0:
        return Estimate(None, None, None, "none")
    rho = float(np.clip(stats.spearmanr(one, two).statistic, -1.0, 1.0))
    if n < 4 or 1 - abs(rho) < 1e-12:
        return Estimate(rho, None, None, "none")
    z = math.atanh(rho)
    reach = float(stats.norm.ppf((1 + level) / 2)) * math.sqrt((1 + rho**2 / 2) / (n - 3))
    return Estimate(rho, math.tanh(z - reach), math.tanh(z + reach), "bonett_wright")


def overlap(truth: ArrayLike, called: ArrayLike) -> float | None:
    """Return Dice's coefficient of two masks (n,) of one set of voxels; None where both are empty."""
    one, two = np.asarray(truth, dtype=bool), np.asarray(called, dtype=bool)
    if one.shape != two.shape:
        raise ValueError(f"masks have shapes {one.shape} and {two.shape}; expected one shape.")
    total = np.count_nonzero(one) + np.count_nonzero(two)
    return float(2 * np.count_nonzero(one & two) / total) if total else None


def _pair(first: ArrayLike, second: ArrayLike) -> tuple[Floats, Floats]:
    n = np.asarray(first).size
    return scores_of(first, n=n, name="first"), scores_of(second, n=n, name="second")
