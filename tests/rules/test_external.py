"""External cohorts go through the same steps and leave the main cohort alone."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from reperfuse.core.files import read_json
from reperfuse.core.tables import Row, read_table
from tests.workspace import Workspace, write_patients

SECTION = "external_cohorts: {centre2: {bids_dir: elsewhere/bids}}\n"
STEPS = {"prepare": 1, "register": 1, "normalise": 1, "lesions": 1, "perfusion": 1}
WITH_PWI = {"pwi_missing_mild": 0.0, "pwi_missing_other": 0.0, "mcar": {}}
TABLES = ("cohort/index", "cohort/participants", "cohort/excluded", "cohort/status", "cohort/eligibility")
TABLES += ("cohort/quality", "lesions", "growth", "loads", "perfusion")


def state(folder: Path) -> dict[str, int]:
    """Return the date of every result of the main cohort; fold tables are written whenever a run begins."""
    paths = [path for path in folder.rglob("*") if path.is_file()]
    found = {path.relative_to(folder).as_posix(): path.stat().st_mtime_ns for path in paths}
    own = ("external/", "work/external/", "work/sub-centre2", "logs/", "benchmarks/", "work/survey-")
    own += ("work/manifest-centre2-", "work/stamps", "work/run.lock", "cohort/folds-")
    return {name: date for name, date in found.items() if not name.startswith(own)}


@pytest.fixture(scope="module")
def joined(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The finished workspace with an external cohort of one patient beside it; to be copied, not changed."""
    path = tmp_path_factory.mktemp("joined") / "w"
    shutil.copytree(finished, path, symlinks=True)
    write_patients(path / "elsewhere/bids", 1, seed=2, **WITH_PWI)
    with (path / "config.yaml").open("a") as config:
        config.write(SECTION)
    # A patient of the main cohort under another name.
    shutil.copytree(path / "bids/sub-0002", path / "elsewhere/bids/sub-twin")
    for file in sorted((path / "elsewhere/bids/sub-twin").rglob("*sub-0002*")):
        file.rename(file.with_name(file.name.replace("sub-0002", "sub-twin")))
    before = state(path / "results")
    assert Workspace(path).jobs("--cores", "2", "preprocess") == {
        "preprocess": 1,
        **STEPS,
        "external_tables": 1,
    }
    assert state(path / "results") == before, "nothing of the main cohort was made again"
    return path


@pytest.fixture
def workspace(joined: Path, tmp_path: Path) -> Workspace:
    shutil.copytree(joined, tmp_path / "w", symlinks=True)
    return Workspace(tmp_path / "w")


def rows(folder: Path, table: str) -> list[Row]:
    return read_table(folder / f"{table}.tsv")


def test_an_external_cohort_has_the_tables_of_the_main_one_under_its_own_names(joined: Path) -> None:
    results = joined / "results/external/centre2"
    for table in TABLES:
        here = (joined / f"results/{table}.tsv").read_text().split("\n")[0]
        there = (results / f"{table}.tsv").read_text()
        assert there.split("\n")[0] == here
        assert "centre2" not in there and str(joined) not in there
    assert {row["participant_id"] for row in rows(results, "cohort/participants")} == {"sub-0001", "sub-twin"}
    assert {row["participant_id"] for row in rows(results, "lesions")} == {"sub-0001"}
    volumes = {row["criterion"]: float(row["volume_ml"]) for row in rows(results, "lesions")}
    ours = {row["criterion"]: float(row["volume_ml"]) for row in rows(joined / "results", "lesions")}
    assert volumes["adc620"] > 0 and volumes != ours


def test_who_is_of_the_main_cohort_is_taken_out_and_listed(joined: Path) -> None:
    out = {
        row["participant_id"]: row
        for row in rows(joined / "results/external/centre2", "cohort/excluded")
        if row["code"] == "E124"
    }
    assert list(out) == ["sub-twin"] and out["sub-twin"]["study"] == "all"
    assert "of the main cohort" in out["sub-twin"]["reason"]
    assert not (joined / "results/work/sub-centre2+twin").exists()


def test_nobody_external_is_among_the_main_cohort(joined: Path) -> None:
    results = joined / "results"
    for table in TABLES:
        assert {row["participant_id"] for row in rows(results, table)} <= {"sub-0001", "sub-0002", ""}
        assert "centre2" not in (results / f"{table}.tsv").read_text()
    assert sorted(path.name for path in results.glob("sub-*")) == ["sub-0001", "sub-0002"]
    assert sorted(path.name for path in results.glob("report/sub-*.html")) == [
        "sub-0001.html",
        "sub-0002.html",
    ]
    assert "centre2" not in (results / "report/index.html").read_text()


def test_an_external_patients_results_name_its_own_dataset(joined: Path) -> None:
    work = joined / "results/work/sub-centre2+0001"
    record = read_json(work / "lesions.json")
    assert record["participant_id"] == "sub-centre2+0001"
    assert record["digests"]["after"].keys() == {
        f"sub-centre2+0001/{step}" for step in ("prepare", "register", "normalise")
    }
    sidecar = read_json(work / "J0_adc620.json")
    assert sidecar["SpatialReference"] == "bids::work/sub-centre2+0001/J0_adc.nii.gz"


def test_a_second_run_does_nothing_nor_does_one_after_the_dataset_moved(workspace: Workspace) -> None:
    assert not workspace.would_run()
    (workspace.path / "elsewhere").rename(workspace.path / "moved")
    workspace.edit("config.yaml", "elsewhere/bids", "moved/bids")
    with (workspace.path / "config.yaml").open("a") as config:
        config.write("execution: {device: cpu, chunks: 8}\n")
    assert not workspace.would_run()
    workspace.edit("config.yaml", SECTION.replace("elsewhere", "moved"), "")
    assert not workspace.would_run(), "an external cohort that leaves takes nothing with it"


def test_an_external_patient_who_joins_runs_its_own_jobs_only(workspace: Workspace) -> None:
    write_patients(workspace.path / "more/bids", 2, seed=2, **WITH_PWI)
    shutil.copytree(workspace.path / "more/bids", workspace.path / "elsewhere/bids", dirs_exist_ok=True)
    for path in (workspace.path / "elsewhere/bids/sub-0002").rglob("*"):
        os.utime(path, (10**9, 10**9))
    assert workspace.would_run() == {**STEPS, "external_tables": 1}


def test_external_results_without_memory_are_current_or_stale(workspace: Workspace) -> None:
    shutil.rmtree(workspace.path / ".snakemake")
    assert not workspace.would_run()
    adc = next((workspace.path / "elsewhere/bids/sub-0001").glob("ses-01/dwi/*_ADC.nii.gz"))
    adc.write_bytes(
        next((workspace.path / "elsewhere/bids/sub-0001").glob("ses-02/dwi/*_ADC.nii.gz")).read_bytes()
    )
    assert workspace.would_run() == {**STEPS, "external_tables": 1}
