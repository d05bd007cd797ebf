"""The outcome study from lesion masks to its page, on a small dataset without any other image."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from safetensors.numpy import load
from sklearn.metrics import accuracy_score, brier_score_loss, roc_auc_score

from reperfuse.core.tables import Row, read_table
from tests.workspace import ROOT, Workspace, copy_workflow

pytestmark = pytest.mark.slow

CONFIG = """\
bids_dir: bids
output_dir: results
external_cohorts: {centre2: {bids_dir: elsewhere/bids}}
execution: {chunks: 1, device: cpu}
studies:
  outcome:
    visits: [J0]
    image: lesion
    variable: mrs_discharge
    title_note: discharge mRS in place of mRS at 3 months
    lesion_criteria: [given]
    cell_mm: 24
    clinical: {J0: [age, sex, nihss], J1: []}
    primary: J0_mask+clinical+lesion
    comparator: J0_clinical
    n_folds: 3
    repeats: 2
    platt_folds: 2
    other_cuts: []
    saliency: 0
    sensitivity: {c: [1], components: [], method: [], kernel: [], order: [], lesion: {}}
    statistics: {bootstrap: 20, swaps: 20, permutations: 2, refits: 0}
"""
PATIENTS, OTHERS = 20, 6
WITHOUT_OUTCOME = ("sub-03", "sub-05")
PREDICTIONS = "results/outcome/predictions.tsv"
SHAPE = (24, 27, 21)
AFFINE = np.diag([-8.0, 8.0, 8.0, 1.0])
AFFINE[:3, 3] = [92.0, -128.0, -68.0]


def patient(seed: int, i: int) -> tuple[np.ndarray, dict[str, str]]:
    """A lesion mask and a row of the table; large lesions and high NIHSS go with a bad outcome."""
    rng = np.random.default_rng([seed, i])
    good = i % 2 == 0
    size = int(rng.integers(2, 5) if good else rng.integers(4, 8))
    start = np.array([4 if rng.random() < 0.5 else 14, 10, 8]) + rng.integers(0, 3, 3)
    mask = np.zeros(SHAPE, np.uint8)
    mask[tuple(slice(a, a + size) for a in start)] = 1
    mask[tuple(start + rng.integers(0, size, 3))] = 0  # no two patients alike
    mask[tuple(start + rng.integers(0, size, 3))] = 0
    row = {
        "participant_id": f"sub-{i:02d}",
        "sex": "FM"[int(rng.integers(2))],
        "age": str(int(rng.integers(40, 90))),
        "nihss": str(int(np.clip(rng.normal(5 if good else 13, 4), 0, 42))),
        "gs_rankin_6isdeath": str(int(rng.integers(0, 2) if good else rng.integers(2, 7))),
    }
    return mask, row


def write_dataset(bids: Path, ids: Iterable[int], *, seed: int, without: tuple[str, ...] = ()) -> None:
    """Write masks in the template beside a table of participants."""
    rows = []
    for i in ids:
        mask, row = patient(seed, i)
        name = row["participant_id"]
        if name in without:
            row["gs_rankin_6isdeath"] = "n/a"
        rows.append(row)
        path = bids / name / "dwi" / f"{name}_space-MNI152Lin_label-L_mask.nii.gz"
        path.parent.mkdir(parents=True, exist_ok=True)
        nib.Nifti1Image(mask, AFFINE).to_filename(path)
    lines = ["\t".join(rows[0]), *("\t".join(row.values()) for row in rows)]
    (bids / "participants.tsv").write_text("\n".join(lines) + "\n")
    about = {
        "Name": "made up",
        "BIDSVersion": "1.10.0",
        "DatasetType": "derivative",
        "GeneratedBy": [{"Name": "a test"}],
    }
    (bids / "dataset_description.json").write_text(json.dumps(about))


def make(path: Path) -> Workspace:
    workspace = Workspace(path)
    path.mkdir(exist_ok=True)
    copy_workflow(path)
    if not (path / "resources").is_dir():
        shutil.copytree(ROOT / "resources", path / "resources", copy_function=shutil.copy)
    (path / "config.yaml").write_text(CONFIG)
    write_dataset(path / "bids", range(PATIENTS), seed=1)
    write_dataset(path / "elsewhere/bids", range(OTHERS), seed=2, without=WITHOUT_OUTCOME)
    return workspace


@pytest.fixture(scope="module")
def scored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace whose outcome study is complete; to be copied, not changed."""
    workspace = make(tmp_path_factory.mktemp("outcome"))
    done = workspace.jobs("--cores", "1", "outcome", "score")
    assert done["outcome_fit"] == done["outcome_score"] == done["outcome_judge"] == done["outcome_page"] == 1
    assert done["lesions"] == PATIENTS + OTHERS
    return workspace.path


