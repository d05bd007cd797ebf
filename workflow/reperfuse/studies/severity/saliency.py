"""Where in a patient's image the first network finds what it decides by, and whether that is the lesion."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from reperfuse.core.errors import Fault, Refusal
from reperfuse.core.seeds import seed_of
from reperfuse.evaluation.interface import Prediction
from reperfuse.imaging import network_grid
from reperfuse.imaging.volume import Volume, write_volume
from reperfuse.studies import explained
from reperfuse.studies.severity import map_measures as measures
from reperfuse.studies.severity.places import Place

Array = np.ndarray
Row = dict[str, Any]
Section = Mapping[str, Any]
COLUMNS = (
    "participant_id session_id target configuration fold y_true y_score correct stability pointing_hit "
    "pointing_chance energy energy_chance share_outside_brain shown file"
).split()
# What has the place of TRACT-NET's last features in other networks; a transformer's tokens are no map.
LAYERS = {
    "resnet18": "network.layer4",
    "densenet121": "network.features.norm5",
    "seresnet50": "network.layer4",
    "vit": "",
}


@dataclass(frozen=True)
class Maps:
    """What was found: rows of ``saliency.tsv``, ``randomised.tsv`` and ``saliency-summary.tsv``, and findings."""

    rows: list[Row]
    randomised: list[Row]
    summary: list[Row]
    faults: list[Fault]


def layer_of(section: Section) -> str:
    """Return the layer of the first network whose features are weighted; empty where it has none."""
    name = section["networks"][0]
    return str(LAYERS.get(name, section["saliency"]["layer"]))


def sampled(predictions: Sequence[Prediction], section: Section, target: str) -> list[Prediction]:
    """Return whose maps are made: patients of the first repeat, drawn without looking at label or prediction."""
    mine = explained.of_first_repeat(predictions, section["networks"][0], target)
    mine.sort(key=lambda one: (seed_of(section["salt"], "saliency", one.participant_id), one.participant_id))
    return mine[: section["saliency"]["patients"]]


def explain(
    networks: Sequence[Any], image: Array, layer: str, *, class_index: int, device: Any
) -> tuple[Array, float]:
    """Return the map of a fold's model, the mean over its networks, and how well these agree.

    Parameters
    ----------
    networks : sequence of nn.Module
        Of the fold that holds the patient, none of which has seen the patient.
    image : ndarray, shape (C, S, R, L)
        What they are shown.
    layer, class_index, device
        See `reperfuse.learning.gradcam.raw_maps`.

    Returns
    -------
    map : ndarray, shape (d, h, w)
        Each network's map counts the same, whatever its size; sum 1, or 0 everywhere if all of them are.
    stability : float
        Mean correlation between pairs of maps; NaN for a single network.
    """
    from reperfuse.learning.activation import stability  # torch takes its time
    from reperfuse.learning.gradcam import raw_maps

    made = [raw_maps(net, image[None], layer, class_index=class_index, device=device)[0] for net in networks]
    maps = np.stack(made).astype(np.float64)
    total = maps.sum(axis=(1, 2, 3), keepdims=True)
    unit = np.divide(maps, total, out=np.zeros_like(maps), where=total > 0)
    whole = unit.sum()
    return unit.sum(axis=0) / (whole if whole > 0 else 1.0), stability(maps)


def strides(shape: Sequence[int], coarse: Sequence[int]) -> list[float]:
    """Return by how much a network's steps reduce each axis, from the sizes before and after.

    Voxel k of a coarse map is centred on voxel stride·k of the input, not in the middle of as many voxels, because
    kernels are odd and padded by half their extent. Each step halves an axis, rounding up.
    """
    found = []
    for n, m in zip(shape, coarse, strict=True):
        fitting = [2.0**k for k in range(n.bit_length() + 1) if -(-n // 2**k) == m]
        found.append(fitting[0] if fitting else float(2.0 ** np.round(np.log2(n / m))))
    return found


def drawn(found: Array, place: Place, shape: Sequence[int], *, least: int) -> Volume:
    """Return a coarse map on the patient's grid.

    Parameters
    ----------
    found : ndarray, shape (d, h, w)
    place : Place
    shape : sequence of int
        Of what the network is shown.
    least : int
        To how many voxels, half of them before it, the network fills up an axis that has fewer.
    """
    lacking = [max(0, least - n) for n in shape]
    filled = (shape[0] + lacking[0], shape[1] + lacking[1], shape[2] + lacking[2])
    moved = np.eye(4)
    moved[:3, 3] = [-(n // 2) for n in lacking]
    coarse = np.asarray(found, dtype=np.float32)
    stride = strides(filled, found.shape)
    return network_grid.to_native(coarse, place.image, place.matrix @ moved, filled, stride=stride)


def saliency(
    predictions: Sequence[Prediction],
    section: Section,
    target: str,
    *,
    networks: Callable[[int], Sequence[Any]],
    images: Mapping[str, Array],
    place_of: Callable[[str], Place],
    folder: Path,
    about: Mapping[str, Any],
    device: Any,
) -> Maps:
    """Write the map of each sampled patient, and return what was measured of them.

    Parameters
    ----------
    predictions : sequence of Prediction
    section : mapping
        ``studies.severity``.
    target : str
    networks : callable
        Fold → networks of the first configuration's model of that fold.
    images : mapping
        participant_id → (C, S, R, L), what networks are shown.
    place_of : callable
        participant_id → where its map is drawn; may raise Refusal.
    folder : Path
        Whatever maps an earlier run left in it are removed.
    about : mapping
        Fields of every sidecar.
    device : torch.device or str
    """
    explained.clear(folder)
    for old in sorted([*folder.glob("sub-*_lesion.nii.gz"), *folder.glob("template_*.nii.gz")]):
        old.unlink()
    layer, options = layer_of(section), section["saliency"]
    found = Maps([], [], [], [])
    if not layer:
        return found
    from reperfuse.studies.severity.architectures import SMALLEST, class_index  # torch takes its time

    look = {"class_index": class_index(section), "device": device}
    least = 0 if section["networks"][0] == "tractnet" else SMALLEST
    cases = [one for one in sampled(predictions, section, target) if one.participant_id in images]
    shown = {
        one.participant_id
        for one in explained.chosen(cases, section["networks"][0], target, n=options["shown"])
    }
    left = options["randomised"]
    # By fold, because each has networks of its own.
    for case in sorted(cases, key=lambda one: (one.fold or 0, cases.index(one))):
        who, image = case.participant_id, images[case.participant_id]
        members = networks(case.fold or 0)
        try:
            place = place_of(who)
        except Refusal as refusal:
            found.faults.append(refusal.fault.of(who, case.session_id))
            continue
        coarse, agreement = explain(members, image, layer, **look)
        volume = drawn(coarse, place, image.shape[1:], least=least)
        name = "_".join(part for part in (who, case.session_id) if part) + explained.END
        write_volume(folder / name, volume, {**about, **sidecar(case, coarse, agreement, place, section)})
        if place.in_template and who in shown:
            _write_scene(folder, name, place)
        found.rows.append(
            {
                **vars(case),
                "correct": explained.correct(case),
                "stability": explained.known(agreement),
                **measures.measured(volume, place, section),
                "shown": int(who in shown),
                "file": name,
            }
        )
        if left > 0:
            seed = seed_of(section["salt"], "randomised", who)
            rows = measures.cascade(members[0], image, layer, **look, seed=seed)
            found.randomised.extend({"participant_id": who, **row} for row in rows)
            left -= bool(rows)
    found.rows.sort(key=lambda row: row["participant_id"])
    found.summary.extend(measures.summary(found.rows, section))
    return found


def _write_scene(folder: Path, name: str, place: Place) -> None:
    """Write what a map in the template is drawn over, because nothing else that was written lies there."""
    write_volume(folder / "template_image.nii.gz", place.image)
    write_volume(folder / "template_brain.nii.gz", place.brain)
    if place.lesion is not None:
        write_volume(folder / name.replace("_map.nii.gz", "_lesion.nii.gz"), place.lesion)


def sidecar(case: Prediction, coarse: Array, agreement: float, place: Place, section: Section) -> Row:
    """Return what must be known of a map, for those who find the file alone."""
    return explained.sidecar(
        case,
        stability=agreement,
        coarse=coarse.shape,
        reference=place.reference,
        Description=f"Grad-CAM of {case.configuration}: where its features speak for {case.target}; mean over the "
        f"networks of fold {case.fold}, which were trained without this patient",
        Units="share of the map before resampling",
        Sign="never below 0: what speaks against it is not shown",
        Layer=layer_of(section),
        Channels=list(section["channels"]),
        Space=section["space"],
    )
