"""Metrics of predictions, as tables: what anybody can recompute from ``predictions.tsv`` alone."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from statistics import fmean, stdev
from typing import Any

import numpy as np

from reperfuse.evaluation.calibration import calibration
from reperfuse.evaluation.discrimination import auc, auc_interval, average_precision
from reperfuse.evaluation.estimate import Estimate
from reperfuse.evaluation.interface import Prediction, is_cross_validation
from reperfuse.evaluation.resampling import auc_of, cluster_bootstrap, corrected_interval
from reperfuse.evaluation.thresholded import at_threshold, wilson

Array = np.ndarray
Row = dict[str, Any]
# Shares of patients, whose interval is Wilson's: metric → what it is a share of.
SHARES: Mapping[str, Callable[[Array, Array], Array]] = {
    "accuracy": lambda y, called: np.ones(y.size, dtype=bool),
    "sensitivity": lambda y, called: y == 1,
    "specificity": lambda y, called: y == 0,
    "ppv": lambda y, called: called,
    "npv": lambda y, called: ~called,
}
THRESHOLD = 0.5
BOOTSTRAPPED = ("average_precision", "balanced_accuracy", "f1", "brier")
METRIC_COLUMNS = (
    "target configuration split metric estimator estimate ci_low ci_high interval fold_sd n n_positive paper"
).split()
FOLD_COLUMNS = "target configuration split repeat fold metric estimate n n_positive".split()


def metrics(y: Array, probability: Array, *, whole: bool) -> dict[str, float | None]:
    """Return every metric of one set of patients; None where it cannot be estimated.

    Parameters
    ----------
    y, probability : ndarray
        (n) labels and probabilities of the positive class.
    whole : bool
        Whether calibration is asked for as well, which a single fold is too small for.
    """
    found: dict[str, float | None] = {
        "auc": auc(y, probability),
        "average_precision": average_precision(y, probability),
        **at_threshold(y, probability, threshold=THRESHOLD),
        "brier": float(np.mean((probability - y) ** 2)),
    }
    return found | (calibration(y, probability) if whole else {})


def judge(
    predictions: Iterable[Prediction],
    groups: Mapping[str, str],
    *,
    level: float,
    draws: int,
    seed: int,
    bootstrapped: Sequence[str],
    paper: Callable[[str, str, str], str],
) -> tuple[list[Row], list[Row]]:
    """Return rows of ``metrics.tsv`` and of ``metrics-by-fold.tsv``.

    Parameters
    ----------
    predictions : iterable of Prediction
        Those without a label are passed over.
    groups : mapping
        participant_id → group, the unit of the bootstrap.
    level : float
        Of the intervals.
    draws, seed : int
        Of the bootstrap.
    bootstrapped : sequence of str
        Configurations that get a bootstrap interval of every metric; the others have intervals of the AUC (DeLong)
        and of shares (Wilson) only.
    paper : callable
        (target, configuration, metric) → the paper's value as text, or nothing.

    Notes
    -----
    ``fold_mean`` and ``pooled`` are of the first repeat: the mean over folds with the interval of Nadeau and
    Bengio, and the value over all patients at once. Pooling compares scores of different models; where their
    calibration differs between folds the pooled AUC suffers. ``repeats`` is the mean over repeats of pooled values.
    """
    split_up: dict[tuple[str, str, str], dict[int, list[Prediction]]] = {}
    for one in predictions:
        if one.y_true is not None:
            key = one.target, one.configuration, one.split
            split_up.setdefault(key, {}).setdefault(one.repeat or 1, []).append(one)
    rows, by_fold = [], []
    for (target, configuration, split), repeats in split_up.items():
        head: Row = {"target": target, "configuration": configuration, "split": split}
        in_folds = []
        for repeat, chosen in sorted(repeats.items()):
            found = _by_fold(chosen) if is_cross_validation(split) else {}
            in_folds.append(found)
            for fold, (values, n, positive) in found.items():
                by_fold += [
                    head | {"repeat": repeat, "fold": fold, "metric": metric}
                    | {"estimate": value, "n": n, "n_positive": positive}
                    for metric, value in values.items()
                ]  # fmt: skip
        first = repeats[min(repeats)]
        y, p = _arrays(first)
        head |= {"n": y.size, "n_positive": int(y.sum())}
        if in_folds[0]:
            rows += _fold_means(head, in_folds[0], level, paper)
        full = configuration in bootstrapped
        # A patient of another cohort may have the name of one of this.
        mine = groups if is_cross_validation(split) else {}
        who = [mine.get(one.participant_id, one.participant_id) for one in first]
        rows += _pooled(head, y, p, who, level=level, draws=draws if full else 0, seed=seed)
        if len(repeats) > 1:
            rows += _over_repeats(head, [_arrays(chosen) for chosen in repeats.values()])
    return rows, by_fold


def _arrays(rows: Sequence[Prediction]) -> tuple[Array, Array]:
    return np.array([one.y_true for one in rows]), np.array([one.y_score for one in rows])


def _by_fold(rows: Sequence[Prediction]) -> dict[int, tuple[dict[str, float | None], int, int]]:
    folds: dict[int, list[Prediction]] = {}
    for one in rows:
        folds.setdefault(one.fold or 0, []).append(one)
    found = {}
    for fold, mine in sorted(folds.items()):
        y, p = _arrays(mine)
        found[fold] = metrics(y, p, whole=False), y.size, int(y.sum())
    return found


def _row(head: Row, metric: str, estimator: str, estimate: Estimate, spread: float | None, paper: str) -> Row:
    return head | {
        "metric": metric,
        "estimator": estimator,
        "estimate": estimate.value,
        "ci_low": estimate.low,
        "ci_high": estimate.high,
        "interval": estimate.interval,
        "fold_sd": spread,
        "paper": paper,
    }


def _fold_means(
    head: Row,
    folds: Mapping[int, tuple[dict[str, float | None], int, int]],
    level: float,
    paper: Callable[[str, str, str], str],
) -> list[Row]:
    rows = []
    share = 1 / (len(folds) - 1) if len(folds) > 1 else 1.0
    for metric in next(iter(folds.values()))[0]:
        values = [found[0][metric] for found in folds.values()]
        known = [value for value in values if value is not None]
        spread = stdev(known) if len(known) > 1 else None
        estimate = corrected_interval(values, test_share=share, level=level)
        of_paper = paper(head["target"], head["configuration"], metric)
        rows.append(_row(head, metric, "fold_mean", estimate, spread, of_paper))
    return rows


def _pooled(
    head: Row,
    y: Array,
    p: Array,
    groups: Sequence[str],
    *,
    level: float,
    draws: int,
    seed: int,
) -> list[Row]:
    rows = []
    called = p >= THRESHOLD
    right = called == (y == 1)
    for metric, value in metrics(y, p, whole=True).items():
        estimate = Estimate(value, None, None, "")
        if metric == "auc":
            estimate = auc_interval(y, p, level=level)
        elif metric in SHARES and value is not None:
            of = SHARES[metric](y, called)
            estimate = Estimate(value, *wilson(int(right[of].sum()), int(of.sum()), level=level), "wilson")
        elif draws and value is not None and metric in BOOTSTRAPPED:
            again = _statistic(metric, y, p)
            estimate = cluster_bootstrap(again, y, groups, draws=draws, level=level, seed=seed).estimate
        rows.append(_row(head, metric, "pooled", estimate, None, ""))
        if metric == "auc" and draws and value is not None:
            found = cluster_bootstrap(auc_of(y, p), y, groups, draws=draws, level=level, seed=seed).estimate
            rows.append(_row(head, "auc", "pooled_bootstrap", found, None, ""))
    return rows


def _statistic(metric: str, y: Array, p: Array) -> Callable[[Array], float | None]:
    """Return a metric as a fast function of row indices, since a bootstrap asks thousands of times."""
    called, squared = p >= THRESHOLD, (p - y) ** 2
    values, place = np.unique(-p, return_inverse=True)  # from the highest score down
    width = len(values)

    def brier(rows: Array) -> float | None:
        return float(squared[rows].mean())

    def counted(rows: Array) -> float | None:
        cells = np.bincount(2 * y[rows] + called[rows], minlength=4)
        tn, fp, fn, tp = (float(n) for n in cells)
        if metric == "f1":
            return 2 * tp / (2 * tp + fp + fn) if tp + fn else None
        return (tp / (tp + fn) + tn / (tn + fp)) / 2 if tp + fn and tn + fp else None

    def average(rows: Array) -> float | None:
        n = np.bincount(place[rows], minlength=width)
        hits = np.bincount(place[rows], weights=y[rows], minlength=width)
        if not hits.any():
            return None
        precision = np.cumsum(hits) / np.maximum(np.cumsum(n), 1)
        return float((hits * precision).sum() / hits.sum())

    return {"brier": brier, "average_precision": average}.get(metric, counted)


def _over_repeats(head: Row, repeats: Sequence[tuple[Array, Array]]) -> list[Row]:
    found = [metrics(y, p, whole=False) for y, p in repeats]
    rows = []
    for metric in found[0]:
        known = [value for one in found if (value := one[metric]) is not None]
        if known:
            spread = stdev(known) if len(known) > 1 else None
            estimate = Estimate(fmean(known), None, None, "")
            rows.append(_row(head, metric, "repeats", estimate, spread, ""))
    return rows
