"""Choice of hyper-parameters on folds of the training patients."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.model_selection import StratifiedGroupKFold

from reperfuse.core.seeds import seed_of
from reperfuse.evaluation.discrimination import auc
from reperfuse.evaluation.leakage import Audit
from reperfuse.studies.transformation.scan import Sample
from reperfuse.studies.transformation.systems import System

Array = np.ndarray


@dataclass(frozen=True)
class Choice:
    """What was chosen.

    Parameters
    ----------
    parameters : dict
    tried : list of dict
        Each combination, with ``auc``: the mean over inner folds, None where it could not be measured. Empty where
        nothing was searched.
    """

    parameters: dict[str, Any]
    tried: list[dict[str, Any]]


def inner_folds(
    labels: Mapping[str, int], groups: Mapping[str, str], *, n: int, seed: int
) -> list[tuple[list[str], list[str]]]:
    """Return training and left-out patients of each inner fold, stratified by patient, whole groups together.

    Fewer than ``n`` where a class has fewer groups; none where one has fewer than two.
    """
    who = sorted(labels)
    y, of = np.array([labels[one] for one in who]), np.array([groups.get(one, one) for one in who])
    n = min(n, *(len(set(of[y == label])) for label in (0, 1)))
    if n < 2:
        return []
    drawn = StratifiedGroupKFold(n, shuffle=True, random_state=seed).split(y, y, of)
    return [([who[i] for i in train], [who[i] for i in test]) for train, test in drawn]


def choose(
    system: System,
    sample: Sample,
    labels: Mapping[str, int],
    audit: Audit,
    *,
    n_folds: int,
    voxels: int,
    seed: int,
    folder: Path,
) -> Choice:
    """Choose a system's hyper-parameters by the AUC of voxels of patients that it was not fitted on.

    Parameters
    ----------
    system : System
    sample : Sample
        Training patients alone.
    labels : mapping
        participant_id → 1 for HT, of these patients.
    audit : Audit
        Sees every inner fit; its groups are never divided.
    n_folds, voxels : int
        Inner folds, and voxels that are used at most.
    seed : int
    folder : Path
        For the states of trainings; emptied.
    """
    if len(system.points) == 1:
        return Choice(system.points[0], [])
    folds = inner_folds(labels, audit.groups, n=n_folds, seed=seed)
    rows = np.sort(np.random.default_rng(seed).permutation(len(sample))[:voxels])
    few = sample.take(rows)
    tried = []
    for i, point in enumerate(system.points):
        found = []
        for k, (learnt, left) in enumerate(folds):
            train, test = few.of(learnt), few.of(left)
            if len(set(train.y.tolist())) < 2 or len(set(test.y.tolist())) < 2:
                continue
            state = folder / f"search-{i}-{k}"
            model = system.fit(train, point, seed=seed_of(seed, k), folder=state)
            audit.check(system.name, "search", model.seen, left)
            found.append(auc(test.y, model.predict(test)))
            shutil.rmtree(state, ignore_errors=True)
        known = [one for one in found if one is not None]
        tried.append({**point, "auc": round(float(np.mean(known)), 6) if known else None})
    best = max(range(len(tried)), key=lambda i: (tried[i]["auc"] or 0.0, -i))
    return Choice(system.points[best], tried)
