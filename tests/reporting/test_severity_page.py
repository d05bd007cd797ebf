"""The page and the results of the severity study, from made-up tables."""

from __future__ import annotations

import io
import re
from dataclasses import fields, replace
from itertools import pairwise
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image
from severity_samples import COLUMNS, FIRST, LAYERS, SECOND, STAMP, plausible

from reperfuse.core.files import write_json
from reperfuse.core.tables import write_table
from reperfuse.imaging.volume import Volume, write_volume
from reperfuse.reporting import severity_tables as tables
from reperfuse.reporting.heat import heat_pictures
from reperfuse.reporting.pages import RESEARCH_USE
from reperfuse.reporting.severity_maps import read_maps, seen_summary_table, seen_table, shown
from reperfuse.reporting.severity_page import FIGURES, SeverityParts
from reperfuse.reporting.severity_view import SeverityView, read_severity_view
from reperfuse.reporting.severity_words import against_volume, consistency_sentences, seen_sentences
from reperfuse.reporting.study_page import study_page
from reperfuse.reporting.study_results import main
from reperfuse.reporting.study_view import StudyView

SECTIONS = (
    "summary words patients paper averages roc calibration decision thresholds volume cuts ablations "
    "comparisons external saliency conformal subgroups warnings leakage training assumptions tripod "
    "limitations"
).split()
AFFINE = np.diag([-4.0, 4.0, 8.0, 1.0])


def write(folder: Path, content: dict[str, Any]) -> Path:
    write_json(folder / "summary.json", content["summary"])
    for name, columns in COLUMNS.items():
        write_table(folder / f"{name.replace('_', '-')}.tsv", content[name], columns.split())
    return folder


def images() -> dict[str, Volume]:
    brain, lesion, field = (np.zeros((40, 44, 12), np.float32) for _ in range(3))
    brain[6:34, 6:38, 2:10] = 1
    lesion[10:16, 12:20, 4:7] = 1
    field[8:18, 10:22, 3:8] = 0.5
    field[10:16, 12:20, 4:7] = 1
    data = {"trace": 300 * brain, "brain": brain, "lesion": lesion, "map": field}
    return {name: Volume(one, AFFINE) for name, one in data.items()}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("full"), plausible())


@pytest.fixture(scope="module")
def view(folder: Path) -> SeverityView:
    return read_severity_view(folder)


def made_of(view: SeverityView, root: Path, mapped: dict | None = None) -> Path:
    (root / "report").mkdir(parents=True, exist_ok=True)
    for name in ("index", *(row["participant_id"] for row in shown(view))):
        (root / f"report/{name}.html").write_text("", encoding="utf-8")
    page = root / "report/severity.html"
    return study_page(view, page, study="severity", home="index.html", mapped=mapped, parts=SeverityParts)[-1]


@pytest.fixture(scope="module")
def made(view: SeverityView, tmp_path_factory: pytest.TempPathFactory) -> Path:
    mapped = {row["file"]: images() for row in shown(view)}
    return made_of(view, tmp_path_factory.mktemp("results"), mapped)


def test_every_table_of_the_folder_is_read(view: SeverityView) -> None:
    own = {field.name for field in fields(SeverityView)} - {field.name for field in fields(StudyView)}
    assert all(getattr(view, name) for name in own)
    assert view.paper("tractnet").mean == pytest.approx(0.8137)


def test_every_section_is_there_and_links_lead_somewhere(made: Path, parse) -> None:
    found = parse(made)
    assert [name for name in found.ids if name in SECTIONS] == SECTIONS
    assert len(found.ids) == len(set(found.ids)), "names inside the figures must not collide"
    for link in found.links:
        assert link.removeprefix("#") in found.ids or (made.parent / link).resolve().is_file(), link
        assert ":" not in link and not link.startswith("/")
    assert found.without_alt == []
    assert found.text.count(RESEARCH_USE) == 2 and "Predictions must not guide treatment" in found.text


