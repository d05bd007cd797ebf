"""What networks are shown of a chunk of patients: every contrast of J0 in the template, in its own unit."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
from scipy import ndimage

from reperfuse.cohort.layout import MAP
from reperfuse.core.errors import Fault, Refusal
from reperfuse.imaging import network_grid
from reperfuse.imaging.grids import invert, resample
from reperfuse.imaging.network_grid import Grid
from reperfuse.imaging.template import mni152, mni152_tissue
from reperfuse.imaging.volume import Volume, same_grid
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
read_inputs, write_inputs = read_arrays, write_arrays

MASK = "lesion_mask"
JACOBIAN, PERFUSION = "space-MNI", "PWI"
PLACES = (VISIT, PERFUSION, JACOBIAN)
LESIONS = ("lesion", "lesion_distance")
# Contrast → where it lies, its file there, and the space of that: a visit's, or that of an image with its own.
FOUND = {
    "adc": (VISIT, "adc", VISIT),
    "trace": (VISIT, "trace", VISIT),
    **{name: (VISIT, name, f"{VISIT}_{name}") for name in ("flair", "t1w", "gre")},
    **{name: (PERFUSION, name, f"{VISIT}_pwi") for name in ("tmax", "cbf", "cbv", "mtt")},
    "jac": (JACOBIAN, "jacobian", ""),
}
# Distance to a lesion where there is none, mm: more than any in a head, and finite.
FAR_MM = 300.0


def files(contrasts: Sequence[str]) -> tuple[str, ...]:
    """Return the names, within `PLACES`, of the images that contrasts are made from."""
    return ("lesion", "valid", *(_found(name)[1] for name in contrasts if name not in LESIONS))


def chunk_inputs(
    shown: Shown,
    records: Records,
    carry: Mapping[str, ToTemplate],
    brain: Volume,
    *,
    contrasts: Sequence[str],
    grid: Mapping[str, Any],
    leave_out: Collection[str],
) -> tuple[dict[str, Array], dict[str, Any], list[Fault]]:
    """Return what is shown of each patient.

    Parameters
    ----------
    shown : mapping
        participant_id → place of `PLACES` → name of `files` → path.
    records : mapping
        participant_id → step → record of ``prepare``, ``register``, ``normalise``, ``lesions``, ``perfusion``. Whoever
        is here is either shown or left out with a reason.
    carry : mapping
        participant_id → what brings an image to the template.
    brain : Volume
        The template's.
    contrasts, grid, leave_out
        See ``fusion`` of the configuration.

    Returns
    -------
    arrays : dict
        ``sub-X/<contrast>`` → (S, R, L), values in the image's own unit, of ``jac`` the determinant, of ``lesion``
        the share of each voxel, of ``lesion_distance`` mm (`FAR_MM` without a lesion); 0 outside the template's
        brain and where nothing was measured. float16, or float32 where that would not hold the values.
        ``sub-X/lesion_mask`` → uint8 wherever the lesion is known in the template.
    facts : dict
        ``left_out``: participant_id → why; ``seen``: participant_id → contrast → voxels with a value; ``missing``:
        participant_id → contrast → why it cannot be shown.
    faults : list of Fault
        What was found here (E111, E155, E156, E160); findings of earlier steps are not repeated.
    """
    whole = _share(brain, where := Grid.of(grid))
    arrays: dict[str, Array] = {}
    left_out: dict[str, str] = {}
    seen: dict[str, dict[str, int]] = {}
    missing: dict[str, dict[str, str]] = {}
    faults: list[Fault] = []
    for who in sorted({*records, *shown}):
        steps = records.get(who, {})
        told = kept_out(steps, leave_out)
        if told is not None:
            left_out[who] = told.reason
            continue
        patient = _Patient(shown.get(who, {}), steps, carry.get(who), brain, whole, where)
        made: dict[str, Array] = {}
        refused: dict[str, Fault] = {}
        for name in contrasts:
            try:
                made[name] = patient.contrast(name)
            except Refusal as refusal:
                refused[name] = refusal.fault
        # What is not there was said before; a transform that is not there is said once.
        said = {fault.reason: fault for fault in refused.values() if fault.code != "E137"}
        faults += [fault.of(who) for fault in said.values()]
        if refused:
            missing[who] = {name: fault.reason for name, fault in refused.items()}
        if not made:
            left_out[who] = "; ".join(dict.fromkeys(missing[who].values()))
            continue
        seen[who] = {name: int(np.count_nonzero(array)) for name, array in made.items()}
        arrays |= {f"{who}/{name}": _stored(array) for name, array in made.items()}
        if (mask := patient.lesion_mask()) is not None:
            arrays[f"{who}/{MASK}"] = mask
    return arrays, {"left_out": left_out, "seen": seen, "missing": missing}, faults


def template_mask(grid: Mapping[str, Any], brain: Volume) -> Array:
    """Return the voxels of the grid, (S, R, L) bool, that the template's brain fills by half or more."""
    return _share(brain, Grid.of(grid)) >= 0.5