@pytest.fixture
def workspace(scored: Path, tmp_path: Path) -> Workspace:
    shutil.copytree(scored, tmp_path / "w", symlinks=True)
    return Workspace(tmp_path / "w")


def table(path: Path, name: str) -> list[Row]:
    return read_table(path / f"results/outcome/{name}.tsv")


def test_every_patient_is_predicted_once_per_configuration_and_repeat(scored: Path) -> None:
    rows = [row for row in table(scored, "predictions") if row["split"] == "cv"]
    keys = [(row["configuration"], row["repeat"], row["participant_id"]) for row in rows]
    assert len(keys) == len(set(keys))
    names = {f"J0_{one}" for one in ("mask", "clinical", "mask+lesion", "clinical+lesion", "mask+clinical",
                                    "mask+clinical+lesion")}  # fmt: skip
    everybody = {f"sub-{i:02d}" for i in range(PATIENTS)}
    for name in names | {"age+nihss", "log_volume_J0"}:
        for repeat in ("1", "2"):
            assert {who for config, r, who in keys if (config, r) == (name, repeat)} == everybody, name
    assert {row["target"] for row in rows} == {"mrs_discharge<=1"} and {row["y_true"] for row in rows} == {
        "0",
        "1",
    }
    for row in rows:
        # An unpenalised logistic regression that separates the classes is certain; Platt's method never is.
        certain = row["y_score"] in ("0", "1")
        assert 0 <= float(row["y_score"]) <= 1 and not (certain and row["configuration"].startswith("J0_"))
    truth = {
        row["participant_id"]: row["gs_rankin_6isdeath"]
        for row in read_table(scored / "bids/participants.tsv")
    }
    assert all(int(row["y_true"]) == (int(truth[row["participant_id"]]) <= 1) for row in rows)


def test_external_patients_have_their_own_names_and_unknown_outcomes_stay_unknown(scored: Path) -> None:
    rows = [row for row in table(scored, "predictions") if row["split"] != "cv"]
    assert {row["split"] for row in rows} == {"external:centre2"}
    assert {row["configuration"] for row in rows} == {"J0_mask+clinical+lesion", "J0_clinical"}
    for name in ("J0_mask+clinical+lesion", "J0_clinical"):
        mine = {row["participant_id"]: row for row in rows if row["configuration"] == name}
        assert sorted(mine) == [f"sub-{i:02d}" for i in range(OTHERS)]
        assert {who for who, row in mine.items() if not row["y_true"]} == set(WITHOUT_OUTCOME)
        assert all(row["repeat"] == row["fold"] == "" for row in mine.values())
    text = (scored / PREDICTIONS).read_text()
    assert "centre2+" not in text and "nan" not in text.lower()
    assert f"\tn/a\t{mine['sub-03']['y_score']}" in text
    assert table(scored, "scores-left-out") == []
    sets = {(row["configuration"], row["participant_id"]) for row in table(scored, "scores-sets")}
    assert sets == {(row["configuration"], row["participant_id"]) for row in rows}


METRICS = {
    "auc": roc_auc_score,
    "brier": brier_score_loss,
    "accuracy": lambda y, p: accuracy_score(y, np.asarray(p) >= 0.5),
}


