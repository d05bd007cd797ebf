"""The benchmarks' table, and the page and the figure that follow from it."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parent.parent
AGAIN = "run `make bench` (or `python benchmarks/suite.py --pages`, if only the wording has changed)"


@pytest.fixture(scope="module")
def suite() -> ModuleType:
    sys.path.insert(0, str(ROOT / "benchmarks"))
    try:
        import suite
    finally:
        sys.path.pop(0)
    return suite


@pytest.fixture(scope="module")
def page(suite: ModuleType) -> ModuleType:
    sys.path.insert(0, str(ROOT / "benchmarks"))
    try:
        import page
    finally:
        sys.path.pop(0)
    return page


def test_the_page_and_the_figure_follow_from_the_table(
    suite: ModuleType, page: ModuleType, tmp_path: Path
) -> None:
    (tmp_path / "benchmarks").mkdir()
    (tmp_path / "docs").mkdir()
    (tmp_path / "benchmarks/results.tsv").touch()
    drawn, told = tmp_path / "benchmarks/figure.svg", tmp_path / "docs/performance.md"
    page.write_pages(suite.results(), drawn, told)
    assert told.read_bytes() == suite.PAGE.read_bytes(), AGAIN
    assert drawn.read_bytes() == suite.FIGURE.read_bytes(), AGAIN


def test_every_benchmark_has_rows_and_every_row_a_benchmark(suite: ModuleType) -> None:
    assert {row["script"] for row in suite.results()} == set(suite.scripts()), AGAIN


def test_every_benchmark_says_what_it_claims_and_aims_at_something(suite: ModuleType) -> None:
    aimed = {row["script"] for row in suite.results() if row["aim"]}
    for name in suite.scripts():
        text = (ROOT / f"benchmarks/{name}.py").read_text(encoding="utf-8")
        assert text.startswith('"""Claim: '), name
        assert "def measure(" in text and f"Run: python benchmarks/{name}.py" in text, name
    assert aimed == set(suite.scripts())


def test_the_verdict_of_each_row_follows_from_its_numbers(suite: ModuleType) -> None:
    for row in suite.results():
        held = suite.measured(row).held
        assert row["held"] == ("" if held is None else str(int(held))), row["name"]


@pytest.mark.parametrize(
    ("aim", "held"),
    [
        ("ours <= 2", True),
        ("ours <= 1.9", False),
        ("ours/peer <= 0.5", True),
        ("ours/peer <= 0.4", False),
        ("ours/floor <= 2", True),
        ("ours-floor <= 0.9", False),
        ("floor/ours >= 0.5", True),
        ("floor/ours >= 0.6", False),
        ("", None),
    ],
)
def test_an_aim_is_judged_by_what_it_names(suite: ModuleType, aim: str, held: bool | None) -> None:
    one = suite.Measured("x", 2.0, "s", 1, "patients", peer=4.0, floor=1.0, aim=aim)
    assert one.held is held
    again = suite.measured({k: "" if v is None else str(v) for k, v in one.row().items()})
    assert again == one


def test_what_was_not_measured_is_said_and_not_judged(suite: ModuleType, page: ModuleType) -> None:
    one = suite.Measured(
        "embedding on a GPU", None, "s", 6, "patients", aim="ours <= 1", remark="PyTorch saw none"
    )
    two = suite.Measured("plan", 3.0, "s", 6, "patients", aim="ours <= 1")
    assert one.held is None
    told = "\n".join(page.missed([("a", one), ("b", two)]))
    assert "Not measured: embedding on a GPU: PyTorch saw none." in told
    assert "**Missed:** plan, 6 patients: 3.00 s where the aim is ours ≤ 1 s." in told


def test_a_benchmark_that_fails_keeps_its_rows_and_is_named(
    suite: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before = suite.results()
    name = suite.scripts()[0]
    for what, path in (("RESULTS", "results.tsv"), ("FIGURE", "figure.svg"), ("PAGE", "page.md")):
        monkeypatch.setattr(suite, what, tmp_path / path)
    monkeypatch.setattr(sys, "path", [str(ROOT / "benchmarks"), *sys.path])
    suite.write_table(
        tmp_path / "results.tsv", [{"script": row["script"], **row} for row in before], suite.COLUMNS
    )
    monkeypatch.setattr(suite, "gather", lambda name, folder: ([], "no such image"))
    monkeypatch.setattr("page.write_pages", lambda *given: None)
    monkeypatch.setattr(sys, "argv", ["suite.py", name])
    assert suite.main() == 1
    assert suite.results() == before
    assert f"FAILED: benchmarks/{name}.py" in capsys.readouterr().err
