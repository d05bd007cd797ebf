from __future__ import annotations

from pathlib import Path

import pytest

from reperfuse.core.files import write_json
from reperfuse.core.tables import write_table
from reperfuse.reporting.results import COLUMNS, main

LOADS = ("participant_id", "visit", "atlas", "label", "name", "side", "volume_ml", "percent_of_region")


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """Results of three patients with a given mask each."""
    root = tmp_path / "trial"
    rows = [
        {
            "participant_id": f"sub-{i}",
            "criterion": "given",
            "volume_ml": float(i),
            "n_components": 1,
            "side": "left",
        }
        for i in range(1, 4)
    ]
    write_table(root / "lesions.tsv", rows, COLUMNS)
    loads = [
        {
            "participant_id": f"sub-{i}",
            "visit": "J0",
            "atlas": "a",
            "label": label,
            "name": name,
            "volume_ml": ml,
        }
        for i in range(1, 4)
        for label, name, ml in ((1, "front", 0.1 * i), (2, "back", 0.5))
    ]
    write_table(root / "loads.tsv", loads, LOADS)
    write_table(root / "cohort/quality.tsv", [], ("participant_id", "session_id", "adc_unit"))
    write_json(root / "work/summary.json", {"flow": [{"label": "found", "n": 3}]})
    return root


def test_a_small_cohort_is_listed_beside_what_is_known(results: Path, tmp_path: Path) -> None:
    known = [
        {
            "participant_id": "sub-2",
            "criterion": "given",
            "quantity": "volume_ml",
            "value": 2.1,
            "source": "x",
        }
    ]
    write_table(tmp_path / "known.tsv", known, ("participant_id", "criterion", "quantity", "value", "source"))
    main(str(results), str(tmp_path / "page.md"), "make trial", str(tmp_path / "known.tsv"))
    page = (tmp_path / "page.md").read_text()
    assert "| sub-2 | given | volume_ml | 2 | 2.1 | x |" in page
    assert "| sub-3 | n/a | given | 3 | 1 | left | n/a |" in page
    assert "| a | 2 | back | n/a | 3 |" in page, "the heaviest region of each lesion is counted"
    assert "not a medical device" in page and "`make trial`" in page


def test_a_large_cohort_is_summed_up(results: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("reperfuse.reporting.results.MOST_LISTED", 2)
    main(str(results), str(tmp_path / "page.md"), "make trial")
    assert "| given | 3 | 1 | 2 | 3 | 3 | left 3 |" in (tmp_path / "page.md").read_text()
