"""Claim: every configuration of the outcome study, 20 repeats of 8 folds for 74 patients, in under 3 minutes of CPU.

Embeddings ready. The peer builds each configuration as one scikit-learn pipeline (scalers, PCA, SVM, Platt's
method on inner folds) and fits it fold by fold, as one would by hand; ours fits each block once for all
configurations that share it. The floor fits the same number of support vector machines, on 12 columns that
need no preparation, and nothing else. All three run the configurations with a support vector machine for one
repeat; then ours runs every configuration, for more and more repeats. Decisions of the two agree, as a test
shows; here the mean AUC over folds of both is printed.
Run: python benchmarks/outcome_table.py [repeats]
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from functools import partial
from statistics import fmean
from typing import Any

import numpy as np
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer
from sklearn.decomposition import PCA
from sklearn.impute import SimpleImputer
from sklearn.model_selection import StratifiedGroupKFold
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from suite import ROOT, Measured, report

from reperfuse.core.seeds import seed_of
from reperfuse.core.settings import fill, load_schema
from reperfuse.evaluation.crossval import cross_validate, repeated_folds
from reperfuse.evaluation.discrimination import auc
from reperfuse.evaluation.leakage import Audit
from reperfuse.studies.outcome.data import Sources
from reperfuse.studies.outcome.study import Outcome
from reperfuse.studies.outcome.systems import systems

N, INNER = 74, 5


def cohort() -> tuple[Outcome, dict[str, int]]:
    """Return a cohort of the paper's size whose predictors carry some signal."""
    rng = np.random.default_rng(1)
    ids = tuple(f"sub-{i:03d}" for i in range(N))
    y = rng.permutation(np.arange(N) % 2)
    section = fill({}, load_schema(ROOT / "workflow/schemas", "outcome"))
    variables = [*section["clinical"]["J0"], *section["clinical"]["J1"]]
    late = set(section["clinical"]["J1"])
    clinical = {
        who: {
            name: float(v)
            for name, v in zip(variables, rng.normal(0.3 * y[i], 1, len(variables)), strict=True)
        }
        for i, who in enumerate(ids)
    }
    dictionary = {name: {"available_at": "J1" if name in late else "J0"} for name in variables}
    volumes = {
        who: {
            (v, c): float(np.exp(rng.normal(2 - y[i], 1))) for v in ("J0", "J1") for c in ("adc480", "adc620")
        }
        for i, who in enumerate(ids)
    }
    embeddings = {
        who: {v: rng.normal(0.1 * y[i], 1, 2048).astype(np.float32) for v in ("J0", "J1")}
        for i, who in enumerate(ids)
    }
    study = Outcome(section, ids, {}, Sources(clinical, dictionary, volumes, {}, embeddings))
    return study, {who: int(label) for who, label in zip(ids, y, strict=True)}


def pipeline(study: Outcome, blocks: tuple[str, ...]) -> tuple[np.ndarray, Pipeline]:
    """Return all columns of a configuration and the pipeline that one would write by hand."""
    parts, start, columns = [], 0, []
    for name in blocks:
        block = study.blocks[name]
        steps: list[Any] = [SimpleImputer(strategy="median"), StandardScaler()]
        if block.components:
            steps += [PCA(study.section["pca"]["components"], whiten=True)]
        width = len(block.columns)
        parts.append((name, make_pipeline(*steps), list(range(start, start + width))))
        columns.append(block.values)
        start += width
    svm = SVC(kernel="linear", C=study.section["classifier"]["c"], class_weight="balanced")
    return np.hstack(columns), Pipeline([("blocks", ColumnTransformer(parts)), ("svm", svm)])


def peer(study: Outcome, labels: dict[str, int], folds: dict[int, dict[str, int]]) -> list[float]:
    """Return the AUC of every fold, with scikit-learn alone."""
    ids = study.eligible()
    y, groups = np.array([labels[who] for who in ids]), np.arange(len(ids))
    found = []
    for recipe in (one for one in study.recipes.values() if one.classifier == "svm"):
        table, model = pipeline(study, recipe.blocks)
        for repeat, places in folds.items():
            fold = np.array([places[who] for who in ids])
            for one in np.unique(fold):
                train = np.flatnonzero(fold != one)
                inner = StratifiedGroupKFold(
                    INNER, shuffle=True, random_state=seed_of(study.section["salt"], repeat, one)
                )
                cv = list(inner.split(train, y[train], groups[train]))
                platt = CalibratedClassifierCV(model, method="sigmoid", ensemble=False, cv=cv)
                platt.fit(table[train], y[train])
                found.append(auc(y[fold == one], platt.predict_proba(table[fold == one])[:, 1]) or 0.5)
    return found


