"""Frozen models applied to patients that they have never seen: external cohorts, and patients without a label."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from reperfuse.core.errors import ConfigError
from reperfuse.core.participants import outside
from reperfuse.evaluation import conformal
from reperfuse.evaluation.interface import Prediction
from reperfuse.studies.outcome import data
from reperfuse.studies.outcome.assemble import labels
from reperfuse.studies.outcome.domain import outside_domain
from reperfuse.studies.outcome.frozen import aligned
from reperfuse.studies.outcome.model import FittedRecipe
from reperfuse.studies.outcome.study import Outcome

Models = Mapping[str, tuple[FittedRecipe, Mapping[str, Any]]]
SET_COLUMNS = "split participant_id configuration epsilon contains_1 contains_0".split()


def score(
    models: Models,
    section: Mapping[str, Any],
    candidates: Sequence[str],
    found: data.Sources,
    *,
    split: str,
    session_ids: Mapping[str, str],
) -> tuple[list[Prediction], dict[str, str], list[dict[str, Any]]]:
    """Return a frozen model's prediction for every patient who has what it needs.

    With it come participant_id → why there is none, and the rows of ``scores-domain.tsv``: where a patient lies
    outside the range of those whom the model was fitted on.

    Parameters
    ----------
    models : mapping
        Configuration → model and card.
    section : mapping
        ``studies.outcome``.
    candidates : sequence of str
        Patients to score.
    found : data.Sources
        Their predictors.
    split : str
        ``new``, or ``external:<name>``, whose prefix is taken off the names.
    session_ids : mapping
        Visit → session.
    """
    predictions: list[Prediction] = []
    reasons: dict[str, str] = {}
    beyond: list[dict[str, Any]] = []
    name = split.partition(":")[2]
    for configuration, (model, card) in models.items():
        parts = [part for block in model.blocks for part in _parts(block.name)]
        visits = sorted({part.partition(":")[0] for part in parts})
        study = Outcome({**section, "visits": visits}, (), {}, found)
        everybody = tuple(sorted(candidates))
        images = study.image_blocks(everybody)
        missing: dict[str, str] = {}
        for part in dict.fromkeys(parts):
            if part.partition(":")[2] in ("mri", "mask", "lesion"):
                there = data.complete(images[part]) if part in images else np.zeros(len(everybody), bool)
                for who, known_image in zip(everybody, there, strict=True):
                    if not known_image:
                        missing.setdefault(who, f"no {part}")
        reasons |= {outside(who, name): why for who, why in missing.items()}
        ids = tuple(who for who in everybody if who not in missing)
        if not ids:
            continue
        target = card["target"]
        known = labels(section, found.clinical, ids).get(target, {})
        try:
            blocks = study.blocks_of(ids)
            values = {block.name: aligned(blocks.get(block.name), block, len(ids)) for block in model.blocks}
        except ConfigError as error:
            reasons |= dict.fromkeys((outside(who, name) for who in ids), str(error))
            continue
        empty = _without(values)
        reasons |= {outside(who, name): empty[i] for i, who in enumerate(ids) if i in empty}
        kept = [i for i in range(len(ids)) if i not in empty]
        ids, values = tuple(ids[i] for i in kept), {block: rows[kept] for block, rows in values.items()}
        if not ids:
            continue
        beyond += outside_domain(
            model,
            card["domain"],
            values,
            [found.scans.get(who, {}) for who in ids],
            [outside(who, name) for who in ids],
            split=split,
            configuration=configuration,
        )
        session = session_ids.get(visits[-1], "") if visits else ""
        predictions += [
            Prediction(
                outside(who, name),
                session,
                target,
                configuration,
                split,
                None,
                None,
                known.get(who),
                float(p),
            )
            for who, p in zip(ids, model.probability(values), strict=True)
        ]
    return predictions, reasons, beyond


def prediction_sets(
    scores: Sequence[Prediction], known: Iterable[Prediction], *, epsilon: float
) -> list[dict[str, Any]]:
    """Return which outcomes cannot be ruled out for each patient who was scored; the rows of ``scores-sets.tsv``.

    Parameters
    ----------
    scores : sequence of Prediction
        Of frozen models.
    known : iterable of Prediction
        Of the cross-validation. Its first repeat calibrates the configuration of the same name and target; a
        configuration that was not cross-validated has no sets.
    epsilon : float
        Error rate, per class.
    """
    calibration: dict[tuple[str, str], list[tuple[int, float]]] = {}
    for one in known:
        if (one.split, one.repeat) == ("cv", 1) and one.y_true is not None:
            mine = calibration.setdefault((one.configuration, one.target), [])
            mine.append((one.y_true, one.y_score))
    rows: list[dict[str, Any]] = []
    for key in dict.fromkeys((one.configuration, one.target) for one in scores):
        if key not in calibration:
            continue
        y, probability = zip(*calibration[key], strict=True)
        new = [one for one in scores if (one.configuration, one.target) == key]
        p = conformal.p_values_new(y, probability, [one.y_score for one in new])
        for one, inside in zip(new, conformal.prediction_sets(p, epsilon=epsilon).tolist(), strict=True):
            names = {"split": one.split, "participant_id": one.participant_id, "configuration": key[0]}
            rows.append(names | {"epsilon": epsilon, "contains_1": inside[1], "contains_0": inside[0]})
    return rows


def _without(values: Mapping[str, np.ndarray]) -> dict[int, str]:
    """Return row → reason, of patients who have nothing at all in a block of numbers that a model reads.

    What a model fills in is then all that it would judge them by. Images are asked for before, and a region that no
    lesion reaches is none that is missing.
    """
    found: dict[int, str] = {}
    for block, rows in values.items():
        kind = block.partition(":")[2]
        if kind in ("mri", "mask", "territories") or kind.startswith("lesion"):
            continue
        why = f"no {block}" if kind == "log_volume" else "no clinical value"
        found |= dict.fromkeys(np.flatnonzero(np.isnan(rows).all(axis=1)).tolist(), why)
    return found


def _parts(block: str) -> list[str]:
    """Return the blocks of single visits that a block is made from: ``J1-J0:mri`` of two."""
    visits, _, kind = block.partition(":")
    return [f"{visit}:{kind}" for visit in visits.split("-")]
