"""The derivative dataset that others see: images under BIDS names, nothing that stands for a failure."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from reperfuse.cohort import layout
from reperfuse.core.files import atomic, is_marker, read_json, write_json, write_text
from reperfuse.core.tables import read_table, write_table

BIDS_VERSION = "1.11.1"
COLUMNS = ("file", "source")
# Folders and suffixes that the BIDS schema does not know.
IGNORED = (
    "work/",
    "logs/",
    "benchmarks/",
    "report/",
    "cohort/",
    "*.tsv",
    "**/perf/*_dsc.*",
    "**/*_xfm.*",
    "**/*_map.*",
)


def publishable(
    output_dir: Path,
    steps: Mapping[str, Iterable[str]],
    sessions: Mapping[str, str],
    images: Mapping[str, Iterable[str]],
) -> dict[str, str]:
    """Return published path → path of the image in ``work``, both relative, markers left out.

    Parameters
    ----------
    output_dir : Path
        The derivative dataset.
    steps : mapping
        Patient → steps that the patient went through.
    sessions : mapping
        Visit → session label.
    images : mapping
        Step → names of its images.
    """
    files = {}
    for participant_id, mine in sorted(steps.items()):
        for name in (name for step in mine for name in images.get(step, ())):
            path = layout.published(participant_id, name, sessions)
            source = f"work/{participant_id}/{name}.nii.gz"
            if path and (output_dir / source).exists() and not is_marker(output_dir / source):
                files[path] = source
    return files


def publish(output_dir: Path, files: Mapping[str, str], table: Path) -> None:
    """Link images and their sidecars under their published names; remove what is published no longer.

    Hard links, so that nothing is stored twice; copies where the file system has none.

    Parameters
    ----------
    output_dir : Path
    files : mapping
        As :func:`publishable` gives it.
    table : Path
        List of the published files. What it named before and ``files`` does not is removed.
    """
    before = {row["file"] for row in read_table(table)} if table.is_file() else set()
    for path in sorted(before - set(files)):
        for old in (output_dir / path, _sidecar(output_dir / path)):
            old.unlink(missing_ok=True)
    for path, source in files.items():
        _link(output_dir / source, output_dir / path)
        if _sidecar(output_dir / source).exists():
            _link(_sidecar(output_dir / source), _sidecar(output_dir / path))
    write_table(table, [{"file": path, "source": source} for path, source in sorted(files.items())], COLUMNS)


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
    raw = bids_dir / "dataset_description.json"
    source: dict[str, Any] = read_json(raw) if raw.is_file() else {}
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
