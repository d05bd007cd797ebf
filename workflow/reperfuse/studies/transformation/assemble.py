"""From the study's excerpt and the records of the step `perfusion` to who takes part, with which label and fold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from reperfuse.core.records import faults_of
from reperfuse.imaging.reader import read_made
from reperfuse.studies.transformation.scan import NEEDED

Record = Mapping[str, Any]


@dataclass(frozen=True)
class Cohort:
    """Who takes part.

    Parameters
    ----------
    labels : mapping
        participant_id → 1 for HT.
    folds : mapping
        participant_id → fold.
    groups : mapping
        participant_id → group that must not be on both sides.
    clinical : mapping
        participant_id → values of the clinical predictors.
    left_out : mapping
        participant_id → why somebody who has a fold takes no part.
    """

    labels: Mapping[str, int]
    folds: Mapping[str, int]
    groups: Mapping[str, str]
    clinical: Mapping[str, Sequence[float | None]]
    left_out: Mapping[str, str]


def cohort(
    section: Mapping[str, Any],
    manifest: Mapping[str, Any],
    records: Mapping[str, Record],
    paths: Mapping[str, Mapping[str, Path]],
) -> Cohort:
    """Judge everybody who is eligible and has a fold by what their perfusion has turned out to be.

    Parameters
    ----------
    section : mapping
        ``studies.transformation``.
    manifest : mapping
        The study's excerpt.
    records : mapping
        participant_id → record of the step `perfusion`.
    paths : mapping
        participant_id → name → path of what that step has written.
    """
    rows = {row["participant_id"]: row for row in manifest["folds"]["transformation"]["rows"]}
    labels: dict[str, int] = {}
    left_out: dict[str, str] = {}
    for who in sorted(rows):
        known = manifest["clinical"].get(who, {}).get(section["variable"])
        there = paths.get(who, {})
        limits = {key: section["eligibility"][key] for key in ("max_fd_mm", "min_tail_s")}
        reason = unusable(records.get(who), there, **limits)
        label, why = (None, reason) if reason else label_of(known, there)
        if label is None:
            left_out[who] = why
        else:
            labels[who] = label
    values = {who: manifest["clinical"].get(who, {}) for who in labels}
    return Cohort(
        labels,
        {who: int(rows[who]["fold"]) for who in labels},
        {who: str(row["group"]) for who, row in rows.items()},
        {who: [_number(row.get(name)) for name in section["clinical"]] for who, row in values.items()},
        left_out,
    )


def unusable(record: Record | None, paths: Mapping[str, Path], *, max_fd_mm: float, min_tail_s: float) -> str:
    """Return in plain words why a patient's perfusion cannot be used; nothing where it can."""
    if record is None:
        return "no perfusion series that could be read"
    found = [fault.reason for fault in faults_of(record) if fault.excludes]
    if found:
        return found[0]
    missing = [name for name in NEEDED if name not in paths]
    if missing:
        return f"the step perfusion gave no {missing[0]}"
    brain = read_made(paths["PWI_brain"]).data > 0
    for name in ("PWI_b0", "PWI_trace"):  # what is divided by its median
        if not (brain.any() and np.median(read_made(paths[name]).data[brain]) > 0):
            return f"{name} shows nothing in most of the brain"
    if not record["facts"].get("aif"):
        return "no arterial input function"
    moved = record["facts"].get("motion", {}).get("max_fd_mm")
    if moved is not None and moved > max_fd_mm:
        return f"the head moved {moved:.1f} mm between two frames; expected at most {max_fd_mm:g} mm"
    tail_s = record["facts"].get("bolus", {}).get("tail_s")
    if tail_s is not None and tail_s < min_tail_s:
        return f"the series ends {tail_s:.1f} s after the bolus's peak; expected {min_tail_s:g} s or more"
    return ""


def label_of(known: Any, paths: Mapping[str, Path]) -> tuple[int | None, str]:
    """Return a patient's label, or why there is none that voxels can be labelled with.

    Parameters
    ----------
    known : Any
        The clinical label, None where no table has it.
    paths : mapping
        Name → path; ``PWI_ht`` where a mask is there.
    """
    drawn = bool((read_made(paths["PWI_ht"]).data > 0).any()) if "PWI_ht" in paths else None
    if not isinstance(known, float | int):
        return (None, "neither a label nor a mask of haemorrhage") if drawn is None else (int(drawn), "")
    label = int(known > 0)
    if label and not drawn:
        what = "no mask says where" if drawn is None else "its mask is empty on the PWI grid"
        return None, f"haemorrhage is on record, but {what}"
    if not label and drawn:
        return None, "no haemorrhage is on record, but the mask holds some"
    return label, ""


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, float | int) else None