def test_every_figure_is_a_file_that_carries_the_stamp(made: Path) -> None:
    files = sorted((made.parent.parent / "severity/figures").iterdir())
    assert {path.stem for path in files} == set(FIGURES)
    for path in files:
        told = "".join(ElementTree.fromstring(path.read_text(encoding="utf-8")).itertext())
        assert STAMP in told and RESEARCH_USE in told


def test_cross_validations_are_told_apart_from_other_cohorts(view: SeverityView) -> None:
    assert view.crossvals == ("cv", "cv:3") and view.externals == ("external:other",)
    assert (view.n_folds(), view.n_folds("cv:3"), view.n_repeats()) == (8, 3, 2)
    assert view.on("cv:3").estimate(FIRST, "auc", "fold_mean") != view.estimate(FIRST, "auc", "fold_mean")
    assert {r["role"] for r in view.on("cv:3").comparisons} == {"secondary"}
    assert {r["split"] for r in view.elsewhere().comparisons} == {"cv"}
    one, two = against_volume(view)
    assert one.startswith("8 folds") and two.startswith("3 folds")
    assert "corrected resampled t" in one and "over all repeats" in one and "naive" not in one


def test_each_cross_validation_has_its_columns(view: SeverityView) -> None:
    table = tables.crossval_table(view)
    assert len(table.columns) == 7 and "8 folds, mean of 2 repeats" in table.columns
    row = next(row for row in table.rows if row[0].title == FIRST)
    fold, pooled = (view.estimate(FIRST, "auc", one, "cv:3") for one in ("fold_mean", "pooled"))
    assert row[4].text == f"{float(fold['estimate']):.3f} ± {float(fold['fold_sd']):.3f}"
    assert row[5].text.startswith(f"{float(pooled['estimate']):.3f} (")
    assert [row[0].title for row in table.rows][:2] == [FIRST, SECOND]


def test_names_are_for_reading(view: SeverityView) -> None:
    named = {
        name: view.named(name) for name in ("tractnet", "tractnet[no_mamba]", "log_volume+age", "hybrid")
    }
    assert named["tractnet"] == "TRACT-NET" and named["tractnet[no_mamba]"] == "TRACT-NET [no mamba]"
    assert named["log_volume+age"] == "lesion volume + age" and named["hybrid"] == "hybrid"
    assert view.named("log_volume[recalibrated]") == "lesion volume [recalibrated]"


def test_the_papers_rows_fail_and_ours_pass(view: SeverityView) -> None:
    paper, ours = (tables.consistency_table(view, ours=own) for own in (False, True))
    assert [row[8].text for row in paper.rows] == ["fails"] * 4 and paper.rows[0][8].kind == "failed"
    assert [row[8].text for row in ours.rows] == ["passes"] and ours.rows[0][7].text == "1.0e-16"
    assert [row[7].text for row in paper.rows][:2] == ["0.0470", "0.0350"]
    said = consistency_sentences(view)
    assert (
        "AMC passes under no definition: under any single one, some value is off by 0.047 or more" in said[0]
    )
    assert "with a definition for each value, by 0.0010" in said[0] and said[1].startswith(
        "The paper's row of SOOP"
    )
    assert said[2].startswith("Its values are then not") and said[3] == "Ours pass (1 of 1)."
    ill = [{**row, "passes": "1" if row["source"] == "paper" else "0"} for row in view.consistency]
    said = consistency_sentences(replace(view, consistency=ill))
    assert "AMC passes (macro, each its own)" in said[0] and "Do not trust ours: 1 of 1" in said[-1]


def test_bands_and_cuts_are_columns(view: SeverityView) -> None:
    table = tables.volume_table(view)
    levels = [head.partition(":")[0] for head in table.columns[1:]]
    assert levels == ["< 1 ml", "1 to 10 ml", "10 to 70 ml", "≥ 70 ml"]
    assert table.columns[1].endswith("n = 30, 14 non-minor")
    assert [row[0].title for row in table.rows] == [FIRST, SECOND]
    assert [one.text for one in table.rows[0]][1:] == ["0.660", "0.690", "0.720", "not estimable"]
    assert table.rows[0][1].under == "0.540 to 0.780"
    cuts = tables.cuts_table(view)
    assert [head.partition(":")[0] for head in cuts.columns[1:]] == [
        f"NIHSS above {cut}" for cut in (3, 4, 5)
    ]
    assert cuts.rows[0][0].title == FIRST and cuts.rows[0][2].text == "0.800"
    others = view.bands(volume=False).subgroups
    assert {row["variable"] for row in others} == {"lesion_side", "prior_stroke"}