def template_tissue(grid: Mapping[str, Any], brain: Volume) -> dict[str, Array] | None:
    """Return the voxels of the grid that ``grey`` and ``white`` matter of the template fill by more than half.

    Parameters
    ----------
    grid : mapping
        See ``fusion`` of the configuration.
    brain : Volume
        The template's.

    Returns
    -------
    dict or None
        (S, R, L) bool each; None of another template than MNI152, and on a grid too coarse to hold both.
    """
    resolution = round(brain.zooms[0])
    if resolution < 1 or not same_grid(brain, mni152(resolution_mm=resolution)[1]):
        return None
    tissue = mni152_tissue(resolution_mm=resolution)
    found = {
        name: _share(one, Grid.of(grid)) > 0.5 for name, one in zip(("grey", "white"), tissue, strict=True)
    }
    return found if all(mask.any() for mask in found.values()) else None


class _Patient(PatientImages):
    """The contrasts of one patient on the grid."""

    def __init__(
        self,
        paths: Mapping[str, Any],
        steps: Mapping[str, Mapping[str, Any]],
        mapper: ToTemplate | None,
        brain: Volume,
        whole: Array,
        grid: Grid,
    ) -> None:
        super().__init__(paths, steps, mapper)
        self.brain, self.whole, self.grid = brain, whole, grid
        self.inside = whole >= 0.5
        self._lesion: Volume | None = None
        self._filled: Array | None = None

    def contrast(self, name: str) -> Array:
        """Return a contrast, float32 on the grid.

        Raises
        ------
        Refusal
            E137: not there; E160: no way to the template; E111: constant; E155, E156: too little of it in the brain.
        """
        if name in LESIONS:
            return np.where(self.inside, self._of_lesion(name), np.float32(0))
        place, file, space = _found(name)
        if file not in self.paths.get(place, {}):
            raise Refusal("E137", role=name, visit=VISIT)
        known = self._known(name, file, place)
        if not known.any():
            raise Refusal("E111", path=f"{place}_{file}", value="0")
        values, share = self._measured(self.raw(file, place), known, space)
        shown = self.inside & (share >= 0.5)
        _check_share("E155", float(shown.sum() / self.inside.sum()), f"{place}_{file}")
        kept = values[shown].astype(np.float64)
        if np.ptp(kept) <= 1e-6 * np.abs(kept).max():
            raise Refusal("E111", path=f"{place}_{file}", value=f"{kept[0]:g}")
        return np.where(shown, values, np.float32(0))

    def lesion_mask(self) -> Array | None:
        """Return the voxels that the lesion fills by half or more, uint8; None where it is not known there."""
        try:
            return (np.where(self.inside, self._of_lesion("lesion"), 0) >= 0.5).astype(np.uint8)
        except Refusal:
            return None

    def _known(self, name: str, file: str, place: str) -> Array:
        """Return where an image was measured: 0 is background, but in perfusion maps where curves could be used."""
        if place == PERFUSION and "valid" in self.paths[place]:
            return self.raw("valid", place).data > 0.5
        data = self.raw(file, place).data
        return data > 0 if name in FOUND else data != 0

    def _measured(self, volume: Volume, known: Array, space: str) -> tuple[Array, Array]:
        """Return values on the grid, and the share of each voxel of it that holds any."""
        weights = volume.like((known & np.isfinite(volume.data)).astype(np.float32))
        weighted = volume.like(np.where(weights.data > 0, volume.data, 0).astype(np.float32))
        if space:
            weighted, weights = (carried(one, space, self.mapper) for one in (weighted, weights))
        # A voxel of the grid at the rim of the brain is the mean over its part inside.
        inside = _onto(self.brain, weighted)
        weighted, weights = (one.like(one.data * inside) for one in (weighted, weights))
        matrix = _matrix(weighted, self.grid)
        values, share = network_grid.mean_inside(weighted, weights.data, matrix, self.grid.shape)
        return values, share / np.maximum(self.whole, 1e-3)

    def _of_lesion(self, name: str) -> Array:
        if self.without_lesion():
            return np.full(self.grid.shape, FAR_MM if name == "lesion_distance" else 0, dtype=np.float32)
        lesion = self._in_template()
        if name == "lesion":
            self._filled = _share(lesion, self.grid) if self._filled is None else self._filled
            return self._filled
        there = resample(lesion, self.brain, np.eye(4), interpolation="linear")
        # A lesion smaller than the template's voxels has a place all the same.
        mask = there.data >= min(0.5, there.data.max() / 2)
        distance = ndimage.distance_transform_edt(~mask, sampling=there.zooms)
        return network_grid.mean_inside(
            there.like(distance.astype(np.float32)),
            np.ones(mask.shape, dtype=np.float32),
            _matrix(there, self.grid),
            self.grid.shape,
        )[0]

    def _in_template(self) -> Volume:
        """Return the lesion in the template; E156 where it lies outside the brain there."""
        if self._lesion is None:
            lesion = self.raw("lesion")
            lesion = lesion.like((lesion.data > 0.5).astype(np.float32))
            if f"{VISIT}_lesion" not in self.spaces:
                lesion = carried(lesion, VISIT, self.mapper)
            _check_share("E156", _share_within(lesion, self.brain), f"{VISIT}_lesion")
            self._lesion = lesion
        return self._lesion


