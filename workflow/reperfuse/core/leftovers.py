"""Jobs that a killed run has left in Slurm's queue, where they go on without it."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from reperfuse.core.files import read_json_or


def still_queued(incomplete: Path) -> list[str]:
    """Return the ids of jobs, pending or running, whose outputs Snakemake waits for.

    Parameters
    ----------
    incomplete : Path
        ``.snakemake/incomplete``: one entry for each output that was begun, with the id of the cluster's job.
    """
    entries = [read_json_or(path, {}) for path in incomplete.rglob("*") if path.is_file()]
    submitted = {str(one["external_jobid"]) for one in entries if one.get("external_jobid")}
    if not submitted or not shutil.which("squeue"):
        return []
    asked = ["squeue", "--noheader", "--me", "--format=%A %i"]
    try:
        listed = subprocess.run(asked, capture_output=True, text=True, timeout=60, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return []
    return sorted(submitted & set(listed.split()), key=lambda one: (len(one), one))
