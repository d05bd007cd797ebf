from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from reperfuse.core.errors import Fault, Refusal
from reperfuse.core.files import is_marker, write_json, write_text
from reperfuse.core.job import THREAD_VARIABLES, Job, _locked
from reperfuse.core.records import faults_of, read_record, write_record


class Named(dict):
    """Like Snakemake's named lists: attributes and keys."""

    __getattr__ = dict.__getitem__

    def __iter__(self):
        for value in self.values():
            yield from value if isinstance(value, list) else [value]


@pytest.fixture
def snakemake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    before = tmp_path / "work/sub-1/prepare.json"
    write_record(
        before,
        participant_id="sub-1",
        step="prepare",
        faults=[],
        facts={},
        digests=dict.fromkeys(("cfg", "code", "src", "after"), ""),
        files={"J0_adc.nii.gz": 5, "J0_brain.nii.gz": 5, "to-MNI_affine.txt": 5},
    )
    for stream in ("stdout", "stderr"):
        monkeypatch.setattr(sys, stream, getattr(sys, stream))
    for variable in (*THREAD_VARIABLES, "ANTS_RANDOM_SEED"):
        monkeypatch.setenv(variable, os.environ.get(variable, ""))
    return SimpleNamespace(
        threads=3,
        log=[str(tmp_path / "log.txt")],
        input=Named(records=[str(before)]),
        output=Named(record=str(tmp_path / "work/sub-1/lesions.json")),
        params=Named(cfg={"cut": 620}, code="abc", src={"J0": {}}),
        config={"bids_dir": "data", "sessions": {"J0": "01"}},
        wildcards=Named(sub="sub-1"),
        rule="lesions",
    )


def test_threads_reach_every_library_before_it_is_imported(snakemake: SimpleNamespace) -> None:
    Job(snakemake)
    assert {os.environ[variable] for variable in THREAD_VARIABLES} == {"3"}


def test_a_refusal_is_recorded_with_what_was_written_before(snakemake: SimpleNamespace) -> None:
    job = Job(snakemake)
    with job:
        write_text(job.image("J0_lesion"), "image")
        job.image("J1_lesion")
        job.note([Fault("W124")], job.session_ids["J0"])
        raise Refusal("E111", value=0)
    record = read_record(snakemake.output.record)
    assert record["state"] == "failed"
    assert [(f.code, f.participant_id, f.session_id) for f in faults_of(record)] == [
        ("W124", "sub-1", "ses-01"),
        ("E111", "sub-1", ""),
    ]
    assert record["files"] == {"J0_lesion.nii.gz": 5}


def test_outputs_that_were_not_made_are_marked(snakemake: SimpleNamespace, tmp_path: Path) -> None:
    snakemake.output["vectors"] = str(tmp_path / "work/sub-1/vectors.safetensors")
    with Job(snakemake):
        raise Refusal("E200", path="weights", why="absent")
    assert is_marker(snakemake.output.vectors)


def test_images_are_found_through_the_records(snakemake: SimpleNamespace, tmp_path: Path) -> None:
    for name in ("J0_adc.nii.gz", "J0_brain.nii.gz", "to-MNI_affine.txt"):
        write_text(tmp_path / f"work/sub-1/{name}", "image")
    job = Job(snakemake)
    assert job.images_of("prepare") == {
        "J0_adc": tmp_path / "work/sub-1/J0_adc.nii.gz",
        "J0_brain": tmp_path / "work/sub-1/J0_brain.nii.gz",
    }
    assert list(job.images_of("prepare", only=("J0_adc",))) == ["J0_adc"] and job.files_of("register") == []


def test_what_an_earlier_run_of_the_step_wrote_does_not_outlive_it(snakemake: SimpleNamespace) -> None:
    with Job(snakemake) as job:
        for name in ("J0_lesion", "J1_lesion"):
            write_text(job.image(name), "image")
            write_json(job.folder / f"{name}.json", job.sidecar())
    snakemake.params["code"] = "other"
    with Job(snakemake) as job:
        write_text(job.image("J0_lesion"), "image")
    assert not (job.folder / "J1_lesion.nii.gz").exists() and not (job.folder / "J1_lesion.json").exists()


def test_a_job_waits_for_the_orphan_that_does_the_same(snakemake: SimpleNamespace, tmp_path: Path) -> None:
    code = (
        f"import sys; from reperfuse.core.job import _locked; _locked({snakemake.log[0]!r}); print('got it')"
    )
    library = Path(__file__).resolve().parents[2] / "workflow"
    mine = _locked(snakemake.log[0])
    other = subprocess.Popen(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(library)},
    )
    assert other.stderr is not None and "still at work on this" in other.stderr.readline()
    with pytest.raises(subprocess.TimeoutExpired):
        other.wait(2)
    mine.close()
    said, _ = other.communicate(timeout=60)
    assert said == "got it\n"


