"""Partitions of patients by affinity propagation: how one is chosen, and how far two agree."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.cluster import AffinityPropagation
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import adjusted_rand_score, silhouette_samples

from reperfuse.evaluation.inputs import ArrayLike, Floats

Labels = npt.NDArray[np.int64]
NOT_SETTLED = {"n_strata": None, "smallest": None}


@dataclass(frozen=True)
class Setting:
    """What affinity propagation is run with.

    Parameters
    ----------
    damping : float
        0.5 to 1.
    preference : float
        From 0 to 1 the quantile of the similarities; a negative k is so many times their range below the lowest.
    """

    damping: float
    preference: float


@dataclass(frozen=True)
class Partition:
    """Clusters, and what was tried to find them.

    Parameters
    ----------
    labels : array of int, shape (n,)
        From 1, the largest cluster; 1 for everybody where nothing better was found.
    exemplars : array of int, shape (clusters,)
        Row of the exemplar of each cluster; empty where there is one cluster.
    setting : Setting or None
        Of the partition that was chosen; None where there is one cluster.
    tried : tuple of dict
        One row for each setting: damping, preference, n_strata, smallest, converged, iterations, silhouette, chosen,
        why (it was rejected).
    """

    labels: Labels
    exemplars: Labels
    setting: Setting | None
    tried: tuple[Mapping[str, Any], ...]

    @property
    def n(self) -> int:
        """Number of clusters."""
        return int(self.labels.max(initial=0))


def similarity_of(points: ArrayLike) -> Floats:
    """Return negative squared distances (n, n) of points (n, k), which affinity propagation works on."""
    x = np.asarray(points, dtype=np.float64)
    squares = (x**2).sum(axis=1)
    distance = np.maximum(squares[:, None] + squares[None, :] - 2 * x @ x.T, 0.0)
    distance = (distance + distance.T) / 2
    np.fill_diagonal(distance, 0.0)
    return -distance


def level_of(similarity: Floats, preference: float) -> float | None:
    """Return what a row's similarity to itself is set to; None where there is nothing to choose by."""
    between = similarity[~np.eye(len(similarity), dtype=bool)]
    if len(similarity) < 3 or np.ptp(between) <= 1e-12 * max(1.0, float(np.abs(between).max())):
        return None
    low, high = float(between.min()), float(between.max())
    return float(np.quantile(between, preference)) if preference >= 0 else low + preference * (high - low)


def propagate(
    similarity: Floats, damping: float, level: float | None, *, max_iter: int, seed: int
) -> tuple[Labels, Labels, int, str]:
    """Run affinity propagation once (Frey and Dueck 2007, doi 10.1126/science.1136800).

    scikit-learn returns a partition, or −1 for everybody, when messages have not settled; neither is one.

    Parameters
    ----------
    similarity : array, shape (n, n)
    damping : float
    level : float or None
        Of `level_of`: the cost of one more cluster.
    max_iter : int
    seed : int
        Of the noise that breaks ties.

    Returns
    -------
    labels : array of int, shape (n,)
        From 1, the largest cluster (of equal ones that whose first member comes first).
    exemplars : array of int, shape (clusters,)
    iterations : int
    why : str
        Why the run counts for nothing; empty if it does not.
    """
    n = len(similarity)
    everybody, nobody = np.ones(n, dtype=np.int64), np.empty(0, dtype=np.int64)
    if level is None:
        return everybody, nobody, 0, "all similarities are equal"
    model = AffinityPropagation(
        damping=damping,
        preference=level,
        max_iter=max_iter,
        affinity="precomputed",
        random_state=seed,
    )
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        model.fit(similarity)
    iterations = int(model.n_iter_)
    silent = not any(issubclass(one.category, ConvergenceWarning) for one in heard)
    if not silent or iterations >= max_iter or (model.labels_ < 0).any():
        return everybody, nobody, iterations, f"not converged after {iterations} iterations"
    order, labels = by_size(model.labels_)
    return labels, np.asarray(model.cluster_centers_indices_, dtype=np.int64)[order], iterations, ""


