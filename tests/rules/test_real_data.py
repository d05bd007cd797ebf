"""The whole workflow on three real scans from three sources; skipped where these are absent."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from reperfuse.core.tables import Row, read_table
from tests.workspace import Workspace, copy_workflow


@pytest.fixture(scope="module")
def results(real_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Results of ``preprocess`` on the real scans, with the template at 4 mm to be quick."""
    workspace = Workspace(tmp_path_factory.mktemp("acute"))
    copy_workflow(workspace.path)
    config = (workspace.path / "config/acute-dwi.yaml").read_text()
    config = re.sub(r"bids_dir: .*", f"bids_dir: {real_data / 'acute-dwi'}", config)
    (workspace.path / "config.yaml").write_text(
        config + "normalise: {resolution_mm: 4, affine_iterations: [50, 20], syn_iterations: [10, 0]}\n"
    )
    workspace.snakemake("--cores", "2", "preprocess")
    return workspace.path / "results/acute-dwi"


@pytest.fixture(scope="module")
def lesions(results: Path) -> dict[tuple[str, str], Row]:
    return {(row["participant_id"], row["criterion"]): row for row in read_table(results / "lesions.tsv")}


@pytest.mark.parametrize(
    ("participant_id", "criterion", "volume_ml"),
    [
        ("sub-isles0009", "adc480_raw", 30.4),
        ("sub-isles0009", "adc620_raw", 106.3),
        ("sub-isles0009", "given", 4.18),
        ("sub-isles0001", "adc480_raw", 18.4),
        ("sub-isles0001", "adc620_raw", 57.1),
    ],
)
def test_volumes_are_those_known(
    lesions: dict, participant_id: str, criterion: str, volume_ml: float
) -> None:
    assert float(lesions[participant_id, criterion]["volume_ml"]) == pytest.approx(volume_ml, rel=0.02)


def test_the_cleaned_mask_stands_beside_the_manual_one_with_dice(lesions: dict) -> None:
    """An anchor of the recipe's code, not a measure of its accuracy."""
    row = lesions["sub-isles0009", "adc620"]
    assert float(row["dice_given"]) == pytest.approx(0.43, abs=0.01)
    assert float(row["volume_ml"]) == pytest.approx(2.97, abs=0.05)


def test_the_unit_of_every_source_is_found(results: Path) -> None:
    units = {row["participant_id"]: row["adc_unit"] for row in read_table(results / "cohort/quality.tsv")}
    assert units == {"sub-ads02": "mm2/s", "sub-isles0001": "1e-3 mm2/s", "sub-isles0009": "1e-3 mm2/s"}


def test_every_brain_reaches_the_template(results: Path) -> None:
    states = {
        (row["participant_id"], row["step"]): row["state"]
        for row in read_table(results / "cohort/status.tsv")
    }
    assert {state for (_, step), state in states.items() if step == "normalise"} == {"ok"}
