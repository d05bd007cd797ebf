"""Every lesion mask of one patient, and what is measured on it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from reperfuse.core.errors import ConfigError, Fault, Refusal
from reperfuse.imaging.atlas import Atlas, loads
from reperfuse.imaging.given import NATIVE, GivenMask
from reperfuse.imaging.grids import resample
from reperfuse.imaging.lesion import (
    MIDSAGITTAL_ZERO,
    Plane,
    criterion_name,
    dice,
    growth,
    measure,
    midsagittal,
    percentile_masks,
    plausibility,
    side,
    threshold_masks,
)
from reperfuse.imaging.reader import match_grid
from reperfuse.imaging.volume import Volume, same_grid

GIVEN = "given"
VISITS = ("J0", "J1")
ROLES = ("adc", "trace", "brain")


@dataclass(frozen=True)
class PatientLesions:
    """Masks by name (``J0_adc620raw``, ``J0_lesion``, …), rows of ``lesions.tsv``, facts and findings."""

    images: dict[str, Volume]
    rows: list[dict[str, Any]]
    facts: dict[str, Any]
    faults: list[Fault]

    def criterion_of(self, name: str) -> str:
        """Return what a mask's voxels have in common, for its sidecar."""
        visit, _, what = name.partition("_")
        return str(self.facts["lesion"][visit]) if what == "lesion" else what


@dataclass(frozen=True)
class _Mask:
    """A mask with what its side and plausibility are judged by; None where that is not known on its grid."""

    volume: Volume
    brain: np.ndarray | None
    midline: Plane | None
    in_template: bool


