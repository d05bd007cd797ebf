"""Other images of a patient on the grid of the perfusion series, carried by the transforms of `register`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from reperfuse.core.errors import Fault, Refusal
from reperfuse.imaging.carry import DIFFUSION, pair_matrix
from reperfuse.imaging.grids import compose, inside, invert, resample
from reperfuse.imaging.reader import match_grid
from reperfuse.imaging.volume import Volume

# Name on the perfusion grid → the image of J0's diffusion space that it is.
FROM_DIFFUSION = {"PWI_adc": "J0_adc", "PWI_b0": "J0_s0", "PWI_trace": "J0_trace"}
MASKS = {"PWI_diffusion_brain": "J0_brain", "PWI_lesion": "J0_lesion"}


@dataclass
class Carried:
    """Images on the perfusion grid, by name, and what each was made from.

    Parameters
    ----------
    images : dict
        ``PWI_adc``, ``PWI_b0``, ``PWI_trace``, ``PWI_gre`` (float32), ``PWI_lesion``, ``PWI_core``, ``PWI_ht``,
        ``PWI_covered`` (bool); those that could be made.
    brain : ndarray of bool or None
        The diffusion brain mask on this grid.
    sources : dict
        Image → raw image or mask.
    faults : list of Fault
    """

    images: dict[str, Volume] = field(default_factory=dict)
    brain: np.ndarray | None = None
    sources: dict[str, str] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)


def from_pwi(registration: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Return 4×4 matrices from the RAS mm of J0's perfusion series to those of other images.

    `register` fits J0_pwi and J1's images to the diffusion images of their visits, and those to each other; the chain
    is PWI → J0's diffusion (inverted) → J1's diffusion → J1's GRE, without the last but one where J1 has none.

    Parameters
    ----------
    registration : mapping
        Facts of ``register``.

    Returns
    -------
    dict
        Among ``J0`` (its diffusion images), ``J1`` and ``J1_gre``; those whose every link was accepted.
    """

    def link(fixed: str, *moving: str) -> np.ndarray | None:
        pairs = [(f"{fixed}_{one}", other) for one in DIFFUSION for other in moving]
        found = (pair_matrix(registration, *pair) for pair in pairs)
        return next((matrix for matrix in found if matrix is not None), None)

    matrices: dict[str, np.ndarray] = {}
    if (pwi := link("J0", "J0_pwi")) is None:
        return matrices
    matrices["J0"] = invert(pwi)
    if (gre := link("J0", "J1_gre")) is not None:
        matrices["J1_gre"] = compose(matrices["J0"], gre)
    if (visits := link("J0", *(f"J1_{kind}" for kind in DIFFUSION))) is None:
        return matrices
    matrices["J1"] = compose(matrices["J0"], visits)
    if (gre := link("J1", "J1_gre")) is not None:
        matrices["J1_gre"] = compose(matrices["J1"], gre)
    return matrices


def carry(
    images: Mapping[str, Volume],
    registration: Mapping[str, Any],
    like: Volume,
    *,
    ht: Volume | None,
    core_criterion: str,
    path: str,
    ht_path: str,
) -> Carried:
    """Bring diffusion images and masks of J0, and GRE and haemorrhage of J1, onto the perfusion grid.

    Parameters
    ----------
    images : mapping
        ``J0_adc``, ``J0_s0``, ``J0_trace``, ``J0_brain``, ``J0_lesion``, ``J0_<core_criterion>``, ``J1_gre``; any may
        be absent.
    registration : mapping
        Facts of ``register``; empty where the patient did not go through it.
    like : Volume
        3-D image of the perfusion grid.
    ht : Volume of bool, optional
        Haemorrhagic transformation, on the grid of ``J1_gre``.
    core_criterion : str
        Name of the cleaned mask that is the core, ``adc620``.
    path, ht_path : str
        How messages call series and mask.

    Returns
    -------
    Carried
        Masks are resampled as images and cut at one half, so that a lesion keeps its volume on a coarser grid. What
        the transforms do not reach is left out, with W160.
    """
    done = Carried()
    matrices = from_pwi(registration)
    present = {**FROM_DIFFUSION, **MASKS, "PWI_core": f"J0_{core_criterion}"}
    wanted = [name for name, source in present.items() if source in images]
    if "J0" not in matrices:
        if wanted:
            _left_out(done, "register", "alignment of J0_pwi", "diffusion images and masks", path)
    else:
        for name in wanted:
            source = images[present[name]]
            if name in FROM_DIFFUSION:
                # Where a map holds nothing, 0 is no diffusivity: it must not be averaged into the brain's rim.
                valid = source.data > 0 if name == "PWI_adc" else None
                moved = resample(source, like, matrices["J0"], interpolation="linear", valid=valid)
            else:
                mask = source.like(source.data > 0.5)
                moved = resample(mask, like, matrices["J0"], interpolation="linear")
            if name == "PWI_diffusion_brain":
                done.brain = moved.data
            else:
                done.images[name], done.sources[name] = moved, present[name]
    gre = images.get("J1_gre")
    if gre is None:
        if ht is not None:
            _left_out(done, "prepare", "J1_gre", "the haemorrhage mask", ht_path)
        return done
    if "J1_gre" not in matrices:
        _left_out(done, "register", "alignment of J1_gre with J0_pwi", "GRE and haemorrhage mask", path)
        return done
    through = matrices["J1_gre"]
    done.images["PWI_gre"] = resample(gre, like, through, interpolation="linear")
    done.images["PWI_covered"] = like.like(inside(gre, like, through))
    done.sources |= {"PWI_gre": "J1_gre", "PWI_covered": "J1_gre"}
    if ht is not None:
        try:
            mask, faults = match_grid(ht, gre)
        except Refusal as refusal:
            done.faults.append(refusal.fault.of("", path=ht_path))
            return done
        done.faults += [fault.of("", path=ht_path) for fault in faults]
        done.images["PWI_ht"] = resample(mask, like, through, interpolation="linear")
        done.sources["PWI_ht"] = "J1_ht"
    return done


def _left_out(done: Carried, step: str, image: str, missing: str, path: str) -> None:
    values = {"step": step, "image": image, "missing": f"{missing} on the perfusion grid"}
    done.faults.append(Fault("W160", path, values))
