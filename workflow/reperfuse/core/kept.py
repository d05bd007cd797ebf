"""What was finished stays finished: copies of records, beyond the reach of Snakemake's tidying.

Snakemake removes the outputs of a whole group of jobs when one of them fails, runs every member of a group again at a
retry, and does not trust what was written while its main process was dead. A record is a step's only output and is
written last, so a copy of it says that the step was done. While a run lasts these copies lie in ``work/kept``; a run
that ends well leaves none. A job that begins takes its record from there if it would make the very same, and if the
files that the record lists are those that were written.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from reperfuse.core.files import read_json_or, write_json
from reperfuse.core.reruns import remembered

FOLDER = "kept"


class Kept:
    """The copy of one job's record.

    Parameters
    ----------
    work : Path
        Folder of the intermediate results.
    name : str
        Owner and step, ``sub-X.prepare``.
    """

    def __init__(self, work: Path, name: str) -> None:
        self.path = work / FOLDER / f"{name}.json"

    def restore(self, record: Path, key: str) -> bool:
        """Put the record back if it has the key and the files that it lists are there, untouched since then."""
        found = read_json_or(self.path, {})
        content = found.get("record") if isinstance(found, dict) else None
        if not isinstance(content, dict) or content.get("key") != key:
            return False
        if found.get("written") != _written(record, content):
            return False
        write_json(record, content)
        return True

    def keep(self, record: Path) -> None:
        """Copy a record that was just written, with the dates of its files."""
        content = read_json_or(record, {})
        write_json(self.path, {"record": content, "written": _written(record, content)})

    def forget(self) -> None:
        """Drop the copy: the files that it lists are about to be made again."""
        self.path.unlink(missing_ok=True)


def _written(record: Path, content: Mapping[str, Any]) -> dict[str, list[int]]:
    """Return size and date of the files of a record, of those that are there."""
    found = {}
    for name in content["files"]:
        with contextlib.suppress(FileNotFoundError):
            stat = record.with_name(name).stat()
            found[name] = [stat.st_size, stat.st_mtime_ns]
    return found


def forget_trusted(work: str, incomplete: Path) -> None:
    """Drop copies of records that Snakemake has and trusts.

    If it wants them again after all, it was told to, and they have to be made again.

    Parameters
    ----------
    work : str
        Folder of the intermediate results, as rules name it.
    incomplete : Path
        ``.snakemake/incomplete``.
    """
    folder = Path(work, FOLDER)
    for path in folder.glob("*.json"):
        owner, _, step = path.stem.rpartition(".")
        record = f"{work}/{owner}/{step}.json"
        if Path(record).exists() and not remembered(record, incomplete):
            path.unlink(missing_ok=True)
    with contextlib.suppress(OSError):  # absent, or with copies that are still of use
        folder.rmdir()


def forget_all(work: str) -> None:
    """Drop every copy, before a run that was told to make things again."""
    for path in Path(work, FOLDER).glob("*.json"):
        path.unlink(missing_ok=True)
