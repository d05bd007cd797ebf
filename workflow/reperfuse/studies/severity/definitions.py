"""Thresholds, every average under each of them, and whether rows of metrics, ours and the paper's, can be true."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

import numpy as np

from reperfuse.evaluation import averages as averaging
from reperfuse.evaluation.consistency import ANY, Nearest, nearest, rounding
from reperfuse.evaluation.crossval import by_configuration
from reperfuse.evaluation.interface import EXTERNAL, MAIN_SPLIT, Prediction, is_cross_validation
from reperfuse.evaluation.patient_tables import Found
from reperfuse.evaluation.reported import EVERYONE, PaperTable
from reperfuse.evaluation.thresholded import youden
from reperfuse.studies.severity.judge import COMPARABLE, RECALIBRATED, splits_of, with_recalibrated
from reperfuse.studies.severity.names import parse

Row = dict[str, Any]
Facts = Mapping[str, Any]
HALF, YOUDEN = "0.5", "youden"
PAPER = "tractnet"
# Where the paper's models were fitted; other cohorts are named by their split.
PAPER_COHORT = "AMC"
EXACT = 1e-9
COLUMNS: Mapping[str, Sequence[str]] = {
    name: text.split()
    for name, text in {
        "averages": "configuration split threshold average sensitivity specificity ppv npv f1 accuracy auc_scores "
        "auc_labels n n_positive",
        "thresholds": "configuration name value from",
        "consistency": "source name split average n worst_metric reported nearest distance passes note",
        "paper": "cohort configuration metric paper split estimator ours ci_low ci_high note",
    }.items()
}


def of_trials(trials: Sequence[Facts]) -> dict[tuple[str, int, int, str], float]:
    """Return (split, repeat, fold, configuration) → Youden's threshold on the inner folds of that trial."""
    found = {}
    for facts in trials:
        place = parse(facts["trial"])
        for name, about in facts.get("configurations", {}).items():
            if about.get("threshold") is not None:
                found[facts["split"], place.repeat, place.fold, name] = float(about["threshold"])
    return found


def thresholds(predictions: Sequence[Prediction], trials: Sequence[Facts], target: str) -> list[Row]:
    """Return ``thresholds.tsv``: 0.5, Youden's of the cross-validations, and that which other cohorts are cut at."""
    rows: list[Row] = []
    known = of_trials(trials)
    everyone = by_configuration(predictions, target=target)
    for name, found in everyone.items():
        rows.append({"configuration": name, "name": HALF, "value": 0.5, "from": "fixed beforehand"})
        for split in (one for one in splits_of(predictions) if is_cross_validation(one)):
            mine = [
                value
                for (of, repeat, _, who), value in known.items()
                if (of, repeat, who) == (split, 1, name)
            ]
            if mine:
                text = (
                    f"mean of {len(mine)} folds of {split}, each fold's own on inner folds of its training patients, "
                    "applied to its own patients"
                )
                rows.append({"configuration": name, "name": YOUDEN, "value": fmean(mine), "from": text})
        if any(one.split.startswith(EXTERNAL) for one in predictions):
            text = "out-of-fold predictions of the main cohort, applied to other cohorts"
            value = youden(found[1], found[2])
            rows.append({"configuration": name, "name": f"{YOUDEN} (external)", "value": value, "from": text})
    return rows


def averages(predictions: Sequence[Prediction], trials: Sequence[Facts], target: str) -> list[Row]:
    """Return ``averages.tsv``: first repeats of cross-validations, and other cohorts at thresholds fixed on this one.

    A threshold that is not known has no rows. Recalibrated predictions are cut at 0.5 alone.
    """
    known, rows = of_trials(trials), []
    everyone = by_configuration(predictions, target=target)
    every = with_recalibrated(predictions)
    for split, repeat in splits_of(predictions).items():
        for name, found in by_configuration(every, target=target, split=split, repeat=repeat).items():
            head = {"configuration": name, "split": split}
            limits: dict[str, Any] = {HALF: 0.5}
            if is_cross_validation(split):
                limits[YOUDEN] = _own_thresholds(found, known, split, name)
            elif name in everyone and not name.endswith(RECALIBRATED):
                limits[YOUDEN] = youden(everyone[name][1], everyone[name][2])
            for threshold, limit in limits.items():
                if limit is not None:
                    many = averaging.averages(found[1], found[2], limit)
                    rows += [head | {"threshold": threshold} | row for row in many]
    return rows


