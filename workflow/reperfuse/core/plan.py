"""What the main process has settled for every job, in a file that jobs read."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from reperfuse.core.errors import ConfigError
from reperfuse.core.files import read_json_or, write_text
from reperfuse.core.provenance import digest

VARIABLE = "REPERFUSE_PLAN"


def write_plan(folder: Path, content: Mapping[str, Any]) -> None:
    """Write the plan under the name of its content, and tell jobs where it is."""
    path = folder / f"plan-{digest(content)}.json"
    if not path.exists():
        write_text(path, json.dumps(content))  # in the order of the main process
    os.environ.update({VARIABLE: str(path)})


def read_plan(patience_s: float = 60) -> dict[str, Any]:
    """Return the plan of the run that a job belongs to.

    Parameters
    ----------
    patience_s : float
        How long to wait for a file that another computer has written.

    Raises
    ------
    ConfigError
        The job was not told where it is, or it is not there.
    """
    path, until = os.environ.get(VARIABLE, ""), time.monotonic() + patience_s
    if not path:
        raise ConfigError(
            f"{VARIABLE} is not set in this job; submit jobs with the environment of the main process "
            "(sbatch --export=ALL, which is Slurm's default)."
        )
    while (found := read_json_or(path, None)) is None:
        if time.monotonic() > until:
            raise ConfigError(
                f"The plan of the run, {path}, cannot be read on {os.uname().nodename}; start in a folder that every "
                "node sees under the same path, and leave its `.snakemake` alone while jobs wait."
            )
        time.sleep(1)
    return dict(found)
