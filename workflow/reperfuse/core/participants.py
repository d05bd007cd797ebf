"""How a patient of an external cohort is known inside: cohort ``test``, ``sub-007`` → ``sub-test+007``."""

from __future__ import annotations

from collections.abc import Container


def inside(participant_id: str, cohort: str) -> str:
    """Return a patient's inside name; a name that is empty stays empty."""
    return f"sub-{cohort}+{participant_id.removeprefix('sub-')}" if participant_id else ""


def outside(participant_id: str, cohort: str) -> str:
    """Return the name that the patient has in the dataset; other names stay as they are."""
    prefix = f"sub-{cohort}+"
    return (
        f"sub-{participant_id.removeprefix(prefix)}" if participant_id.startswith(prefix) else participant_id
    )


def cohort_of(participant_id: str, cohorts: Container[str]) -> str:
    """Return which of the external cohorts a patient is of; empty for one of the main cohort.

    The name of a cohort has no ``+``, so that the first one ends it; the survey sees to it that no patient of the
    main cohort has a name that begins like this.
    """
    name, plus, _ = participant_id.removeprefix("sub-").partition("+")
    return name if plus and name in cohorts else ""
