"""Class-conditional (Mondrian) conformal prediction: sets of classes that miss the truth at a known rate.

Vovk, Gammerman and Shafer, *Algorithmic Learning in a Random World* (2005); cross-conformal: Vovk 2015, doi
10.1007/s10472-013-9368-4. The nonconformity of a patient to a class is 1 − the probability of that class.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from reperfuse.evaluation.inputs import ArrayLike, Floats, labels_of, probabilities_of, unit_interval

Sets = npt.NDArray[np.bool_]
CLASSES = (0, 1)


def p_values(
    y: ArrayLike, probability: ArrayLike, folds: Sequence[Any] | npt.NDArray[Any] | None = None
) -> Floats:
    """Return the conformal p value of each patient for each class.

    Parameters
    ----------
    y : array of int, shape (n,)
        Labels.
    probability : array of float, shape (n,)
        Probability of class 1 by a model that has not seen the patient.
    folds : sequence, shape (n,), optional
        With folds, a patient is compared with the patients of all other folds; without, with all others.

    Returns
    -------
    array of float, shape (n, 2)
        Column c: (1 + number of compared patients of class c at least as nonconforming) / (1 + their number).
        1 where no patient of the class can be compared.

    Raises
    ------
    ValueError
        When labels are not 0 and 1, probabilities not in 0 to 1, or lengths differ.
    """
    label = labels_of(y)
    n = len(label)
    strange = _nonconformity(probabilities_of(probability, n=n))
    own = np.arange(n) if folds is None else np.unique(np.asarray(folds), return_inverse=True)[1]
    if own.shape != (n,):
        raise ValueError(f"folds has shape {own.shape}; expected ({n},), one fold per label.")
    result = np.empty((n, 2))
    for c in CLASSES:
        everyone = np.sort(strange[label == c, c])
        at_least = _at_least(everyone, strange[:, c])
        number = np.full(n, len(everyone))
        if folds is None:  # a patient is not compared with the own label
            at_least = at_least - (label == c)
            number = number - (label == c)
        else:
            for fold in np.unique(own):
                here = own == fold
                same = np.sort(strange[here & (label == c), c])
                at_least[here] -= _at_least(same, strange[here, c])
                number[here] -= len(same)
        result[:, c] = (1 + at_least) / (1 + number)
    return result


def p_values_new(
    calibration_y: ArrayLike, calibration_probability: ArrayLike, probability: ArrayLike
) -> Floats:
    """Return the conformal p values (m, 2) of new patients against calibration patients with known labels.

    Parameters
    ----------
    calibration_y : array of int, shape (n,)
    calibration_probability : array of float, shape (n,)
        Out-of-fold probabilities of the patients whom the frozen model was made from.
    probability : array of float, shape (m,)
        Probability of class 1 of the new patients.

    Raises
    ------
    ValueError
        As `p_values`.
    """
    label = labels_of(calibration_y)
    known = _nonconformity(probabilities_of(calibration_probability, n=len(label)))
    new = _nonconformity(probabilities_of(probability, n=len(np.atleast_1d(np.asarray(probability)))))
    result = np.empty((len(new), 2))
    for c in CLASSES:
        of_class = np.sort(known[label == c, c])
        result[:, c] = (1 + _at_least(of_class, new[:, c])) / (1 + len(of_class))
    return result


def prediction_sets(p_values: Floats, *, epsilon: float) -> Sets:
    """Return which classes each set holds (n, 2): those whose p value exceeds ``epsilon``."""
    return np.asarray(p_values) > unit_interval(epsilon, name="epsilon")


def summary(y: ArrayLike, sets: Sets, *, epsilon: float) -> list[dict[str, Any]]:
    """Return coverage and size of the sets, per class and overall.

    Parameters
    ----------
    y : array of int, shape (n,)
    sets : array of bool, shape (n, 2)
    epsilon : float
        Error rate at which the sets were made.

    Returns
    -------
    list of dict
        ``epsilon``, ``label`` (``0``, ``1``, ``all``), ``n``, then shares of patients, None where there are
        none: ``coverage`` (the true class is in the set), ``singleton``, ``empty``, ``both``.
    """
    label, inside = labels_of(y), np.asarray(sets, dtype=bool)
    if inside.shape != (len(label), 2):
        raise ValueError(f"sets has shape {inside.shape}; expected ({len(label)}, 2).")
    covered = inside[np.arange(len(label)), label]
    size = inside.sum(axis=1)
    rows = []
    for name, chosen in (("0", label == 0), ("1", label == 1), ("all", np.ones(len(label), dtype=bool))):
        shares = {"coverage": covered, "singleton": size == 1, "empty": size == 0, "both": size == 2}
        n = int(chosen.sum())
        found = {key: float(value[chosen].mean()) if n else None for key, value in shares.items()}
        rows.append({"epsilon": epsilon, "label": name, "n": n, **found})
    return rows


def _nonconformity(probability: Floats) -> Floats:
    """Return (n, 2): 1 − the probability of each class."""
    return np.column_stack([probability, 1 - probability])


def _at_least(ordered: Floats, values: Floats) -> npt.NDArray[np.int64]:
    """Return how many of the sorted values are at least as large as each value."""
    return (len(ordered) - np.searchsorted(ordered, values, "left")).astype(np.int64)
