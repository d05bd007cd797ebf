"""What a curve shows without an arterial input function."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

Array = np.ndarray


@dataclass(frozen=True)
class Shape:
    """Summaries of each curve, shape (n,), float32.

    Parameters
    ----------
    ttp_s : ndarray
        Time from the arrival of the bolus to the maximum, s.
    slope : ndarray
        Slope of the line through the late part of the curve, 1/s²: above 0 where contrast goes on rising.
    final : ndarray
        Mean of the last points, 1/s.
    peak : ndarray
        Maximum, 1/s.

    Notes
    -----
    Slope, final and maximum contrast stand in for permeability in studies of haemorrhagic transformation.
    They mix flow, volume, delay and leakage and measure none of them.
    """

    ttp_s: Array
    slope: Array
    final: Array
    peak: Array


def bolus_shape(
    curves: Array, *, step_s: float, arrival_s: float, final_points: int, slope_from_s: float
) -> Shape:
    """Summarise concentration curves.

    Parameters
    ----------
    curves : ndarray, shape (n, t)
        ΔR2* in 1/s.
    step_s : float
    arrival_s : float
        When the bolus arrives in the brain, on the time of the curves.
    final_points : int
        Points at the end that `Shape.final` averages.
    slope_from_s : float
        Time after arrival from which `Shape.slope` is fitted; at least over the final points.
    """
    n, t = curves.shape
    rows = np.arange(n)
    inner = np.clip(curves.argmax(axis=1), 1, t - 2)
    before, top, after = (curves[rows, inner + k].astype(np.float64) for k in (-1, 0, 1))
    bend = 2 * top - before - after
    part = np.clip(0.5 * np.divide(after - before, bend, out=np.zeros_like(bend), where=bend > 0), -1, 1)
    ttp = (inner + part) * step_s - arrival_s
    start = min(int(np.ceil((arrival_s + slope_from_s) / step_s)), t - max(2, final_points))
    times = np.arange(max(0, start), t) * step_s
    centred = times - times.mean()
    late = curves[:, -times.size :] @ (centred / (centred**2).sum()).astype(curves.dtype)
    final = curves[:, -final_points:].mean(axis=1)
    found = (ttp, late, final, curves.max(axis=1))
    return Shape(*(np.asarray(one, dtype=np.float32) for one in found))


def relative_ttp(ttp_s: Array, reference: Array) -> Array:
    """Return TTP less the median of reference tissue, s.

    It needs no AIF: in DEFUSE 2 (n = 102) the volumes of rTTP > 4.5 s and Tmax > 6 s differed by 6.9 ml
    (median).

    Raises
    ------
    ValueError
        Where there is no reference voxel.
    """
    if not reference.any():
        raise ValueError("no reference voxel")
    relative: Array = (ttp_s - np.median(ttp_s[reference])).astype(np.float32)
    return relative
