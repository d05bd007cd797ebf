"""Discrimination: the area under the ROC curve with DeLong's interval and test, and average precision."""

from __future__ import annotations

import numpy as np
from scipy.special import expit, logit
from scipy.stats import norm, rankdata
from sklearn.metrics import average_precision_score, roc_auc_score, roc_curve

from reperfuse.evaluation.estimate import Comparison, Estimate
from reperfuse.evaluation.inputs import ArrayLike, Floats, labels_of, scores_of, unit_interval

# Placements are multiples of 1/(2n); what differs by less is rounding.
ROUNDING = 1e-12


def auc(y: ArrayLike, score: ArrayLike) -> float | None:
    """Return the area under the ROC curve: P(score of a positive > that of a negative), ties counting half.

    Parameters
    ----------
    y
        Labels of 0 and 1, shape (n,).
    score
        Scores, shape (n,); only their order matters.

    Returns
    -------
    float or None
        None when a class is absent.

    Raises
    ------
    ValueError
        When a shape is wrong, a label is not 0 or 1, or a score is not finite.
    """
    labels = labels_of(y)
    values = scores_of(score, n=labels.size)
    m, n = int(labels.sum()), int(labels.size - labels.sum())
    if not (m and n):
        return None
    return float((rankdata(values)[labels == 1].sum() / m - (m + 1) / 2) / n)


def placements(y: ArrayLike, scores: ArrayLike) -> tuple[Floats, Floats]:
    """Return DeLong's structural components of k scores on the same patients.

    Parameters
    ----------
    y
        Labels, shape (n,), m of them positive.
    scores
        Scores, shape (k, n).

    Returns
    -------
    tuple of arrays
        V10, shape (k, m): for each positive the share of negatives below it; and V01, shape (k, n - m): for
        each negative the share of positives above it; ties count half. Empty when a class is absent.

    Raises
    ------
    ValueError
        As for `auc`.
    """
    labels = labels_of(y)
    table = np.asarray(scores)
    if table.ndim != 2:
        raise ValueError(f"scores have shape {table.shape}; expected (k, {labels.size}), one row per model.")
    values = np.array([scores_of(row, n=labels.size) for row in table]).reshape(len(table), labels.size)
    m, n = int(labels.sum()), int(labels.size - labels.sum())
    if not (m and n):
        return np.empty((len(values), 0)), np.empty((len(values), 0))
    pooled = rankdata(values, axis=1)
    v10 = (pooled[:, labels == 1] - rankdata(values[:, labels == 1], axis=1)) / n
    v01 = 1 - (pooled[:, labels == 0] - rankdata(values[:, labels == 0], axis=1)) / m
    return v10, v01


def delong(y: ArrayLike, scores: ArrayLike) -> tuple[Floats | None, Floats | None]:
    """Return the AUCs of k scores on the same patients and their covariance.

    Parameters
    ----------
    y
        Labels, shape (n,).
    scores
        Scores, shape (k, n).

    Returns
    -------
    tuple
        AUCs, shape (k,), None when a class is absent; covariance, shape (k, k), None when a class has
        fewer than two patients.

    Raises
    ------
    ValueError
        As for `auc`.

    Notes
    -----
    DeLong, DeLong & Clarke-Pearson, Biometrics 44:837 (1988), by midranks as in Sun & Xu, IEEE Signal
    Processing Letters 21:1389 (2014): Cov = cov(V10)/m + cov(V01)/n.
    """
    v10, v01 = placements(y, scores)
    (k, m), n = v10.shape, v01.shape[1]
    if not m:
        return None, None
    areas = v10.mean(axis=1)
    if min(m, n) < 2:
        return areas, None
    covariance = np.cov(v10).reshape(k, k) / m + np.cov(v01).reshape(k, k) / n
    return areas, covariance


def auc_interval(y: ArrayLike, score: ArrayLike, *, level: float = 0.95) -> Estimate:
    """Return the AUC with DeLong's interval on the logit scale.

    Parameters
    ----------
    y, score
        Labels and scores, shape (n,).
    level
        Confidence level.

    Returns
    -------
    Estimate
        ``interval`` is ``delong_logit``, except in three cases. An AUC of exactly 1 (or 0) has no logit and a
        variance of 0: the interval is then ``exact_pairs``, from 1 down to (alpha/2)^(1/k) with k the size of
        the smaller class, because k disjoint pairs are independent and perfect order needs all of them in
        order (conservative); mirrored for 0. A score that is the same for everybody has AUC 0.5 by
        construction, and a class of one patient has no variance: ``none``, without limits.

    Raises
    ------
    ValueError
        As for `auc`, or when ``level`` is not between 0 and 1.

    Notes
    -----
    Logit interval: Pepe, The Statistical Evaluation of Medical Tests (2003), section 5.2.
    """
    level = unit_interval(level, name="level")
    labels = labels_of(y)
    v10, v01 = placements(labels, scores_of(score, n=labels.size)[None])
    m, n = v10.shape[1], v01.shape[1]
    if not m:
        return Estimate(None, None, None, "none")
    value = float(v10.mean())
    if min(value, 1 - value) < ROUNDING:
        bound = float(((1 - level) / 2) ** (1 / min(m, n)))
        low, high, value = (bound, 1.0, 1.0) if value > 0.5 else (0.0, 1 - bound, 0.0)
        return Estimate(value, low, high, "exact_pairs")
    if min(m, n) < 2 or (np.ptp(v10) < ROUNDING and np.ptp(v01) < ROUNDING):
        return Estimate(value, None, None, "none")
    error = np.sqrt(_variance(v10[0], v01[0])) / (value * (1 - value))
    reach = norm.ppf((1 + level) / 2) * error
    low, high = (float(expit(logit(value) + side * reach)) for side in (-1, 1))
    return Estimate(value, low, high, "delong_logit")


