"""Curves on a common grid of times."""

from __future__ import annotations

import numpy as np

Array = np.ndarray


def to_grid(
    curves: Array, times_s: Array, *, step_s: float, n_points: int, start_s: float
) -> tuple[Array, int]:
    """Interpolate linearly to ``start_s``, ``start_s + step_s``, …

    Nothing is extrapolated: beyond the measured times the first or last value is held. What is longer than
    the grid is cropped.

    Parameters
    ----------
    curves : ndarray, shape (n, t)
        Finite.
    times_s : ndarray, shape (t,)
        Rising; need not be regular.
    step_s, n_points, start_s
        The grid.

    Returns
    -------
    curves : ndarray, shape (n, n_points), float32
    held : int
        Points after the last measured time, which hold its value.

    Raises
    ------
    ValueError
        Where times do not rise or do not fit the curves.

    Notes
    -----
    Each point is a sum of two samples, so that all curves are one product with a matrix of two entries in
    each column.
    """
    times = np.asarray(times_s, dtype=np.float64)
    if times.size < 2 or curves.shape[1:] != times.shape or not (np.diff(times) > 0).all():
        raise ValueError(f"{times.size} times for curves of shape {curves.shape}; expected as many, rising")
    grid = start_s + step_s * np.arange(n_points)
    left = np.clip(np.searchsorted(times, grid, side="right") - 1, 0, times.size - 2)
    share = np.clip((grid - times[left]) / (times[left + 1] - times[left]), 0, 1)
    matrix = np.zeros((times.size, n_points), dtype=np.float32)
    matrix[left, np.arange(n_points)] = 1 - share
    matrix[left + 1, np.arange(n_points)] = share
    # A grid point at the last time that misses it by rounding is measured.
    held = int((grid > times[-1] + 1e-6 * step_s).sum())
    return curves.astype(np.float32, copy=False) @ matrix, held
