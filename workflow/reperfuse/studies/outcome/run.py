"""The study run: cross-validation, sensitivity, permutation, coefficients, frozen models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean
from typing import Any

import numpy as np

from reperfuse.core.seeds import seed_of
from reperfuse.evaluation.crossval import cross_validate
from reperfuse.evaluation.discrimination import auc
from reperfuse.evaluation.interface import Prediction
from reperfuse.evaluation.leakage import Audit
from reperfuse.evaluation.permutation import pipeline_permutation
from reperfuse.studies.outcome.directions import Direction, directions
from reperfuse.studies.outcome.model import FittedRecipe, Workshop
from reperfuse.studies.outcome.recipe import Recipe
from reperfuse.studies.outcome.study import Outcome
from reperfuse.studies.outcome.systems import RecipeModel, systems

Array = np.ndarray
Row = dict[str, Any]
TRAINING_COLUMNS = ("configuration", "repeat", "fold", "auc")
LEAKAGE_COLUMNS = ("configuration", "object", "n_fits", "n_seen_min", "n_seen_max", "n_overlap")
PERMUTATION_COLUMNS = ("configuration", "draw", "auc")
COEFFICIENT_COLUMNS = "configuration feature block coefficient ci_low ci_high sign_stability rank".split()


@dataclass(frozen=True)
class Run:
    """What a run of the study leaves for its judge; tables as rows."""

    predictions: list[Prediction]
    training: list[Row]
    skipped: list[Row]
    leakage: list[Row]
    coefficients: list[Row]
    permutation: list[Row]
    weights: dict[str, dict[str, float]]
    n_features: dict[str, int]
    missing: dict[str, float]
    frozen: dict[str, FittedRecipe] = field(default_factory=dict)
    directions: dict[str, dict[int, Direction]] = field(default_factory=dict)


def run(
    study: Outcome,
    labels: Mapping[str, Mapping[str, int]],
    folds: Mapping[int, Mapping[str, int]],
    session_ids: Mapping[str, str],
) -> Run:
    """Run every configuration.

    Parameters
    ----------
    study : Outcome
    labels : mapping
        Target → participant_id → 0 or 1; the primary target first.
    folds : mapping
        repeat → participant_id → fold.
    session_ids : mapping
        Visit → session.
    """
    section, audit, salt = study.section, Audit(study.groups), study.section["salt"]
    primary, *others = labels
    sessions = {name: session_ids.get(recipe.visit, "") for name, recipe in study.recipes.items()}
    main = cross_validate(
        study.systems(), labels[primary], folds, audit, target=primary, session_ids=sessions, salt=salt
    )
    once = {1: folds[1]}
    tried = study.sensitivity() | study.controls()
    uncalibrated = {
        f"{name}[platt=none]": study.recipes[name].with_(platt_folds=0) for name in study.compared
    }
    tried |= systems(study.workshop, uncalibrated)
    sessions |= {name: sessions[name.partition("[")[0]] for name in tried}
    parts = [
        main,
        cross_validate(tried, labels[primary], once, audit, target=primary, session_ids=sessions, salt=salt),
    ]
    chosen = {name: system for name, system in study.systems().items() if name in study.compared}
    for target in others:
        parts.append(
            cross_validate(
                chosen, labels[target], once, audit, target=target, session_ids=sessions, salt=salt
            )
        )
    models = {
        name: [_fitted(model) for model in found] for part in parts[:2] for name, found in part.models.items()
    }
    ids = [one for one in study.eligible() if one in labels[primary]]
    rows = np.array([study.workshop.ids.index(one) for one in ids], dtype=int)
    y = np.array([labels[primary][one] for one in ids])
    frozen = {
        name: study.workshop.fit(study.recipes[name], rows, y, seed=seed_of(salt, "frozen"))
        for name in (section["frozen"] or study.compared)
        if name in study.recipes and len(set(y.tolist())) == 2
    }
    return Run(
        predictions=[one for part in parts for one in part.predictions],
        training=main.training,
        skipped=[row for part in parts for row in part.skipped],
        leakage=audit.rows(),
        coefficients=[
            row
            for name in study.compared
            if name in models
            for row in coefficients(
                name,
                study.workshop,
                study.recipes[name],
                models[name],
                rows,
                y,
                draws=section["statistics"]["refits"],
                level=section["statistics"]["level"],
                salt=salt,
            )
        ],
        permutation=_permutation(study, ids, y, folds[1]),
        weights={name: weight_of_blocks(found) for name, found in models.items() if name in study.recipes},
        n_features={name: round(fmean(len(one.features) for one in found)) for name, found in models.items()},
        missing=_missing(study.workshop),
        frozen=frozen,
        directions=_directions(study, main.models, {one: folds[1][one] for one in ids}),
    )


def _directions(
    study: Outcome, models: Mapping[str, Sequence[Any]], folds: Mapping[str, int]
) -> dict[str, dict[int, Direction]]:
    return directions(models.get(study.compared[0], ()), folds) if study.compared else {}


def _fitted(model: Any) -> FittedRecipe:
    assert isinstance(model, RecipeModel)
    return model.fitted


def _by_feature(model: FittedRecipe) -> dict[str, float]:
    return dict(zip(model.features, model.rule.weight.tolist(), strict=True))


def _block_of(model: FittedRecipe) -> dict[str, str]:
    return {feature: block.name for block in model.blocks for feature in block.features}


def weight_of_blocks(models: Sequence[FittedRecipe]) -> dict[str, float]:
    """Return the sum of absolute weights of each block, mean over the folds' models; linear rules only."""
    found: dict[str, list[float]] = {}
    for model in models:
        if model.rule.support is not None or model.joint is not None:
            continue
        block, sums = _block_of(model), dict[str, float]()
        for feature, weight in _by_feature(model).items():
            sums[block[feature]] = sums.get(block[feature], 0.0) + abs(weight)
        for name, total in sums.items():
            found.setdefault(name, []).append(total)
    return {name: fmean(totals) for name, totals in found.items()}


