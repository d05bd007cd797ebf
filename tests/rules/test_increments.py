"""Patients join, leave and change: what they cost, and what stays as it is. Runs that meet in one folder."""

from __future__ import annotations

import gzip
import hashlib
import os
import re
import shutil
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from reperfuse.core.tables import Row, read_table
from tests.rules.test_outcome import CONFIG, write_dataset
from tests.workspace import Workspace, copy_workflow

pytestmark = pytest.mark.slow

SMALLER = {
    "n_folds: 3": "n_folds: 2",
    "repeats: 2": "repeats: 1",
    "bootstrap: 20, swaps: 20, permutations: 2": "bootstrap: 10, swaps: 10, permutations: 0",
}
PATIENTS, WITHOUT_OUTCOME = 8, ("sub-07",)
TARGETS = ("outcome", "score", "preprocess")
STUDY = {"outcome_score": 1, "outcome_judge": 1, "outcome_page": 1}
COHORT = {"tables": 1, "publish": 1}
MINE = {"lesions": 1, "embed": 1}
# Alone in this: whose images are there and who takes part is told by these tables, whatever folds are frozen.
OF_EVERYBODY = {"left-out.tsv", "tripod.tsv"}
SCORES = {"scores.tsv", "scores-sets.tsv", "scores-domain.tsv"}


def write_main(path: Path, n: int, without: tuple[str, ...] = WITHOUT_OUTCOME) -> None:
    """Write the first ``n`` patients, those named without their outcome; images are as old as copies may be."""
    write_dataset(path / "bids", range(n), seed=1, without=without)
    for image in (path / "bids").rglob("*.nii.gz"):
        os.utime(image, (10**9, 10**9))


def make(path: Path) -> Workspace:
    """Write the workflow, a cohort with one patient without an outcome, and an external one."""
    path.mkdir(exist_ok=True)
    copy_workflow(path)
    text = CONFIG
    for old, new in SMALLER.items():
        assert old in text
        text = text.replace(old, new)
    (path / "config.yaml").write_text(text)
    write_main(path, PATIENTS)
    write_dataset(path / "elsewhere/bids", range(2), seed=2)
    return Workspace(path)


def plan(workspace: Workspace, *targets: str) -> Counter[str]:
    """Return which rules a run would start, the targets' own left out."""
    found = workspace.jobs("--dry-run", "--cores", "1", *(targets or TARGETS))
    return Counter({name: n for name, n in found.items() if name not in TARGETS})


def outcome_tables(path: Path, results: str = "results") -> dict[str, str]:
    """Return name → digest of everything in the study's folder."""
    folder = path / results / "outcome"
    files = [file for file in folder.rglob("*") if file.is_file()]
    return {file.relative_to(folder).as_posix(): digest_of(file) for file in files}


