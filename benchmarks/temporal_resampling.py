"""Claim: curves come onto the common grid of times at least five times as fast as with `interp1d`.

Linear interpolation of 128 × 128 × 20 curves from 60 points of 1.71 s to 60 points of 1.8 s, the last value
held; made and applied once, as for a patient. The peer is SciPy's `interp1d`, the floor copies the curves. CPU
seconds on one thread, medians; and how far the two results lie apart.
Run: python benchmarks/temporal_resampling.py [voxels]
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

import numpy as np
from scipy.interpolate import interp1d
from suite import Measured, report, typical

from reperfuse.perfusion.resampling import to_grid

N, STEP_S, NATIVE_S = 60, 1.8, 1.71


def timed(run: Callable[[], np.ndarray], repeats: int = 5) -> tuple[float, np.ndarray]:
    """Return the median CPU seconds, and the result."""
    seconds = []
    for _ in range(repeats):
        start = time.process_time()
        result = run()
        seconds.append(time.process_time() - start)
    return typical(seconds), result


def measure(voxels: int = 128 * 128 * 20) -> list[Measured]:
    """Resample noise, which is as hard as anything else; the claim is about the first size."""
    rows = []
    times, grid = NATIVE_S * np.arange(N), np.clip(STEP_S * np.arange(N), 0, NATIVE_S * (N - 1))
    for size in (voxels, voxels // 4):
        curves = np.random.default_rng(0).normal(0, 10, (size, N)).astype(np.float32)
        ours, found = timed(lambda c=curves: to_grid(c, times, step_s=STEP_S, n_points=N, start_s=0.0)[0])
        peer, expected = timed(lambda c=curves: interp1d(times, c, axis=1)(grid))
        floor, _ = timed(curves.copy)
        rows.append(
            Measured(
                "curves onto the grid of times", ours, "s", size, "voxels", cpu_s=ours,
                peer=peer, peer_is="`scipy.interpolate.interp1d`, linear",
                floor=floor, floor_is="a copy of the curves",
                aim="ours/peer <= 0.2" if size == voxels else "",
            )
        )  # fmt: skip
        if size == voxels:
            apart = float(np.abs(found - expected).max() / np.ptp(curves))
            rows.append(
                Measured(
                    "resampled curves apart from interp1d's", 1e6 * apart, "millionths of the range", size,
                    "voxels", aim="ours <= 1",
                )
            )  # fmt: skip
    return rows


if __name__ == "__main__":
    sys.exit(report(measure))