def coefficients(
    name: str,
    workshop: Workshop,
    recipe: Recipe,
    models: Sequence[FittedRecipe],
    rows: Array,
    y: Array,
    *,
    draws: int,
    level: float,
    salt: str,
) -> list[Row]:
    """Return a linear configuration's weights per SD of each predictor.

    The coefficient is the mean over the folds' models; its interval is the percentile one of refits on bootstrap
    samples of patients; sign stability is the share of the folds' models that agree with the mean's sign.
    Components of an embedding are not the same from fold to fold, so they have neither.
    """
    if recipe.classifier == "svm" and recipe.kernel != "linear":
        return []
    block = {feature: owner for model in models for feature, owner in _block_of(model).items()}
    if any(model.joint is not None for model in models):
        return []
    by_fold = [_by_feature(model) for model in models]
    again = [
        _by_feature(model)
        for draw in range(draws)
        if (model := _refit(workshop, recipe, rows, y, seed_of(salt, name, draw))) is not None
    ]
    found: list[Row] = []
    for feature, owner in block.items():
        weights = [one.get(feature, 0.0) for one in by_fold]
        component = workshop.blocks[owner].components
        mean = fmean(map(abs, weights)) if component else fmean(weights)
        drawn = [one[feature] for one in again if feature in one]
        interval: tuple[float | None, ...] = (None, None)
        if not component and len(drawn) > 20:
            tail = (1 - level) / 2
            interval = tuple(map(float, np.quantile(drawn, [tail, 1 - tail])))
        stable = None if component else fmean(float(np.sign(w) == np.sign(mean)) for w in weights)
        found.append(
            {
                "configuration": name, "feature": feature, "block": owner, "coefficient": mean,
                "ci_low": interval[0], "ci_high": interval[1], "sign_stability": stable,
            }
        )  # fmt: skip
    found.sort(key=lambda row: -abs(row["coefficient"]))
    return [row | {"rank": rank} for rank, row in enumerate(found, start=1)]


def _refit(workshop: Workshop, recipe: Recipe, rows: Array, y: Array, seed: int) -> FittedRecipe | None:
    """Fit on a bootstrap sample of groups, without calibration, which no weight depends on."""
    rng = np.random.default_rng(seed)
    groups = workshop.groups[rows]
    names = np.unique(groups)
    drawn = np.concatenate([np.flatnonzero(groups == one) for one in rng.choice(names, names.size)])
    if len(set(y[drawn].tolist())) < 2:
        return None
    return workshop.fit(recipe.with_(platt_folds=0), rows[drawn], y[drawn], seed=seed)


def _permutation(study: Outcome, ids: Sequence[str], y: Array, folds: Mapping[str, int]) -> list[Row]:
    """Run the primary configuration's whole pipeline on outcomes shuffled between patients; mean AUC over folds."""
    draws = study.section["statistics"]["permutations"]
    if not study.compared or not draws:
        return []
    name, workshop = study.compared[0], study.workshop
    recipe = study.recipes[name].with_(platt_folds=0)
    place = {one: row for row, one in enumerate(workshop.ids)}
    rows = np.array([place[one] for one in ids])
    fold = np.array([folds[one] for one in ids])

    def again(labels: Array) -> float | None:
        found = []
        for one in np.unique(fold):
            test = fold == one
            if len(set(labels[~test].tolist())) == 2:
                model = workshop.fit(
                    recipe, rows[~test], labels[~test], seed=seed_of(study.section["salt"], 1)
                )
                score = auc(labels[test], workshop.probability(model, rows[test]))
                found += [] if score is None else [score]
        return fmean(found) if found else None

    groups = np.array([study.groups.get(one, one) for one in ids])
    null = pipeline_permutation(again, y, groups, draws=draws, seed=seed_of(study.section["salt"], "null"))
    scores = [null.observed, *map(float, null.null), *[None] * null.dropped]
    return [{"configuration": name, "draw": draw, "auc": score} for draw, score in enumerate(scores)]


def _missing(workshop: Workshop) -> dict[str, float]:
    """Return the share of patients without a value, of clinical predictors that some lack."""
    found: dict[str, float] = {}
    for block in workshop.blocks.values():
        if block.kind == "clinical":
            shares = np.isnan(block.values).mean(axis=0)
            found |= {column: float(s) for column, s in zip(block.columns, shares, strict=True) if s > 0}
    return found
