"""Every configuration of the study by name, from the blocks that a cohort has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from reperfuse.studies.outcome.blocks import Reduction
from reperfuse.studies.outcome.names import COMPARATORS, wanted
from reperfuse.studies.outcome.recipe import Recipe


def base_recipe(section: Mapping[str, Any]) -> Recipe:
    """Return the recipe that the configuration describes, without blocks."""
    machine, pca = section["classifier"], section["pca"]
    return Recipe(
        blocks=(),
        visit="J0",
        classifier="svm" if machine["kernel"] != "logistic" else "logistic",
        kernel="rbf" if machine["kernel"] == "rbf" else "linear",
        c=machine["c"],
        reduction=Reduction("pca", pca["components"], pca["variance"]),
        order=section["fusion_order"],
        platt_folds=section["platt_folds"],
    )


def main_recipes(
    section: Mapping[str, Any], blocks: Sequence[str]
) -> tuple[dict[str, Recipe], dict[str, str]]:
    """Return the paper's configurations and ours, and why others cannot be made.

    Parameters
    ----------
    section : mapping
        ``studies.outcome`` of the configuration.
    blocks : sequence of str
        Names of the blocks that the cohort has something in.

    Returns
    -------
    recipes : dict
        Configuration → recipe.
    left_out : dict
        Configuration → reason.
    """
    base = base_recipe(section)
    without_atlas = not any(block.endswith(":territories") for block in blocks)
    recipes, left_out = {}, {}
    for name, parts in wanted(section).items():
        if without_atlas and "territories" in name:
            continue
        absent = [part for part in parts if part not in blocks]
        if absent:
            left_out[name] = f"nobody has {', '.join(absent)}"
        else:
            recipes[name] = base.with_(blocks=parts, visit=_latest(parts))
    return recipes, left_out


def comparators(section: Mapping[str, Any], blocks: Sequence[str]) -> dict[str, Recipe]:
    """Return logistic regressions on what a clinician has at hand, each on the same folds."""
    base = base_recipe(section).with_(
        classifier="logistic", kernel="linear", c=1e6, order="pca_on_embeddings"
    )
    return {
        name: base.with_(blocks=parts, visit=_latest(parts))
        for name, parts in COMPARATORS.items()
        if set(parts) <= set(blocks)
    }


def variants(name: str, recipe: Recipe, sensitivity: Mapping[str, Sequence[Any]]) -> dict[str, Recipe]:
    """Return a configuration with one choice changed at a time.

    Parameters
    ----------
    name : str
        Of the configuration.
    recipe : Recipe
    sensitivity : mapping
        ``c``, ``components`` (``none`` for all columns), ``method``, ``kernel``, ``order``: values to try.
    """
    found = {}
    for parameter, values in sensitivity.items():
        for value in values:
            changed = _changed(recipe, parameter, value)
            if changed != recipe:
                found[f"{name}[{parameter}={value}]"] = changed
    return found


def _changed(recipe: Recipe, parameter: str, value: Any) -> Recipe:
    if parameter == "components" and value == "none":
        return recipe.with_(method="none")
    if parameter == "components":
        return recipe.with_(components=value)
    if parameter == "kernel" and value == "logistic":
        already = recipe.classifier == "logistic"
        return recipe if already else recipe.with_(classifier="logistic", kernel="linear", c=1.0)
    if parameter == "kernel":
        return recipe.with_(classifier="svm", kernel=value)
    return recipe.with_(**{parameter: value})


def _latest(parts: Sequence[str]) -> str:
    return "J1" if any(part.startswith("J1") for part in parts) else "J0"
