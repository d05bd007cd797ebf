"""Calibration: Platt's map from decision values to probabilities, and how far these can be believed."""

from __future__ import annotations

import warnings

import numpy as np
import statsmodels.api as sm
from scipy.optimize import brentq
from scipy.special import expit, logit
from statsmodels.nonparametric.smoothers_lowess import lowess

from reperfuse.evaluation.inputs import ArrayLike, Floats, Labels, labels_of, probabilities_of, scores_of
from reperfuse.evaluation.thresholded import wilson

MEASURES = (
    *("brier", "brier_skill", "calibration_slope", "calibration_intercept", "calibration_in_the_large"),
    *("ici", "e50", "e90", "ece"),
)
# A probability of 0 or 1 has no logit: for slope and intercepts it counts as this close to it.
CLIP = 1e-6
# Span of the loess curve of Austin & Steyerberg 2019; with fewer patients a curve follows single outcomes.
SPAN = 0.75
MINIMUM_FOR_CURVE = 10
ECE_BINS = 10


def platt(decision: ArrayLike, y: ArrayLike) -> tuple[float, float]:
    """Return the slope and intercept of Platt's sigmoid, p = expit(a * decision + b).

    Parameters
    ----------
    decision
        Decision values, shape (n,), of patients on whom the classifier was not fitted.
    y
        Labels of 0 and 1, shape (n,).

    Returns
    -------
    tuple of float
        a, b. Finite also where the classes are separated, because the targets are smoothed. Where the values
        are the same for all, or a class is absent, a is 0 and b the logit of the mean smoothed target.

    Raises
    ------
    ValueError
        When a shape is wrong, a label is not 0 or 1, or a value is not finite.

    Notes
    -----
    Platt (1999), targets (n1 + 1)/(n1 + 2) and 1/(n0 + 2); Newton's method with halved steps, Lin, Lin &
    Weng, Machine Learning 68:267 (2007).
    """
    labels = labels_of(y)
    values = scores_of(decision, n=labels.size, name="decision")
    n1 = int(labels.sum())
    n0 = labels.size - n1
    target = np.where(labels == 1, (n1 + 1) / (n1 + 2), 1 / (n0 + 2))
    flat = float(logit(target.mean())) if labels.size else 0.0
    centre, spread = (float(values.mean()), float(values.std())) if labels.size else (0.0, 0.0)
    if not (n1 and n0) or spread <= 1e-12 * max(1.0, abs(centre)):
        return 0.0, flat
    # On standardised values the Hessian is well conditioned, whatever the scale of the decision.
    design = np.column_stack([(values - centre) / spread, np.ones(labels.size)])
    a, b = _newton(design, target, start=np.array([0.0, flat]))
    return a / spread, b - a * centre / spread


def apply_platt(decision: ArrayLike, a: float, b: float) -> Floats:
    """Return probabilities, shape (n,), of decision values, shape (n,), by Platt's sigmoid.

    Raises
    ------
    ValueError
        When the shape is wrong or a value is not finite.
    """
    values = np.asarray(decision)
    return np.asarray(expit(a * scores_of(values, n=values.size, name="decision") + b))


def calibration(y: ArrayLike, probability: ArrayLike) -> dict[str, float | None]:
    """Return how far predicted probabilities agree with what happened.

    Parameters
    ----------
    y
        Labels of 0 and 1, shape (n,).
    probability
        Predicted probabilities of 1, shape (n,).

    Returns
    -------
    dict
        brier
            mean (p - y)².
        brier_skill
            1 - brier/[prevalence (1 - prevalence)]; 0 is the prevalence told to everybody.
        calibration_slope, calibration_intercept
            b and a of the logistic model y ~ a + b logit(p); 1 and 0 are ideal.
        calibration_in_the_large
            intercept with the slope held at 1 (offset logit p); 0 is ideal, above it predictions are too low.
        ici, e50, e90
            mean, median and 90th percentile of |curve(p) - p|, the curve being lowess of y on p.
        ece
            mean over 10 bins of equal count, weighted by it, of |mean p - observed rate|.

        For slope and intercepts p is clipped to [1e-6, 1 - 1e-6]. None where not estimable: without
        patients all; with one class all but brier; slope and intercept where p separates the classes (no
        finite maximum) or is constant; ici, e50 and e90 with fewer than 10 patients.

    Raises
    ------
    ValueError
        When a shape is wrong, a label is not 0 or 1, or a probability is not within 0 to 1.

    Notes
    -----
    ICI, E50, E90: Austin & Steyerberg, Statistics in Medicine 38:4051 (2019), with local lines (lowess, span
    0.75, no robust iterations, which would take the rarer outcome for outliers).
    """
    labels = labels_of(y)
    values = probabilities_of(probability, n=labels.size)
    found: dict[str, float | None] = dict.fromkeys(MEASURES)
    if not labels.size:
        return found
    brier = float(np.mean((values - labels) ** 2))
    found["brier"] = brier
    prevalence = float(labels.mean())
    if prevalence in (0.0, 1.0):
        return found
    found["brier_skill"] = 1 - brier / (prevalence * (1 - prevalence))
    log_odds = logit(np.clip(values, CLIP, 1 - CLIP))
    found["calibration_intercept"], found["calibration_slope"] = _recalibration(labels, log_odds)
    found["calibration_in_the_large"] = _in_the_large(labels, log_odds)
    if labels.size >= MINIMUM_FOR_CURVE:
        gap = np.abs(_curve(labels, values) - values)
        found["ici"], found["e50"] = float(gap.mean()), float(np.median(gap))
        found["e90"] = float(np.quantile(gap, 0.9))
    index = _bins(values, ECE_BINS)
    gaps = np.bincount(index, weights=values - labels)
    found["ece"] = float(np.abs(gaps).sum() / labels.size)
    return found


