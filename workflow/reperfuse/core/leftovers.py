"""Jobs that a killed run has left in Slurm's queue, where they go on without it."""

from __future__ import annotations

import os
import re
import subprocess
from base64 import urlsafe_b64decode
from collections.abc import Iterator
from pathlib import Path

from reperfuse.core.errors import ConfigError
from reperfuse.core.files import read_json_or

# Snakemake's jobs bear the name of their run: a prefix, if the profile has one, and a random identifier.
_RUN = re.compile(r"(.*_)?[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def still_queued(folder: Path, results: Path) -> list[str]:
    """Return the ids of jobs of Snakemake, pending or running, that may be writing results.

    Parameters
    ----------
    folder : Path
        In which the run was started that has submitted them.
    results : Path
        Folder of the results. Without an output below it that was begun and not finished, no job is looked for.

    Raises
    ------
    ConfigError
        There may be such jobs, and Slurm cannot be asked.
    """
    begun = list(_begun(folder, results))
    if not begun:
        return []
    submitted = {str(one["external_jobid"]) for one in begun if one.get("external_jobid")}
    here = os.path.realpath(folder)
    asked = ["squeue", "--noheader", "--me", "--format=%A|%j|%Z"]
    try:
        listed = subprocess.run(asked, capture_output=True, text=True, timeout=60, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        if submitted:
            raise ConfigError(
                f"An earlier run has left Slurm jobs ({' '.join(sorted(submitted))}), and `squeue` does not say "
                "whether they have ended; start where Slurm answers."
            ) from None
        return []
    found = set()
    for job, name, where in (line.split("|", 2) for line in listed.splitlines() if line.count("|") >= 2):
        # A running job has written its own mark over the one with its number: it is known by where it works.
        if _RUN.fullmatch(name) and (job in submitted or os.path.realpath(where) == here):
            found.add(job)
    return sorted(found, key=lambda one: (len(one), one))


def _begun(folder: Path, results: Path) -> Iterator[dict[str, str | None]]:
    """Yield what Snakemake has noted of outputs below a folder that were begun."""
    marks, below = folder / ".snakemake/incomplete", os.path.join(os.path.realpath(results), "")
    for path in marks.rglob("*"):
        if path.is_file():
            name = _output(path.relative_to(marks))
            note = read_json_or(path, {})
            if os.path.realpath(folder / name).startswith(below) and isinstance(note, dict):
                yield note


def _output(mark: Path) -> str:
    """Return the output that an entry of Snakemake's memory stands for; see `reperfuse.core.reruns.remembered`."""
    try:
        return urlsafe_b64decode("".join(part.removeprefix("@") for part in mark.parts)).decode()
    except ValueError:
        return ""
