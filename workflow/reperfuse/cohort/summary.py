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
    *("pwi_volumes", "pwi_tr_s", "pwi_max_fd_mm", "pwi_drop_percent", "pwi_aif", "pwi_aif_voxels"),
    *("pwi_valid_percent", "pwi_flags"),
)
PERFUSION_COLUMNS = ("participant_id", "session_id", "measure", "value", "unit")
AGREEMENT_COLUMNS = ("quantity", "reference", "n", "ccc", "bias_ml", "low_ml", "high_ml")
# What a vendor's software says of a patient, and our volume beside it.
VENDOR = {"tmax6": "vendor_tmax6_ml", "core": "vendor_core_ml", "mismatch": "vendor_mismatch_ml"}
RATIOS = ("hir", "cbv_index", "mismatch_ratio", "defuse3", "extend")
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
    records = list(records)
    perfused = {one["participant_id"]: one["facts"] for one in records if one["step"] == "perfusion"}
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
                    **(
                        _perfusion_quality(perfused.get(record["participant_id"], {}))
                        if visit == "J0"
                        else {}
                    ),
                }
            )
    return rows


def _perfusion_quality(facts: Mapping[str, Any]) -> dict[str, Any]:
    aif = facts.get("aif") or {}
    return {
        "pwi_volumes": facts.get("n_volumes"),
        "pwi_tr_s": facts.get("tr_s"),
        "pwi_max_fd_mm": facts.get("motion", {}).get("max_fd_mm"),
        "pwi_drop_percent": facts.get("bolus", {}).get("drop_percent"),
        "pwi_aif": aif.get("source"),
        "pwi_aif_voxels": aif.get("n_voxels"),
        "pwi_valid_percent": facts.get("valid_percent"),
        "pwi_flags": ", ".join(facts.get("flags", [])),
    }


def perfusion_rows(manifest: Manifest, records: Iterable[Record]) -> Rows:
    """Return the rows of ``perfusion.tsv``: volumes in ml, ratios, and 1 or 0 for the rules of trials."""
    rows = []
    for record in records:
        if record["step"] != "perfusion" or "volumes_ml" not in record["facts"]:
            continue
        facts = record["facts"]
        ratios = {name: facts.get(name) for name in RATIOS}
        bleeding = {"ht": facts["ht"]["volume_ml"]} if "ht" in facts else {}
        measured = [*facts["volumes_ml"].items(), *bleeding.items(), *ratios.items()]
        rows += [
            {
                "participant_id": record["participant_id"],
                "session_id": manifest["session_ids"].get("J1" if name == "ht" else "J0", ""),
                "measure": name,
                "value": value,
                "unit": "ml" if name not in RATIOS else "",
            }
            for name, value in measured
        ]
    return rows


def volume_pairs(
    manifest: Manifest, records: Iterable[Record]
) -> dict[tuple[str, str], list[tuple[float, float]]]:
    """Return pairs of volumes in ml, ours first, by quantity and what it is compared with.

    With a vendor's, where the clinical tables hold one, and of Tmax > 6 s with relative time to peak.
    """
    pairs: dict[tuple[str, str], list[tuple[float, float]]] = {}
    for record in records:
        if record["step"] != "perfusion":
            continue
        volumes = record["facts"].get("volumes_ml", {})
        told = manifest["clinical"].get(record["participant_id"], {})
        others = {("tmax6", name): value for name, value in volumes.items() if name.startswith("rttp")}
        others |= {(name, variable): told.get(variable) for name, variable in VENDOR.items()}
        for (name, reference), other in others.items():
            if isinstance(other, int | float) and volumes.get(name) is not None:
                pairs.setdefault((name, reference), []).append((volumes[name], float(other)))
    return dict(sorted(pairs.items()))


def agreement_rows(agreed: Mapping[tuple[str, str], Any]) -> Rows:
    """Return the rows of ``perfusion-agreement.tsv`` from what was computed of each of `volume_pairs`."""
    return [
        {
            "quantity": quantity,
            "reference": reference,
            "n": found.n,
            "ccc": found.ccc,
            "bias_ml": found.bias,
            "low_ml": found.low,
            "high_ml": found.high,
        }
        for (quantity, reference), found in agreed.items()
    ]


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
