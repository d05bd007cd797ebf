"""What maps of what a network looked at have in common, whichever study made them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from reperfuse.evaluation.interface import Prediction
from reperfuse.evaluation.judgement import THRESHOLD
from reperfuse.imaging.volume import Volume, same_grid, sidecar_path

END = "_desc-saliency_map.nii.gz"


def chosen(predictions: Sequence[Prediction], configuration: str, target: str, *, n: int) -> list[Prediction]:
    """Return the most certain right and the most certain wrong predictions, right ones first.

    Parameters
    ----------
    predictions : sequence of Prediction
        Those of the first repeat of the cross-validation are looked at.
    n : int
        How many; the odd one is a right one. There may be fewer where fewer were wrong.
    """
    mine = of_first_repeat(predictions, configuration, target)
    mine.sort(key=lambda one: (-abs(one.y_score - THRESHOLD), one.participant_id))
    right, wrong = [one for one in mine if correct(one)], [one for one in mine if not correct(one)]
    return right[: n - n // 2] + wrong[: n // 2]


def of_first_repeat(predictions: Sequence[Prediction], configuration: str, target: str) -> list[Prediction]:
    """Return what a configuration predicts in the first repeat of the cross-validation."""
    return [
        one for one in predictions
        if (one.configuration, one.target, one.split, one.repeat) == (configuration, target, "cv", 1)
    ]  # fmt: skip


def correct(prediction: Prediction) -> bool:
    """Whether the more probable outcome is the one that came."""
    return (prediction.y_score >= THRESHOLD) == bool(prediction.y_true)


def shares(found: Volume, brain: Volume, lesion: Volume | None) -> dict[str, float | None]:
    """Return how much of a map lies in the lesion, how much would by chance, and how much outside the brain.

    ``share_in_lesion`` is Σ|map| in the lesion over Σ|map| in the brain, ``lesion_share`` the share of the brain's
    voxels that the lesion takes, ``share_outside_brain`` Σ|map| outside the brain over Σ|map|. None without a
    lesion on the same grid, or where there is nothing to divide by.
    """
    size, inside = np.abs(found.data.astype(np.float64)), brain.data > 0.5
    whole, within = float(size.sum()), float(size[inside].sum())
    result: dict[str, float | None] = {"share_in_lesion": None, "lesion_share": None}
    result["share_outside_brain"] = 1 - within / whole if whole > 0 else None
    if lesion is not None and same_grid(lesion, found) and within > 0:
        core = inside & (lesion.data > 0.5)
        if core.any():
            result["share_in_lesion"] = float(size[core].sum()) / within
            result["lesion_share"] = float(core.sum() / inside.sum())
    return result


def clear(folder: Path) -> None:
    """Remove whatever maps an earlier run left in a folder."""
    for old in sorted(folder.glob(f"sub-*{END}")):
        sidecar_path(old).unlink(missing_ok=True)
        old.unlink()


def known(stability: float, digits: int | None = None) -> float | None:
    """Return a stability as tables and sidecars hold it: None for a single model, which has none."""
    if not math.isfinite(stability):
        return None
    return stability if digits is None else round(stability, digits)


def sidecar(
    case: Prediction, *, stability: float, coarse: Sequence[int], reference: str, **own: Any
) -> dict[str, Any]:
    """Return what must be known of any map, for those who find the file alone.

    Parameters
    ----------
    case : Prediction
    stability : float
        NaN where there is none.
    coarse : sequence of int
        Shape in which the network gave the map.
    reference : str
        Image on whose grid the map lies.
    **own
        Fields of this kind of map.
    """
    return {
        **own,
        "Configuration": case.configuration,
        "Target": case.target,
        "Fold": case.fold,
        "Stability": known(stability, 6),
        "ShapeBeforeResampling": list(coarse),
        "SpatialReference": reference,
        "Use": "Research use only. Not a medical device.",
    }