def _own_thresholds(
    found: Found, known: Mapping[tuple[str, int, int, str], float], split: str, name: str
) -> np.ndarray | None:
    """Return (n) thresholds, of each patient that of the own fold; None where a fold has none."""
    limits = [known.get((split, 1, int(fold), name)) for fold in found[3]]
    return None if None in limits else np.array(limits, dtype=np.float64)


def consistency(rows: Sequence[Row], paper: PaperTable) -> list[Row]:
    """Return ``consistency.tsv``: whether one integer confusion matrix gives all values of a row at once.

    Ours are of the cross-validations and other cohorts, to 1e-9; the paper's to their rounding, with any number of
    positives, and also when each value is granted an average of its own.
    """
    found = []
    for row in rows:
        given = {name: row[name] for name in averaging.METRICS if row[name] is not None}
        got = nearest(
            given, n=row["n"], average=row["average"], tolerance=dict.fromkeys(given, EXACT),
            n_positive=row["n_positive"],
        )  # fmt: skip
        head = {"source": "ours", "name": row["configuration"], "split": row["split"]}
        found.append(head | _checked(got, row["average"], row["n"], f"threshold {row['threshold']}"))
    return found + of_paper(paper)


def of_paper(paper: PaperTable) -> list[Row]:
    """Return the rows of ``consistency.tsv`` that are of the paper."""
    found = []
    for split in dict.fromkeys(one.split for one in paper.entries):
        printed = {
            one.metric: one.value for one in paper.entries
            if (one.configuration, one.split) == (PAPER, split) and one.metric in averaging.METRICS
        }  # fmt: skip
        n = paper.of(EVERYONE, "n", split=split)
        if not n or not printed:
            continue
        head = {"source": "paper", "name": cohort_of(split), "split": split}
        given = {name: float(text) for name, text in printed.items()}
        tolerance = {name: rounding(text) for name, text in printed.items()}
        for average in (*averaging.AVERAGES, ANY):
            got = nearest(given, n=int(n), average=average, tolerance=tolerance)
            note = "each value of its own average" if average == ANY else "any number of positives"
            found.append(head | _checked(got, average, int(n), note))
    return found


def cohort_of(split: str) -> str:
    """Return the paper's cohort that a split is of."""
    return split.partition(":")[2] or PAPER_COHORT


def _checked(got: Nearest | None, average: str, n: int, note: str) -> Row:
    head: Row = {"average": average, "n": n}
    if got is None:
        return head | {"passes": None, "note": f"{note}; not estimable"}
    return head | {
        "worst_metric": got.metric, "reported": got.reported, "nearest": got.value, "distance": got.distance,
        "passes": int(got.passes), "note": f"{note}; nearest: {got.matrix}",
    }  # fmt: skip


def paper_table(metrics: Sequence[Row], paper: PaperTable, target: str) -> list[Row]:
    """Return ``paper.tsv``: each number of the paper, what it was measured on, and ours where they can be compared.

    The paper's other cohort is predicted by models of its own development cohort; ours are cross-validated within
    one, so that nothing of ours stands beside it. Nor beside metrics whose cut and average are not known.
    """
    rows: list[Row] = []
    for one in (entry for entry in paper.entries if entry.configuration != EVERYONE):
        n, cohort = paper.of(EVERYONE, "n", split=one.split), cohort_of(one.split)
        row: Row = {"cohort": cohort, "configuration": one.configuration, "metric": one.metric}
        row["paper"] = one.text
        if one.split != MAIN_SPLIT:
            of = f"{n} patients of {cohort}, by models fitted on {PAPER_COHORT}; no cross-validation is its like"
            rows.append(row | {"note": f"paper: {of}"})
            continue
        row["note"] = (
            f"paper: cross-validation of {n} patients of {cohort}; the cut of the score is not stated"
        )
        if one.metric not in COMPARABLE:
            row["note"] += ", nor which average it is; see consistency.tsv"
            rows.append(row)
            continue
        ours = [
            {"split": mine["split"], "estimator": mine["estimator"], "ours": mine["estimate"]}
            | {key: mine[key] for key in ("ci_low", "ci_high")}
            for mine in metrics
            if (mine["target"], mine["configuration"], mine["metric"]) == (target, one.configuration, one.metric)
            and is_cross_validation(mine["split"]) and mine["estimator"] in ("fold_mean", "pooled")
        ]  # fmt: skip
        rows += [row | mine for mine in ours] or [row]
    return rows
