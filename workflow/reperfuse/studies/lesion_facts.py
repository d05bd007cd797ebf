"""What the records of the step `lesions` say of a patient: volumes, sides, and loads of an atlas's regions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

# What counts as the lesion of a visit, whichever way it was made; beside the criteria.
LESION = "lesion"


@dataclass(frozen=True)
class LesionFacts:
    """Of one patient.

    Parameters
    ----------
    volumes : dict
        (visit, criterion) → ml; ``lesion`` is the one that counts, given or by a threshold.
    sides : dict
        Visit → side of the lesion that counts, where it is known.
    loads : dict
        Visit → region → ml of lesion in it; every region of the atlases has one where the lesion was carried to the
        template.
    """

    volumes: dict[tuple[str, str], float]
    sides: dict[str, str]
    loads: dict[str, dict[str, float]]


def lesion_facts(record: Mapping[str, Any]) -> LesionFacts:
    """Return what a record of the step `lesions` says; nothing of one that is empty or failed.

    Parameters
    ----------
    record : mapping
        As `reperfuse.core.records.read_record` gives it.
    """
    facts = record.get("facts", {})
    rows = facts.get("rows", ())
    found = LesionFacts({(row["visit"], row["criterion"]): row["volume_ml"] for row in rows}, {}, {})
    counts = {visit: text.partition(" ")[0] for visit, text in facts.get("lesion", {}).items()}
    for row in rows:
        if row["criterion"] == counts.get(row["visit"]):
            found.volumes[row["visit"], LESION] = row["volume_ml"]
            if row["side"] != "n/a":
                found.sides[row["visit"]] = row["side"]
    for row in facts.get("loads", ()):
        region = f"{row['atlas']} {row['label']} {row['name']} ({row['side']})"
        found.loads.setdefault(row["visit"], {})[region] = row["volume_ml"]
    return found
