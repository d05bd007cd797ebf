"""The derivative dataset that others see: images under BIDS names, nothing that stands for a failure."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from reperfuse.cohort import layout
from reperfuse.core.files import atomic, read_json_or, write_json, write_text

BIDS_VERSION = "1.11.1"
COLUMNS = ("file", "source")
# Folders and suffixes that the BIDS schema does not know.
IGNORED = (
    "work/",
    "logs/",
    "benchmarks/",
    "report/",
    "cohort/",
    "external/",
    "*.tsv",
    "**/perf/*",
    "**/*_map.*",
)


def publishable(
    sessions: Mapping[str, str],
    records: Iterable[Mapping[str, Any]],
) -> dict[str, str]:
    """Return published path → path of the image in ``work``, both relative.

    Parameters
    ----------
    sessions : mapping
        Visit → session label.
    records : iterable of mapping
        Of every step of every patient; ``facts`` may hold ``sources`` and ``space`` by image.
    """
    files = {}
    for record in records:
        participant_id, facts = record["participant_id"], record["facts"]
        for name in (file.removesuffix(".nii.gz") for file in record["files"] if file.endswith(".nii.gz")):
            origin = facts.get("sources", {}).get(name, "")
            space = facts.get("space", {}).get(name, "")
            path = layout.published(participant_id, name, sessions, source=origin, space=space)
            if path:
                files[path] = f"work/{participant_id}/{name}.nii.gz"
    return dict(sorted(files.items()))


def publish(output_dir: Path, files: Mapping[str, str], participants: Iterable[str]) -> None:
    """Link images and their sidecars under their published names; remove what is published no longer.

    Hard links, so that nothing is stored twice; copies where the file system has none. What was published before
    stands in ``work/published.json``, which no rule names as an output and no rerun deletes.

    Parameters
    ----------
    output_dir : Path
    files : mapping
        As :func:`publishable` gives it.
    participants : iterable of str
        Patients who have a page; pages of others are removed.
    """
    list_file = output_dir / "work/published.json"
    before = read_json_or(list_file, [])
    for path in sorted(set(before) - set(files)):
        for old in (output_dir / path, _sidecar(output_dir / path)):
            old.unlink(missing_ok=True)
    # The list is complete before anything is linked, so that an interrupted run leaves nothing unlisted.
    write_json(list_file, sorted({*files, *before}))
    for path, source in files.items():
        _link(output_dir / source, output_dir / path)
        if _sidecar(output_dir / source).exists():
            _link(_sidecar(output_dir / source), _sidecar(output_dir / path))
    write_json(list_file, sorted(files))
    known = set(participants)
    for page in (output_dir / "report").glob("sub-*.html"):
        if page.stem not in known:
            page.unlink()
            shutil.rmtree(output_dir / "report/figures" / page.stem, ignore_errors=True)


def _sidecar(image: Path) -> Path:
    return image.with_name(image.name.removesuffix(".nii.gz") + ".json")


def _link(source: Path, path: Path) -> None:
    if path.exists() and path.samefile(source):
        return
    with atomic(path) as partial:
        partial.unlink()
        try:
            os.link(source, partial)
        except OSError:
            shutil.copyfile(source, partial)


def describe(output_dir: Path, bids_dir: Path, *, version: str) -> None:
    """Write ``dataset_description.json``, ``.bidsignore`` and ``README``.

    Parameters
    ----------
    output_dir, bids_dir : Path
    version : str
        Of this package.
    """
    found = read_json_or(bids_dir / "dataset_description.json", {})
    source: dict[str, Any] = found if isinstance(found, dict) else {}
    keep = {"DatasetDOI": "DOI", "Version": "Version"}
    described = {new: source[old] for old, new in keep.items() if isinstance(source.get(old), str)}
    name = str(source.get("Name", "a BIDS dataset"))
    write_text(output_dir / ".bidsignore", "\n".join(IGNORED) + "\n")
    write_text(
        output_dir / "README",
        f"Lesion maps and measures derived from {name} by reperfuse {version}.\n\n"
        "Research use only. Not a medical device.\n\n"
        "Images and their sidecars lie under their BIDS names; `report/index.html` is the way in; `cohort/`\n"
        "and `lesions.tsv` hold the tables; `work/` holds what later steps and later runs need.\n",
    )
    write_json(
        output_dir / "dataset_description.json",
        {
            "Name": f"Reperfuse derivatives of {name}",
            "BIDSVersion": BIDS_VERSION,
            "DatasetType": "derivative",
            "GeneratedBy": [{"Name": "reperfuse", "Version": version}],
            **({"SourceDatasets": [described]} if described else {}),
        },
    )
