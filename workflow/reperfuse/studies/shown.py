"""Which images of a chunk of patients a study is shown, who is not, and what brings them to the template."""

from __future__ import annotations

from collections.abc import Callable, Collection, Container, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import safe_open
from safetensors.numpy import save

from reperfuse.core.errors import Fault, Refusal
from reperfuse.core.files import is_marker, write_bytes
from reperfuse.core.records import faults_of
from reperfuse.imaging.carry import mask_mapper
from reperfuse.imaging.reader import read_made
from reperfuse.imaging.volume import Volume
from reperfuse.imaging.warp import find_warp

# participant_id → visit → name → path
Shown = Mapping[str, Mapping[str, Mapping[str, Path]]]
# participant_id → step → record
Records = Mapping[str, Mapping[str, Mapping[str, Any]]]
# An image, and its visit or, where it has a space of its own, its name such as ``J0_flair``.
ToTemplate = Callable[[Volume, str], Volume]
VISIT = "J0"


def shown_images(
    paths: Iterable[Path], *names: str, visits: Container[str]
) -> dict[str, dict[str, dict[str, Path]]]:
    """Arrange those of ``work/sub-X/J0_adc.nii.gz`` that have the names: participant_id → visit → name → path."""
    found: dict[str, dict[str, dict[str, Path]]] = {}
    for path in paths:
        visit, _, name = path.name.removesuffix(".nii.gz").partition("_")
        if visit in visits and name in names:
            found.setdefault(path.parent.name, {}).setdefault(visit, {})[name] = path
    return found


def kept_out(steps: Mapping[str, Mapping[str, Any]], codes: Collection[str]) -> Fault | None:
    """Return the first finding on the images of J0 that keeps a patient out.

    Parameters
    ----------
    steps : mapping
        Step → record of the patient.
    codes : collection of str
        Of the findings that do.
    """
    rows = steps["lesions"]["facts"].get("rows", []) if "lesions" in steps else []
    mine = {row["session_id"] for row in rows if row["visit"] == VISIT}
    others = {row["session_id"] for row in rows if row["visit"] != VISIT}
    for step in ("prepare", "lesions"):
        for fault in faults_of(steps[step]) if step in steps else []:
            of_j0 = fault.session_id in mine if mine else fault.session_id not in others
            if fault.code in codes and of_j0:
                return fault
    return None


def mappers(records: Records, files: Iterable[Path]) -> dict[str, ToTemplate]:
    """Return participant_id → what brings an image or a mask to the template, of those who could be normalised.

    Parameters
    ----------
    records : mapping
        participant_id → step → record.
    files : iterable of Path
        What the patients' normalisation has written.
    """
    mine: dict[str, list[Path]] = {}
    for path in files:
        mine.setdefault(path.parent.name, []).append(path)
    found = {}
    for who, paths in mine.items():
        facts = {step: record["facts"] for step, record in records.get(who, {}).items()}
        carry = mask_mapper(find_warp(paths), facts.get("normalise", {}), facts.get("register", {}))
        if carry is not None:
            found[who] = carry
    return found


def carried(image: Volume, visit: str, mapper: ToTemplate | None) -> Volume:
    """Return an image of a visit, or of a space of its own, in the template.

    Raises
    ------
    Refusal
        E160 where there is no transform.
    """
    if mapper is None:
        raise Refusal("E160", step="normalise", image="transform to the template")
    return mapper(image, visit)


class PatientImages:
    """Images of one patient, each read once.

    Parameters
    ----------
    paths : mapping
        Place (`VISIT`, ``PWI``, ``space-MNI``) → name → path.
    steps : mapping
        Step → record of the patient.
    mapper : callable or None
        What brings an image to the template.
    """

    def __init__(
        self,
        paths: Mapping[str, Mapping[str, Path]],
        steps: Mapping[str, Mapping[str, Any]],
        mapper: ToTemplate | None,
    ) -> None:
        self.paths, self.mapper = paths, mapper
        self.spaces = steps["lesions"]["facts"].get("space", {}) if "lesions" in steps else {}
        self._read: dict[tuple[str, str], Volume] = {}

    def raw(self, name: str, place: str = VISIT) -> Volume:
        """Return an image as it was made; E137 where there is none."""
        if name not in self.paths.get(place, {}):
            raise Refusal("E137", role=name, visit=VISIT)
        if (place, name) not in self._read:
            volume = read_made(self.paths[place][name])
            self._read[place, name] = volume.like(volume.data > 0.5) if name == "brain" else volume
        return self._read[place, name]

    def without_lesion(self) -> bool:
        """Whether the lesion is known and empty: nothing wherever it is carried, even where nothing can be."""
        return not self.raw("lesion").data.any()


def read_arrays(
    paths: Iterable[str | Path], only: Container[str] | None = None
) -> dict[str, dict[str, np.ndarray]]:
    """Return participant_id → name → array of what chunks have written; markers are passed over.

    Parameters
    ----------
    paths : iterable of path
    only : container of str, optional
        Names that are read; all without it.
    """
    found: dict[str, dict[str, np.ndarray]] = {}
    for path in map(Path, paths):
        if not is_marker(path):
            with safe_open(path, framework="numpy") as stored:
                for name in sorted(stored.keys()):
                    who, _, what = name.partition("/")
                    if only is None or what in only:
                        found.setdefault(who, {})[what] = stored.get_tensor(name)
    return found


def write_arrays(path: str | Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Write what `read_arrays` reads: ``sub-X/name`` → array."""
    write_bytes(path, save(dict(arrays)))
