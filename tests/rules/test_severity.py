"""The severity study from lesion masks alone, with an external cohort."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from reperfuse.core.tables import Row, read_table
from tests.rules.test_outcome import write_dataset
from tests.workspace import Workspace, copy_workflow

pytestmark = pytest.mark.slow

CONFIG = """\
bids_dir: bids
output_dir: results
external_cohorts: {centre2: {bids_dir: elsewhere/bids}}
execution: {chunks: 1, device: cpu}
studies:
  severity:
    channels: [lesion]
    space: template
    grid: {shape: [6, 8, 7], spacing_mm: [28, 28, 28]}
    cell_mm: 24
    n_folds: 2
    repeats: 1
    inner_folds: 2
    network: {widths: [4, 4, 4, 8], heads: [1, 1, 1, 1], stem_kernel: [3, 3, 3], blocks: 1}
    training: {epochs: 1}
    networks: [tractnet]
    variants: {plain: {network: {coordinate: false, attention: false, bottleneck: none}}}
    primary: ensemble
    saliency: {patients: 0}
    statistics: {bootstrap: 20, swaps: 20}
"""
PATIENTS, OTHERS = 20, 6
WITHOUT_GRADE = ("sub-04", "sub-09")
TARGETS = ("severity", "score")
STUDY = {"severity_score": 1, "severity_judge": 1, "severity_page": 1}
RECORD = "results/work/severity/{}/severity_fold.json"
CONFIGURATIONS = {
    "tractnet", "tractnet[plain]", "log_volume", "log_volume+age", "maps", "ensemble", "hybrid",
}  # fmt: skip


def write_masks(bids: Path, n: int, *, seed: int, without: tuple[str, ...] = ()) -> None:
    """Write masks beside a table; every other patient, with a smaller lesion, is minor; those named have no NIHSS."""
    write_dataset(bids, range(n), seed=seed)
    head, *rows = (line.split("\t") for line in (bids / "participants.tsv").read_text().splitlines())
    place = head.index("nihss")
    for i, row in enumerate(rows):
        grade = i % 5 if i % 2 == 0 else 5 + i % 13
        row[place] = "n/a" if row[0] in without else str(grade)
    (bids / "participants.tsv").write_text("\n".join("\t".join(row) for row in [head, *rows]) + "\n")


def make(path: Path, n: int = PATIENTS) -> Workspace:
    path.mkdir(exist_ok=True)
    copy_workflow(path)
    (path / "config.yaml").write_text(CONFIG)
    write_masks(path / "bids", n, seed=1, without=WITHOUT_GRADE)
    write_masks(path / "elsewhere/bids", OTHERS, seed=2, without=("sub-01",))
    return Workspace(path)


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace whose study is complete; to be copied, not changed."""
    workspace = make(tmp_path_factory.mktemp("severity"))
    done = workspace.jobs("--cores", "2", *TARGETS)
    assert done["severity_inputs"] == 3, "those who are fitted on, the others, the external ones"
    assert done["severity_fold"] == 2 and STUDY.items() <= done.items() and "severity_saliency" not in done
    return workspace.path


@pytest.fixture
def workspace(judged: Path, tmp_path: Path) -> Workspace:
    shutil.copytree(judged, tmp_path / "w", symlinks=True)
    return Workspace(tmp_path / "w")


def plan(workspace: Workspace, *targets: str) -> Counter[str]:
    """Return which rules a run would start, the targets' own left out."""
    found = workspace.jobs("--dry-run", "--cores", "1", *(targets or TARGETS))
    return Counter({name: n for name, n in found.items() if name not in TARGETS})


def table(path: Path, name: str) -> list[Row]:
    return read_table(path / f"results/severity/{name}.tsv")


