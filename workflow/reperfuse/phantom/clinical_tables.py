"""The tables of the synthetic dataset: participants, phenotype, sessions, and what each column means."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from reperfuse.core.files import write_json
from reperfuse.core.seeds import seed_of
from reperfuse.core.tables import write_table
from reperfuse.phantom.patient import SITES
from reperfuse.phantom.scalars import FACTORS, ITEMS, N_MEASURES, nihss_items
from reperfuse.phantom.scalars import SITES as SITE_NAMES

TICI = ("0", "1", "2a", "2b", "2c", "3")
YES_NO = {"0": "no", "1": "yes"}
Row = Mapping[str, Any]
Dictionary = dict[str, dict[str, Any]]


def _column(text: str, at: str, units: str = "", levels: Mapping[str, str] | None = None) -> dict[str, Any]:
    entry: dict[str, Any] = {"Description": text, "AvailableAt": at}
    return entry | ({"Units": units} if units else {}) | ({"Levels": dict(levels)} if levels else {})


PARTICIPANTS: Dictionary = {
    "participant_id": {"Description": "Identifier of the synthetic patient"},
    "age": _column("Age; 89 stands for 89 or more", "J0", "year"),
    "sex": _column("Sex", "J0", levels={"M": "male", "F": "female"}),
    "site": _column("Hospital", "J0"),
    "vendor": _column("Maker of the scanner", "J0"),
    "field": _column("Field strength", "J0", "T"),
    "family": _column("Group of relatives; must stay in one fold", "none"),
}
NIHSS: Dictionary = {
    **{f"nihss_{item[0]}": _column(f"NIHSS item {item[0]} at admission", "J0") for item in ITEMS},
    "nihss": _column("NIHSS at admission, sum of the items", "J0"),
    "nihss_24h": _column("NIHSS at 24 h", "J1"),
}
MRS: Dictionary = {
    "mrs_prestroke": _column("Modified Rankin scale before the stroke", "J0"),
    "mrs_3m": _column("Modified Rankin scale at 3 months; 6 is death", "outcome"),
}
HISTORY: Dictionary = {
    "glucose": _column("Blood glucose at admission", "J0", "mmol/L"),
    "sbp": _column("Systolic blood pressure at admission", "J0", "mmHg"),
    "hypertension": _column("History of hypertension", "J0", levels=YES_NO),
    "diabetes": _column("History of diabetes mellitus", "J0", levels=YES_NO),
    "atrial_fibrillation": _column("Atrial fibrillation", "J0", levels=YES_NO),
}
TREATMENT: Dictionary = {
    "ivt": _column("Intravenous thrombolysis", "J1", levels=YES_NO),
    "evt": _column("Endovascular treatment", "J1", levels=YES_NO),
    "tici": _column("Reperfusion grade at the end of endovascular treatment", "J1"),
}
TIMES: Dictionary = {
    "onset_to_mri_min": _column("Last known well to the MRI of J0", "J0", "min"),
    "onset_to_groin_min": _column("Last known well to groin puncture", "J1", "min"),
    "j0_to_j1_min": _column("MRI of J0 to MRI of J1", "J1", "min"),
    "j1_state": _column(
        "Whether the 24 h visit took place", "J1",
        levels={"done": "examined", "died": "died before", "left": "moved to another hospital before"},
    ),
}  # fmt: skip
TRANSFORMATION: Dictionary = {
    "ht": _column("Haemorrhagic transformation on T2* at 24 h", "outcome", levels=YES_NO),
    "ecass": _column("ECASS class of the transformation", "outcome"),
}
COGNITION: Dictionary = {
    f"{name}_{m + 1}": _column(
        f"Premorbid informant scale, {name.replace('_', ' ')}, measure {m + 1}", "J0", "SD"
    )
    for name in FACTORS
    for m in range(N_MEASURES)
}
DOMAINS: Dictionary = {
    name: _column(f"Premorbid {name.replace('_', ' ')}: mean of its {N_MEASURES} measures", "J0", "SD")
    | {"Derivative": True}
    for name in FACTORS
}
SESSIONS: Dictionary = {
    "session_id": {"Description": "ses-01 is J0 (admission), ses-02 is J1 (24 h)"},
    "acq_time": {
        "Description": "Time of the visit; last known well is set to 1900-01-01T00:00:00 in every patient"
    },
    "minutes_since_last_known_well": {"Description": "Last known well to the visit", "Units": "min"},
}


def participant(row: Row) -> dict[str, Any]:
    """Return a row of participants.tsv."""
    site = SITES[int(row["site"])]
    return {
        "age": int(np.clip(np.rint(row["age"]), 18, 89)), "sex": "M" if row["male"] else "F",
        "site": SITE_NAMES[int(row["site"])], "vendor": site.vendor, "field": site.field_t,
        "family": f"F{int(row['family']) + 1:04d}",
    }  # fmt: skip


def ecass(row: Row, share: float) -> str:
    """Return the ECASS class by the share of the infarct that bled: 30 % as stated, 5 and 15 % assumed."""
    if not row["ht"]:
        return "none"
    return ("HI1", "HI2", "PH1", "PH2")[int(np.searchsorted((0.05, 0.15, 0.30), share, side="right"))]


def phenotype(
    row: Row, *, items: Mapping[str, int], j1: bool, ht_share: float | None
) -> dict[str, dict[str, Any]]:
    """Return a patient's row of every table under ``phenotype/``.

    Parameters
    ----------
    row : mapping
        Scalars; labels may come from another patient (negative twin).
    items : mapping
        NIHSS items at admission.
    j1 : bool
        Whether the 24 h visit took place.
    ht_share : float, optional
        Share of the infarct that bled; None where nobody looked.
    """
    measures = {name: float(row[name]) for name in COGNITION}
    groin = row["groin_min"]
    return {
        "nihss": {
            **{f"nihss_{name}": points for name, points in items.items()},
            "nihss": int(row["nihss"]),
            "nihss_24h": int(row["nihss_24h"]) if j1 else None,
        },
        "mrs": {"mrs_prestroke": int(row["mrs_premorbid"]), "mrs_3m": int(row["mrs"])},
        "history": {
            "glucose": round(float(row["glucose_mg_dl"]) / 18.016, 1), "sbp": int(row["sbp_mmhg"]),
            "hypertension": int(row["htn"]), "diabetes": int(row["dm"]),
            "atrial_fibrillation": int(row["af"]),
        },
        "treatment": {
            "ivt": int(row["ivt"]), "evt": int(row["evt"]),
            "tici": TICI[int(row["tici"])] if row["evt"] else None,
        },
        "imaging_times": {
            "onset_to_mri_min": int(row["lkw_to_mri_min"]),
            "onset_to_groin_min": int(groin) if np.isfinite(groin) else None,
            "j0_to_j1_min": int(row["j0_to_j1_min"]) if j1 else None,
            "j1_state": "done" if j1 else "died" if row["died_before_j1"] else "left",
        },
        "transformation": {
            "ht": None if ht_share is None else int(row["ht"]),
            "ecass": None if ht_share is None else ecass(row, ht_share),
        },
        "cognition": measures,
        "domains": {
            name: float(np.mean([measures[f"{name}_{m + 1}"] for m in range(N_MEASURES)])) for name in FACTORS
        },
    }  # fmt: skip


TABLES: dict[str, tuple[str, Dictionary]] = {
    "nihss": ("National Institutes of Health Stroke Scale", NIHSS),
    "mrs": ("Modified Rankin scale", MRS),
    "history": ("Admission values and history", HISTORY),
    "treatment": ("Acute treatment", TREATMENT),
    "imaging_times": ("Times of imaging and treatment", TIMES),
    "transformation": ("Reading of the 24 h T2* image", TRANSFORMATION),
    "cognition": ("Premorbid informant scales, 36 measures of 12 domains (synthetic)", COGNITION),
    "domains": ("Mean of each domain's measures", DOMAINS),
}


def items_of(seed: int, name: str, row: Row) -> dict[str, int]:
    """Return a patient's NIHSS items at admission."""
    rng = np.random.default_rng(seed_of(seed, "phantom", name, "nihss items"))
    return nihss_items(int(row["nihss"]), int(row["side"]), rng)


