"""What the step `perfusion` leaves of some patients, made up: small grids, with or without a planted signal."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from reperfuse.core.settings import fill, load_schema
from reperfuse.core.tables import write_table
from reperfuse.imaging.volume import Volume, write_volume

ROOT = Path(__file__).resolve().parents[3]
SHAPE, N_POINTS = (12, 14, 4), 60
AFFINE = np.diag([3.0, 3.0, 6.0, 1.0])
SMALL: dict[str, Any] = {
    "lstm": {"epochs": 2, "hidden": 8},
    "sample": {"voxels": 600, "cap_per_patient": 60},
    "search": {
        "voxels": 300, "inner_folds": 2, "forest": {"trees": [10], "min_leaf": [1, 5]}, "svm": {"c": [1]},
        "srkda": {"alpha": [0.1]},
    },
}  # fmt: skip


def section(**changed: Any) -> dict[str, Any]:
    """Return ``studies.transformation`` with its defaults, at a small size."""
    found = fill({}, load_schema(ROOT / "workflow/schemas", "transformation"))
    for key, value in {**SMALL, **changed}.items():
        found[key] = _over(found[key], value)
    return dict(found)


def _over(old: Any, new: Any) -> Any:
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        return {**old, **{key: _over(old.get(key), value) for key, value in new.items()}}
    return new


def write_patient(
    folder: Path,
    *,
    ht: bool,
    seed: int,
    signal: float = 2.0,
    fingerprint: float = 0.0,
    without: tuple[str, ...] = (),
) -> dict[str, Path]:
    """Write one patient's images and return name → path.

    Parameters
    ----------
    folder : Path
        ``work/sub-X``.
    ht : bool
        Whether a corner of the brain bleeds.
    signal : float
        How much higher the curves rise where it does.
    fingerprint : float
        SD between patients of what all curves of one have in common.
    without : tuple of str
        Images that are left away.
    """
    rng = np.random.default_rng(seed)
    brain = np.zeros(SHAPE, dtype=bool)
    brain[1:-1, 1:-1, :] = True
    mask = np.zeros(SHAPE, dtype=bool)
    if ht:
        mask[3:7, 3:7, 1:3] = True
    times = np.arange(N_POINTS) * 1.8
    passage = np.exp(-(((times - 30) / 8) ** 2))
    own = fingerprint * rng.standard_normal(N_POINTS)
    curves = passage * (1 + signal * mask[..., None]) + own + 0.3 * rng.standard_normal((*SHAPE, N_POINTS))
    maps = {
        name: rng.standard_normal(SHAPE)
        for name in ("cbf", "cbv", "mtt", "tmax", "adc", "slope", "final", "peak")
    }
    maps["tmax"] += 6
    maps["late"] = np.where(maps["tmax"] > 6, 6.0, 0.0)
    maps["k2"] = rng.standard_normal(SHAPE) - signal * mask  # low where it bleeds
    images = {
        "concentration": curves * brain[..., None], "brain": brain, "valid": brain, "covered": np.ones(SHAPE, bool),
        "b0": 100 + rng.standard_normal(SHAPE), "trace": 200 + rng.standard_normal(SHAPE), "ht": mask, **maps,
    }  # fmt: skip
    found = {}
    for name, data in images.items():
        if f"PWI_{name}" not in without:
            kind = np.bool_ if data.dtype == bool else np.float32
            path = folder / f"PWI_{name}.nii.gz"
            write_volume(path, Volume(data.astype(kind), AFFINE))
            found[f"PWI_{name}"] = path
    if "PWI_curves.tsv" not in without:
        aif = 6 * np.exp(-(((times - 22) / 4) ** 2)) * (1 + 0.1 * rng.standard_normal())
        rows = [{"time_s": t, "aif_per_s": a} for t, a in zip(times, aif, strict=True)]
        write_table(folder / "PWI_curves.tsv", rows, ["time_s", "aif_per_s"])
        found["PWI_curves.tsv"] = folder / "PWI_curves.tsv"
    return found


def record(
    who: str, *, max_fd_mm: float = 0.1, aif: bool = True, faults: tuple[dict[str, Any], ...] = ()
) -> dict[str, Any]:
    """Return a record of the step `perfusion`."""
    facts: dict[str, Any] = {"motion": {"max_fd_mm": max_fd_mm}}
    if aif:
        facts["aif"] = {"n_voxels": 5}
    return {"participant_id": who, "step": "perfusion", "faults": list(faults), "facts": facts}


def write_cohort(
    work: Path, n: int, n_ht: int, *, n_folds: int, **made: Any
) -> tuple[dict[str, dict[str, Path]], dict[str, dict[str, Any]], dict[str, Any]]:
    """Write patients, those with HT first; return paths, records and the study's excerpt."""
    names = [f"sub-{i:02d}" for i in range(n)]
    paths = {who: write_patient(work / who, ht=i < n_ht, seed=i, **made) for i, who in enumerate(names)}
    rows = [
        {"participant_id": who, "fold": i % n_folds + 1, "stratum": str(int(i < n_ht)), "group": who}
        for i, who in enumerate(names)
    ]
    clinical = {
        who: {
            "ht": float(i < n_ht),
            "age": 60.0 + i,
            "glucose": 5.0 + i % 3,
            "nihss": None if i == 1 else 8.0,
        }
        for i, who in enumerate(names)
    }
    excerpt = {"folds": {"transformation": {"rows": rows}}, "clinical": clinical}
    return paths, {who: record(who) for who in names}, excerpt
