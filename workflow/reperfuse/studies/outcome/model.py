"""One configuration fitted: blocks, a linear or kernel rule, Platt's calibration; and its fit."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from scipy.special import expit, logit
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold
from sklearn.svm import SVC

from reperfuse.evaluation.calibration import platt
from reperfuse.studies.outcome.blocks import (
    Affine,
    Block,
    FittedBlock,
    Reduction,
    fit_block,
    reduce,
)
from reperfuse.studies.outcome.recipe import Recipe

Array = np.ndarray
LEAST_SLOPE = 1e-2
# Features of a block above which its values are not kept for the next configuration: they would fill the memory.
MOST_KEPT = 100


@dataclass(frozen=True)
class Rule:
    """A decision function of features (k); ``support`` is None for a linear one.

    ``z @ weight + intercept``, or ``rbf(z, support) @ weight + intercept`` with support (s, k), weight (s).
    """

    weight: Array
    intercept: float
    support: Array | None = None
    gamma: float = 0.0

    def decision(self, z: Array) -> Array:
        """Return (n)."""
        if self.support is not None:
            squared = (z**2).sum(1)[:, None] + (self.support**2).sum(1)[None] - 2 * z @ self.support.T
            z = np.exp(-self.gamma * squared)
        return np.asarray(z @ self.weight + self.intercept)


@dataclass(frozen=True)
class FittedRecipe:
    """A configuration fitted on some patients; arrays only, so that it can be frozen without code.

    Parameters
    ----------
    blocks : tuple of FittedBlock
    joint : Affine, optional
        Components of all blocks side by side.
    features : tuple of str
        What the rule weighs.
    rule : Rule
    calibration : (a, b)
        Probability = expit(a · decision + b).
    """

    blocks: tuple[FittedBlock, ...]
    joint: Affine | None
    features: tuple[str, ...]
    rule: Rule
    calibration: tuple[float, float]

    def design(self, values: Mapping[str, Array]) -> Array:
        """Return features (n, k) of each block's values (n, p)."""
        z = np.hstack([block.transform(values[block.name]) for block in self.blocks])
        return z if self.joint is None else self.joint(z)

    def decision(self, values: Mapping[str, Array]) -> Array:
        """Return (n) decision values; above 0 is the positive class before calibration."""
        return self.rule.decision(self.design(values))

    def probability(self, values: Mapping[str, Array]) -> Array:
        """Return (n) probabilities of the positive class."""
        a, b = self.calibration
        return np.asarray(expit(a * self.decision(values) + b))

    @property
    def seen(self) -> frozenset[int]:
        """Rows that any block was fitted on."""
        return frozenset().union(*(block.seen for block in self.blocks))


