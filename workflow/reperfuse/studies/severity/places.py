"""Where a patient's map is drawn: on the diffusion images of J0, or on the template."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from reperfuse.core.errors import Refusal
from reperfuse.imaging import network_grid
from reperfuse.imaging.grids import invert, resample
from reperfuse.imaging.network_grid import Grid
from reperfuse.imaging.reader import read_made
from reperfuse.imaging.volume import Volume
from reperfuse.studies.shown import Shown, ToTemplate, carried, mappers

VISIT = "J0"
# What a map lies over, the best first.
UNDER = ("trace", "adc")
TEMPLATE = "bids::work/template/t1w.nii.gz"


@dataclass(frozen=True)
class Place:
    """Where a patient's map is drawn.

    Parameters
    ----------
    image : Volume
        Gives the grid.
    brain : Volume
        On that grid.
    lesion : Volume or None
        On that grid, where it is.
    matrix : ndarray, shape (4, 4)
        From a voxel of what the network is shown to a voxel of ``image``.
    reference : str
        Name of ``image``.
    in_template : bool
        Whether ``image`` is the template.
    """

    image: Volume
    brain: Volume
    lesion: Volume | None
    matrix: np.ndarray
    reference: str
    in_template: bool


def places(
    section: Mapping[str, Any],
    shown: Shown,
    records: Mapping[str, Mapping[str, Mapping[str, Any]]],
    *,
    normalised: Iterable[Path],
    given: Sequence[str | Path],
) -> Callable[[str], Place]:
    """Return participant_id → place, in the space that the study is in.

    Parameters
    ----------
    section : mapping
        ``studies.severity``.
    shown, records
        As for `native`.
    normalised : iterable of Path
        What the patients' normalisation has written.
    given : sequence of path
        The template and its brain, where the study is in the template.
    """
    grid = Grid.of(section["grid"])
    if section["space"] == "native":
        return native(shown, records, grid)
    image, brain = map(read_made, given)
    return template(shown, records, mappers(records, normalised), grid, image=image, brain=brain)


def native(
    shown: Shown, records: Mapping[str, Mapping[str, Mapping[str, Any]]], grid: Grid
) -> Callable[[str], Place]:
    """Return participant_id → place on the patient's own images, of those whose network input is around their brain.

    Parameters
    ----------
    shown : mapping
        participant_id → visit → ``trace``, ``adc``, ``brain``, ``lesion`` → path.
    records : mapping
        participant_id → step → record.
    grid : Grid
    """

    def place_of(who: str) -> Place:
        paths = shown.get(who, {}).get(VISIT, {})
        name = next((one for one in UNDER if one in paths), "")
        if not name or "brain" not in paths:
            raise Refusal("E137", role="brain" if name else UNDER[0], visit=VISIT)
        image, brain = read_made(paths[name]), read_made(paths["brain"])
        lesion = _lesion(paths, in_template=False, spaces=_spaces(records, who))
        matrix = invert(image.affine) @ network_grid.input_to_mm(grid, brain.like(brain.data > 0.5))
        return Place(image, brain, lesion, matrix, f"bids::work/{who}/{VISIT}_{name}.nii.gz", False)

    return place_of


def template(
    shown: Shown,
    records: Mapping[str, Mapping[str, Mapping[str, Any]]],
    carry: Mapping[str, ToTemplate],
    grid: Grid,
    *,
    image: Volume,
    brain: Volume,
) -> Callable[[str], Place]:
    """Return participant_id → place on the template, of those whose network input lies around its middle.

    Parameters
    ----------
    shown, records, grid
        As for `native`.
    carry : mapping
        participant_id → what brings an image to the template.
    image, brain : Volume
        The template.
    """
    matrix = invert(image.affine) @ network_grid.input_to_mm(grid, None)

    def place_of(who: str) -> Place:
        spaces = _spaces(records, who)
        lesion = _lesion(shown.get(who, {}).get(VISIT, {}), in_template=True, spaces=spaces)
        if lesion is None and "lesion" in shown.get(who, {}).get(VISIT, {}):
            try:
                lesion = carried(read_made(shown[who][VISIT]["lesion"]), VISIT, carry.get(who))
            except Refusal:  # the map can be drawn without the contour
                lesion = None
        if lesion is not None:
            mask = lesion.like(lesion.data > 0.5)
            lesion = resample(mask, image, np.eye(4), interpolation="nearest")
        return Place(image, brain, lesion, matrix, TEMPLATE, True)

    return place_of


def _spaces(records: Mapping[str, Mapping[str, Mapping[str, Any]]], who: str) -> Mapping[str, str]:
    steps = records.get(who, {})
    return steps["lesions"]["facts"].get("space", {}) if "lesions" in steps else {}


def _lesion(paths: Mapping[str, Path], *, in_template: bool, spaces: Mapping[str, str]) -> Volume | None:
    """Return the lesion if it was given, or made, in the space that is asked for."""
    if "lesion" not in paths or (f"{VISIT}_lesion" in spaces) != in_template:
        return None
    return read_made(paths["lesion"])
