"""What is read off perfusion maps: volumes of late tissue, their ratios, and the published rules of mismatch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from reperfuse.imaging.grids import points_mm
from reperfuse.imaging.lesion import dice, drop_small, midsagittal
from reperfuse.imaging.volume import Volume

HYPOPERFUSED_S, SEVERE_S, NORMAL_S = 6.0, 10.0, 4.0


@dataclass(frozen=True)
class Rule:
    """A trial's target mismatch: core below, ratio and mismatch from (or, if ``strictly``, above) a limit."""

    core_ml: float
    ratio: float
    mismatch_ml: float
    strictly: bool

    def holds(self, hypoperfused_ml: float, core_ml: float) -> bool:
        """Whether volumes in ml fulfil the rule; a ratio over no core at all is as large as one may wish."""
        mismatch, least = hypoperfused_ml - core_ml, self.ratio * core_ml
        if self.strictly:
            return core_ml < self.core_ml and hypoperfused_ml > least and mismatch > self.mismatch_ml
        return core_ml < self.core_ml and hypoperfused_ml >= least and mismatch >= self.mismatch_ml


RULES: Mapping[str, Rule] = {
    # Albers et al., NEJM 378:708 (2018): "less than 70 ml, a ratio of 1.8 or more, 15 ml or more".
    "defuse3": Rule(70.0, 1.8, 15.0, False),
    # Ma et al., NEJM 380:1795 (2019): "greater than 1.2, greater than 10 ml, less than 70 ml".
    "extend": Rule(70.0, 1.2, 10.0, True),
}


def perfused_tissue(
    valid: np.ndarray, detected: np.ndarray, area: np.ndarray, core: np.ndarray | None, *, csf_share: float
) -> np.ndarray:
    """Return the voxels whose Tmax means something: blood arrives there, or ischaemia explains that none does.

    Fluid holds no blood, and the residue function of its noise peaks anywhere. Voxels whose residue function does not
    stand out of noise, or whose curve's area is below a share of the median of the brain, are left out for that
    reason, but not within the diffusion lesion.

    Parameters
    ----------
    valid : ndarray of bool, shape (x, y, z)
        Brain with a usable curve.
    detected : ndarray of bool, shape (x, y, z)
        Where the residue function peaks above its noise.
    area : ndarray, shape (x, y, z)
        Of the curve as measured, in any unit: contrast that has leaked has arrived, too.
    core : ndarray of bool or None
        Diffusion core on the same grid.
    csf_share : float
        0 to 1.
    """
    if not valid.any():
        return valid.copy()
    tissue = valid & detected & (area >= csf_share * float(np.median(area[valid])))
    return tissue if core is None else tissue | (valid & core)


def healthier_side(brain: Volume, ttp_s: np.ndarray, valid: np.ndarray) -> np.ndarray:
    """Return the hemisphere in which contrast peaks earlier: the reference of relative TTP and of leakage.

    Parameters
    ----------
    brain : Volume of bool
    ttp_s : ndarray, shape (x, y, z)
        Time to peak in s.
    valid : ndarray of bool, shape (x, y, z)
        Brain with a usable curve.

    Returns
    -------
    ndarray of bool, shape (x, y, z)
        The part of ``valid`` on the side with the lower mean; all of it where a side is empty.

    Notes
    -----
    The mean, not the median: a delay in a tenth of a hemisphere leaves the median where it was.
    """
    a, b, c = midsagittal(brain)
    points = points_mm(brain, valid)
    left = np.zeros(valid.shape, dtype=bool)
    left[valid] = points[:, 0] < a + b * points[:, 1] + c * points[:, 2]
    sides = [valid & left, valid & ~left]
    if not all(side.any() for side in sides):
        return valid.copy()
    return min(sides, key=lambda side: float(ttp_s[side].mean()))


def late(
    delay_s: np.ndarray,
    tissue: np.ndarray,
    voxel_ml: float,
    *,
    above_s: float,
    min_component_ml: float,
    connectivity: int,
) -> np.ndarray:
    """Return the tissue with a delay above a limit in s, without components below ``min_component_ml``."""
    mask = tissue & (delay_s > above_s)
    return drop_small(mask, voxel_ml, min_component_ml=min_component_ml, connectivity=connectivity)


def late_levels(
    maps: Mapping[str, Volume],
    valid: np.ndarray,
    core: np.ndarray | None,
    detected: np.ndarray | None = None,
    *,
    thresholds_s: Sequence[float],
    csf_share: float,
    min_component_ml: float,
    connectivity: int,
) -> Volume | None:
    """Return the greatest limit of Tmax in s that tissue exceeds where its volume counts, 0 elsewhere.

    None without Tmax. Parameters are those of `perfusion_volumes`, so that what is drawn is what was measured.
    """
    if "tmax" not in maps:
        return None
    seen = valid if detected is None else detected
    tissue = perfused_tissue(valid, seen, maps["area"].data, core, csf_share=csf_share)
    tmax, levels = maps["tmax"], np.zeros(valid.shape, dtype=np.float32)
    for limit in sorted({*thresholds_s, HYPOPERFUSED_S, SEVERE_S}):
        counted = late(
            tmax.data, tissue, tmax.voxel_ml,
            above_s=limit, min_component_ml=min_component_ml, connectivity=connectivity,
        )  # fmt: skip
        levels[counted] = limit
    return tmax.like(levels)


