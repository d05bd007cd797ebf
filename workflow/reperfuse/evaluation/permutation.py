"""Permutation tests whose unit is the patient."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import stats

from reperfuse.evaluation.bca import NO_SPREAD
from reperfuse.evaluation.inputs import ArrayLike, Floats, Labels, labels_of, scores_of
from reperfuse.evaluation.resampling import rows_of

# Draws made at a time: bounds memory at many patients.
BLOCK = 1000


@dataclass(frozen=True)
class Swap:
    """Result of `label_swap`.

    Parameters
    ----------
    difference : float or None
        AUC of the first minus AUC of the second; None where only one class is there.
    p : float or None
        Two-sided.
    null : array, shape (draws,)
        Differences under exchange; empty where there is none.
    """

    difference: float | None
    p: float | None
    null: Floats


@dataclass(frozen=True)
class PermutationResult:
    """Result of `pipeline_permutation`.

    Parameters
    ----------
    observed : float or None
        With the labels as they are.
    null : array, shape (draws − dropped,)
        With shuffled labels.
    p : float or None
        One-sided, that shuffled labels do as well or better; None where it cannot be had.
    degenerate : bool
        Whether the null has no spread: then nothing was shuffled, or the pipeline does not look at labels.
    dropped : int
        Draws in which the pipeline gave no value.
    """

    observed: float | None
    null: Floats
    p: float | None
    degenerate: bool
    dropped: int


def label_swap(
    y: ArrayLike,
    first: ArrayLike,
    second: ArrayLike,
    groups: Sequence[Any] | npt.NDArray[Any],
    *,
    draws: int,
    seed: int,
) -> Swap:
    """Test two models' AUC on the same patients by exchanging their scores.

    One draw exchanges the two scores of each whole patient with probability one half. Scores are first
    replaced by their midranks within each model, so that models on different scales are exchangeable (Bandos,
    Rockette and Gur 2005, doi 10.1002/sim.2149) and the result, like the AUC, does not change with the scale.
    The exchanged difference is then linear in the signs of the exchanges (terms of two signs cancel between
    the two models), so that each draw is one product.

    Parameters
    ----------
    y : array of int, shape (n,)
    first, second : array of float, shape (n,)
        Scores of the two models.
    groups : sequence, shape (n,)
        Whose row it is.
    draws : int
    seed : int

    Raises
    ------
    ValueError
        When labels are not 0 and 1, scores not finite, or lengths differ.
    """
    label = labels_of(y)
    one = stats.rankdata(scores_of(first, n=len(label), name="first"))
    two = stats.rankdata(scores_of(second, n=len(label), name="second"))
    weights = _weights(label, one, two)
    if weights is None:
        return Swap(None, None, np.empty(0))
    rows = rows_of(groups)
    if len(rows.order) != len(label):
        raise ValueError(f"groups has {len(rows.order)} rows, y {len(label)}; expected as many.")
    by_group = np.add.reduceat(weights[rows.order], rows.start)
    difference = float(weights.sum())
    rng = np.random.default_rng(seed)
    null = np.empty(draws)
    for start in range(0, draws, BLOCK):
        stop = min(start + BLOCK, draws)
        null[start:stop] = (1 - 2 * rng.integers(0, 2, size=(stop - start, rows.n))) @ by_group
    # Equal differences differ by rounding.
    count = int(np.sum(np.abs(null) >= abs(difference) - NO_SPREAD))
    return Swap(difference, (1 + count) / (1 + draws), null)


def pipeline_permutation(
    run: Callable[[npt.NDArray[Any]], float | None],
    y: ArrayLike,
    groups: Sequence[Any] | npt.NDArray[Any],
    *,
    draws: int,
    seed: int,
) -> PermutationResult:
    """Rerun a whole pipeline with labels shuffled between patients.

    The labels of a group move together to another group of as many rows, so that rows of one patient agree;
    with one row per patient this is a plain shuffle. (scikit-learn's ``permutation_test_score(groups=...)``
    shuffles *within* groups: with one label per patient it shuffles nothing.)

    Parameters
    ----------
    run : callable
        Labels (n,) → performance, larger is better, or None. Has to redo everything that looks at labels.
    y : array, shape (n,)
    groups : sequence, shape (n,)
        Whose row it is.
    draws : int
    seed : int

    Raises
    ------
    ValueError
        When lengths differ.
    """
    label = np.asarray(y)
    rows = rows_of(groups)
    if label.shape != (len(rows.order),):
        raise ValueError(f"y has shape {label.shape}, groups {len(rows.order)} rows; expected as many.")
    observed = _finite(run(label.copy()))
    rng = np.random.default_rng(seed)
    sizes = [np.flatnonzero(rows.size == size) for size in np.unique(rows.size)]
    values: list[float] = []
    for _ in range(draws):
        giver = np.arange(rows.n)
        for same in sizes:
            giver[same] = rng.permutation(same)
        shuffled = np.empty_like(label)
        shuffled[rows.order] = label[rows.of(giver)]
        value = _finite(run(shuffled))
        if value is not None:
            values.append(value)
    null = np.array(values, dtype=np.float64)
    degenerate = len(null) < 2 or float(np.ptp(null)) < NO_SPREAD
    p = None
    if observed is not None and not degenerate:
        p = float((1 + np.sum(null >= observed - NO_SPREAD)) / (1 + len(null)))
    return PermutationResult(observed, null, p, degenerate, draws - len(null))


def _weights(label: Labels, one: Floats, two: Floats) -> Floats | None:
    """Return what each row adds to the difference of AUC; its sign turns when the row's scores are exchanged.

    With ψ = 1, ½, 0 for larger, equal, smaller, and each row's sign σ = ±1, the difference of the AUC of the
    two exchanged columns is Σ σ_i a_i + Σ σ_j b_j over positives i and negatives j, where
    a_i = Σ_j [ψ(one_i, one_j) + ψ(one_i, two_j) − ψ(two_i, one_j) − ψ(two_i, two_j)] / 2mn, and b_j likewise.
    """
    positive, negative = label == 1, label == 0
    m, n = int(positive.sum()), int(negative.sum())
    if m == 0 or n == 0:
        return None
    weights = np.empty(len(label))
    for side, other, sign in ((positive, negative, 1.0), (negative, positive, -1.0)):
        pool = np.sort(np.concatenate([one[other], two[other]]))
        weights[side] = sign * (_beaten(one[side], pool) - _beaten(two[side], pool)) / (2 * m * n)
    return weights


def _beaten(values: Floats, pool: Floats) -> Floats:
    """Return how many of the sorted pool each value exceeds, ties counted one half."""
    return (np.searchsorted(pool, values, "left") + np.searchsorted(pool, values, "right")) / 2.0


def _finite(value: float | None) -> float | None:
    return float(value) if value is not None and math.isfinite(value) else None
