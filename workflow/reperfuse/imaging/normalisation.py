"""An image normalised to a template: affine, then SyN, measured and judged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy import ndimage

from reperfuse.core.errors import Fault
from reperfuse.imaging.alignment_quality import dice, nmi
from reperfuse.imaging.ants_engine import EngineError, Stage, fit
from reperfuse.imaging.grids import centre_mm
from reperfuse.imaging.rigid_fit import coarsen, winsorized
from reperfuse.imaging.volume import Volume
from reperfuse.imaging.warp import Warp, jacobian, quantised, to_template

# Affine and SyN are tried from here in turn.
STARTS = ("centre and size", "centre")


@dataclass(frozen=True)
class Normalisation:
    """A normalisation and what is known of it.

    Parameters
    ----------
    warp : Warp or None
        None where no attempt gave a transform.
    jacobian : Volume or None
        Determinant on the template grid: image mm³ per template mm³, affine included.
    facts : dict
        ``start``, ``nmi_affine``, ``nmi_syn`` (where both brains are), ``brain_dice``,
        ``affine_determinant``, ``jacobian_min`` and ``jacobian_max`` (in the brain too), ``accepted``.
    accepted : bool
        Whether it may be used.
    faults : tuple of Fault
        ``W150`` where the second attempt worked, ``E150`` where none did.
    """

    warp: Warp | None
    jacobian: Volume | None
    facts: dict[str, Any]
    accepted: bool
    faults: tuple[Fault, ...]


def normalise(
    moving: Volume,
    moving_mask: np.ndarray,
    template: Volume,
    template_mask: np.ndarray,
    *,
    moving_name: str,
    template_name: str,
    affine_iterations: Sequence[int],
    affine_step: float,
    syn_iterations: Sequence[int],
    syn_metric: str,
    syn_bins: int,
    syn_step: float,
    flow_sigma: float,
    total_sigma: float,
    bins: int,
    sampling_rate: float,
    threshold: float,
    winsorize: Sequence[float],
    margin_mm: float,
    working_mm: float,
    min_nmi: float,
    min_dice: float,
    max_jacobian: float,
    seed: int,
) -> Normalisation:
    """Normalise an image to a template.

    Parameters
    ----------
    moving : Volume
        3-D, any contrast; cut to the brain here.
    moving_mask, template_mask : ndarray of bool
        Brain masks on the images' own grids.
    template : Volume
        The template; skull-stripped.
    moving_name, template_name : str
        For the faults.
    affine_iterations, syn_iterations : sequence of int
        At most this many iterations per level, coarse to fine; each level doubles the resolution, the last is
        the template's own. Rigid, then affine, run over the first.
    affine_step, syn_step, flow_sigma, total_sigma
        Optimiser's steps, and SyN's smoothing of the update and of the total field, as ANTs has them.
    syn_metric, syn_bins
        ``mattes`` with so many bins, or ``CC`` with that radius in voxels.
    bins, sampling_rate, threshold, winsorize, margin_mm, working_mm, seed
        As in ``reperfuse.imaging.registration.rigid``, for the linear stages.
    min_nmi, min_dice, max_jacobian
        Not accepted below, below, and where a Jacobian determinant in the brain is above ``max_jacobian`` or
        under ``1 / max_jacobian``; a field that folds (0 or less) is thus refused.

    Returns
    -------
    Normalisation
        Bit-identical for the same input and settings on one machine.

    Notes
    -----
    SyN: Avants et al., Med Image Anal 12:26 (2008).
    """
    brain = moving_mask.astype(bool)
    cut = winsorized(moving, winsorize)
    small = coarsen(cut.like(np.where(brain, cut.data, 0)), working_mm)
    small_brain = coarsen(moving.like(brain), working_mm).data
    metric_region = ndimage.distance_transform_edt(~template_mask, sampling=template.zooms) <= margin_mm
    turned = Stage(
        transform=f"Rigid[{affine_step}]",
        metric="mattes",
        bins=bins,
        sampling_rate=sampling_rate,
        iterations=tuple(affine_iterations),
        shrink_factors=_halving(len(affine_iterations)),
        smoothing_mm=tuple(float(n) for n in range(len(affine_iterations), 0, -1)),
        threshold=threshold,
        window=10,
    )
    levels = _halving(len(syn_iterations))
    stages = [
        turned,
        replace(turned, transform=f"Affine[{affine_step}]"),
        Stage(
            transform=f"SyN[{syn_step},{flow_sigma},{total_sigma}]",
            metric=syn_metric,
            bins=syn_bins,
            sampling_rate=1.0,
            iterations=tuple(syn_iterations),
            shrink_factors=levels,
            smoothing_mm=tuple(float(i) * min(template.zooms) for i in range(len(levels) - 1, -1, -1)),
            threshold=threshold,
            window=8,
        ),
    ]
    named = {"moving": moving_name, "fixed": template_name}
    whys: list[str] = []
    result = Normalisation(None, None, {"accepted": False, "start": STARTS[-1]}, False, ())
    for start in STARTS:
        try:
            guess = _start(start, template, template_mask, small, small_brain)
            found = fit(
                template,
                small,
                stages,
                start=guess,
                fixed_mask=metric_region,
                moving_mask=None,
                seed=seed,
            )
            if found.warp is None or found.inverse_warp is None:
                raise EngineError("no displacement field was written")
        except EngineError as error:
            whys.append(str(error))
            continue
        warp = Warp(
            found.matrix,
            template.like(quantised(found.warp)),
            template.like(quantised(found.inverse_warp)),
        )
        result = _measured(warp, small, small_brain, template, template_mask, start, bins)
        against = _objections(result.facts, min_nmi, min_dice, max_jacobian)
        if not against:
            break
        whys.append(" and ".join(against))
    else:
        expected = (
            f"a normalised mutual information of at least {min_nmi}, a brain with a Dice of at least "
            f"{min_dice}, and a Jacobian determinant between {1 / max_jacobian:.2f} and {max_jacobian}"
        )
        values = {
            "moving": moving_name,
            "fixed": template_name,
            "why": whys[-1],
            "expected_quality": expected,
        }
        return Normalisation(result.warp, result.jacobian, result.facts, False, (Fault("E150", "", values),))
    faults = []
    if whys:
        faults.append(Fault("W150", "", {**named, "start": start, "why": whys[-1]}))
    facts = {**result.facts, "accepted": True}
    return replace(result, facts=facts, accepted=True, faults=tuple(faults))


def _halving(levels: int) -> tuple[int, ...]:
    return tuple(2**level for level in range(levels - 1, -1, -1))


def _start(
    kind: str, template: Volume, template_mask: np.ndarray, moving: Volume, brain: np.ndarray
) -> np.ndarray:
    """Return a first guess from the two brains: centre upon centre, and as large."""
    scale = 1.0
    if kind == "centre and size":
        ratio = (brain.sum() * moving.voxel_ml) / (template_mask.sum() * template.voxel_ml)
        scale = float(ratio ** (1 / 3))
    matrix = np.diag([scale, scale, scale, 1.0])
    matrix[:3, 3] = centre_mm(moving, brain) - scale * centre_mm(template, template_mask)
    return matrix


def _measured(
    warp: Warp,
    moving: Volume,
    brain: np.ndarray,
    template: Volume,
    template_mask: np.ndarray,
    start: str,
    bins: int,
) -> Normalisation:
    straight = Warp(warp.matrix, template.like(np.zeros_like(warp.forward.data)), warp.inverse)
    index = {}
    for name, one in (("nmi_affine", straight), ("nmi_syn", warp)):
        pulled = to_template(moving, one, interpolation="linear").data
        # Tissue upon tissue only: the brain's outline alone would make noise look related.
        there = to_template(moving.like(brain), one, interpolation="linear").data
        both = there & template_mask
        index[name] = nmi(template.data[both], pulled[both], bins=bins)
    determinant = jacobian(warp)
    inside = determinant.data[template_mask]
    facts = {
        "start": start,
        **{name: round(value, 4) for name, value in index.items()},
        "brain_dice": round(dice(there, template_mask), 4),
        "affine_determinant": round(float(np.linalg.det(warp.matrix[:3, :3])), 4),
        "jacobian_min": round(float(inside.min()), 4),
        "jacobian_max": round(float(inside.max()), 4),
        "accepted": False,
    }
    return Normalisation(warp, determinant, facts, False, ())


def _objections(facts: dict[str, Any], min_nmi: float, min_dice: float, max_jacobian: float) -> list[str]:
    found = []
    if facts["nmi_syn"] < min_nmi:
        found.append(f"the normalised mutual information is {facts['nmi_syn']:.3f}")
    elif facts["nmi_syn"] < facts["nmi_affine"] - 0.002:
        found.append("the nonlinear stage lowered the normalised mutual information")
    if facts["brain_dice"] < min_dice:
        found.append(f"the brains overlap with a Dice of {facts['brain_dice']:.2f}")
    if facts["jacobian_min"] < 1 / max_jacobian or facts["jacobian_max"] > max_jacobian:
        low, high = facts["jacobian_min"], facts["jacobian_max"]
        found.append(f"the Jacobian determinant runs from {low:.2f} to {high:.2f}")
    return found
