"""From signal to concentration, which for DSC is ΔR2*(t) = −ln(S(t)/S₀)/TE."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter

Array = np.ndarray
FWHM = 2 * np.sqrt(2 * np.log(2))


@dataclass(frozen=True)
class Concentration:
    """Curves of some voxels.

    Parameters
    ----------
    values : ndarray, shape (n, t), float32
        ΔR2* in 1/s; 0 in voxels that are not valid.
    valid : ndarray, shape (n,), bool
    s0 : ndarray, shape (n,), float32
        Mean signal before the bolus.
    clamped_percent : float
        Points that were clamped, in percent of those of voxels with a baseline above 0.
    """

    values: Array
    valid: Array
    s0: Array
    clamped_percent: float


def to_concentration(
    signal: Array,
    *,
    te_s: float,
    baseline: slice,
    clamp_low_share: float,
    c_min: float,
    c_max: float,
    max_clamped_share: float,
) -> Concentration:
    """Return C(t) = −ln(S/S₀)/TE.

    Parameters
    ----------
    signal : ndarray, shape (n, t)
    te_s : float
        Echo time in s.
    baseline : slice
        Frames before the bolus, whose mean is S₀.
    clamp_low_share : float
        S is taken as at least this share of S₀: the logarithm of 0, or of a difference that noise has made
        negative, means nothing.
    c_min, c_max : float
        C is clipped to these, 1/s.
    max_clamped_share : float
        A voxel with a greater share of points that were clamped or clipped, or not finite, is not valid; nor
        is one with S₀ ≤ 0.

    Raises
    ------
    ValueError
        Where TE is not above 0 or no frame lies before the bolus.

    Source: Yu et al., MICCAI 2019, section 2; limits, science reference 4.1.
    """
    frames = signal[:, baseline]
    if te_s <= 0 or frames.shape[1] == 0:
        raise ValueError(f"TE {te_s:g} s and {frames.shape[1]} baseline frames; expected both above 0")
    s0 = frames.mean(axis=1, dtype=np.float64).astype(np.float32)
    usable = np.isfinite(s0) & (s0 > 0)
    ratio = np.divide(signal, s0[:, None], out=np.ones(signal.shape, np.float32), where=usable[:, None])
    low = ~(ratio >= clamp_low_share) | np.isposinf(ratio)
    values = np.where(low, np.float32(clamp_low_share), ratio)
    np.log(values, out=values)
    values *= np.float32(-1 / te_s)
    clamped = low | (values < c_min) | (values > c_max)
    valid = usable & (clamped.mean(axis=1) <= max_clamped_share)
    percent = 100 * float(clamped[usable].mean()) if usable.any() else 0.0
    np.clip(values, c_min, c_max, out=values)
    values[~valid] = 0
    return Concentration(values, valid, s0, percent)


def smooth(values: Array, valid: Array, *, spacing_mm: Sequence[float], fwhm_mm: float) -> Array:
    """Return curves averaged with their neighbours in the slice; what is not valid has no weight.

    Parameters
    ----------
    values : ndarray, shape (x, y, z, t)
    valid : ndarray, shape (x, y, z), bool
    spacing_mm : floats
        Voxel size along the first two axes.
    fwhm_mm : float
        Full width at half maximum of the Gaussian; 0 for none.

    Returns
    -------
    ndarray, shape (x, y, z, t), float32
        0 where not valid.

    Notes
    -----
    Noise of ΔR2* grows as the signal falls, and the delay of a voxel with little flow has no other help than
    its neighbours. Slices are too thick to help.
    """
    kept = np.where(valid[..., None], values, np.float32(0)).astype(np.float32)
    if fwhm_mm == 0:
        return kept
    sigma = [fwhm_mm / FWHM / float(s) for s in spacing_mm[:2]]
    weight = gaussian_filter(valid.astype(np.float32), (*sigma, 0), mode="constant")
    result: Array = gaussian_filter(kept, (*sigma, 0, 0), mode="constant")
    result *= np.divide(1, weight, out=np.zeros_like(weight), where=valid)[..., None]
    return result