def paired_delong(y: ArrayLike, first: ArrayLike, second: ArrayLike, *, level: float = 0.95) -> Comparison:
    """Return the difference of two AUCs on the same patients (first minus second) with DeLong's test.

    Parameters
    ----------
    y
        Labels, shape (n,).
    first, second
        The two models' scores of the same patients, shape (n,).
    level
        Confidence level of the (Wald) interval of the difference, which is cut at -1 and 1.

    Returns
    -------
    Comparison
        ``statistic`` is z. All None when a class is absent; the difference alone when a class has one
        patient. Where the difference has no variance (two scores of the same order, or both perfect) there is
        no interval; z is then 0 and p is 1 if the AUCs are equal, else both are None.

    Raises
    ------
    ValueError
        As for `auc`, or when ``level`` is not between 0 and 1.
    """
    level = unit_interval(level, name="level")
    labels = labels_of(y)
    one, two = (scores_of(v, n=labels.size, name=k) for k, v in (("first", first), ("second", second)))
    v10, v01 = placements(labels, np.stack([one, two]))
    if not v10.shape[1]:
        return Comparison(None, None, None, None, None)
    # The contrast of the placements, not c11 + c22 - 2 c12, whose cancellation hides a variance of zero.
    d10, d01 = v10[0] - v10[1], v01[0] - v01[1]
    difference = float(v10[0].mean() - v10[1].mean())
    if min(d10.size, d01.size) < 2:
        return Comparison(difference, None, None, None, None)
    if np.ptp(d10) < ROUNDING and np.ptp(d01) < ROUNDING:
        if abs(difference) < ROUNDING:
            return Comparison(0.0, None, None, 0.0, 1.0)
        return Comparison(difference, None, None, None, None)
    error = np.sqrt(_variance(d10, d01))
    z = difference / error
    reach = norm.ppf((1 + level) / 2) * error
    low, high = max(-1.0, float(difference - reach)), min(1.0, float(difference + reach))
    return Comparison(difference, low, high, float(z), float(2 * norm.sf(abs(z))))


def average_precision(y: ArrayLike, score: ArrayLike) -> float | None:
    """Return the average precision (steps under the precision-recall curve); chance is the prevalence.

    Parameters
    ----------
    y, score
        Labels and scores, shape (n,).

    Returns
    -------
    float or None
        None when a class is absent.

    Raises
    ------
    ValueError
        As for `auc`.
    """
    labels = labels_of(y)
    values = scores_of(score, n=labels.size)
    if np.unique(labels).size < 2:
        return None
    return float(average_precision_score(labels, values))


def weighted_auc(y: ArrayLike, score: ArrayLike, weight: ArrayLike) -> float | None:
    """Return the AUC with a weight per patient (inverse probability of being seen again, for instance).

    Parameters
    ----------
    y, score
        Labels and scores, shape (n,).
    weight
        Weights of zero or more, shape (n,); their scale does not matter.

    Returns
    -------
    float or None
        None when a class is absent or has no weight.

    Raises
    ------
    ValueError
        As for `auc`, or when a weight is negative.
    """
    labels = labels_of(y)
    values = scores_of(score, n=labels.size)
    weights = scores_of(weight, n=labels.size, name="weight")
    if np.any(weights < 0):
        raise ValueError(f"weight holds {weights.min():g}; expected weights of zero or more.")
    if not (np.any(weights[labels == 1] > 0) and np.any(weights[labels == 0] > 0)):
        return None
    used = weights > 0
    return float(roc_auc_score(labels[used], values[used], sample_weight=weights[used] / weights.max()))


def roc_points(y: ArrayLike, score: ArrayLike) -> tuple[Floats, Floats, Floats]:
    """Return the corners of the ROC curve.

    Parameters
    ----------
    y, score
        Labels and scores, shape (n,).

    Returns
    -------
    tuple of arrays
        False positive rate, true positive rate and threshold (positive when score >= threshold), from (0, 0)
        to (1, 1). The first threshold, at which nobody is positive, is the largest score plus 1, not
        infinity. Empty when a class is absent.

    Raises
    ------
    ValueError
        As for `auc`.
    """
    labels = labels_of(y)
    values = scores_of(score, n=labels.size)
    if np.unique(labels).size < 2:
        return np.empty(0), np.empty(0), np.empty(0)
    fpr, tpr, threshold = roc_curve(labels, values)
    threshold = threshold.astype(np.float64)
    threshold[0] = max(values.max() + 1, np.nextafter(values.max(), np.inf))
    return fpr, tpr, threshold


def _variance(v10: Floats, v01: Floats) -> float:
    return float(v10.var(ddof=1) / v10.size + v01.var(ddof=1) / v01.size)