def best_partition(
    similarity: Floats,
    *,
    damping: Sequence[float],
    preference: Sequence[float],
    max_iter: int,
    smallest: int,
    seed: int,
) -> Partition:
    """Return the partition with the highest mean silhouette among all dampings and preferences.

    A run that has not converged, one cluster, and a cluster of fewer than ``smallest`` members are rejected; of equal
    silhouettes the first is taken. Nothing but the similarities is looked at.

    Parameters
    ----------
    similarity : array, shape (n, n)
        Of points (`similarity_of`), or of a consensus (`co_assignment`).
    damping, preference : sequence of float
        See `Setting`.
    max_iter : int
    smallest : int
    seed : int
        Of the noise that breaks ties.
    """
    n = len(similarity)
    best = Partition(np.ones(n, dtype=np.int64), np.empty(0, dtype=np.int64), None, ())
    highest, tried = -np.inf, list[dict[str, Any]]()
    # In a consensus most pairs are never together, so that several quantiles are the same number.
    ran: dict[tuple[float, float | None], tuple[Labels, Labels, int, str]] = {}
    for p in preference:
        level = level_of(similarity, p)
        for d in damping:
            setting = Setting(float(d), float(p))
            key = (setting.damping, level)
            if key not in ran:
                ran[key] = propagate(similarity, *key, max_iter=max_iter, seed=seed)
            labels, exemplars, iterations, why = ran[key]
            converged = not why
            sizes = np.bincount(labels)[1:]
            value = None
            if converged and len(sizes) < 2:
                why = "one cluster"
            elif converged and sizes.min() < smallest:
                why = f"a cluster of {sizes.min()}"
            elif converged:
                value = float(silhouettes(similarity, labels).mean())
            row: dict[str, Any] = {"damping": setting.damping, "preference": setting.preference, "why": why}
            row |= {"converged": converged, "iterations": iterations, "silhouette": value}
            row |= {"n_strata": len(sizes), "smallest": int(sizes.min())} if converged else NOT_SETTLED
            tried.append(row)
            if value is not None and value > highest + 1e-12:
                highest, best = value, Partition(labels, exemplars, setting, ())
    rows = tuple(row | {"chosen": (row["damping"], row["preference"]) == _of(best.setting)} for row in tried)
    return Partition(best.labels, best.exemplars, best.setting, rows)


def by_size(labels: ArrayLike) -> tuple[Labels, Labels]:
    """Return the old clusters in their new order, and labels from 1, the largest, of equal ones the first met."""
    values, first, inverse, counts = np.unique(
        np.asarray(labels), return_index=True, return_inverse=True, return_counts=True
    )
    order = np.lexsort((first, -counts))
    rank = np.empty(len(values), dtype=np.int64)
    rank[order] = np.arange(1, len(values) + 1)
    return order.astype(np.int64), rank[inverse]


def silhouettes(similarity: Floats, labels: ArrayLike) -> Floats:
    """Return the silhouette (n,) of each row; 0 where all or none are together (Rousseeuw 1987).

    Distances are the roots of the similarities below the highest: of points Euclidean.
    """
    found = np.unique(np.asarray(labels))
    n = len(similarity)
    if not 2 <= len(found) <= n - 1:
        return np.zeros(n)
    distance = np.sqrt(np.maximum(similarity.max() - similarity, 0.0))
    np.fill_diagonal(distance, 0.0)
    return np.asarray(silhouette_samples(distance, np.asarray(labels), metric="precomputed"))


def co_assignment(partitions: Sequence[ArrayLike]) -> Floats:
    """Return the share (n, n) of partitions in which two rows are together; partitions are labels (n,)."""
    together = [np.equal.outer(labels, labels) for labels in map(np.asarray, partitions)]
    return np.mean(together, axis=0, dtype=np.float64)


def shares(together: Floats, labels: ArrayLike) -> Floats:
    """Return how often each row is together with the others of its cluster, mean (n,); 1 for one who is alone."""
    same = np.equal.outer(np.asarray(labels), np.asarray(labels))
    np.fill_diagonal(same, False)
    others = same.sum(axis=1)
    return np.where(others > 0, (together * same).sum(axis=1) / np.maximum(others, 1), 1.0)


def nearest(similarity: Floats, exemplars: Labels) -> Labels:
    """Return the cluster, from 1, of the exemplar that each row (rows of ``similarity``) is most similar to."""
    if not len(exemplars):
        return np.ones(len(similarity), dtype=np.int64)
    return similarity[:, exemplars].argmax(axis=1).astype(np.int64) + 1


def medoids(similarity: Floats, labels: ArrayLike) -> Labels:
    """Return the row that is most similar to all others of its cluster, for clusters in increasing order."""
    labels = np.asarray(labels)
    found = []
    for one in np.unique(labels):
        members = np.flatnonzero(labels == one)
        found.append(members[similarity[np.ix_(members, members)].sum(axis=1).argmax()])
    return np.array(found, dtype=np.int64)


def adjusted_rand(first: ArrayLike, second: ArrayLike) -> float:
    """Return the adjusted Rand index of two partitions: 1 the same, 0 as by chance (Hubert and Arabie 1985)."""
    return float(adjusted_rand_score(np.asarray(first), np.asarray(second)))


def _of(setting: Setting | None) -> tuple[float, float] | None:
    return None if setting is None else (setting.damping, setting.preference)
