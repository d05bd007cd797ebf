"""Where in a patient's image the first network finds what it decides by, and whether that is the lesion."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy import ndimage, stats

from reperfuse.core.errors import Fault, Refusal
from reperfuse.core.seeds import seed_of
from reperfuse.evaluation.interface import Prediction
from reperfuse.evaluation.resampling import cluster_bootstrap
from reperfuse.imaging import network_grid
from reperfuse.imaging.volume import Volume, same_grid, write_volume
from reperfuse.studies import explained

Array = np.ndarray
Row = dict[str, Any]
Section = Mapping[str, Any]
COLUMNS = (
    "participant_id session_id target configuration fold y_true y_score correct stability pointing_hit "
    "pointing_chance energy energy_chance share_outside_brain shown file"
).split()
RANDOMISED_COLUMNS = "participant_id layer correlation".split()
SUMMARY_COLUMNS = "configuration measure n mean chance compared value ci_low ci_high note".split()
CIRCULAR = (
    "The network was shown the lesion mask itself. Whether it looks at the lesion is then no question, so "
    "that pointing and energy are left empty."
)
# What has the place of TRACT-NET's last features in other networks; a transformer's tokens are no map.
LAYERS = {"resnet18": "layer4", "densenet121": "features.norm5", "seresnet50": "layer4", "vit": ""}


@dataclass(frozen=True)
class Place:
    """Where a patient's map is drawn.

    Parameters
    ----------
    image : Volume
        Gives the grid.
    brain : Volume
        On that grid.
    lesion : Volume or None
        On that grid.
    matrix : ndarray, shape (4, 4)
        From a voxel of what the network is shown to a voxel of ``image``.
    reference : str
        Name of ``image``.
    """

    image: Volume
    brain: Volume
    lesion: Volume | None
    matrix: Array
    reference: str


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


def class_of(section: Section) -> int:
    """Return the output that speaks for the label: the second class, or the score itself where it alone was learnt."""
    return 2 if section["training"]["graded"] == 1 else 1


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


def strides(shape: Sequence[int], coarse: Sequence[int]) -> Array:
    """Return by how much a network's steps reduce each axis, from the sizes before and after.

    Voxel k of a coarse map is centred on voxel stride·k of the input, not in the middle of as many voxels, because
    kernels are odd and padded by half their extent. Steps are of two, so that a stride is a power of two.
    """
    return np.array([2.0 ** round(float(np.log2(n / m))) for n, m in zip(shape, coarse, strict=True)])


def drawn(found: Array, place: Place, shape: Sequence[int]) -> Volume:
    """Return a coarse map on the patient's grid; ``shape`` is that of what the network is shown."""
    scale = np.diag([*strides(shape, found.shape), 1.0])
    coarse = np.asarray(found, dtype=np.float32)
    return network_grid.to_native(coarse, place.image, place.matrix @ scale, found.shape)


def pointing(
    found: Volume, brain: Volume, lesion: Volume | None, *, dilate_mm: float
) -> dict[str, float | None]:
    """Return whether a map is largest in the lesion or near it, and how likely that is of a place in the brain.

    The pointing game of Zhang et al. (IJCV 2018). ``pointing_chance`` is the share of the brain within ``dilate_mm`` of
    the lesion. None without a lesion in the brain on the same grid, or for a map without contrast.
    """
    nothing: dict[str, float | None] = {"pointing_hit": None, "pointing_chance": None}
    if lesion is None or not same_grid(lesion, found) or np.ptp(found.data) == 0:
        return nothing
    inside = brain.data > 0.5
    core = inside & (lesion.data > 0.5)
    if not core.any():
        return nothing
    near = ndimage.distance_transform_edt(~core, sampling=found.zooms) <= dilate_mm
    hit = bool(near[np.unravel_index(int(found.data.argmax()), found.data.shape)])
    return {"pointing_hit": int(hit), "pointing_chance": float((near & inside).sum() / inside.sum())}


