"""The final encoder applied to patients that it has never seen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from reperfuse.core.errors import ConfigError
from reperfuse.studies.fusion.assemble import Cohort, normalised
from reperfuse.studies.fusion.bundle import Model

Array = np.ndarray


def embed(model: Model, section: Mapping[str, Any], cohort: Cohort, ids: Sequence[str]) -> Array:
    """Return (n, k) float32 codes of patients.

    Nothing is fitted: ranges, brain and weights are the model's. Each patient is embedded alone, so that the code
    does not depend on who else is asked for.

    Parameters
    ----------
    model : Model
    section : mapping
        ``studies.fusion``, by whose ``grid`` the images were made.
    cohort : Cohort
        Of these patients.
    ids : sequence of str
        From `reperfuse.studies.fusion.assemble.taking_part`.

    Raises
    ------
    ConfigError
        The images lie on another grid than the model's.
    """
    if dict(section["grid"]) != dict(model.grid):
        raise ConfigError(
            f"The frozen model {model.system.name} was fitted on the grid {dict(model.grid)}, found "
            f"{dict(section['grid'])}; score with the settings that it was fitted with."
        )
    found = []
    for who in ids:
        images, there = normalised(cohort, [who], model.system.contrasts, model.ranges, model.mask)
        found.append(model.rule.encode(images[0], there[0])[0])
    length = model.rule.module.code_length(model.mask.shape)
    return np.stack(found) if found else np.zeros((0, length), dtype=np.float32)