def test_each_patient_is_predicted_by_the_models_of_the_other_fold(judged: Path) -> None:
    folds = {
        row["participant_id"]: row["fold"] for row in read_table(judged / "results/cohort/folds-severity.tsv")
    }
    rows = [row for row in table(judged, "predictions") if row["split"] == "cv"]
    assert {row["configuration"] for row in rows} == CONFIGURATIONS
    keys = [(row["configuration"], row["participant_id"], row["fold"]) for row in rows]
    assert len(keys) == len(set(keys)) == len(CONFIGURATIONS) * (PATIENTS - len(WITHOUT_GRADE))
    assert all(folds[who] == fold for _, who, fold in keys)
    grades = {row["participant_id"]: row["nihss"] for row in read_table(judged / "bids/participants.tsv")}
    assert {row["target"] for row in rows} == {"nihss>4"}
    assert all(int(row["y_true"]) == (int(grades[row["participant_id"]]) > 4) for row in rows)
    assert all(0 < float(row["y_score"]) < 1 for row in rows)


def test_no_fit_saw_whom_it_predicts(judged: Path) -> None:
    rows = table(judged, "leakage")
    assert rows and {row["n_overlap"] for row in rows} == {"0"}
    for trial in ("2-1-1", "2-1-2"):
        facts = json.loads((judged / RECORD.format(trial)).read_text())["facts"]
        assert facts["trial"] == trial and facts["split"] == "cv" and not facts["left_out"]
        assert "not_fitted" in facts["configurations"]["territories"], "there is no atlas"
        assert len(facts["configurations"]["tractnet"]["loss"]) == 2, "one for each inner fold"
        assert not any(one.is_dir() for one in (judged / f"results/work/severity/{trial}").iterdir())


def test_metrics_can_be_recomputed_from_predictions_alone(judged: Path) -> None:
    rows = [
        row for row in table(judged, "metrics") if (row["metric"], row["estimator"]) == ("auc", "fold_mean")
    ]
    assert {row["configuration"] for row in rows} >= CONFIGURATIONS
    for row in rows:
        mine = [one for one in table(judged, "predictions")
                if (one["configuration"], one["split"]) == (row["configuration"], row["split"])]  # fmt: skip
        by_fold = []
        for fold in sorted({one["fold"] for one in mine}):
            chosen = [one for one in mine if one["fold"] == fold]
            truth, scores = ([float(one[key]) for one in chosen] for key in ("y_true", "y_score"))
            by_fold.append(roc_auc_score(truth, scores))
        assert float(row["estimate"]) == pytest.approx(np.mean(by_fold), rel=6e-6)


def test_external_patients_are_scored_by_the_frozen_models_under_their_own_names(judged: Path) -> None:
    rows = [row for row in table(judged, "predictions") if row["split"] == "external:centre2"]
    assert {row["configuration"] for row in rows} == CONFIGURATIONS
    for name in CONFIGURATIONS:
        mine = {row["participant_id"]: row["y_true"] for row in rows if row["configuration"] == name}
        assert sorted(mine) == [f"sub-{i:02d}" for i in range(OTHERS)]
        assert [who for who, label in mine.items() if not label] == ["sub-01"]
    new = {row["participant_id"] for row in table(judged, "scores") if row["split"] == "new"}
    assert new == set(WITHOUT_GRADE)
    assert table(judged, "scores-left-out") == []


def test_the_page_and_the_models_name_no_patient_and_no_place(judged: Path) -> None:
    page = (judged / "results/report/severity.html").read_text()
    assert "Research use only" in page and str(judged) not in page
    cards = sorted((judged / "results/severity/models").rglob("*.json"))
    assert cards and not any("sub-" in path.read_text() or str(judged) in path.read_text() for path in cards)


def test_a_second_run_does_nothing_nor_does_one_without_memory(judged: Path, workspace: Workspace) -> None:
    assert not plan(Workspace(judged))
    shutil.rmtree(workspace.path / ".snakemake")
    assert not plan(workspace)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("bootstrap: 20", "bootstrap: 21"),
        ("    primary: ensemble\n", "    primary: maps\n"),
        ("    primary: ensemble\n", "    primary: ensemble\n    comparator: tractnet\n    other_cuts: [6]\n"),
    ],
    ids=["bootstrap", "primary", "comparator and cuts"],
)
def test_how_results_are_judged_refits_nothing(workspace: Workspace, old: str, new: str) -> None:
    workspace.edit("config.yaml", old, new)
    assert plan(workspace) == {"severity_judge": 1, "severity_page": 1}


