"""What the judge of predictions returns: a number with its interval, a difference of two with its test."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Estimate:
    """A quantity and its confidence interval.

    Attributes
    ----------
    value
        The estimate; None where the data cannot give one (one class only, for instance).
    low, high
        Limits of the interval; None where there is none.
    interval
        How the interval was made, as the tables print it: ``delong_logit``, ``bca``, ``wald``, ...
    """

    value: float | None
    low: float | None
    high: float | None
    interval: str


@dataclass(frozen=True)
class Comparison:
    """The difference of two models on the same patients, and the test of it.

    Attributes
    ----------
    difference
        First minus second; None where the data cannot give one.
    low, high
        Limits of the confidence interval of the difference.
    statistic
        What the test compares with its null distribution (z, t, ...).
    p
        Two-sided p value.
    """

    difference: float | None
    low: float | None
    high: float | None
    statistic: float | None
    p: float | None
