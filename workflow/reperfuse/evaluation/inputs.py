"""The one gate of what is judged: labels of 0 and 1, finite scores, probabilities between 0 and 1."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Labels = npt.NDArray[np.int64]
ArrayLike = npt.ArrayLike


def labels_of(y: ArrayLike) -> Labels:
    """Return ``y`` (n,) as integers.

    Raises
    ------
    ValueError
        When ``y`` is not a vector, or holds anything but 0 and 1.
    """
    values = np.asarray(y)
    if values.ndim != 1:
        raise ValueError(f"y has shape {values.shape}; expected one label per patient, shape (n,).")
    try:
        values = values.astype(np.float64)
    except (TypeError, ValueError):
        raise ValueError(f"y has type {values.dtype}; expected labels of 0 and 1.") from None
    other = values[~np.isin(values, (0.0, 1.0))]
    if other.size:
        raise ValueError(f"y holds {_short(other)}; expected labels of 0 and 1 only.")
    return values.astype(np.int64)


def scores_of(score: ArrayLike, *, n: int, name: str = "score") -> Floats:
    """Return ``score`` (n,) as floats.

    Raises
    ------
    ValueError
        When its shape is not (n,), or a value is not finite.
    """
    values = np.asarray(score)
    if values.shape != (n,):
        raise ValueError(f"{name} has shape {values.shape}; expected ({n},), one value per label.")
    try:
        values = values.astype(np.float64)
    except (TypeError, ValueError):
        raise ValueError(f"{name} has type {values.dtype}; expected numbers.") from None
    bad = int(np.count_nonzero(~np.isfinite(values)))
    if bad:
        raise ValueError(f"{name} holds {bad} values that are not finite, of {n}; expected finite numbers.")
    return values


def probabilities_of(probability: ArrayLike, *, n: int) -> Floats:
    """Return ``probability`` (n,) as floats.

    Raises
    ------
    ValueError
        As for `scores_of`, or when a value lies outside 0 to 1.
    """
    values = scores_of(probability, n=n, name="probability")
    outside = values[(values < 0) | (values > 1)]
    if outside.size:
        raise ValueError(f"probability holds {_short(outside)}; expected values between 0 and 1.")
    return values


def unit_interval(value: float, *, name: str) -> float:
    """Return ``value`` when it lies strictly between 0 and 1 (a confidence level, a threshold).

    Raises
    ------
    ValueError
        When it does not.
    """
    if not 0 < value < 1:
        raise ValueError(f"{name} is {value}; expected a number strictly between 0 and 1.")
    return float(value)


def _short(values: npt.NDArray[Any]) -> str:
    return ", ".join(f"{value:g}" for value in np.unique(values)[:3])