def test_a_repeat_or_another_cross_validation_runs_its_own_trials_alone(workspace: Workspace) -> None:
    workspace.edit("config.yaml", "    repeats: 1\n", "    repeats: 2\n")
    assert plan(workspace) == {"severity_fold": 2, "severity_judge": 1, "severity_page": 1}
    workspace.edit("config.yaml", "    repeats: 2\n", "    repeats: 1\n    other_n_folds: [3]\n")
    assert plan(workspace) == {"severity_fold": 3, "severity_judge": 1, "severity_page": 1}
    workspace.snakemake("--cores", "2", *TARGETS)
    splits = Counter(
        row["split"] for row in table(workspace.path, "predictions") if row["configuration"] == "maps"
    )
    assert splits["cv:3"] == splits["cv"] == PATIENTS - len(WITHOUT_GRADE)
    assert not (workspace.path / "results/severity/models/3-1-1/index.json").read_text().strip("{}\n ")


def test_how_long_networks_are_trained_refits_every_trial(workspace: Workspace) -> None:
    workspace.edit("config.yaml", "training: {epochs: 1}", "training: {epochs: 2}")
    assert plan(workspace) == {"severity_fold": 2, **STUDY}


def test_who_has_no_grade_and_joins_is_scored_and_nothing_is_fitted(workspace: Workspace) -> None:
    write_masks(workspace.path / "bids", PATIENTS + 1, seed=1, without=(*WITHOUT_GRADE, f"sub-{PATIENTS}"))
    assert plan(workspace) == {"lesions": 1, "severity_inputs": 1, **STUDY}
    assert plan(workspace, "score") == {"lesions": 1, "severity_inputs": 1, "severity_score": 1}


def test_an_external_cohort_that_joins_refits_nothing(workspace: Workspace) -> None:
    write_masks(workspace.path / "third/bids", 2, seed=3)
    workspace.edit("config.yaml", "elsewhere/bids}}", "elsewhere/bids}, centre3: {bids_dir: third/bids}}")
    assert plan(workspace) == {"lesions": 2, "severity_inputs": 1, **STUDY}


def test_wrong_weights_are_refused_in_one_sentence(workspace: Workspace) -> None:
    path = next((workspace.path / "results/severity/models/2-1-1").rglob("*.safetensors"))
    path.write_bytes(path.read_bytes()[:-1] + b"\x01")
    (workspace.path / "results/severity/scores.tsv").unlink()
    workspace.snakemake("--cores", "1", "score", ok=False)
    log = (workspace.path / "results/logs/severity_score.log").read_text()
    [sentence] = [line for line in log.splitlines() if "ConfigError: " in line]
    assert path.name in sentence
    assert not (workspace.path / "results/severity/scores.tsv").exists()


def test_a_cohort_that_cannot_be_cross_validated_is_told_why(tmp_path: Path) -> None:
    workspace = make(tmp_path, 2)
    said = workspace.snakemake("--dry-run", "--cores", "1", "severity", ok=False)
    assert "The study `severity` cannot be made: " in said
    assert "severity_fold" not in workspace.jobs("--dry-run", "--cores", "1")


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("primary: ensemble", "primary: ensembel", "did you mean ensemble?"),
        ("primary: ensemble", "hybrid: [tractnet, nihss_24h]", "no model may see it"),
        ("{coordinate: false,", "{co_ordinate: false,", "did you mean `coordinate`?"),
    ],
)
def test_a_name_that_is_none_ends_before_any_job(tmp_path: Path, old: str, new: str, said: str) -> None:
    workspace = make(tmp_path)
    workspace.edit("config.yaml", old, new)
    assert said in workspace.snakemake("--dry-run", "--cores", "1", ok=False)
