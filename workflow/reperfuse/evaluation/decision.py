"""Decision curves: what acting on a prediction is worth, against treating all patients or none."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from reperfuse.evaluation.inputs import ArrayLike, Floats, Labels, labels_of, probabilities_of

TREAT_ALL = "treat all"
TREAT_NONE = "treat none"


def net_benefit(y: ArrayLike, probability: ArrayLike, thresholds: ArrayLike) -> Floats | None:
    """Return the net benefit of treating those whose probability reaches a threshold.

    Parameters
    ----------
    y
        Labels of 0 and 1, shape (n,).
    probability
        Predicted probabilities of 1, shape (n,).
    thresholds
        Threshold probabilities, shape (t,), at least 0 and below 1.

    Returns
    -------
    array or None
        TP/n - FP/n * t/(1 - t), shape (t,), in true positives per patient; None when there is no patient.

    Raises
    ------
    ValueError
        When a shape is wrong, a label is not 0 or 1, or a probability or a threshold is out of range.

    Notes
    -----
    Vickers & Elkin, Medical Decision Making 26:565 (2006).
    """
    labels = labels_of(y)
    values = probabilities_of(probability, n=labels.size)
    at = _thresholds(thresholds)
    if not labels.size:
        return None
    order = np.argsort(values, kind="stable")
    below = np.searchsorted(values[order], at, side="left")
    # Positives among the patients from each rank upwards; nobody is left after the last.
    positives_from = np.append(np.cumsum(labels[order][::-1])[::-1], 0)
    tp = positives_from[below]
    fp = labels.size - below - tp
    return (tp - fp * at / (1 - at)) / labels.size


def treat_all(y: ArrayLike, thresholds: ArrayLike) -> Floats | None:
    """Return the net benefit of treating everybody: prevalence - (1 - prevalence) * t/(1 - t).

    Parameters
    ----------
    y
        Labels, shape (n,).
    thresholds
        Threshold probabilities, shape (t,), at least 0 and below 1.

    Returns
    -------
    array or None
        Shape (t,); None when there is no patient.

    Raises
    ------
    ValueError
        When a shape is wrong, a label is not 0 or 1, or a threshold is out of range.
    """
    labels = labels_of(y)
    at = _thresholds(thresholds)
    if not labels.size:
        return None
    prevalence = labels.mean()
    return prevalence - (1 - prevalence) * at / (1 - at)


def decision_curve(
    y: ArrayLike, probabilities: Mapping[str, ArrayLike], thresholds: ArrayLike
) -> list[dict[str, str | float | None]]:
    """Return the rows of a decision curve: each configuration in the given order, then treat all, treat none.

    Parameters
    ----------
    y
        Labels, shape (n,).
    probabilities
        Name of each configuration and its probabilities for the same patients, shape (n,).
    thresholds
        Threshold probabilities, shape (t,), at least 0 and below 1.

    Returns
    -------
    list of dict
        ``configuration``, ``threshold``, ``net_benefit`` (None when there is no patient).

    Raises
    ------
    ValueError
        As for `net_benefit`.
    """
    labels: Labels = labels_of(y)
    at = _thresholds(thresholds)
    curves = {name: net_benefit(labels, values, at) for name, values in probabilities.items()}
    curves[TREAT_ALL] = treat_all(labels, at)
    curves[TREAT_NONE] = np.zeros(at.size) if labels.size else None
    return [
        {
            "configuration": name,
            "threshold": float(threshold),
            "net_benefit": None if curve is None else float(curve[i]),
        }
        for name, curve in curves.items()
        for i, threshold in enumerate(at)
    ]


def _thresholds(thresholds: ArrayLike) -> Floats:
    at = np.asarray(thresholds, dtype=np.float64)
    if at.ndim != 1:
        raise ValueError(f"thresholds have shape {at.shape}; expected a vector.")
    outside = at[~((at >= 0) & (at < 1))]
    if outside.size:
        raise ValueError(f"a threshold is {outside[0]:g}; expected at least 0 and below 1.")
    return at
