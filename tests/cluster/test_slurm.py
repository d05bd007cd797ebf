"""The whole workflow on a Slurm with accounting: what is asked for, what is made, and what troubles cost."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster.private_slurm import PrivateSlurm, wait_until
from tests.cluster.runs import PATIENTS, PROFILE, MainProcess, Troubles, forget, make, results
from tests.workspace import Workspace

pytestmark = [pytest.mark.cluster, pytest.mark.slow]

ACCOUNTING = True
ON_GPU = ("embed", "severity_fold")
IMAGING = ("prepare", "register", "normalise", "lesions", "perfusion")
# The second patient has no perfusion series.
MADE = {(step, sub) for step in IMAGING for sub in PATIENTS} - {("perfusion", "sub-0002")}


def components(patients: int) -> tuple[str, ...]:
    """How many patients share a submission; the rest as in the profile, which the option replaces whole."""
    return ("--group-components", f"patient={patients}", "chunk=8", "shown=8", "cohort=2")


@pytest.fixture(scope="module")
def whole(slurm: PrivateSlurm, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Troubles, str]:
    """A workspace whose results were all made on Slurm, two patients to a submission, followed by ``sacct``."""
    folder = tmp_path_factory.mktemp("whole")
    quiet = Troubles(folder / "troubles", {})
    workspace = make(folder / "w", environment={**slurm.environment, **quiet.environment})
    on_gpu = [f"{step}:slurm_partition=gpu" for step in ON_GPU]
    given = ("--slurm-status-command", "sacct", "--set-resources", *on_gpu)
    text = workspace.snakemake(*PROFILE, *components(2), *given)
    return workspace.path, quiet, text


@pytest.fixture
def finished(local: Path, tmp_path: Path) -> Iterator[Path]:
    """A copy of the workspace that was run without Slurm, dates kept."""
    shutil.copytree(local, tmp_path / "w", symlinks=True)
    yield tmp_path / "w"
    shutil.rmtree(tmp_path / "w")


def test_results_are_those_of_a_local_run(whole: tuple[Path, Troubles, str], local: Path) -> None:
    """Images, tables, pages and models to the byte; records too, and with them every digest of code and settings."""
    here, there = results(local), results(whole[0])
    assert set(here) == set(there)
    assert [name for name in here if here[name] != there[name]] == []
    kinds = {Path(name).name for name in here}
    assert {"lesions.tsv", "predictions.tsv", "index.html", "J0_adc.nii.gz", "embed.json"} <= kinds
    assert not (whole[0] / "results/work/kept").exists()


def test_nothing_is_left_to_do_on_slurm_or_here(
    whole: tuple[Path, Troubles, str], slurm: PrivateSlurm
) -> None:
    workspace = Workspace(whole[0], slurm.environment)
    assert "Nothing to be done" in workspace.snakemake("--dry-run", "--cores", "1")
    assert "Nothing to be done" in workspace.snakemake("--dry-run", *PROFILE)


def test_each_step_is_computed_once_in_few_submissions(whole: tuple[Path, Troubles, str]) -> None:
    _, quiet, text = whole
    times = quiet.times()
    assert {times[one] for one in (*MADE, *(("page", sub) for sub in PATIENTS))} == {1}
    assert set(times.values()) == {1}
    submitted = [int(one) for one in re.findall(r"has been submitted with SLURM jobid (\d+)", text)]
    # Template, patients by two, chunks, tables, fit, what follows from it, the same of two trials, report.
    assert len(submitted) == 1 + 2 + 2 + 1 + 1 + 1 + 2 + 1 + 1
    shared = {job: {step for step, _, one, _ in quiet.begun() if one == job} for job in submitted}
    assert sorted(map(len, shared.values())) == [1, 1, 1, 1, 1, 1, 1, 2, 4, 4, 6, 6]


def test_submissions_ask_for_what_they_need(whole: tuple[Path, Troubles, str], slurm: PrivateSlurm) -> None:
    _, quiet, _ = whole
    jobs = slurm.jobs()
    mine = {job: jobs[job] for job in {one for _, _, one, _ in quiet.begun()}}
    [embedding] = {job for step, _, job, _ in quiet.begun() if step == "embed"}
    on_gpu = {job for step, _, job, _ in quiet.begun() if step in ON_GPU}
    assert len(on_gpu) == 3, "the chunks, and each of two trials"
    assert len([1 for step, *_ in quiet.begun() if step == "embed"]) == 2  # two chunks take turns on one GPU
    assert {len(gpus.split(",")) for step, _, _, gpus in quiet.begun() if step == "embed"} == {1}
    assert {gpus for step, _, _, gpus in quiet.begun() if step == "embed"} <= {"0", "1"}
    assert {gpus for step, _, _, gpus in quiet.begun() if step not in ON_GPU} == {"-"}
    for job in (embedding, *on_gpu):
        assert mine[job]["NodeList"] == "gpu1" and mine[job]["Partition"] == "gpu"
        assert mine[job]["TRES"].endswith("gres/gpu=1")
    assert not any("gpu" in job["TRES"] for number, job in mine.items() if number not in on_gpu)
    for number, job in mine.items():
        hours, minutes, _ = map(int, job["TimeLimit"].split(":"))
        cpus = int(job["NumCPUs"])
        memory = re.search(r"mem=(\d+)(M|G)", job["TRES"])
        assert memory
        mb = int(memory[1]) * (1000 if memory[2] == "G" else 1)
        assert job["JobState"] == "COMPLETED" and cpus <= 5
        assert 10 <= 60 * hours + minutes <= (620 if number in on_gpu else 300) and 1000 <= mb <= 6000 * cpus


def test_troubles_of_jobs_are_overcome_and_cost_only_what_was_lost(
    slurm: PrivateSlurm, local: Path, tmp_path: Path
) -> None:
    """A step that fails, one with too much memory, one with too much time, one that is cancelled; a node that fails."""
    troubles = Troubles(
        tmp_path / "troubles",
        {
            "lesions sub-0001": "fail",
            "register sub-0002": "fill",
            "prepare sub-0003": "sleep",
            "normalise sub-0004": "sleep",
            "tables cohort": "sleep",
        },
    )
    workspace = make(tmp_path / "w", environment={**slurm.environment, **troubles.environment})
    # A minute, for one patient and at the first attempt; steps in a row add up.
    late = "wildcards.sub == 'sub-0003' and attempt == 1"
    minutes = [f"{step}:runtime={int(step == 'prepare')} if {late} else 30" for step in IMAGING]
    run = MainProcess(workspace, *PROFILE, *components(1), "--set-resources", *minutes, "--", "preprocess")
    try:
        wait_until(lambda: troubles.met("normalise", "sub-0004") or not run.alive(), "a step to be cancelled")
        cancelled = troubles.job_of("normalise", "sub-0004")
        kept = workspace.path / "results/work/kept/sub-0004.register.json"
        wait_until(lambda: kept.exists() or not run.alive(), "the step beside it to end")
        slurm.cancel(cancelled)
        wait_until(lambda: troubles.met("tables", "cohort") or not run.alive(), "the tables")
        assert run.alive(), run.log.read_text()
        lost = troubles.job_of("tables", "cohort")
        node = slurm.jobs()[lost]["NodeList"]
        slurm.ask("scontrol", "update", f"nodename={node}", "state=down", "reason=test")
        run.wait()
    finally:
        run.kill()
        slurm.resume_nodes()
    jobs = slurm.jobs()
    state = {name: jobs[troubles.job_of(*name.split())]["JobState"] for name in (
        "lesions sub-0001", "register sub-0002", "prepare sub-0003", "normalise sub-0004", "tables cohort",
    )}  # fmt: skip
    assert state.pop("register sub-0002") in ("FAILED", "OUT_OF_MEMORY")  # an older Slurm says FAILED
    assert list(state.values()) == ["FAILED", "TIMEOUT", "CANCELLED", "NODE_FAIL"]
    last = {(step, owner): job for step, owner, job, _ in troubles.begun()}
    again = {(step, owner) for step, owner in map(str.split, troubles.plan)}
    assert {jobs[last[one]]["JobState"] for one in again} == {"COMPLETED"}
    assert jobs[last["tables", "cohort"]]["ExcNodeList"] == node
    first, second = (
        jobs[job] for job in (troubles.job_of("register", "sub-0002"), last["register", "sub-0002"])
    )
    assert megabytes(second) == 2 * megabytes(first)

    here, there = results(local), results(workspace.path)
    assert [name for name in there if here[name] != there[name]] == []
    assert {f"work/{sub}/lesions.json" for sub in PATIENTS} | {"lesions.tsv"} <= set(there)
    times = troubles.times()
    again = {
        ("lesions", "sub-0001"),
        ("register", "sub-0002"),
        ("prepare", "sub-0003"),
        ("normalise", "sub-0004"),
    }
    assert all(times[one] == 2 for one in again)
    once = MADE - again
    assert {one: times[one] for one in once} == dict.fromkeys(once, 1)


def megabytes(job: dict[str, str]) -> float:
    found = re.search(r"mem=([\d.]+)(M|G)", job["TRES"])
    assert found
    return float(found[1]) * (1024 if found[2] == "G" else 1)


def test_a_killed_run_is_resumed_when_its_jobs_have_ended(
    slurm: PrivateSlurm, local: Path, finished: Path, tmp_path: Path
) -> None:
    troubles = Troubles(tmp_path / "troubles", {"lesions sub-0003": "wait", "normalise sub-0004": "wait"})
    workspace = Workspace(finished, {**slurm.environment, **troubles.environment})
    forget(finished, "sub-0003", "sub-0004")
    command = (*PROFILE, *components(1), "--", "preprocess")
    run = MainProcess(workspace, *command)
    kept = finished / "results/work/kept/sub-0004.register.json"

    def held() -> bool:
        waiting = troubles.met("lesions", "sub-0003") and troubles.met("normalise", "sub-0004")
        return (waiting and kept.exists()) or not run.alive()

    try:
        wait_until(held, "both patients")
        assert run.alive(), run.log.read_text()
    finally:
        run.kill()
    third, fourth = troubles.job_of("lesions", "sub-0003"), troubles.job_of("normalise", "sub-0004")
    assert sorted(slurm.queued()) == sorted({third, fourth})

    locked = workspace.snakemake(*command, ok=False)
    assert "--unlock" in locked
    workspace.snakemake("--unlock", *PROFILE)
    refused = workspace.snakemake(*command, ok=False)
    assert f"scancel {min(third, fourth)} {max(third, fourth)}" in refused, refused
    assert "has been submitted" not in refused

    slurm.cancel(fourth)
    troubles.let_go()
    wait_until(lambda: not slurm.queued(), "what the killed run has left")
    workspace.snakemake(*command)
    assert slurm.jobs()[third]["JobState"] == "COMPLETED"
    here, there = results(local), results(finished)
    assert [name for name in there if here[name] != there[name]] == []
    # What the orphans finished is not computed again, the step that was cancelled is.
    times = troubles.times()
    expected = {(step, sub): 1 for step in IMAGING for sub in ("sub-0003", "sub-0004")}
    assert {one: times[one] for one in expected} == {**expected, ("normalise", "sub-0004"): 2}
    assert "Nothing to be done" in workspace.snakemake("--dry-run", *PROFILE, "--", "preprocess")
