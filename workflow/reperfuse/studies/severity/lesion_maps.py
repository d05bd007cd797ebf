"""Ridge regression on smoothed maps of the lesion in the template; what it learns is one weight for each cell.

It is solved in the space of patients, who are fewer than cells, and kept in that of cells: sums over patients.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from scipy.ndimage import gaussian_filter1d

from reperfuse.imaging.pattern import lattice
from reperfuse.studies.severity.features import Filling

Array = np.ndarray
# Strengths of the penalty, in multiples of the mean eigenvalue; the best by leave-one-out is taken.
STRENGTHS = 10.0 ** np.arange(-3, 3.5, 0.5)
FWHM = 2.3548  # of a Gaussian, in SD
# Patients whose maps are smoothed at once.
CHUNK = 64


@dataclass(frozen=True)
class Seen:
    """What the rule sees of some patients.

    Parameters
    ----------
    maps : ndarray
        (n, cells) float32, each of length 1; 0 without lesion.
    mirrored : ndarray
        (n, cells) float32: a map together with its mirror image, of length 1.
    log_volume : ndarray
        (n) log(1 + ml), NaN where missing.
    there : ndarray
        (n) bool, whether there is a map at all; others count as the mean of the training patients.
    """

    maps: Array
    mirrored: Array
    log_volume: Array
    there: Array

    def of(self, rows: Array) -> Seen:
        """Return some of the patients."""
        return Seen(self.maps[rows], self.mirrored[rows], self.log_volume[rows], self.there[rows])


@dataclass(frozen=True)
class MapRule:
    """A fitted rule: decision = maps · weights + mirrored · weights + standardised volume * weight + intercept.

    Parameters
    ----------
    maps, mirrored : ndarray
        (cells) float32 weights.
    middle : float
        What the maps of the training patients add on average; it stands for maps that are missing.
    filling : Filling
        Of the volume.
    volume, intercept : float
    """

    maps: Array
    mirrored: Array
    middle: float
    filling: Filling
    volume: float
    intercept: float

    def on_cells(self, seen: Seen) -> Array:
        """Return (n) what the maps add."""
        return np.asarray((seen.maps @ self.maps + seen.mirrored @ self.mirrored).astype(float))

    def decision(self, seen: Seen) -> Array:
        """Return (n) of the target."""
        volume = self.filling(seen.log_volume[:, None])[:, 0]
        on_cells = np.where(seen.there, self.on_cells(seen), self.middle)
        return np.asarray(on_cells + volume * self.volume + self.intercept)


def see(cells: Array, log_volume: Array, *, cell_mm: float, fwhm_mm: float, small: float) -> Seen:
    """Return smoothed maps of lesions.

    Parameters
    ----------
    cells : ndarray
        (n, cells) share of each cell that the lesion fills, in the order of `reperfuse.imaging.pattern.lattice`; NaN
        where it could not be carried to the template.
    log_volume : ndarray
        (n) log(1 + ml).
    cell_mm : float
        Edge of a cell.
    fwhm_mm : float
        Width of the Gaussian.
    small : float
        Maps are log(1 + share / small), which brings rims and small lesions nearer to large ones.
    """
    shape = (len(cells), *lattice(cell_mm))
    volumes = np.nan_to_num(np.asarray(cells, dtype=np.float32)).reshape(shape)
    maps, mirrored = np.empty_like(volumes), np.empty_like(volumes)
    for start in range(0, len(volumes), CHUNK):
        part = volumes[start : start + CHUNK]
        for axis in (1, 2, 3):
            part = gaussian_filter1d(part, fwhm_mm / FWHM / cell_mm, axis=axis, mode="constant", truncate=3)
        part = np.log1p(part / np.float32(small))
        maps[start : start + CHUNK] = _unit(part)
        # The lattice lies alike on both sides of x = 0.
        mirrored[start : start + CHUNK] = _unit(part + part[:, ::-1])
    there = ~np.isnan(cells).any(axis=1)
    flat = len(cells), int(np.prod(shape[1:]))
    return Seen(maps.reshape(flat), mirrored.reshape(flat), np.asarray(log_volume, float), there)


@dataclass
class Fitting:
    """Patients to fit on, whose products are computed once for all the folds inside them.

    Parameters
    ----------
    seen : Seen
        Of at least one patient with a map.
    weights : mapping
        ``plain``, ``mirrored``, ``volume``: how much each counts, in units of its mean squared distance from the
        middle of the training patients.
    """

    seen: Seen
    weights: Mapping[str, float]
    _products: list[Array] = field(init=False)

    def __post_init__(self) -> None:
        self._products = [one @ one.T for one in (self.seen.maps, self.seen.mirrored)]

    def fit(self, rows: Array, target: Array) -> MapRule:
        """Fit on some of the patients, of whom those without a map are left out; where all are, on their volumes.

        Parameters
        ----------
        rows : ndarray
            (m) their positions.
        target : ndarray
            (m).
        """
        inside = self.seen.there[rows]
        if inside.any():  # else their maps are zeros, which have no weight
            rows, target = rows[inside], target[inside]
        some = self.seen.of(rows)
        filling = Filling.of(some.log_volume[:, None])
        volume = filling(some.log_volume[:, None])[:, 0]
        products = [
            *(one[np.ix_(rows, rows)].astype(float) for one in self._products),
            np.outer(volume, volume),
        ]
        kernels = [_centred(one) for one in products]
        factors = [
            _factor(kernel, self.weights[name])
            for kernel, name in zip(kernels, ("plain", "mirrored", "volume"), strict=True)
        ]
        dual = ridge(
            np.sum([factor * one for factor, one in zip(factors, kernels, strict=True)], axis=0), target
        )
        maps, mirrored = (
            (factor * (dual @ one)).astype(np.float32)
            for factor, one in zip(factors, (some.maps, some.mirrored), strict=False)
        )
        of_volume = float(factors[2] * (dual @ volume))
        rule = MapRule(maps, mirrored, 0.0, filling, of_volume, 0.0)
        middle = float(rule.on_cells(some).mean())
        intercept = float(target.mean() - middle - of_volume * volume.mean())
        return MapRule(maps, mirrored, middle, filling, of_volume, intercept)


def ridge(kernel: Array, target: Array) -> Array:
    """Return the dual coefficients (n) of ridge regression; they add up to 0.

    Parameters
    ----------
    kernel : ndarray
        (n, n) centred.
    target : ndarray
        (n).

    Notes
    -----
    The penalty has the least squared error of leave-one-out, which the hat matrix gives without fitting again (Golub,
    Heath & Wahba, Technometrics 21:215, 1979).
    """
    n = len(target)
    values, vectors = np.linalg.eigh(kernel)
    values = np.maximum(values, 0.0)
    mean = values.sum() / n
    if mean <= 0:
        return np.zeros(n)
    z = target - target.mean()
    turned = vectors.T @ z

    def error(strength: float) -> float:
        shrunk = values / (values + strength * mean)
        hat = (vectors**2) @ shrunk + 1 / n
        return float(np.mean(((z - vectors @ (shrunk * turned)) / np.maximum(1 - hat, 1e-12)) ** 2))

    best = min(STRENGTHS, key=error)
    dual = vectors @ (turned / (values + best * mean))
    return np.asarray(dual - dual.mean())


def _unit(maps: Array) -> Array:
    flat = maps.reshape(len(maps), -1)
    length = np.sqrt(np.einsum("ij,ij->i", flat, flat))
    length[length == 0] = 1.0
    return np.asarray(maps / length.reshape(-1, *([1] * (maps.ndim - 1))))


def _centred(kernel: Array) -> Array:
    middle = kernel.mean(axis=0)
    return np.asarray(kernel - middle[None, :] - middle[:, None] + middle.mean())


def _factor(centred: Array, weight: float) -> float:
    mean = float(np.trace(centred)) / max(len(centred), 1)
    return weight / mean if mean > 1e-10 else 0.0
