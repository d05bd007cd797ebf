"""Where maps of what a network looked at are drawn: on the patient's own image, or on the template."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from reperfuse.core.errors import Refusal
from reperfuse.imaging import network_grid
from reperfuse.imaging.grids import invert, resample
from reperfuse.imaging.network_grid import Grid
from reperfuse.imaging.reader import read_made
from reperfuse.imaging.volume import Volume, same_grid, write_volume
from reperfuse.studies.explained import END
from reperfuse.studies.severity.saliency import Place
from reperfuse.studies.shown import Shown, ToTemplate, carried

Records = Mapping[str, Mapping[str, Mapping[str, Any]]]
VISIT = "J0"
IMAGES = ("trace", "adc")
LESION_END = END.replace("_map.nii.gz", "_lesion.nii.gz")


@dataclass(frozen=True)
class Places:
    """Finds the place of a patient's map; called with participant_id.

    Parameters
    ----------
    section : mapping
        ``studies.severity``.
    shown : mapping
        participant_id → visit → name → path of ``trace``, ``adc``, ``brain``, ``lesion``.
    records : mapping
        participant_id → step → record.
    carry : mapping
        participant_id → what brings an image to the template.
    template : sequence of Path
        Head and brain mask of the template; empty where the grid lies in the patient's own space.
    """

    section: Mapping[str, Any]
    shown: Shown
    records: Records
    carry: Mapping[str, ToTemplate]
    template: Sequence[Path]

    def __call__(self, who: str) -> Place:
        """Return where a patient's map is drawn.

        Raises
        ------
        Refusal
            E137: there is no image to draw it on.
        """
        paths = self.shown.get(who, {}).get(VISIT, {})
        if self.template:
            image, brain = self._template()
            return _place(self.section, image, brain, None, self._lesion(who, paths), "template")
        name = next((one for one in (*IMAGES, "brain") if one in paths), "")
        if not name or "brain" not in paths:
            raise Refusal("E137", role="brain", visit=VISIT)
        brain = _mask(read_made(paths["brain"]))
        lesion = self._lesion(who, paths)
        reference = f"bids::work/{who}/{VISIT}_{name}.nii.gz"
        return _place(self.section, read_made(paths[name]), brain, brain, lesion, reference)

    def _template(self) -> tuple[Volume, Volume]:
        head, brain = (read_made(path) for path in self.template)
        return head, _mask(brain)

    def _lesion(self, who: str, paths: Mapping[str, Path]) -> Volume | None:
        """Return the lesion in the space of the grid; None where it is not known there."""
        if "lesion" not in paths:
            return None
        lesion = _mask(read_made(paths["lesion"]))
        facts = self.records.get(who, {}).get("lesions", {}).get("facts", {})
        if f"{VISIT}_lesion" in facts.get("space", {}):  # in the template already
            return lesion if self.template else None
        if not self.template:
            return lesion
        try:
            return _mask(carried(lesion, VISIT, self.carry.get(who)))
        except Refusal:
            return None

    def leave(self, folder: Path, files: Mapping[str, str], about: Mapping[str, Any]) -> None:
        """Write what maps in the template are drawn on, beside them; nothing where patients have their own images.

        Parameters
        ----------
        folder : Path
        files : mapping
            participant_id → file of the map.
        about : mapping
            Fields of every sidecar.
        """
        if not self.template:
            return
        for name, volume in zip(("image", "brain"), self._template(), strict=True):
            write_volume(folder / f"template_{name}.nii.gz", volume, dict(about))
        for who, file in files.items():
            place = self(who)
            if place.lesion is not None:
                write_volume(folder / file.replace(END, LESION_END), place.lesion, dict(about))


def _place(
    section: Mapping[str, Any],
    image: Volume,
    brain: Volume,
    around: Volume | None,
    lesion: Volume | None,
    reference: str,
) -> Place:
    to_mm = network_grid.input_to_mm(Grid.of(section["grid"]), around)
    on = [None if mask is None else _on(mask, image) for mask in (brain, lesion)]
    assert on[0] is not None
    return Place(image, on[0], on[1], invert(image.affine) @ to_mm, reference)


def _mask(volume: Volume) -> Volume:
    return volume.like(volume.data > 0.5)


def _on(mask: Volume, image: Volume) -> Volume:
    return mask if same_grid(mask, image) else resample(mask, image, np.eye(4), interpolation="nearest")
