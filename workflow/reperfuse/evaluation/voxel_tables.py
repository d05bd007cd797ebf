"""Tables of voxelwise predictions: estimates with their intervals, by fold and by patient.

Voxels of one patient are alike, so that the patient is the unit of every interval; those over voxels stand beside
for comparison and say that they are optimistic.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import stdev
from typing import Any

import numpy as np

from reperfuse.evaluation import histograms
from reperfuse.evaluation.agreement import overlap
from reperfuse.evaluation.discrimination import average_precision
from reperfuse.evaluation.estimate import Estimate
from reperfuse.evaluation.judgement import FOLD_COLUMNS, METRIC_COLUMNS, THRESHOLD
from reperfuse.evaluation.resampling import corrected_interval
from reperfuse.evaluation.voxels import Voxels, mean_within, metrics, within_patients

Row = dict[str, Any]
BY_FOLD_COLUMNS = (*FOLD_COLUMNS, "prevalence")
COLUMNS = (*METRIC_COLUMNS, "prevalence", "n_patients", "n_patients_positive", "binning_error", "note")
SUBJECT_COLUMNS = (
    "target configuration split participant_id fold metric estimate n n_positive prevalence".split()
)


@dataclass(frozen=True)
class Judged:
    """Rows of the tables on one set of voxels of one configuration, and what comparisons need of it."""

    rows: list[Row]
    by_fold: list[Row]
    by_subject: list[Row]
    voxels: Voxels
    counts: histograms.Counts
    exact: dict[str, float | None]
    resampled: dict[str, histograms.Resampled]
    draws: histograms.Draws


def judge(
    target: str,
    configuration: str,
    voxels: Voxels,
    *,
    level: float,
    draws: int,
    seed: int,
    paper: Callable[[str, str, str], str],
) -> Judged:
    """Judge one set of voxels.

    Parameters
    ----------
    target, configuration : str
    voxels : Voxels
    level : float
        Of the intervals.
    draws, seed : int
        Of the bootstraps; the same seed and patients give the same draws, so that configurations can be paired.
    paper : callable
        (target, configuration, metric) → the paper's value as text, or nothing.

    Returns
    -------
    Judged
        Estimators: ``pooled`` over all voxels, interval over patients; ``pooled_voxels`` the same with the interval
        over voxels; ``fold_mean``; ``within_patient``, the mean over patients who have both classes.
    """
    head = {"target": target, "configuration": configuration, "split": "cv", **voxels.counts()}
    exact = metrics(voxels.y, voxels.score, probability=voxels.is_probability)
    patients = len(voxels.patients)
    counts = histograms.count(voxels.y, voxels.score, voxels.owner, patients=patients)
    drawn = histograms.draw_patients(voxels.positive, draws=draws, seed=seed)
    both = exact["auc"] is not None
    resampled = histograms.resample(counts, drawn) if both and draws else {}
    over_voxels = (
        histograms.voxel_intervals(
            counts, {name: float(exact[name] or 0) for name in resampled}, draws=draws, level=level, seed=seed
        )
        if resampled
        else {}
    )
    rows = []
    for name, value in exact.items():
        estimate, error, note = Estimate(value, None, None, "none"), None, ""
        if name in resampled and value is not None:
            error = resampled[name].value - value
            found = histograms.patient_interval(resampled[name], drawn, exact=value, level=level)
            dropped = f"{found.dropped} draws without estimate" if found.dropped else ""
            estimate, note = found.estimate, found.note or dropped
        text = paper(target, configuration, name)
        more = {"binning_error": error, "note": "not estimable" if value is None else note}
        rows.append(_row(head, name, "pooled", estimate, paper=text) | more)
        if name in over_voxels:
            rows.append(
                _row(head, name, "pooled_voxels", over_voxels[name])
                | {"binning_error": error, "note": "voxels taken as independent: optimistic"}
            )
    rows += _fold_means(head, by_fold := _by_fold(voxels), level)
    inside = within_patients(voxels)
    alone = mean_within(list(inside.values()), draws=draws, level=level, seed=seed)
    rows.append(
        _row(head, "auc", "within_patient", alone)
        | {"note": f"mean over {len(inside)} patients with both classes" if inside else "not estimable"}
    )
    only: Row = {key: head[key] for key in ("target", "configuration", "split")}
    return Judged(
        rows,
        [only | row for row in by_fold],
        [only | row for row in _by_subject(voxels, inside)],
        voxels,
        counts,
        exact,
        resampled,
        drawn,
    )


def _row(head: Row, metric: str, estimator: str, estimate: Estimate, *, paper: str = "") -> Row:
    return head | {
        "metric": metric,
        "estimator": estimator,
        "estimate": estimate.value,
        "ci_low": estimate.low,
        "ci_high": estimate.high,
        "interval": estimate.interval,
        "paper": paper,
    }


def _by_fold(voxels: Voxels) -> list[Row]:
    rows = []
    fold = np.asarray(voxels.fold)[voxels.owner] if voxels.patients else np.empty(0)
    for one in sorted(set(voxels.fold)):
        here = fold == one
        y, score = voxels.y[here], voxels.score[here]
        n, positive = int(y.size), int(y.sum())
        if n:
            head: Row = {"repeat": 1, "fold": one, "n": n, "n_positive": positive, "prevalence": positive / n}
            found = metrics(y, score, probability=voxels.is_probability, whole=False)
            rows += [head | {"metric": name, "estimate": value} for name, value in found.items()]
    return rows


def _fold_means(head: Row, by_fold: Sequence[Row], level: float) -> list[Row]:
    rows = []
    folds = len({row["fold"] for row in by_fold})
    for name in dict.fromkeys(row["metric"] for row in by_fold):
        values = [row["estimate"] for row in by_fold if row["metric"] == name]
        known = [value for value in values if value is not None]
        estimate = corrected_interval(values, test_share=1 / max(folds - 1, 1), level=level)
        without = len(values) - len(known)
        note = f"{without} folds of one class" if without else ""
        spread = stdev(known) if len(known) > 1 else None
        rows.append(_row(head, name, "fold_mean", estimate) | {"fold_sd": spread, "note": note})
    return rows


def _by_subject(voxels: Voxels, inside: Mapping[int, float]) -> list[Row]:
    rows = []
    order = np.argsort(voxels.owner, kind="stable")
    bounds = np.searchsorted(voxels.owner[order], np.arange(len(voxels.patients) + 1))
    for index, name in enumerate(voxels.patients):
        mine = order[bounds[index] : bounds[index + 1]]
        y, score = voxels.y[mine], voxels.score[mine]
        if not y.size:
            continue
        found: dict[str, float | None] = {}
        if index in inside:
            found = {"auc": inside[index], "average_precision": average_precision(y, score)}
        if voxels.is_probability:
            found["brier"] = float(np.mean((score - y) ** 2))
            found["dice"] = overlap(y, score >= THRESHOLD)
        head: Row = {"participant_id": name, "fold": voxels.fold[index], "n": int(y.size)}
        head |= {"n_positive": int(y.sum()), "prevalence": float(y.mean())}
        rows += [head | {"metric": key, "estimate": v} for key, v in found.items() if v is not None]
    return rows