def lesions_of_patient(
    images: Mapping[str, Volume],
    given: Mapping[str, GivenMask],
    atlases: Mapping[str, Atlas],
    *,
    refused: Collection[str],
    sessions: Mapping[str, str],
    to_template: Callable[[Volume, str], Volume] | None,
    thresholds: Sequence[float],
    percentiles: Sequence[float],
    lesion_criterion: str,
    z_gate: float,
    csf_adc: float,
    csf_margin_voxels: int,
    min_component_ml: float,
    connectivity: int,
    side_share: float,
    max_brain_percent: float,
    max_outside_ml: float,
) -> PatientLesions:
    """Return a patient's lesion masks at every visit, their volumes, sides and regions.

    Parameters
    ----------
    images : mapping of str to Volume
        ``J0_adc`` (10⁻⁶ mm²/s), ``J0_trace``, ``J0_brain``, the same of J1; what could not be made is absent.
    given : mapping of str to GivenMask
        By visit. It takes the place of the thresholded lesion.
    atlases : mapping of str to Atlas
        In the space of the template.
    refused : collection of str
        Visits whose given mask could not be read. It is not replaced behind the reader's back: no lesion counts.
    sessions : mapping of str to str
        Visit → session label; empty for data without sessions.
    to_template : callable or None
        Brings a mask of a visit (second argument) to the template; may raise Refusal. None where the patient
        could not be normalised; a native lesion then has no loads.
    lesion_criterion : str
        The criterion that counts as the lesion where no mask is given.
    thresholds, z_gate, csf_adc, csf_margin_voxels, min_component_ml, connectivity :
        See `threshold_masks`.
    percentiles : sequence of float
        See `percentile_masks`; these are measured and not kept as images.
    side_share, max_brain_percent, max_outside_ml :
        See `side` and `plausibility`.

    Returns
    -------
    PatientLesions
        Volumes are those on the native grid, or on the template's for a mask given there. ``facts`` holds
        ``rows``, ``lesion`` (visit → what counts), ``growth_ml``, ``loads``. A failed visit spares the other.

    Raises
    ------
    ConfigError
        Where ``lesion_criterion`` is not among the criteria of ``thresholds``.
    """
    known = [criterion_name(t, raw=raw) for t in thresholds for raw in (True, False)]
    if lesion_criterion not in known:
        raise ConfigError(
            f"`lesions.lesion_criterion` is {lesion_criterion}; expected one of {', '.join(known)}."
        )
    recipe = {
        "thresholds": thresholds,
        "percentiles": percentiles,
        "z_gate": z_gate,
        "csf_adc": csf_adc,
        "csf_margin_voxels": csf_margin_voxels,
        "min_component_ml": min_component_ml,
        "connectivity": connectivity,
    }
    result = PatientLesions({}, [], {"lesion": {}, "space": {}, "growth_ml": {}, "loads": []}, [])
    visits: dict[str, dict[str, _Mask]] = {}
    for visit in VISITS:
        if visit not in given and not any(f"{visit}_{role}" in images for role in ROLES):
            continue
        visits[visit], faults = _visit(visit, images, given.get(visit), recipe)
        for criterion, mask in visits[visit].items():
            row = {"session_id": sessions.get(visit, ""), "visit": visit, "criterion": criterion}
            row["space"] = given[visit].space if mask.in_template else "native"
            result.rows.append(row | _measured(mask, visits[visit].get(GIVEN), connectivity, side_share))
            if criterion in known:
                result.images[f"{visit}_{criterion.replace('_', '')}"] = mask.volume
        counts = GIVEN if visit in given or visit in refused else lesion_criterion
        if counts in visits[visit]:
            lesion = visits[visit][counts]
            result.images[f"{visit}_lesion"] = lesion.volume
            if lesion.in_template:
                result.facts["space"][f"{visit}_lesion"] = given[visit].space
            result.facts["lesion"][visit] = f"{GIVEN} ({given[visit].source})" if counts == GIVEN else counts
            if lesion.brain is not None:
                limits = {"max_brain_percent": max_brain_percent, "max_outside_ml": max_outside_ml}
                faults += plausibility(lesion.volume.data, lesion.brain, lesion.volume.voxel_ml, **limits)
            of_atlases, found = _loads(lesion, visit, atlases, to_template)
            result.facts["loads"].extend(of_atlases)
            faults += found
        result.faults.extend(fault.of("", sessions.get(visit, "")) for fault in faults)
    if "J0" in visits and "J1" in visits:
        result.facts["growth_ml"] = growth(
            _volumes(visits["J0"], visits["J1"]), _volumes(visits["J1"], visits["J0"])
        )
    result.facts["rows"] = result.rows
    return result


def _visit(
    visit: str, images: Mapping[str, Volume], given: GivenMask | None, recipe: Mapping[str, Any]
) -> tuple[dict[str, _Mask], list[Fault]]:
    """Make a visit's masks; the thresholds and the given mask fail each on their own."""
    adc, brain = images.get(f"{visit}_adc"), images.get(f"{visit}_brain")
    like = adc if adc is not None else brain
    midline = None
    if brain is not None and like is not None:
        brain = _onto(brain.like(brain.data > 0.5), like)  # a mask read from a file is float
        midline = midsagittal(brain) if brain.data.any() else None
    masks: dict[str, _Mask] = {}
    faults: list[Fault] = []
    try:
        trace = images.get(f"{visit}_trace")
        made, found = _from_thresholds(visit, adc, brain, trace, given, midline, recipe)
        inside = brain.data if brain is not None else None
        masks = {name: _Mask(mask, inside, midline, False) for name, mask in made.items()}
        faults += found
    except Refusal as refusal:
        faults.append(refusal.fault)
    if given is not None:
        try:
            mask, found = _from_given(given, like)
            inside = None if brain is None or given.in_template else brain.data
            plane = MIDSAGITTAL_ZERO if given.in_template else midline
            masks[GIVEN] = _Mask(mask, inside, plane, given.in_template)
            faults += found
        except Refusal as refusal:
            faults.append(refusal.fault.of("", path=given.source))
    return masks, faults