@dataclass
class Workshop:
    """The blocks of a cohort, and what was fitted to them last.

    Several configurations share blocks and folds: what was fitted to a block on a set of patients is kept until
    other patients come.

    Parameters
    ----------
    ids : tuple of str
        Patients, in the order of the blocks' rows.
    groups : ndarray
        (n) group of each.
    blocks : mapping
        Name → block.
    """

    ids: Sequence[str]
    groups: Array
    blocks: Mapping[str, Block]
    _kept: dict[bytes, dict[tuple[str, Reduction, int], FittedBlock]] = field(default_factory=dict)
    _folds: dict[str, Any] = field(default_factory=dict)
    _shown: dict[int, tuple[FittedBlock, Array]] = field(default_factory=dict)

    def fitted(
        self, name: str, rows: Array, labels: Array, reduction: Reduction, *, seed: int
    ) -> FittedBlock:
        """Return a block fitted on ``rows``; see `fit_block`."""
        where = rows.tobytes() + (labels.tobytes() if reduction.method == "pls" else b"")
        if where not in self._kept and len(self._kept) > 64:
            self._kept.clear()
            self._shown.clear()
        kept = self._kept.setdefault(where, {})
        key = (name, reduction if self.blocks[name].components else Reduction("none", 0, 0), seed)
        if key not in kept:
            kept[key] = fit_block(self.blocks[name], rows, labels, reduction, seed=seed)
        return kept[key]

    def fit(self, recipe: Recipe, rows: Array, labels: Array, *, seed: int) -> FittedRecipe:
        """Fit a configuration on some patients alone, its calibration on inner folds of the same patients.

        Parameters
        ----------
        recipe : Recipe
        rows : ndarray
            (m) positions of the training patients.
        labels : ndarray
            (m) 0 or 1, both there.
        seed : int
            Of the inner folds and the randomised solver.
        """
        fitted = self._uncalibrated(recipe, rows, labels, seed)
        if recipe.classifier == "logistic":
            return fitted
        inner = self._inner(rows, labels, recipe.platt_folds, seed)
        if inner is None:
            return fitted
        decision = np.empty(rows.size)
        for fold in np.unique(inner):
            out = inner == fold
            model = self._uncalibrated(recipe, rows[~out], labels[~out], seed)
            decision[out] = model.rule.decision(self._design(model, rows[out]))
        return replace(fitted, calibration=_upright(*platt(decision, labels), labels))

    def probability(self, model: FittedRecipe, rows: Array) -> Array:
        """Return (n) probabilities of some rows."""
        a, b = model.calibration
        return np.asarray(expit(a * model.rule.decision(self._design(model, rows)) + b))

    def _design(self, model: FittedRecipe, rows: Array) -> Array:
        z = np.hstack([self._transformed(block, rows) for block in model.blocks])
        return z if model.joint is None else model.joint(z)

    def _transformed(self, block: FittedBlock, rows: Array) -> Array:
        """Return a block's features; of the few that most have, those of all patients at once, for the next asker."""
        values = self.blocks[block.name].values
        if len(block.features) > MOST_KEPT:
            return block.transform(values[rows])
        known = self._shown.get(id(block))
        if known is None:
            known = self._shown[id(block)] = (block, block.transform(values))
        return known[1][rows]

    def _inner(self, rows: Array, labels: Array, n: int, seed: int) -> Array | None:
        where = (rows.tobytes(), labels.tobytes(), n, seed)
        if self._folds.get("where") != where:
            self._folds.update(where=where, folds=inner_folds(labels, self.groups[rows], n, seed=seed))
        return self._folds["folds"]

    def _uncalibrated(self, recipe: Recipe, rows: Array, labels: Array, seed: int) -> FittedRecipe:
        together = recipe.order == "concat_then_pca" and recipe.reduction.method != "none"
        reduction = Reduction("none", 0, 0) if together else recipe.reduction
        blocks = tuple(
            self.fitted(name, rows, labels, reduction, seed=seed) for name in recipe.blocks
        )  # fmt: skip
        z = np.hstack([self._transformed(block, rows) for block in blocks])
        features = tuple(feature for block in blocks for feature in block.features)
        joint = None
        if together:
            projection = reduce(z, labels, recipe.reduction, seed=seed)
            joint = Affine(np.zeros(z.shape[1]), np.ones(z.shape[1]), projection)
            z = joint(z)
            features = tuple(f"all {recipe.reduction.method.upper()}{i + 1}" for i in range(z.shape[1]))
        # A logistic decision is a logit already; expit of a decision that nothing calibrates is not a probability,
        # but orders patients, and stands in only where inner folds cannot be made.
        return FittedRecipe(blocks, joint, features, _rule(recipe, z, labels), (1.0, 0.0))


def _rule(recipe: Recipe, z: Array, labels: Array) -> Rule:
    if not z.shape[1]:  # columns that are the same for every training patient leave no component
        return Rule(np.zeros(0), float(logit(labels.mean())))
    if recipe.classifier == "logistic":
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            line = LogisticRegression(C=recipe.c, max_iter=300).fit(z, labels)
        return Rule(line.coef_[0], float(line.intercept_[0]))
    machine = SVC(kernel=recipe.kernel, C=recipe.c, class_weight="balanced").fit(z, labels)
    if recipe.kernel == "linear":
        return Rule(machine.coef_[0], float(machine.intercept_[0]))
    return Rule(machine.dual_coef_[0], float(machine.intercept_[0]), machine.support_vectors_, machine._gamma)


def _upright(a: float, b: float, labels: Array) -> tuple[float, float]:
    """Return a calibration that does not turn the order round.

    Where inner folds find no signal the fitted slope may be negative by chance; the model then predicts the
    share of the positive class, and keeps only the order of its decisions. The share is rounded to a twentieth:
    a fold that holds more positive patients leaves fewer to train on, and the exact share would order patients of
    different folds the wrong way round.
    """
    if a > LEAST_SLOPE:
        return a, b
    share = min(max(round(20 * labels.mean()) / 20, 0.05), 0.95)
    return LEAST_SLOPE, float(np.log(share / (1 - share)))


def inner_folds(labels: Array, groups: Array, n: int, *, seed: int) -> Array | None:
    """Return (m) inner fold of each patient, whole groups together; None where a class is too small."""
    n = min(n, *(len(set(groups[labels == label])) for label in (0, 1)))
    if n < 2:
        return None
    folds = np.empty(labels.size, dtype=int)
    splitter = StratifiedGroupKFold(n, shuffle=True, random_state=seed)
    for fold, (train, test) in enumerate(splitter.split(labels, labels, groups)):
        if len(set(labels[train].tolist())) < 2:
            return None
        folds[test] = fold
    return folds
