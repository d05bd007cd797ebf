from __future__ import annotations

import re
from dataclasses import fields, replace
from pathlib import Path
from xml.etree import ElementTree

import pytest
from study_folder import write
from study_samples import FIRST, STAMP, plausible

from reperfuse.reporting.pages import RESEARCH_USE
from reperfuse.reporting.study_page import FIGURES, study_page
from reperfuse.reporting.study_tables import studies_section
from reperfuse.reporting.study_view import StudyView, read_view

SECTIONS = (
    "summary words patients paper roc calibration decision coefficients sensitivity comparisons permutation "
    "conformal subgroups ordinal external warnings leakage assumptions tripod"
).split()


@pytest.fixture(scope="module")
def view(tmp_path_factory: pytest.TempPathFactory) -> StudyView:
    return read_view(write(tmp_path_factory.mktemp("full"), plausible()))


@pytest.fixture(scope="module")
def one_class(tmp_path_factory: pytest.TempPathFactory) -> StudyView:
    return read_view(write(tmp_path_factory.mktemp("one"), plausible(one_class=True)))


def _made(view: StudyView, root: Path) -> Path:
    (root / "report").mkdir(parents=True, exist_ok=True)
    (root / "report/index.html").write_text("", encoding="utf-8")
    return study_page(view, root / "report/trial.html", study="trial", home="index.html")[-1]


@pytest.fixture(scope="module")
def made(view: StudyView, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _made(view, tmp_path_factory.mktemp("results"))


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Figures take most of the time, and not every test is about them."""
    monkeypatch.setattr("reperfuse.reporting.study_page.draw", lambda *_: {})


def test_every_table_of_the_folder_is_read(view: StudyView) -> None:
    assert all(getattr(view, field.name) for field in fields(StudyView))
    assert view.primary[0] == FIRST


def test_every_section_is_there_and_links_stay_in_the_folder(made, parse, broken_links) -> None:
    found = parse(made)
    assert [name for name in found.ids if name in SECTIONS] == SECTIONS
    assert len(found.ids) == len(set(found.ids)), "names inside the figures must not collide"
    assert broken_links(made) == []


def test_every_figure_is_a_file_that_carries_the_stamp(made: Path) -> None:
    files = sorted((made.parent.parent / "trial/figures").iterdir())
    assert {path.stem for path in files} == set(FIGURES)
    for path in files:
        text = path.read_text(encoding="utf-8")
        shown = "".join(ElementTree.fromstring(text).itertext())
        assert STAMP in shown and RESEARCH_USE in shown
        assert "currentColor" not in text and "<dc:date>" not in text
    assert made.read_text(encoding="utf-8").count("<svg") == len(FIGURES)


def test_the_stamp_stands_on_top_and_in_every_table(made: Path) -> None:
    text = made.read_text(encoding="utf-8")
    assert text.index('class="banner"') < text.index("<nav")
    captions = re.findall(r"<caption>.*?</caption>", text)
    assert len(captions) == text.count("<table") > 10
    assert all(STAMP in caption for caption in captions)
    assert text.count(RESEARCH_USE) == 2


def test_without_stamps_there_is_no_banner(view: StudyView, tmp_path: Path, undrawn: None) -> None:
    bare = replace(view, summary={**view.summary, "stamps": []})
    text = _made(bare, tmp_path).read_text(encoding="utf-8")
    assert 'class="banner"' not in text and STAMP not in text


def test_the_primary_comparison_is_said_with_every_test(made: Path, parse) -> None:
    text = parse(made).text
    for said in ("DeLong p = 0.042", "paired permutation p = 0.051", "corrected resampled t p = 0.21"):
        assert said in text
    assert "The tests do not agree" in text
    assert "with a power of 80 %" in text


@pytest.mark.parametrize("kind", ["empty", "one class"])
def test_what_cannot_be_drawn_is_said(kind, one_class, tmp_path, parse, broken_links) -> None:
    page = _made(StudyView() if kind == "empty" else one_class, tmp_path)
    found = parse(page)
    assert "svg" not in found.tags and not (tmp_path / "trial/figures").exists()
    for said in (
        "No ROC curve is drawn",
        "No spread is drawn",
        "No decision curve is drawn",
        "No sweep is drawn",
    ):
        assert said in found.text
    assert [name for name in found.ids if name in SECTIONS] == SECTIONS
    assert broken_links(page) == []
    shown = found.text.split("</style>")[-1]
    assert not re.search(r"\bnan\b|\bNone\b(?! was recorded)", shown.split("use strict")[0])


def test_nothing_estimable_is_called_so(one_class: StudyView, tmp_path: Path, parse, undrawn) -> None:
    text = parse(_made(one_class, tmp_path)).text
    assert text.count("not estimable") > 50


def test_a_figure_of_an_earlier_run_does_not_stay(tmp_path: Path) -> None:
    old = tmp_path / "trial/figures/roc.svg"
    old.parent.mkdir(parents=True)
    old.write_text("<svg/>", encoding="utf-8")
    _made(StudyView(), tmp_path)
    assert not old.exists()


def test_the_same_tables_give_the_same_bytes(made: Path, view: StudyView, tmp_path: Path) -> None:
    assert _made(view, tmp_path).read_bytes() == made.read_bytes()


def test_content_is_inert(view: StudyView, tmp_path: Path, parse) -> None:
    evil = '"><script>alert(1)</script>'
    summary = {"title": evil, "stamps": [evil], "notices": [evil], "assumptions": {evil: evil}, "primary": {}}
    rows = [dict.fromkeys(row, evil) | {"split": "cv"} for row in view.metrics[:3]]
    flags = [{"flag": evil, "configuration": evil, "raised": "1", "sentence": evil}]
    found = parse(_made(replace(view, summary=summary, metrics=rows, flags=flags), tmp_path))
    assert found.tags.count("script") == 1
    assert not any("script" in link for link in found.links)


def test_a_leak_is_said(view: StudyView, tmp_path: Path, parse, undrawn) -> None:
    leaky = [dict(row) for row in view.leakage]
    leaky[5]["n_overlap"] = "3"
    text = parse(_made(replace(view, leakage=leaky), tmp_path)).text
    assert "Do not trust these results" in text
    assert "Nothing that was fitted has seen" not in text
    gaps = [row | {"n_overlap": ""} for row in view.leakage]
    assert "it is not recorded whom" in parse(_made(replace(view, leakage=gaps), tmp_path)).text


def test_no_study_is_named_in_the_code() -> None:
    folder = Path(study_page.__code__.co_filename).parent
    code = "".join(
        path.read_text(encoding="utf-8") for path in [*folder.glob("study_*.py"), folder / "curves.py"]
    )
    assert not re.search(r"[\"'/]outcome[\"'/]|2512\.02088|MedicalNet", code)


def test_the_index_leads_to_the_studies() -> None:
    html = studies_section([("A <b>", "trial.html", "AUC 0.8."), ("B", "", "")]).html
    assert '<a href="trial.html">A &lt;b&gt;</a>' in html
    assert "<strong>B</strong>" in html
    assert studies_section([]).html == ""
