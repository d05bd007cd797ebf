"""Masks of either visit carried to the template by the transforms that records and files hold."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from reperfuse.core.errors import Refusal
from reperfuse.imaging.volume import Volume
from reperfuse.imaging.warp import Warp, to_template

DIFFUSION = ("s0", "trace", "adc")


def pair_matrix(registration: Mapping[str, Any], fixed: str, moving: str) -> np.ndarray | None:
    """Return the accepted matrix of a pair from the facts of ``register``: fixed RAS mm to moving RAS mm."""
    for pair in registration.get("pairs", []):
        if (pair["fixed"], pair["moving"]) == (fixed, moving) and pair["accepted"]:
            return np.asarray(pair["matrix"])
    return None


def mask_mapper(
    warp: Warp | None, facts: Mapping[str, Any], registration: Mapping[str, Any]
) -> Callable[[Volume, str], Volume] | None:
    """Return what brings a mask of a visit to the template, or None where there is no transform.

    Parameters
    ----------
    warp : Warp or None
    facts : mapping
        Facts of ``normalise``.
    registration : mapping
        Facts of ``register``; J1 needs its pair with J0.
    """
    if warp is None:
        return None

    def to_mni(mask: Volume, visit: str) -> Volume:
        through = np.asarray(facts["to_reference"])
        if visit == "J1":
            # Diffusion images of one visit share a space, so that any accepted pair of the two visits will do.
            pairs = [(f"J0_{one}", f"J1_{two}") for one in DIFFUSION for two in DIFFUSION]
            matrices = (pair_matrix(registration, fixed, moving) for fixed, moving in pairs)
            matrix = next((found for found in matrices if found is not None), None)
            if matrix is None:
                raise Refusal("E160", step="register", image="J1 on the J0 grid")
            through = matrix @ through
        return to_template(mask, warp, interpolation="linear", through=through)

    return to_mni