def test_training_is_summed_up(view: SeverityView) -> None:
    row = tables.training_table(view).rows[0]
    assert [one.text for one in row][:4] == ["TRACT-NET", "6", "40", "0.710"]
    assert (
        re.fullmatch(r"0\.4\d\d to 0\.\d{3}", row[4].text) and row[5].text.replace("\u202f", "") == "4912345"
    )


def test_what_the_maps_show_is_held_against_chance(view: SeverityView, tmp_path: Path) -> None:
    said = " ".join(seen_sentences(view))
    assert (
        "66.7 % hits, 12.0 % by chance; difference 0.547" in said
        and "5.00 (3.50 to 6.00) times as much" in said
    )
    hidden = read_severity_view(write(tmp_path, plausible(circular=True)))
    said = " ".join(seen_sentences(hidden))
    assert said.count("shown the lesion mask itself") == 1 and "Pointing" not in said and "Stability" in said
    assert [row[0].text for row in seen_summary_table(hidden).rows] == [
        "share of the map outside the brain",
        "correlation between the networks of a fold",
    ]
    assert seen_table(hidden).rows[0][5].text == ""


def test_the_shown_are_pictures_with_the_lesion(made: Path, view: SeverityView) -> None:
    rows = shown(view)
    assert [row["correct"] for row in rows] == sorted((row["correct"] for row in rows), reverse=True)
    files = sorted((made.parent.parent / "severity/saliency").glob("*.webp"))
    assert len(files) == 2 * len(rows) == 8
    text = made.read_text(encoding="utf-8").split('<section id="saliency">')[1].split("</section>")[0]
    assert text.count('<path class="lesion" d="M') == 8 and text.count("linear-gradient") == 4
    assert text.count("trace image, contour of the lesion") == 4
    assert all(f"+ {layer}" in text for layer in LAYERS)