def written(value: float) -> Any:
    """Return what a number is in a table, which has six digits."""
    return pytest.approx(value, rel=6e-6, abs=1e-9)


def test_metrics_can_be_recomputed_from_predictions_alone(scored: Path) -> None:
    """With scikit-learn, from the table that anybody can read."""
    groups: dict[tuple[str, ...], list[Row]] = {}
    for row in table(scored, "predictions"):
        if row["y_true"]:
            groups.setdefault((row["target"], row["configuration"], row["split"]), []).append(row)
    rows = [row for row in table(scored, "metrics") if row["metric"] in METRICS]
    assert {(row["target"], row["configuration"], row["split"]) for row in rows} == set(groups)

    def value(metric: str, chosen: list[Row]) -> float:
        y, p = [int(row["y_true"]) for row in chosen], [float(row["y_score"]) for row in chosen]
        return float(METRICS[metric](y, p))

    seen = set()
    for row in rows:
        mine = groups[row["target"], row["configuration"], row["split"]]
        first = [one for one in mine if one["repeat"] in ("", "1")]
        repeats = sorted({one["repeat"] for one in mine})
        if row["estimator"].startswith("pooled"):
            expected = value(row["metric"], first)
        elif row["estimator"] == "fold_mean":
            folds = sorted({one["fold"] for one in first})
            by_fold = [value(row["metric"], [one for one in first if one["fold"] == fold]) for fold in folds]
            assert len(folds) == 3
            expected = float(np.mean(by_fold))
            assert float(row["fold_sd"]) == written(np.std(by_fold, ddof=1))
        else:
            assert row["estimator"] == "repeats" and repeats == ["1", "2"]
            expected = float(
                np.mean([value(row["metric"], [o for o in mine if o["repeat"] == r]) for r in repeats])
            )
        assert float(row["estimate"]) == written(expected), row
        assert int(row["n"]) == len(first) and int(row["n_positive"]) == sum(
            o["y_true"] == "1" for o in first
        )
        seen.add((row["metric"], row["estimator"]))
    assert {(metric, how) for metric in METRICS for how in ("pooled", "fold_mean", "repeats")} <= seen
    by_fold_rows = [row for row in table(scored, "metrics-by-fold") if row["metric"] in METRICS]
    assert by_fold_rows
    for row in by_fold_rows:
        mine = groups[row["target"], row["configuration"], row["split"]]
        chosen = [one for one in mine if (one["repeat"], one["fold"]) == (row["repeat"], row["fold"])]
        assert float(row["estimate"]) == written(value(row["metric"], chosen))
        assert int(row["n"]) == len(chosen)


def test_what_was_planted_is_found(scored: Path) -> None:
    value = {
        (row["configuration"], row["estimator"]): row["estimate"]
        for row in table(scored, "metrics")
        if row["metric"] == "auc" and row["split"] == "cv"
    }
    assert float(value["J0_mask+clinical+lesion", "pooled"]) > 0.8


def test_the_page_says_what_it_is_for_and_where_the_data_are_from(scored: Path) -> None:
    page = (scored / "results/report/outcome.html").read_text()
    assert "Research use only" in page and "discharge mRS in place of mRS at 3 months" in page
    assert "J0_mask+clinical+lesion" in page
    assert str(scored) not in page and "http://" not in page.replace("http://www.w3.org", "")
    cards = sorted((scored / "results/outcome/models").glob("*/card.json"))
    assert [path.parent.name for path in cards] == ["J0_clinical", "J0_mask-clinical-lesion"]
    for path in cards:
        card = json.loads(path.read_text())
        assert card["use"].startswith("Research use only") and card["n"] == PATIENTS
        assert card["n_positive"] + card["n_negative"] == PATIENTS and card["lesion_criteria"] == ["given"]
        assert "sub-" not in path.read_text() and str(scored) not in path.read_text()


def test_no_fit_saw_whom_it_predicts(scored: Path) -> None:
    rows = table(scored, "leakage")
    assert rows and {row["n_overlap"] for row in rows} == {"0"}
    assert {row["configuration"] for row in rows} == {
        row["configuration"] for row in table(scored, "predictions") if row["split"] == "cv"
    }


