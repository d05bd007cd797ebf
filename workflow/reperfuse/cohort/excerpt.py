"""What the fit of a study needs to know of the main cohort: those who take part in it, and nothing of anybody else."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Manifest = Mapping[str, Any]
# What a predictor's values depend on; where a column stands in a table is none of it.
DESCRIBED = ("available_at", "Levels")


def taking_part(manifest: Manifest, study: str) -> list[str]:
    """Return the patients whom a study is fitted on: those who are eligible and have a fold, sorted."""
    placed = {row["participant_id"] for row in manifest["folds"][study]["rows"]}
    return sorted(
        one for one, faults in manifest["eligibility"][study].items() if not faults and one in placed
    )


def excerpt(manifest: Manifest, study: str) -> dict[str, Any]:
    """Return what a manifest says of a study's patients, under the same keys.

    Who joins, leaves or changes without taking part changes nothing in it, so that what is made from it stays.
    Values that a patient lacks, and variables that all of them lack, are left out: whether a column is there at all
    may be somebody else's doing. Images are known by the records of the steps that read them.

    Parameters
    ----------
    manifest : mapping
        Of the main cohort.
    study : str
        Section of the configuration.

    Returns
    -------
    dict
        active (list of patients), eligibility, folds (their rows), clinical, dictionary (what they have a value of),
        session_ids, atlases.
    """
    patients = taking_part(manifest, study)
    chosen = set(patients)
    rows = {who: manifest["clinical"].get(who, {}) for who in patients}
    clinical = {who: {name: v for name, v in row.items() if v is not None} for who, row in rows.items()}
    known = {name for row in clinical.values() for name in row}
    return {
        "active": patients,
        "eligibility": {study: {who: [] for who in patients}},
        "folds": {
            study: {
                "rows": [row for row in manifest["folds"][study]["rows"] if row["participant_id"] in chosen]
            }
        },
        "clinical": clinical,
        "dictionary": {
            name: {key: entry[key] for key in DESCRIBED if key in entry}
            for name, entry in manifest["dictionary"].items()
            if name in known
        },
        "session_ids": manifest["session_ids"],
        "atlases": manifest["atlases"],
    }


def places(manifest: Manifest, study: str) -> dict[str, Any]:
    """Return who takes part in a study and in which fold, and nothing of their clinical values.

    What learns from images alone is made from it, so that a value that becomes known trains nothing again.

    Parameters and keys are those of `excerpt`: active, folds, session_ids.
    """
    found = excerpt(manifest, study)
    return {key: found[key] for key in ("active", "folds", "session_ids")}
