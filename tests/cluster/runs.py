"""Runs of the workflow on Slurm: a small cohort, troubles for its jobs, results to compare, a main process to kill."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from tests.cluster.private_slurm import QUICK
from tests.workspace import CONFIG, SEVERITY, Workspace, copy_workflow, write_patients

PATIENTS = [f"sub-{i:04d}" for i in range(1, 5)]
SEED = 6  # a cohort whose first four patients have two good and two bad outcomes, in four families
STUDY = """\
register: {iterations: [20, 10], shrink_factors: [2, 1], smoothing_mm: [4, 2], bins: 16}
execution: {chunks: 2}
studies:
  outcome:
    n_folds: 2
    repeats: 1
    saliency: 1
    encoder: {allow_random_weights: true, shape: [8, 32, 32]}
    sensitivity: {c: [1], components: [], method: [], kernel: [], order: [], lesion: {}}
    statistics: {bootstrap: 20, swaps: 20, permutations: 0, refits: 0}
"""
STUDY += SEVERITY
PROFILE = ("--profile", "profiles/slurm", *QUICK)
TROUBLES = Path(__file__).resolve().parent / "troubles"
# What tells of the run and not of the patients: dates and times, and the index of raw files by their dates.
NOT_COMPARED = ("logs/", "benchmarks/", "work/stamps.json", "work/kept/")


def make(path: Path, environment: Mapping[str, str] | None = None) -> Workspace:
    """Write the workflow and a cohort of four patients, of whom the outcome study can be made."""
    path.mkdir(exist_ok=True)
    copy_workflow(path)
    (path / "config.yaml").write_text(CONFIG + STUDY)
    write_patients(path / "bids", len(PATIENTS), seed=SEED)
    return Workspace(path, environment or {})


def results(workspace: Path) -> dict[str, str]:
    """Return the digest of every result: images, tables, pages, models, and records with their own digests."""
    root = workspace / "results"
    files = {path.relative_to(root).as_posix(): path for path in root.rglob("*") if path.is_file()}
    return {
        name: hashlib.sha256(path.read_bytes()).hexdigest()
        for name, path in sorted(files.items())
        if not name.startswith(NOT_COMPARED)
    }


def forget(workspace: Path, *owners: str) -> None:
    """Remove the records of patients or chunks, and what follows from all, so that a run makes them again."""
    for owner in owners:
        for path in (workspace / f"results/work/{owner}").glob("*.json"):
            path.unlink()
    for name in ("lesions.tsv", "dataset_description.json", "work/cohort/outcome_fit.json"):
        (workspace / "results" / name).unlink()


class Troubles:
    """What a workspace's jobs shall meet, and what they have done.

    Parameters
    ----------
    folder : Path
        Made anew, outside of the workspace.
    plan : dict
        ``<step> <owner>`` → ``fail``, ``fill``, ``sleep`` or ``wait``.
    """

    def __init__(self, folder: Path, plan: Mapping[str, str]) -> None:
        self.folder, self.plan = folder, dict(plan)
        folder.mkdir()
        (folder / "plan.json").write_text(json.dumps(self.plan))

    @property
    def environment(self) -> dict[str, str]:
        return {"PYTHONPATH": str(TROUBLES), "REPERFUSE_TROUBLES": str(self.folder)}

    def begun(self) -> list[tuple[str, str, int, str]]:
        """Return step, owner, Slurm job and visible GPUs of every job that began to work, in that order."""
        log = self.folder / "runs.log"
        lines = [line.split() for line in log.read_text().splitlines()] if log.exists() else []
        return [(step, owner, int(job) if job != "-" else 0, gpus) for step, owner, job, gpus in lines]

    def times(self) -> Counter[tuple[str, str]]:
        """Return how often each step of each owner was begun."""
        return Counter((step, owner) for step, owner, *_ in self.begun())

    def job_of(self, step: str, owner: str) -> int:
        """Return the first Slurm job that began a step; 0 if none has."""
        return next((job for s, o, job, _ in self.begun() if (s, o) == (step, owner)), 0)

    def met(self, step: str, owner: str) -> bool:
        return (self.folder / f"{step}.{owner}.met").exists()

    def let_go(self) -> None:
        (self.folder / "go").touch()


class MainProcess:
    """Snakemake in the background."""

    def __init__(self, workspace: Workspace, *arguments: str) -> None:
        self.log = workspace.path / "main.log"
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "snakemake", "--configfile", "config.yaml", *arguments],
                cwd=workspace.path,
                stdout=log,
                stderr=log,
                env={**os.environ, "PYTHONPATH": "", **workspace.environment},
                start_new_session=True,
            )

    def alive(self) -> bool:
        return self.process.poll() is None

    def kill(self, *, alone: bool = False) -> None:
        """Kill it with its local jobs, as a machine that fails does; or it alone, so that they go on as orphans."""
        if self.alive():
            (os.kill if alone else os.killpg)(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def wait(self) -> str:
        """Wait for the end, which must be a good one; return what it printed."""
        assert self.process.wait() == 0, self.log.read_text()
        return self.log.read_text()
