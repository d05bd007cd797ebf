"""Blocks of predictors, and what is fitted to each inside a fold: filling in, scaling, components."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from sklearn.cross_decomposition import PLSRegression
from sklearn.decomposition import PCA

Array = np.ndarray
# Below this spread a column says nothing; dividing by it would only blow up rounding.
LEAST_SD = 1e-8


@dataclass(frozen=True)
class Block:
    """One kind of predictors of all patients.

    Parameters
    ----------
    name : str
        Visit and kind: ``J0:mri``, ``J1:clinical``, ``J0:lesion``.
    columns : tuple of str
        (p) names.
    values : ndarray
        (n, p), NaN where missing; log1p(ml) for volumes.
    components : bool
        Whether it is an embedding, to be reduced to components.
    """

    name: str
    columns: tuple[str, ...]
    values: Array
    components: bool = False

    @property
    def kind(self) -> str:
        """What kind of predictors: ``mri``, ``mask``, ``clinical``, ``lesion``, ``territories``."""
        return self.name.partition(":")[2]


@dataclass(frozen=True)
class Reduction:
    """How a block of many columns is reduced.

    Parameters
    ----------
    method : {"pca", "pls", "none"}
        Principal components, components of partial least squares (which see the label), or all columns.
    components : int
        Most components.
    variance : float
        Fewer are taken where they hold this share of the training patients' variance; pca only.
    """

    method: str
    components: int
    variance: float


@dataclass(frozen=True)
class Affine:
    """Centre and weigh columns, then project: ``((x - mean) * weight) @ projection``; (p), (p), (p, k) or None."""

    mean: Array
    weight: Array
    projection: Array | None = None

    def __call__(self, values: Array) -> Array:
        """Return (n, k)."""
        scaled = (values - self.mean) * self.weight
        return scaled if self.projection is None else scaled @ self.projection


@dataclass(frozen=True)
class FittedBlock:
    """A block's transformation as it was fitted on some patients.

    Parameters
    ----------
    name : str
        The block's.
    columns : tuple of str
        What goes in, (p).
    features : tuple of str
        What comes out, (k).
    fill : ndarray
        (p) value for a missing one.
    flagged : tuple of int
        Columns that get a second one which says where they were missing.
    affine : Affine
        Scaling, and projection onto components.
    seen : frozenset of int
        Rows that it was fitted on.
    """

    name: str
    columns: tuple[str, ...]
    features: tuple[str, ...]
    fill: Array
    flagged: tuple[int, ...]
    affine: Affine
    seen: frozenset[int]

    def transform(self, values: Array) -> Array:
        """Return (n, k) of values (n, p)."""
        return self.affine(_filled(values, self.fill, self.flagged))


def fit_block(block: Block, rows: Array, labels: Array, reduction: Reduction, *, seed: int) -> FittedBlock:
    """Fit a block's transformation on some patients alone.

    A missing number becomes the median, a missing flag the more frequent value, and a further column says that
    it was missing; every column is scaled to mean 0 and SD 1. An embedding is then reduced, and its components
    are scaled likewise, since the SVM's penalty would otherwise depend on how many columns an image has.

    Parameters
    ----------
    block : Block
    rows : ndarray
        (m) positions of the patients.
    labels : ndarray
        (m) 0 or 1; partial least squares uses them.
    reduction : Reduction
        Applies to embeddings only.
    seed : int
        Of the randomised solver that large blocks need.
    """
    train = block.values[rows]
    fill, flagged = _fill_of(train, block.components)
    full = _filled(train, fill, flagged)
    names = (*block.columns, *(f"{block.columns[i]} missing" for i in flagged))
    scaling = _scaling(full)
    seen = frozenset(rows.tolist())
    if not block.components or reduction.method == "none":
        return FittedBlock(block.name, block.columns, names, fill, flagged, scaling, seen)
    varies = scaling.weight > 0  # most cells of a lattice hold no lesion of these patients
    projection = np.zeros((full.shape[1], 0))
    if varies.any():
        some = Affine(scaling.mean[varies], scaling.weight[varies])
        reduced = reduce(some(full[:, varies]), labels, reduction, seed=seed)
        projection = np.zeros((full.shape[1], reduced.shape[1]))
        projection[varies] = reduced
    features = tuple(f"{block.name} {reduction.method.upper()}{i + 1}" for i in range(projection.shape[1]))
    affine = Affine(scaling.mean, scaling.weight, projection)
    return FittedBlock(block.name, block.columns, features, fill, flagged, affine, seen)


def reduce(scaled: Array, labels: Array, reduction: Reduction, *, seed: int) -> Array:
    """Return the projection (p, k) of scaled columns (m, p) onto components of SD 1.

    PCA keeps the fewest components that hold ``variance``, at most ``components``.
    """
    most = min(reduction.components, scaled.shape[0] - 1, scaled.shape[1])
    if most < 1 or not scaled.any():
        return np.zeros((scaled.shape[1], 0))
    if reduction.method == "pls":
        projection = PLSRegression(n_components=most, scale=False).fit(scaled, labels).x_rotations_
    else:
        solver = "randomized" if min(scaled.shape) > 200 else "full"
        found = PCA(most, svd_solver=solver, random_state=seed).fit(scaled)
        reached = np.cumsum(found.explained_variance_ratio_) >= reduction.variance
        k = int(np.argmax(reached)) + 1 if reached.any() else most
        projection = found.components_[:k].T
    spread = (scaled @ projection).std(axis=0)
    return projection[:, spread > LEAST_SD] / spread[spread > LEAST_SD]


def _fill_of(train: Array, components: bool) -> tuple[Array, tuple[int, ...]]:
    missing = np.isnan(train)
    if components and not missing.any():
        # Nobody is judged without an embedding, and medians of so many columns take their time.
        return train.mean(axis=0), ()
    # Also where no training patient lacks a value: a patient who comes later may.
    fill = np.zeros(train.shape[1])
    for i in range(train.shape[1]):
        known = train[~missing[:, i], i]
        if known.size:
            fill[i] = np.median(known)
            if set(np.unique(known)) <= {0.0, 1.0}:
                fill[i] = float(known.mean() > 0.5)
    return fill, tuple(np.flatnonzero(missing.any(axis=0)).tolist())


def _filled(values: Array, fill: Array, flagged: Sequence[int]) -> Array:
    missing = np.isnan(values)
    full = np.where(missing, fill, values)
    return np.hstack([full, missing[:, list(flagged)]]) if flagged else full


def _scaling(full: Array) -> Affine:
    spread = full.std(axis=0)
    return Affine(full.mean(axis=0), np.where(spread > LEAST_SD, 1 / np.maximum(spread, LEAST_SD), 0.0))
