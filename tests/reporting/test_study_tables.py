from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from study_folder import write
from study_samples import FIRST, STAMP, plausible

from reperfuse.reporting.study_results import main
from reperfuse.reporting.study_tables import (
    Cell,
    Table,
    comparisons_table,
    external_tables,
    markdown,
    paper_table,
)
from reperfuse.reporting.study_view import (
    StudyView,
    limits,
    mean_sd,
    paper_value,
    probability,
    read_view,
    readable,
    signed,
    with_limits,
)
from reperfuse.reporting.study_words import primary_sentences


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("trial") / "trial", plausible())


@pytest.mark.parametrize(
    ("text", "mean", "sd", "uncertain", "bound"),
    [
        ("0.923±0.085", 0.923, 0.085, False, False),
        ("0.714 ± 0.105", 0.714, 0.105, False, False),
        ("0.901 (row uncertain)", 0.901, None, True, False),
        ("at most 0.86", None, None, False, True),
        ("≤ 0.86", None, None, False, True),
        ("0.5", 0.5, None, False, False),
        ("", None, None, False, False),
    ],
)
def test_a_papers_value_is_read(text: str, mean, sd, uncertain: bool, bound: bool) -> None:
    found = paper_value(text)
    assert (found.mean, found.sd, found.uncertain, found.bound) == (mean, sd, uncertain, bound)


@given(st.floats(0, 1), st.floats(0, 1))
def test_p_values_are_shown_in_order_and_nearly_exact(p: float, q: float) -> None:
    shown = [0.0 if probability(x).startswith("<") else float(probability(x)) for x in (p, q)]
    assert (shown[0] - shown[1]) * (p - q) >= 0
    assert abs(shown[0] - p) <= max(0.0502 * p, 0.0001)


def test_numbers_are_shown_as_they_are_meant() -> None:
    row = {"estimate": "0.85449", "ci_low": "0.7", "ci_high": "0.95", "fold_sd": "0.0853"}
    assert with_limits(row) == "0.854 (0.700 to 0.950)"
    assert mean_sd(row) == "0.854 ± 0.085"
    assert (signed("0.05"), signed("-0.05"), signed("0.0001")) == ("+0.050", "−0.050", "0.000")
    assert with_limits({"estimate": ""}) == mean_sd({}) == signed("") == probability("n/a") == "not estimable"
    assert limits({"ci_low": "0.1", "ci_high": ""}) == ""
    assert probability("0.0431") == "0.043"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("J1_mri+clinical+lesion", "J1 MRI + clinical + lesion"),
        ("J1_mri[c=0.01]", "J1 MRI [c = 0.01]"),
        ("J1_mri[target=mrs_3m<=2]", "J1 MRI [target = mrs 3m ≤ 2]"),
        ("log_v620_J0", "log v620 J0"),
    ],
)
def test_names_become_words(name: str, expected: str) -> None:
    assert readable(name) == expected


def test_the_papers_table_leaves_blank_what_the_paper_leaves_out(folder: Path) -> None:
    rows = {row[0].title: row for row in paper_table(read_view(folder)).rows}
    assert rows["A_clinical"][1].text == rows["A_clinical"][4].text == ""
    assert (
        rows["A_mri+clinical+lesion"][1].text == "at most 0.86"
        and rows["A_mri+clinical+lesion"][4].text == ""
    )
    assert rows["B_mri+clinical"][1].kind == "warned"
    ours, papers = float(rows[FIRST][2].sort or "nan"), 0.923
    assert float(rows[FIRST][4].sort or "nan") == pytest.approx(ours - papers)


def test_another_target_never_stands_for_the_studys() -> None:
    row = {"configuration": "x", "split": "cv", "metric": "auc", "estimator": "pooled"}
    rows = [row | {"target": "b", "estimate": "0.9"}, row | {"target": "a", "estimate": "0.6"}]
    assert StudyView({"target": "a"}, metrics=rows).estimate("x", "auc", "pooled")["estimate"] == "0.6"


def test_the_primary_comparison_comes_first(folder: Path) -> None:
    view = read_view(folder)
    mixed = StudyView(view.summary, metrics=view.metrics, comparisons=list(reversed(view.comparisons)))
    roles = [row[1].text for row in comparisons_table(mixed).rows]
    assert roles == ["primary"] * 4 + ["secondary"] * 4