def perfusion_volumes(
    maps: Mapping[str, Volume],
    valid: np.ndarray,
    core: np.ndarray | None,
    detected: np.ndarray | None = None,
    *,
    core_ml: float | None,
    thresholds_s: Sequence[float],
    rttp_s: float,
    csf_share: float,
    min_component_ml: float,
    connectivity: int,
) -> dict[str, Any]:
    """Measure volumes, ratios and rules on the maps that are there.

    Parameters
    ----------
    maps : mapping
        ``area`` (of the curves), ``cbv``, ``tmax``, ``rttp``, each (x, y, z) on one grid; any but the first may be
        absent.
    valid : ndarray of bool, shape (x, y, z)
        Brain with a usable curve.
    core : ndarray of bool or None
        Diffusion core (cleaned ADC < 620) on the same grid, where Tmax means something even without blood.
    detected : ndarray of bool or None
        See `perfused_tissue`; everywhere unless given.
    core_ml : float or None
        Its volume on the grid of the diffusion image, all of it, also beyond the perfusion slab; without it there is no
        mismatch and no rule.
    thresholds_s : sequence of float
        Of Tmax; 6 and 10 s are always among what is measured.
    rttp_s : float
        Of relative TTP. 4.5 s stands for Tmax > 6 s (Wouters et al., Front Neurol 8:539, 2017).
    csf_share, min_component_ml, connectivity :
        See `perfused_tissue` and `late`.

    Returns
    -------
    dict
        ``volumes_ml`` (``tmax4``, …, ``rttp4.5``, ``core``, ``mismatch``), ``hir`` (Tmax > 10 s over > 6 s; Olivot et
        al., Stroke 45:1018, 2014), ``cbv_index`` (mean CBV within Tmax > 6 s over that of tissue with Tmax ≤ 4 s),
        ``mismatch_ratio``, ``defuse3``, ``extend``, ``agreement`` of Tmax > 6 s with relative TTP; None for what
        cannot be said, ``agreement`` then absent. All volumes in ml.
    """
    found: dict[str, Any] = {"volumes_ml": {}, "hir": None, "cbv_index": None, "mismatch_ratio": None}
    found |= dict.fromkeys(RULES)
    volumes: dict[str, float] = found["volumes_ml"]
    if not maps:
        return found
    voxel_ml = next(iter(maps.values())).voxel_ml
    cleaning: dict[str, Any] = {"min_component_ml": min_component_ml, "connectivity": connectivity}
    cbv = maps["cbv"].data if "cbv" in maps else None
    seen = valid if detected is None else detected
    tissue = perfused_tissue(valid, seen, maps["area"].data, core, csf_share=csf_share)

    def ml(mask: np.ndarray) -> float:
        return round(float(np.count_nonzero(mask)) * voxel_ml, 3)

    by_rttp = None
    if "rttp" in maps:
        by_rttp = late(maps["rttp"].data, tissue, voxel_ml, above_s=rttp_s, **cleaning)
        volumes[f"rttp{rttp_s:g}"] = ml(by_rttp)
    if core_ml is not None:
        volumes["core"] = round(core_ml, 3)
    if "tmax" not in maps or cbv is None:
        return found
    tmax = maps["tmax"].data
    limits = sorted({*thresholds_s, HYPOPERFUSED_S, SEVERE_S})
    masks = {limit: late(tmax, tissue, voxel_ml, above_s=limit, **cleaning) for limit in limits}
    volumes |= {f"tmax{limit:g}": ml(mask) for limit, mask in masks.items()}
    hypoperfused, normal = masks[HYPOPERFUSED_S], tissue & (tmax <= NORMAL_S)
    if volumes["tmax6"] > 0:
        found["hir"] = round(volumes["tmax10"] / volumes["tmax6"], 4)
        if normal.any() and (usual := float(cbv[normal].mean())) > 0:
            found["cbv_index"] = round(float(cbv[hypoperfused].mean()) / usual, 4)
    if by_rttp is not None:
        difference = round(volumes[f"rttp{rttp_s:g}"] - volumes["tmax6"], 3)
        found["agreement"] = {
            "rttp_minus_tmax6_ml": difference,
            "dice": round(dice(by_rttp, hypoperfused), 4),
        }
    if core_ml is not None:
        volumes["mismatch"] = round(volumes["tmax6"] - volumes["core"], 3)
        if volumes["core"] > 0:
            found["mismatch_ratio"] = round(volumes["tmax6"] / volumes["core"], 4)
        found |= {name: rule.holds(volumes["tmax6"], volumes["core"]) for name, rule in RULES.items()}
    return found
