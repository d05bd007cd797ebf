"""Whether a patient's visits are in the order that the configuration says."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping
from datetime import datetime
from pathlib import Path

from reperfuse.core.errors import Fault


def swapped(bids_dir: Path, participants: Iterable[str], sessions: Mapping[str, str]) -> list[Fault]:
    """Return E151 for each patient whose follow-up was acquired before the baseline.

    Parameters
    ----------
    bids_dir : Path
    participants : iterable of str
        ``sub-X``; those who have both visits.
    sessions : mapping
        Visit → session label; nothing is asked of a dataset without two.

    Notes
    -----
    BIDS keeps the times in ``sub-X/sub-X_sessions.tsv``, column ``acq_time``. A time that is missing or cannot be
    read says nothing. Times themselves are identifying and are not repeated: the finding gives the difference.
    """
    if not {"J0", "J1"} <= sessions.keys():
        return []
    faults = []
    for participant_id in participants:
        path = f"{participant_id}/{participant_id}_sessions.tsv"
        times = _times(bids_dir / path)
        first, second = (times.get(f"ses-{sessions[visit]}") for visit in ("J0", "J1"))
        if first and second and second < first:
            hours = f"{(first - second).total_seconds() / 3600:.1f}"
            faults.append(Fault("E151", path, {"hours": hours}, participant_id))
    return faults


def _times(path: Path) -> dict[str, datetime]:
    """Return session → time of acquisition, without its zone; empty where the table cannot be read."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, ValueError):
        return {}
    found = {}
    for row in csv.DictReader(text.splitlines(), delimiter="\t"):
        try:
            found[row["session_id"]] = datetime.fromisoformat(row["acq_time"]).replace(tzinfo=None)
        except (KeyError, TypeError, ValueError):
            continue
    return found
