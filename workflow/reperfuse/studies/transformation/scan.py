"""One patient's perfusion, as the step `perfusion` has left it, and voxels taken out of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from reperfuse.core.tables import read_table
from reperfuse.imaging.reader import read_made
from reperfuse.studies.transformation.features import diffusion, diffusion_maps, interior, patches
from reperfuse.studies.transformation.names import MAPS, ROI

Array = np.ndarray
Paths = Mapping[str, Path]
CURVES = "PWI_curves.tsv"
NEEDED = ("PWI_concentration", "PWI_brain", "PWI_b0", "PWI_trace", CURVES)
# Tissue of the region whose mean permeability the literature takes: Tmax above so many seconds.
HYPOPERFUSED_S = 6.0


@dataclass(frozen=True)
class Masks:
    """Where a patient's voxels can be used, (x, y, z) bool: `where`, and those with HT."""

    where: Array
    ht: Array


@dataclass(frozen=True)
class Sample:
    """Voxels of some patients.

    Parameters
    ----------
    participants : tuple of str
        Patients.
    who : ndarray of int
        (n,) place in ``participants``.
    at : ndarray of int16
        (n, 3) voxels on the PWI grid.
    y : ndarray of int8
        (n,) 1 for HT.
    curves : ndarray of float32
        (n, t, 9) concentrations of the 3×3 patch, 1/s.
    dwi : ndarray of float32
        (n, 18) b0 and b1000 of the patch over the patient's brain median.
    aif : ndarray of float32
        (p, t) of each patient, 1/s.
    clinical : ndarray
        (p, c) of each patient, NaN where missing.
    maps : mapping
        Configuration → (n,) value of a single map.
    """

    participants: tuple[str, ...]
    who: Array
    at: Array
    y: Array
    curves: Array
    dwi: Array
    aif: Array
    clinical: Array
    maps: Mapping[str, Array]

    def __len__(self) -> int:
        return len(self.y)

    @property
    def names(self) -> Array:
        """participant_id of each voxel, (n,)."""
        return np.array(self.participants, dtype=object)[self.who]

    def take(self, rows: Array) -> Sample:
        """Return some voxels; all patients stay."""
        parts = {name: getattr(self, name)[rows] for name in ("who", "at", "y", "curves", "dwi")}
        return replace(self, **parts, maps={name: one[rows] for name, one in self.maps.items()})

    def of(self, chosen: Iterable[str]) -> Sample:
        """Return the voxels of some patients, and no other patient."""
        kept = [i for i, one in enumerate(self.participants) if one in set(chosen)]
        place = np.full(len(self.participants), -1)
        place[kept] = np.arange(len(kept))
        found = self.take(np.flatnonzero(place[self.who] >= 0))
        return replace(
            found, participants=tuple(self.participants[i] for i in kept), who=place[found.who],
            aif=self.aif[kept], clinical=self.clinical[kept],
        )  # fmt: skip


@dataclass(frozen=True)
class Scan:
    """One patient's images on the PWI grid, read once.

    Parameters
    ----------
    participant_id : str
    concentration : ndarray of float32
        (x, y, z, t), 1/s.
    affine : ndarray
        Of the grid.
    diffusion : ndarray of float32
        (x, y, z, 2) b0 and b1000 over their medians in the brain.
    maps : mapping
        Configuration → (x, y, z), or a number that holds for all voxels.
    aif : ndarray
        (t,), 1/s.
    clinical : ndarray
        (c,), NaN where missing.
    """

    participant_id: str
    concentration: Array
    affine: Array
    diffusion: Array
    maps: Mapping[str, Array]
    aif: Array
    clinical: Array

    def sample(self, flat: Array, ht: Array) -> Sample:
        """Return voxels given by flat indices (n,), none on the border of the grid in plane."""
        at = np.column_stack(np.unravel_index(flat, ht.shape))
        return Sample(
            (self.participant_id,), np.zeros(len(flat), dtype=np.int64), at.astype(np.int16),
            ht.reshape(-1)[flat].astype(np.int8), patches(self.concentration, at), diffusion(self.diffusion, at),
            self.aif[None], self.clinical[None], self.maps_at(flat),
        )  # fmt: skip

    def maps_at(self, flat: Array) -> dict[str, Array]:
        """Return configuration → values (n,) at flat indices."""
        return {
            name: one.reshape(-1)[flat] if one.ndim else np.full(len(flat), one, dtype=np.float32)
            for name, one in self.maps.items()
        }