def test_a_second_run_does_nothing(scored: Path) -> None:
    assert not Workspace(scored).jobs("--dry-run", "--cores", "1", "outcome", "score")


def test_an_external_patient_who_joins_is_scored_and_nothing_is_fitted(workspace: Workspace) -> None:
    before = (workspace.path / PREDICTIONS).read_text().splitlines()
    write_dataset(workspace.path / "elsewhere/bids", range(OTHERS + 1), seed=2, without=WITHOUT_OUTCOME)
    planned = workspace.jobs("--dry-run", "--cores", "1", "outcome", "score")
    assert planned["outcome_fit"] == 0 and planned["lesions"] == 1
    done = workspace.jobs("--cores", "1", "outcome", "score")
    assert done["outcome_fit"] == 0 and done["outcome_score"] == done["outcome_judge"] == 1
    after = (workspace.path / PREDICTIONS).read_text().splitlines()
    assert set(before) < set(after) and len(after) == len(before) + 2


def test_who_has_the_image_of_one_visit_alone_is_embedded(workspace: Workspace) -> None:
    workspace.edit("config.yaml", "visits: [J0]", "visits: [J0, J1]")
    vectors = "results/work/chunk-centre2-000/vectors.safetensors"
    (workspace.path / vectors).unlink()
    workspace.snakemake("--cores", "1", "--", vectors)
    found = load((workspace.path / vectors).read_bytes())
    assert found and all(name.endswith("/J0") for name in found)


def test_a_limit_of_a_warning_and_another_bootstrap_refit_nothing(workspace: Workspace) -> None:
    workspace.edit("config.yaml", "    repeats: 2\n", "    repeats: 2\n    flags: {fold_sd: 0.5}\n")
    workspace.edit("config.yaml", "bootstrap: 20", "bootstrap: 21")
    planned = workspace.jobs("--dry-run", "--cores", "1", "outcome", "score")
    assert planned["outcome_fit"] == planned["embed"] == 0 and planned["outcome_judge"] == 1


def test_weights_that_are_there_outlive_a_fetch_that_fails(workspace: Workspace) -> None:
    weights = workspace.path / "weights.safetensors"
    weights.write_bytes(b"a user's own")
    card = {"repository": "another/repository", "filename": "x.pth", "revision": "a" * 40}
    weights.with_name(f"{weights.name}.json").write_text(json.dumps(card))
    given = "    repeats: 2\n    encoder: {weights: weights.safetensors}\n"
    workspace.edit("config.yaml", "    repeats: 2\n", given)
    workspace.snakemake("--cores", "1", "fetch_weights")
    assert weights.read_bytes() == b"a user's own"
    record = json.loads((workspace.path / "results/work/fetch_weights.json").read_text())
    assert [fault["code"] for fault in record["faults"]] == ["E200"]


def test_a_fresh_run_gives_the_same_predictions(scored: Path, tmp_path: Path) -> None:
    again = make(tmp_path / "again")
    again.snakemake("--cores", "1", "--quiet", "--", "outcome")
    for name in ("predictions", "metrics", "comparisons", "leakage"):
        first, second = (
            hashlib.sha256((path / f"results/outcome/{name}.tsv").read_bytes()).hexdigest()
            for path in (scored, again.path)
        )
        assert first == second, name


def test_a_model_that_was_tampered_with_is_refused_in_one_sentence(workspace: Workspace) -> None:
    path = workspace.path / "results/outcome/models/J0_clinical/model.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"\x01")
    (workspace.path / "results/outcome/scores.tsv").unlink()
    workspace.snakemake("--cores", "1", "score", ok=False)
    log = (workspace.path / "results/logs/outcome_score.log").read_text()
    [sentence] = [line for line in log.splitlines() if "ConfigError: " in line]
    assert "J0_clinical/model.safetensors" in sentence and sentence.endswith("freeze the model again.")
    assert not (workspace.path / "results/outcome/scores.tsv").exists()
