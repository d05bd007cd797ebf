"""What networks and maps are shown of a chunk of patients: J0 on one grid, the lesion in cells of the template."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from reperfuse.core.errors import Fault, Refusal
from reperfuse.imaging import network_grid
from reperfuse.imaging.grids import invert
from reperfuse.imaging.network_grid import Grid
from reperfuse.imaging.pattern import lattice, lesion_share
from reperfuse.imaging.volume import Volume
from reperfuse.studies.shown import (
    VISIT,
    PatientImages,
    Records,
    Shown,
    ToTemplate,
    carried,
    kept_out,
    read_arrays,
    write_arrays,
)

Array = np.ndarray
NAMES = ("trace", "adc", "brain", "lesion")


def chunk_inputs(
    shown: Shown,
    records: Records,
    carry: Mapping[str, ToTemplate],
    *,
    channels: Sequence[str],
    space: Literal["native", "template"],
    grid: Mapping[str, Any],
    cell_mm: float,
    leave_out: Collection[str],
) -> tuple[dict[str, Array], dict[str, Any], list[Fault]]:
    """Return what is shown of each patient.

    Parameters
    ----------
    shown : mapping
        participant_id → visit → name of `NAMES` → path.
    records : mapping
        participant_id → step → record of ``prepare``, ``register``, ``normalise``, ``lesions``. Whoever is here is
        either shown or left out with a reason.
    carry : mapping
        participant_id → what brings an image of a visit to the template.
    channels, space, grid, cell_mm, leave_out
        See ``severity`` of the configuration.

    Returns
    -------
    arrays : dict
        ``sub-X/image`` → (channels, slices, rows, columns) float16; ``sub-X/cells`` → (cells) float32, the share of
        each cell of `reperfuse.imaging.pattern.lattice` that the lesion fills, of those whose lesion is known in the
        template. A patient without a lesion has zeros.
    facts : dict
        ``left_out``: participant_id → why; ``seen``: participant_id → shares of brain and lesion on the grid.
    faults : list of Fault
        What was found here; findings of earlier steps are not repeated.
    """
    arrays: dict[str, Array] = {}
    left_out: dict[str, str] = {}
    seen: dict[str, dict[str, Any]] = {}
    faults: list[Fault] = []
    for who in sorted({*records, *shown}):
        told = kept_out(records.get(who, {}), leave_out)
        if told is not None:
            left_out[who] = told.reason
            continue
        steps = records.get(who, {})
        patient = _Patient(shown.get(who, {}), steps, carry.get(who))
        try:
            array, seen[who] = patient.image(channels, space, Grid.of(grid))
            arrays[f"{who}/image"] = array.astype(np.float16)
        except Refusal as refusal:
            left_out[who] = refusal.fault.reason
            if refusal.fault.code != "E137":  # what is not there was said before
                faults.append(refusal.fault.of(who))
            continue
        cells = patient.cells(cell_mm)
        if cells is not None:
            arrays[f"{who}/cells"] = cells
    return arrays, {"left_out": left_out, "seen": seen}, faults


def read_inputs(paths: Iterable[str | Path], kind: Literal["image", "cells"]) -> dict[str, Array]:
    """Return participant_id → array of what chunks have written; markers are passed over."""
    return {who: found[kind] for who, found in read_arrays(paths, only={kind}).items()}


def write_inputs(path: str | Path, arrays: Mapping[str, Array]) -> None:
    """Write what `read_inputs` reads."""
    write_arrays(path, arrays)


class _Patient(PatientImages):
    """The images of J0 of one patient, on the grid and as cells."""

    def image(self, channels: Sequence[str], space: str, grid: Grid) -> tuple[Array, dict[str, Any]]:
        """Return the channels on the grid, and how much of brain and lesion lies there.

        Raises
        ------
        Refusal
            E137: there is no such image; E111, E153, E154, E160: it cannot be shown.
        """
        found: dict[str, Any] = {}
        brain = None
        if space == "native" or set(channels) - {"lesion"}:
            brain = self.volume("brain", space)
        to_mm = network_grid.input_to_mm(grid, brain if space == "native" else None)

        def at(volume: Volume) -> Array:
            return invert(volume.affine) @ to_mm

        if brain is not None:
            share = network_grid.share_inside(brain, at(brain), grid.shape)
            found["brain_share"] = round(share, 4)
            network_grid.check_share(share)
        parts = []
        for name in channels:
            if name == "lesion" and self.without_lesion():
                parts.append(np.zeros(grid.shape, dtype=np.float32))
                continue
            volume = self.volume(name, space)
            parts.append(network_grid.channel(name, volume, brain, at(volume), grid.shape))
            if name == "lesion":
                found["lesion_share"] = round(network_grid.share_inside(volume, at(volume), grid.shape), 4)
            else:
                found[f"{name}_voxels"] = int(np.count_nonzero(parts[-1]))
        return np.stack(parts), found

    def cells(self, cell_mm: float) -> Array | None:
        """Return the lesion as cells of the template; None where it is not known there."""
        try:
            if self.without_lesion():
                return np.zeros(int(np.prod(lattice(cell_mm))), dtype=np.float32)
            return lesion_share(self.volume("lesion", "template"), cell_mm=cell_mm)
        except Refusal:
            return None

    def volume(self, name: str, space: str) -> Volume:
        """Return an image in the space of the grid."""
        volume, image = self.raw(name), f"{VISIT}_{name}"
        in_template = image in self.spaces
        if space == "native" and in_template:
            raise Refusal("E154", image=image, space=self.spaces[image])
        if space == "native" or in_template:
            return volume
        if (space, name) not in self._read:
            self._read[space, name] = carried(volume, VISIT, self.mapper)
        return self._read[space, name]