def arrange(paths: Iterable[Path]) -> dict[str, dict[str, Path]]:
    """Arrange ``work/sub-X/PWI_….nii.gz`` and the table of curves: participant_id → name → path."""
    found: dict[str, dict[str, Path]] = {}
    for path in paths:
        found.setdefault(path.parent.name, {})[path.name.removesuffix(".nii.gz")] = path
    return found


def read_masks(paths: Paths, *, positive: bool) -> Masks:
    """Return where a patient's voxels can be used.

    Parameters
    ----------
    paths : mapping
        Name → path of one patient.
    positive : bool
        Whether the patient has HT. Of one who has none, no mask is read, and every voxel is without HT, whether
        the GRE has seen it or not.
    """
    brain = read_made(paths["PWI_brain"]).data > 0
    where = interior(brain)
    if "PWI_valid" in paths:
        where &= read_made(paths["PWI_valid"]).data > 0
    if "PWI_covered" in paths:
        where &= read_made(paths["PWI_covered"]).data > 0
    ht = read_made(paths["PWI_ht"]).data > 0 if positive else np.zeros_like(brain)
    return Masks(where, ht)


def read_scan(who: str, paths: Paths, maps: Sequence[str], clinical: Sequence[float | None]) -> Scan:
    """Read what models are shown of a patient.

    Parameters
    ----------
    who : str
        participant_id.
    paths : mapping
        Name → path.
    maps : sequence of str
        Configurations that are a single map; one whose image is not there is left out.
    clinical : sequence of float or None
        Values of the clinical predictors.

    Raises
    ------
    ValueError
        The median of a diffusion image in the brain is not positive.
    """
    concentration = read_made(paths["PWI_concentration"])
    brain = read_made(paths["PWI_brain"]).data > 0
    b0, trace = (read_made(paths[name]).data for name in ("PWI_b0", "PWI_trace"))
    found: dict[str, Array] = {}
    for name in maps:
        if name != ROI and MAPS[name] in paths:
            found[name] = np.nan_to_num(read_made(paths[MAPS[name]]).data, posinf=0.0, neginf=0.0)
    if ROI in maps and {"PWI_k2", "PWI_late"} <= set(paths):
        found[ROI] = region_mean(read_made(paths["PWI_k2"]).data, read_made(paths["PWI_late"]).data, brain)
    aif = np.array([float(row["aif_per_s"]) for row in read_table(paths[CURVES])], dtype=np.float32)
    values = np.array([np.nan if one is None else one for one in clinical], dtype=np.float64)
    return Scan(
        who, concentration.data, concentration.affine, diffusion_maps(b0, trace, brain), found, aif, values
    )


def region_mean(k2: Array, late: Array, brain: Array) -> Array:
    """Return the mean K2 of the hypoperfused brain, or of all of it where none is, as a 0-D array.

    ``late`` is the limit of Tmax that tissue exceeds (`reperfuse.perfusion.volumes.late_levels`): Tmax itself is noise
    in fluid, and above the limit there as often as not.
    """
    region = brain & (late >= HYPOPERFUSED_S)
    mean = np.nan_to_num(k2)[region if region.any() else brain].mean()
    return np.array(mean, dtype=np.float32)


def joined(samples: Sequence[Sample]) -> Sample:
    """Put the voxels of several patients together, maps that all of them have."""
    first, sizes = samples[0], np.cumsum([0, *(len(one.participants) for one in samples)])
    parts = {name: np.concatenate([getattr(one, name) for one in samples])
             for name in ("at", "y", "curves", "dwi", "aif", "clinical")}  # fmt: skip
    shared = [name for name in first.maps if all(name in one.maps for one in samples)]
    return Sample(
        participants=tuple(who for one in samples for who in one.participants),
        who=np.concatenate([one.who + start for one, start in zip(samples, sizes, strict=False)]),
        maps={name: np.concatenate([one.maps[name] for one in samples]) for name in shared},
        **parts,
    )