def recalibrated(y: ArrayLike, probability: ArrayLike) -> Floats | None:
    """Return probabilities (n,) whose intercept is shifted until their mean is the prevalence of these labels.

    That uses the labels on which they would then be judged: what is found says what discrimination would be worth with
    the right prevalence, and tests no calibration. None where a class is absent.

    Raises
    ------
    ValueError
        As for `calibration`.
    """
    labels = labels_of(y)
    values = probabilities_of(probability, n=labels.size)
    if np.unique(labels).size < 2:
        return None
    log_odds = logit(np.clip(values, CLIP, 1 - CLIP))
    return np.asarray(expit(log_odds + _in_the_large(labels, log_odds)))


def reliability(
    y: ArrayLike, probability: ArrayLike, *, bins: int, level: float
) -> list[dict[str, float | int | None]]:
    """Return the points of a reliability diagram.

    Parameters
    ----------
    y, probability
        Labels and predicted probabilities, shape (n,).
    bins
        Bins of equal count; equal probabilities stay in one bin, so that there may be fewer.
    level
        Confidence level of the observed rate (Wilson).

    Returns
    -------
    list of dict
        ``bin`` (from 1), ``mean_score``, ``observed``, ``ci_low``, ``ci_high``, ``n``; empty without
        patients.

    Raises
    ------
    ValueError
        As for `calibration`, when ``bins`` is below 1, or ``level`` is not between 0 and 1.
    """
    labels = labels_of(y)
    values = probabilities_of(probability, n=labels.size)
    if bins < 1:
        raise ValueError(f"bins is {bins}; expected 1 or more.")
    index = _bins(values, bins)
    rows: list[dict[str, float | int | None]] = []
    for number in range(int(index.max(initial=-1)) + 1):
        inside = index == number
        n, positives = int(inside.sum()), int(labels[inside].sum())
        low, high = wilson(positives, n, level=level)
        row = {"bin": number + 1, "mean_score": float(values[inside].mean()), "observed": positives / n}
        rows.append({**row, "ci_low": low, "ci_high": high, "n": n})
    return rows


def _newton(design: Floats, target: Floats, *, start: Floats) -> tuple[float, float]:
    """Minimise the cross-entropy of the smoothed targets, which is strictly convex."""

    def loss(weights: Floats) -> float:
        z = design @ weights
        return float(np.sum(np.logaddexp(0, z) - target * z))

    weights, now = start, loss(start)
    for _ in range(100):
        p = expit(design @ weights)
        gradient = design.T @ (p - target)
        if np.abs(gradient).max() < 1e-10 * len(target):
            break
        hessian = (design * (p * (1 - p))[:, None]).T @ design + 1e-12 * np.eye(2)
        step = np.linalg.solve(hessian, gradient)
        scale = 1.0
        while scale > 1e-10 and loss(weights - scale * step) > now - 1e-4 * scale * float(gradient @ step):
            scale /= 2
        if scale <= 1e-10:
            break  # no descent left but rounding
        weights = weights - scale * step
        now = loss(weights)
    return float(weights[0]), float(weights[1])


def _recalibration(labels: Labels, log_odds: Floats) -> tuple[float | None, float | None]:
    """Return intercept and slope of y ~ a + b logit(p), or None twice where no finite maximum exists."""
    above, below = log_odds[labels == 1], log_odds[labels == 0]
    # With one variable the maximum exists exactly when the classes overlap (Albert & Anderson 1984).
    if not (below.max() > above.min() and above.max() > below.min()):
        return None, None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            fit = sm.GLM(labels, sm.add_constant(log_odds), family=sm.families.Binomial()).fit()
        except (np.linalg.LinAlgError, ValueError, FloatingPointError):
            return None, None
    if not (fit.converged and np.isfinite(fit.params).all()):
        return None, None
    return float(fit.params[0]), float(fit.params[1])


def _in_the_large(labels: Labels, log_odds: Floats) -> float:
    """Return the intercept with offset logit(p): the root of a decreasing function, found whatever p is."""
    reach = float(np.abs(log_odds).max() + abs(logit(labels.mean())) + 1)
    return float(brentq(lambda a: np.sum(labels - expit(log_odds + a)), -reach, reach, xtol=1e-12))


def _curve(labels: Labels, values: Floats) -> Floats:
    """Return lowess of y on p at each patient's p, within 0 to 1."""
    unique, inverse, count = np.unique(values, return_inverse=True, return_counts=True)
    means = (np.bincount(inverse, weights=labels) / count)[inverse]
    # Where one value fills its whole neighbourhood, lowess silently gives 0; the mean is meant.
    filled = (count >= int(SPAN * values.size + 1e-10))[inverse]
    if filled.all() or unique.size == 1:
        return means
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        smooth = lowess(labels.astype(np.float64), values, frac=SPAN, it=0, return_sorted=False)
    return np.clip(np.where(filled | ~np.isfinite(smooth), means, smooth), 0, 1)


def _bins(values: Floats, bins: int) -> np.ndarray:
    """Return the bin (from 0, none empty) of each value: equal counts, but equal values together."""
    n = values.size
    if not n:
        return np.empty(0, dtype=np.int64)
    # The largest value of each bin, by whole numbers: n k / bins rounded upwards.
    last = -(-n * np.arange(1, bins) // bins) - 1
    edges = np.sort(values)[last[last >= 0]]
    return np.unique(np.searchsorted(np.unique(edges), values, side="left"), return_inverse=True)[1]
