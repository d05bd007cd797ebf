"""Spectral-regression kernel discriminant analysis of two classes, which is kernel ridge regression."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Self

import numpy as np
from sklearn.kernel_ridge import KernelRidge

Array = np.ndarray
# Rows of a kernel that are computed at once: with 10 000 samples 160 MB.
CHUNK = 2048


def gaussian(a: Array, b: Array, gamma: float) -> Array:
    """Return exp(−gamma ‖a_i − b_j‖²), (n, m), of rows (n, k) and (m, k)."""
    squared = a @ b.T
    squared *= -2
    squared += (a**2).sum(axis=1)[:, None]
    squared += (b**2).sum(axis=1)[None]
    np.maximum(squared, 0, out=squared)
    squared *= -gamma
    return np.asarray(np.exp(squared, out=squared))


def expansion(x: Array, centres: Array, weights: Array, gamma: float) -> Array:
    """Return Σ_j weights_j k(x_i, centres_j), (n,), in parts that fit the memory."""
    found = np.empty(len(x))
    for start in range(0, len(x), CHUNK):
        part = slice(start, start + CHUNK)
        found[part] = gaussian(np.asarray(x[part], dtype=np.float64), centres, gamma) @ weights
    return found


def mean_distance(x: Array, *, most: int, seed: int) -> float:
    """Return the mean distance between two of at most ``most`` random rows of (n, k)."""
    rows = np.random.default_rng(seed).permutation(len(x))[:most]
    some = np.asarray(x[rows], dtype=np.float64)
    lengths = (some**2).sum(axis=1)
    squared = np.maximum(lengths[:, None] + lengths[None] - 2 * some @ some.T, 0)
    np.fill_diagonal(squared, 0)
    n = len(some)
    return float(np.sqrt(squared).sum() / max(n * (n - 1), 1))


def targets(y: Array) -> Array:
    """Return n₋/n for the positive class and −n₊/n for the other: the response that is orthogonal to 1."""
    share = float(np.mean(y == 1))
    return np.where(y == 1, 1 - share, -share)


@dataclass
class SpectralRegression:
    """Kernel discriminant analysis by regression (Cai, He & Han, VLDB Journal 20:21, 2011).

    The responses are the eigenvectors of the class graph: indicators of the classes, made orthogonal to 1 by Gram and
    Schmidt. With two classes there is one, `targets` up to its scale, and the regularised solution of
    (K + αI) a = ȳ is that of kernel ridge regression. The kernel is exp(−d²/2t²).

    Parameters
    ----------
    alpha : float
        Regularisation.
    width : float
        t, as a multiple of the mean distance between samples.
    width_samples : int
        Samples that the mean distance is measured on at most.
    landmarks : int
        Of more samples than this, so many random ones are used.
    seed : int
    """

    alpha: float
    width: float
    width_samples: int
    landmarks: int
    seed: int
    gamma: float = field(default=0.0, init=False)
    _centres: Array = field(default_factory=lambda: np.empty((0, 0)), init=False, repr=False)
    _weights: Array = field(default_factory=lambda: np.empty(0), init=False, repr=False)

    def fit(self, x: Array, y: Array) -> Self:
        """Fit on (n, k) samples with labels (n,) of 0 and 1.

        Raises
        ------
        ValueError
            If all samples are the same, so that the kernel has no width.
        """
        distance = mean_distance(x, most=self.width_samples, seed=self.seed)
        if not (np.isfinite(distance) and distance > 0):
            raise ValueError(f"the mean distance between samples is {distance:g}; expected a positive one")
        if len(x) > self.landmarks:
            rows = np.sort(np.random.default_rng([self.seed, 1]).permutation(len(x))[: self.landmarks])
            x, y = x[rows], y[rows]
        self.gamma = 1 / (2 * (self.width * distance) ** 2)
        self._centres = np.asarray(x, dtype=np.float64)
        solved = KernelRidge(kernel="rbf", gamma=self.gamma, alpha=self.alpha).fit(self._centres, targets(y))
        self._weights = np.asarray(solved.dual_coef_)
        return self

    def decision(self, x: Array) -> Array:
        """Return the projections (n,) of (n, k); larger towards the positive class."""
        return expansion(x, self._centres, self._weights, self.gamma)
