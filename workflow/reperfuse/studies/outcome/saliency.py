"""Where in a patient's ADC map a linear configuration finds what it decides by."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from reperfuse.core.errors import Fault, Refusal
from reperfuse.evaluation.interface import Prediction
from reperfuse.imaging.model_input import to_native
from reperfuse.imaging.reader import read_present
from reperfuse.imaging.volume import Volume, write_volume
from reperfuse.studies import explained
from reperfuse.studies.outcome.directions import Direction, Directions
from reperfuse.studies.outcome.embedding import network_input
from reperfuse.studies.shown import Shown

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
        From `reperfuse.studies.explained.chosen`.
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
    explained.clear(folder)
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
            name = f"{who}_{session or visit}{explained.END}"
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
                    "correct": explained.correct(case),
                    "stability": explained.known(made.stability),
                    **explained.shares(made.volume, images["brain"], images.get("lesion")),
                    "file": name,
                }
            )
    return rows, faults, {"kind": stamp.kind, "text": stamp.text, "sha256": stamp.sha256}


def sidecar(case: Prediction, visit: str, made: Explained, weights: str) -> dict[str, Any]:
    """Return what must be known of a map, for those who find the file alone."""
    return explained.sidecar(
        case,
        stability=made.stability,
        coarse=made.coarse,
        reference=f"bids::work/{case.participant_id}/{visit}_adc.nii.gz",
        Description=f"What each place of the {visit} ADC map adds to the decision value of {case.configuration}; "
        f"by the model of fold {case.fold}, which was fitted without this patient",
        Units="decision value",
        Sign=f"positive places speak for {case.target}, negative ones against it",
        Mean="before resampling, the mean over the field of view is what the image adds to the decision value, "
        "over what the mean of the training patients adds",
        Visit=visit,
        Weights=weights,
    )