def ours(
    study: Outcome, labels: dict[str, int], folds: dict[int, dict[str, int]], *, svm_only: bool
) -> list[float]:
    """Return the AUC of every fold, with the study's own functions."""
    recipes = {name: r for name, r in study.recipes.items() if r.classifier == "svm" or not svm_only}
    done = cross_validate(
        systems(study.workshop, recipes), labels, folds, Audit({}), target="t", session_ids={},
        salt=study.section["salt"],
    )  # fmt: skip
    cells: dict[tuple[Any, ...], list[tuple[int, float]]] = {}
    for row in done.predictions:
        cells.setdefault((row.configuration, row.repeat, row.fold), []).append((row.y_true or 0, row.y_score))
    return [auc(*map(np.array, zip(*rows, strict=True))) or 0.5 for rows in cells.values()]


def floor(study: Outcome, labels: dict[str, int], folds: dict[int, dict[str, int]]) -> list[float]:
    """Fit as many machines as the table asks for on ready columns; return their AUC, which means nothing."""
    ids = study.eligible()
    y = np.array([labels[who] for who in ids])
    ready = np.random.default_rng(2).normal(size=(len(ids), study.section["pca"]["components"]))
    found = []
    for recipe in (one for one in study.recipes.values() if one.classifier == "svm"):
        for places in folds.values():
            fold = np.array([places[who] for who in ids])
            for one in np.unique(fold):
                train = np.flatnonzero(fold != one)
                for _ in range(INNER + 1):
                    machine = SVC(kernel="linear", C=recipe.c, class_weight="balanced").fit(
                        ready[train], y[train]
                    )
                found.append(auc(y[fold == one], machine.decision_function(ready[fold == one])) or 0.5)
    return found


def timed(what: str, run: Callable[[], list[float]]) -> float:
    """Return the CPU seconds of a run; print them with its mean AUC."""
    start = time.process_time()
    found = run()
    seconds = time.process_time() - start
    print(f"{what}: {seconds:.1f} s, mean AUC {fmean(found):.3f}", flush=True)
    return seconds


def measure(repeats: int = 20) -> list[Measured]:
    """Run one repeat three ways, then the whole table for a quarter, half and all of the repeats."""
    study, labels = cohort()
    first = {who: i % 8 + 1 for i, who in enumerate(sorted(labels, key=lambda who: (labels[who], who)))}
    folds = repeated_folds(first, labels, {}, repeats=repeats, salt=study.section["salt"])
    one = {1: folds[1]}
    print(f"{len(study.recipes)} configurations, {N} patients, 2048-dimensional embeddings")
    mine = timed("ours, one repeat", lambda: ours(study, labels, one, svm_only=True))
    rows = [
        Measured(
            "outcome table, one repeat of the SVM configurations", mine, "s", N, "patients", cpu_s=mine,
            peer=timed("scikit-learn pipelines, the same", lambda: peer(study, labels, one)),
            peer_is="one scikit-learn pipeline for each configuration, fold by fold",
            floor=timed("fits alone, the same number", lambda: floor(study, labels, one)),
            floor_is="the same number of SVM fits on 12 ready columns", aim="ours/peer <= 0.25",
        )
    ]  # fmt: skip
    for n in (repeats, repeats // 2, repeats // 4):
        some = {repeat: places for repeat, places in folds.items() if repeat <= n}
        fresh, _ = cohort()  # what was fitted before must not help
        cpu = timed(
            f"ours, every configuration, {n} repeats",
            partial(ours, fresh, labels, some, svm_only=False),
        )
        aim = "ours <= 180" if n == repeats else ""
        rows.append(
            Measured("outcome table, every configuration", cpu, "s", n, "repeats", cpu_s=cpu, aim=aim)
        )
    return rows


if __name__ == "__main__":
    sys.exit(report(measure))
