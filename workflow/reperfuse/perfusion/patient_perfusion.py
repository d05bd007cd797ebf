"""One patient's perfusion series to maps: what is done in which order, and what is left where a point refuses."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from reperfuse.core.errors import Fault, Refusal
from reperfuse.imaging.brain import brain_mask
from reperfuse.imaging.lesion import measure
from reperfuse.imaging.volume import Volume
from reperfuse.perfusion.grid import carry
from reperfuse.perfusion.inputs import Inputs
from reperfuse.perfusion.line import Given, Line, Perfused
from reperfuse.perfusion.volumes import RULES, late_levels, perfusion_volumes

MEASURED = ("cbv", "tmax", "rttp")
# In a word, for tables and studies: what the faults of this step say of the series.
FLAGS = {
    "E141": "no timing", "E142": "no bolus", "E143": "no timing", "E144": "no AIF", "W142": "truncated bolus",
    "W144": "motion", "W148": "short series", "W151": "rTTP and Tmax disagree", "W152": "unusable voxels",
}  # fmt: skip


def perfuse(
    pwi: Volume,
    *,
    brain: np.ndarray,
    core: np.ndarray | None,
    core_ml: float | None,
    dropped: int,
    given: Given | None,
    path: str,
    series: Mapping[str, Mapping[str, Any]],
    aif: Mapping[str, Any],
    kinetics: Mapping[str, Mapping[str, Any]],
    volumes: Mapping[str, Any],
    quality: Mapping[str, float],
) -> Perfused:
    """Make perfusion maps from a series.

    Parameters
    ----------
    pwi : Volume
        4-D, as stored, with its sidecar.
    brain : ndarray of bool, shape (x, y, z)
        On the grid of the series.
    core : ndarray of bool or None
        Diffusion core on the same grid.
    core_ml : float or None
        Its volume as measured on its own.
    dropped : int
        Leading volumes that are not in steady state.
    given : Given, optional
        Arterial input function of the user; takes the place of the automatic one.
    path : str
        How messages call the series.
    series, aif, kinetics, volumes, quality : mapping
        Sections of ``perfusion`` in the configuration, without defaults here.

    Returns
    -------
    Perfused
        Where a point refuses, its fault stands among the others, and what was made before it stays: without an
        arterial input function there are times to peak and shapes, but no flow.
    """
    line = Line(pwi, brain, path, Perfused())
    try:
        bolus = line.frames(dropped, series)
        line.concentration(bolus, kinetics)
        line.shapes(bolus, kinetics["shape"])
        line.leakage(kinetics["leakage"])
        try:
            line.arteries(given, aif)
            line.flow(kinetics)
        except Refusal as refusal:
            line.made.faults.append(refusal.fault.of("", path=given.name if given else path))
    except Refusal as refusal:
        line.made.faults.append(refusal.fault)
    _judge(line, core, {**volumes, "core_ml": core_ml}, quality)
    return line.made


def perfuse_patient(
    inputs: Inputs,
    images: Mapping[str, Volume],
    *,
    prepared: Mapping[str, Any],
    registration: Mapping[str, Any],
    lesions: Mapping[str, Any],
    brain: Mapping[str, float],
    volumes: Mapping[str, Any],
    **settings: Any,
) -> Perfused:
    """Carry a patient's other images onto the perfusion grid and make maps from the series.

    Parameters
    ----------
    inputs : Inputs
    images : mapping
        What `prepare` and `lesions` gave, by name; see `reperfuse.perfusion.grid.carry`.
    prepared, registration, lesions : mapping
        Facts of these steps.
    brain : mapping
        Keywords of `reperfuse.imaging.brain.brain_mask`; see `brain_of`.
    volumes, settings : mapping
        Sections of ``perfusion`` in the configuration.

    Returns
    -------
    Perfused
        The maps and what was carried; ``facts`` also holds ``sources`` (image → what it is made from), ``brain``, and
        ``ht`` (``volume_ml`` on its own grid, ``carried_ml``, ``n_components``, ``source``) where there is a mask.
    """
    measuring = {key: value for key, value in volumes.items() if key != "core_criterion"}
    dropped = prepared["J0"]["pwi"]["dropped_volumes"]
    native = {name: image for name, image in images.items() if name not in lesions.get("space", {})}
    carried = carry(
        native,
        registration,
        inputs.pwi.like(inputs.pwi.data[..., 0]),
        ht=inputs.ht,
        core_criterion=volumes["core_criterion"],
        path=inputs.path,
        ht_path=inputs.ht_path,
    )
    mask, found_by = brain_of(inputs.pwi, carried.brain, dropped, **brain)
    core = carried.images.get("PWI_core")
    rows, wanted = lesions.get("rows", ()), ("J0", volumes["core_criterion"])
    made = perfuse(
        inputs.pwi,
        brain=mask,
        core=None if core is None else core.data,
        core_ml=next((row["volume_ml"] for row in rows if (row["visit"], row["criterion"]) == wanted), None),
        dropped=dropped,
        given=inputs.aif,
        path=inputs.path,
        volumes=measuring,
        **settings,
    )
    made.faults[:0] = carried.faults
    sources = {**dict.fromkeys(made.images, "J0_pwi"), **carried.sources}
    made.images.update(carried.images)
    made.facts |= {"brain": found_by, "sources": sources}
    if inputs.ht is not None:
        found = measure(inputs.ht.data, inputs.ht.voxel_ml, connectivity=volumes["connectivity"])
        on_grid = carried.images.get("PWI_ht")
        made.facts["ht"] = {
            "volume_ml": round(found["volume_ml"], 3),
            "carried_ml": None if on_grid is None else round(float(on_grid.data.sum()) * on_grid.voxel_ml, 3),
            "n_components": found["n_components"],
            "source": inputs.ht_path,
        }
    return made


def brain_of(
    pwi: Volume, carried: np.ndarray | None, dropped: int, **settings: float
) -> tuple[np.ndarray, str]:
    """Return the brain on the grid of the series and how it was found.

    Parameters
    ----------
    pwi : Volume
        4-D.
    carried : ndarray of bool or None
        The mask of the diffusion image, carried here.
    dropped : int
        Leading volumes that are not in steady state.
    settings : float
        Keywords of `reperfuse.imaging.brain.brain_mask`, for a series that no transform reaches.
    """
    if carried is not None and carried.any():
        return carried, "diffusion"
    mean = pwi.like(pwi.data[..., dropped:].mean(axis=3, dtype=np.float32))
    found = brain_mask(mean, contrast="s0", **settings)
    return found.mask, f"series: {found.method}"


def _judge(
    line: Line, core: np.ndarray | None, volumes: Mapping[str, Any], quality: Mapping[str, float]
) -> None:
    """Measure volumes, and say what does not hold together."""
    made, facts = line.made, line.made.facts
    if "PWI_valid" in made.images:
        maps = {name: made.images[f"PWI_{name}"] for name in MEASURED if f"PWI_{name}" in made.images}
        maps["area"] = line.area
        facts |= perfusion_volumes(maps, line.valid, core, line.detected, **volumes)
        settings = {key: value for key, value in volumes.items() if key not in ("rttp_s", "core_ml")}
        if (levels := late_levels(maps, line.valid, core, line.detected, **settings)) is not None:
            made.images["PWI_late"] = levels
        made.faults += _quality(facts, line.path, **quality)
    codes = dict.fromkeys(fault.code for fault in made.faults)
    facts["flags"] = [FLAGS[code] for code in codes if code in FLAGS]


def _quality(
    facts: Mapping[str, Any],
    path: str,
    *,
    max_held_percent: float,
    min_valid_percent: float,
    min_rttp_dice: float,
) -> list[Fault]:
    faults = []
    held, n_points = facts["held_points"], facts["n_points"]
    if 100.0 * held / n_points > max_held_percent:
        values = {"held": held, "n_points": n_points}
        faults.append(Fault("W148", path, values))
    if facts["valid_percent"] < min_valid_percent:
        values = {"percent": f"{facts['valid_percent']:.1f}", "limit": f"{min_valid_percent:g}"}
        faults.append(Fault("W152", path, values))
    volumes, overlap = facts["volumes_ml"], facts.get("agreement", {}).get("dice", 1.0)
    larger = max((ml for name, ml in volumes.items() if name.startswith(("tmax6", "rttp"))), default=0.0)
    # Of a few voxels no overlap can be asked.
    if overlap < min_rttp_dice and larger >= RULES["defuse3"].mismatch_ml:
        values = {"dice": f"{overlap:.2f}", "limit": f"{min_rttp_dice:g}"}
        faults.append(Fault("W151", path, values))
    return faults
