"""What was finished stays finished: copies of records, beyond the reach of Snakemake's tidying.

Snakemake removes the outputs of a whole group of jobs when one of them fails, runs every member of a group again at a
retry, and does not trust what was written while its main process was dead. A record is a step's only output and is
written last, so a copy of it says that the step was done. While a run lasts these copies lie in ``work/kept``; a run
that ends well removes them. A job that begins takes its record from there if it would make the very same.
"""

from __future__ import annotations

import fcntl
import shutil
from pathlib import Path
from typing import IO

from reperfuse.core.files import read_json_or, write_bytes
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
        self._lock: IO[str] | None = None

    def lock(self) -> None:
        """Wait until no other process does the same job; let go when this process ends.

        An orphan of a run that was killed may still be at work. Where the file system has no locks, go on without.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._lock = self.path.with_suffix(".lock").open("w")
        try:
            fcntl.lockf(self._lock, fcntl.LOCK_EX)
        except OSError as error:
            print(f"No lock can be had in {self.path.parent} ({error.strerror}): going on without.")

    def restore(self, record: Path, key: str) -> bool:
        """Put the record back if it has the key and every file that it lists is there whole."""
        found = read_json_or(self.path, {})
        if found.get("key") != key:
            return False
        for name, size in found["files"].items():
            path = record.with_name(name)
            if not path.exists() or path.stat().st_size != size:
                return False
        write_bytes(record, self.path.read_bytes())
        return True

    def keep(self, record: Path) -> None:
        """Copy a record that was just written."""
        write_bytes(self.path, record.read_bytes())

    def forget(self) -> None:
        """Drop the copy: the files that it lists are about to be made again."""
        self.path.unlink(missing_ok=True)


def forget_trusted(work: str, incomplete: Path) -> None:
    """At the start of a run, drop copies of records that Snakemake has and trusts.

    If it wants them again after all, it was told to, and they have to be made again.

    Parameters
    ----------
    work : str
        Folder of the intermediate results, as rules name it.
    incomplete : Path
        ``.snakemake/incomplete``.
    """
    for path in Path(work, FOLDER).glob("*.json"):
        owner, _, step = path.stem.rpartition(".")
        record = f"{work}/{owner}/{step}.json"
        if Path(record).exists() and not remembered(record, incomplete):
            path.unlink(missing_ok=True)


def clear(work: str) -> None:
    """After a run that ended well, remove every copy."""
    shutil.rmtree(Path(work, FOLDER), ignore_errors=True)
