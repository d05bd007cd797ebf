"""Metrics of voxelwise predictions: what anybody can recompute from the table of voxels alone."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import expit, logit

from reperfuse.evaluation.calibration import CLIP, reliability
from reperfuse.evaluation.discrimination import auc, average_precision
from reperfuse.evaluation.estimate import Estimate
from reperfuse.evaluation.inputs import Floats
from reperfuse.evaluation.resampling import cluster_bootstrap

Row = dict[str, Any]
Codes = npt.NDArray[np.intp]
Labels = npt.NDArray[np.int8]
ECE_BINS = 10
LOGIT_STEP = 0.01  # for the slope, logits are counted in steps of it


@dataclass(frozen=True)
class Voxels:
    """The voxels that one configuration predicts.

    Attributes
    ----------
    y : array of int, shape (n,)
    score : array of float, shape (n,)
    owner : array of int, shape (n,)
        Index into ``patients``.
    patients : tuple of str
    fold : tuple of int
        Of each patient.
    """

    y: Labels
    score: Floats
    owner: Codes
    patients: tuple[str, ...]
    fold: tuple[int, ...]

    @property
    def is_probability(self) -> bool:
        """Whether every score lies between 0 and 1."""
        return bool(self.score.size) and bool(self.score.min() >= 0 and self.score.max() <= 1)

    @property
    def positive(self) -> npt.NDArray[np.bool_]:
        """Which patients (patients,) have a positive voxel."""
        return np.bincount(self.owner[self.y == 1], minlength=len(self.patients)) > 0

    def counts(self) -> Row:
        """Return what every row of metrics says of its voxels."""
        n, positive = int(self.y.size), int(self.y.sum())
        return {
            "n": n,
            "n_positive": positive,
            "prevalence": positive / n if n else None,
            "n_patients": len(np.unique(self.owner)),
            "n_patients_positive": int(self.positive.sum()),
        }

    def of(self, patients: Sequence[bool] | npt.NDArray[np.bool_]) -> Voxels:
        """Return the voxels of some patients."""
        chosen = np.asarray(patients, dtype=bool)
        kept, new = chosen[self.owner], np.cumsum(chosen) - 1
        names = tuple(one for one, k in zip(self.patients, chosen, strict=True) if k)
        folds = tuple(one for one, k in zip(self.fold, chosen, strict=True) if k)
        return Voxels(self.y[kept], self.score[kept], new[self.owner[kept]], names, folds)


def metrics(y: Labels, score: Floats, *, probability: bool, whole: bool = True) -> dict[str, float | None]:
    """Return every metric of one set of voxels; None where it cannot be estimated.

    Parameters
    ----------
    y, score : array, shape (n,)
    probability : bool
        Whether scores are probabilities; of others there is no calibration.
    whole : bool
        Whether calibration is asked for as well.

    Returns
    -------
    dict
        auc, average_precision; with probabilities brier, and with ``whole`` brier_skill, ece (10 bins of equal count),
        calibration_slope, calibration_intercept.
    """
    found: dict[str, float | None] = {"auc": auc(y, score), "average_precision": average_precision(y, score)}
    if not probability or not y.size:
        return found
    brier, share = float(np.mean((score - y) ** 2)), float(y.mean())
    found["brier"] = brier
    if whole:
        two = 0 < share < 1
        found["brier_skill"] = 1 - brier / (share * (1 - share)) if two else None
        bins = reliability(y, score, bins=ECE_BINS, level=0.95)
        gaps = sum(abs(row["mean_score"] - row["observed"]) * row["n"] for row in bins)  # type: ignore[operator]
        found["ece"] = float(gaps / y.size) if two else None
        found["calibration_slope"], found["calibration_intercept"] = slope_of(y, score)
    return found


def slope_of(y: Labels, probability: Floats) -> tuple[float | None, float | None]:
    """Return slope and intercept of y ~ a + b logit(p), logits counted in steps of 0.01.

    None twice where a class is absent or separated, or where p is constant (Albert and Anderson 1984).
    """
    key = np.round(logit(np.clip(probability, CLIP, 1 - CLIP)) / LOGIT_STEP).astype(np.int64)
    values, code = np.unique(key, return_inverse=True)
    n = np.bincount(code).astype(np.float64)
    hits = np.bincount(code, weights=y)
    x, above, below = values * LOGIT_STEP, values[hits > 0], values[hits < n]
    if not (above.size and below.size and below.max() > above.min() and above.max() > below.min()):
        return None, None
    design = np.column_stack([np.ones_like(x), x])
    weights = np.array([float(logit(hits.sum() / n.sum())), 0.0])
    for _ in range(100):
        p = expit(design @ weights)
        gradient = design.T @ (n * p - hits)
        information = (design * (n * p * (1 - p))[:, None]).T @ design
        step = np.linalg.lstsq(information, gradient, rcond=None)[0]
        weights = weights - step / max(1.0, float(np.abs(step).max()))
        if np.abs(step).max() < 1e-10:
            return float(weights[1]), float(weights[0])
    return None, None


def within_patients(voxels: Voxels) -> dict[int, float]:
    """Return the AUC inside each patient who has both classes, by index.

    A score that tells patients apart, but no places in them, has 0.5 there whatever its AUC over all voxels.
    """
    found = {}
    order = np.argsort(voxels.owner, kind="stable")
    bounds = np.searchsorted(voxels.owner[order], np.arange(len(voxels.patients) + 1))
    for index, (start, stop) in enumerate(pairwise(bounds)):
        mine = order[start:stop]
        value = auc(voxels.y[mine], voxels.score[mine])
        if value is not None:
            found[index] = value
    return found


def mean_within(values: Sequence[float], *, draws: int, level: float, seed: int) -> Estimate:
    """Return the mean over patients of a value of each, with a BCa interval over patients."""
    each = np.asarray(values, dtype=np.float64)
    if not each.size:
        return Estimate(None, None, None, "none")
    if not draws:
        return Estimate(float(each.mean()), None, None, "none")
    found = cluster_bootstrap(
        lambda rows: float(each[rows].mean()), np.ones(each.size), np.arange(each.size),
        draws=draws, level=level, seed=seed,
    ).estimate  # fmt: skip
    return Estimate(found.value, found.low, found.high, f"{found.interval}_patients" if found.low else "none")


def shift_prior(probability: Floats, *, trained: float, true: float) -> Floats:
    """Return probabilities of a model trained at one prevalence as those at another (Saerens 2002, eq. 4).

    Parameters
    ----------
    probability : array, shape (n,)
    trained, true : float
        Prevalence of the training voxels and of those predicted, each strictly between 0 and 1.
    """
    shift = float(logit(true) - logit(trained))
    if not math.isfinite(shift):
        raise ValueError(f"prevalences are {trained:g} and {true:g}; expected both strictly between 0 and 1.")
    return np.asarray(expit(logit(np.clip(probability, CLIP, 1 - CLIP)) + shift))