def test_warm_is_where_the_map_is() -> None:
    drawn = heat_pictures("one", images())
    assert drawn is not None and drawn.title == "trace image"
    plain, covered = (
        np.asarray(Image.open(io.BytesIO(one.content)).convert("RGB")).astype(int)
        for one in (drawn.plain, drawn.covered)
    )
    coloured = np.abs(covered[..., 0] - covered[..., 2]) > 60
    width = drawn.plain.size[0] // 3
    # Low indices are the patient's right, on the left of each slice; the last third of a slice has no colour.
    assert coloured[:, : width // 2].sum() > 2000
    assert not coloured[:, 2 * width // 3 : width].any()
    assert np.abs(plain[..., 0] - plain[..., 2]).max() < 24
    assert heat_pictures("one", {**images(), "map": images()["map"].like(np.ones((40, 44, 12)))}) is None
    assert heat_pictures("one", {name: one for name, one in images().items() if name != "map"}) is None
    adc = {"adc" if name == "trace" else name: one for name, one in images().items()}
    other = heat_pictures("one", adc)
    assert other is not None and other.title == "ADC map"


def test_maps_are_read_of_those_alone_who_are_shown(view: SeverityView, tmp_path: Path) -> None:
    files = []
    for row in view.saliency:
        write_volume(tmp_path / "maps" / row["file"], images()["map"], {})
        for name in ("trace", "lesion", "b0"):
            files.append(tmp_path / row["participant_id"] / f"J0_{name}.nii.gz")
            write_volume(files[-1], images()["trace"])
    found = read_maps(view, tmp_path / "maps", files)
    assert set(found) == {row["file"] for row in shown(view)} and len(found) == 4
    assert all(set(one) == {"map", "trace", "lesion"} for one in found.values())


def test_in_the_template_maps_lie_over_it(view: SeverityView, tmp_path: Path) -> None:
    row = shown(view)[0]
    own = images()
    write_volume(tmp_path / row["file"], own["map"], {})
    for file, name in (
        ("template_image.nii.gz", "trace"),
        ("template_brain.nii.gz", "brain"),
        (row["file"].replace("_map", "_lesion"), "lesion"),
    ):
        write_volume(tmp_path / file, own[name])
    one = replace(view, saliency=[row])
    found = read_maps(one, tmp_path, [])[row["file"]]
    assert set(found) == {"map", "template", "brain", "lesion"}
    drawn = heat_pictures("one", found)
    assert drawn is not None and drawn.title == "template" and drawn.plain.layers


@pytest.mark.parametrize("kind", ["empty", "nothing estimable"])
def test_what_cannot_be_shown_is_said(kind: str, tmp_path: Path, parse, broken_links) -> None:
    content = plausible(empty=True)
    view = SeverityView() if kind == "empty" else read_severity_view(write(tmp_path / "t", content))
    page = made_of(view, tmp_path)
    found = parse(page)
    assert "svg" not in found.tags and broken_links(page) == []
    assert [name for name in found.ids if name in SECTIONS] == SECTIONS
    for said in (
        "No ROC curve",
        "No ablation is drawn",
        "No map of where",
        "No network was trained",
        "No averages",
    ):
        assert said in found.text
    told = found.text.split("</style>")[-1].split("use strict")[0]
    assert not re.search(r"\bnan\b|\bNone\b(?! was (recorded|chosen))", told)


def test_the_same_tables_give_the_same_bytes(made: Path, view: SeverityView, tmp_path: Path) -> None:
    mapped = {row["file"]: images() for row in shown(view)}
    assert made_of(view, tmp_path, mapped).read_bytes() == made.read_bytes()


def test_content_is_inert(view: SeverityView, tmp_path: Path, parse, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("reperfuse.reporting.study_page.draw", lambda *_: {})
    evil = '"><script>alert(1)</script>'
    names = "averages consistency cuts thresholds ablations left_out training reported saliency metrics"
    wicked = {
        name: [dict.fromkeys(row, evil) | {"split": "cv"} for row in getattr(view, name)[:2]]
        for name in names.split()
    }
    summary = {"title": evil, "stamps": [evil], "notices": [evil]}
    found = parse(made_of(replace(SeverityView(), summary=summary, **wicked), tmp_path))
    assert found.tags.count("script") == 1


def test_the_results_are_written_from_the_tables_alone(
    folder: Path, view: SeverityView, tmp_path: Path
) -> None:
    main(str(folder), str(tmp_path / "soop-severity.md"), "make soop-severity", "severity")
    text = (tmp_path / "soop-severity.md").read_text(encoding="utf-8")
    heads = [line.removeprefix("## ") for line in text.splitlines() if line.startswith("## ")]
    wanted = "Cohort|Primary comparison|Each cross-validation|Beside the paper|By lesion volume|Other cuts|"
    wanted += (
        "Averages and consistency|Calibration|External cohorts|Ablations|Subgroups|Where the network looked|"
    )
    assert heads == (wanted + "Limitations|What was assumed|Sources").split("|")
    assert "Written by `make soop-severity`" in text and f"**{STAMP}**" in text
    assert "| no image of J0 | 2 |" in text and "primary comparison" in text.lower()
    pooled = view.estimate(FIRST, "auc", "pooled")["estimate"]
    assert f"{float(pooled):.3f}" in text and "passes under no definition" in text
    lines = text.splitlines()
    for above, below in pairwise(lines):
        if above.startswith("|") and below.startswith("|"):
            assert above.replace("\\|", "").count("|") == below.replace("\\|", "").count("|")


def test_results_of_a_run_that_made_nothing_have_a_page(tmp_path: Path) -> None:
    main(str(write(tmp_path / "t", plausible(empty=True))), str(tmp_path / "page.md"), "make it", "severity")
    text = (tmp_path / "page.md").read_text(encoding="utf-8")
    assert "No primary comparison was made" in text and "## External cohorts" not in text
    assert not re.search(r"\bnan\b|\bNone\b", text)
