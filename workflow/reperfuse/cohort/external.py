"""External cohorts: further datasets, to whose patients frozen models are applied."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from reperfuse.core.errors import ConfigError
from reperfuse.core.participants import inside, outside

# Sections that an external cohort takes from the main one where it has none of its own.
INHERITED = ("images", "clinical", "sessions")

Manifest = dict[str, Any]
Rename = Callable[[str], str]


def sections_of(config: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Return what the survey of an external cohort reads: its own sections, else those of the main cohort."""
    own = config["external_cohorts"][name]
    return {"bids_dir": own["bids_dir"], **{part: own.get(part, config[part]) for part in INHERITED}}


def check_names(names: Iterable[str], participants: Iterable[str]) -> None:
    """Refuse names of external cohorts under which two patients could have the same results.

    Upper and lower case are not told apart, because some file systems do not.

    Raises
    ------
    ConfigError
        Where two cohorts, or a cohort and a patient of the main one, collide.
    """
    seen: dict[str, str] = {}
    for name in sorted(names):
        other = seen.setdefault(name.casefold(), name)
        if other != name:
            raise ConfigError(
                f"The external cohorts {other} and {name} differ only in upper and lower case; rename one of them."
            )
    for participant_id in sorted(participants):
        label, plus, _ = participant_id.removeprefix("sub-").partition("+")
        if plus and (name := seen.get(label.casefold(), "")):
            raise ConfigError(
                f"`bids_dir` has a patient {participant_id}, a name that patients of the external cohort {name} "
                "have; give the cohort another name."
            )


def as_inside(manifest: Manifest) -> Manifest:
    """Return an external cohort's manifest with the inside names of its patients."""
    return _renamed(manifest, lambda participant_id: inside(participant_id, manifest["name"]))


def as_outside(
    manifest: Manifest, records: Sequence[Mapping[str, Any]]
) -> tuple[Manifest, list[dict[str, Any]]]:
    """Return a cohort's manifest and records with the names that its patients have in the dataset.

    Those of the main cohort stay as they are.
    """

    def rename(participant_id: str) -> str:
        return outside(participant_id, manifest["name"])

    if not manifest["name"]:
        return manifest, [dict(record) for record in records]
    return _renamed(manifest, rename), [{**record, **_owner(record, rename)} for record in records]


def _owner(record: Mapping[str, Any], rename: Rename) -> dict[str, Any]:
    return {
        "participant_id": rename(record["participant_id"]),
        "faults": _faults(record["faults"], rename),
    }


def _renamed(manifest: Manifest, rename: Rename) -> Manifest:
    tables = ("participants", "active", "clinical")
    return {
        **manifest,
        **{table: {rename(sub): found for sub, found in manifest[table].items()} for table in tables},
        **{part: _faults(manifest[part], rename) for part in ("faults", "clinical_faults")},
        "mb": {rename(sub): size for sub, size in manifest["mb"].items()},
        "folders": [rename(sub) for sub in manifest["folders"]],
        "eligibility": {
            study: {rename(sub): _faults(faults, rename) for sub, faults in judged.items()}
            for study, judged in manifest["eligibility"].items()
        },
    }


def _faults(faults: Iterable[Mapping[str, Any]], rename: Rename) -> list[dict[str, Any]]:
    return [{**fault, "participant_id": rename(fault["participant_id"])} for fault in faults]
