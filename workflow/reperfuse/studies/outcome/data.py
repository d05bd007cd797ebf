"""A cohort as the study sees it: labels, groups, and blocks of predictors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from reperfuse.core.errors import ConfigError
from reperfuse.studies.outcome.blocks import Block
from reperfuse.studies.outcome.scores import SCORES

Array = np.ndarray
Row = Mapping[str, float | str | None]
VISITS = ("J0", "J1")
# Levels with an order; others have a column each.
SEX = {"F": 0.0, "M": 1.0}
TICI = {"0": 0.0, "1": 1.0, "2a": 2.0, "2b": 3.0, "2c": 4.0, "3": 5.0}
MOST_LEVELS = 8


@dataclass(frozen=True)
class Sources:
    """Where a cohort's predictors come from.

    Parameters
    ----------
    clinical : mapping
        participant_id → standard name → value.
    dictionary : mapping
        Standard name → Description, Levels, available_at.
    volumes : mapping
        participant_id → (visit, criterion) → ml.
    loads : mapping
        participant_id → visit → region → ml.
    embeddings : mapping
        participant_id → visit → vector.
    scans : mapping
        participant_id → visit → what `reperfuse.studies.outcome.scanner.scan_of` says.
    """

    clinical: Mapping[str, Row]
    dictionary: Mapping[str, Mapping[str, Any]]
    volumes: Mapping[str, Mapping[tuple[str, str], float]]
    loads: Mapping[str, Mapping[str, Mapping[str, float]]]
    embeddings: Mapping[str, Mapping[str, Array]]
    scans: Mapping[str, Mapping[str, Mapping[str, Any]]] = field(default_factory=dict)


def clinical_block(name: str, variables: Sequence[str], ids: Sequence[str], sources: Sources) -> Block:
    """Return a block of clinical variables as numbers.

    Variables that no table has are left out. Levels become one column where they have an order or are two, else
    one for each; the columns are named by level, so that those of another cohort fall into place or are missing.

    Raises
    ------
    ConfigError
        A variable is free text: an identifier or a name of a place is no predictor.
    """
    columns: dict[str, Array] = {}
    for variable in variables:
        values = [sources.clinical.get(one, {}).get(variable) for one in ids]
        if all(value is None for value in values):
            continue
        if not any(isinstance(value, str) for value in values):
            columns[variable] = np.array([np.nan if v is None else float(v) for v in values])
            continue
        columns |= _levels(variable, values, sources.dictionary.get(variable, {}))
    table = np.column_stack(list(columns.values())) if columns else np.empty((len(ids), 0))
    return Block(name, tuple(columns), table)


def _levels(
    variable: str, values: Sequence[float | str | None], entry: Mapping[str, Any]
) -> dict[str, Array]:
    order = SEX if variable == "sex" else TICI if variable == "tici" else {}
    levels = sorted(entry.get("Levels") or ())
    if not order and (not levels or len(levels) > MOST_LEVELS):
        found = len({value for value in values if value is not None})
        raise ConfigError(
            f"`studies.outcome.clinical` names {variable}, which is text with {found} different values; expected a "
            f"number, a flag or at most {MOST_LEVELS} levels: what identifies a patient or a place is no predictor, "
            "so take it out."
        )
    if order:
        return {variable: np.array([order.get(str(v), np.nan) for v in values])}
    return {
        f"{variable}={level}": np.array([np.nan if v is None else float(v == level) for v in values])
        for level in (levels[1:] if len(levels) == 2 else levels)
    }


def volume_block(
    name: str, visit: str, criteria: Sequence[str], ids: Sequence[str], sources: Sources
) -> Block:
    """Return log1p(ml) of each criterion, as the paper has it; criteria that nobody has are left out."""
    table = np.array(
        [[sources.volumes.get(one, {}).get((visit, what), np.nan) for what in criteria] for one in ids],
        dtype=float,
    ).reshape(len(ids), len(criteria))
    there = [i for i in range(len(criteria)) if not np.isnan(table[:, i]).all()]
    return Block(name, tuple(f"log1p {criteria[i]} (ml)" for i in there), np.log1p(table[:, there]))


def load_block(name: str, visit: str, ids: Sequence[str], sources: Sources) -> Block:
    """Return log1p(ml) of lesion in each region of the atlas, regions that no lesion reaches left out."""
    found = [sources.loads.get(one, {}).get(visit) for one in ids]
    regions = sorted({region for row in found if row for region, ml in row.items() if ml > 0})
    table = np.array(
        [[np.nan if row is None else row.get(region, 0.0) for region in regions] for row in found]
    ).reshape(len(ids), len(regions))
    return Block(name, tuple(f"log1p {region} (ml)" for region in regions), np.log1p(table))


def embedding_block(name: str, visit: str, ids: Sequence[str], sources: Sources) -> Block:
    """Return the embeddings of a visit; a patient without one has NaN."""
    rows = [sources.embeddings.get(one, {}).get(visit) for one in ids]
    length = next((len(row) for row in rows if row is not None), 0)
    table = np.full((len(ids), length), np.nan)
    for i, row in enumerate(rows):
        if row is not None:
            table[i] = row
    return Block(name, tuple(f"{i}" for i in range(length)), table, components=True)


def score_block(name: str, ids: Sequence[str], sources: Sources) -> Block:
    """Return a bedside score; NaN where one of its items is missing."""
    scores = [SCORES[name].of(sources.clinical.get(one, {})) for one in ids]
    return Block(name, (name,), np.array([[np.nan if s is None else float(s)] for s in scores]))


def difference(name: str, later: Block, earlier: Block) -> Block:
    """Return what has changed between two visits, column by column."""
    shared = [c for c in later.columns if c in earlier.columns]
    take = [[block.columns.index(c) for c in shared] for block in (later, earlier)]
    values = later.values[:, take[0]] - earlier.values[:, take[1]]
    return Block(name, tuple(shared), values, later.components)


def complete(block: Block) -> Array:
    """Return (n) whether a patient has anything at all in a block."""
    return ~np.isnan(block.values).all(axis=1) if block.columns else np.zeros(block.values.shape[0], bool)
