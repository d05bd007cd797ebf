"""What became of every patient: step by step, who is left out and why, and how many remain."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from reperfuse.core.errors import Fault, catalogue
from reperfuse.core.records import faults_of, state_of
from reperfuse.core.tables import MISSING

STATUS_COLUMNS = ("participant_id", "session_id", "step", "state", "codes", "reason")
EXCLUDED_COLUMNS = ("participant_id", "session_id", "study", "file", "code", "reason", "remedy")

Row = dict[str, str]
Eligibility = Mapping[str, Mapping[str, Sequence[Fault | str]]]

# Findings of the index that take the whole patient out, and what merely repeats an earlier finding.
PATIENT_OUT = frozenset({"E124", "E128", "E190"})
PROPAGATED = "E160"
STEPS = ("index", "clinical", "prepare", "register", "normalise", "lesions", "page")


@dataclass(frozen=True)
class Stage:
    """A box of the flow diagram.

    Parameters
    ----------
    label : str
        What holds for the patients in it.
    n : int
        How many.
    of : str
        Label of the box that they come from; empty for the first.
    reasons : list of (str, int)
        Why the others of that box are not here, each patient counted once; most frequent first.
    """

    label: str
    n: int
    of: str
    reasons: list[tuple[str, int]]


def _by_patient(faults: Iterable[Fault]) -> dict[str, list[Fault]]:
    grouped: dict[str, list[Fault]] = defaultdict(list)
    for fault in faults:
        grouped[fault.participant_id].append(fault)
    return grouped


def _owned(record: Mapping[str, Any]) -> list[Fault]:
    return [fault.of(record["participant_id"]) for fault in faults_of(record)]


def _status(participant_id: str, step: str, state: str, faults: Sequence[Fault]) -> list[Row]:
    """Return one row per session that something was found in, or one for the step."""
    sessions: dict[str, list[Fault]] = defaultdict(list)
    for fault in faults:
        sessions[fault.session_id].append(fault)
    rows = []
    for session_id, found in sorted((sessions or {"": []}).items()):
        reasons = dict.fromkeys(
            " ".join(part for part in (fault.path, fault.reason) if part) for fault in found
        )
        rows.append(
            {
                "participant_id": participant_id,
                "session_id": session_id,
                "step": step,
                "state": state_of(found) if found else state,
                "codes": ",".join(dict.fromkeys(fault.code for fault in found)),
                "reason": "; ".join(reasons),
            }
        )
    return rows


def _excluded(fault: Fault, study: str) -> Row:
    return {
        "participant_id": fault.participant_id,
        "session_id": fault.session_id,
        "study": study,
        "file": fault.path,
        "code": fault.code,
        "reason": fault.reason,
        "remedy": fault.text("remedy"),
    }


def _sorted(rows: Iterable[Row], columns: Sequence[str]) -> list[Row]:
    """Return the rows without repetition, in an order that depends on their content only."""
    place = {step: f"{number:02d}" for number, step in enumerate(STEPS)}
    unique = {tuple(" ".join(row[column].split()) or MISSING for column in columns) for row in rows}
    step = columns.index("step") if "step" in columns else None

    def key(cells: tuple[str, ...]) -> tuple[str, ...]:
        if step is None:
            return cells
        return (cells[0], place.get(cells[step], "99"), *cells)

    return [dict(zip(columns, cells, strict=True)) for cells in sorted(unique, key=key)]


def cohort_status(
    index_faults: Iterable[Fault],
    records: Iterable[Mapping[str, Any]],
    clinical_faults: Iterable[Fault],
    participants: Collection[str],
    eligibility: Eligibility,
) -> tuple[list[Row], list[Row]]:
    """Return the rows of ``cohort/status.tsv`` and ``cohort/excluded.tsv``.

    Parameters
    ----------
    index_faults : iterable of Fault
        What was found while indexing.
    records : iterable of dict
        The steps' records.
    clinical_faults : iterable of Fault
        What was found in the clinical tables, and between them and the folders.
    participants : collection of str
        Everybody with a folder.
    eligibility : mapping
        Study → participant_id → what keeps them out (faults, or plain reasons).

    Returns
    -------
    (list of dict, list of dict)
        Columns `STATUS_COLUMNS` and `EXCLUDED_COLUMNS`; sorted, all text, ``n/a`` where there is nothing.
        A study's own rows in the first have the state ``eligible`` or ``left out``. In the second, ``study``
        is ``all`` where the patient is out altogether, ``imaging`` where an image is, else the study's name;
        clinical findings stand there under the studies that need the value.
    """
    status: list[Row] = []
    excluded: list[Row] = []
    by_step = {"index": _by_patient(index_faults), "clinical": _by_patient(clinical_faults)}
    for step, found in by_step.items():
        for participant_id in sorted({*participants, *found}):
            faults = found.get(participant_id, [])
            status += _status(participant_id, step, "ok", faults) if participant_id or faults else []
    imaging = [fault for faults in by_step["index"].values() for fault in faults]
    for record in records:
        faults = _owned(record)
        status += _status(record["participant_id"], record["step"], record["state"], faults)
        imaging += faults
    causes = {fault.participant_id for fault in imaging if fault.excludes and fault.code != PROPAGATED}
    for fault in imaging:
        if fault.excludes and not (fault.code == PROPAGATED and fault.participant_id in causes):
            excluded.append(_excluded(fault, "all" if fault.code in PATIENT_OUT else "imaging"))
    for study, judged in eligibility.items():
        for participant_id, reasons in judged.items():
            faults = [reason for reason in reasons if isinstance(reason, Fault)]
            words = [reason if isinstance(reason, str) else reason.reason for reason in reasons]
            row = dict.fromkeys((*STATUS_COLUMNS, *EXCLUDED_COLUMNS), "")
            row |= {"participant_id": participant_id, "step": study, "study": study}
            row |= {"state": "left out" if reasons else "eligible", "reason": "; ".join(words)}
            row["codes"] = ",".join(dict.fromkeys(fault.code for fault in faults))
            status.append(row)
            excluded += [_excluded(fault.of(participant_id), study) for fault in faults]
            excluded += [row | {"reason": reason} for reason in reasons if isinstance(reason, str)]
    return _sorted(status, STATUS_COLUMNS), _sorted(excluded, EXCLUDED_COLUMNS)


def _generic(code: str, texts: set[str]) -> str:
    """Return what the faults of one code have in common: their sentence, without numbers that differ."""
    if len(texts) == 1:
        return f"{next(iter(texts))} ({code})"
    template = catalogue()[code]["found"]
    return f"{re.sub(r'{[^}]*}', '…', template)} ({code})"


def _tally(reasons: Mapping[str, Fault | str]) -> list[tuple[str, int]]:
    """Count one reason per patient; faults of one code together, but for those that say what is missing."""
    plain = {"E137", "E138", "E139"}
    texts: dict[str, set[str]] = defaultdict(set)
    for reason in reasons.values():
        if isinstance(reason, Fault):
            texts[reason.code].add(reason.text("found"))
    counts = Counter(
        reason
        if isinstance(reason, str)
        else reason.text("found")
        if reason.code in plain
        else _generic(reason.code, texts[reason.code])
        for reason in reasons.values()
    )
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))


def _first(faults: Iterable[Fault], otherwise: str) -> Fault | str:
    """Return the first finding that excludes, a cause before what follows from it."""
    found = [fault for fault in faults if fault.excludes]
    return min(found, key=lambda fault: fault.code == PROPAGATED, default=otherwise)


def flow(
    participants: Collection[str],
    index_faults: Iterable[Fault],
    records: Iterable[Mapping[str, Any]],
    eligibility: Eligibility,
) -> list[Stage]:
    """Return the boxes of the flow diagram, each with the reasons why others of the box before are not in it.

    Found, then readable (a step read at least one image), then prepared (at least one diffusion image); from
    these, registered (every image aligned, or nothing to align) and lesions (a volume); from those found,
    eligible for each study.

    Parameters
    ----------
    participants, index_faults, records, eligibility
        See `cohort_status`.
    """
    everyone = sorted(set(participants))
    indexed = _by_patient(index_faults)
    steps: dict[str, dict[str, Mapping[str, Any]]] = defaultdict(dict)
    for record in records:
        steps[record["step"]][record["participant_id"]] = record

    def facts(step: str, participant_id: str) -> Mapping[str, Any]:
        found: Mapping[str, Any] = steps[step].get(participant_id, {}).get("facts", {})
        return found

    def found_in(step: str, participant_id: str) -> list[Fault]:
        record = steps[step].get(participant_id)
        return _owned(record) if record else []

    def roles(participant_id: str) -> set[str]:
        visits = facts("prepare", participant_id).values()
        return {role for visit in visits if isinstance(visit, Mapping) for role in visit.get("images", {})}

    unread: dict[str, Fault | str] = {}
    unprepared: dict[str, Fault | str] = {}
    unaligned: dict[str, Fault | str] = {}
    unmeasured: dict[str, Fault | str] = {}
    for name in everyone:
        faults = [*indexed.get(name, []), *found_in("prepare", name)]
        if any(fault.code in PATIENT_OUT for fault in faults):
            faults = [fault for fault in faults if fault.code in PATIENT_OUT]
        if not roles(name):
            unread[name] = _first(faults, "not read yet")
        elif not roles(name) & {"adc", "trace", "dwi"}:
            unprepared[name] = _first(faults, "no diffusion image")
    readable = [name for name in everyone if name not in unread]
    prepared = [name for name in readable if name not in unprepared]
    for name in prepared:
        if found := [fault for fault in found_in("register", name) if fault.excludes]:
            unaligned[name] = _first(found, "")
        if not facts("lesions", name).get("rows"):
            unmeasured[name] = _first(found_in("lesions", name), "no ADC map or mask")
    stages = [
        Stage("found", len(everyone), "", []),
        Stage("readable", len(readable), "found", _tally(unread)),
        Stage("prepared", len(prepared), "readable", _tally(unprepared)),
        Stage("registered", len(prepared) - len(unaligned), "prepared", _tally(unaligned)),
        Stage("lesions", len(prepared) - len(unmeasured), "prepared", _tally(unmeasured)),
    ]
    for study, judged in eligibility.items():
        reasons = {name: judged.get(name, ["no image that can be used"]) for name in everyone}
        out = {name: found[0] for name, found in reasons.items() if found}
        stages.append(Stage(f"eligible for {study}", len(everyone) - len(out), "found", _tally(out)))
    return stages
