"""From likelihood maps to patients: who will bleed, and how much."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from reperfuse.evaluation.agreement import bland_altman, concordance, overlap, spearman
from reperfuse.evaluation.discrimination import auc, auc_interval, average_precision
from reperfuse.evaluation.estimate import Estimate
from reperfuse.evaluation.inputs import Floats
from reperfuse.evaluation.interface import Prediction
from reperfuse.evaluation.judgement import THRESHOLD
from reperfuse.evaluation.resampling import cluster_bootstrap
from reperfuse.evaluation.voxels import mean_within, shift_prior
from reperfuse.studies.transformation import classes
from reperfuse.studies.transformation.predicted import Predicted
from reperfuse.studies.transformation.seen import Seen

Row = dict[str, Any]
TARGET = "ht patient"
SCORES = ("max_cluster", "volume")
COLUMNS = (
    "configuration participant_id fold ht ecass ecass_source heidelberg heidelberg_source observed_ml n_clusters "
    "largest_ml infarct_ml infarct_visit share_percent remote_ml predicted_ml predicted_corrected_ml max_cluster "
    "largest_predicted_ml n_predicted_clusters dice auc auc_in_infarct average_precision tici onset_to_mri_min vendor"
).split()
SEVERITY_COLUMNS = "configuration quantity against subset estimate ci_low ci_high interval n note".split()


@dataclass(frozen=True)
class Priors:
    """Prevalence of HT among voxels, of the patients of all folds but one.

    Attributes
    ----------
    trained, true : mapping
        Fold → in the balanced sample, and in whole brains.
    """

    trained: Mapping[int, float]
    true: Mapping[int, float]

    def corrected(self, probability: Floats, fold: int) -> Floats | None:
        """Return probabilities at the true prevalence, or None where a prevalence is not known, or is 0 or 1."""
        trained, true = self.trained.get(fold), self.true.get(fold)
        if trained is None or true is None or not 0 < trained < 1 or not 0 < true < 1:
            return None
        return shift_prior(probability, trained=trained, true=true)


def priors_of(balanced: Predicted, dense: Predicted) -> Priors:
    """Return the prevalences from the patients of the other folds: none of those that are predicted."""
    found = []
    for one in (balanced, dense):
        n = np.bincount(one.owner, minlength=len(one.patients))
        hits = np.bincount(one.owner, weights=one.y, minlength=len(one.patients))
        folds = np.asarray(one.fold)
        others = {k: folds != k for k in sorted(set(one.fold))}
        found.append({k: float(hits[o].sum() / n[o].sum()) for k, o in others.items() if n[o].sum()})
    return Priors(*found)


def patients(
    dense: Predicted,
    configuration: str,
    priors: Priors,
    seen: Mapping[str, Seen],
    labels: Mapping[str, int],
    clinical: Mapping[str, Mapping[str, Any]],
    *,
    cluster_probability: float,
    min_cluster_ml: float,
) -> list[Row]:
    """Return one row per patient whose brain a configuration has predicted.

    ``max_cluster`` is the highest mean likelihood of a cluster (voxels of at least ``cluster_probability`` that share
    a corner, at least ``min_cluster_ml``), 0 without any; ``predicted_ml`` is the sum of likelihoods times the
    volume of a voxel, ``predicted_corrected_ml`` the same at the true prevalence. Scores that are no probabilities
    have neither. ``auc_in_infarct`` is the AUC among the voxels of J0's lesion: a score that finds the infarct and no
    place in it has 0.5 there, whatever its AUC in the brain.
    """
    score = dense.scores[configuration]
    probability = dense.voxels(configuration).is_probability
    rows = []
    for index, who in enumerate(dense.patients):
        mine = dense.of(index)
        mine = mine[np.isfinite(score[mine])]
        if not mine.size or who not in labels:
            continue
        p, y = score[mine].astype(np.float64), dense.y[mine]
        about, known = seen.get(who), clinical.get(who, {})
        voxel_ml = about.voxel_ml if about else None
        row: Row = {"configuration": configuration, "participant_id": who, "fold": dense.fold[index]}
        row |= {"ht": labels[who], "auc": auc(y, p), "average_precision": average_precision(y, p)}
        row |= {key: known.get(key) for key in ("tici", "onset_to_mri_min", "vendor")}
        if about:
            row |= _observed(about)
            if about.infarct is not None:
                inside = about.infarct[tuple(dense.xyz[mine].T)]
                row["auc_in_infarct"] = auc(y[inside], p[inside])
        if voxel_ml:
            row.setdefault("observed_ml", float(y.sum() * voxel_ml))
        if probability:
            row["dice"] = overlap(y, p >= THRESHOLD) if y.any() else None
        if probability and voxel_ml:
            row["predicted_ml"] = float(p.sum() * voxel_ml)
            corrected = priors.corrected(p, dense.fold[index])
            row["predicted_corrected_ml"] = None if corrected is None else float(corrected.sum() * voxel_ml)
            row |= _clusters(dense.xyz[mine], p, voxel_ml, cluster_probability, min_cluster_ml)
        rows.append(row)
    return rows


def _observed(about: Seen) -> Row:
    found, infarct = about.bleeding, about.infarct_ml
    row: Row = {key: getattr(about, key) for key in COLUMNS if key in Seen.__dataclass_fields__}
    if found is not None:
        row |= {
            "observed_ml": found.volume_ml,
            "n_clusters": found.n_clusters,
            "largest_ml": found.largest_ml,
        }
        row |= {"remote_ml": found.remote_ml}
        row["share_percent"] = 100 * found.volume_ml / infarct if infarct else None
    return row


def _clusters(xyz: np.ndarray, p: Floats, voxel_ml: float, threshold: float, min_ml: float) -> Row:
    high = p >= threshold
    if not high.any():
        return {"max_cluster": 0.0, "largest_predicted_ml": 0.0, "n_predicted_clusters": 0}
    at = tuple((xyz[high] - xyz[high].min(axis=0)).T.astype(np.intp))
    grid = np.zeros([int(axis.max()) + 1 for axis in at])
    grid[at] = p[high]
    labels, kept = classes.clusters(grid > 0, voxel_ml, min_ml=min_ml)
    n = np.bincount(labels.ravel())
    means = np.bincount(labels.ravel(), weights=grid.ravel()) / np.maximum(n, 1)
    return {
        "max_cluster": float(max((means[k] for k in kept), default=0.0)),
        "largest_predicted_ml": float(max((n[k] for k in kept), default=0) * voxel_ml),
        "n_predicted_clusters": len(kept),
    }


def predictions(rows: Sequence[Row], session_id: str) -> list[Prediction]:
    """Return the rows of ``predictions.tsv``: ``<configuration>/max_cluster`` and ``<configuration>/volume``."""
    columns = {"max_cluster": "max_cluster", "volume": "predicted_ml"}
    return [
        Prediction(
            row["participant_id"], session_id, TARGET, f"{row['configuration']}/{name}", "cv", 1, row["fold"],
            row["ht"], row[column],
        )
        for name, column in columns.items()
        for row in rows
        if row.get(column) is not None
    ]  # fmt: skip


def in_infarct(
    rows: Sequence[Row], dense: Predicted, target: str, *, level: float, draws: int, seed: int
) -> list[Row]:
    """Return rows of ``metrics.tsv``: the mean over patients of the AUC among the voxels of J0's lesion."""
    found = []
    for name in dict.fromkeys(row["configuration"] for row in rows):
        mine = [row for row in rows if row["configuration"] == name and row.get("auc_in_infarct") is not None]
        one = mean_within([row["auc_in_infarct"] for row in mine], draws=draws, level=level, seed=seed)
        head = {"target": target, "configuration": name, "split": "cv", **dense.voxels(name).counts()}
        head |= {"metric": "auc", "estimator": "within_infarct", "paper": ""}
        note = f"mean over {len(mine)} patients with both classes in the infarct" if mine else "not estimable"
        found.append(head | _interval(one) | {"note": note})
    return found


