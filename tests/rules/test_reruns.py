"""What runs again, and what does not."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

from reperfuse.core.files import read_json
from tests.workspace import Workspace, copy_workflow, write_patients

LESIONS = "workflow/reperfuse/imaging/lesion.py"
COHORT = {"tables": 1, "publish": 1, "report": 1}
PATIENT = {"prepare": 1, "register": 1, "normalise": 1, "lesions": 1, "perfusion": 1, "page": 1}


def test_a_comment_in_the_library_reruns_nothing(workspace: Workspace) -> None:
    workspace.edit(LESIONS, '"""', '# A comment.\n"""')
    workspace.edit("scripts/lesions.py", "with job:", "with job:  # a remark")
    assert not workspace.would_run()


def test_touched_files_rerun_nothing(workspace: Workspace) -> None:
    for path in [*workspace.path.glob("scripts/*.py"), *workspace.path.glob("bids/**/*.nii.gz")]:
        os.utime(path)
    assert not workspace.would_run()


def test_a_change_in_the_lesion_code_reruns_lesions_and_what_follows(workspace: Workspace) -> None:
    workspace.edit(LESIONS, "def dice(", "def unused() -> int:\n    return 1\n\n\ndef dice(")
    assert workspace.would_run() == {"lesions": 2, "perfusion": 2, "page": 2, **COHORT}


def test_a_threshold_reruns_lesions_and_what_follows(workspace: Workspace) -> None:
    with (workspace.path / "config.yaml").open("a") as config:
        config.write("lesions: {z_gate: 2.5}\n")
    assert workspace.would_run() == {"lesions": 2, "perfusion": 2, "page": 2, **COHORT}


def test_a_key_of_perfusion_reruns_perfusion_and_what_follows(workspace: Workspace) -> None:
    with (workspace.path / "config.yaml").open("a") as config:
        config.write("perfusion: {volumes: {csf_share: 0.3}}\n")
    assert workspace.would_run() == {"perfusion": 2, "page": 2, **COHORT}


def test_a_haemorrhage_mask_reruns_the_perfusion_of_its_patient_alone(workspace: Workspace) -> None:
    next((workspace.path / "bids").glob("derivatives/manual/sub-0001/ses-02/anat/*label-HT*.nii.gz")).unlink()
    assert workspace.would_run() == {"perfusion": 1, "page": 1, **COHORT}


def test_a_sentence_of_an_error_reruns_nothing(workspace: Workspace) -> None:
    workspace.edit("workflow/reperfuse/core/faults.toml", "convert it again", "convert it once more")
    assert not workspace.would_run()


def test_an_added_patient_runs_its_own_jobs_whatever_its_dates(workspace: Workspace) -> None:
    write_patients(workspace.path / "more/bids", 3)
    shutil.copytree(workspace.path / "more/bids", workspace.path / "bids", dirs_exist_ok=True)
    for path in (workspace.path / "bids/sub-0003").rglob("*"):
        os.utime(path, (10**9, 10**9))
    # The manifest shows the newcomer even where Snakemake has forgotten what went into the tables.
    shutil.rmtree(workspace.path / ".snakemake")
    assert workspace.run() == {**PATIENT, **COHORT}
    lesions = (workspace.path / "results/lesions.tsv").read_text()
    assert "sub-0003" in lesions and "sub-0001" in lesions


def test_a_replaced_file_with_an_old_date_reruns_its_patient(workspace: Workspace) -> None:
    bids = workspace.path / "bids"
    adc = next(bids.glob("sub-0001/ses-01/dwi/*_ADC.nii.gz"))
    other = next(bids.glob("sub-0001/ses-02/dwi/*_ADC.nii.gz"))
    before = adc.stat().st_mtime_ns
    adc.write_bytes(other.read_bytes() + b"")
    os.utime(adc, ns=(before - 10**12, before - 10**12))
    assert workspace.would_run() == {**PATIENT, **COHORT}


def test_a_mask_by_a_reader_takes_the_place_of_the_threshold(workspace: Workspace) -> None:
    results, bids = workspace.path / "results", workspace.path / "bids"
    made = next(results.glob("sub-0001/ses-01/dwi/*desc-adc480_mask.nii.gz"))
    mask = bids / "derivatives/manual/sub-0001/ses-01/dwi/sub-0001_ses-01_label-L_desc-reader_mask.nii.gz"
    mask.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(made, mask)
    assert workspace.run() == {"lesions": 1, "perfusion": 1, "page": 1, **COHORT}
    facts = read_json(results / "work/sub-0001/lesions.json")["facts"]
    assert facts["lesion"]["J0"].startswith("given (derivatives/manual/")
    rows = {(row["visit"], row["criterion"]): row for row in facts["rows"]}
    assert rows["J0", "given"]["volume_ml"] == rows["J0", "adc480"]["volume_ml"]
    assert rows["J0", "adc480"]["dice_given"] == 1