def test_a_job_of_a_killed_run_gives_way_to_the_run_that_has_begun_since(
    snakemake: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    snakemake.config["output_dir"] = str(tmp_path)
    monkeypatch.setenv("REPERFUSE_PLAN", ".snakemake/reperfuse/plan-1.json")
    write_text(tmp_path / "work/run.lock", f"{tmp_path}\n{tmp_path}/.snakemake/reperfuse/plan-1.json\n")
    assert Job(snakemake)
    write_text(tmp_path / "work/run.lock", f"{tmp_path}\n.snakemake/reperfuse/plan-2.json\n")
    with pytest.raises(SystemExit, match="another one has begun"):
        Job(snakemake)


def test_a_file_that_is_gone_takes_its_record_along(
    snakemake: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("reperfuse.core.job.PATIENCE_S", 0)
    job = Job(snakemake)
    for name in ("J0_adc.nii.gz", "J0_brain.nii.gz"):
        write_text(job.folder / name, "image")
    with pytest.raises(
        RuntimeError, match=r"to-MNI_affine\.txt is not there with the 5 bytes.*1 such files.*run again"
    ):
        job.files_of("prepare")
    assert not Path(snakemake.input["records"][0]).exists()


def test_a_finished_job_whose_record_was_removed_ends_at_once(snakemake: SimpleNamespace) -> None:
    with Job(snakemake) as job:
        write_text(job.image("J0_lesion"), "image")
    record = Path(snakemake.output.record)
    content = record.read_bytes()
    record.unlink()
    with pytest.raises(SystemExit) as ended:
        Job(snakemake)
    assert ended.value.code == 0 and record.read_bytes() == content

    record.unlink()
    write_text(job.folder / "J0_lesion.nii.gz", "half")
    assert Job(snakemake) and not record.exists(), "an image that is not whole is made again"

    write_text(job.folder / "J0_lesion.nii.gz", "image")
    snakemake.params["code"] = "other"
    assert Job(snakemake) and not record.exists(), "and so is one that would come out differently"


def test_a_job_that_began_again_and_failed_is_not_taken_as_finished(snakemake: SimpleNamespace) -> None:
    with Job(snakemake) as job:
        write_text(job.image("J0_lesion"), "image")
    Path(snakemake.output.record).unlink()
    kept = job.folder.parent / "kept/sub-1.lesions.json"
    content = kept.read_text()
    kept.unlink()
    again = Job(snakemake)
    write_text(kept, content)
    with pytest.raises(ZeroDivisionError), again:
        1 / 0  # noqa: B018
    assert not kept.exists()


def test_a_defect_fails_the_job_and_leaves_no_record(snakemake: SimpleNamespace) -> None:
    with pytest.raises(ZeroDivisionError), Job(snakemake):
        1 / 0  # noqa: B018
    assert not Path(snakemake.output.record).exists()


def test_the_record_and_the_sidecar_hold_the_same_digests(snakemake: SimpleNamespace) -> None:
    job = Job(snakemake)
    with job:
        sidecar = job.sidecar(Units="1e-6 mm2/s")
    record = read_record(snakemake.output.record)
    made = sidecar["GeneratedBy"]
    assert made["Key"] == record["key"]
    assert {name: made[name] for name in record["digests"]} == record["digests"]
    assert record["digests"]["after"] == {"sub-1/prepare": job.records["prepare"]["key"]}


def test_the_log_holds_the_findings(snakemake: SimpleNamespace, tmp_path: Path) -> None:
    with Job(snakemake) as job:
        job.note([Fault("E101", "x.nii.gz")])
    assert "E101 sub-1 x.nii.gz: the file is empty" in (tmp_path / "log.txt").read_text()


def test_a_patient_of_an_external_cohort_is_read_from_its_own_dataset(snakemake: SimpleNamespace) -> None:
    snakemake.config["external_cohorts"] = {"test": {"bids_dir": "elsewhere", "sessions": {"J0": "a"}}}
    here = Job(snakemake)
    snakemake.wildcards["sub"] = "sub-test+1"
    there = Job(snakemake)
    assert [(job.cohort, str(job.bids_dir), job.session_ids) for job in (here, there)] == [
        ("", "data", {"J0": "ses-01"}),
        ("test", "elsewhere", {"J0": "ses-a"}),
    ]
    assert there.uri("J0_adc") == "bids::work/sub-test+1/J0_adc.nii.gz"
    snakemake.wildcards = Named(external="test")
    whole = Job(snakemake)
    assert (whole.cohort, whole.participant_id, str(whole.bids_dir)) == ("test", "external/test", "elsewhere")
