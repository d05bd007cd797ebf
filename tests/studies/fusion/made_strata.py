"""Embeddings and clinical values whose strata and factors are known, from the scalars of the phantom."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from reperfuse.core.settings import fill, load_schema
from reperfuse.phantom.scalars import FACTORS, N_MEASURES, PLANTED, simulate

ROOT = Path(__file__).resolve().parents[3]
MEASURES = [f"{name}_{m + 1}" for name in FACTORS for m in range(N_MEASURES)]
PLANTED_FACTORS = set(PLANTED["strata"]["factors"])
QUICK: dict[str, Any] = {
    "strata": {"components": "all", "damping": [0.7, 0.9], "preference": [-2, 0, 0.1], "resamples": 5},
    "phenotypes": {"variables": MEASURES, "draws": 50},
    "statistics": {"permutations": 2000},
}


def section(**changed: Any) -> dict[str, Any]:
    """Return ``studies.fusion`` with its defaults, quick, and with what differs put over it."""
    found = dict(fill({}, load_schema(ROOT / "workflow/schemas", "fusion")))
    for part in (QUICK, changed):
        found |= {key: {**found[key], **value} for key, value in part.items()}
    return found


class Made:
    """``n`` patients of the phantom: ids, stratum, latents, clinical, facts, groups."""

    def __init__(self, n: int, seed: int = 1) -> None:
        t = simulate(n, seed)
        self.ids = [f"sub-{i:04d}" for i in range(n)]
        self.truth = t["stratum"]
        self.latents = np.column_stack([np.log(t["ventricle_scale"]), t["cortex_mm"]])
        self.clinical: dict[str, dict[str, Any]] = {
            who: {"age": float(t["age"][i]), "sex": "FM"[t["male"][i]], "nihss": float(t["nihss"][i])}
            | {name: float(t[name][i]) for name in MEASURES}
            for i, who in enumerate(self.ids)
        }
        self.facts = {who: {"lesion_ml": float(np.exp(t["log_v0"][i]))} for i, who in enumerate(self.ids)}
        self.groups = {who: f"F{t['family'][i]}" for i, who in enumerate(self.ids)}

    def codes(self, n_folds: int, noise: float, seed: int = 0) -> dict[str, np.ndarray]:
        """Return embeddings of the latents, each turned in its own way, with noise of so many SD."""
        rng = np.random.default_rng(seed)
        z = (self.latents - self.latents.mean(axis=0)) / self.latents.std(axis=0)
        found: Mapping[str, np.ndarray] = {
            name: 3 + (z + noise * rng.normal(size=z.shape)) * rng.choice([-1, 1], size=2)
            for name in [*(f"fold-{k}" for k in range(1, n_folds + 1)), "final"]
        }
        return dict(found)
