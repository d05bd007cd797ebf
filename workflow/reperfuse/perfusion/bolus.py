"""When the contrast agent arrives, and whether its passage was recorded whole."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import median_filter

from reperfuse.core.errors import Fault, Refusal


@dataclass(frozen=True)
class Bolus:
    """The passage of the bolus through the whole brain. Frames count from the first that was given.

    Parameters
    ----------
    arrival, arrival_s : int, float
        First frame of the passage.
    baseline : slice
        Frames before it whose mean is S₀.
    peak, peak_s : int, float
        Frame of the lowest signal.
    drop_percent : float
        Greatest fall of the signal below the baseline.
    tail_s : float
        Time recorded after the peak.
    truncated : bool
        Whether the recording ends before the passage does.
    faults : list of Fault
        W142 for a passage that is cut short.
    """

    arrival: int
    arrival_s: float
    baseline: slice
    peak: int
    peak_s: float
    drop_percent: float
    tail_s: float
    truncated: bool
    faults: list[Fault]


def find_bolus(
    course: np.ndarray,
    times_s: np.ndarray,
    *,
    path: str = "",
    sd: float,
    minimum_sd_percent: float,
    minimum_baseline: int,
    guard_frames: int,
    minimum_drop_percent: float,
    minimum_tail_s: float,
    recovered_percent: float,
) -> Bolus:
    """Return when the bolus passes: the frames before it are found, not assumed.

    The arrival is the first frame from which on, down to the lowest, every frame lies more than ``sd``
    standard deviations below the mean of all frames before it. A single frame that stands out (motion) is
    neither the lowest nor a gap, because a running median of three frames is judged.

    Parameters
    ----------
    course : ndarray, shape (n_frames,)
        Mean signal over the brain, steady state only.
    times_s : ndarray, shape (n_frames,)
        Time of each frame in s.
    sd, minimum_sd_percent : float
        Depth in standard deviations of the baseline; the standard deviation counts as at least this share of
        the baseline's mean, in percent.
    minimum_baseline : int
        Fewest frames of the baseline.
    guard_frames : int
        So many frames just before the arrival are left out of the baseline, because arteries fill before the
        whole brain shows it.
    minimum_drop_percent : float
        Least fall of the mean signal.
    minimum_tail_s, recovered_percent : float
        The passage is truncated where less time follows the lowest frame, or where the signal does not
        recover by this share of its fall.

    Raises
    ------
    Refusal
        E142 where there is no bolus, where it arrives in the first frames, or still arrives in the last.

    Source: science reference, 4.1 (3 SD); Yu et al., MICCAI 2019.
    """
    smooth = median_filter(np.asarray(course, dtype=float), size=3, mode="nearest")
    peak = int(np.argmin(smooth))
    start = float(np.mean(smooth[:minimum_baseline]))
    drop = 100.0 * (1.0 - smooth[peak] / start) if start > 0 else 0.0
    if drop < minimum_drop_percent:
        raise _none(path, f"the signal falls by {drop:.1f} % at most", minimum_drop_percent)
    arrival = _arrival(smooth, peak, sd, minimum_sd_percent, minimum_baseline)
    if arrival is None or arrival < minimum_baseline + guard_frames:
        frames = f"{minimum_baseline + guard_frames} steady frames"
        raise _none(path, f"no {frames} come before the fall to frame {peak}", minimum_drop_percent)
    if peak >= len(smooth) - 1:
        raise _none(path, f"the signal still falls in the last frame ({peak})", minimum_drop_percent)
    baseline = slice(0, arrival - guard_frames)
    level = float(np.mean(course[baseline]))
    drop = 100.0 * (1.0 - smooth[peak] / level)
    tail_s = float(times_s[-1] - times_s[peak])
    recovered = 100.0 * (smooth[peak:].max() - smooth[peak]) / (level - smooth[peak])
    truncated = bool(tail_s < minimum_tail_s or recovered < recovered_percent)
    faults = []
    if truncated:
        values = {
            "tail_s": f"{tail_s:.1f}", "recovered": f"{recovered:.0f}",
            "limit_s": f"{minimum_tail_s:g}", "limit": f"{recovered_percent:g}",
        }  # fmt: skip
        faults.append(Fault("W142", path, values))
    return Bolus(
        arrival, float(times_s[arrival]), baseline, peak, float(times_s[peak]), float(drop), tail_s,
        truncated, faults,
    )  # fmt: skip


def _arrival(
    smooth: np.ndarray, peak: int, sd: float, minimum_sd_percent: float, minimum_baseline: int
) -> int | None:
    for frame in range(minimum_baseline, peak + 1):
        before = smooth[:frame]
        level = float(before.mean())
        spread = max(float(before.std(ddof=1)), minimum_sd_percent / 100.0 * level)
        if (smooth[frame : peak + 1] < level - sd * spread).all():
            return frame
    return None


def _none(path: str, problem: str, limit: float) -> Refusal:
    return Refusal("E142", path=path, problem=problem, limit=f"{limit:g}")
