"""A made cohort of strokes: lesions of known volume and place, a score that follows from them, age."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from reperfuse.core.settings import fill, load_schema
from reperfuse.imaging.pattern import lattice
from reperfuse.studies.severity import assemble, imaged

ROOT = Path(__file__).resolve().parents[3]
SMALL: dict[str, Any] = {
    "networks": ["tractnet"],
    "repeats": 1,
    "channels": ["lesion"],
    "training": {"epochs": 2},
}


def section(**changed: Any) -> dict[str, Any]:
    """Return ``studies.severity`` with its defaults, at a small size."""
    found = fill({}, load_schema(ROOT / "workflow/schemas", "severity"))
    for key, value in {**SMALL, **changed}.items():
        found[key] = over(found[key], value)
    return dict(found)


def over(old: Any, new: Any) -> Any:
    """Return a value with what differs put over it."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        return {**old, **{key: over(old.get(key), value) for key, value in new.items()}}
    return new


CELL_MM = 24.0
SHAPE = lattice(CELL_MM)
REGIONS = ("made 1 front (left)", "made 1 front (right)", "made 2 back (left)", "made 2 back (right)")


def tables(
    n: int = 90, *, seed: int = 1, noise: bool = False
) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any], dict[str, Any]]:
    """Return excerpt, records, images and cells of patients whose score follows lesion volume, place and age.

    Parameters
    ----------
    noise : bool
        The score follows nothing.
    """
    rng = np.random.default_rng(seed)
    excerpt: dict[str, Any] = {"name": "", "active": [], "clinical": {}, "session_ids": {"J0": "ses-01"}}
    records: dict[str, Any] = {}
    images, cells = {}, {}
    rows = []
    for i in range(n):
        who = f"sub-{i:03d}"
        loads_ml = np.exp(rng.normal(0.5, 1.5, 4)) * (rng.random(4) < 0.5)
        share = np.zeros(SHAPE, dtype=np.float32)
        for k, ml in enumerate(loads_ml):
            x = 1 if k % 2 else SHAPE[0] - 2
            share[x, 2 + 4 * (k // 2), 3] = ml * 1000 / CELL_MM**3 / 4
        age = float(rng.integers(40, 90))
        severe = np.log1p(2 * loads_ml[0] + loads_ml[1:].sum()) + 0.02 * (age - 65) + 0.4 * rng.normal()
        if noise:
            severe = 1.5 + rng.normal()
        excerpt["active"].append(who)
        excerpt["clinical"][who] = {"age": age, "nihss": int(np.clip(np.expm1(max(severe, 0.1)), 0, 42))}
        rows.append({"participant_id": who, "fold": i % 3 + 1, "group": f"family-{i // 2}" if i < 6 else who})
        records[who] = {"lesions": {"facts": lesion_facts_of(loads_ml)}}
        images[who] = rng.normal(0, 0.1, (1, 4, 6, 6)).astype(np.float16)
        images[who][0, 1] += np.log1p(loads_ml.sum()) + rng.normal(0, 0.3)
        cells[who] = share.ravel()
    for row in rows[:6]:  # families are on one side
        row["fold"] = 1 + int(str(row["group"])[-1])
    excerpt["folds"] = {"severity": {"rows": rows}}
    return excerpt, records, images, cells


def lesion_facts_of(loads_ml: Any) -> dict[str, Any]:
    """Return the facts of a record of `lesions`."""
    row = {"visit": "J0", "criterion": "given", "volume_ml": float(sum(loads_ml)), "side": "left"}
    loads = [
        {"visit": "J0", "atlas": "made", "label": 1 + k // 2, "name": ("front", "back")[k // 2],
         "side": ("left", "right")[k % 2], "volume_ml": float(ml)}
        for k, ml in enumerate(loads_ml)
    ]  # fmt: skip
    return {"rows": [row], "lesion": {"J0": "given (a mask)"}, "loads": loads}


def small_section(**changed: Any) -> dict[str, Any]:
    """Return a section that fits `tables`."""
    small = {
        "cell_mm": CELL_MM, "grid": {"shape": [4, 6, 6], "spacing_mm": [8, 8, 8]}, "channels": ["trace"],
        "territories": {"trees": 20}, "training": {"epochs": 1, "batch": 32},
        "network": {"widths": [4, 4, 4, 4], "heads": [1, 1, 1, 1], "coordinate_reduction": 2},
        "maps": {"fwhm_mm": 24},
    }  # fmt: skip
    return section(**{**small, **changed})


def made_cohort(asked: Mapping[str, Any], n: int = 90, **how: Any) -> assemble.Cohort:
    """Return the cohort of `tables`."""
    return assemble.cohort(asked, *tables(n, **how))


class Mean(torch.nn.Module):
    """Says how bright an image is; learnt by least squares in place of a training."""

    def __init__(self, slope: float) -> None:
        super().__init__()
        self.register_buffer("slope", torch.tensor(float(slope)))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return (B, 2) logits."""
        return torch.stack([torch.zeros(len(x)), self.slope * x.mean(dim=(1, 2, 3, 4))], dim=1)


def quick_fit(
    name: str, settings: Any, images: Any, y: Any, grade: Any, inner: Any, *, channels: Any, **_: Any
) -> imaged.Imaged:
    """Stand in for `imaged.fit`."""
    bright = images.astype(float).mean(axis=(1, 2, 3, 4))
    modules, oof = [], np.empty(len(y))
    for fold in np.unique(inner):
        x, t = bright[inner != fold], y[inner != fold] - y[inner != fold].mean()
        modules.append(Mean(10 * float(((x - x.mean()) * t).mean() / x.var())))
        oof[inner == fold] = bright[inner == fold] * float(modules[-1].slope)
    return imaged.Imaged(settings, tuple(channels), modules, "cpu", oof, [[1.0, 0.5]] * len(modules), 1)