def occurrence(made: Sequence[Prediction], *, level: float, draws: int, seed: int) -> list[Row]:
    """Return rows of ``metrics.tsv``: AUC (DeLong) and average precision of each patient-level score."""
    rows = []
    for name in dict.fromkeys(one.configuration for one in made):
        mine = [one for one in made if one.configuration == name]
        y, s = np.array([one.y_true for one in mine]), np.array([one.y_score for one in mine])
        n, positive = int(y.size), int(y.sum())
        head = {"target": TARGET, "configuration": name, "split": "cv", "estimator": "pooled", "n": n}
        head |= {"n_positive": positive, "prevalence": positive / n, "n_patients": n}
        head |= {"n_patients_positive": positive, "paper": ""}
        found = {
            "auc": auc_interval(y, s, level=level),
            "average_precision": _precision(y, s, level, draws, seed),
        }
        rows += [
            head
            | {"metric": metric, "estimate": one.value, "ci_low": one.low, "ci_high": one.high}
            | {"interval": one.interval, "note": "not estimable" if one.value is None else ""}
            for metric, one in found.items()
        ]
    return rows


def _precision(y: np.ndarray, s: np.ndarray, level: float, draws: int, seed: int) -> Estimate:
    value = average_precision(y, s)
    if value is None or not draws:
        return Estimate(value, None, None, "none")
    return cluster_bootstrap(
        lambda rows: average_precision(y[rows], s[rows]), y, np.arange(y.size),
        draws=draws, level=level, seed=seed,
    ).estimate  # fmt: skip


