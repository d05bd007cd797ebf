"""What a BIDS dataset holds of each patient: which file plays which role, and what is wrong with it."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from reperfuse.cohort.names import LABEL, Name, Pattern, belongs, choose, parse
from reperfuse.core.errors import Fault
from reperfuse.core.files import shown_link
from reperfuse.core.provenance import Stamps

POINTERS = (b"/annex/objects/", b"version https://git-lfs")


@dataclass
class Index:
    """The images of a dataset.

    Parameters
    ----------
    participants : dict
        ``sub-X`` → visit → role → ``[path, …]``: the image, then the metadata files that describe it, root
        first, all relative to the dataset.
    faults : list of Fault
        Files and patients that cannot be used, with their owners.
    folders : list of str
        Every ``sub-*`` folder with a valid name.
    n_files : int
        Images looked at.
    """

    participants: dict[str, dict[str, dict[str, list[str]]]] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)
    folders: list[str] = field(default_factory=list)
    n_files: int = 0


def find_sessions(bids_dir: Path) -> list[str]:
    """Return the session labels that any patient has, sorted."""
    labels = set()
    for entry in os.scandir(bids_dir):
        if entry.name.startswith("sub-") and _is_folder(entry):
            inside = _entries(entry.path, [])
            labels |= {e.name[4:] for e in inside if e.name.startswith("ses-") and _is_folder(e)}
    return sorted(labels)


def scan(
    bids_dir: Path,
    *,
    images: Mapping[str, Sequence[Pattern]],
    select: Mapping[str, str],
    sessions: Mapping[str, str],
    skip: Sequence[Path] = (),
) -> Index:
    """Index a dataset without opening an image.

    Parameters
    ----------
    bids_dir : Path
        The dataset.
    images : mapping
        Role → patterns, the first that fits wins.
    select : mapping
        Entity → ``first`` or ``last``: which of several files that differ in it to take.
    sessions : mapping
        Visit → session label; empty for a dataset without sessions, whose images count as J0.
    skip : sequence of Path
        Folders under ``derivatives`` that are the workflow's own.
    """
    index = Index()
    closed: list[Fault] = []
    inherited = [n for n in _files(bids_dir, "", closed, depth=0) if not n.is_image]
    owned: dict[str, list[Name]] = {}
    for folder, participant_id in _patient_folders(bids_dir, skip, index):
        owned.setdefault(participant_id, []).extend(_files(bids_dir, folder, closed))
        index.faults += [fault.of(participant_id) for fault in closed]
        closed.clear()
    visits = {label: visit for visit, label in sessions.items()} or {"": "J0"}
    for participant_id in sorted(set(index.folders) | set(owned)):
        names = owned.get(participant_id, [])
        index.faults += _case_collisions(participant_id, names)
        found = index.participants.setdefault(participant_id, {})
        for label, visit in visits.items():
            mine = [n for n in names if n.entities.get("ses", "") == label and _is_of(n, participant_id)]
            roles = _roles(participant_id, label, mine, images, select, bids_dir, index)
            described = {r: [n.path, *_metadata(n, [*inherited, *names])] for r, n in roles.items()}
            if described:
                found[visit] = described
        if not found and not any(f.participant_id == participant_id for f in index.faults):
            roles_text = ", ".join(images)
            index.faults.append(Fault("E128", values={"roles": roles_text}, participant_id=participant_id))
    return index


def _is_of(name: Name, participant_id: str) -> bool:
    return f"sub-{name.entities.get('sub', '')}" == participant_id


def _patient_folders(bids_dir: Path, skip: Sequence[Path], index: Index) -> Iterator[tuple[str, str]]:
    """Yield each patient's folders, raw first; folders with unusable names become faults."""
    roots = [""]
    derivatives = bids_dir / "derivatives"
    if derivatives.is_dir():
        own = {path.resolve() for path in skip}
        for entry in sorted(os.scandir(derivatives), key=lambda e: e.name):
            if _is_folder(entry) and Path(entry.path).resolve() not in own and not _is_ours(Path(entry.path)):
                roots.append(f"derivatives/{entry.name}/")
    for root in roots:
        for entry in sorted(os.scandir(bids_dir / root), key=lambda e: e.name):
            if not entry.name.startswith("sub-") or not _is_folder(entry):
                continue
            if not LABEL.match(entry.name[4:]):
                fault = Fault(
                    "E190", values={"name": ascii(entry.name)}, participant_id=ascii(entry.name)[1:-1]
                )
                index.faults.append(fault)
                continue
            if not root:
                index.folders.append(entry.name)
            yield root + entry.name, entry.name


def _is_ours(folder: Path) -> bool:
    """Whether a derivative dataset was written by this workflow."""
    try:
        description = json.loads((folder / "dataset_description.json").read_text(encoding="utf-8-sig"))
        return any(by.get("Name") == "reperfuse" for by in description.get("GeneratedBy", []))
    except (OSError, ValueError, AttributeError):
        return False


def _is_folder(entry: os.DirEntry[str]) -> bool:
    """Whether an entry is a folder; a link that leads to itself is none."""
    try:
        return entry.is_dir()
    except OSError:
        return False


