"""Small made-up cohorts for the tests of the outcome study."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import expit

from reperfuse.core.settings import fill, load_schema
from reperfuse.studies.outcome.blocks import Block, Reduction
from reperfuse.studies.outcome.data import Sources
from reperfuse.studies.outcome.model import FittedRecipe, Workshop
from reperfuse.studies.outcome.recipe import Recipe
from reperfuse.studies.outcome.study import Outcome

SCHEMAS = Path(__file__).resolve().parents[3] / "workflow/schemas"
SCHEMA = load_schema(SCHEMAS, "outcome")
TARGET = "mrs_3m<=1"
LATE = ("nihss_24h", "evt")
DICTIONARY: dict[str, dict[str, Any]] = {
    name: {"available_at": at}
    for name, at in {
        "age": "J0", "sex": "J0", "nihss": "J0", "hypertension": "J0", "diabetes": "J0", "atrial_fibrillation": "J0",
        "nihss_24h": "J1", "evt": "J1", "mrs_3m": "none",
    }.items()
}  # fmt: skip


def section(**given: Any) -> dict[str, Any]:
    """Return ``studies.outcome`` with its defaults, and little work to do unless asked for more."""
    little: dict[str, Any] = {
        "repeats": 1,
        "n_folds": 4,
        "statistics": {"permutations": 0, "refits": 0, "bootstrap": 20, "swaps": 20},
        "sensitivity": {"c": [], "components": [], "method": [], "kernel": [], "order": [], "lesion": {}},
    }
    return fill({**little, **given}, SCHEMA)


def recipe(*blocks: str, **changed: Any) -> Recipe:
    """Return a recipe with the paper's settings."""
    base = Recipe(blocks, "J0", "svm", "linear", 0.1, Reduction("pca", 12, 0.95), "pca_on_embeddings", 5)
    return base.with_(**changed)


def patients(n: int) -> tuple[str, ...]:
    return tuple(f"sub-{i:03d}" for i in range(n))


def cohort(
    n: int, seed: int, *, width: int = 40, signal: float = 1.0, missing: float = 0.1
) -> tuple[Sources, dict[str, int]]:
    """Return predictors and labels of a cohort.

    One severity stands behind NIHSS, volumes, the embeddings' first columns and, by ``signal``, the label; 0 makes
    the label a coin.
    """
    rng = np.random.default_rng(seed)
    ids = patients(n)
    severity, later = rng.normal(size=n), rng.normal(size=n)
    eta = -1.5 * signal * (severity + 0.7 * later)
    good = (rng.random(n) < expit(eta)).astype(int)
    clinical: dict[str, dict[str, float | str | None]] = {}
    volumes: dict[str, dict[tuple[str, str], float]] = {}
    embeddings: dict[str, dict[str, np.ndarray]] = {}
    loads: dict[str, dict[str, dict[str, float]]] = {}
    for i, who in enumerate(ids):
        j1 = severity[i] + 0.7 * later[i]
        clinical[who] = {
            "age": float(np.round(70 + 10 * rng.normal())),
            "sex": "F" if rng.random() < 0.5 else "M",
            "nihss": float(np.clip(np.round(8 + 4 * severity[i] + rng.normal()), 0, 42)),
            "hypertension": None if rng.random() < missing else float(rng.random() < 0.6),
            "diabetes": float(rng.random() < 0.2),
            "atrial_fibrillation": float(rng.random() < 0.3),
            "nihss_24h": float(np.clip(np.round(8 + 4 * j1 + rng.normal()), 0, 42)),
            "evt": float(rng.random() < 0.4),
            "mrs_3m": float(rng.integers(0, 2) if good[i] else rng.integers(2, 7)),
        }
        if rng.random() < missing:
            clinical[who]["age"] = None
        volumes[who], embeddings[who], loads[who] = {}, {}, {}
        for visit, value in (("J0", severity[i]), ("J1", j1)):
            ml = float(np.exp(2.3 + value + 0.3 * rng.normal()))
            for criterion, share in (
                ("adc620", 1.0),
                ("adc480", 0.6),
                ("adc620_raw", 1.5),
                ("adc480_raw", 1.0),
            ):
                volumes[who][visit, criterion] = ml * share
            vector = rng.normal(size=width)
            vector[: width // 4] += value
            embeddings[who][visit] = vector.astype(np.float32)
            loads[who][visit] = {"arterial 1": ml / 2, "arterial 2": 0.0}
    return Sources(clinical, DICTIONARY, volumes, loads, embeddings), dict(
        zip(ids, good.tolist(), strict=True)
    )


def study(sources: Sources, **given: Any) -> Outcome:
    """Return the study on everybody, each a group."""
    ids = tuple(sources.clinical)
    return Outcome(section(**given), ids, {one: one for one in ids}, sources)


def folds_of(labels: Mapping[str, int], k: int) -> dict[int, dict[str, int]]:
    """Return one set of folds, each with as many positives as can be, otherwise dealt by chance.

    Dealt in the order of their names instead, all folds would be alike in whatever goes with the name.
    """
    chance = dict(zip(labels, np.random.default_rng(0).random(len(labels)), strict=True))
    order = sorted(labels, key=lambda one: (labels[one], chance[one]))
    return {1: {one: i % k + 1 for i, one in enumerate(order)}}


def workshop(*blocks: Block, groups: np.ndarray | None = None) -> Workshop:
    """Return a workshop of some blocks."""
    n = blocks[0].values.shape[0]
    return Workshop(
        patients(n), np.arange(n) if groups is None else groups, {one.name: one for one in blocks}
    )


def embedding(n: int, p: int, seed: int, *, name: str = "J0:mri", directions: int = 6) -> Block:
    """Return an embedding with some strong directions."""
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(n, directions)) @ rng.normal(size=(directions, p)) * 2 + rng.normal(size=(n, p))
    return Block(name, tuple(map(str, range(p))), values, components=True)


def clinical(n: int, p: int, seed: int, *, missing: float = 0.0, name: str = "J0:clinical") -> Block:
    """Return numbers and, in every third column, flags."""
    rng = np.random.default_rng(seed)
    values = rng.normal(5, 3, size=(n, p))
    values[:, ::3] = values[:, ::3] > 5
    values[rng.random((n, p)) < missing] = np.nan
    return Block(name, tuple(f"v{i}" for i in range(p)), values)


def with_values(block: Block, values: np.ndarray) -> Block:
    return replace(block, values=values)


def arrays_of(model: FittedRecipe) -> list[np.ndarray]:
    """Return every number of a fitted configuration."""
    found = [model.rule.weight, np.array([model.rule.intercept, *model.calibration])]
    if model.rule.support is not None:
        found += [model.rule.support, np.array([model.rule.gamma])]
    if model.joint is not None and model.joint.projection is not None:
        found.append(model.joint.projection)
    for block in model.blocks:
        found += [block.fill, np.array(block.flagged), block.affine.mean, block.affine.weight]
        if block.affine.projection is not None:
            found.append(block.affine.projection)
    return found