def digest_of(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def differing(before: dict[str, str], after: dict[str, str]) -> set[str]:
    return {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}


def table(path: Path, name: str) -> list[Row]:
    return read_table(path / f"results/outcome/{name}.tsv")


def scored_as_new(path: Path) -> set[str]:
    return {row["participant_id"] for row in table(path, "scores") if row["split"] == "new"}


@pytest.fixture(scope="module")
def grown(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace whose results are complete; to be copied, not changed."""
    workspace = make(tmp_path_factory.mktemp("grown"))
    workspace.snakemake("--cores", "2", *TARGETS)
    assert not plan(workspace)
    return workspace.path


@pytest.fixture
def workspace(grown: Path, tmp_path: Path) -> Workspace:
    shutil.copytree(grown, tmp_path / "w", symlinks=True)
    return Workspace(tmp_path / "w")


# Patients


def test_who_has_no_outcome_and_joins_is_scored_and_nothing_is_fitted(workspace: Workspace) -> None:
    path, before = workspace.path, outcome_tables(workspace.path)
    fitted = (path / "results/work/cohort/outcome_fit.json").stat().st_mtime_ns
    write_main(path, PATIENTS + 1, (*WITHOUT_OUTCOME, "sub-08"))
    assert plan(workspace) == {**MINE, **STUDY, **COHORT}
    assert plan(workspace, "score") == {**MINE, "outcome_score": 1}
    shutil.rmtree(path / ".snakemake")
    assert plan(workspace) == {**MINE, **STUDY, **COHORT}, "nor without Snakemake's memory"
    workspace.snakemake("--cores", "2", *TARGETS)
    assert not plan(workspace)
    assert (path / "results/work/cohort/outcome_fit.json").stat().st_mtime_ns == fitted
    assert scored_as_new(path) == {"sub-07", "sub-08"}
    changed = differing(before, outcome_tables(path))
    assert changed <= OF_EVERYBODY | SCORES | {"predictions.tsv", "summary.json"} and "scores.tsv" in changed


def test_who_has_no_outcome_and_changes_or_leaves_refits_nothing(workspace: Workspace) -> None:
    table = workspace.path / "bids/participants.tsv"
    lines = table.read_text().splitlines()
    row = next(line for line in lines if line.startswith("sub-07"))
    older = "\t".join("91" if i == 2 else cell for i, cell in enumerate(row.split("\t")))
    assert older != row and row.endswith("n/a")
    table.write_text("\n".join(older if line == row else line for line in lines) + "\n")
    assert plan(workspace) == {**STUDY, **COHORT}
    table.write_text("\n".join(line for line in lines if line != row) + "\n")
    shutil.rmtree(workspace.path / "bids/sub-07")
    assert plan(workspace) == {**STUDY, **COHORT}


def test_a_second_image_of_one_without_an_outcome_refits_nothing(workspace: Workspace) -> None:
    image = next((workspace.path / "bids/sub-07").rglob("*.nii.gz"))
    image.write_bytes(next((workspace.path / "elsewhere/bids/sub-01").rglob("*.nii.gz")).read_bytes() + b"\0")
    assert plan(workspace) == {**MINE, **STUDY, **COHORT}


def test_who_has_an_outcome_and_joins_is_fitted_on(workspace: Workspace) -> None:
    write_main(workspace.path, PATIENTS + 1)
    assert plan(workspace) == {**MINE, "outcome_fit": 1, **STUDY, **COHORT}


def test_an_outcome_that_becomes_known_is_fitted_on(workspace: Workspace) -> None:
    """The patient goes from one chunk to another, and no image is looked at anew."""
    write_main(workspace.path, PATIENTS, ())
    assert plan(workspace) == {"embed": 1, "outcome_fit": 1, **STUDY, **COHORT}
    vectors = {
        path.parent.name for path in (workspace.path / "results/work").glob("chunk-*/vectors.safetensors")
    }
    assert vectors == {"chunk-000", "chunk-000-others", "chunk-centre2-000"}


def test_an_external_patient_who_joins_is_scored_and_nothing_else(workspace: Workspace) -> None:
    write_dataset(workspace.path / "elsewhere/bids", range(3), seed=2)
    assert plan(workspace, "score") == {**MINE, "outcome_score": 1}
    assert plan(workspace) == {**MINE, **STUDY, "external_tables": 1}
    shutil.rmtree(workspace.path / ".snakemake")
    assert plan(workspace) == {**MINE, **STUDY, "external_tables": 1}, "nor without Snakemake's memory"


def test_frozen_folds_keep_every_table_of_the_paper(workspace: Workspace) -> None:
    path = workspace.path
    shutil.copy(path / "results/cohort/folds-outcome.tsv", path / "paper.tsv")
    workspace.edit("config.yaml", "    n_folds: 2\n", "    n_folds: 2\n    frozen_folds: paper.tsv\n")
    assert plan(workspace) == {**STUDY, "tables": 1, "publish": 1}, "the same folds are fitted on"
    workspace.snakemake("--cores", "2", *TARGETS)
    paper = outcome_tables(path)
    assert {"predictions.tsv", "metrics.tsv", "comparisons.tsv", "models/index.json"} <= paper.keys()

    write_main(path, PATIENTS + 2, (*WITHOUT_OUTCOME, "sub-09"))
    assert plan(workspace) == {"lesions": 2, "embed": 1, **STUDY, **COHORT}
    workspace.snakemake("--cores", "2", *TARGETS)
    assert differing(paper, outcome_tables(path)) <= OF_EVERYBODY | SCORES
    truth = {row["participant_id"]: row["y_true"] for row in table(path, "scores") if row["split"] == "new"}
    assert truth == {"sub-07": "", "sub-08": "1", "sub-09": ""}
    reasons = {row["participant_id"]: row["reason"] for row in table(path, "left-out")}
    assert set(reasons) == set(truth) and reasons["sub-08"] == "not in the frozen fold table"
    assert {row["split"] for row in table(path, "predictions")} == {"cv", "external:centre2"}


# Rules that are too long for a small run: what they would read


ADC = """\
bids_dir: bids
output_dir: results
execution: {chunks: 1, device: cpu}
studies:
  outcome: {n_folds: 2, finetune: {epochs: 1}, encoder: {allow_random_weights: true}}
"""
FITTING = ("outcome_fit", "outcome_saliency", "outcome_finetune")


def write_adc(bids: Path, outcomes: dict[str, str]) -> None:
    """Write what the survey takes for ADC maps of two visits, beside a table."""
    for name in outcomes:
        for session in ("01", "02"):
            path = bids / name / f"ses-{session}/dwi/{name}_ses-{session}_ADC.nii.gz"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(gzip.compress(path.name.encode(), mtime=0))
    rows = [f"{name}\t{60 + i}\t{grade}" for i, (name, grade) in enumerate(outcomes.items())]
    (bids / "participants.tsv").write_text("\n".join(["participant_id\tage\tmrs_3m", *rows]) + "\n")


def read_by(workspace: Workspace) -> dict[str, set[str]]:
    """Return what the jobs of the rules that fit would read."""
    text = workspace.snakemake("--dry-run", "--cores", "1", "outcome")
    found: dict[str, set[str]] = {}
    for rule, files in re.findall(r"^rule (\w+):\n    input: (.*)$", text, flags=re.M):
        found.setdefault(rule, set()).update(files.split(", "))
    return {rule: found[rule] for rule in FITTING}


def test_nothing_that_fits_reads_of_who_takes_no_part(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    copy_workflow(tmp_path)
    (tmp_path / "config.yaml").write_text(ADC)
    outcomes = {f"sub-{i}": "05"[i % 2] for i in range(4)}
    write_adc(tmp_path / "bids", outcomes)
    before = read_by(workspace)
    assert all("results/work/sub-3/prepare.json" in before[rule] for rule in FITTING[1:])
    write_adc(tmp_path / "bids", {**outcomes, "sub-4": "n/a"})
    assert read_by(workspace) == before
    write_adc(tmp_path / "bids", {**outcomes, "sub-4": "1"})
    after = read_by(workspace)
    assert all(before[rule] != after[rule] for rule in FITTING)
    assert {path for path in after["outcome_saliency"] if "sub-4" in path} == {
        f"results/work/sub-4/{step}.json" for step in ("prepare", "lesions")
    }


# Runs that meet


def started(path: Path, config: str, *targets: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "snakemake", "--configfile", config, "--cores", "1", *targets]
    environment = {**os.environ, "PYTHONPATH": ""}
    pipe, same = subprocess.PIPE, subprocess.STDOUT
    return subprocess.Popen(command, cwd=path, text=True, env=environment, stdout=pipe, stderr=same)


def begun(path: Path, record: str, run: subprocess.Popen[str]) -> None:
    """Wait until a run has written a record."""
    while not (path / record).exists():
        assert run.poll() is None, run.communicate()[0]
        time.sleep(0.05)


def dates(path: Path) -> dict[str, int]:
    """Return the date of every result."""
    return {str(file): file.stat().st_mtime_ns for file in (path / "results").rglob("*") if file.is_file()}


def test_runs_in_one_folder_do_not_meet(grown: Path, tmp_path: Path) -> None:
    """Two with their own results go on side by side; one that comes for the first one's is turned away."""
    path = make(tmp_path / "w").path
    text = (path / "config.yaml").read_text()
    # Patients of the same names, with other images and another threshold of the table.
    other = text.replace("bids_dir: bids", "bids_dir: elsewhere/bids").replace(
        "output_dir: results", "output_dir: other"
    )
    (path / "other.yaml").write_text(
        other.replace("external_cohorts: {centre2: {bids_dir: elsewhere/bids}}\n", "")
    )
    (path / "changed.yaml").write_text(text.replace("cell_mm: 24", "cell_mm: 16"))
    alone = Workspace(tmp_path / "alone")
    shutil.copytree(path, alone.path, symlinks=True)
    alone.snakemake("--cores", "1", "--configfile", "other.yaml", "--", "preprocess")

    first = started(path, "config.yaml", *TARGETS)
    begun(path, "results/work/sub-00/lesions.json", first)
    second = started(path, "other.yaml", "preprocess")
    third = started(path, "changed.yaml", "outcome")
    refused = third.communicate()[0]
    assert third.returncode == 1 and "cannot be locked" in refused
    said = second.communicate()[0]
    assert second.returncode == 0 and first.poll() is None, said
    # The second one has taken every lock of Snakemake's with it.
    assert not list((path / ".snakemake/locks").glob("*"))
    late = started(path, "changed.yaml", "outcome")
    refused = late.communicate()[0]
    assert late.returncode == 1 and "Another run is writing to results." in refused
    said = first.communicate()[0]
    assert first.returncode == 0, said

    assert outcome_tables(path) == outcome_tables(grown)
    assert not plan(Workspace(path)), "nothing of the first run was touched"
    for name in ("lesions.tsv", "cohort/status.tsv", "work/sub-00/lesions.json"):
        assert digest_of(path / "other" / name) == digest_of(alone.path / "other" / name)
        assert digest_of(path / "other" / name) != digest_of(path / "results" / name)


HOLDS = """\
import sys
from pathlib import Path
from reperfuse.core.claim import claim
print(claim(Path("results/work")), flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize("by", ["snakemake", "claim"])
def test_who_is_turned_away_touches_no_record(workspace: Workspace, by: str) -> None:
    """Records without Snakemake's memory that are stale for the second run are current for the first."""
    path, lock = workspace.path, workspace.path / ".snakemake/locks/0.output.lock"
    shutil.rmtree(path / ".snakemake")
    (path / "results/report/outcome.html").unlink()  # there is something to do
    workspace.edit("config.yaml", "cell_mm: 24", "cell_mm: 16")
    before = dates(path)
    if by == "snakemake":
        lock.parent.mkdir(parents=True)
        lock.write_text("results/outcome/predictions.tsv\n")
        assert "cannot be locked" in workspace.snakemake("--cores", "1", "outcome", ok=False)
    else:
        run = [sys.executable, "-c", HOLDS]
        environment = {**os.environ, "PYTHONPATH": "workflow"}
        pipe = subprocess.PIPE
        with subprocess.Popen(run, cwd=path, env=environment, stdin=pipe, stdout=pipe, text=True) as holder:
            assert holder.stdout and holder.stdout.readline() == "True\n"
            text = workspace.snakemake("--cores", "1", "outcome", ok=False)
        assert "Another run is writing to results." in text and "is not looked at" in text
    after = dates(path)
    assert {name: after[name] for name in before} == before
    new = {Path(name).name.partition("-")[0] for name in after.keys() - before.keys()}
    assert new <= {"manifest", "study", "survey", "plan", "run.lock"}
    lock.unlink(missing_ok=True)
    assert workspace.jobs("--dry-run", "--cores", "1", "outcome")["embed"] == 3, "they were stale"


def test_copied_results_are_current_whatever_the_dates_of_what_the_survey_wrote(workspace: Workspace) -> None:
    shutil.rmtree(workspace.path / ".snakemake")
    for pattern in ("study-*.json", "manifest-*.json"):
        for path in (workspace.path / "results/work").glob(pattern):
            os.utime(path)
    assert not plan(workspace)
