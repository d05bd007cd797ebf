"""What the main process finds out before any job runs, written once under the name of its content."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from reperfuse.cohort.index import find_sessions, scan, stamped, twins
from reperfuse.core.errors import ConfigError
from reperfuse.core.files import write_json
from reperfuse.core.provenance import Stamps, digest


def survey(config: Mapping[str, Any], requirements: Mapping[str, Any]) -> Path:
    """Index the dataset, stamp its files, judge who may take part; return the manifest's path.

    The manifest is the only thing that jobs know about the dataset as a whole. Its name is a digest of its
    content, so that a patient who joins or a file that is replaced shows whatever its date.

    Parameters
    ----------
    config : mapping
        Resolved configuration.
    requirements : mapping
        Study → what it needs of a patient.

    Raises
    ------
    ConfigError
        Where the dataset or the place for results cannot be used at all.
    """
    bids_dir, output_dir = Path(config["bids_dir"]), Path(config["output_dir"])
    check_places(bids_dir, output_dir)
    sessions = config["sessions"] or find_sessions(bids_dir)
    patterns = {role: found for role, found in config["images"].items() if role != "select"}
    index = scan(
        bids_dir, images=patterns, select=config["images"]["select"], sessions=sessions, skip=[output_dir]
    )
    stamps = Stamps(bids_dir, output_dir / "work/stamps.json")
    participants = stamped(index, stamps)
    stamps.save()
    faults = [*index.faults, *twins(participants)]
    out = {f.participant_id for f in faults if f.code in ("E124", "E190")}
    manifest = {
        "sessions": sessions,
        "folders": index.folders,
        "n_files": index.n_files,
        "participants": participants,
        "active": {sub: visits for sub, visits in participants.items() if visits and sub not in out},
        "faults": [fault.as_dict() for fault in faults],
    }
    path = output_dir / f"work/manifest-{digest(manifest)}.json"
    if not path.exists():
        write_json(path, manifest)
    return path


def check_places(bids_dir: Path, output_dir: Path) -> None:
    """Refuse a dataset that is not there and results that would land among raw data."""
    if not bids_dir.is_dir():
        raise ConfigError(
            f"`bids_dir` is {bids_dir}, which is not a folder; give the path of a BIDS dataset."
        )
    raw, out = bids_dir.resolve(), output_dir.resolve()
    if out == raw or (raw in out.parents and raw / "derivatives" not in out.parents):
        raise ConfigError(
            f"`output_dir` is {output_dir}, inside the dataset {bids_dir}; "
            "give a place outside it or below its derivatives/."
        )
