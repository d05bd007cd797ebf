"""When each frame of a perfusion series was taken."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from reperfuse.core.errors import Fault, Refusal
from reperfuse.imaging import series


@dataclass(frozen=True)
class Frames:
    """Sampling of a series.

    Parameters
    ----------
    times_s : ndarray, shape (n_frames,)
        Time of each frame in s; the first is 0.
    tr_s : float
        Repetition time in s; with ``VolumeTiming``, the median step.
    te_s : float
        Echo time in s.
    source : {"RepetitionTime", "VolumeTiming"}
        The field that the times come from.
    faults : list of Fault
        W141 for times that were taken as milliseconds.
    """

    times_s: np.ndarray
    tr_s: float
    te_s: float
    source: Literal["RepetitionTime", "VolumeTiming"]
    faults: list[Fault]


def frame_times(
    metadata: Mapping[str, Any], n_frames: int, *, path: str = "", te_s: float | None, tr_s: float | None
) -> Frames:
    """Return the time of each frame, from ``VolumeTiming`` where it is given, else from ``RepetitionTime``.

    Parameters
    ----------
    metadata : mapping
        Sidecar of the series. Times in seconds (BIDS 1.11.1); larger values than any sequence has are taken
        as milliseconds.
    n_frames : int
    te_s, tr_s : float or None
        Take the place of what the sidecar says, in s.

    Raises
    ------
    Refusal
        E141 where the echo time, or both ``RepetitionTime`` and ``VolumeTiming``, are missing. E143 where
        they contradict the series: a list of another length, times that do not rise, a repetition time for
        each frame without ``VolumeTiming``, or fewer or more frames than ``NumberOfTemporalPositions`` says.
    """
    known = dict(metadata)
    given = {"EchoTime": te_s, "RepetitionTime": tr_s}
    known.update({key: value for key, value in given.items() if value is not None})
    volumes = known.get("VolumeTiming") if tr_s is None else None
    if volumes is None:
        known.pop("VolumeTiming", None)
        _refuse_irregular(known, n_frames, path)
        te_s, tr_s, faults = series.timing(known, path=path)
        return Frames(np.arange(n_frames) * tr_s, tr_s, te_s, "RepetitionTime", faults)
    times = _rising(volumes, n_frames, path)
    step, converted = series.seconds("RepetitionTime", float(np.median(np.diff(times))))
    if converted:
        times = np.round(times / 1000.0, 9)
    known["RepetitionTime"] = step
    te_s, tr_s, faults = series.timing(known, path=path)
    if converted:
        faults.append(Fault("W141", path, {"key": "VolumeTiming", "value": f"{volumes[1]:g}"}))
    return Frames(times - times[0], tr_s, te_s, "VolumeTiming", faults)


def _rising(volumes: Any, n_frames: int, path: str) -> np.ndarray:
    if not isinstance(volumes, list) or len(volumes) != n_frames or n_frames < 2:
        count = len(volumes) if isinstance(volumes, list) else 1
        raise Refusal(
            "E143", path=path, problem=f"VolumeTiming names {count} times for {n_frames} frames", n=n_frames
        )
    times = np.array([v if _number(v) else np.nan for v in volumes], dtype=float)
    if not (np.diff(times) > 0).all():
        at = int(np.argmin(np.diff(times) > 0)) + 1
        raise Refusal(
            "E143", path=path, problem=f"the times of VolumeTiming do not rise (frame {at})", n=n_frames
        )
    return times


def _refuse_irregular(metadata: Mapping[str, Any], n_frames: int, path: str) -> None:
    """Refuse a series whose sidecar says that its frames are not equally spaced or not all there."""
    repetition, stated = metadata.get("RepetitionTime"), metadata.get("NumberOfTemporalPositions")
    if isinstance(repetition, list):
        problem = f"RepetitionTime is a list of {len(repetition)} values and VolumeTiming is missing"
        raise Refusal("E143", path=path, problem=problem, n=n_frames)
    if _number(stated) and stated != n_frames:
        problem = f"{n_frames} frames where NumberOfTemporalPositions says {stated:g}"
        raise Refusal("E143", path=path, problem=problem, n=n_frames)


def _number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and bool(np.isfinite(value))
