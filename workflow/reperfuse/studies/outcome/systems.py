"""Configurations as systems that evaluation can fit and judge."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from reperfuse.studies.outcome.model import FittedRecipe, Workshop
from reperfuse.studies.outcome.recipe import Recipe


@dataclass(frozen=True)
class RecipeModel:
    """A fitted configuration that knows patients by name."""

    workshop: Workshop
    fitted: FittedRecipe
    places: Mapping[str, int]

    @property
    def seen(self) -> frozenset[str]:
        """Every patient that a block was fitted on."""
        return frozenset(self.workshop.ids[row] for row in self.fitted.seen)

    def predict(self, cases: Sequence[str]) -> np.ndarray:
        """Return (n,) probabilities."""
        return self.workshop.probability(self.fitted, np.array([self.places[one] for one in cases]))


@dataclass(frozen=True)
class RecipeSystem:
    """A configuration on a cohort; see `reperfuse.evaluation.interface.System`."""

    workshop: Workshop
    recipe: Recipe

    def fit(self, cases: Sequence[str], labels: np.ndarray, *, seed: int) -> RecipeModel:
        """Fit on these cases alone."""
        places = {one: row for row, one in enumerate(self.workshop.ids)}
        rows = np.array([places[one] for one in cases])
        return RecipeModel(self.workshop, self.workshop.fit(self.recipe, rows, labels, seed=seed), places)


def systems(workshop: Workshop, recipes: Mapping[str, Recipe]) -> dict[str, RecipeSystem]:
    """Return configuration → system."""
    return {name: RecipeSystem(workshop, recipe) for name, recipe in recipes.items()}
