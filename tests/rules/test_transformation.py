"""The transformation study from the series to its page, on a small synthetic cohort."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from reperfuse.core.tables import read_table
from reperfuse.imaging.reader import read_made
from tests.workspace import Workspace, copy_workflow, write_patients

pytestmark = pytest.mark.slow

CONFIG = """\
bids_dir: bids
output_dir: results
normalise: {resolution_mm: 4, affine_iterations: [10], syn_iterations: [1]}
execution: {chunks: 1, device: cpu}
studies:
  transformation:
    n_folds: 2
    eligibility: {onset_max_min: 720}
    modes: [lstm_pwi+aif+dwi]
    baselines: [linear]
    maps: [map_k2, roi_k2]
    comparator: linear
    lstm: {epochs: 2, hidden: 8}
    sample: {voxels: 400}
    statistics: {bootstrap: 20}
"""
# Three of the first six patients bleed, and in more than a voxel or two.
SEED = 348
PART = "results/work/transformation/fold-{}/transformation_fold.json"


def start(folder: Path, n: int) -> Workspace:
    copy_workflow(folder)
    (folder / "config.yaml").write_text(CONFIG)
    write_patients(folder / "bids", n, seed=SEED, pwi_missing_mild=0.0, pwi_missing_other=0.0)
    return Workspace(folder)


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    workspace = start(tmp_path_factory.mktemp("transformation"), 6)
    done = workspace.jobs("--cores", "2", "transformation")
    assert done["transformation_fold"] == 2
    assert done["transformation_judge"] == done["transformation_page"] == 1
    return workspace


def test_each_patient_is_predicted_by_the_models_of_the_other_fold(judged: Workspace) -> None:
    folds = {row["participant_id"]: int(row["fold"]) for row in
             read_table(judged.path / "results/cohort/folds-transformation.tsv")}  # fmt: skip
    seen: set[str] = set()
    for fold in (1, 2):
        table = pq.read_table(judged.path / f"results/transformation/voxels/fold-{fold}.parquet").to_pandas()
        facts = json.loads((judged.path / PART.format(fold)).read_text())["facts"]
        assert {folds[who] for who in set(table["participant_id"])} == {fold}
        assert set(facts["held_out"]) == set(table.loc[table["set"] == "dense", "participant_id"])
        assert all(row["n_overlap"] == 0 for row in facts["leakage"])
        seen |= set(facts["held_out"])
    assert seen == set(folds) - {row["participant_id"] for row in
                                 read_table(judged.path / "results/transformation/left-out.tsv")}  # fmt: skip


def test_likelihood_maps_lie_beside_the_record_and_on_the_grid_of_the_series(judged: Workspace) -> None:
    record = json.loads((judged.path / PART.format(1)).read_text())
    maps = [name for name in record["files"] if name.endswith("_likelihood.nii.gz")]
    assert sorted(maps) == [f"{who}_likelihood.nii.gz" for who in sorted(record["facts"]["held_out"])]
    for name in maps:
        found = read_made(judged.path / PART.format(1).replace("transformation_fold.json", name))
        brain = read_made(judged.path / f"results/work/{name.partition('_')[0]}/PWI_brain.nii.gz")
        np.testing.assert_allclose(found.affine, brain.affine, atol=1e-4)
        assert 0 <= found.data.min() < found.data.max() <= 1 and not found.data[brain.data == 0].any()
    assert not any(path.is_dir() for path in (judged.path / "results/work/transformation/fold-1").iterdir())


def test_how_results_are_judged_refits_nothing(judged: Workspace) -> None:
    assert not judged.jobs("--dry-run", "--cores", "1", "transformation")
    judged.edit("config.yaml", "bootstrap: 20", "bootstrap: 30")
    again = judged.jobs("--dry-run", "--cores", "1", "transformation")
    assert again == {"transformation_judge": 1, "transformation_page": 1, "transformation": 1}
    judged.edit("config.yaml", "bootstrap: 30", "bootstrap: 20")
    judged.edit("config.yaml", "epochs: 2", "epochs: 3")
    again = judged.jobs("--dry-run", "--cores", "1", "transformation")
    assert again["transformation_fold"] == 2 and "perfusion" not in again
    judged.edit("config.yaml", "epochs: 3", "epochs: 2")


def test_a_cohort_that_cannot_be_cross_validated_is_told_why(tmp_path: Path) -> None:
    workspace = start(tmp_path, 2)
    said = workspace.snakemake("--dry-run", "--cores", "1", "transformation", ok=False)
    assert "The study `transformation` cannot be made: Class 0 has 1 independent patient" in said
    assert "transformation_fold" not in workspace.jobs("--dry-run", "--cores", "1")


def test_a_name_that_is_none_ends_before_any_job(tmp_path: Path) -> None:
    workspace = start(tmp_path, 6)
    workspace.edit("config.yaml", "comparator: linear", "comparator: forest")
    assert "names forest, which is none of" in workspace.snakemake("--dry-run", "--cores", "1", ok=False)
