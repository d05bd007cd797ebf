"""The fusion study from lesion masks alone, with an external cohort: what is made, and what makes it again."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from pathlib import Path

import pytest

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
  fusion:
    fewest: 4
    contrasts: [lesion, lesion_distance]
    minimum: 1
    sizes: []
    skips: [none]
    baselines: [voxel_pca]
    n_folds: 2
    grid: {shape: [64, 64, 64], spacing_mm: [4, 4, 4]}
    network: {widths: [2, 2, 4], code: 4, groups: 2}
    training: {epochs: 1, batch: 8}
    strata: {damping: [0.5], preference: [-1, 0.5], resamples: 5, draws: 20}
    phenotypes: {single: [age, sex, nihss], adjust: [age, lesion_ml], within: none, draws: 20}
    statistics: {bootstrap: 20, permutations: 20}
"""
PATIENTS, OTHERS = 12, 3
TARGETS = ("fusion", "score")
PRIMARY = "lesion+lesion_distance"
MODELS = [f"{PRIMARY}-{kind}-{fold}" for kind in ("none", "voxel_pca") for fold in (1, 2)] + [
    f"{PRIMARY}-none-0"
]
AFTER = {"fusion_strata": 1, "fusion_score": 1, "fusion_judge": 1, "fusion_page": 1}
RECORD = "results/work/fusion/{}/fusion_fold.json"


