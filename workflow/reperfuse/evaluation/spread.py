"""Whether one configuration varies less from fold to fold than another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats


@dataclass(frozen=True)
class Spread:
    """SD over folds of two configurations on the same folds, their ratio, and the test that they are equal.

    Attributes
    ----------
    first, second
        SD (ddof 1) over the folds that both have.
    ratio, low, high
        First divided by second, with its interval.
    p
        Two-sided.
    n
        Folds.
    """

    first: float | None
    second: float | None
    ratio: float | None
    low: float | None
    high: float | None
    p: float | None
    n: int


def compare_spread(first: Sequence[float | None], second: Sequence[float | None], *, level: float) -> Spread:
    """Compare two SDs over the same folds (Pitman 1939, Morgan 1939, doi 10.1093/biomet/31.1-2.9 and 13).

    The variances of paired values are equal where their sum and difference are uncorrelated; the interval of the
    ratio follows from the same t distribution. Folds that share training patients are not independent, so both are
    a guide. None where fewer than three folds have both values, or where one set has no spread.
    """
    pairs = [(a, b) for a, b in zip(first, second, strict=True) if a is not None and b is not None]
    n = len(pairs)
    if n < 3:
        return Spread(None, None, None, None, None, None, n)
    a, b = np.array(pairs).T
    one, two = float(a.std(ddof=1)), float(b.std(ddof=1))
    if not one or not two:
        return Spread(one, two, None, None, None, None, n)
    r = float(np.corrcoef(a, b)[0, 1])
    ratio = one / two
    if 1 - r**2 < 1e-12:
        return Spread(one, two, ratio, None, None, None, n)
    t = (ratio - 1 / ratio) * np.sqrt(n - 2) / (2 * np.sqrt(1 - r**2))
    k = 1 + 2 * (1 - r**2) * stats.t.ppf((1 + level) / 2, n - 2) ** 2 / (n - 2)
    low, high = (float(np.sqrt(ratio**2 * (k + sign * np.sqrt(k**2 - 1)))) for sign in (-1, 1))
    return Spread(one, two, ratio, low, high, float(2 * stats.t.sf(abs(t), n - 2)), n)
