"""What the step reads of a patient's raw files, and the haemorrhage that was drawn at follow-up."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from reperfuse.core.errors import Fault, Refusal
from reperfuse.imaging.reader import read_mask, read_volume
from reperfuse.imaging.stream import ReadLimits
from reperfuse.imaging.visit import Source
from reperfuse.imaging.volume import Volume


def source_of(src: Mapping[str, Any], visit: str, role: str, bids_dir: Path) -> Source | None:
    """Return a raw file that plays a role, or None where there is none."""
    files = src.get(visit, {}).get(role)
    return Source.of(bids_dir, files) if files else None


def read_series(source: Source, limits: ReadLimits) -> Volume:
    """Read the perfusion series; what is worth a warning was told by `prepare`, which read it before."""
    series, _ = read_volume(source.path, limits=limits, metadata=source.metadata, name=source.name())
    return series


def read_ht(source: Source | None, limits: ReadLimits) -> tuple[Volume | None, list[Fault]]:
    """Read the mask of haemorrhagic transformation; a refused one is no mask, and says so."""
    if source is None:
        return None, []
    try:
        mask, faults = read_mask(source.path, limits=limits, name=source.name())
        return mask, faults
    except Refusal as refusal:
        return None, [refusal.fault.of("", path=source.name())]
