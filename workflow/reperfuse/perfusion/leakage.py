"""Leakage of contrast agent out of the vessels, after Boxerman and Weisskoff.

K2 weighs how far a curve departs from a scaled reference in proportion to the reference's running integral.
It depends on the sequence, the flip angle, the dose and the reference, and is no Ktrans: no model of exchange
with the extravascular space is fitted, and units of permeability cannot be had from it.
"""

from __future__ import annotations

import numpy as np

Array = np.ndarray
DELAYS_PER_STEP = 4  # the reference is shifted in quarters of a sampling interval


def non_enhancing(curves: Array, *, tail_points: int, tail_share: float) -> Array:
    """Return voxels whose contrast is gone at the end of the series, shape (n,), bool.

    Parameters
    ----------
    curves : ndarray, shape (n, t)
    tail_points : int
        Points at the end that are averaged.
    tail_share : float
        Greatest modulus of their mean, as a share of the curve's maximum.
    """
    peak = curves.max(axis=1)
    tail = np.abs(curves[:, -tail_points:].mean(axis=1))
    found: Array = (peak > 0) & (tail <= tail_share * peak)
    return found


def boxerman_weisskoff(
    curves: Array, *, reference: Array, step_s: float, effect: str, delay_s: Array | None = None
) -> tuple[Array, Array]:
    """Fit C(t) = K1·C̄(t) ± K2·∫C̄ and take the second term away.

    Parameters
    ----------
    curves : ndarray, shape (n, t)
        ΔR2* in 1/s.
    reference : ndarray, shape (n,), bool
        Voxels without enhancement, of which C̄ is the mean.
    step_s : float
    effect : {"T2star", "T1"}
        Which effect of leaked agent makes K2 positive: "T1" (contrast is lost, the published sign) or
        "T2star" (contrast stays behind).
    delay_s : ndarray, shape (n,), optional
        By how much each voxel lags behind the reference; C̄ is shifted by it. Without, late tissue looks as
        if it leaked.

    Returns
    -------
    k2 : ndarray, shape (n,), float32
        1/s. Not a Ktrans.
    corrected : ndarray, shape (n, t), float32

    Raises
    ------
    ValueError
        Where there is no reference voxel.

    Source: Boxerman et al., AJNR 2006; 27: 859; shift by arrival, Leigh et al., PLoS ONE 2012; 7: e52656.
    """
    if not reference.any():
        raise ValueError("no reference voxel")
    mean = curves[reference].mean(axis=0, dtype=np.float64)
    times = np.arange(mean.size) * step_s
    k2 = np.zeros(curves.shape[0], dtype=np.float32)
    corrected = curves.astype(np.float32)
    unit = step_s / DELAYS_PER_STEP
    shift = np.zeros(curves.shape[0]) if delay_s is None else np.rint(delay_s / unit) * unit
    for one in np.unique(shift):
        rows = np.flatnonzero(shift == one)
        lagged = np.interp(times - one, times, mean)
        leaked = np.cumsum(lagged) * step_s - 0.5 * step_s * lagged
        design = np.column_stack([lagged, leaked])
        fitted = curves[rows] @ np.linalg.pinv(design)[1]
        k2[rows] = fitted
        corrected[rows] -= np.outer(fitted, leaked).astype(np.float32)
    return (k2 if effect == "T2star" else -k2), corrected
