"""Images and masks carried to the template by the transforms that records and files hold."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
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
    """Return what brings an image or a mask to the template, or None where there is no transform.

    What it returns takes the image and either its visit, whose diffusion image it shares a space with, or, where it
    has a space of its own, its name: ``J0_flair``, or ``J0_pwi`` for any map made from the series.

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

    def to_mni(image: Volume, where: str) -> Volume:
        visit, _, contrast = where.partition("_")
        through = np.asarray(facts["to_reference"])
        if visit == "J1":
            # Diffusion images of one visit share a space, so that any accepted pair of the two visits will do.
            links = [(f"J0_{one}", f"J1_{two}") for one in DIFFUSION for two in DIFFUSION]
            through = _link(registration, links, "J1 on the J0 grid") @ through
        if contrast:
            links = [(f"{visit}_{one}", where) for one in DIFFUSION]
            through = _link(registration, links, f"alignment of {where}") @ through
        return to_template(image, warp, interpolation="linear", through=through)

    return to_mni


def _link(registration: Mapping[str, Any], pairs: Sequence[tuple[str, str]], image: str) -> np.ndarray:
    """Return the matrix of the first of these pairs that was accepted."""
    for pair in pairs:
        if (matrix := pair_matrix(registration, *pair)) is not None:
            return matrix
    raise Refusal("E160", step="register", image=image)
