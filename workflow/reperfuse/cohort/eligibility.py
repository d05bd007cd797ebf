"""Who may take part in a study, and in plain words why not."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Protocol

from reperfuse.cohort.clinical import Clinical
from reperfuse.cohort.gather import EVERYTHING
from reperfuse.cohort.values import Value
from reperfuse.core.errors import Fault

Available = Mapping[str, Mapping[str, Collection[str]]]

SPOKEN = {
    "adc": "ADC", "trace": "trace", "dwi": "DWI", "pwi": "PWI", "gre": "GRE", "flair": "FLAIR", "t1w": "T1w",
    "lesion": "lesion mask", "brain": "brain mask", "jac": "Jacobian determinant",
    "lesion_distance": "distance to the lesion", "tmax": "Tmax", "cbf": "CBF", "cbv": "CBV", "mtt": "MTT",
}  # fmt: skip


class ImageNeed(Protocol):
    """At least ``at_least`` of ``roles`` at ``visit``, or else one of the variables ``or_variables``."""

    @property
    def visit(self) -> str: ...
    @property
    def roles(self) -> tuple[str, ...]: ...
    @property
    def at_least(self) -> int: ...
    @property
    def or_variables(self) -> tuple[str, ...]: ...
    def there(self, images: Collection[str]) -> list[str]: ...


class Limits(Protocol):
    """A clinical value must lie between ``low`` and ``high``; ``unknown`` says whether it may be missing."""

    @property
    def variable(self) -> str: ...
    @property
    def low(self) -> float: ...
    @property
    def high(self) -> float: ...
    @property
    def units(self) -> str: ...
    @property
    def unknown(self) -> bool: ...


class Order(Protocol):
    """``first`` must not be later than any of ``then``, as far as both are known; ``what`` says it in words."""

    @property
    def first(self) -> str: ...
    @property
    def then(self) -> tuple[str, ...]: ...
    @property
    def what(self) -> str: ...


class Label(Protocol):
    """What a study predicts, cut from a clinical variable."""

    @property
    def variable(self) -> str: ...


class Requirement(Protocol):
    """What a study needs of a patient; see `reperfuse.studies.requirements`."""

    @property
    def study(self) -> str: ...
    @property
    def images(self) -> Sequence[ImageNeed]: ...
    @property
    def clinical(self) -> tuple[str, ...]: ...
    @property
    def label(self) -> Label | None: ...
    def label_of(self, row: Mapping[str, Value]) -> int | None: ...
    @property
    def labelled(self) -> bool: ...
    @property
    def limits(self) -> Sequence[Limits]: ...
    @property
    def orders(self) -> Sequence[Order]: ...


def _spoken(roles: Collection[str], joint: str) -> str:
    words = [SPOKEN.get(role, role) for role in roles]
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} {joint} {words[-1]}"


def _lacking(need: ImageNeed, visits: Mapping[str, Collection[str]]) -> str:
    """Return what is not there, or nothing where there is enough."""
    there = need.there(visits.get(need.visit, ()))
    if len(there) >= need.at_least:
        return ""
    if need.at_least == 1:
        return _spoken(need.roles, "or")
    several = "pair" if need.at_least == 2 else f"set of {need.at_least}"
    found = f"only {_spoken(there, 'and')}" if there else "none"
    return f"{several} out of {_spoken(need.roles, 'and')} ({found})"


def lacks(
    available: Available, clinical: Clinical, requirement: Requirement, *, to_score: bool = False
) -> dict[str, list[Fault]]:
    """Return, for every patient, what keeps them out of a study.

    Parameters
    ----------
    available : mapping
        participant_id → visit → roles of the images that can be used.
    clinical : Clinical
        Their data.
    requirement : Requirement
        What the study needs.
    to_score : bool
        Whether a model that is fitted already is to be applied: then nothing is asked for that gives the label only.

    Returns
    -------
    dict
        participant_id → faults: E137 an image, E138 a value, E139 the whole row is missing, E136 a value is beyond
        its limits, E140 a time is before one that it must follow, or the finding for which a value was refused. An
        empty list means eligible.
    """
    label = requirement.label.variable if to_score and requirement.label else ""
    needed = [need for need in requirement.images if not label or label not in need.or_variables]
    out: dict[str, list[Fault]] = {}
    for participant_id in sorted(available):
        row = clinical.rows.get(participant_id)
        values = row or {}
        faults = []
        for need in needed:
            missing = _lacking(need, available[participant_id])
            if missing and all(values.get(name) is None for name in need.or_variables):
                also = "".join(f", and {name} is missing" for name in need.or_variables)
                faults.append(Fault("E137", "", {"role": missing, "visit": need.visit + also}))
        refused = clinical.refused.get(participant_id, {})
        asked = [name for name in requirement.clinical if name != label]
        asked += [one.variable for one in requirement.limits if not one.unknown]
        wanted = [name for name in asked if values.get(name) is None]
        if wanted and EVERYTHING in refused:
            faults.append(refused[EVERYTHING])
        elif wanted and row is None:
            faults.append(Fault("E139"))
        else:
            faults += [refused.get(name) or Fault("E138", "", {"name": name}) for name in wanted]
        faults += _beyond(values, requirement)
        out[participant_id] = [fault.of(participant_id) for fault in faults]
    return out


def _beyond(values: Mapping[str, Value], requirement: Requirement) -> list[Fault]:
    """Return the values that are known and beyond their limits, and times that are not in their order."""
    faults = []
    for one in requirement.limits:
        value = values.get(one.variable)
        if isinstance(value, float | int) and not one.low <= value <= one.high:
            expected = f"{one.low:g} to {one.high:g} {one.units}"
            found = {"name": one.variable, "value": f"{value:g} {one.units}", "expected": expected}
            faults.append(Fault("E136", "", found))
    for order in requirement.orders:
        first = values.get(order.first)
        for name in order.then:
            later = values.get(name)
            if isinstance(first, float | int) and isinstance(later, float | int) and later < first:
                times = {"name": name, "value": f"{later:g}", "first": order.first, "at": f"{first:g}"}
                faults.append(Fault("E140", "", {**times, "what": order.what}))
    return faults


def reason_of(fault: Fault) -> str:
    """Return one finding in plain words: "no ADC of J1", "mrs_3m is missing"."""
    return fault.reason


def judge(available: Available, clinical: Clinical, requirement: Requirement) -> dict[str, list[str]]:
    """Return participant_id → plain reasons against taking part; an empty list means eligible.

    Parameters and order are those of `lacks`, which says the same as faults.
    """
    found = lacks(available, clinical, requirement)
    return {
        participant_id: [reason_of(fault) for fault in faults] for participant_id, faults in found.items()
    }


def fold_candidates(
    eligible: Collection[str], clinical: Clinical, requirement: Requirement, *, group: str
) -> dict[str, tuple[str, str]]:
    """Return participant_id → (stratum, group) for `reperfuse.cohort.folds`.

    The stratum is the label ("0", "1"; "n/a" where it is not in the table; "all" for a study without label).
    The group is the value of the variable ``group``, so that relatives share a fold, else the patient.
    """
    candidates = {}
    for participant_id in sorted(eligible):
        row = clinical.rows.get(participant_id, {})
        label = requirement.label_of(row)
        stratum = "all" if not requirement.labelled else "n/a" if label is None else str(label)
        shared = row.get(group) if group else None
        candidates[participant_id] = (stratum, participant_id if shared is None else f"{group}-{shared}")
    return candidates