def _entries(folder: Path | str, closed: list[Fault], name: str = "") -> list[os.DirEntry[str]]:
    """Return what a folder holds; nothing, and E212 in ``closed``, where it may not be read."""
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except OSError as error:
        closed.append(Fault("E212", name, {"why": error.strerror or "input error"}))
        return []


def _files(bids_dir: Path, folder: str, closed: list[Fault], depth: int = 4) -> list[Name]:
    """Return images and metadata files of a folder and, down to a depth, of those in it."""
    found = []
    for entry in _entries(bids_dir / folder, closed, folder):
        path = f"{folder}/{entry.name}" if folder else entry.name
        if depth and _is_folder(entry):
            found += _files(bids_dir, path, closed, depth - 1)
        elif name := parse(path):
            found.append(name)
    return sorted(found, key=lambda name: name.path)


def _roles(
    participant_id: str,
    session: str,
    names: Sequence[Name],
    images: Mapping[str, Sequence[Pattern]],
    select: Mapping[str, str],
    bids_dir: Path,
    index: Index,
) -> dict[str, Name]:
    """Return the file of each role; ambiguous, absent and unreadable ones become faults."""
    roles = {}
    candidates = [name for name in names if name.is_image]
    for role, patterns in images.items():
        fitting = choose(candidates, patterns)
        for entity, which in select.items():
            labels = sorted({n.entities.get(entity, "") for n in fitting})
            if len(labels) > 1:
                wanted = labels[-1 if which == "last" else 0]
                fitting = [n for n in fitting if n.entities.get(entity, "") == wanted]
        if not fitting:
            continue
        index.n_files += len(fitting)
        if len(fitting) > 1:
            files = ", ".join(n.path for n in fitting)
            values = {"n_files": len(fitting), "role": role, "files": files, "entity": _differing(fitting)}
            fault = Fault("E123", fitting[0].path, values)
        else:
            found = absent(bids_dir, fitting[0].path)
            if found is None:
                roles[role] = fitting[0]
                continue
            fault = found
        index.faults.append(fault.of(participant_id, f"ses-{session}" if session else ""))
    return roles


def _differing(names: Sequence[Name]) -> str:
    """Return an entity in which names differ, to be named in the remedy."""
    entities = sorted({key for name in names for key in name.entities})
    return next((e for e in entities if len({n.entities.get(e) for n in names}) > 1), "run")


def absent(bids_dir: Path, path: str) -> Fault | None:
    """Return why a file's content is not here: empty, a broken link, a pointer, or not readable."""
    file = bids_dir / path
    try:
        stat = file.stat()
        if stat.st_size == 0:
            return Fault("E101", path)
        if stat.st_size < 1024:
            head = file.read_bytes()
            if any(pointer in head for pointer in POINTERS) and not head.startswith(b"\x1f\x8b"):
                first = head.split(b"\n")[0].decode("utf-8", "replace")
                return Fault("E102", path, {"target": shown_link(first)})
        elif not os.access(file, os.R_OK):
            return Fault("E212", path, {"why": "permission denied"})
    except FileNotFoundError:
        target = shown_link(os.readlink(file)) if file.is_symlink() else "nothing"
        return Fault("E102", path, {"target": target})
    except OSError as error:
        return Fault("E212", path, {"why": error.strerror or "input error"})
    return None


def _metadata(image: Name, names: Sequence[Name]) -> list[str]:
    """Return the metadata files of an image, nearest last."""
    mine = [name for name in names if not name.is_image and belongs(name, image)]
    return [name.path for name in sorted(mine, key=lambda n: (n.path.count("/"), len(n.entities), n.path))]


def _case_collisions(participant_id: str, names: Sequence[Name]) -> list[Fault]:
    """Return a fault for each pair of paths that a case-insensitive file system cannot tell apart."""
    seen: dict[str, str] = {}
    faults = []
    for name in names:
        other = seen.setdefault(name.path.lower(), name.path)
        if other != name.path:
            faults.append(Fault("E211", name.path, {"other": other}, participant_id))
    return faults


def megabytes(participants: Mapping[str, Any], sizes: Mapping[str, int]) -> dict[str, int]:
    """Return participant_id → size of all images in MB, rounded up; what memory a step asks for follows from it.

    Parameters
    ----------
    participants : mapping
        As :func:`stamped` gives them.
    sizes : mapping
        Path → bytes.
    """
    return {
        participant_id: math.ceil(
            sum(
                sizes.get(path, 0)
                for roles in visits.values()
                for files in roles.values()
                for path, _ in files
            )
            / 1e6
        )
        for participant_id, visits in participants.items()
    }


def stamped(index: Index, stamps: Stamps) -> dict[str, Any]:
    """Return the participants with a content stamp beside each path: ``[[path, stamp], …]``."""
    paths = sorted(
        {p for v in index.participants.values() for r in v.values() for f in r.values() for p in f}
    )
    known = stamps.of(paths)
    return {
        participant_id: {
            visit: {role: [[path, known.get(path, "")] for path in files] for role, files in roles.items()}
            for visit, roles in visits.items()
        }
        for participant_id, visits in index.participants.items()
    }
