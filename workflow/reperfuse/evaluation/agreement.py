"""Agreement of two measurements of the same quantity, in its own unit."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from reperfuse.evaluation.inputs import ArrayLike, scores_of

# 95 % of a normal distribution lies within so many standard deviations.
LIMITS_SD = 1.96


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
    """Compare paired measurements, shape (n,) each.

    Raises
    ------
    ValueError
        When the shapes differ or a value is not finite.

    Notes
    -----
    Lin, Biometrics 45:255 (1989), with moments over n: 2 s_xy / (s_x² + s_y² + (x̄ - ȳ)²). Bland and Altman, Lancet
    327:307 (1986): bias ± 1.96 SD of the differences (n - 1).
    """
    n = int(np.asarray(reference).size)
    x, y = scores_of(measured, n=n, name="measured"), scores_of(reference, n=n, name="reference")
    if n < 3:
        return Agreement(n, None, None, None, None)
    spread = float(x.var() + y.var() + (x.mean() - y.mean()) ** 2)
    ccc = 2 * float(np.mean((x - x.mean()) * (y - y.mean()))) / spread if spread > 0 else None
    difference = x - y
    bias, half = float(difference.mean()), LIMITS_SD * float(difference.std(ddof=1))
    return Agreement(n, ccc, bias, bias - half, bias + half)