def _found(name: str) -> tuple[str, str, str]:
    """Return place, file and space of a contrast; a name that is not built in is one of ``images.maps``."""
    return FOUND.get(name, (VISIT, f"{MAP}{name}", f"{VISIT}_{MAP}{name}"))


def _check_share(code: str, share: float, image: str) -> None:
    if share < network_grid.MIN_SHARE:
        limit = f"{100 * network_grid.MIN_SHARE:.0f}"
        raise Refusal(code, path=image, image=image, percent=f"{100 * share:.0f}", limit=limit)


def _matrix(volume: Volume, grid: Grid) -> Array:
    """Return the 4×4 matrix from a voxel of the grid to one of an image in the template."""
    return invert(volume.affine) @ network_grid.input_to_mm(grid, None)


def _share(mask: Volume, grid: Grid) -> Array:
    return network_grid.covered(mask, _matrix(mask, grid), grid.shape)


def _share_within(lesion: Volume, brain: Volume) -> float:
    """Return the share of a lesion's voxels whose centres lie in the template's brain; 0 of none."""
    index = (
        np.argwhere(lesion.data > 0) @ (step := invert(brain.affine) @ lesion.affine)[:3, :3].T + step[:3, 3]
    )
    index = np.round(index).astype(int)
    index = index[((index >= 0) & (index < brain.data.shape)).all(axis=1)]
    n = np.count_nonzero(lesion.data > 0)
    return float((brain.data[tuple(index.T)] > 0.5).sum() / n) if n else 0.0


def _onto(brain: Volume, like: Volume) -> Array:
    """Return the template's brain on the grid of an image in the template, 0 or 1."""
    mask = brain.like(brain.data > 0.5)
    if not same_grid(mask, like):
        mask = resample(mask, like, np.eye(4), interpolation="nearest")
    return mask.data.astype(np.float32)


def _stored(array: Array) -> Array:
    """Return an array in half precision where that holds its values to a thousandth, else as it is."""
    with np.errstate(over="ignore"):
        half = array.astype(np.float16)
    return half if np.allclose(half, array, rtol=1e-3, atol=1e-3 * np.abs(array).max()) else array
