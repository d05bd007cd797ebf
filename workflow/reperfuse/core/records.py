"""What a step leaves beside its results: what it found, measured, and was made from."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from reperfuse.core.errors import Fault
from reperfuse.core.files import read_json, write_json
from reperfuse.core.provenance import digest

STATES = ("ok", "warned", "failed")


def key_of(digests: Mapping[str, Any]) -> str:
    """Return the key of a result: configuration, code, raw files and the keys of the results before it."""
    return digest({name: digests[name] for name in ("cfg", "code", "src", "after")})


def digests_of(cfg: Any, code: str, src: Any, after: Mapping[str, str]) -> dict[str, Any]:
    """Return what a record keeps to be recognised by later."""
    return {"cfg": digest(cfg), "code": code, "src": digest(src), "after": dict(after)}


def state_of(faults: Iterable[Fault]) -> str:
    """Return ``failed`` if a fault takes something out, ``warned`` if there is any, else ``ok``."""
    faults = list(faults)
    if any(fault.excludes for fault in faults):
        return "failed"
    return "warned" if faults else "ok"


def write_record(
    path: str | Path,
    *,
    participant_id: str,
    step: str,
    faults: Iterable[Fault],
    facts: Mapping[str, Any],
    digests: Mapping[str, Any],
    files: Mapping[str, int] | None = None,
) -> None:
    """Write a step's record atomically.

    Parameters
    ----------
    participant_id : str
        ``sub-…``, or ``cohort``.
    step : str
        Name of the rule.
    faults, facts
        What the step found and measured; JSON-like, finite numbers only.
    digests
        See :func:`digests_of`.
    files
        What lies beside the record and belongs to it, with its size in bytes.
    """
    faults = list(faults)
    content = {
        "participant_id": participant_id,
        "step": step,
        "state": state_of(faults),
        "faults": [fault.as_dict() for fault in faults],
        "facts": dict(facts),
        "digests": dict(digests),
        "files": dict(files or {}),
        "key": key_of(digests),
    }
    write_json(path, content)


def read_record(path: str | Path) -> dict[str, Any]:
    """Read a step's record."""
    record: dict[str, Any] = read_json(path)
    return record


def faults_of(record: Mapping[str, Any]) -> list[Fault]:
    """Return a record's faults."""
    return [Fault(**fault) for fault in record["faults"]]


def name_of(record: Mapping[str, Any]) -> str:
    """Return how the records of later results refer to this one."""
    return f"{record['participant_id']}/{record['step']}"


def by_patient(records: Iterable[Mapping[str, Any]]) -> dict[str, dict[str, Mapping[str, Any]]]:
    """Arrange records: participant_id → step → record."""
    found: dict[str, dict[str, Mapping[str, Any]]] = {}
    for record in records:
        found.setdefault(record["participant_id"], {})[record["step"]] = record
    return found
