"""From the manifest and the records of the steps to the study: predictors, labels, groups, folds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from reperfuse.core.errors import Fault
from reperfuse.evaluation.crossval import repeated_folds
from reperfuse.studies.lesion_facts import lesion_facts
from reperfuse.studies.outcome.data import Sources
from reperfuse.studies.outcome.study import Outcome

Manifest = Mapping[str, Any]
Records = Mapping[str, Mapping[str, Mapping[str, Any]]]
Row = dict[str, Any]
LEFT_OUT_COLUMNS = ("participant_id", "reason")


def sources(manifest: Manifest, records: Records, vectors: Mapping[str, Mapping[str, np.ndarray]]) -> Sources:
    """Return where a cohort's predictors come from.

    Parameters
    ----------
    manifest : mapping
        Of the main cohort or an external one, or a study's excerpt of it.
    records : mapping
        participant_id → step → record; ``lesions`` is read, and ``embed`` of each chunk.
    vectors : mapping
        participant_id → visit → vector.
    """
    volumes: dict[str, dict[tuple[str, str], float]] = {}
    loads: dict[str, dict[str, dict[str, float]]] = {}
    clinical = {who: dict(row) for who, row in manifest["clinical"].items()}
    for who in manifest["active"]:
        facts = lesion_facts(records.get(who, {}).get("lesions", {}))
        volumes[who] = facts.volumes
        if "J0" in facts.sides:
            clinical.setdefault(who, {})["lesion_side"] = facts.sides["J0"]
        if facts.loads:
            loads[who] = facts.loads
    scans: dict[str, Mapping[str, Mapping[str, Any]]] = {}
    for steps in records.values():
        scans |= steps.get("embed", {}).get("facts", {}).get("scans", {})
    return Sources(clinical, manifest["dictionary"], volumes, loads, vectors, scans)


def study(section: Mapping[str, Any], manifest: Manifest, found: Sources) -> Outcome:
    """Return the study on the main cohort: eligible patients who have a fold."""
    placed = {row["participant_id"]: row for row in manifest["folds"]["outcome"]["rows"]}
    eligible = [one for one, faults in manifest["eligibility"]["outcome"].items() if not faults]
    candidates = tuple(sorted(one for one in eligible if one in placed))
    return Outcome(section, candidates, {one: row["group"] for one, row in placed.items()}, found)


def labels(
    section: Mapping[str, Any], clinical: Mapping[str, Mapping[str, Any]], ids: Iterable[str]
) -> dict[str, dict[str, int]]:
    """Return target → participant_id → 1 for a grade at or below the cut, the study's own cut first.

    A further cut is left out where it does not leave at least two patients on either side.
    """
    variable = section["variable"]
    grades = grade_of(section, clinical, ids)
    found: dict[str, dict[str, int]] = {}
    for cut in dict.fromkeys((section["favourable_max"], *section["other_cuts"])):
        labelled = {one: int(value <= cut) for one, value in grades.items()}
        positive = sum(labelled.values())
        if cut == section["favourable_max"] or 2 <= positive <= len(labelled) - 2:
            found[f"{variable}<={cut}"] = labelled
    return found


def grade_of(
    section: Mapping[str, Any], clinical: Mapping[str, Mapping[str, Any]], ids: Iterable[str]
) -> dict[str, float]:
    """Return participant_id → ordinal outcome, of those who have one."""
    values = {one: clinical.get(one, {}).get(section["variable"]) for one in ids}
    return {one: float(value) for one, value in values.items() if isinstance(value, float | int)}


def folds(
    section: Mapping[str, Any], manifest: Manifest, labelled: Mapping[str, int], groups: Mapping[str, str]
) -> dict[int, dict[str, int]]:
    """Return repeat → participant_id → fold; the first is the cohort's fold table."""
    first = {row["participant_id"]: row["fold"] for row in manifest["folds"]["outcome"]["rows"]}
    return repeated_folds(first, labelled, groups, repeats=section["repeats"], salt=section["salt"])


