"""Who has no J1, and what that does to the comparison of J1 with J0."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from reperfuse.core.errors import Fault
from reperfuse.core.seeds import seed_of
from reperfuse.evaluation.crossval import by_configuration
from reperfuse.evaluation.interface import Prediction
from reperfuse.evaluation.patient_tables import Case
from reperfuse.studies.outcome.assemble import without_place
from reperfuse.studies.outcome.selection import (
    REASON_COLUMNS,
    SELECTION_COLUMNS,
    WEIGHTED_COLUMNS,
    inverse_probability_weights,
    reasons,
    selection_design,
    selection_table,
    weighted_comparison,
)

Rows = list[dict[str, Any]]
Manifest = Mapping[str, Any]


def has_j1(manifest: Manifest, image: str) -> dict[str, bool]:
    """Return, of the patients with an image of J0, who has one of J1.

    Who could take part and is not in a frozen fold table came later, which no missing image has decided.
    """
    later = set(without_place(manifest))
    return {
        who: image in visits.get("J1", {})
        for who, visits in manifest["active"].items()
        if image in visits.get("J0", {}) and who not in later
    }


def _of_both(section: Mapping[str, Any]) -> bool:
    return {"J0", "J1"} <= set(section["visits"])


def tables(section: Mapping[str, Any], manifest: Manifest) -> dict[str, tuple[Rows, Sequence[str]]]:
    """Return ``selection`` and ``reasons`` with their columns; empty for a study of one visit."""
    if not _of_both(section):
        return {"selection": ([], SELECTION_COLUMNS), "reasons": ([], REASON_COLUMNS)}
    there = has_j1(manifest, section["image"])
    variables = [one for one in section["clinical"]["J0"] if one in manifest["dictionary"]]
    rows = {who: manifest["clinical"].get(who, {}) for who in there}
    stated = {who: _stated(manifest, who) for who in there}
    return {
        "selection": (selection_table(rows, there, variables), SELECTION_COLUMNS),
        "reasons": (reasons(there, stated), REASON_COLUMNS),
    }


def _stated(manifest: Manifest, who: str) -> str | None:
    """Return what the clinical tables say of a missing visit, else what the images lack."""
    state = manifest["clinical"].get(who, {}).get("j1_state")
    if isinstance(state, str):
        return state
    faults = [Fault(**fault) for fault in manifest["eligibility"]["outcome"].get(who, ())]
    return next((fault.reason for fault in faults if "J1" in fault.reason), None)


def weighted(
    predictions: Sequence[Prediction], case: Case, manifest: Manifest, section: Mapping[str, Any]
) -> tuple[Rows, Sequence[str]]:
    """Return the primary comparison with patients weighed to stand for those without J1 as well, and columns."""
    if not _of_both(section):
        return [], WEIGHTED_COLUMNS
    scored = by_configuration(predictions, target=case.target)
    there = has_j1(manifest, section["image"])
    if len(case.compared) < 2 or any(one not in scored for one in case.compared) or all(there.values()):
        return [], WEIGHTED_COLUMNS
    ids, y, p, _ = scored[case.compared[0]]
    q = scored[case.compared[1]][2]
    observed = [who in set(ids) for who in there]
    if sum(observed) != len(ids) or all(observed):
        return [], WEIGHTED_COLUMNS
    variables = [one for one in section["clinical"]["J0"] if one in manifest["dictionary"]]
    design, _ = selection_design(manifest["clinical"], list(there), variables)
    if not design.shape[1]:
        return [], WEIGHTED_COLUMNS
    options = section["selection"]
    weights = inverse_probability_weights(
        design, observed, ridge=options["ridge"], limit=options["weight_limit"]
    )
    order = [who for who, seen in zip(there, observed, strict=True) if seen]
    by_name = dict(zip(order, weights, strict=True))
    rows = weighted_comparison(
        y, p, q, np.array([by_name[who] for who in ids]), [case.groups.get(who, who) for who in ids],
        draws=case.statistics["bootstrap"], level=case.level, seed=seed_of(case.salt, "weights"),
    )  # fmt: skip
    return rows, WEIGHTED_COLUMNS
