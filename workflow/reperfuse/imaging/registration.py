"""Rigid registration of two images of one head, measured, judged, and tried again where it fails."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from reperfuse.core.errors import Fault
from reperfuse.imaging.alignment_quality import Quality, measure, objections
from reperfuse.imaging.ants_engine import EngineError, Stage
from reperfuse.imaging.rigid_fit import Pair, coarsen, foreground, start_matrix, weight_centres, winsorized
from reperfuse.imaging.volume import Volume


@dataclass(frozen=True)
class Alignment:
    """A rigid alignment and what is known of it.

    Parameters
    ----------
    matrix : ndarray, shape (4, 4)
        Fixed image's RAS mm to moving image's RAS mm.
    quality : Quality or None
        None where no attempt gave a transform.
    accepted : bool
        Whether the alignment may be used.
    start : str
        The attempt that worked, or the last one.
    faults : tuple of Fault
        ``W150`` where another than the first attempt worked, ``E150`` where none did, ``W117`` where the
        mirrored image fits better.
    """

    matrix: np.ndarray
    quality: Quality | None
    accepted: bool
    start: str
    faults: tuple[Fault, ...] = ()

    def facts(self) -> dict[str, Any]:
        """Return what a record keeps."""
        quality = self.quality
        numbers = {} if quality is None else {k: v for k, v in vars(quality).items() if v is not None}
        return {
            "start": self.start,
            "accepted": self.accepted,
            "matrix": np.asarray(self.matrix).tolist(),
            **{name: round(float(value), 4) for name, value in numbers.items()},
        }


def rigid(
    fixed: Volume,
    moving: Volume,
    *,
    fixed_mask: np.ndarray | None,
    moving_mask: np.ndarray | None,
    fixed_name: str,
    moving_name: str,
    starts: Sequence[str],
    metric: str,
    bins: int,
    sample_points: int,
    iterations: Sequence[int],
    shrink_factors: Sequence[int],
    smoothing_mm: Sequence[float],
    gradient_step: float,
    threshold: float,
    window: int,
    winsorize: Sequence[float],
    margin_mm: float,
    working_mm: float,
    min_nmi: float,
    min_dice: float,
    min_covered: float,
    max_shift_mm: float,
    max_rotation_deg: float,
    mirror_margin: float | None,
    seed: int,
) -> Alignment:
    """Align two images of one head.

    Parameters
    ----------
    fixed, moving : Volume
        3-D images. Neither is changed.
    fixed_mask, moving_mask : ndarray of bool, or None
        Brain masks on the images' own grids, where known.
    fixed_name, moving_name : str
        For the faults.
    starts : sequence of {"centre of mass", "moments", "identity"}
        Attempts in order; the next one only where the one before was not accepted.
    metric, bins, iterations, shrink_factors, smoothing_mm, gradient_step, threshold, window
        See ``reperfuse.imaging.ants_engine.Stage``.
    sample_points : int
        The metric reads about as many voxels of the region at the finest level, half of them at most.
    winsorize : pair of float
        Quantiles at which intensities are cut.
    margin_mm : float
        The metric is read within the brain mask widened by this much: the skull's edge holds much of what
        aligns two contrasts.
    working_mm : float
        Axes with finer voxels are averaged down to at most this size for the fit.
    min_nmi, min_dice, min_covered, max_shift_mm, max_rotation_deg
        See ``reperfuse.imaging.alignment_quality.objections``.
    mirror_margin : float or None
        Warn where mirroring left to right raises the normalised mutual information by more; None skips it.
    seed : int
        Of the metric's sample points.

    Returns
    -------
    Alignment
        Bit-identical for the same input and settings on one machine.

    Notes
    -----
    Mattes mutual information (Mattes et al., IEEE TMI 22:120, 2003) by antsRegistration (Avants et al.,
    Front Neuroinform 7:39, 2014).
    """
    brain = fixed_mask.astype(bool) if fixed_mask is not None and fixed_mask.any() else foreground(fixed)
    small_fixed = coarsen(winsorized(fixed, winsorize), working_mm)
    small_moving = coarsen(winsorized(moving, winsorize), working_mm)
    small_brain = coarsen(fixed.like(brain), working_mm).data
    small_mask = None
    if moving_mask is not None:
        small_mask = coarsen(moving.like(moving_mask.astype(bool)), working_mm).data
    pair = Pair.prepare(small_fixed, small_moving, small_brain, margin_mm, seed)
    stage = Stage(
        transform=f"Rigid[{gradient_step}]",
        metric=metric,
        bins=bins,
        sampling_rate=min(0.5, sample_points / int(pair.region.sum())),
        iterations=iterations,
        shrink_factors=shrink_factors,
        smoothing_mm=smoothing_mm,
        threshold=threshold,
        window=window,
    )
    centres = weight_centres(small_fixed, small_moving, small_brain, small_mask)
    limits = {
        "min_nmi": min_nmi,
        "min_dice": min_dice,
        "min_covered": min_covered,
        "max_shift_mm": max_shift_mm,
        "max_rotation_deg": max_rotation_deg,
    }
    whys: list[str] = []
    result = Alignment(np.eye(4), None, False, starts[-1])
    for start in starts:
        try:
            matrix = pair.fit(stage, start_matrix(start, small_fixed, small_moving, small_brain, small_mask))
        except EngineError as error:
            whys.append(str(error))
            continue
        quality = measure(
            small_fixed,
            small_moving,
            matrix,
            fixed_mask=small_brain,
            moving_mask=small_mask,
            centres=centres,
            bins=bins,
        )
        against = objections(quality, **limits)
        result = Alignment(matrix, quality, not against, start)
        if not against:
            break
        whys.append(" and ".join(against))
    named = {"moving": moving_name, "fixed": fixed_name}
    if not result.accepted:
        expected = (
            f"a normalised mutual information of at least {min_nmi}, brain masks with a Dice of at least "
            f"{min_dice}, a shift of at most {max_shift_mm} mm and {max_rotation_deg} degrees"
        )
        fault = Fault("E150", "", {**named, "why": whys[-1], "expected_quality": expected})
        return replace(result, faults=(fault,))
    faults = []
    if whys:
        faults.append(Fault("W150", "", {**named, "start": result.start, "why": whys[-1]}))
    if mirror_margin is not None and result.quality is not None:
        mirrored = pair.mirrored(stage, result.matrix, bins)
        plain = result.quality.nmi_after
        result = replace(result, quality=replace(result.quality, nmi_mirrored=mirrored))
        if mirrored > plain + mirror_margin:
            values = {**named, "mirrored": round(mirrored, 3), "plain": round(plain, 3)}
            faults.append(Fault("W117", "", values))
    return replace(result, faults=tuple(faults))
