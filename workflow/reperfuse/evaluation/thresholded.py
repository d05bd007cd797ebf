"""What a threshold makes of probabilities, and whether a printed row of such metrics can be true."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations

import numpy as np
from statsmodels.stats.proportion import proportion_confint

from reperfuse.evaluation.inputs import ArrayLike, Floats, labels_of, probabilities_of, unit_interval

METRICS = ("accuracy", "balanced_accuracy", "f1", "sensitivity", "specificity", "ppv", "npv")
# Matrices examined at once: bounds the memory, changes no result.
CHUNK = 200_000


def at_threshold(y: ArrayLike, probability: ArrayLike, *, threshold: float) -> dict[str, float | None]:
    """Return the metrics of the decision ``probability >= threshold``.

    Parameters
    ----------
    y
        Labels of 0 and 1, shape (n,).
    probability
        Predicted probabilities of 1, shape (n,).
    threshold
        Where a prediction becomes positive.

    Returns
    -------
    dict
        `METRICS`, of the positive class (no macro or weighted average). None where undefined: a ratio
        without a denominator, and f1 and balanced accuracy when a class that they need is absent.

    Raises
    ------
    ValueError
        When a shape is wrong, a label is not 0 or 1, a probability is not within 0 to 1, or the threshold is
        not finite.
    """
    labels = labels_of(y)
    values = probabilities_of(probability, n=labels.size)
    if not np.isfinite(threshold):
        raise ValueError(f"threshold is {threshold}; expected a finite number.")
    called = values >= threshold
    n_positive = int(labels.sum())
    tp = np.array([np.count_nonzero(called & (labels == 1))])
    tn = np.array([np.count_nonzero(~called & (labels == 0))])
    table = _metrics(tp, tn, n_positive=n_positive, n_negative=labels.size - n_positive)
    return {name: None if np.isnan(value[0]) else float(value[0]) for name, value in table.items()}


def youden(y: ArrayLike, probability: ArrayLike) -> float | None:
    """Return the threshold at which sensitivity and specificity add up to most (Youden, Cancer 3:32, 1950).

    It lies in the middle between the two probabilities that it parts, the lowest of several that are as good; None
    with one class or one probability alone.

    Raises
    ------
    ValueError
        As for `at_threshold`.
    """
    labels = labels_of(y)
    values = probabilities_of(probability, n=labels.size)
    levels = np.unique(values)
    n1 = int(labels.sum())
    if levels.size < 2 or not 0 < n1 < labels.size:
        return None
    at = np.searchsorted(levels, values)
    positive = np.bincount(at, weights=labels, minlength=levels.size)
    negative = np.bincount(at, minlength=levels.size) - positive
    # Called from level i on: sensitivity is what is not below, specificity what is.
    gain = np.cumsum(negative)[:-1] / (labels.size - n1) - np.cumsum(positive)[:-1] / n1
    best = int(np.argmax(gain))
    return float((levels[best] + levels[best + 1]) / 2)


def wilson(successes: int, n: int, *, level: float) -> tuple[float | None, float | None]:
    """Return Wilson's score interval of a proportion.

    Parameters
    ----------
    successes, n
        Counts.
    level
        Confidence level.

    Returns
    -------
    tuple
        Limits within 0 to 1; None and None when n is 0.

    Raises
    ------
    ValueError
        When the counts do not satisfy 0 <= successes <= n, or ``level`` is not between 0 and 1.
    """
    level = unit_interval(level, name="level")
    if not 0 <= successes <= n:
        raise ValueError(f"{successes} successes of {n}; expected 0 <= successes <= n.")
    if n == 0:
        return None, None
    low, high = proportion_confint(successes, n, alpha=1 - level, method="wilson")
    # Rounding leaves about 1e-17 where the limit is 0 (or 1) by construction.
    return (0.0 if successes == 0 else float(low)), (1.0 if successes == n else float(high))


def consistent(row: Mapping[str, float | None], *, n: int, n_positive: int, tolerance: float) -> list[str]:
    """Say what keeps a printed row of metrics from coming from one confusion matrix.

    Every integer matrix of ``n_positive`` positives and ``n - n_positive`` negatives is tried.

    Parameters
    ----------
    row
        Printed values; those named in `METRICS` are read, None (undefined, or not printed) and other
        names are passed over.
    n, n_positive
        Patients, and positives among them.
    tolerance
        How far a printed value may lie from the true one: half a unit of the last printed digit, or 1e-9 for
        values that were not rounded.

    Returns
    -------
    list of str
        Empty when some matrix gives all values. Else one sentence for each smallest set of values that
        no matrix gives together, one on the accuracy that sensitivity and specificity imply where the printed
        one differs, and one on the matrix that comes nearest (whose largest miss is smallest).

    Raises
    ------
    ValueError
        When the counts do not satisfy 0 <= n_positive <= n, a value is not finite, or the tolerance is
        negative.

    Notes
    -----
    A mean over folds, a macro or a weighted average comes from no single matrix: such a row is expected to
    fail, which is the use of this check.
    """
    if not 0 <= n_positive <= n:
        raise ValueError(f"{n_positive} positives of {n}; expected 0 <= n_positive <= n.")
    if not tolerance >= 0:
        raise ValueError(f"tolerance is {tolerance}; expected zero or more.")
    given = [(name, float(value)) for name in METRICS if (value := row.get(name)) is not None]
    for name, value in given:
        if not np.isfinite(value):
            raise ValueError(f"{name} is {value}; expected a finite number, or None where it is undefined.")
    met, best = _search(given, n_positive=n_positive, n_negative=n - n_positive, tolerance=tolerance)
    everything = (1 << len(given)) - 1
    if everything in met:
        return []
    sizes = f"{n_positive} positives and {n - n_positive} negatives"
    said = [_together([given[i] for i in chosen], sizes) for chosen in _smallest(met, len(given))]
    said += _implied(dict(given), n=n, n_positive=n_positive, tolerance=tolerance)
    if best is None:
        return said
    miss, name, tp, tn = best
    nearest = f"TP {tp}, FN {n_positive - tp}, FP {n - n_positive - tn}, TN {tn}"
    return [*said, f"The nearest matrix ({nearest}) misses {name} by {miss:.4f}."]


def _metrics(tp: np.ndarray, tn: np.ndarray, *, n_positive: int, n_negative: int) -> dict[str, Floats]:
    """Return `METRICS` of arrays of matrices; NaN, for use inside this module only, where undefined."""
    fn, fp = n_positive - tp, n_negative - tn
    sensitivity, specificity = _ratio(tp, tp + fn), _ratio(tn, tn + fp)
    return {
        "accuracy": _ratio(tp + tn, tp + tn + fp + fn),
        "balanced_accuracy": (sensitivity + specificity) / 2,
        "f1": _ratio(2 * tp, (2 * tp + fp + fn) if n_positive else np.zeros_like(tp)),
        "sensitivity": sensitivity,
        "specificity": specificity,
        "ppv": _ratio(tp, tp + fp),
        "npv": _ratio(tn, tn + fn),
    }


def _ratio(part: np.ndarray, whole: np.ndarray) -> Floats:
    return np.divide(part, whole, out=np.full(part.shape, np.nan), where=whole > 0)


def _search(
    given: list[tuple[str, float]], *, n_positive: int, n_negative: int, tolerance: float
) -> tuple[set[int], tuple[float, str, int, int] | None]:
    """Try all matrices: which sets of values one of them meets (bits), and which comes nearest."""
    met: set[int] = set()
    best: tuple[float, str, int, int] | None = None
    step = max(1, CHUNK // (n_negative + 1))
    for start in range(0, n_positive + 1, step):
        grid = np.mgrid[start : min(start + step, n_positive + 1), 0 : n_negative + 1]
        tp, tn = grid[0].ravel(), grid[1].ravel()
        table = _metrics(tp, tn, n_positive=n_positive, n_negative=n_negative)
        misses = np.array([np.abs(table[name] - value) for name, value in given]).reshape(len(given), tp.size)
        bits = (misses <= tolerance).T @ (1 << np.arange(len(given)))
        met.update(np.unique(bits).tolist())
        # A matrix that leaves a printed value undefined is not a near miss.
        worst = np.where(np.isnan(misses), np.inf, misses).max(axis=0, initial=0.0)
        at = int(worst.argmin())
        if np.isfinite(worst[at]) and (best is None or worst[at] < best[0]):
            name = given[int(np.nan_to_num(misses[:, at]).argmax())][0] if given else ""
            best = float(worst[at]), name, int(tp[at]), int(tn[at])
    return met, best


def _smallest(met: set[int], count: int) -> list[tuple[int, ...]]:
    """Return the smallest sets of values (positions) that no matrix meets together, all of one size."""
    for size in range(1, count + 1):
        found = [
            chosen
            for chosen in combinations(range(count), size)
            if not any(all(bits >> i & 1 for i in chosen) for bits in met)
        ]
        if found:
            return found
    return []


def _implied(values: Mapping[str, float], *, n: int, n_positive: int, tolerance: float) -> list[str]:
    """Compare the printed accuracy with prevalence * sensitivity + (1 - prevalence) * specificity."""
    if not n or not {"accuracy", "sensitivity", "specificity"} <= values.keys():
        return []
    accuracy, sensitivity, specificity = (values[k] for k in ("accuracy", "sensitivity", "specificity"))
    implied = (n_positive * sensitivity + (n - n_positive) * specificity) / n
    # The tolerance of the printed accuracy, and that of the mean of the other two.
    if abs(implied - accuracy) <= 2 * tolerance:
        return []
    needed = (accuracy - specificity) / (sensitivity - specificity) if sensitivity != specificity else -1.0
    share = f"with {100 * needed:.1f} %" if 0 <= needed <= 1 else "with no share"
    return [
        f"Sensitivity {sensitivity:.6g} and specificity {specificity:.6g} make an accuracy of {implied:.4f} "
        f"where {100 * n_positive / n:.1f} % are positive; {accuracy:.6g} would come {share} of positives."
    ]


def _together(values: list[tuple[str, float]], sizes: str) -> str:
    names = [f"{name} {value:.6g}" for name, value in values]
    listed = names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
    return f"No confusion matrix of {sizes} has {listed}{' together' if len(names) > 1 else ''}."
