from __future__ import annotations

from pathlib import Path

import pytest

from reperfuse.core.errors import ConfigError
from reperfuse.evaluation.reported import COLUMNS, EVERYONE, read_paper

TABLE = Path(__file__).resolve().parents[2] / "resources/papers/outcome.tsv"
GOOD = ["J1_mri", "auc", "fold_mean", "value", "0.714", "0.105", "somewhere", "1"]


def write(path: Path, *rows: list[str]) -> Path:
    path.write_text("".join("\t".join(row) + "\n" for row in (list(COLUMNS), *rows)), encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("configuration", "text"),
    [
        ("J1_mri+clinical+lesion", "0.923 ± 0.085"),
        ("J1_mri", "0.714 ± 0.105"),
        ("J0_mri", "0.540 ± 0.263"),
        ("J1_mri+clinical", "0.901 ± 0.085 (row uncertain)"),
        ("J0_mri+clinical+lesion", "≤ 0.86"),
        ("J0_clinical", ""),
        ("J1_mri[pca=4]", ""),
    ],
)
def test_the_shipped_table_prints_what_the_paper_reports(configuration: str, text: str) -> None:
    assert read_paper(TABLE).of(configuration, "auc") == text


def test_the_shipped_table_holds_no_other_number() -> None:
    paper = read_paper(TABLE)
    assert paper.n == 74
    assert len(paper.entries) == 6
    assert {entry.metric for entry in paper.entries if entry.configuration != EVERYONE} == {"auc"}
    assert paper.of("J1_mri", "brier") == ""


def test_an_estimator_can_be_asked_for() -> None:
    paper = read_paper(TABLE)
    assert paper.of("J1_mri", "auc", "fold_mean") == "0.714 ± 0.105"
    assert paper.of("J1_mri", "auc", "pooled") == ""


def test_a_table_without_number_of_patients_has_none(tmp_path: Path) -> None:
    assert read_paper(write(tmp_path / "t.tsv", GOOD)).n is None


@pytest.mark.parametrize(
    ("column", "text", "words"),
    [
        ("kind", "about", "expected kind"),
        ("certain", "perhaps", "certain"),
        ("value", "0.7?", "no number"),
        ("value", "n/a", "empty"),
        ("source", "n/a", "empty"),
    ],
)
def test_a_row_that_cannot_be_read_is_refused(tmp_path: Path, column: str, text: str, words: str) -> None:
    bad = list(GOOD)
    bad[COLUMNS.index(column)] = text
    with pytest.raises(ConfigError, match=words):
        read_paper(write(tmp_path / "t.tsv", bad))


def test_a_row_that_is_there_twice_or_a_missing_column_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="twice"):
        read_paper(write(tmp_path / "t.tsv", GOOD, GOOD))
    (tmp_path / "u.tsv").write_text("configuration\tmetric\nJ1_mri\tauc\n", encoding="utf-8")
    with pytest.raises(ConfigError, match="expected configuration, metric"):
        read_paper(tmp_path / "u.tsv")


def test_a_number_of_another_cohort_is_not_that_of_the_cross_validation(tmp_path: Path) -> None:
    rows = [[*GOOD, "cv"], [*GOOD, "external:other"]]
    rows[1][COLUMNS.index("value")] = "0.5"
    path = tmp_path / "t.tsv"
    lines = [[*COLUMNS, "split"], *rows]
    path.write_text("".join("\t".join(line) + "\n" for line in lines), encoding="utf-8")
    paper = read_paper(path)
    name, metric = GOOD[COLUMNS.index("configuration")], GOOD[COLUMNS.index("metric")]
    assert paper.of(name, metric, split="external:other").startswith("0.5")
    assert paper.of(name, metric) != paper.of(name, metric, split="external:other")
    assert paper.of(name, metric, split="external:none") == ""
    path.write_text(path.read_text(encoding="utf-8") + "\t".join(rows[1]) + "\n", encoding="utf-8")
    with pytest.raises(ConfigError, match="twice"):
        read_paper(path)
