"""Lesion masks that readers or other tools have made."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reperfuse.core.errors import Fault, Refusal
from reperfuse.imaging.reader import read_mask
from reperfuse.imaging.volume import Volume

# What `space-` says of a mask on the grid of the visit's own diffusion image.
VISITS = ("J0", "J1")
NATIVE = frozenset({"", "orig", "native", "dwi", "adc", "trace"})


@dataclass(frozen=True)
class GivenMask:
    """A lesion mask that a reader or another tool has made.

    Parameters
    ----------
    volume : Volume of bool
    source : str
        Where it comes from, for example ``derivatives/manual/…``, relative to the dataset.
    space : str
        Its `space-` entity: empty for the diffusion image's own grid, ``MNI152…`` for the template.
    """

    volume: Volume
    source: str
    space: str

    @property
    def in_template(self) -> bool:
        """Whether it is in the space of the template."""
        return self.space.upper().startswith("MNI")


def read_given(
    sources: Mapping[str, Any], bids_dir: Path
) -> tuple[dict[str, GivenMask], dict[str, list[Fault]]]:
    """Read the masks of a patient's visits.

    Parameters
    ----------
    sources : mapping
        Visit → role → ``[[path, stamp], …]``; the role ``lesion`` is read, the rest is passed over.
    bids_dir : Path
        The dataset that the paths are relative to.

    Returns
    -------
    dict, dict
        Visit → mask, and visit → findings; a visit with findings and no mask was refused.
    """
    given: dict[str, GivenMask] = {}
    faults: dict[str, list[Fault]] = {}
    for visit in VISITS:
        roles = sources.get(visit, {})
        for path, *_ in roles.get("lesion", [])[:1]:
            try:
                volume, found = read_mask(bids_dir / path, name=path)
            except Refusal as refusal:
                faults[visit] = [refusal.fault.of("", path=path)]
                continue
            space = re.search(r"_space-([0-9A-Za-z+]+)_", path)
            given[visit] = GivenMask(volume, path, space[1] if space else "")
            faults[visit] = [fault.of("", path=path) for fault in found]
    return given, faults