def write_tables(bids_dir: Path, participants: Iterable[Row], tables: Mapping[str, Sequence[Row]]) -> None:
    """Write participants.tsv and the phenotype tables, each with its dictionary."""
    write_table(bids_dir / "participants.tsv", participants, list(PARTICIPANTS))
    write_json(bids_dir / "participants.json", PARTICIPANTS)
    for name, (title, columns) in TABLES.items():
        path = bids_dir / "phenotype" / f"{name}.tsv"
        write_table(path, tables[name], ["participant_id", *columns])
        described = {"MeasurementToolMetadata": {"Description": title}, **columns}
        write_json(path.with_suffix(".json"), described)


def write_sessions(bids_dir: Path, name: str, row: Row, j1: bool) -> None:
    """Write a patient's sessions.tsv, with times that say nothing about dates."""
    first = int(row["lkw_to_mri_min"])
    visits = [("ses-01", first)] + ([("ses-02", first + int(row["j0_to_j1_min"]))] if j1 else [])
    rows = [
        {"session_id": session, "acq_time": _shifted(minutes), "minutes_since_last_known_well": minutes}
        for session, minutes in visits
    ]
    write_table(bids_dir / name / f"{name}_sessions.tsv", rows, list(SESSIONS))


def _shifted(minutes: int) -> str:
    day, rest = divmod(minutes, 1440)
    return f"1900-01-{day + 1:02d}T{rest // 60:02d}:{rest % 60:02d}:00"