def severity(rows: Sequence[Row], *, level: float) -> list[Row]:
    """Return ``severity.tsv``: predicted against observed volume, and against the ECASS class."""
    result: list[Row] = []
    for name in dict.fromkeys(row["configuration"] for row in rows):
        mine = [row for row in rows if row["configuration"] == name]
        for what in ("predicted_ml", "predicted_corrected_ml"):
            for subset, chosen in (("all", mine), ("ht", [row for row in mine if row["ht"]])):
                pairs = [
                    (row[what], row["observed_ml"])
                    for row in chosen
                    if row.get(what) is not None and row.get("observed_ml") is not None
                ]
                head = {"configuration": name, "quantity": what, "subset": subset, "n": len(pairs)}
                result += [head | one for one in _volumes(pairs, level)] if pairs else []
            result += [{"configuration": name, "quantity": what, **one} for one in _grades(mine, what, level)]
    return result


def _volumes(pairs: Sequence[tuple[float, float]], level: float) -> list[Row]:
    a, b = np.array(pairs).T
    limits = bland_altman(a, b, level=level)
    rows = [
        {"against": "observed_ml: spearman", **_interval(spearman(a, b, level=level))},
        {"against": "observed_ml: concordance", **_interval(concordance(a, b, level=level))},
        {"against": "observed_ml: bias", **_interval(limits.bias), "note": "predicted − observed, ml"},
    ]
    limit = {
        "estimate": None,
        "ci_low": limits.lower,
        "ci_high": limits.upper,
        "interval": "limits of agreement",
    }
    return [*rows, {"against": "observed_ml: limits", **limit, "note": "ml"}]


def _grades(rows: Sequence[Row], what: str, level: float) -> list[Row]:
    graded = [row for row in rows if row.get("ecass") in classes.ORDER and row.get(what) is not None]
    if not graded:
        return []
    grade = np.array([classes.ORDER.index(row["ecass"]) for row in graded])
    volume = np.array([row[what] for row in graded])
    sources = " and ".join(sorted({row["ecass_source"] for row in graded}))
    head = {"subset": "all", "n": len(graded), "note": f"classes from {sources}"}
    found = [{"against": "ecass: spearman", **head, **_interval(spearman(volume, grade, level=level))}]
    for k in np.unique(grade):
        low, middle, high = np.quantile(volume[grade == k], [0.25, 0.5, 0.75])
        found.append(
            {"against": f"ecass: median of {classes.ORDER[k]}", "subset": "all", "n": int((grade == k).sum())}
            | {"estimate": float(middle), "ci_low": float(low), "ci_high": float(high)}
            | {"interval": "quartiles", "note": "ml"}
        )
    return found


def _interval(one: Estimate) -> Row:
    return {"estimate": one.value, "ci_low": one.low, "ci_high": one.high, "interval": one.interval}
