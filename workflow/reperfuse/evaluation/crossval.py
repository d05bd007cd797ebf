"""Cross-validation: every system on the same folds, each prediction by a model that never saw the patient."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from sklearn.model_selection import StratifiedGroupKFold

from reperfuse.core.seeds import seed_of
from reperfuse.evaluation.discrimination import auc
from reperfuse.evaluation.interface import Model, Prediction, System
from reperfuse.evaluation.leakage import Audit

Array = np.ndarray
# configuration → patients, labels, scores, folds
Scored = Mapping[str, tuple[list[str], Array, Array, Array]]


@dataclass(frozen=True)
class CrossValidated:
    """What a cross-validation gives.

    Parameters
    ----------
    predictions : list of Prediction
        Each patient once per system and repeat.
    training : list of dict
        configuration, repeat, fold, auc: of each model on the patients that it was fitted on.
    models : dict
        configuration → fitted models of the first repeat in the order of the folds.
    skipped : list of dict
        configuration, repeat, fold, reason: models that could not be fitted.
    """

    predictions: list[Prediction] = field(default_factory=list)
    training: list[dict[str, Any]] = field(default_factory=list)
    models: dict[str, list[Model]] = field(default_factory=dict)
    skipped: list[dict[str, Any]] = field(default_factory=list)


def repeated_folds(
    first: Mapping[str, int], labels: Mapping[str, int], groups: Mapping[str, str], *, repeats: int, salt: str
) -> dict[int, dict[str, int]]:
    """Return repeat → participant_id → fold: the drawn folds first, then others of the same number.

    Later repeats are stratified by label, whole groups together (scikit-learn's StratifiedGroupKFold), and
    depend on ``salt`` and the patients alone. Where neither class has a patient for each fold, later repeats have
    as many folds as the larger class has patients; with less than two of them there are no later repeats.
    """
    ids = sorted(labels)
    drawn = {1: {one: first[one] for one in ids}}
    sizes = Counter(labels.values())
    n_folds = min(len(set(drawn[1].values())), max(sizes.values(), default=0))
    if n_folds < 2:
        return drawn
    for repeat in range(2, repeats + 1):
        drawn[repeat] = stratified_folds(labels, groups, n_folds, seed=seed_of(salt, "repeat", repeat))
    return drawn


def stratified_folds(
    labels: Mapping[str, int], groups: Mapping[str, str], n_folds: int, *, seed: int
) -> dict[str, int]:
    """Return participant_id → fold from 1 on, stratified by label, whole groups together.

    Parameters
    ----------
    labels : mapping
        participant_id → 0 or 1; at least ``n_folds`` patients of one class.
    groups : mapping
        participant_id → group; the patient where there is none.
    n_folds : int
        With fewer groups than this, some folds hold nobody.
    seed : int
        Of scikit-learn's StratifiedGroupKFold.
    """
    ids = sorted(labels)
    y, who = np.array([labels[one] for one in ids]), np.array([groups.get(one, one) for one in ids])
    splitter = StratifiedGroupKFold(n_folds, shuffle=True, random_state=seed)
    folds: dict[str, int] = {}
    for fold, (_, test) in enumerate(splitter.split(np.zeros(len(ids)), y, who), start=1):
        folds |= {ids[i]: fold for i in test}
    return folds


def cross_validate(
    systems: Mapping[str, System],
    labels: Mapping[str, int],
    folds: Mapping[int, Mapping[str, int]],
    audit: Audit,
    *,
    target: str,
    session_ids: Mapping[str, str],
    salt: str,
) -> CrossValidated:
    """Fit every system on all folds but one and predict that one, for every fold and repeat.

    Parameters
    ----------
    systems : mapping
        Configuration → system.
    labels : mapping
        participant_id → 0 or 1; only these take part.
    folds : mapping
        repeat → participant_id → fold; the same for every system.
    audit : Audit
        Sees every fit.
    target : str
        What 1 stands for.
    session_ids : mapping
        Configuration → session of the images behind it, for the table.
    salt : str
        Seeds depend on it, the repeat and the fold.
    """
    done = CrossValidated()
    for repeat, places in folds.items():
        ids = [one for one in sorted(labels) if one in places]
        for fold in sorted({places[one] for one in ids}):
            train = [one for one in ids if places[one] != fold]
            test = [one for one in ids if places[one] == fold]
            y = np.array([labels[one] for one in train])
            at = {"repeat": repeat, "fold": fold}
            if len(set(y.tolist())) < 2:
                reason = "the training patients are of one class"
                done.skipped.extend({"configuration": name, **at, "reason": reason} for name in systems)
                continue
            for name, system in systems.items():
                model = system.fit(train, y, seed=seed_of(salt, repeat, fold))
                audit.check(name, "whole pipeline", model.seen, test)
                scores = model.predict(test)
                done.training.append({"configuration": name, **at, "auc": auc(y, model.predict(train))})
                if repeat == min(folds):
                    done.models.setdefault(name, []).append(model)
                session = session_ids.get(name, "")
                done.predictions.extend(
                    Prediction(one, session, target, name, "cv", repeat, fold, labels[one], float(score))
                    for one, score in zip(test, scores, strict=True)
                )
    return done


def by_configuration(
    predictions: Sequence[Prediction], *, target: str, split: str = "cv", repeat: int | None = 1
) -> dict[str, tuple[list[str], Array, Array, Array]]:
    """Return configuration → patients, labels, scores and folds of one repeat, sorted by patient."""
    found: dict[str, list[Prediction]] = {}
    for one in predictions:
        if one.target == target and one.split == split and one.repeat == repeat and one.y_true is not None:
            found.setdefault(one.configuration, []).append(one)
    result = {}
    for name, rows in found.items():
        rows.sort(key=lambda one: one.participant_id)
        result[name] = (
            [one.participant_id for one in rows],
            np.array([one.y_true for one in rows]),
            np.array([one.y_score for one in rows]),
            np.array([one.fold or 0 for one in rows]),
        )
    return result


def fold_aucs(found: tuple[list[str], Array, Array, Array]) -> list[float | None]:
    """Return the AUC of each fold of one configuration as `by_configuration` gives it."""
    _, y, p, fold = found
    return [auc(y[fold == one], p[fold == one]) for one in np.unique(fold)]
