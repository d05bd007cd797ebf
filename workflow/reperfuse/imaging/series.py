"""Perfusion series as far as every study needs them, and what may be said about an acquisition."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from reperfuse.core.errors import Fault, Refusal
from reperfuse.imaging.brain import head_mask
from reperfuse.imaging.checks import shape_text
from reperfuse.imaging.volume import Volume

# The only fields of a sidecar that ever leave it. Times come out in seconds.
ALLOWED = (
    "Manufacturer",
    "ManufacturersModelName",
    "MagneticFieldStrength",
    "EchoTime",
    "RepetitionTime",
    "InversionTime",
    "FlipAngle",
    "SliceThickness",
    "SpacingBetweenSlices",
    "ConversionSoftware",
    "ConversionSoftwareVersion",
)
# Longer times than these, in seconds, are milliseconds: no echo lasts 1 s, no repetition 100 s.
LONGEST_S = {"EchoTime": 1.0, "RepetitionTime": 100.0, "InversionTime": 20.0}
LONGEST_TEXT = 64


def acquisition(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Return the allow-listed fields of a sidecar: numbers, and short single-line strings; nothing else."""
    found: dict[str, Any] = {}
    for key in ALLOWED:
        value = metadata.get(key)
        if isinstance(value, bool) or value is None:
            continue
        if isinstance(value, (int, float)) and abs(value) < 1e9:
            found[key] = seconds(key, float(value))[0] if key in LONGEST_S else value
        elif isinstance(value, str) and key not in LONGEST_S:
            found[key] = " ".join(value.split())[:LONGEST_TEXT]
    return found


def is_synthetic(name: str, metadata: Mapping[str, Any]) -> bool:
    """Whether an image was computed in place of one that was never acquired, as its name or sidecar says.

    Parameters
    ----------
    name : str
        The file's; `desc-synth` marks it. `desc-synthstrip` is a real image without its skull.
    metadata : mapping
        Sidecar; `Synthetic` marks it.
    """
    said = str(metadata.get("Synthetic", "")).strip().lower()
    return said in ("true", "1", "yes") or re.search(r"_desc-synth(etic)?_", name) is not None


def seconds(key: str, value: float) -> tuple[float, bool]:
    """Return a time in seconds and whether it was taken as milliseconds."""
    if value > LONGEST_S[key]:
        return round(value / 1000.0, 9), True
    return value, False


def timing(metadata: Mapping[str, Any], *, path: str = "") -> tuple[float, float, list[Fault]]:
    """Return echo time and repetition time of a perfusion series in seconds.

    Raises
    ------
    Refusal
        E141 where EchoTime, or both RepetitionTime and VolumeTiming, are missing.
    """
    faults = []
    times = {}
    volumes = metadata.get("VolumeTiming")
    fallback = float(np.median(np.diff(np.asarray(volumes, float)))) if _rising(volumes) else None
    for key in ("EchoTime", "RepetitionTime"):
        value = metadata.get(key)
        if key == "RepetitionTime" and not _positive(value):
            value = fallback
        if value is None or not _positive(value):
            raise Refusal("E141", path=path, missing=key)
        times[key], converted = seconds(key, float(value))
        if converted:
            faults.append(Fault("W141", path, {"key": key, "value": f"{value:g}"}))
    return times["EchoTime"], times["RepetitionTime"], faults


def _positive(value: Any) -> bool:
    return (
        isinstance(value, (int, float))
        and not isinstance(value, bool)
        and bool(np.isfinite(value))
        and value > 0
    )


def _rising(value: Any) -> bool:
    if not isinstance(value, list) or len(value) < 2 or not all(isinstance(v, (int, float)) for v in value):
        return False
    return bool((np.diff(value) > 0).all())


def steady_mean(
    series: Volume, *, minimum_volumes: int, baseline_volumes: int, unsteady_percent: float, path: str = ""
) -> tuple[Volume, int]:
    """Return the mean of the first volumes in steady state, before the bolus, and how many were dropped.

    Leading volumes whose mean over the head exceeds that of the ``baseline_volumes`` after them by more than
    ``unsteady_percent`` are not in steady state yet (23 to 26 % on two real series) and are dropped.

    Parameters
    ----------
    series : Volume
        4-D, time last.

    Raises
    ------
    Refusal
        E108 for a 3-D image or fewer time points than ``minimum_volumes``.
    """
    n_volumes = series.data.shape[3] if series.data.ndim == 4 else 1
    if n_volumes < minimum_volumes:
        shape = shape_text(series.data.shape)
        raise Refusal("E108", path=path, n_volumes=n_volumes, shape=shape, minimum=minimum_volumes)
    early = series.data[..., : 2 * baseline_volumes]
    head = head_mask(early.mean(axis=3), series.zooms)
    course = early[head].mean(axis=0) if head.any() else np.ones(early.shape[3])
    dropped = 0
    while dropped < baseline_volumes - 1:
        following = np.median(course[dropped + 1 : dropped + 1 + baseline_volumes])
        if course[dropped] <= (1 + unsteady_percent / 100) * following:
            break
        dropped += 1
    used = series.data[..., dropped : dropped + baseline_volumes]
    return series.like(used.mean(axis=3, dtype=np.float32)), dropped
