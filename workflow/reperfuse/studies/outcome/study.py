"""The study put together: who takes part with what, which configurations are fitted on which folds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from reperfuse.core.seeds import seed_of
from reperfuse.evaluation.leakage import MOMENTS, check_known
from reperfuse.studies.outcome import data
from reperfuse.studies.outcome.blocks import Block
from reperfuse.studies.outcome.configurations import comparators, main_recipes, variants
from reperfuse.studies.outcome.model import Workshop
from reperfuse.studies.outcome.names import declared, image_name
from reperfuse.studies.outcome.recipe import Recipe
from reperfuse.studies.outcome.scores import SCORES
from reperfuse.studies.outcome.systems import RecipeSystem, systems

Array = np.ndarray


@dataclass(frozen=True)
class Outcome:
    """The study of arXiv 2512.02088 on one cohort.

    Parameters
    ----------
    section : mapping
        ``studies.outcome`` of the configuration with its defaults.
    candidates : tuple of str
        Patients to take part, sorted: those with folds, or everybody of an external cohort.
    groups : mapping
        participant_id → group.
    sources : data.Sources
        Predictors.
    """

    section: Mapping[str, Any]
    candidates: tuple[str, ...]
    groups: Mapping[str, str]
    sources: data.Sources
    name = "outcome"

    @property
    def image(self) -> str:
        """Name of the image block: ``mri`` for ADC maps, ``mask`` for lesion masks."""
        return image_name(self.section)

    def eligible(self) -> tuple[str, ...]:
        """Return the candidates who have an image and lesion volumes at every visit."""
        return tuple(one for one in self.candidates if one not in self.left_out)

    @cached_property
    def left_out(self) -> dict[str, str]:
        """Candidates whose images gave nothing to predict from, and why."""
        blocks = self.image_blocks(self.candidates)
        reasons: dict[str, str] = {}
        for name, block in blocks.items():
            there = data.complete(block)
            if not there.any():  # a cohort without any is judged without this block
                continue
            for one, known in zip(self.candidates, there, strict=True):
                if not known:
                    reasons.setdefault(one, f"no {name}")
        return reasons

    def image_blocks(self, ids: Sequence[str]) -> dict[str, Block]:
        """Return image and lesion volumes of each visit, NaN where a patient has none."""
        found = {}
        criteria = self.section["lesion_criteria"]
        for visit in self.section["visits"]:
            found[f"{visit}:{self.image}"] = data.embedding_block(
                f"{visit}:{self.image}", visit, ids, self.sources
            )
            found[f"{visit}:lesion"] = data.volume_block(
                f"{visit}:lesion", visit, criteria, ids, self.sources
            )
        return found

    @cached_property
    def blocks(self) -> dict[str, Block]:
        """Every block that an eligible patient has something in."""
        return self.blocks_of(self.eligible())

    def blocks_of(self, ids: Sequence[str]) -> dict[str, Block]:
        """Return every block that one of some patients has something in.

        Raises
        ------
        ConfigError
            The configuration names a clinical predictor that is not known at the visit, or is free text.
        """
        section, sources = self.section, self.sources
        found = self.image_blocks(ids)
        available = {name: entry["available_at"] for name, entry in sources.dictionary.items()}
        early, late = section["clinical"]["J0"], section["clinical"]["J1"]
        for visit, wanted in (("J0", early), ("J1", [*early, *late])):
            known = [one for one in wanted if one in available]
            check_known(known, visit, available, key=f"studies.outcome.clinical.{visit}")
            found[f"{visit}:clinical"] = data.clinical_block(f"{visit}:clinical", known, ids, sources)
        for visit in section["visits"]:
            found[f"{visit}:territories"] = data.load_block(f"{visit}:territories", visit, ids, sources)
            found[f"{visit}:log_volume"] = data.volume_block(
                f"{visit}:log_volume", visit, section["lesion_criteria"][-1:], ids, sources
            )
        if {"J0", "J1"} <= set(section["visits"]):
            for kind in (self.image, "lesion"):
                name = f"J1-J0:{kind}"
                found[name] = data.difference(name, found[f"J1:{kind}"], found[f"J0:{kind}"])
        known_at = {name: MOMENTS[moment] for name, moment in available.items()}
        for visit, name in (("J1", "nihss_24h"), ("J0", "age+nihss")):
            if all(known_at.get(one, 9) <= MOMENTS[visit] for one in name.split("+")):
                found[f"{visit}:{name}"] = data.clinical_block(
                    f"{visit}:{name}", name.split("+"), ids, sources
                )
        for score, rule in SCORES.items():
            if all(known_at.get(one, 9) <= MOMENTS["J0"] for one in rule.needs):
                block = data.score_block(score, ids, sources)
                found[f"J0:{score}"] = Block(f"J0:{score}", block.columns, block.values)
        for method, criteria in section["sensitivity"]["lesion"].items():
            for visit in section["visits"]:
                name = f"{visit}:lesion {method}"
                found[name] = data.volume_block(name, visit, criteria, ids, sources)
        found |= self._controls(found, ids)
        return {name: block for name, block in found.items() if data.complete(block).any()}

    def _controls(self, found: Mapping[str, Block], ids: Sequence[str]) -> dict[str, Block]:
        """Return noise of the shape of each image block, and a number made from each patient's name."""
        salt, made = self.section["salt"], {}
        if "noise" in self.section["controls"]:
            for name in [name for name in found if name.endswith(f":{self.image}")]:
                shape = found[name].values.shape
                noise = np.random.default_rng(seed_of(salt, "noise", name)).standard_normal(shape)
                made[f"{name} noise"] = Block(f"{name} noise", found[name].columns, noise, components=True)
        if "identifier" in self.section["controls"]:
            numbers = np.array([[seed_of(salt, "identifier", one) / 2**32] for one in ids]).reshape(-1, 1)
            made["J0:identifier"] = Block("J0:identifier", ("identifier",), numbers)
        return made

    def controls(self) -> dict[str, RecipeSystem]:
        """Return negative controls: the compared configurations on noise in place of their image, and on a name."""
        found: dict[str, Recipe] = {}
        for name in self.compared:
            recipe = self.recipes[name]
            blocks = tuple(f"{one} noise" if f"{one} noise" in self.blocks else one for one in recipe.blocks)
            if blocks != recipe.blocks:
                found[f"{name}[control=noise]"] = recipe.with_(blocks=blocks)
                only = tuple(one for one in blocks if one.endswith(" noise"))
                found[f"{name}[control=noise alone]"] = recipe.with_(blocks=only)
        if self.compared and "J0:identifier" in self.blocks:
            base = self.recipes[self.compared[0]]
            found[f"{self.compared[0]}[control=identifier alone]"] = base.with_(blocks=("J0:identifier",))
        return systems(self.workshop, found)

    @cached_property
    def workshop(self) -> Workshop:
        """The blocks with their patients and groups."""
        ids = self.eligible()
        return Workshop(ids, np.array([self.groups.get(one, one) for one in ids]), self.blocks)

    @cached_property
    def recipes(self) -> dict[str, Recipe]:
        """Configurations of the main table."""
        made, _ = main_recipes(self.section, list(self.blocks))
        return made | comparators(self.section, list(self.blocks))

    @property
    def impossible(self) -> dict[str, str]:
        """Configurations of the main table that the data do not allow, and why."""
        return main_recipes(self.section, list(self.blocks))[1]

    def systems(self) -> dict[str, RecipeSystem]:
        """Return the main table as systems."""
        return systems(self.workshop, self.recipes)

    @property
    def compared(self) -> tuple[str, ...]:
        """The primary configuration and its comparator, as far as they can be made."""
        return tuple(dict.fromkeys(one for one in declared(self.section) if one in self.recipes))

    def sensitivity(self) -> dict[str, RecipeSystem]:
        """Return the compared configurations with one choice changed at a time."""
        choices = dict(self.section["sensitivity"])
        methods = choices.pop("lesion")
        found: dict[str, Recipe] = {}
        for name in self.compared:
            recipe = self.recipes[name]
            reduced = any(self.blocks[part].components for part in recipe.blocks)
            asked = {
                key: v
                for key, v in choices.items()
                if reduced or key not in ("components", "method", "order")
            }
            found |= variants(name, recipe, asked)
            for method in methods:
                blocks = tuple(
                    f"{part} {method}" if part.endswith(":lesion") else part for part in recipe.blocks
                )
                others = [one for one in blocks if one not in recipe.blocks]
                known = set(blocks) <= set(self.blocks)
                # The same criteria under another name are no variant.
                if known and any(
                    self.blocks[one].columns != self.blocks[one.partition(" ")[0]].columns for one in others
                ):
                    found[f"{name}[lesion={method}]"] = recipe.with_(blocks=blocks)
        return systems(self.workshop, found)