def test_a_fresh_clone_with_copied_results_reruns_nothing(workspace: Workspace, tmp_path: Path) -> None:
    clone = Workspace(tmp_path / "clone")
    clone.path.mkdir()
    copy_workflow(clone.path)
    for part in ("bids", "results"):  # new dates in whatever order, and no memory of Snakemake's
        shutil.copytree(workspace.path / part, clone.path / part, copy_function=shutil.copy)
    assert not clone.would_run()


def test_results_copied_without_memory_are_stale_after_a_change(workspace: Workspace) -> None:
    shutil.rmtree(workspace.path / ".snakemake")
    workspace.edit(LESIONS, "def dice(", "def unused() -> int:\n    return 1\n\n\ndef dice(")
    text = workspace.snakemake("--dry-run", "--cores", "1")
    assert "9 stale" in text
    assert workspace.would_run() == {"lesions": 2, "perfusion": 2, "page": 2, **COHORT}
    workspace.edit(LESIONS, "def unused() -> int:\n    return 1\n\n\n", "")
    assert not workspace.would_run(), "they are current again once the change is taken back"


def test_results_of_other_raw_data_are_stale_without_memory(workspace: Workspace) -> None:
    shutil.rmtree(workspace.path / ".snakemake")
    adc = next((workspace.path / "bids").glob("sub-0002/ses-01/dwi/*_ADC.nii.gz"))
    adc.write_bytes(next((workspace.path / "bids").glob("sub-0002/ses-02/dwi/*_ADC.nii.gz")).read_bytes())
    assert workspace.would_run() == {**PATIENT, **COHORT}


def test_every_job_has_a_record_and_every_image_a_sidecar_with_its_digests(finished: Path) -> None:
    work = finished / "results/work"
    images = [*work.glob("sub-*/*.nii.gz")]
    assert len(images) > 40
    for path in images:
        made = read_json(path.with_name(path.name.replace(".nii.gz", ".json")))["GeneratedBy"]
        record = read_json(path.with_name(f"{made['Step']}.json"))
        assert (made["Key"], made["code"]) == (record["key"], record["digests"]["code"])


def test_the_same_run_twice_is_identical_to_the_bit(finished: Path, tmp_path: Path) -> None:
    again = Workspace(tmp_path / "again")
    again.path.mkdir()
    copy_workflow(again.path)
    shutil.copytree(finished / "bids", again.path / "bids")
    again.run()
    for path in sorted((finished / "results").rglob("*")):
        relative = path.relative_to(finished / "results")
        if path.is_file() and relative.parts[0] not in ("logs", "benchmarks") and path.name != "stamps.json":
            assert (again.path / "results" / relative).read_bytes() == path.read_bytes(), relative


def test_an_image_that_is_refused_later_is_withdrawn_and_comes_back_when_repaired(
    workspace: Workspace,
) -> None:
    bids, results = workspace.path / "bids", workspace.path / "results"
    flair = next(bids.glob("sub-0001/ses-01/anat/*_FLAIR.nii.gz"))
    published = next(results.glob("sub-0001/ses-01/anat/*_ses-01_desc-preproc_FLAIR.nii.gz"))
    content = flair.read_bytes()
    flair.write_bytes(content[: len(content) // 2])
    workspace.run()
    assert not published.exists() and not published.with_name(published.name[:-7] + ".json").exists()
    assert next(results.glob("sub-0001/ses-01/dwi/*_ses-01_desc-preproc_ADC.nii.gz")).stat().st_size > 0
    flair.write_bytes(content)
    workspace.run()
    assert published.exists()


def test_jobs_ask_for_more_memory_and_time_than_they_take(finished: Path) -> None:
    """What is asked for at the first attempt against what was measured; on Slurm, two Snakemakes go with a job."""
    own_mb, seen = 300, 0
    text = Workspace(finished).snakemake("--dry-run", "--forceall", "--cores", "1")
    for job in text.split("\nrule ")[1:]:
        path = re.search(r"benchmark: (\S+)", job)
        asked = {name: int(value) for name, value in re.findall(r"\b(mem_mb|runtime)=(\d+)", job)}
        if path and asked:
            header, *rows = (line.split("\t") for line in (finished / path[1]).read_text().splitlines())
            taken = dict(zip(header, rows[-1], strict=True))
            assert float(taken["s"]) < 60 * asked["runtime"]
            if taken["max_rss"] != "NA":  # over before it was looked at
                assert float(taken["max_rss"]) + own_mb < asked["mem_mb"], path[1]
            seen += 1
    assert seen == 2 * len(PATIENT) + len(COHORT) + 1
