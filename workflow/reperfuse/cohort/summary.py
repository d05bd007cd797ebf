"""The cohort's tables: everything that records and judgement say, one row each."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from reperfuse.cohort.clinical import Clinical, participant_rows
from reperfuse.cohort.flow import eligibility_counts, flow
from reperfuse.cohort.status import cohort_status
from reperfuse.core.errors import Fault

INDEX_COLUMNS = ("participant_id", "session_id", "visit", "role", "file", "stamp")
ELIGIBILITY_COLUMNS = ("participant_id", "study", "eligible", "reason")
LESION_COLUMNS = (
    *("participant_id", "session_id", "criterion", "volume_ml", "n_components", "log1p_volume", "side"),
    *("dice_given", "space"),
)
LOAD_COLUMNS = ("participant_id", "visit", "atlas", "label", "name", "side", "volume_ml", "percent_of_region")
QUALITY_COLUMNS = (
    *("participant_id", "session_id", "visit", "adc_unit", "adc_median", "adc_negative_percent", "evidence"),
    *("brain_ml", "brain_method", "skull_stripped", "coverage_mm"),
)
GROWTH_COLUMNS = ("participant_id", "criterion", "growth_ml")

Manifest = Mapping[str, Any]
Record = Mapping[str, Any]
Rows = list[dict[str, Any]]


def index_rows(manifest: Manifest) -> Rows:
    """Return the files of ``cohort/index.tsv``: who, when, in which role, and the content stamp."""
    return [
        {
            "participant_id": participant_id,
            "session_id": manifest["session_ids"].get(visit, ""),
            "visit": visit,
            "role": role,
            "file": files[0][0],
            "stamp": files[0][1],
        }
        for participant_id, visits in sorted(manifest["participants"].items())
        for visit, roles in sorted(visits.items())
        for role, files in sorted(roles.items())
    ]


def clinical_rows(manifest: Manifest) -> tuple[Rows, list[str]]:
    """Return the rows and columns of ``cohort/participants.tsv``."""
    clinical = Clinical(manifest["clinical"], [], manifest["dictionary"])
    return participant_rows(clinical, manifest["folders"])


def lesion_rows(records: Iterable[Record]) -> Rows:
    """Return the rows of ``lesions.tsv``."""
    return [
        {"participant_id": record["participant_id"], **row}
        for record in records
        if record["step"] == "lesions"
        for row in record["facts"].get("rows", [])
    ]


def quality_rows(manifest: Manifest, records: Iterable[Record]) -> Rows:
    """Return the rows of ``cohort/quality.tsv``: how each visit's unit was settled, and its brain."""
    rows = []
    for record in records:
        if record["step"] != "prepare":
            continue
        for visit, facts in sorted(record["facts"].items()):
            unit = facts.get("adc_unit") or {}
            rows.append(
                {
                    **{name: facts.get(name) for name in QUALITY_COLUMNS},
                    "participant_id": record["participant_id"],
                    "session_id": manifest["session_ids"].get(visit, ""),
                    "visit": visit,
                    "adc_unit": unit.get("unit"),
                    "adc_median": unit.get("median"),
                    "evidence": unit.get("evidence"),
                }
            )
    return rows


def load_rows(records: Iterable[Record]) -> Rows:
    """Return the rows of ``loads.tsv``: how much of each lesion lies in each region of each atlas."""
    return [
        {"participant_id": record["participant_id"], **row}
        for record in records
        if record["step"] == "lesions"
        for row in record["facts"].get("loads", [])
    ]


def growth_rows(records: Iterable[Record]) -> Rows:
    """Return the rows of ``growth.tsv``: volume at J1 less volume at J0."""
    return [
        {"participant_id": record["participant_id"], "criterion": criterion, "growth_ml": growth}
        for record in records
        if record["step"] == "lesions"
        for criterion, growth in sorted(record["facts"].get("growth_ml", {}).items())
    ]


def judged(manifest: Manifest) -> dict[str, dict[str, list[Fault]]]:
    """Return study → patient → what keeps the patient out."""
    return {
        study: {sub: [Fault(**fault) for fault in faults] for sub, faults in found.items()}
        for study, found in manifest["eligibility"].items()
    }


def eligibility_rows(manifest: Manifest) -> Rows:
    """Return the rows of ``cohort/eligibility.tsv``."""
    return [
        {
            "participant_id": sub,
            "study": study,
            "eligible": not faults,
            "reason": "; ".join(fault.reason for fault in faults),
        }
        for study, found in sorted(judged(manifest).items())
        for sub, faults in sorted(found.items())
    ]


def status_tables(manifest: Manifest, records: Sequence[Record]) -> tuple[Rows, Rows]:
    """Return the rows of ``cohort/status.tsv`` and ``cohort/excluded.tsv``."""
    index = [Fault(**fault) for fault in manifest["faults"]]
    clinical = [Fault(**fault) for fault in manifest["clinical_faults"]]
    status, excluded = cohort_status(index, records, clinical, manifest["folders"], judged(manifest))
    return [*status], [*excluded]


def summary(manifest: Manifest, records: Sequence[Record]) -> dict[str, Any]:
    """Return what the report shows beside the tables: the flow of patients, studies, what is available."""
    index = [Fault(**fault) for fault in manifest["faults"]]
    eligibility = judged(manifest)
    stages = flow(manifest["folders"], index, records, eligibility)
    return {
        "n_files": manifest["n_files"],
        "sessions": manifest["sessions"],
        "flow": [vars(stage) for stage in stages],
        "eligibility": eligibility_counts(eligibility),
        "folds": {
            study: {part: plan[part] for part in ("balance", "notices")}
            for study, plan in manifest["folds"].items()
        },
        "available": {
            sub: sorted(f"{visit}_{role}" for visit, roles in visits.items() for role in roles)
            for sub, visits in manifest["participants"].items()
        },
        "pages": [] if manifest["name"] else sorted(manifest["active"]),
    }
