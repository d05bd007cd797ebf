"""Where in a patient's ADC map a linear configuration finds what it decides by."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from reperfuse.core.errors import Fault, Refusal
from reperfuse.evaluation.interface import Prediction
from reperfuse.evaluation.judgement import THRESHOLD
from reperfuse.imaging.model_input import to_native
from reperfuse.imaging.reader import read_present
from reperfuse.imaging.volume import Volume, same_grid, sidecar_path, write_volume
from reperfuse.studies.outcome.directions import Direction, Directions
from reperfuse.studies.outcome.embedding import Shown, network_input

Array = np.ndarray
COLUMNS = (
    "participant_id session_id visit target configuration fold y_true y_score correct stability share_in_lesion "
    "lesion_share share_outside_brain file"
).split()


@dataclass(frozen=True)
class Explained:
    """One patient's map of one visit.

    Parameters
    ----------
    volume : Volume
        float32 on the grid of the ADC map: what each place adds to the decision value.
    stability : float
        Mean correlation between the maps of the folds' models, before resampling; NaN for a single model.
    coarse : tuple of int
        Shape in which the network gave it.
    """

    volume: Volume
    stability: float
    coarse: tuple[int, ...]


def chosen(predictions: Sequence[Prediction], configuration: str, target: str, *, n: int) -> list[Prediction]:
    """Return the most certain right and the most certain wrong predictions, right ones first.

    Parameters
    ----------
    predictions : sequence of Prediction
        Those of the first repeat of the cross-validation are looked at.
    n : int
        How many; the odd one is a right one. There may be fewer where fewer were wrong.
    """
    mine = [
        one for one in predictions
        if (one.configuration, one.target, one.split, one.repeat) == (configuration, target, "cv", 1)
    ]  # fmt: skip
    mine.sort(key=lambda one: (-abs(one.y_score - THRESHOLD), one.participant_id))
    right, wrong = [one for one in mine if correct(one)], [one for one in mine if not correct(one)]
    return right[: n - n // 2] + wrong[: n // 2]


def correct(prediction: Prediction) -> bool:
    """Whether the more probable outcome is the one that came."""
    return (prediction.y_score >= THRESHOLD) == bool(prediction.y_true)


def explain(
    encoder: Any, image: Array, adc: Volume, by_fold: Mapping[int, Direction], fold: int, *, device: Any
) -> Explained:
    """Return what each place of a map adds to the decision value.

    The embedding is a mean over places and the decision linear in it, so that the map is exact: at the network's
    resolution, its mean is what the image adds to the decision value, over what the mean of the training patients
    adds (class activation mapping: Zhou et al., CVPR 2016).

    Parameters
    ----------
    encoder : Resnet50Encoder
    image : ndarray, shape (slices, rows, columns)
        What the network is shown of ``adc``.
    adc : Volume
    by_fold : mapping
        Fold → direction of that fold's model.
    fold : int
        Of the patient; the model of this fold never saw the patient, and its map is the one that is kept.
    device : torch.device or str

    Raises
    ------
    KeyError
        There is no model of the patient's fold.
    """
    from reperfuse.learning.activation import activation_maps, stability  # torch takes its time

    own, order = by_fold[fold], sorted(by_fold)
    weights = np.stack([by_fold[one].weight for one in order])
    maps = activation_maps(encoder, image, weights, device=device)
    mine = maps[order.index(fold)] + np.float32(own.offset)
    shape = (image.shape[0], image.shape[1], image.shape[2])
    volume = to_native(mine, adc, shape=shape, stride=encoder.stride)
    return Explained(volume, stability(maps), mine.shape)


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


def saliency(
    cases: Sequence[Prediction],
    directions: Directions,
    shown: Shown,
    folder: Path,
    *,
    about: Mapping[str, Any],
    session_ids: Mapping[str, str],
    variant: Any,
    weights: Path | None,
    sha256: str,
    allow_random_weights: bool,
    seed: int,
    shape: tuple[int, int, int],
    clip: float,
    background: Any,
    device: Any,
) -> tuple[list[dict[str, Any]], list[Fault], dict[str, str]]:
    """Write the map of each case and visit; return the table's rows, findings, and what the weights are.

    Parameters
    ----------
    cases : sequence of Prediction
        From `chosen`.
    directions : mapping
        visit → fold → direction of the cases' configuration.
    shown : mapping
        participant_id → visit → ``adc``, ``brain``, ``lesion`` → path.
    folder : Path
        Whatever maps an earlier run left in it are removed.
    about : mapping
        Fields of every sidecar.
    session_ids : mapping
        Visit → session.
    variant, weights, sha256, allow_random_weights, seed, shape, clip, background, device
        See `reperfuse.studies.outcome.embedding.adc_vectors`.

    Raises
    ------
    Refusal
        E200, E201: the weights cannot be used.
    """
    for old in sorted(folder.glob("sub-*_map.nii.gz")):
        sidecar_path(old).unlink(missing_ok=True)
        old.unlink()
    if not (cases and directions):
        return [], [], {}
    from reperfuse.learning.device import choose_device
    from reperfuse.learning.weights import load_encoder

    encoder, stamp = load_encoder(
        variant, weights, sha256=sha256, allow_random=allow_random_weights, seed=seed
    )
    rows: list[dict[str, Any]] = []
    faults: list[Fault] = []
    for case in cases:
        for visit, by_fold in sorted(directions.items()):
            who, session = case.participant_id, session_ids.get(visit, "")
            images = read_present(shown[who][visit])
            try:
                image = network_input(images, shape=shape, clip=clip, background=background, seed=seed)
            except Refusal as refusal:
                faults.append(refusal.fault.of(who, session, f"work/{who}/{visit}_adc.nii.gz"))
                continue
            assert case.fold is not None
            made = explain(encoder, image, images["adc"], by_fold, case.fold, device=choose_device(device))
            name = "_".join(part for part in (who, session or visit, "desc-saliency_map.nii.gz") if part)
            write_volume(
                folder / name,
                made.volume,
                {**about, **sidecar(case, visit, made, stamp.text)},
            )
            rows.append(
                {
                    **vars(case),
                    "session_id": session,
                    "visit": visit,
                    "correct": correct(case),
                    "stability": made.stability if math.isfinite(made.stability) else None,
                    **shares(made.volume, images["brain"], images.get("lesion")),
                    "file": name,
                }
            )
    return rows, faults, {"kind": stamp.kind, "text": stamp.text, "sha256": stamp.sha256}


def sidecar(case: Prediction, visit: str, made: Explained, weights: str) -> dict[str, Any]:
    """Return what must be known of a map, for those who find the file alone."""
    return {
        "Description": f"What each place of the {visit} ADC map adds to the decision value of {case.configuration}; "
        f"by the model of fold {case.fold}, which was fitted without this patient",
        "Units": "decision value",
        "Sign": f"positive places speak for {case.target}, negative ones against it",
        "Mean": "before resampling, the mean over the field of view is what the image adds to the decision value, "
        "over what the mean of the training patients adds",
        "Configuration": case.configuration,
        "Fold": case.fold,
        "Visit": visit,
        "Stability": round(made.stability, 6) if math.isfinite(made.stability) else None,
        "ShapeBeforeResampling": list(made.coarse),
        "Weights": weights,
        "SpatialReference": f"bids::work/{case.participant_id}/{visit}_adc.nii.gz",
        "Use": "Research use only. Not a medical device.",
    }
