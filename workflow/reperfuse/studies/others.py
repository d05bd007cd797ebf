"""Patients of other cohorts, on whom frozen models are tried."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from reperfuse.core.errors import Fault

TWIN = "E124"


def never_shown(manifest: Mapping[str, Any], study: str) -> dict[str, str]:
    """Return participant_id → why a patient of an external cohort has no images here: those of another, or none."""
    if not manifest.get("name"):
        return {}  # who is not eligible in the main cohort is told with its folds
    twins = {one["participant_id"] for one in manifest.get("faults", ()) if one["code"] == TWIN}
    judged = manifest.get("eligibility", {}).get(study, {})
    found = {}
    for who in sorted(set(manifest.get("participants", ())) - set(manifest["active"])):
        said = "; ".join(Fault(**one).reason for one in judged.get(who, ())) or "no image"
        found[who] = "an image is one of an earlier patient, byte for byte" if who in twins else said
    return found
