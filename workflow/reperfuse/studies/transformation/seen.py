"""What is known of each patient beside the predictions: haemorrhage, infarct, class, grid, regions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from reperfuse.imaging.atlas import Atlas
from reperfuse.imaging.carry import pair_matrix
from reperfuse.imaging.grids import invert
from reperfuse.imaging.reader import read_made
from reperfuse.imaging.volume import Volume
from reperfuse.imaging.warp import find_warp, from_template
from reperfuse.studies.transformation import classes

Record = Mapping[str, Any]
READ = ("PWI_brain", "PWI_ht", "PWI_lesion")


@dataclass(frozen=True)
class Seen:
    """One patient.

    Attributes
    ----------
    voxel_ml : float
        Of the PWI grid.
    bleeding : Bleeding or None
        None where there is no mask and it is not known that there is no haemorrhage.
    infarct : ndarray of bool or None
        The lesion of J0 on the PWI grid.
    infarct_ml : float or None
        At J1 where it was measured there, as ECASS wants it, else at J0.
    infarct_visit : str
    ecass, heidelberg : str or None
    ecass_source, heidelberg_source : str
        ``table``, or ``by volume share``.
    regions : mapping
        Atlas → labels on the PWI grid.
    """

    voxel_ml: float
    bleeding: classes.Bleeding | None = None
    infarct: np.ndarray | None = None
    infarct_ml: float | None = None
    infarct_visit: str = ""
    ecass: str | None = None
    ecass_source: str = ""
    heidelberg: str | None = None
    heidelberg_source: str = ""
    regions: Mapping[str, np.ndarray] = field(default_factory=dict)


def of_patients(
    labels: Mapping[str, int],
    records: Mapping[str, Mapping[str, Record]],
    files: Iterable[Path],
    clinical: Mapping[str, Mapping[str, Any]],
    atlases: Mapping[str, Atlas],
    statistics: Mapping[str, Any],
) -> dict[str, Seen]:
    """Return what is known of each patient who has a perfusion image.

    Parameters
    ----------
    labels : mapping
        participant_id → 1 for HT.
    records : mapping
        participant_id → step → record; read are ``register``, ``normalise`` and ``lesions``.
    files : iterable of Path
        What `perfusion` and `normalise` wrote, each in a folder of the patient's name.
    clinical, atlases
    statistics : mapping
        Section ``statistics``: the limits of classes.
    """
    limits = {key: statistics[key] for key in ("petechia_ml", "solid_percent", "ph2_percent", "remote_mm")}
    mine: dict[str, dict[str, Path]] = {}
    for path in files:
        mine.setdefault(path.parent.name, {})[path.name.removesuffix(".nii.gz")] = path
    found = {}
    for who, label in sorted(labels.items()):
        paths = mine.get(who, {})
        if "PWI_brain" not in paths:
            continue
        facts = {step: record.get("facts", {}) for step, record in records.get(who, {}).items()}
        regions = regions_on_pwi(
            atlases, paths["PWI_brain"], facts.get("normalise", {}), facts.get("register", {}), paths.values()
        )
        found[who] = of_patient(
            paths, facts.get("lesions", {}), clinical.get(who, {}), label, **limits, regions=regions
        )
    return found


def of_patient(
    images: Mapping[str, Path],
    lesions: Record,
    clinical: Mapping[str, Any],
    label: int | None,
    *,
    petechia_ml: float,
    solid_percent: float,
    ph2_percent: float,
    remote_mm: float,
    regions: Mapping[str, np.ndarray] | None = None,
) -> Seen:
    """Return what is known of a patient.

    Parameters
    ----------
    images : mapping
        Name → path of what the step `perfusion` wrote; read are ``PWI_brain``, ``PWI_ht`` and ``PWI_lesion``.
    lesions : mapping
        Facts of the step `lesions`.
    clinical : mapping
        The column ``ecass`` wins over what follows from the mask.
    label : int or None
        1 for HT; 0 stands for an empty mask where there is none.
    petechia_ml, solid_percent, ph2_percent, remote_mm : float
        See `classes.ecass` and `classes.bleeding`.
    regions : mapping, optional
        Atlas → labels on the PWI grid.
    """
    brain = read_made(images["PWI_brain"])
    there = "PWI_ht" in images
    mask = read_made(images["PWI_ht"]).data > 0.5 if there else np.zeros(brain.data.shape[:3], dtype=bool)
    infarct = read_made(images["PWI_lesion"]).data > 0.5 if "PWI_lesion" in images else None
    known = there or label == 0
    found = classes.bleeding(brain.like(mask), infarct, remote_mm=remote_mm) if known else None
    infarct_ml, visit = infarct_of(lesions)
    given = clinical.get("ecass")
    grade = str(given) if given else None
    if grade is None and found is not None:
        grade = classes.ecass(
            found, infarct_ml, petechia_ml=petechia_ml, solid_percent=solid_percent, ph2_percent=ph2_percent
        )
    heidelberg = classes.heidelberg(grade, found)
    return Seen(
        brain.voxel_ml, found, infarct, infarct_ml, visit,
        grade, ("table" if given else classes.BY_VOLUME) if grade else "",
        heidelberg, classes.BY_VOLUME if heidelberg else "", regions or {},
    )  # fmt: skip


def infarct_of(lesions: Record) -> tuple[float | None, str]:
    """Return the volume in ml of what counts as the lesion, and at which visit: J1 before J0."""
    for visit in ("J1", "J0"):
        criterion = str(lesions.get("lesion", {}).get(visit, "")).partition(" ")[0]
        for row in lesions.get("rows", ()):
            if (row["visit"], row["criterion"]) == (visit, criterion):
                return float(row["volume_ml"]), visit
    return None, ""


def regions_on_pwi(
    atlases: Mapping[str, Atlas], grid: Path, normalised: Record, registered: Record, paths: Iterable[Path]
) -> dict[str, np.ndarray]:
    """Return each atlas's labels on the PWI grid; nothing where a transform is missing.

    Parameters
    ----------
    atlases : mapping
        In the space of the template.
    grid : Path
        Of any image on the PWI grid.
    normalised, registered : mapping
        Facts of `normalise` and `register`.
    paths : iterable of Path
        What `normalise` wrote.
    """
    warp = find_warp(paths) if atlases else None
    matrix = pair_matrix(registered, str(registered.get("reference")), "J0_pwi")
    if warp is None or matrix is None or "to_reference" not in normalised:
        return {}
    # The image that was normalised lies elsewhere than PWI: its RAS mm are those that the warp starts from.
    through = invert(np.asarray(normalised["to_reference"], dtype=float)) @ invert(matrix)
    image = read_made(grid)
    like = Volume(np.zeros(image.data.shape[:3], dtype=np.int32), through @ image.affine)
    return {
        name: from_template(atlas.labels, like, warp, interpolation="nearest").data
        for name, atlas in atlases.items()
    }