def make(path: Path, n: int = PATIENTS) -> Workspace:
    path.mkdir(exist_ok=True)
    copy_workflow(path)
    (path / "config.yaml").write_text(CONFIG)
    write_dataset(path / "bids", range(n), seed=1)
    write_dataset(path / "elsewhere/bids", range(OTHERS), seed=2)
    return Workspace(path)


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace whose study is complete; to be copied, not changed."""
    workspace = make(tmp_path_factory.mktemp("fusion"))
    done = workspace.jobs("--cores", "2", *TARGETS)
    assert done["fusion_inputs"] == 2, "those who are fitted on, the external ones"
    assert done["fusion_fold"] == len(MODELS) and AFTER.items() <= done.items()
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
    return read_table(path / f"results/fusion/{name}.tsv")


def facts(path: Path, model: str) -> dict[str, object]:
    found: dict[str, object] = json.loads((path / RECORD.format(model)).read_text())["facts"]
    return found


def test_each_patient_is_reconstructed_by_the_model_that_has_not_seen_the_fold(judged: Path) -> None:
    folds = {
        row["participant_id"]: row["fold"] for row in read_table(judged / "results/cohort/folds-fusion.tsv")
    }
    rows = [row for row in table(judged, "metrics-by-subject") if row["target"] == "lesion"]
    assert {row["configuration"] for row in rows} == {PRIMARY, f"{PRIMARY}[voxel_pca]"}
    mine = {row["participant_id"]: row["fold"] for row in rows if row["configuration"] == PRIMARY}
    assert mine == folds and len(folds) == PATIENTS
    for model in MODELS:
        place = model.rpartition("-")[2]
        assert facts(judged, model)["held_out"] == sorted(who for who, fold in folds.items() if fold == place)
    leaks = table(judged, "leakage")
    assert leaks and {row["n_overlap"] for row in leaks} == {"0"}


def test_everybody_has_a_stratum_and_others_the_nearest(judged: Path) -> None:
    rows = table(judged, "strata")
    assert len(rows) == PATIENTS and all(int(row["stratum"]) >= 1 for row in rows)
    summary = json.loads((judged / "results/fusion/strata-summary.json").read_text())
    assert summary["n"] == PATIENTS and summary["n_strata"] == len({row["stratum"] for row in rows})
    others = table(judged, "strata-others")
    assert [row["participant_id"] for row in others] == [f"sub-{i:02d}" for i in range(OTHERS)]
    assert {row["split"] for row in others} == {"external:centre2"}
    assert {row["stratum"] for row in others} <= {row["stratum"] for row in rows}


def test_only_the_model_of_everybody_stays_and_names_nobody(judged: Path) -> None:
    kept = {path.parent.name for path in (judged / "results/fusion/models").glob("*/index.json")
            if path.read_text().strip("{}\n ")}  # fmt: skip
    assert kept == {MODELS[-1]}
    cards = sorted((judged / "results/fusion/models").rglob("*.json"))
    assert not any("sub-" in path.read_text() or str(judged) in path.read_text() for path in cards)
    page = (judged / "results/report/fusion.html").read_text()
    assert "Research use only" in page and str(judged) not in page


def test_a_second_run_does_nothing_nor_does_one_without_memory(judged: Path, workspace: Workspace) -> None:
    assert not plan(Workspace(judged))
    shutil.rmtree(workspace.path / ".snakemake")
    assert not plan(workspace)


def test_how_strata_and_results_are_judged_trains_nothing(workspace: Workspace) -> None:
    for old, new in (
        ("permutations: 20", "permutations: 30"),
        ("single: [age, sex", "single: [sex"),
        ("preference: [-1, 0.5]", "preference: [-1, 0.25]"),
    ):
        workspace.edit("config.yaml", old, new)
        assert plan(workspace) == AFTER
    workspace.edit("config.yaml", "    n_folds: 2\n", "    n_folds: 2\n    title_note: few patients\n")
    assert plan(workspace) == AFTER


def test_when_a_reconstruction_is_flagged_makes_no_strata_again(workspace: Workspace) -> None:
    workspace.edit("config.yaml", "bootstrap: 20,", "bootstrap: 20, mse_flags: [0.05, 0.2],")
    assert plan(workspace) == {"fusion_judge": 1, "fusion_page": 1}


def test_another_set_or_variant_fits_its_own_models_alone(workspace: Workspace) -> None:
    workspace.edit("config.yaml", "    sizes: []\n", "    sizes: []\n    sets: [[lesion]]\n")
    assert plan(workspace) == {"fusion_fold": 2, **AFTER}
    workspace.edit(
        "config.yaml", "    n_folds: 2\n", "    n_folds: 2\n    variants: {wide: {network: {code: 8}}}\n"
    )
    assert plan(workspace) == {"fusion_fold": 4, **AFTER}


def test_how_networks_are_trained_fits_every_model(workspace: Workspace) -> None:
    workspace.edit("config.yaml", "epochs: 1", "epochs: 2")
    assert plan(workspace) == {"fusion_fold": len(MODELS), **AFTER}


def test_a_value_that_becomes_known_trains_nothing(workspace: Workspace) -> None:
    path = workspace.path / "bids/participants.tsv"
    lines = path.read_text().splitlines()
    head, row = lines[0].split("\t"), lines[1].split("\t")
    row[head.index("age")] = "33"
    path.write_text("\n".join([lines[0], "\t".join(row), *lines[2:]]) + "\n")
    assert plan(workspace) == AFTER


def test_an_external_cohort_that_joins_trains_nothing(workspace: Workspace) -> None:
    write_dataset(workspace.path / "third/bids", range(2), seed=3)
    workspace.edit("config.yaml", "elsewhere/bids}}", "elsewhere/bids}, centre3: {bids_dir: third/bids}}")
    again = {name: n for name, n in AFTER.items() if name != "fusion_strata"}
    assert plan(workspace) == {"lesions": 2, "fusion_inputs": 1, **again}


def test_too_few_patients_are_told_so_and_train_nothing(workspace: Workspace) -> None:
    workspace.edit("config.yaml", "fewest: 4", "fewest: 20")
    said = workspace.snakemake("--dry-run", "--cores", "1", "fusion", ok=False)
    assert f"{PATIENTS} patients can take part, and `studies.fusion.fewest` asks for 20." in said
    assert "fusion_fold" not in workspace.jobs("--dry-run", "--cores", "1")


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("[lesion, lesion_distance]", "[lesion, lesion_distanse]", "did you mean lesion_distance?"),
        ("fewest: 4", "fewest: 4\n    primary: lesion+adc", "names adc"),
        ("single: [age", "single: [aged", "did you mean age?"),
    ],
)
def test_a_name_that_is_none_ends_before_any_job(workspace: Workspace, old: str, new: str, said: str) -> None:
    workspace.edit("config.yaml", old, new)
    assert said in workspace.snakemake("--dry-run", "--cores", "1", ok=False)
