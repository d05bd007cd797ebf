"""What the step reads of a patient's raw files."""

from __future__ import annotations

from collections.abc import Container, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reperfuse.core.errors import Fault, Refusal
from reperfuse.imaging.reader import read_mask, read_volume
from reperfuse.imaging.stream import ReadLimits
from reperfuse.imaging.visit import Source
from reperfuse.imaging.volume import Volume
from reperfuse.perfusion.line import Given


@dataclass(frozen=True)
class Inputs:
    """A patient's raw files.

    Parameters
    ----------
    pwi : Volume
        The series, 4-D, with its sidecar.
    path : str
        How messages call it.
    aif : Given, optional
        Arterial input function that the user gives.
    ht : Volume of bool, optional
        Haemorrhagic transformation at follow-up, and ``ht_path``.
    faults : dict
        Visit → what was found in the masks; what is worth a warning in the series was told by `prepare`.
    """

    pwi: Volume
    path: str
    aif: Given | None
    ht: Volume | None
    ht_path: str
    faults: Mapping[str, list[Fault]]


def read_inputs(
    src: Mapping[str, Any], bids_dir: Path, limits: ReadLimits, *, prepared: Container[str]
) -> Inputs:
    """Read series, masks and curve; a mask that is refused is none, and says so.

    Parameters
    ----------
    src : mapping
        Visit → role → ``[[path, stamp], …]`` with the roles ``pwi`` and ``aif`` of J0 and ``ht`` of J1.
    bids_dir : Path
    limits : ReadLimits
    prepared : container of str
        Images that `prepare` gave.

    Raises
    ------
    Refusal
        E160 where `prepare` refused the series; what `reperfuse.imaging.reader.read_volume` raises for the series.
    """
    if "J0_pwi" not in prepared:
        raise Refusal("E160", step="prepare", image="J0_pwi")
    faults: dict[str, list[Fault]] = {"J0": [], "J1": []}

    def mask_of(visit: str, role: str) -> tuple[Volume | None, str, Path | None]:
        if role not in src.get(visit, {}):
            return None, "", None
        source = Source.of(bids_dir, src[visit][role])
        if source.path.suffix == ".tsv":
            return None, source.name(), source.path
        try:
            mask, found = read_mask(source.path, limits=limits, name=source.name())
        except Refusal as refusal:
            faults[visit].append(refusal.fault.of("", path=source.name()))
            return None, source.name(), None
        faults[visit] += found
        return mask, source.name(), None

    series = Source.of(bids_dir, src["J0"]["pwi"])
    pwi, _ = read_volume(series.path, limits=limits, metadata=series.metadata, name=series.name())
    mask, name, curve = mask_of("J0", "aif")
    given = Given(name, mask, curve) if name else None
    ht, ht_path, _ = mask_of("J1", "ht")
    return Inputs(pwi, series.name(), given, ht, ht_path, faults)
