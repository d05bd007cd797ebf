"""The final encoder applied to patients that it has never seen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from reperfuse.core.errors import ConfigError
from reperfuse.core.participants import outside
from reperfuse.core.seeds import seed_of
from reperfuse.studies.fusion.assemble import VISIT, Cohort, stacked, taking_part, unseen, usable
from reperfuse.studies.fusion.bundle import Model
from reperfuse.studies.fusion.strata import assigned

Array = np.ndarray
COLUMNS = ("split", "participant_id", "session_id", "stratum", "distance", "beyond", "reason")


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
        images, there, _ = stacked(
            cohort, [who], model.system.contrasts, model.mask, model.intensity, model.grid["spacing_mm"],
            range_of=lambda name, places, values: model.ranges[name],
        )  # fmt: skip
        found.append(model.rule.encode(images[0], there[0])[0])
    length = model.rule.module.code_length(model.mask.shape)
    return np.stack(found) if found else np.zeros((0, length), dtype=np.float32)


def scored(
    model: Model | None,
    section: Mapping[str, Any],
    cohort: Cohort,
    manifest: Mapping[str, Any],
    *,
    codes: Array,
    ids: Sequence[str],
    strata: Sequence[Mapping[str, Any]],
    unmade: str,
) -> list[dict[str, Any]]:
    """Return rows of ``strata-others.tsv``: into which stratum each patient of one cohort falls who was not fitted on.

    Parameters
    ----------
    model : Model or None
        Fitted on everybody; without one nobody can be embedded.
    section : mapping
        ``studies.fusion``.
    cohort : Cohort
        Of the manifest.
    manifest : mapping
        Of the main cohort, or of an external one.
    codes : ndarray, shape (n, k)
        Of the patients ``ids`` whom the model was fitted on.
    strata : sequence of mapping
        Rows of ``strata.tsv``.
    unmade : str
        Why there is no model.
    """
    said = {"split": f"external:{manifest['name']}" if manifest["name"] else "new"}
    said["session_id"] = manifest["session_ids"].get(VISIT, "")
    reasons = dict(cohort.left_out) if manifest["name"] else {}
    chosen, found = unseen(cohort, manifest), []
    if model is None:
        reasons |= dict.fromkeys(chosen, unmade)
    else:
        cohort = usable(cohort, model.system.contrasts, model.mask, model.intensity)
        chosen, lacking = taking_part(cohort, model.system.contrasts, chosen, partial=model.rule.partial)
        reasons |= lacking
        made = embed(model, section, cohort, chosen)
        seed = seed_of(section["salt"], "fusion", "strata")
        found = assigned(section, codes, ids, strata, made, chosen, seed=seed)
    found += [{"participant_id": who, "reason": why} for who, why in sorted(reasons.items())]
    return [
        {**said, **row, "participant_id": outside(row["participant_id"], manifest["name"])} for row in found
    ]
