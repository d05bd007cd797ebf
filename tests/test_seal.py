"""Importing the package seals a conda environment against another Python's packages, and nothing else."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
# Another prefix, and what Snakemake would have appended to the path; then the path that is left.
LOOK = """
import json, sys
library, sys.prefix, *more = sys.argv[1:]
sys.path[:] = [library, *more]
import reperfuse
print(json.dumps(sys.path[1:]))
"""


def path_left(prefix: Path, *more: Path) -> list[Path]:
    """Return what is left of a path when the package is imported under a prefix."""
    command = [sys.executable, "-c", LOOK, str(ROOT / "workflow"), str(prefix), *map(str, more)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return [Path(path) for path in json.loads(done.stdout)]


@pytest.fixture
def paths(tmp_path: Path) -> dict[str, Path]:
    """Folders of an environment ``env``, of the Python that runs Snakemake, and of neither."""
    found = {
        "own": tmp_path / "env/lib/python3.12/site-packages",
        "neighbour": tmp_path / "env-2/lib/python3.12/site-packages",
        "user": tmp_path / "home/.local/lib/python3.12/site-packages",
        "debian": tmp_path / "usr/lib/python3/dist-packages",
        "library": tmp_path / "usr/lib/python3.11",
        "compiled": tmp_path / "usr/lib/python3.11/lib-dynload",
        "workflow": tmp_path / "clone/workflow",
    }
    for folder in found.values():
        folder.mkdir(parents=True, exist_ok=True)
    (found["library"] / "os.py").touch()
    return found


def test_a_conda_environment_keeps_its_own_packages_and_the_workflow(
    paths: dict[str, Path], tmp_path: Path
) -> None:
    (tmp_path / "env/conda-meta").mkdir()
    assert path_left(tmp_path / "env", *paths.values()) == [paths["own"], paths["workflow"]]


def test_elsewhere_nothing_is_dropped(paths: dict[str, Path], tmp_path: Path) -> None:
    assert path_left(tmp_path / "env", *paths.values()) == list(paths.values())