def measured(found: Volume, place: Place, section: Section) -> Row:
    """Return what is measured of a map; nothing of the lesion where the network was shown the lesion itself."""
    lesion = None if "lesion" in section["channels"] else place.lesion
    share = explained.shares(found, place.brain, lesion)
    return {
        **pointing(found, place.brain, lesion, dilate_mm=section["saliency"]["dilate_mm"]),
        "energy": share["share_in_lesion"],
        "energy_chance": share["lesion_share"],
        "share_outside_brain": share["share_outside_brain"],
    }


def cascade(network: Any, image: Array, layer: str, *, class_index: int, device: Any, seed: int) -> list[Row]:
    """Return how like a network's map is to its maps with more and more layers made random, the last layer first.

    ``correlation`` is Spearman's, over the places of the coarse map; 0 where a map has lost all contrast. No rows where
    the network's own map has none.
    """
    from reperfuse.learning.gradcam import randomised, raw_maps

    def mapped(module: Any) -> Array:
        return raw_maps(module, image[None], layer, class_index=class_index, device=device).ravel()

    own = mapped(network)
    if np.ptp(own) == 0:
        return []
    rows = []
    for name, module in randomised(network, seed=seed):
        other = mapped(module)
        flat = not np.isfinite(other).all() or np.ptp(other) == 0
        rows.append({"layer": name, "correlation": 0.0 if flat else float(stats.spearmanr(own, other)[0])})
    return rows


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
    layer, options = layer_of(section), section["saliency"]
    found = Maps([], [], [], [])
    if not layer:
        return found
    look = {"class_index": class_of(section), "device": device}
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
        volume = drawn(coarse, place, image.shape[1:])
        name = "_".join(part for part in (who, case.session_id) if part) + explained.END
        write_volume(folder / name, volume, {**about, **sidecar(case, coarse, agreement, place, section)})
        found.rows.append(
            {
                **vars(case),
                "correct": explained.correct(case),
                "stability": explained.known(agreement),
                **measured(volume, place, section),
                "shown": int(who in shown),
                "file": name,
            }
        )
        if left > 0:
            seed = seed_of(section["salt"], "randomised", who)
            rows = cascade(members[0], image, layer, **look, seed=seed)
            found.randomised.extend({"participant_id": who, **row} for row in rows)
            left -= bool(rows)
    found.rows.sort(key=lambda row: row["participant_id"])
    found.summary.extend(summary(found.rows, section))
    return found


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


def summary(rows: Sequence[Row], section: Section) -> list[Row]:
    """Return the mean of each measure, with an interval of how it compares with chance.

    ``compared`` says what ``value`` is: hits less chance, energy over chance (of the means), or the mean itself.
    """
    options = section["statistics"]
    kinds: tuple[tuple[str, str, str], ...] = (
        ("pointing_hit", "pointing_chance", "difference"),
        ("energy", "energy_chance", "ratio"),
        ("share_outside_brain", "", "mean"),
        ("stability", "", "mean"),
    )
    made: list[Row] = []
    if not rows:
        return made
    for measure, chance, compared in kinds:
        mine = [row for row in rows if row[measure] is not None]
        value = np.array([float(row[measure]) for row in mine])
        by_chance = np.array([float(row[chance]) if chance else 0.0 for row in mine])

        def statistic(
            indices: Array, value: Array = value, by_chance: Array = by_chance, compared: str = compared
        ) -> float | None:
            mean, expected = float(value[indices].mean()), float(by_chance[indices].mean())
            if compared == "ratio":
                return mean / expected if expected > 0 else None
            return mean - expected

        row: Row = {"configuration": rows[0]["configuration"], "measure": measure, "n": len(mine)}
        if chance and "lesion" in section["channels"]:
            row["note"] = CIRCULAR
        made.append(row)
        if not mine:
            continue
        who = [row["participant_id"] for row in mine]
        interval = cluster_bootstrap(
            statistic, np.zeros(len(who), dtype=int), who,
            draws=max(options["bootstrap"], 1), level=options["level"],
            seed=seed_of(section["salt"], "saliency", measure),
        ).estimate  # fmt: skip
        row |= {
            "mean": float(value.mean()),
            "chance": float(by_chance.mean()) if chance else None,
            "compared": compared,
            "value": interval.value,
            "ci_low": interval.low,
            "ci_high": interval.high,
        }
    return made