def _onto(image: Volume, like: Volume) -> Volume:
    """Bring an image of the same visit onto the ADC map's grid; they share world coordinates."""
    if same_grid(image, like):
        return image
    binary = image.data.dtype == bool
    return resample(image, like, np.eye(4), interpolation="nearest" if binary else "linear")


def _from_thresholds(
    visit: str,
    adc: Volume | None,
    brain: Volume | None,
    trace: Volume | None,
    given: GivenMask | None,
    midline: Plane | None,
    recipe: Mapping[str, Any],
) -> tuple[dict[str, Volume], list[Fault]]:
    if adc is None:
        if given is not None:  # the lesion is known all the same
            return {}, []
        raise Refusal("E160", step="prepare", image=f"{visit}_adc")
    if brain is None:
        raise Refusal("E160", step="prepare", image=f"{visit}_brain")
    diffusion = _onto(trace, adc).data if trace is not None else None
    options = dict(recipe)
    percentiles, thresholds = options.pop("percentiles"), options.pop("thresholds")
    masks, faults = threshold_masks(adc, brain.data, diffusion, thresholds=thresholds, **options)
    if midline is not None:
        masks |= percentile_masks(adc, brain.data, diffusion, midline, percentiles=percentiles, **options)
    return {criterion: adc.like(mask) for criterion, mask in masks.items()}, faults


def _from_given(given: GivenMask, like: Volume | None) -> tuple[Volume, list[Fault]]:
    """Return the mask on the ADC map's grid; on its own in the template or where there is no map."""
    if given.in_template or (like is None and given.space.lower() in NATIVE):
        return given.volume, []
    expected = like if like is not None else given.volume
    if given.space.lower() not in NATIVE:
        raise Refusal(
            "E120",
            path=given.source,
            found_shape=f"{given.volume.data.shape} (space-{given.space})",
            found_origin=str(np.round(given.volume.affine[:3, 3], 1).tolist()),
            expected_shape=str(expected.data.shape),
            expected_origin=str(np.round(expected.affine[:3, 3], 1).tolist()),
        )
    mask, faults = match_grid(given.volume, expected)
    return mask, [fault.of("", path=given.source) for fault in faults]


def _measured(mask: _Mask, given: _Mask | None, connectivity: int, side_share: float) -> dict[str, Any]:
    comparable = given is not None and given is not mask and not given.in_template
    where = "n/a" if mask.midline is None else side(mask.volume, mask.midline, side_share=side_share)
    return {
        **measure(mask.volume.data, mask.volume.voxel_ml, connectivity=connectivity),
        "side": where,
        "dice_given": dice(mask.volume.data, given.volume.data) if given is not None and comparable else None,
    }


def _loads(
    lesion: _Mask,
    visit: str,
    atlases: Mapping[str, Atlas],
    to_template: Callable[[Volume, str], Volume] | None,
) -> tuple[list[dict[str, Any]], list[Fault]]:
    if not atlases:
        return [], []
    volume = lesion.volume
    if not lesion.in_template:
        if to_template is None:
            image, missing = "transform to the template", "loads on atlases"
            values = {"step": "normalise", "image": image, "missing": missing}
            return [], [Fault("W160", values=values)]
        try:
            moved = to_template(volume, visit)
        except Refusal as refusal:
            return [], [refusal.fault]
        volume = moved.like(moved.data > 0.5)
    rows = [
        {"visit": visit, "atlas": name, **row}
        for name, atlas in sorted(atlases.items())
        for row in loads(volume, atlas)
    ]
    return rows, []


def _volumes(visit: Mapping[str, _Mask], other: Mapping[str, _Mask]) -> dict[str, float]:
    """Return volumes in ml of the criteria that both visits have in the same kind of space."""
    return {
        criterion: float(np.count_nonzero(mask.volume.data) * mask.volume.voxel_ml)
        for criterion, mask in visit.items()
        if criterion in other and other[criterion].in_template == mask.in_template
    }
