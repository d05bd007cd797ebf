"""Jobs that a killed run has left in Slurm's queue, where they go on without it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

from reperfuse.core.files import read_json_or

# Snakemake's jobs bear the name of their run: a prefix, if the profile has one, and a random identifier.
_RUN = re.compile(r"(.*_)?[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def still_queued(incomplete: Path) -> list[str]:
    """Return the ids of jobs of Snakemake, pending or running, that belong to a folder.

    Parameters
    ----------
    incomplete : Path
        ``.snakemake/incomplete`` of that folder: one entry for each output that was begun. A waiting job's have the
        id of the cluster's job; a running job has written its own over it, so that it is known by where it works.
    """
    entries = [read_json_or(path, {}) for path in incomplete.rglob("*") if path.is_file()]
    if not entries or not shutil.which("squeue"):
        return []
    submitted = {str(one["external_jobid"]) for one in entries if one.get("external_jobid")}
    here = os.path.realpath(incomplete.parent.parent)
    asked = ["squeue", "--noheader", "--me", "--format=%A|%j|%Z"]
    try:
        listed = subprocess.run(asked, capture_output=True, text=True, timeout=60, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return []
    found = set()
    for job, name, folder in (line.split("|", 2) for line in listed.splitlines() if line.count("|") >= 2):
        if job in submitted or (_RUN.fullmatch(name) and os.path.realpath(folder) == here):
            found.add(job)
    return sorted(found, key=lambda one: (len(one), one))
