"""What the images of a patient were acquired with, as far as a model's use depends on it."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from typing import Any

# A sign in a manufacturer's name → the spelling that is kept; scanners write several of each.
VENDORS = {
    "siemens": "Siemens",
    "philips": "Philips",
    "ge ": "GE",
    "general electric": "GE",
    "canon": "Canon",
    "toshiba": "Canon",
    "hitachi": "Fujifilm",
    "fujifilm": "Fujifilm",
    "united imaging": "United Imaging",
    "uih": "United Imaging",
}


def scan_of(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a visit's facts of the step `prepare` say of scanner and grid; what they do not say is left out.

    Returns
    -------
    dict
        ``vendor`` in one spelling, ``field_t`` the nominal field in tesla as text, ``voxel_mm3`` of the ADC map.
    """
    found: dict[str, Any] = {}
    said = facts.get("acquisition", {})
    maker, field = said.get("Manufacturer"), said.get("MagneticFieldStrength")
    if isinstance(maker, str) and maker.strip():
        name = f"{maker.strip().lower()} "
        # What no list holds stands for itself: as a level it only says that it is another one.
        found["vendor"] = next(
            (known for sign, known in VENDORS.items() if name.startswith(sign)), name.strip()
        )
    if isinstance(field, int | float) and 0 < field < 20:
        # Siemens writes 1.494 and 2.894.
        found["field_t"] = f"{round(2 * field) / 2 if field >= 1 else round(field, 2):g}"
    if zooms := facts.get("images", {}).get("adc", {}).get("zooms_mm"):
        found["voxel_mm3"] = round(prod(map(float, zooms)), 3)
    return found


def scans_of(records: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> dict[str, dict[str, dict[str, Any]]]:
    """Return participant_id → visit → what `scan_of` says, of those whose images were prepared.

    Parameters
    ----------
    records : mapping
        participant_id → step → record.
    """
    found: dict[str, dict[str, dict[str, Any]]] = {}
    for who, steps in records.items():
        facts = steps.get("prepare", {}).get("facts", {})
        if visits := {visit: scan for visit in ("J0", "J1") if (scan := scan_of(facts.get(visit, {})))}:
            found[who] = visits
    return found
