"""What the main process finds out before any job runs, written once under the name of its content."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reperfuse.cohort.clinical import Clinical, find_tables, read_clinical, reconcile
from reperfuse.cohort.eligibility import Requirement, fold_candidates, lacks
from reperfuse.cohort.excerpt import excerpt, places
from reperfuse.cohort.external import as_inside, check_names, sections_of
from reperfuse.cohort.folds import FoldRow, balance, plan_folds, read_folds, write_folds
from reperfuse.cohort.index import Index, find_sessions, megabytes, scan, stamped
from reperfuse.cohort.layout import MAP
from reperfuse.cohort.twins import contents, twins
from reperfuse.cohort.visits import swapped
from reperfuse.core.errors import ConfigError, Fault
from reperfuse.core.files import read_json, write_json
from reperfuse.core.provenance import Stamps, digest, file_digest

# Findings of the index that take a patient out altogether.
PATIENT_OUT = ("E124", "E151", "E190")


def survey(config: Mapping[str, Any], requirements: Mapping[str, Requirement]) -> Path:
    """Index the datasets, stamp their files, judge who may take part, draw folds; return the path of what is found.

    The manifests are the only thing that jobs know about a dataset as a whole: one of the main cohort and one of
    each external cohort, so that a change in one reruns nothing of another. Beside them, each study has an excerpt of
    the main cohort's, which is all that its fit reads, so that a change in whoever takes no part refits nothing; of a
    study without a label there is one that says no more than who is in which fold. The name of each is a digest of
    its content, so that a patient who joins or a file that is replaced shows whatever its date. The file returned
    names them; :func:`read_survey` reads it.

    Parameters
    ----------
    config : mapping
        Resolved configuration.
    requirements : mapping
        Study → what it needs of a patient.

    Raises
    ------
    ConfigError
        Where a dataset or the place for results cannot be used at all.
    """
    output_dir = Path(config["output_dir"])
    check_sections(config)
    main = _cohort("", config, output_dir, requirements, {})
    main["atlases"] = _atlases(config["atlases"])
    main["folds"] = _folds(config["studies"], output_dir, main, requirements)
    check_names(config["external_cohorts"], main["participants"])
    manifests = {"": main}
    known = contents(main["participants"], "the main cohort")
    for name in sorted(config["external_cohorts"]):
        try:
            found = _cohort(name, sections_of(config, name), output_dir, requirements, known)
        except ConfigError as error:
            raise ConfigError(f"External cohort {name}: {error}") from error
        known = {**contents(found["participants"], f"the external cohort {name}"), **known}
        manifests[name] = {**as_inside(found), "folds": {}}
    studies = {study: excerpt(main, study) for study in requirements}
    unlabelled = {study: places(main, study) for study, need in requirements.items() if not need.labelled}
    found = {"manifests": manifests, "studies": studies, "places": unlabelled}
    return _written(found, output_dir / "work")


@dataclass(frozen=True)
class Surveyed:
    """Paths of what was found out.

    Parameters
    ----------
    manifests : dict
        Cohort → manifest; the main cohort is called by the empty name.
    studies : dict
        Study → excerpt of the main cohort's manifest.
    places : dict
        Study without a label → who is in which fold.
    """

    manifests: dict[str, str]
    studies: dict[str, str]
    places: dict[str, str]


PREFIXES = {"manifests": "manifest", "studies": "study", "places": "places"}


def _written(found: Mapping[str, Mapping[str, Mapping[str, Any]]], work: Path) -> Path:
    """Write manifests and excerpts, and which of them hold, under the names of their contents."""
    files = {
        kind: {name: _named(work, PREFIXES[kind], name, content) for name, content in contents.items()}
        for kind, contents in found.items()
    }
    path = work / f"survey-{digest(files)}.json"
    if not path.exists():
        write_json(path, files)
    return path


def _named(work: Path, prefix: str, name: str, content: Mapping[str, Any]) -> str:
    """Write a file under the name of its content, unless it is there; return the name.

    The name says all: a date, such as that of a copy, must not make a step run again that reads the file.
    """
    path = work / f"{'-'.join(part for part in (prefix, name, digest(content)) if part)}.json"
    if not path.exists():
        write_json(path, content)
    with suppress(OSError):  # somebody else's, or not to be written to
        os.utime(path, (1, 1))
    return path.name


def read_survey(path: str | Path) -> Surveyed:
    """Return where manifests and excerpts lie."""
    found = read_json(path)
    paths = {
        kind: {name: str(Path(path).with_name(file)) for name, file in files.items()}
        for kind, files in found.items()
    }
    return Surveyed(**paths)


def _cohort(
    name: str,
    sections: Mapping[str, Any],
    output_dir: Path,
    requirements: Mapping[str, Requirement],
    known: Mapping[str, str],
) -> dict[str, Any]:
    """Return what a manifest says of one dataset, with the names that its patients have there.

    In an external cohort, eligible is who can be scored: the label is not asked for.
    """
    bids_dir = Path(sections["bids_dir"])
    check_places(bids_dir, output_dir)
    index, sessions = _index(sections, bids_dir, output_dir)
    stamps = Stamps(bids_dir, output_dir / f"work/{'-'.join(filter(None, ('stamps', name)))}.json")
    participants = stamped(index, stamps)
    both = [sub for sub, visits in participants.items() if len(visits) > 1]
    faults = [*index.faults, *twins(participants, known), *swapped(bids_dir, both, sessions)]
    out = {fault.participant_id for fault in faults if fault.code in PATIENT_OUT}
    active = {sub: visits for sub, visits in participants.items() if visits and sub not in out}
    clinical = _clinical(sections["clinical"], bids_dir, sessions)
    usable = {sub: _roles(active.get(sub, {})) for sub in participants}
    judged = {
        study: lacks(usable, clinical, need, to_score=bool(name)) for study, need in requirements.items()
    }
    description = stamps.of(["dataset_description.json"])
    stamps.save()
    return {
        "name": name,
        "sessions": sessions,
        "session_ids": {visit: f"ses-{label}" for visit, label in sessions.items()},
        "folders": sorted(participants),
        "description": description,
        "n_files": index.n_files,
        "participants": participants,
        "active": active,
        "mb": megabytes(active, stamps.sizes),
        "faults": _dicts(faults),
        "clinical": clinical.rows,
        "dictionary": clinical.dictionary,
        "clinical_faults": _dicts([*clinical.faults, *reconcile(clinical, participants)]),
        "eligibility": {s: {sub: _dicts(found) for sub, found in one.items()} for s, one in judged.items()},
    }


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


def check_sections(config: Mapping[str, Any]) -> None:
    """Refuse values that no schema can hold against each other."""
    lesions, register = config["lesions"], config["register"]
    known = [f"adc{cut:g}{raw}" for cut in lesions["thresholds"] for raw in ("", "_raw")]
    if lesions["lesion_criterion"] not in known:
        raise ConfigError(
            f"`lesions.lesion_criterion` is {lesions['lesion_criterion']}; expected one of {', '.join(known)}."
        )
    levels = {name: len(register[name]) for name in ("iterations", "shrink_factors", "smoothing_mm")}
    if len(set(levels.values())) > 1:
        found = ", ".join(f"`register.{name}` has {n}" for name, n in levels.items())
        raise ConfigError(f"{found} levels; expected the same number in each.")


def _index(config: Mapping[str, Any], bids_dir: Path, output_dir: Path) -> tuple[Index, dict[str, str]]:
    sessions = dict(config["sessions"]) or sessions_of(bids_dir)
    images = config["images"]
    patterns = {role: found for role, found in images.items() if role not in ("select", "maps")}
    patterns |= {f"{MAP}{name}": found for name, found in images["maps"].items()}
    select = images["select"]
    return scan(bids_dir, images=patterns, select=select, sessions=sessions, skip=[output_dir]), sessions


def sessions_of(bids_dir: Path) -> dict[str, str]:
    """Return the dataset's sessions as visits; refuse to guess among more than two."""
    labels = find_sessions(bids_dir)
    if len(labels) > 2:
        raise ConfigError(
            f"The dataset has the sessions {', '.join(labels)}; say which is the baseline and which the follow-up, "
            'for example `sessions: {J0: "01", J1: "02"}`.'
        )
    return dict(zip(("J0", "J1"), labels, strict=False))


