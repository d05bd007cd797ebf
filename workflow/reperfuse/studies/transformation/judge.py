"""Every table by which the study's voxels are judged."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from reperfuse.core.seeds import seed_of
from reperfuse.evaluation import histograms, voxel_tables
from reperfuse.evaluation.calibration import reliability
from reperfuse.evaluation.comparison import adjust
from reperfuse.evaluation.discrimination import paired_delong
from reperfuse.evaluation.interface import Prediction
from reperfuse.evaluation.reported import PaperTable
from reperfuse.evaluation.resampling import corrected_t
from reperfuse.evaluation.voxel_tables import Judged
from reperfuse.evaluation.voxels import Voxels
from reperfuse.studies.transformation import patients
from reperfuse.studies.transformation.patients import Priors
from reperfuse.studies.transformation.predicted import BALANCED, DENSE, Predicted

Row = dict[str, Any]
TARGETS = {BALANCED: "ht voxel (balanced)", DENSE: "ht voxel (dense)"}
# The primary comparison, one test of it, declared before scoring.
PRIMARY_TEST = "patient_bootstrap"
CURVE_POINTS = 200
COLUMNS: Mapping[str, Sequence[str]] = {
    name: text.split()
    for name, text in {
        "comparisons": "target metric first second split test role difference ci_low ci_high statistic p p_adjusted "
        "n n_positive note",
        "roc": "target configuration split fpr tpr threshold",
        "pr": "target configuration split recall precision threshold prevalence",
        "calibration": "target configuration stage bin mean_score observed ci_low ci_high n",
    }.items()
}


@dataclass(frozen=True)
class Case:
    """What the judge needs beside predictions.

    Parameters
    ----------
    primary, comparator : str
        Of the declared comparison.
    clinical : mapping
        participant_id → standard name → value.
    statistics : mapping
        Section ``statistics``.
    salt : str
    """

    primary: str
    comparator: str
    clinical: Mapping[str, Mapping[str, Any]]
    statistics: Mapping[str, Any]
    salt: str

    @property
    def level(self) -> float:
        """Level of intervals."""
        return float(self.statistics["level"])


def measured(
    predicted: Mapping[str, Predicted], case: Case, paper: PaperTable
) -> dict[str, dict[str, Judged]]:
    """Return target → configuration → what is found; the paper's numbers stand beside the balanced sample."""
    return {
        target: {
            name: voxel_tables.judge(
                target, name, predicted[part].voxels(name),
                level=case.level, draws=case.statistics["bootstrap"], seed=seed_of(case.salt, "bootstrap"),
                paper=lambda of, configuration, metric: (
                    paper.of(configuration, metric) if of == TARGETS[BALANCED] else ""
                ),
            )
            for name in predicted[part].scores
        }
        for part, target in TARGETS.items()
    }  # fmt: skip


def comparisons(
    found: Mapping[str, Mapping[str, Judged]], made: Sequence[Prediction], case: Case
) -> list[Row]:
    """Return the primary comparison and the secondary ones: the primary configuration against every other.

    Voxels are compared by patients drawn in pairs and by the t test of folds, patients by DeLong's test. Secondary p
    values are adjusted over configurations, for each target, metric and test by itself (Benjamini and Hochberg).
    """
    families = [_of_voxels(target, configurations, case) for target, configurations in found.items()]
    families.append(_of_patients(made, case))
    rows: list[Row] = []
    for family in families:
        for metric in dict.fromkeys(row["metric"] for row in family):
            rows += adjust([row for row in family if row["metric"] == metric])
    return sorted(rows, key=lambda row: row["role"] != "primary")


def _of_voxels(target: str, configurations: Mapping[str, Judged], case: Case) -> list[Row]:
    rows: list[Row] = []
    one = configurations.get(case.primary)
    if one is None or not one.resampled:
        return []
    for name, two in configurations.items():
        if name == case.primary:
            continue
        head: Row = {"target": target, "first": case.primary, "second": name, "split": "cv"}
        head |= {"n": len(one.voxels.patients), "n_positive": int(one.voxels.positive.sum())}
        same = np.array_equal(one.voxels.y, two.voxels.y) and np.array_equal(
            one.voxels.owner, two.voxels.owner
        )
        for metric in histograms.STATISTICS:
            declared = (name, target, metric) == (case.comparator, TARGETS[BALANCED], "auc")
            first, second = one.exact[metric], two.exact[metric]
            if not same or first is None or second is None or metric not in two.resampled:
                rows.append(
                    head | {"metric": metric, "test": PRIMARY_TEST, "p": None, "note": "not on the same voxels"}
                    | {"role": "primary" if declared else "secondary"}
                )  # fmt: skip
                continue
            got = histograms.compare(
                one.resampled[metric],
                two.resampled[metric],
                one.draws,
                exact=first - second,
                level=case.level,
            )
            pairs = zip(_folds(one, metric), _folds(two, metric), strict=True)
            differences = [None if a is None or b is None else a - b for a, b in pairs]
            share = 1 / max(len(differences) - 1, 1)
            by_folds = corrected_t(differences, test_share=share, level=case.level)
            tests = {
                PRIMARY_TEST: (got, f"{len(one.draws.weights)} draws of patients, the same for both"),
                "corrected_t": (
                    by_folds,
                    f"{len(differences)} folds, corrected for shared training patients",
                ),
            }
            for test, (what, note) in tests.items():
                main = declared and test == PRIMARY_TEST
                rows.append(
                    head
                    | {
                        "metric": metric,
                        "test": test,
                        "role": "primary" if main else "secondary",
                        "note": note,
                    }
                    | {"difference": what.difference, "ci_low": what.low, "ci_high": what.high}
                    | {"statistic": what.statistic, "p": what.p}
                )
    return rows


