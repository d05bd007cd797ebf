"""One cohort with one fault per patient, run once, repaired in two places, and run again."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import yaml

from reperfuse.core.tables import read_table
from reperfuse.imaging.volume import encode
from tests.faults import dataset_cases as dataset
from tests.faults import geometry_cases, perfusion_cases  # noqa: F401 (the cases of all modules register themselves)
from tests.faults.build_faults import CASES, ROOT, Patient, phantom, put

PARTS = ("Snakefile", "workflow", "scripts", "envs", "profiles", "requirements", "config")
# As cheap as the steps go: whether they go on is asked, not how well they do. In so few voxels 32 bins per image
# would find a relation between noise and anything.
CHEAP = {
    "normalise": {"resolution_mm": 4, "affine_iterations": [0], "syn_iterations": [0], "min_nmi": 1.0},
    # The series are short, and their voxels as large as a hemisphere's arteries are wide.
    "perfusion": {
        "kinetics": {"resampling": {"n_points": 25}},
        "aif": {"arterial": {"minimum_peak_ratio": 1.0}},
        "quality": {"min_rttp_dice": 0, "min_valid_percent": 90},
    },
    "register": {"iterations": [20, 10], "shrink_factors": [2, 1], "smoothing_mm": [4, 2], "bins": 16},
}
PAGES = ("sub-planted", "sub-e103truncatedflair")
REPAIRED = ("sub-e101empty", "sub-e103truncated")

Snapshot = dict[str, tuple[int, ...]]


def snapshot(folder: Path) -> Snapshot:
    """Return size, date and mode of everything below a folder."""
    found: Snapshot = {}
    for path in sorted(folder.rglob("*")):
        stat = path.lstat()
        found[str(path.relative_to(folder))] = (stat.st_size, stat.st_mtime_ns, stat.st_mode)
    return found


def copy_workflow(folder: Path) -> None:
    """Copy what a clone holds, so that nothing changes between two runs."""
    folder.mkdir()
    for part in PARTS:
        if (ROOT / part).is_dir():
            shutil.copytree(ROOT / part, folder / part, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / part, folder / part)


def snakemake(
    folder: Path, workflow: Path, *arguments: str, umask: int = -1
) -> subprocess.CompletedProcess[str]:
    """Run Snakemake in a folder with the workflow that lies elsewhere."""
    command = [sys.executable, "-m", "snakemake", *arguments, "--snakefile", str(workflow / "Snakefile")]
    command += ["--workflow-profile", str(workflow / "profiles/default"), "--cores", "2"]
    environment = {**os.environ, "XDG_CACHE_HOME": str(folder / "cache"), "PYTHONPATH": "", "LC_ALL": "C"}
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, umask=umask, check=False
    )


@dataclass
class Run:
    """What came of one run.

    Parameters
    ----------
    folder : Path
        Holds ``bids``, ``results`` and ``config.yaml``.
    done : CompletedProcess
    strangers : list of str
        Names of folders that cannot be a patient's.
    raw_before, raw_after : dict
        The dataset before and after the run.
    jobs : set of str
        ``rule/sub-X`` or ``rule`` of the jobs that ran.
    tables : dict
        Rows of the tables as they were after this run.
    """

    folder: Path
    done: subprocess.CompletedProcess[str]
    strangers: list[str]
    raw_before: Snapshot = field(repr=False)
    raw_after: Snapshot = field(repr=False)
    jobs: set[str] = field(default_factory=set)
    tables: dict[str, list[dict[str, str]]] = field(default_factory=dict, repr=False)

    @property
    def results(self) -> Path:
        return self.folder / "results"

    def rows(self, table: str, **wanted: str) -> list[dict[str, str]]:
        """Return rows of a table, as it was after this run, that hold the wanted cells."""
        return [row for row in self.tables[table] if all(row[key] == value for key, value in wanted.items())]

    def image(self, sub: str, name: str) -> Path:
        """Return the path of an intermediate image."""
        return self.results / f"work/{sub}/{name}.nii.gz"


def _benchmarks(results: Path) -> dict[str, int]:
    """Return ``rule/sub-X`` → date of the file that each job writes anew."""
    folder = results / "benchmarks"
    return {str(p.relative_to(folder).with_suffix("")): p.stat().st_mtime_ns for p in folder.rglob("*.tsv")}


def _write_cohort(folder: Path) -> list[str]:
    bids = folder / "bids"
    bases = phantom(folder.with_name("phantom"))
    lines = ["participant_id;patient_name;age;sex;nihss;mrs_3m"]
    for one in CASES:
        one.make(Patient(bids, one.sub, bases))
        if one.cells is not None:
            lines.append(";".join([one.sub, dataset.SECRET, *one.cells.values()]))
    lines += [f"{dataset.NEVER_THERE};{dataset.SECRET};60;M;3;1", f"../../x;{dataset.SECRET};60;M;3;1"]
    put(bids / "participants.tsv", "\ufeff" + "\r\n".join(lines) + "\r\n")
    put(bids / "dataset_description.json", '{"Name": "One fault per patient", "BIDSVersion": "1.11.1"}\n')
    return dataset.strangers(bids)


@pytest.fixture(scope="session")
def run_again(tmp_path_factory: pytest.TempPathFactory) -> Callable[[], Run]:
    """A function that runs the workflow on the cohort as it is now."""
    folder = tmp_path_factory.mktemp("faults") / "étude 1"
    folder.mkdir()
    copy_workflow(workflow := folder.with_name("clone"))
    strangers = _write_cohort(folder)
    # Absolute paths, so that one that gets into a result shows.
    places = {"bids_dir": str(folder / "bids"), "output_dir": str(folder / "results")}
    text = yaml.safe_dump({**places, "sessions": {"J0": "01", "J1": "02"}, **CHEAP}, allow_unicode=True)
    (folder / "config.yaml").write_text(text, encoding="utf-8")

    def run() -> Run:
        pages = [f"{folder}/results/report/{sub}.html" for sub in PAGES]
        raw, jobs = snapshot(folder / "bids"), _benchmarks(folder / "results")
        done = snakemake(folder, workflow, "preprocess", *pages, "--configfile", "config.yaml", umask=0o027)
        ran = {job for job, date in _benchmarks(folder / "results").items() if jobs.get(job) != date}
        made = Run(folder, done, strangers, raw, snapshot(folder / "bids"), ran)
        for table in ("cohort/status", "cohort/excluded", "cohort/published", "lesions"):
            if (path := folder / f"results/{table}.tsv").is_file():
                made.tables[table.rpartition("/")[2]] = read_table(path)
        return made

    return run


@pytest.fixture(scope="session")
def first(run_again: Callable[[], Run]) -> Run:
    """The run of the whole cohort."""
    return run_again()


@pytest.fixture(scope="session")
def second(first: Run, run_again: Callable[[], Run]) -> Run:
    """The run after two files were repaired in place, with dates long past."""
    bases = phantom(first.folder.with_name("phantom"))
    for sub in REPAIRED:
        patient = Patient(first.folder / "bids", sub, bases)
        put(patient.path("adc"), encode(patient.volume("adc")))
        os.utime(patient.path("adc"), (10**9, 10**9))
    return run_again()
