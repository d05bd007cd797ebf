"""From scans to the pages of the studies that look at images of the brain."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from reperfuse.core.tables import Row, read_table
from tests.workspace import CONFIG, FUSION, MEASURES, SEVERITY, Workspace, copy_workflow, write_patients

pytestmark = pytest.mark.slow

TARGETS = ("severity", "fusion")


@pytest.fixture(scope="module")
def imaged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight patients from their scans to the pages."""
    workspace = Workspace(tmp_path_factory.mktemp("imaged"))
    copy_workflow(workspace.path)
    (workspace.path / "config.yaml").write_text(
        CONFIG + MEASURES + "execution: {chunks: 1, device: cpu}\nstudies:\n" + SEVERITY + FUSION
    )
    write_patients(workspace.path / "bids", 8, seed=20)  # four of either class, nobody related
    done = workspace.jobs("--cores", "2", *TARGETS)
    assert done["severity_saliency"] == done["severity_page"] == 1 and done["severity_fold"] == 2
    assert done["fusion_page"] == done["fusion_inputs"] == 1
    assert done["fusion_fold"] == 5, "two folds without and with skips, and everybody"
    return workspace.path


def table(path: Path, study: str, name: str) -> list[Row]:
    return read_table(path / f"results/{study}/{name}.tsv")


def test_nothing_is_left_to_do(imaged: Path) -> None:
    assert not set(Workspace(imaged).jobs("--dry-run", "--cores", "1", *TARGETS)) - set(TARGETS)


def test_severity_maps_where_the_network_looked(imaged: Path) -> None:
    rows = table(imaged, "severity", "saliency")
    assert len(rows) == 2 and any(row["shown"] == "1" for row in rows)
    assert all((imaged / "results/severity/saliency" / row["file"]).stat().st_size > 0 for row in rows)
    assert {row["participant_id"] for row in table(imaged, "severity", "randomised")} <= {
        row["participant_id"] for row in rows
    }
    assert "NaN" not in (imaged / "results/severity/summary.json").read_text()


def test_fusion_shows_what_its_code_holds_of_each_contrast(imaged: Path) -> None:
    rows = table(imaged, "fusion", "metrics-by-subject")
    assert {row["target"] for row in rows} == {"adc", "jac", "all"}
    assert {row["configuration"] for row in rows} == {"adc+jac", "adc+jac[unet]"}
    left_out = {row["participant_id"] for row in table(imaged, "fusion", "left-out")}
    assert len({row["participant_id"] for row in rows} | left_out) == 8 and len(left_out) < 3
    assert any(row["cnr_original"] for row in rows), "the template's tissues are known"
    assert all(float(row["mse"]) >= 0 for row in rows)
    assert list((imaged / "results/fusion/reconstructions").iterdir())


def test_fusion_looks_for_factors_of_the_tables(imaged: Path) -> None:
    """Of six measures in eight patients hardly any component is beyond chance, and that is said."""
    assert len(table(imaged, "fusion", "parallel")) == 6 and not table(
        imaged, "fusion", "phenotypes-left-out"
    )
    summary = json.loads((imaged / "results/fusion/summary.json").read_text())
    assert summary["n"] >= 6 and "NaN" not in json.dumps(summary)