@pytest.mark.parametrize(
    ("low", "p", "said"),
    [
        ("-0.02", "0.2", "do not show that one of the two is better"),
        ("0.01", "0.2", "The tests do not agree"),
        ("0.01", "0.01", "does not include zero"),
    ],
)
def test_the_comparison_is_put_into_words(low: str, p: str, said: str) -> None:
    row = {
        "first": "a",
        "second": "b",
        "role": "primary",
        "difference": "0.1",
        "ci_low": low,
        "ci_high": "0.2",
    }
    rows = [row | {"test": "delong", "p": "0.03"}, row | {"test": "corrected_t", "p": p}]
    assert said in " ".join(primary_sentences(StudyView(comparisons=rows), "AUC"))


def test_the_naive_test_has_no_vote() -> None:
    row = {
        "first": "a",
        "second": "b",
        "role": "primary",
        "difference": "0.1",
        "ci_low": "-0.1",
        "ci_high": "0.2",
    }
    rows = [row | {"test": "delong", "p": "0.3"}, row | {"test": "naive_t", "p": "0.001"}]
    assert "do not agree" not in " ".join(primary_sentences(StudyView(comparisons=rows), "AUC"))


def test_only_the_first_repeat_of_predictions_is_read(tmp_path: Path) -> None:
    rows = [
        {"participant_id": "sub-1", "repeat": repeat, "split": split}
        for repeat, split in ((1, "cv"), (2, "cv"))
    ]
    rows.append({"participant_id": "sub-2", "repeat": None, "split": "external:x"})
    found = read_view(write(tmp_path, {"predictions": rows})).predictions
    assert [(row["participant_id"], row["repeat"]) for row in found] == [("sub-1", "1"), ("sub-2", "")]


def test_an_absent_or_marked_table_has_no_rows(tmp_path: Path) -> None:
    (tmp_path / "roc.tsv").write_text("", encoding="utf-8")
    assert read_view(tmp_path) == StudyView()


def test_other_cohorts_say_how_many_patients_the_model_was_not_made_for() -> None:
    counted = [
        {"split": "external:b", "predictor": "", "n_outside": 9, "n_scored": 40},
        {"split": "external:b", "predictor": "J0 vendor", "n_outside": 8, "n_scored": 40},
        {"split": "new", "predictor": "", "n_outside": 0, "n_scored": 3},
    ]
    view = StudyView(summary={"domain": counted})
    text = "\n".join(line for table in external_tables(view) for line in markdown(table, view))
    for row in (
        "| b | any of them | 9 of 40 |",
        "| b | J0 vendor | 8 of 40 |",
        "| without an outcome | any of them | 0 of 3 |",
    ):
        assert row in text
    assert not any(table.rows for table in external_tables(StudyView()))


def test_markdown_cells_cannot_break_the_table() -> None:
    table = Table("T", ("a", "b"), [[Cell("x|y"), Cell("<b>", under="0 to 1")]])
    assert markdown(table, StudyView())[-2] == "| x\\|y | &lt;b> (0 to 1) |"


def test_the_page_of_a_rerun_holds_what_the_tables_hold(folder: Path, tmp_path: Path) -> None:
    main(str(folder), str(tmp_path / "x.md"), "make trial", "trial")
    text = (tmp_path / "x.md").read_text(encoding="utf-8")
    assert text.startswith("# Favourable outcome at three months (surrogate: mRS at discharge)\n")
    assert "Written by `make trial`" in text and "Not a medical device" in text
    for title in (
        "Cohort",
        "Primary comparison",
        "Configurations",
        "Comparisons",
        "Calibration",
        "External cohorts",
        "Warnings",
        "What was assumed",
    ):
        assert f"## {title}\n" in text
    assert f"**{STAMP}**" in text
    pooled = read_view(folder).estimate(FIRST, "auc", "pooled")
    assert with_limits(pooled) in text
    assert "soop: n = 738, 279 with the outcome" in text
    assert "| features.components | 12 |" in text


def test_the_page_of_an_empty_study_holds_no_number(tmp_path: Path) -> None:
    main(str(write(tmp_path / "none", {})), str(tmp_path / "x.md"), "make none")
    text = (tmp_path / "x.md").read_text(encoding="utf-8")
    assert text.startswith("# none\n")
    assert "External cohorts" not in text
    assert not any(ch.isdigit() for line in text.splitlines()[4:] for ch in line.replace("0 of 0", ""))
