"""What became of every patient: step by step, and who is left out and why."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from reperfuse.cohort.flow import PATIENT_OUT, PROPAGATED, Eligibility, by_patient, owned
from reperfuse.cohort.flow import flow as flow  # the tables and the flow of one cohort are asked for together
from reperfuse.core.errors import Fault
from reperfuse.core.records import state_of
from reperfuse.core.tables import MISSING

STATUS_COLUMNS = ("participant_id", "session_id", "step", "state", "codes", "reason")
EXCLUDED_COLUMNS = ("participant_id", "session_id", "study", "file", "code", "reason", "remedy")

Row = dict[str, str]

STEPS = ("index", "clinical", "prepare", "register", "normalise", "lesions", "perfusion", "page")


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
        In the second, ``study`` is ``all`` where the patient is out altogether, ``imaging`` where an image
        is, else the study's name; clinical findings stand there under the studies that need the value.
    """
    status: list[Row] = []
    excluded: list[Row] = []
    by_step = {"index": by_patient(index_faults), "clinical": by_patient(clinical_faults)}
    for step, found in by_step.items():
        for participant_id in sorted({*participants, *found}):
            faults = found.get(participant_id, [])
            status += _status(participant_id, step, "ok", faults) if participant_id or faults else []
    imaging = [fault for faults in by_step["index"].values() for fault in faults]
    for record in records:
        faults = owned(record)
        status += _status(record["participant_id"], record["step"], record["state"], faults)
        imaging += faults
    causes = {fault.participant_id for fault in imaging if fault.excludes and fault.code != PROPAGATED}
    for fault in imaging:
        if fault.excludes and not (fault.code == PROPAGATED and fault.participant_id in causes):
            excluded.append(_excluded(fault, "all" if fault.code in PATIENT_OUT else "imaging"))
    for study, judged in eligibility.items():
        for participant_id, reasons in judged.items():
            for reason in reasons:
                if isinstance(reason, Fault):
                    excluded.append(_excluded(reason.of(participant_id), study))
                else:
                    row = dict.fromkeys(EXCLUDED_COLUMNS, "")
                    excluded.append(
                        row | {"participant_id": participant_id, "study": study, "reason": reason}
                    )
    return _sorted(status, STATUS_COLUMNS), _sorted(excluded, EXCLUDED_COLUMNS)
