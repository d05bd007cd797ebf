"""From the study's excerpt, the records and the inputs to who takes part, with which label, score and fold."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeGuard

import numpy as np

from reperfuse.core.errors import ConfigError
from reperfuse.core.seeds import seed_of
from reperfuse.evaluation.crossval import repeated_folds, stratified_folds
from reperfuse.studies.lesion_facts import LESION, lesion_facts
from reperfuse.studies.others import never_shown
from reperfuse.studies.severity.names import hybrid_parts, parse

Array = np.ndarray
Records = Mapping[str, Mapping[str, Mapping[str, Any]]]
VISIT = "J0"
SEX = {"F": 0.0, "M": 1.0}


@dataclass(frozen=True)
class Cohort:
    """Who takes part, and what their predictions may be made from; the score is here as a label alone.

    Parameters
    ----------
    ids : tuple of str
        Patients with an image, sorted.
    labels : mapping
        participant_id → 1 above the cut; of those whose score is known.
    grade : mapping
        participant_id → the score that the label is cut from, a target of training and never an input.
    groups : mapping
        participant_id → group that must not be on both sides.
    images : mapping
        participant_id → (channels, slices, rows, columns) float16.
    cells : mapping
        participant_id → (cells) share of each cell of the template that the lesion fills; of those who have it.
    volumes_ml : mapping
        participant_id → volume of the lesion of J0; of those who have it, 0 without any.
    loads : mapping
        participant_id → region → ml of lesion in it; of those who have them.
    clinical : mapping
        participant_id → age and the clinical variables of `hybrid` as numbers, and nothing else.
    left_out : mapping
        participant_id → why somebody takes no part.
    places : mapping
        participant_id → fold of the cohort's table.
    """

    ids: tuple[str, ...]
    labels: Mapping[str, int]
    grade: Mapping[str, float]
    groups: Mapping[str, str]
    images: Mapping[str, Array]
    cells: Mapping[str, Array]
    volumes_ml: Mapping[str, float]
    loads: Mapping[str, Mapping[str, float]]
    clinical: Mapping[str, Mapping[str, float]]
    left_out: Mapping[str, str] = field(default_factory=dict)
    places: Mapping[str, int] = field(default_factory=dict)


def cohort(
    section: Mapping[str, Any],
    manifest: Mapping[str, Any],
    records: Records,
    images: Mapping[str, Array],
    cells: Mapping[str, Array],
) -> Cohort:
    """Return everybody of a manifest who has an image.

    Parameters
    ----------
    section : mapping
        ``studies.severity``.
    manifest : mapping
        The study's excerpt, or the manifest of the main cohort or an external one.
    records : mapping
        participant_id or chunk → step → record; ``lesions`` of patients and ``severity_inputs`` of chunks are read.
    images, cells : mapping
        participant_id → array, as `reperfuse.studies.severity.inputs.read_inputs` gives them.

    Raises
    ------
    ConfigError
        A clinical variable is free text.
    """
    facts = {who: lesion_facts(records.get(who, {}).get("lesions", {})) for who in manifest["active"]}
    left_out = {
        who: why
        for steps in records.values()
        for who, why in steps.get("severity_inputs", {}).get("facts", {}).get("left_out", {}).items()
    }
    ids = tuple(sorted(who for who in manifest["active"] if who in images))
    rows = {who: manifest["clinical"].get(who, {}) for who in ids}
    grade = {who: float(v) for who in ids if _is_number(v := rows[who].get(section["variable"]))}
    placed = manifest.get("folds", {}).get("severity", {}).get("rows", ())
    # Age and what `hybrid` names: whatever else a table holds, the score first of all, is not even here.
    variables = list(dict.fromkeys(["age", *hybrid_parts(section)[1]]))
    return Cohort(
        ids,
        {who: int(value > section["minor_max"]) for who, value in grade.items()},
        grade,
        {row["participant_id"]: str(row["group"]) for row in placed},
        {who: images[who] for who in ids},
        {who: cells[who] for who in ids if who in cells},
        {who: float(v) for who in ids if (v := facts[who].volumes.get((VISIT, LESION))) is not None},
        {who: facts[who].loads[VISIT] for who in ids if VISIT in facts[who].loads},
        {who: _numbers(row, variables) for who, row in rows.items()},
        {who: left_out.get(who, "no image") for who in sorted(manifest["active"]) if who not in images}
        | never_shown(manifest, "severity"),
        {row["participant_id"]: int(row["fold"]) for row in placed},
    )


def folds(section: Mapping[str, Any], one: Cohort, trial: str) -> dict[str, int]:
    """Return participant_id → fold of everybody who is labelled and has a place, in the repeat of a trial.

    The first repeat of the section's cross-validation is the cohort's table, and all others are drawn from the same
    patients: stratified by label, groups together, by seeds of the salt. Where a class cannot be divided into as many
    folds, there are fewer of them.
    """
    place = parse(trial)
    labels = {who: label for who, label in one.labels.items() if who in one.places}
    if place.n_folds == section["n_folds"]:
        drawn = repeated_folds(
            one.places, labels, one.groups, repeats=place.repeat, salt=section["salt"]
        )  # fmt: skip
        return drawn.get(place.repeat, {})
    n_folds = min(place.n_folds, max(Counter(labels.values()).values(), default=0))
    if n_folds < 2:
        return {}
    seed = seed_of(section["salt"], "folds", place.n_folds, "repeat", place.repeat)
    return stratified_folds(labels, one.groups, n_folds, seed=seed)


def inner_folds(
    labels: Mapping[str, int], groups: Mapping[str, str], n_folds: int, *, seed: int
) -> dict[str, int]:
    """Return participant_id → fold inside a training set; empty where none can be drawn.

    Whoever is fitted without one of the folds has patients of both classes, and so has every fold, or there are fewer
    folds than asked for.
    """
    most = min(n_folds, *(sum(label == one for label in labels.values()) for one in (0, 1)))
    for n in range(most, 1, -1):
        drawn = stratified_folds(labels, groups, n, seed=seed)
        if all(
            {labels[who] for who, at in drawn.items() if at == fold} == {0, 1} for fold in range(1, n + 1)
        ):
            return drawn
    return {}


def unseen(one: Cohort, manifest: Mapping[str, Any]) -> tuple[str, list[str]]:
    """Return split and patients whom frozen models may be applied to.

    Everybody of an external cohort; of the main one those without a label or a place in the fold table, on whom no
    model was fitted.
    """
    if manifest["name"]:
        return f"external:{manifest['name']}", list(one.ids)
    return "new", [who for who in one.ids if who not in one.labels or who not in one.places]


def image_array(one: Cohort, ids: Sequence[str]) -> Array:
    """Return (n, channels, slices, rows, columns) float16 of some patients."""
    return np.stack([one.images[who] for who in ids]).astype(np.float16, copy=False)


def cell_array(one: Cohort, ids: Collection[str]) -> Array:
    """Return (n, cells) float32 of some patients; NaN for one without."""
    length = next((len(row) for row in one.cells.values()), 0)
    nothing = np.full(length, np.nan, dtype=np.float32)
    return np.array([one.cells.get(who, nothing) for who in ids], dtype=np.float32).reshape(len(ids), length)


def _numbers(row: Mapping[str, Any], variables: Sequence[str]) -> dict[str, float]:
    found = {}
    for name in variables:
        value = row.get(name)
        if name == "sex" and value in SEX:
            value = SEX[value]
        if _is_number(value):
            found[name] = float(value)
        elif value is not None:
            raise ConfigError(
                f"`studies.severity.hybrid` names {name}, which is text; expected a number, a flag or the sex, so "
                "take it out."
            )
    return found


def _is_number(value: Any) -> TypeGuard[float]:
    return isinstance(value, float | int) and bool(np.isfinite(value))
