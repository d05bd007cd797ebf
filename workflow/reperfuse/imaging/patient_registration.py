"""All images of a patient brought to one grid: which pairs are fitted, and how they are chained."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from reperfuse.cohort.layout import MAP
from reperfuse.core.errors import Fault
from reperfuse.imaging.grids import compose, resample
from reperfuse.imaging.registration import Alignment, rigid
from reperfuse.imaging.volume import Volume, same_grid

VISITS = ("J0", "J1")
# b0 and DWI hold what an ADC map lacks, a skull and sharp edges: the ADC map drives only where it is alone.
DIFFUSION = ("s0", "trace", "adc")
# Which visit's image counts. The haemorrhage is looked for after treatment, the rest before.
CONTRASTS = {"flair": ("J0", "J1"), "t1w": ("J0", "J1"), "pwi": ("J0", "J1"), "gre": ("J1", "J0")}


@dataclass(frozen=True)
class Registered:
    """Images on the grid of the reference, and how they came there.

    Parameters
    ----------
    images : mapping
        ``space-J0_adc`` (J1's), ``space-J0_flair``, ``space-J0_t1w``, ``space-J0_pwi``, ``space-J0_gre``;
        those that could be made.
    matrices : mapping
        ``(fixed, moving)`` names to 4×4 matrices, fixed RAS mm to moving RAS mm; accepted pairs, and the
        chained ones from the reference.
    faults : tuple of Fault
        Retried, refused and mirrored pairs; ``session_id`` holds nothing, the step fills it in.
    facts : dict
        ``reference`` and ``pairs``, for the record.
    """

    images: Mapping[str, Volume]
    matrices: Mapping[tuple[str, str], np.ndarray]
    faults: tuple[Fault, ...]
    facts: dict[str, Any]


def reference_of(images: Mapping[str, Volume], visit: str) -> str | None:
    """Return the name of a visit's diffusion image that others are aligned with, or None."""
    return next((f"{visit}_{kind}" for kind in DIFFUSION if f"{visit}_{kind}" in images), None)


def register_patient(
    images: Mapping[str, Volume],
    *,
    starts_within: Sequence[str],
    starts_between: Sequence[str],
    **settings: Any,
) -> Registered:
    """Register J1's diffusion images and every contrast of a patient to the reference.

    Parameters
    ----------
    images : mapping of str to Volume
        ``J0_s0``, ``J0_trace``, ``J0_adc``, ``J0_brain`` (bool), ``J0_flair``, ``J0_t1w``, ``J0_gre``,
        ``J0_pwi`` (temporal mean), ``J0_map_<name>``, and the same of J1; any may be absent.
    starts_within, starts_between : sequence of str
        Attempts for two images of one session, and for those of two; see ``rigid``.
    settings : dict
        The other keywords of ``rigid``, but masks and names.

    Returns
    -------
    Registered
        Without images where there is no diffusion image to refer to.

    Notes
    -----
    The reference is J0's b0, else its DWI, else its ADC map, else the same of J1. Diffusion images of one
    visit share a space, so that one fit carries all of them. A contrast is fitted to the diffusion image of
    its own visit, and J1's are chained through J1 to J0. A GRE is often all of a follow-up: where J1
    has no diffusion image, it is fitted to the reference.
    """
    home = next((visit for visit in VISITS if reference_of(images, visit)), None)
    if home is None:
        return Registered({}, {}, (), {"reference": None, "sources": {}, "pairs": []})
    reference = f"{reference_of(images, home)}"
    fits: dict[tuple[str, str], Alignment] = {}

    def align(fixed: str, moving: str, starts: Sequence[str]) -> Alignment:
        masks = [_mask(images, name) for name in (fixed, moving)]
        fits[fixed, moving] = rigid(
            images[fixed],
            images[moving],
            fixed_mask=masks[0],
            moving_mask=masks[1],
            fixed_name=fixed,
            moving_name=moving,
            starts=starts,
            **settings,
        )
        return fits[fixed, moving]

    to_visit: dict[str, np.ndarray] = {home: np.eye(4)}
    for visit in VISITS:
        own = reference_of(images, visit)
        if visit != home and own is not None:
            kind = next((k for k in DIFFUSION if {f"{home}_{k}", f"{visit}_{k}"} <= images.keys()), None)
            pair = (f"{home}_{kind}", f"{visit}_{kind}") if kind else (reference, own)
            found = align(*pair, starts_between)
            if found.accepted:
                to_visit[visit] = found.matrix
    chained: dict[tuple[str, str], np.ndarray] = {}
    for visit in VISITS:
        own = reference_of(images, visit)
        maps = sorted(name for name in images if name.startswith(f"{visit}_{MAP}"))
        for name in (*(f"{visit}_{contrast}" for contrast in CONTRASTS), *maps):
            if name not in images:
                continue
            if own is None:
                if name == "J1_gre" and (found := align(reference, name, starts_between)).accepted:
                    chained[reference, name] = found.matrix
                continue
            if name in maps and (shared := _shared(images, own, name, fits)) is not None:
                found = fits[own, name] = shared
            else:
                found = align(own, name, starts_within)
            if found.accepted and visit in to_visit:
                chained[reference, name] = compose(to_visit[visit], found.matrix)
    away = next((visit for visit in VISITS if visit != home), "")
    if away in to_visit:
        chained.update(
            {(reference, f"{away}_{k}"): to_visit[away] for k in DIFFUSION if f"{away}_{k}" in images}
        )
    grid = images.get(f"{home}_adc", images[reference])
    accepted = {pair: found.matrix for pair, found in fits.items() if found.accepted}
    # Without J0 there is no grid of J0 to carry anything to.
    carried = {moving: matrix for (_, moving), matrix in chained.items()} if home == "J0" else {}
    made, sources = _carried(images, grid, carried)
    return Registered(
        images=made,
        matrices={**accepted, **chained},
        faults=tuple(fault for found in fits.values() for fault in found.faults),
        facts={
            "reference": reference,
            "sources": sources,
            "pairs": [{"fixed": f, "moving": m, **found.facts()} for (f, m), found in fits.items()],
        },
    )


def _shared(
    images: Mapping[str, Volume], own: str, name: str, fits: Mapping[tuple[str, str], Alignment]
) -> Alignment | None:
    """Return the alignment of a map that lies on the grid of the diffusion image or of an aligned T1w image.

    Made from these images, it lies where they do, which a fit of its own, to a map without a skull, can only blur.
    """
    t1w = f"{own.partition('_')[0]}_t1w"
    if same_grid(images[own], images[name]):
        return Alignment(np.eye(4), None, True, "grid of the diffusion image")
    if t1w in images and same_grid(images[t1w], images[name]) and fits[own, t1w].accepted:
        return Alignment(fits[own, t1w].matrix, None, True, "grid of the T1w image")
    return None


def _mask(images: Mapping[str, Volume], name: str) -> np.ndarray | None:
    """Return the brain mask of a diffusion image on its own grid; other contrasts have none."""
    visit, kind = name.split("_", 1)
    brain = images.get(f"{visit}_brain")
    if kind not in DIFFUSION or brain is None:
        return None
    image = images[name]
    if brain.data.shape == image.data.shape and np.allclose(brain.affine, image.affine, atol=1e-3):
        return brain.data.astype(bool)
    return resample(brain.like(brain.data.astype(bool)), image, np.eye(4), interpolation="nearest").data


def _carried(
    images: Mapping[str, Volume], grid: Volume, chained: Mapping[str, np.ndarray]
) -> tuple[dict[str, Volume], dict[str, str]]:
    """Return the images on the grid of the reference, and which image each was resampled from."""
    found: dict[str, Volume] = {}
    sources: dict[str, str] = {}
    if "J1_adc" in chained:
        adc = images["J1_adc"]
        # Where the map holds nothing, 0 is no diffusivity: it must not be averaged into the brain's rim.
        found["space-J0_adc"] = resample(
            adc, grid, chained["J1_adc"], interpolation="linear", valid=adc.data > 0
        )
        sources["space-J0_adc"] = "J1_adc"
    for contrast, visits in CONTRASTS.items():
        name = next((f"{visit}_{contrast}" for visit in visits if f"{visit}_{contrast}" in chained), None)
        if name is not None:
            found[f"space-J0_{contrast}"] = resample(
                images[name], grid, chained[name], interpolation="linear"
            )
            sources[f"space-J0_{contrast}"] = name
    return found, sources
