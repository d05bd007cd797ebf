"""A patient brought to the template, and which image drives."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from reperfuse.core.errors import Fault, Refusal
from reperfuse.imaging.carry import pair_matrix
from reperfuse.imaging.grids import invert, resample
from reperfuse.imaging.normalisation import normalise
from reperfuse.imaging.volume import Volume
from reperfuse.imaging.warp import Warp, to_template

# The image that drives, best first: anatomy, then what shows the brain without the lesion.
DRIVERS = ("J0_t1w", "J0_s0", "J0_trace", "J0_adc")


@dataclass(frozen=True)
class Normalised:
    """What the step gives; ``warp`` is None where nothing was accepted."""

    warp: Warp | None
    images: dict[str, Volume]
    faults: tuple[Fault, ...]
    facts: dict[str, Any]


def normalise_patient(
    images: Mapping[str, Volume],
    registration: Mapping[str, Any],
    template: Volume,
    template_mask: np.ndarray,
    *,
    template_name: str,
    **settings: Any,
) -> Normalised:
    """Normalise a patient's J0 anatomy to the template.

    Parameters
    ----------
    images : mapping of str to Volume
        ``J0_t1w``, ``J0_s0``, ``J0_trace``, ``J0_adc``, ``J0_brain``; any may be absent.
    registration : mapping
        Facts of ``register``; empty where nothing was to be registered.
    template, template_mask
        The template and its brain.
    template_name : str
    settings
        See :func:`reperfuse.imaging.normalisation.normalise`.

    Returns
    -------
    Normalised
        Images ``space-MNI_anatomy`` and ``space-MNI_jacobian``; facts hold ``to_reference``, the matrix from the
        driving image's RAS mm to those of J0's diffusion image.

    Raises
    ------
    Refusal
        E160 without brain mask or driving image.
    """
    brain = images.get("J0_brain")
    if brain is None:
        raise Refusal("E160", step="prepare", image="J0_brain")
    driver, to_reference = _driver(images, registration)
    moving = images[driver]
    mask = resample(brain.like(brain.data > 0.5), moving, to_reference, interpolation="nearest").data
    found = normalise(
        moving, mask, template, template_mask, moving_name=driver, template_name=template_name, **settings
    )
    facts = {
        "moving": driver,
        "template": template_name,
        "to_reference": np.round(to_reference, 6).tolist(),
        **found.facts,
    }
    if found.warp is None or not found.accepted:
        return Normalised(None, {}, found.faults, facts)
    made = {"space-MNI_anatomy": to_template(moving, found.warp, interpolation="linear")}
    if found.jacobian is not None:
        made["space-MNI_jacobian"] = found.jacobian
    return Normalised(found.warp, made, found.faults, facts)


def _driver(images: Mapping[str, Volume], registration: Mapping[str, Any]) -> tuple[str, np.ndarray]:
    """Return the driving image and the matrix from its mm to those of J0's diffusion image."""
    for name in DRIVERS:
        if name not in images:
            continue
        if name != "J0_t1w":
            return name, np.eye(4)
        matrix = pair_matrix(registration, str(registration.get("reference")), name)
        if matrix is not None:
            return name, invert(matrix)
    raise Refusal("E160", step="prepare", image="J0_s0")
