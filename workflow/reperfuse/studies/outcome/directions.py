"""What a linear configuration weighs the network's features with, one direction for each fold's model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from safetensors.numpy import load, save

from reperfuse.core.files import is_marker, write_bytes
from reperfuse.studies.outcome.model import FittedRecipe
from reperfuse.studies.outcome.systems import RecipeModel

Array = np.ndarray
IMAGE_BLOCKS = {"J0:mri": "J0", "J1:mri": "J1"}
OFFSET = "offset"


@dataclass(frozen=True)
class Direction:
    """What an embedding adds to the decision value: ``embedding @ weight + offset``.

    Parameters
    ----------
    weight : ndarray of float32
        (p), scaling and components multiplied in.
    offset : float
        Makes the mean of the training patients add nothing.
    """

    weight: Array
    offset: float


# visit → fold → direction
Directions = Mapping[str, Mapping[int, Direction]]


def direction(model: FittedRecipe, block: str) -> Direction | None:
    """Return how a model weighs the columns of one of its blocks; None where its rule is not linear.

    Raises
    ------
    KeyError
        The model has no such block.
    """
    if model.rule.support is not None:
        return None
    weight = model.rule.weight
    if model.joint is not None:
        assert model.joint.projection is not None
        weight = model.joint.weight * (model.joint.projection @ weight)
    start = 0
    for one in model.blocks:
        part = weight[start : start + len(one.features)]
        start += len(one.features)
        if one.name == block:
            affine, n = one.affine, len(one.columns)  # columns that flag a missing value come after these
            own = part if affine.projection is None else affine.projection @ part
            full = (affine.weight * own)[:n]
            return Direction(full.astype(np.float32), -float(affine.mean[:n] @ full))
    raise KeyError(block)


def directions(models: Sequence[RecipeModel], folds: Mapping[str, int]) -> dict[str, dict[int, Direction]]:
    """Return visit → fold → direction, of the blocks that are embeddings of an ADC map.

    Parameters
    ----------
    models : sequence of RecipeModel
        Of one configuration, one for each fold.
    folds : mapping
        participant_id → fold; a model's fold is the one that it saw nobody of.
    """
    found: dict[str, dict[int, Direction]] = {}
    for model in models:
        (fold,) = set(folds.values()) - {folds[one] for one in model.seen}
        for block in model.fitted.blocks:
            if block.name in IMAGE_BLOCKS:
                made = direction(model.fitted, block.name)
                if made is not None:
                    found.setdefault(IMAGE_BLOCKS[block.name], {})[fold] = made
    return found


def write_directions(path: str | Path, configuration: str, found: Directions) -> None:
    """Write ``configuration/fold/visit`` (p), and its offset beside it; without any the file holds no tensor."""
    arrays: dict[str, Array] = {}
    for visit, by_fold in found.items():
        for fold, one in by_fold.items():
            arrays[f"{configuration}/{fold}/{visit}"] = one.weight
            arrays[f"{configuration}/{fold}/{visit}/{OFFSET}"] = np.array([one.offset])
    write_bytes(path, save(arrays))


def read_directions(path: str | Path) -> tuple[str, dict[str, dict[int, Direction]]]:
    """Return the configuration, empty where there is none, and visit → fold → direction."""
    if is_marker(path):
        return "", {}
    arrays, configuration = load(Path(path).read_bytes()), ""
    found: dict[str, dict[int, Direction]] = {}
    for name in sorted(arrays):
        if not name.endswith(f"/{OFFSET}"):
            configuration, fold, visit = name.rsplit("/", 2)
            offset = float(arrays[f"{name}/{OFFSET}"][0])
            found.setdefault(visit, {})[int(fold)] = Direction(arrays[name], offset)
    return configuration, found
