"""A fitted configuration as arrays and a card, and back."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from reperfuse.core.errors import ConfigError
from reperfuse.core.files import read_json, write_json
from reperfuse.evaluation.bundle import read_bundle, write_bundle
from reperfuse.studies.outcome.blocks import Affine, Block, FittedBlock
from reperfuse.studies.outcome.model import FittedRecipe, Rule

Array = np.ndarray


def to_arrays(model: FittedRecipe) -> tuple[dict[str, Array], dict[str, Any]]:
    """Return arrays by name, and the names and numbers that belong to them."""
    arrays: dict[str, Array] = {"rule.weight": model.rule.weight}
    if model.rule.support is not None:
        arrays["rule.support"] = model.rule.support
    if model.joint is not None:
        arrays["joint"] = _projection(model.joint)
    for block in model.blocks:
        arrays[f"{block.name}.fill"] = block.fill
        arrays[f"{block.name}.mean"] = block.affine.mean
        arrays[f"{block.name}.weight"] = block.affine.weight
        if block.affine.projection is not None:
            arrays[f"{block.name}.projection"] = block.affine.projection
    card = {
        "blocks": [
            {
                "name": block.name,
                "columns": list(block.columns),
                "features": list(block.features),
                "flagged": list(block.flagged),
            }
            for block in model.blocks
        ],
        "features": list(model.features),
        "intercept": model.rule.intercept,
        "gamma": float(model.rule.gamma),
        "calibration": list(model.calibration),
    }
    return arrays, card


def from_arrays(arrays: Mapping[str, Array], card: Mapping[str, Any]) -> FittedRecipe:
    """Return the configuration that `to_arrays` took apart; it has seen nobody that could be named."""
    blocks = tuple(
        FittedBlock(
            one["name"],
            tuple(one["columns"]),
            tuple(one["features"]),
            arrays[f"{one['name']}.fill"],
            tuple(one["flagged"]),
            Affine(
                arrays[f"{one['name']}.mean"],
                arrays[f"{one['name']}.weight"],
                arrays.get(f"{one['name']}.projection"),
            ),
            frozenset(),
        )
        for one in card["blocks"]
    )
    joint = arrays.get("joint")
    width = 0 if joint is None else joint.shape[0]
    return FittedRecipe(
        blocks,
        None if joint is None else Affine(np.zeros(width), np.ones(width), joint),
        tuple(card["features"]),
        Rule(arrays["rule.weight"], card["intercept"], arrays.get("rule.support"), card["gamma"]),
        (card["calibration"][0], card["calibration"][1]),
    )


def folder_name(configuration: str) -> str:
    """Return a configuration's folder: its name without signs that file systems or shells mind."""
    return configuration.replace("+", "-").replace("<=", "-le-")


def shareable(models: Mapping[str, FittedRecipe]) -> tuple[dict[str, FittedRecipe], dict[str, str]]:
    """Return the models that hold sums over patients alone, and configuration → why another is not frozen.

    A rule with a kernel other than the linear one holds the features of single training patients.
    """
    apart = {
        name: f"its {len(model.rule.support)} support vectors are the features of single patients"
        for name, model in models.items()
        if model.rule.support is not None
    }
    return {name: model for name, model in models.items() if name not in apart}, apart


def write_models(
    index: Path,
    models: Mapping[str, FittedRecipe],
    about: Mapping[str, Any],
    domains: Mapping[str, Mapping[str, Any]],
) -> None:
    """Write each frozen configuration beside an index of them.

    Parameters
    ----------
    index : Path
        ``models/index.json``.
    models : mapping
        Configuration → model.
    about : mapping
        What every card says: study, target, patients, settings of the image, variables, what it must not be used for;
        ``atlases`` goes to models that read regions.
    domains : mapping
        Configuration → ranges of the predictors of those whom it was fitted on; see `domain.training_domain`.

    Raises
    ------
    ValueError
        A model holds features of single patients; see `shareable`.
    """
    if apart := shareable(models)[1]:
        raise ValueError(f"not to be frozen: {apart}")
    for configuration, model in models.items():
        arrays, card = to_arrays(model)
        regions = any(block.name.endswith(":territories") for block in model.blocks)
        write_bundle(
            index.parent / folder_name(configuration),
            arrays,
            {key: value for key, value in about.items() if regions or key != "atlases"}
            | {**card, "configuration": configuration, "domain": domains[configuration]},
        )
    write_json(index, {configuration: folder_name(configuration) for configuration in models})


def read_models(index: Path) -> dict[str, tuple[FittedRecipe, dict[str, Any]]]:
    """Return configuration → model and card, of those that the index names.

    Raises
    ------
    ConfigError
        A frozen model is damaged or was changed.
    """
    found = {}
    for configuration, folder in read_json(index).items():
        arrays, card = read_bundle(index.parent / folder)
        found[configuration] = from_arrays(arrays, card), card
    return found


def aligned(block: Block | None, wanted: FittedBlock, n: int) -> Array:
    """Return (n, p) values of another cohort in the columns that a frozen block expects.

    A clinical column or a region that the cohort lacks is missing for everybody and filled in as the model learnt
    to; an embedding of another length is refused.

    Raises
    ------
    ConfigError
        The embeddings are not of the kind that the model was fitted on.
    """
    if block is None:
        return np.full((n, len(wanted.columns)), np.nan)
    if block.components and block.columns != wanted.columns:
        raise ConfigError(
            f"The frozen model expects {len(wanted.columns)} columns of {wanted.name}, found {len(block.columns)}; "
            "score with the image settings that it was fitted with."
        )
    place = {column: i for i, column in enumerate(block.columns)}
    values = np.full((n, len(wanted.columns)), np.nan)
    for i, column in enumerate(wanted.columns):
        if column in place:
            values[:, i] = block.values[:, place[column]]
        elif wanted.name.endswith(":territories"):
            values[:, i] = np.where(np.isnan(block.values).all(axis=1), np.nan, 0.0)
    return values


def _projection(affine: Affine) -> Array:
    assert affine.projection is not None
    return affine.projection
