"""How many patients remain from step to step, and why the others do not."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from reperfuse.core.errors import Fault, catalogue
from reperfuse.core.records import faults_of

Eligibility = Mapping[str, Mapping[str, Sequence[Fault | str]]]

# Findings of the index that take the whole patient out, and what merely repeats an earlier finding.
PATIENT_OUT = frozenset({"E124", "E128", "E151", "E190"})
PROPAGATED = "E160"


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


def by_patient(faults: Iterable[Fault]) -> dict[str, list[Fault]]:
    """Return participant_id → faults, in their order."""
    grouped: dict[str, list[Fault]] = defaultdict(list)
    for fault in faults:
        grouped[fault.participant_id].append(fault)
    return grouped


def owned(record: Mapping[str, Any]) -> list[Fault]:
    """Return a record's faults, each saying whose it is."""
    return [fault.of(record["participant_id"]) for fault in faults_of(record)]


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
    these, registered (every image aligned, or nothing to align) and with lesion volumes; from those found,
    eligible for each study.

    Parameters
    ----------
    participants, index_faults, records, eligibility
        See `reperfuse.cohort.status.cohort_status`.
    """
    everyone = sorted(set(participants))
    indexed = by_patient(index_faults)
    steps: dict[str, dict[str, Mapping[str, Any]]] = defaultdict(dict)
    for record in records:
        steps[record["step"]][record["participant_id"]] = record

    def facts(step: str, participant_id: str) -> Mapping[str, Any]:
        found: Mapping[str, Any] = steps[step].get(participant_id, {}).get("facts", {})
        return found

    def found_in(step: str, participant_id: str) -> list[Fault]:
        record = steps[step].get(participant_id)
        return owned(record) if record else []

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
        measured = bool(facts("lesions", name).get("rows"))
        if not measured:
            unmeasured[name] = _first([*found_in("lesions", name), *faults], "no ADC map or mask")
        if not roles(name) and not measured:
            unread[name] = _first(faults, "not read yet")
        elif not roles(name) & {"adc", "trace", "dwi"}:
            unprepared[name] = _first(faults, "no diffusion image")
    readable = [name for name in everyone if name not in unread]
    prepared = [name for name in readable if name not in unprepared]
    for name in prepared:
        if found := [fault for fault in found_in("register", name) if fault.excludes]:
            unaligned[name] = _first(found, "")
    boxes = [
        Stage("found", len(everyone), "", []),
        Stage("readable", len(readable), "found", _tally(unread)),
        Stage("prepared", len(prepared), "readable", _tally(unprepared)),
        Stage("registered", len(prepared) - len(unaligned), "prepared", _tally(unaligned)),
        Stage("with lesion volumes", len(everyone) - len(unmeasured), "found", _tally(unmeasured)),
    ]
    for study, judged in eligibility.items():
        reasons = {name: judged.get(name, ["no image that can be used"]) for name in everyone}
        out = {name: found[0] for name, found in reasons.items() if found}
        boxes.append(Stage(f"eligible for {study}", len(everyone) - len(out), "found", _tally(out)))
    return boxes


def eligibility_counts(eligibility: Eligibility) -> dict[str, tuple[int, dict[str, int]]]:
    """Return study → number eligible, and reason → number left out for it; a patient may have several."""
    counts = {}
    for study, judged in eligibility.items():
        every = {f"{name} {n}": reason for name, found in judged.items() for n, reason in enumerate(found)}
        counts[study] = (sum(not found for found in judged.values()), dict(_tally(every)))
    return counts