def _folds(found: Judged, metric: str) -> list[float | None]:
    return [row["estimate"] for row in found.by_fold if row["metric"] == metric]


def _of_patients(made: Sequence[Prediction], case: Case) -> list[Row]:
    rows: list[Row] = []
    scores: dict[str, dict[str, tuple[int, float]]] = {}
    for one in made:
        if one.y_true is not None:
            scores.setdefault(one.configuration, {})[one.participant_id] = one.y_true, one.y_score
    for name in scores:
        for kind in patients.SCORES:
            first = f"{case.primary}/{kind}"
            if first not in scores or name == first or not name.endswith(f"/{kind}"):
                continue
            both = sorted(set(scores[first]) & set(scores[name]))
            y = [scores[first][who][0] for who in both]
            p, q = ([scores[which][who][1] for who in both] for which in (first, name))
            got = paired_delong(y, p, q, level=case.level)
            rows.append(
                {"target": patients.TARGET, "metric": "auc", "first": first, "second": name, "split": "cv"}
                | {"test": "delong", "role": "secondary", "n": len(both), "n_positive": int(np.sum(y))}
                | {"difference": got.difference, "ci_low": got.low, "ci_high": got.high}
                | {"statistic": got.statistic, "p": got.p, "note": "patients"}
            )
    return rows


def curves(found: Mapping[str, Mapping[str, Judged]]) -> tuple[list[Row], list[Row]]:
    """Return ``roc.tsv`` and ``pr.tsv``: corners of the curves, evenly along them."""
    roc: list[Row] = []
    pr: list[Row] = []
    for target, configurations in found.items():
        for name, one in configurations.items():
            head = {"target": target, "configuration": name, "split": "cv"}
            prevalence = one.voxels.counts()["prevalence"]
            points = histograms.curve(one.counts, points=CURVE_POINTS)
            roc += [head | {"fpr": 0.0, "tpr": 0.0, "threshold": None}] if points else []
            for threshold, fpr, tpr, precision in points:
                roc.append(head | {"fpr": fpr, "tpr": tpr, "threshold": threshold})
                pr.append(
                    head
                    | {
                        "recall": tpr,
                        "precision": precision,
                        "threshold": threshold,
                        "prevalence": prevalence,
                    }
                )
    return roc, pr


def calibration(found: Mapping[str, Mapping[str, Judged]], priors: Priors, case: Case) -> list[Row]:
    """Return reliability as trained, and in whole brains also at the true prevalence of the other folds' patients."""
    rows = []
    for target, configurations in found.items():
        for name, one in configurations.items():
            if not one.voxels.is_probability:
                continue
            stages = {"as trained": one.voxels}
            corrected = at_true_prevalence(one.voxels, priors) if target == TARGETS[DENSE] else None
            if corrected is not None:
                stages["at true prevalence"] = corrected
            for stage, voxels in stages.items():
                head = {"target": target, "configuration": name, "stage": stage}
                rows += [head | row for row in _reliability(voxels, one.draws, case)]
    return rows


def at_true_prevalence(voxels: Voxels, priors: Priors) -> Voxels | None:
    """Return voxels with probabilities at the true prevalence; None where it is not known for a fold."""
    score = voxels.score.copy()
    fold = np.asarray(voxels.fold)[voxels.owner]
    for one in sorted(set(voxels.fold)):
        shifted = priors.corrected(score[fold == one], one)
        if shifted is None:
            return None
        score[fold == one] = shifted
    return Voxels(voxels.y, score, voxels.owner, voxels.patients, voxels.fold)


def _reliability(voxels: Voxels, draws: histograms.Draws, case: Case) -> list[Row]:
    """Return the bins with an interval over patients: voxels are not independent, as Wilson's would have them."""
    found = reliability(voxels.y, voxels.score, bins=case.statistics["calibration_bins"], level=case.level)
    last = np.cumsum([row["n"] for row in found]).astype(np.int64) - 1
    edges = np.sort(voxels.score)[last]
    code = np.searchsorted(edges, voxels.score, side="left")
    shape = (len(voxels.patients), len(found))
    cell = voxels.owner * shape[1] + code
    n, hits = (
        draws.weights @ np.bincount(cell, weights=w, minlength=shape[0] * shape[1]).reshape(shape)
        for w in (np.ones(cell.size), voxels.y)
    )
    tail = (1 - case.level) / 2
    for k, row in enumerate(found):
        share = hits[n[:, k] > 0, k] / n[n[:, k] > 0, k]
        limits = (
            np.quantile(share, [tail, 1 - tail]).tolist() if share.size and draws.possible else (None, None)
        )
        row["ci_low"], row["ci_high"] = limits
    return list(found)
