"""What is measured of a map of where a network looked: the lesion, chance, and a network with random layers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy import ndimage, stats

from reperfuse.core.seeds import seed_of
from reperfuse.evaluation.resampling import cluster_bootstrap
from reperfuse.imaging.volume import Volume, same_grid
from reperfuse.studies import explained
from reperfuse.studies.severity.places import Place

Array = np.ndarray
Row = dict[str, Any]
Section = Mapping[str, Any]
RANDOMISED_COLUMNS = "participant_id layer correlation".split()
SUMMARY_COLUMNS = "configuration measure n mean chance compared value ci_low ci_high note".split()
CIRCULAR = (
    "The network was shown the lesion mask itself. Whether it looks at the lesion is then no question, so "
    "that pointing and energy are left empty."
)


def pointing(
    found: Volume, brain: Volume, lesion: Volume | None, *, dilate_mm: float
) -> dict[str, float | None]:
    """Return whether a map is largest in the lesion or near it, and how likely that is of a place in the brain.

    The pointing game of Zhang et al. (IJCV 2018). ``pointing_chance`` is the share of the brain within ``dilate_mm`` of
    the lesion; a strongest place outside the brain is no hit. None without a lesion in the brain on the same grid, or
    for a map without contrast.
    """
    nothing: dict[str, float | None] = {"pointing_hit": None, "pointing_chance": None}
    if lesion is None or not same_grid(lesion, found) or np.ptp(found.data) == 0:
        return nothing
    inside = brain.data > 0.5
    core = inside & (lesion.data > 0.5)
    if not core.any():
        return nothing
    near = inside & (ndimage.distance_transform_edt(~core, sampling=found.zooms) <= dilate_mm)
    hit = bool(near[np.unravel_index(int(found.data.argmax()), found.data.shape)])
    return {"pointing_hit": int(hit), "pointing_chance": float(near.sum() / inside.sum())}


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
