"""How well one contrast of a patient was reconstructed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

Array = np.ndarray
# Contrasts in which grey and white matter do not differ: a mask, and the distance to it.
WITHOUT_TISSUE = ("lesion", "lesion_distance")
# Fewer voxels give no standard deviation to speak of.
MIN_VOXELS = 10


def errors(original: Array, found: Array, mean: Array, mask: Array) -> dict[str, float | None]:
    """Return mean squared error, that of the training patients' mean, R² over it, and the normalised difference.

    Parameters
    ----------
    original, found, mean : ndarray, shape (S, R, L)
        Image, its reconstruction, and the mean of the training patients, between 0 and 1.
    mask : ndarray of bool, shape (S, R, L)

    Returns
    -------
    dict
        ``mse``, ``mse_mean``; ``r2`` = 1 − mse / mse_mean; ``norm_diff`` = Σ|x − x̂| / Σ|x|; None where the
        denominator is 0.
    """
    x, y, m = (one[mask].astype(np.float64) for one in (original, found, mean))
    mse, mse_mean = float(((x - y) ** 2).mean()), float(((x - m) ** 2).mean())
    size = float(np.abs(x).sum())
    return {
        "mse": mse,
        "mse_mean": mse_mean,
        "r2": 1 - mse / mse_mean if mse_mean > 0 else None,
        "norm_diff": float(np.abs(x - y).sum()) / size if size > 0 else None,
    }


def contrast_to_noise(image: Array, first: Array, second: Array) -> float | None:
    """Return |μ₁ − μ₂| / √(σ₁² + σ₂²) of two regions; None where they are small or of one value."""
    a, b = image[first].astype(np.float64), image[second].astype(np.float64)
    if min(len(a), len(b)) < MIN_VOXELS:
        return None
    noise = float(np.sqrt(a.var() + b.var()))
    return float(abs(a.mean() - b.mean())) / noise if noise > 1e-9 else None


def regions(
    contrast: str, mask: Array, tissue: Mapping[str, Array] | None, lesion: Array | None
) -> tuple[str, Array, Array] | None:
    """Return which two regions a contrast's contrast-to-noise ratio is taken of, and the regions.

    ``grey_white`` outside the lesion where the template's tissue is known, so that all patients have the same;
    else ``lesion`` against its mirror image; None where neither is to be had.

    Parameters
    ----------
    contrast : str
    mask : ndarray of bool, shape (S, R, L)
        The template's brain, left and right alike around the middle of the grid.
    tissue : mapping of ndarray of bool or None
        ``grey`` and ``white`` matter.
    lesion : ndarray of bool or None
    """
    if contrast in WITHOUT_TISSUE:
        return None
    sound = mask if lesion is None else mask & ~lesion
    if tissue is not None:
        return "grey_white", tissue["grey"] & sound, tissue["white"] & sound
    if lesion is not None:
        return "lesion", lesion & mask, lesion[..., ::-1] & sound
    return None


def cnr_columns(original: Array, found: Array, of: tuple[str, Array, Array] | None) -> dict[str, Any]:
    """Return ``cnr_of``, ``cnr_original``, ``cnr_reconstructed`` and ``cnr_change``, the ratio of the two less 1."""
    before = contrast_to_noise(original, *of[1:]) if of else None
    after = contrast_to_noise(found, *of[1:]) if of else None
    return {
        "cnr_of": of[0] if of and before is not None else None,
        "cnr_original": before,
        "cnr_reconstructed": after,
        "cnr_change": after / before - 1 if before and after is not None else None,
    }
