"""What a threshold makes of scores, under each of the averages over classes that papers print without naming them."""

from __future__ import annotations

from typing import Any

import numpy as np

from reperfuse.evaluation.discrimination import auc
from reperfuse.evaluation.inputs import ArrayLike, Floats, labels_of, probabilities_of

# Of the positive class; the mean of both classes; that weighted by their sizes, where sensitivity is accuracy.
AVERAGES = ("positive", "macro", "weighted")
METRICS = ("sensitivity", "specificity", "ppv", "npv", "f1", "accuracy")


def of_counts(
    metric: str, tp: np.ndarray, fn: np.ndarray, fp: np.ndarray, tn: np.ndarray, *, average: str
) -> Floats:
    """Return one of `METRICS` of confusion matrices.

    Parameters
    ----------
    metric : str
    tp, fn, fp, tn : ndarray of int, shape (k,)
    average : {"positive", "macro", "weighted"}

    Returns
    -------
    ndarray
        (k,), NaN where a ratio of either class that counts has no denominator.

    Raises
    ------
    ValueError
        The average is none of `AVERAGES`.
    """
    if average not in AVERAGES:
        raise ValueError(f"average is {average!r}; expected one of {', '.join(AVERAGES)}.")
    if metric == "accuracy":
        return _ratio(tp + tn, tp + fn + fp + tn)
    of_one = _of_class(metric, tp, fn, fp, tn)
    if average == "positive":
        return of_one
    weight = 0.5 if average == "macro" else _ratio(tp + fn, tp + fn + fp + tn)
    return weight * of_one + (1 - weight) * _of_class(metric, tn, fp, fn, tp)


def _of_class(metric: str, tp: np.ndarray, fn: np.ndarray, fp: np.ndarray, tn: np.ndarray) -> Floats:
    if metric == "sensitivity":
        return _ratio(tp, tp + fn)
    if metric == "specificity":
        return _ratio(tn, tn + fp)
    if metric == "ppv":
        return _ratio(tp, tp + fp)
    if metric == "npv":
        return _ratio(tn, tn + fn)
    return np.where(tp + fn > 0, _ratio(2 * tp, 2 * tp + fp + fn), np.nan)


def _ratio(part: np.ndarray, whole: np.ndarray) -> Floats:
    return np.divide(part, whole, out=np.full(part.shape, np.nan), where=whole > 0)


def averages(y: ArrayLike, probability: ArrayLike, threshold: ArrayLike) -> list[dict[str, Any]]:
    """Return one row per average, with the AUC of the scores and that of the decisions themselves.

    Parameters
    ----------
    y : array of int, shape (n,)
    probability : array of float, shape (n,)
        Of 1.
    threshold : float, or array of float, shape (n,)
        Where a prediction becomes positive; each patient's own where folds have their own.

    Returns
    -------
    list of dict
        ``average``, `METRICS`, ``auc_scores``, ``auc_labels``, ``n``, ``n_positive``; None where not estimable.

    Raises
    ------
    ValueError
        A shape is wrong, a label is not 0 or 1, a probability is not within 0 to 1, or a threshold not finite.

    Notes
    -----
    The AUC of decisions is the mean of sensitivity and specificity. An AUC that equals it to every digit was most
    likely made from decisions.
    """
    labels = labels_of(y)
    score = probabilities_of(probability, n=labels.size)
    limit = np.broadcast_to(np.asarray(threshold, dtype=np.float64), score.shape)
    if not np.isfinite(limit).all():
        raise ValueError("a threshold is not finite; expected finite numbers.")
    called = (score >= limit).astype(np.int64)
    called_and_true = ((called, labels), (1 - called, labels), (called, 1 - labels), (1 - called, 1 - labels))
    cells = [np.array([int(one @ two)]) for one, two in called_and_true]
    counts = dict(zip(("tp", "fn", "fp", "tn"), cells, strict=True))
    shared = {"auc_scores": auc(labels, score), "auc_labels": auc(labels, called)}
    shared |= {"n": int(labels.size), "n_positive": int(labels.sum())}
    rows = []
    for average in AVERAGES:
        values = {name: float(of_counts(name, **counts, average=average)[0]) for name in METRICS}
        known = {name: None if np.isnan(value) else value for name, value in values.items()}
        rows.append({"average": average, **known, **shared})
    return rows
