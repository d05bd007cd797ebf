"""What of an embedding patients are compared by: few principal components, of the same spread or of their own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from reperfuse.evaluation.inputs import Floats

# Of eigenvalues under chance (Horn 1965; the percentile of Glorfeld 1995).
PERCENTILE = 95
NOTHING = 1e-12
# Spreads among which the elbow is sought: a long tail would outweigh the first few.
MOST = 30


@dataclass(frozen=True)
class Representation:
    """A space that other patients can be brought into.

    Parameters
    ----------
    mean, sd : array, shape (k,)
        What is taken off each number of an embedding, and what it then is divided by.
    axes : array, shape (k, components)
        Principal axes, each with its largest entry positive, over the spread along it if that is not to count.
    """

    mean: Floats
    sd: Floats
    axes: Floats

    def of(self, codes: Floats) -> Floats:
        """Return points (n, components) of embeddings (n, k)."""
        return np.asarray((np.asarray(codes, dtype=np.float64) - self.mean) / self.sd @ self.axes)


def represent(codes: Floats, strata: Mapping[str, Any], *, seed: int) -> Representation:
    """Fit the space in which strata are looked for.

    Parameters
    ----------
    codes : array, shape (n, k)
        Of one encoder.
    strata : mapping
        ``studies.fusion.strata``: ``components``, ``scale``, ``share``, ``draws``.
    seed : int
        Of parallel analysis.
    """
    x = np.asarray(codes, dtype=np.float64)
    mean, sd = x.mean(axis=0), x.std(axis=0)
    known = sd > NOTHING * np.maximum(1.0, np.abs(mean))
    sd = np.where(known, sd, 1.0) if strata["scale"] == "numbers" else np.ones_like(sd)
    z = (x - mean) / sd * known
    _, singular, axes = np.linalg.svd(z, full_matrices=False)
    eigenvalues = singular**2 / len(x)
    real = eigenvalues > NOTHING * float(eigenvalues.max(initial=0))
    how = strata["components"]
    if how == "elbow":
        kept = n_before_elbow(np.sqrt(eigenvalues[real]))
    elif how == "parallel":
        kept = n_beyond_chance(eigenvalues, chance(z, draws=strata["draws"], seed=seed))
    elif how == "share":
        held = np.cumsum(eigenvalues) / max(float(eigenvalues.sum()), NOTHING)
        kept = int(np.searchsorted(held, strata["share"] - NOTHING) + 1)
    else:
        kept = len(eigenvalues)
    # With one component at least there is something to cluster, chance or not.
    kept = min(max(kept, 1), max(int(real.sum()), 1))
    turned = upright(axes[:kept].T)
    if strata["scale"] == "components" and real.any():
        turned = turned / np.sqrt(eigenvalues[:kept])
    return Representation(mean, sd, turned)


def chance(z: Floats, *, draws: int, seed: int) -> Floats:
    """Return the eigenvalues that columns without a relation would have: the 95th percentile over permutations.

    Parallel analysis (Horn 1965, doi 10.1007/BF02289447): every column of ``z`` (n, k), standardised, is permuted by
    itself.

    Returns
    -------
    array, shape (min(n, k),)
        In falling order.
    """
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(draws):
        mixed = rng.permuted(z, axis=0)
        gram = mixed.T @ mixed if z.shape[1] <= z.shape[0] else mixed @ mixed.T
        found.append(np.linalg.eigvalsh(gram)[::-1] / len(z))
    return np.percentile(found, PERCENTILE, axis=0)


def n_beyond_chance(eigenvalues: Floats, thresholds: Floats) -> int:
    """Return how many of the first eigenvalues exceed their thresholds, up to the first that does not."""
    beyond = eigenvalues > thresholds[: len(eigenvalues)]
    return int(len(beyond) if beyond.all() else beyond.argmin())


def n_before_elbow(spreads: Floats) -> int:
    """Return after how many of the largest spreads (SD along components, falling) the scree bends.

    Profile likelihood (Zhu and Ghodsi 2006, doi 10.1016/j.csda.2005.09.010): of all ways to part the first `MOST`
    into larger and smaller, that under which both are closest to their means. The spreads take the place of their
    squares, among which one large component hides the next. Of fewer than four all are kept.
    """
    x = np.asarray(spreads, dtype=np.float64)[:MOST]
    if len(x) < 4:
        return len(x)
    apart = [len(x[:q]) * x[:q].var() + len(x[q:]) * x[q:].var() for q in range(1, len(x))]
    return int(np.argmin(apart)) + 1


def upright(axes: Floats) -> Floats:
    """Return columns with the sign that makes the largest entry of each positive."""
    if not axes.size:
        return axes
    largest = axes[np.abs(axes).argmax(axis=0), np.arange(axes.shape[1])]
    return np.asarray(axes * np.where(largest < 0, -1.0, 1.0))


def residuals(codes: Floats, covariates: Floats) -> Floats:
    """Return what of embeddings (n, k) a line in covariates (n, c) does not explain."""
    design = np.column_stack([np.ones(len(codes)), covariates])
    weights, *_ = np.linalg.lstsq(design, np.asarray(codes, dtype=np.float64), rcond=None)
    return np.asarray(codes - design @ weights)