def _atlases(atlases: Mapping[str, Mapping[str, str]]) -> dict[str, dict[str, str]]:
    """Return the content of the atlases' files as stamps; paths stay out, so that moving one reruns nothing."""
    found: dict[str, dict[str, str]] = {}
    for name, files in atlases.items():
        for part in ("image", "labels"):
            try:
                found.setdefault(name, {})[part] = file_digest(Path(files[part]))
            except OSError as error:
                raise ConfigError(
                    f"`atlases.{name}.{part}` is {files[part]}, which cannot be read; give its path."
                ) from error
    return found


def _clinical(section: Mapping[str, Any], bids_dir: Path, sessions: Mapping[str, str]) -> Clinical:
    tables = find_tables(bids_dir, section["tables"])
    options = {key: section[key] for key in ("columns", "id_columns", "session_columns", "missing")}
    return read_clinical(tables, root=bids_dir, sessions=sessions, **options)


def _roles(visits: Mapping[str, Any]) -> dict[str, list[str]]:
    return {visit: sorted(roles) for visit, roles in visits.items()}


def _folds(
    studies: Mapping[str, Any],
    output_dir: Path,
    manifest: Mapping[str, Any],
    requirements: Mapping[str, Requirement],
) -> dict[str, Any]:
    """Return each study's folds, extended by the patients who are new; :func:`write_drawn` writes them."""
    plans = {}
    clinical = Clinical(manifest["clinical"])
    for study, need in requirements.items():
        section = studies[study]
        eligible = [sub for sub, faults in manifest["eligibility"][study].items() if not faults]
        candidates = fold_candidates(eligible, clinical, need, group=section["group"])
        table = output_dir / f"cohort/folds-{study}.tsv"
        frozen = Path(section["frozen_folds"]) if section["frozen_folds"] else None
        before = read_folds(frozen) if frozen else read_folds(table) if table.exists() else []
        options = {"n_folds": section["n_folds"], "salt": section["salt"], "frozen": frozen is not None}
        drawn = plan_folds(before, candidates, **options)
        # Asked once more, so that the notices of the first draw and of later runs are the same.
        plan = plan_folds(drawn.rows, candidates, **options)
        plans[study] = {
            "n_folds": plan.n_folds,
            "frozen": frozen is not None,
            "rows": [vars(row) for row in plan.rows],
            "balance": balance(plan.rows, n_folds=plan.n_folds),
            "notices": plan.notices,
        }
    return plans


def write_drawn(manifest: Mapping[str, Any], output_dir: Path) -> None:
    """Write the fold tables of a run that begins; a frozen table is the user's own and stays out of it."""
    for study, plan in manifest["folds"].items():
        if not plan["frozen"]:
            write_folds(output_dir / f"cohort/folds-{study}.tsv", (FoldRow(**row) for row in plan["rows"]))


def _dicts(faults: list[Fault]) -> list[dict[str, Any]]:
    return [fault.as_dict() for fault in faults]