def left_out(without: Mapping[str, str], manifest: Manifest) -> list[dict[str, str]]:
    """Return who takes no part in the study and why, one row for each patient of the cohort.

    ``without`` is what the fit found, `Outcome.left_out`: participant_id → reason.
    """
    rows = [
        {"participant_id": one, "reason": "; ".join(Fault(**fault).reason for fault in faults)}
        for one, faults in manifest["eligibility"]["outcome"].items()
        if faults
    ]
    rows += [{"participant_id": one, "reason": reason} for one, reason in without.items()]
    rows += [
        {"participant_id": one, "reason": "not in the frozen fold table"} for one in without_place(manifest)
    ]
    return sorted(rows, key=lambda row: row["participant_id"])


def without_place(manifest: Manifest) -> list[str]:
    """Return the eligible patients who are not in the frozen fold table: they came after the paper."""
    placed = {row["participant_id"] for row in manifest["folds"]["outcome"]["rows"]}
    judged = manifest["eligibility"]["outcome"].items()
    return [one for one, faults in judged if not faults and one not in placed]


def session_ids(manifest: Manifest) -> dict[str, str]:
    """Return visit → ``ses-…``; empty without sessions."""
    return dict(manifest["session_ids"])


def refusals_of(records: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return why no embedding could be made at all: weights that are absent or not what they should be."""
    faults = [Fault(**fault) for record in records if record["step"] == "embed" for fault in record["faults"]]
    return sorted({fault.reason for fault in faults if fault.code in ("E200", "E201")})


def about_of(study: Outcome) -> dict[str, dict[str, str]]:
    """Return participant_id → side of the lesion and scanner, by which subgroups are told apart."""
    found: dict[str, dict[str, str]] = {}
    for one in study.eligible():
        row = study.sources.clinical.get(one, {})
        scan = study.sources.scans.get(one, {}).get("J0", {})
        values = {"lesion_side": row.get("lesion_side"), "vendor": row.get("vendor") or scan.get("vendor")}
        values["field_t"] = scan.get("field_t")
        found[one] = {name: str(value) for name, value in values.items() if value is not None}
    return found


def stamps_of(records: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return what the weights of the embeddings are, if they are not MedicalNet's."""
    found = {
        record["facts"]["weights"]["text"]
        for record in records
        if record["step"] == "embed" and record["facts"].get("weights", {}).get("kind") != "MedicalNet"
        and record["facts"].get("weights")
    }  # fmt: skip
    return sorted(found)


def weights_of(records: Sequence[Mapping[str, Any]]) -> list[dict[str, str]]:
    """Return kind, text and sha256 of the weights that made the embeddings, MedicalNet's as well."""
    found = [record["facts"].get("weights") for record in records if record["step"] == "embed"]
    return sorted(({**one} for one in {one["sha256"]: one for one in found if one}.values()), key=str)


def unseen(
    section: Mapping[str, Any], manifest: Manifest, found: Sources, cohort: str
) -> tuple[str, list[str]]:
    """Return split and patients that a frozen model may be applied to.

    Everybody of an external cohort; of the main one those whose outcome is not known, since the model was fitted
    on the others. With a frozen fold table it was fitted on nobody whom the table does not name, so that they are
    scored whether their outcome is known or not.
    """
    everybody = sorted(manifest["active"])
    if cohort:
        return f"external:{cohort}", everybody
    plan, labelled = manifest["folds"]["outcome"], grade_of(section, found.clinical, everybody)
    known = {row["participant_id"] for row in plan["rows"]} if plan["frozen"] else set(everybody)
    return "new", [one for one in everybody if one not in labelled or one not in known]


def judged(rows: Sequence[Row], manifest: Manifest) -> list[Row]:
    """Return the rows of frozen models that the study's own tables hold.

    With a frozen fold table those of the main cohort stand in ``scores.tsv`` alone: what a paper reports does not
    change when patients join.
    """
    frozen = manifest["folds"]["outcome"]["frozen"]
    return [row for row in rows if not (frozen and row["split"] == "new")]
