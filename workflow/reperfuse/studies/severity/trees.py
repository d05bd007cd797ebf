"""Extremely randomised trees as plain arrays, so that a forest can be kept and read without running code."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from sklearn.ensemble import ExtraTreesRegressor

Array = np.ndarray
LEAF = -1
FIELDS = ("first", "left", "right", "feature", "threshold", "value")


@dataclass(frozen=True)
class Forest:
    """Trees one after the other; nodes are numbered through.

    Parameters
    ----------
    first : ndarray
        (trees) root of each tree.
    left, right : ndarray
        (nodes) where a value at or below the threshold goes, and a higher one; -1 at a leaf.
    feature : ndarray
        (nodes) column that is asked.
    threshold : ndarray
        (nodes) float64; drawn at random between the values of a node's patients, so that it is the value of none.
    value : ndarray
        (nodes) mean target of the training patients in it.
    """

    first: Array
    left: Array
    right: Array
    feature: Array
    threshold: Array
    value: Array

    def predict(self, values: Array) -> Array:
        """Return (n) means over the trees of values (n, p) without NaN."""
        # Thresholds are compared with float32, as scikit-learn does.
        table = np.asarray(values, dtype=np.float32)
        at = np.repeat(self.first[None, :], len(table), axis=0)  # node of each patient in each tree
        rows = np.arange(len(table))[:, None]
        while (inner := self.left[at] != LEAF).any():
            low = table[rows, self.feature[at]] <= self.threshold[at]
            at = np.where(inner, np.where(low, self.left[at], self.right[at]), at)
        return np.asarray(self.value[at].mean(axis=1))

    def arrays(self) -> dict[str, Array]:
        """Return the arrays by name."""
        return {name: getattr(self, name) for name in FIELDS}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, Array]) -> Forest:
        """Return the forest that `arrays` took apart."""
        return cls(**{name: arrays[name] for name in FIELDS})


def fit_forest(
    values: Array, target: Array, *, n_trees: int, min_leaf: int, features: float, seed: int, threads: int
) -> Forest:
    """Fit extremely randomised trees (Geurts, Ernst & Wehenkel, Machine Learning 63:3, 2006).

    Parameters
    ----------
    values : ndarray
        (n, p) without NaN.
    target : ndarray
        (n) what is predicted.
    n_trees, min_leaf : int
        Trees, and fewest patients in a leaf.
    features : float
        Share of the columns that a node may ask.
    seed, threads : int
        The trees do not depend on the number of threads.
    """
    model = ExtraTreesRegressor(
        n_trees, min_samples_leaf=min_leaf, max_features=features, random_state=seed, n_jobs=threads
    ).fit(values, target)
    trees = [one.tree_ for one in model.estimators_]
    first = np.cumsum([0, *(tree.node_count for tree in trees[:-1])]).astype(np.int32)

    def shifted(name: str) -> Array:
        links = [getattr(tree, name) for tree in trees]
        return np.concatenate(
            [np.where(one == LEAF, LEAF, one + at) for one, at in zip(links, first, strict=True)]
        ).astype(np.int32)

    return Forest(
        first,
        shifted("children_left"),
        shifted("children_right"),
        np.maximum(np.concatenate([tree.feature for tree in trees]), 0).astype(np.int32),
        np.concatenate([tree.threshold for tree in trees]),
        np.concatenate([tree.value[:, 0, 0] for tree in trees]),
    )
