from __future__ import annotations

import re
from dataclasses import fields, replace
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import perfusion_samples
import pytest
from voxel_samples import BALANCED, COLUMNS, DENSE, FIRST, STAMP, plausible

from reperfuse.core.files import write_json
from reperfuse.core.tables import write_table
from reperfuse.imaging.volume import Volume, write_volume
from reperfuse.reporting.pages import RESEARCH_USE
from reperfuse.reporting.study_page import study_page
from reperfuse.reporting.study_view import StudyView
from reperfuse.reporting.voxel_maps import MOST_WITH, MOST_WITHOUT, chosen, read_likelihoods
from reperfuse.reporting.voxel_page import FIGURES, VoxelParts
from reperfuse.reporting.voxel_tables import dense_table, leakage_table, listed, paper_table, within_table
from reperfuse.reporting.voxel_view import VoxelView, read_voxel_view

SECTIONS = (
    "summary words patients paper roc dense within occurrence severity likelihood calibration strata burden "
    "comparisons searched leakage assumptions tripod limitations"
).split()


def write(folder: Path, content: dict) -> Path:
    write_json(folder / "summary.json", content["summary"])
    for name, columns in COLUMNS.items():
        write_table(folder / f"{name.replace('_', '-')}.tsv", content[name], columns.split())
    return folder


def images() -> dict[str, Volume]:
    found = {name: image for name, image in perfusion_samples.images().items() if image is not None}
    risk = np.where(found["PWI_ht"].data, 0.9, 0.1).astype(np.float32)
    return {**found, "likelihood": Volume(risk, perfusion_samples.AFFINE)}


@pytest.fixture(scope="module")
def view(tmp_path_factory: pytest.TempPathFactory) -> VoxelView:
    return read_voxel_view(write(tmp_path_factory.mktemp("full"), plausible()))


def _made(view: VoxelView, root: Path, mapped: dict | None = None) -> Path:
    (root / "report").mkdir(parents=True, exist_ok=True)
    for name in ("index", *(row["participant_id"] for row in chosen(view))):
        (root / f"report/{name}.html").write_text("", encoding="utf-8")
    page = root / "report/trial.html"
    return study_page(view, page, study="trial", home="index.html", mapped=mapped, parts=VoxelParts)[-1]


@pytest.fixture(scope="module")
def made(view: VoxelView, tmp_path_factory: pytest.TempPathFactory) -> Path:
    mapped = {row["participant_id"]: images() for row in chosen(view)}
    return _made(view, tmp_path_factory.mktemp("results"), mapped)


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("reperfuse.reporting.study_page.draw", lambda *_: {})


def test_every_table_of_the_folder_is_read(view: VoxelView) -> None:
    own = {field.name for field in fields(VoxelView)} - {field.name for field in fields(StudyView)}
    assert own <= set(COLUMNS)
    assert all(getattr(view, name) for name in COLUMNS if name != "predictions")


def test_every_section_is_there_and_links_lead_somewhere(made: Path, parse) -> None:
    found = parse(made)
    assert [name for name in found.ids if name in SECTIONS] == SECTIONS
    assert len(found.ids) == len(set(found.ids)), "names inside the figures must not collide"
    for link in found.links:
        assert link.removeprefix("#") in found.ids or (made.parent / link).resolve().is_file(), link
        assert ":" not in link and not link.startswith("/")
    assert found.text.count(RESEARCH_USE) == 2
    assert "Predictions must not guide treatment" in found.text


def test_every_figure_is_a_file_that_carries_the_stamp(made: Path) -> None:
    files = sorted((made.parent.parent / "trial/figures").iterdir())
    assert {path.stem for path in files} == set(FIGURES)
    for path in files:
        shown = "".join(ElementTree.fromstring(path.read_text(encoding="utf-8")).itertext())
        assert STAMP in shown and RESEARCH_USE in shown


def test_targets_are_told_apart(view: VoxelView) -> None:
    assert view.on("(dense)").target == DENSE
    assert view.on("(dense)").configurations == (FIRST, "map_k2")
    assert view.on("(balanced)").target == BALANCED
    assert view.on("(other)").configurations == ()
    assert {row["metric"] for row in view.on("(balanced)", "auc").comparisons} == {"auc"}


def test_the_paper_stands_beside_ours_with_the_prevalence(view: VoxelView) -> None:
    table = paper_table(view)
    row = next(row for row in table.rows if row[0].title == FIRST)
    shown = dict(zip(table.columns, row, strict=True))
    assert shown["System"].text == "LSTM PWI + AIF + DWI"
    assert shown["AUC in the paper"].text == "0.894 ± 0.043"
    pooled = shown["AUC, pooled (CI over patients)"]
    assert (pooled.text, pooled.under) == ("0.880", "0.820 to 0.940")
    assert shown["AUC, CI over voxels, optimistic"].text == "0.875 to 0.885"
    assert shown["Prevalence"].text == "50 %"


def test_folds_are_audited_together(view: VoxelView) -> None:
    row = next(row for row in leakage_table(view).rows if row[0].title == FIRST)
    assert [one.text for one in row][1:] == ["scaler", "2", "24", "25", "0"]
    leaky = [dict(one) for one in view.leakage]
    leaky[-1]["n_overlap"] = "2"
    assert leakage_table(replace(view, leakage=leaky)).rows[-1][-1].kind == "failed"


def test_whole_brains_are_held_against_their_prevalence(view: VoxelView) -> None:
    row = next(row for row in dense_table(view).rows if row[0].title == FIRST)
    assert [one.text for one in row][3:5] == ["0.2 %", "17.6 ×"]


def test_within_patients_is_not_over_all(view: VoxelView) -> None:
    row = next(row for row in within_table(view).rows if row[0].title == FIRST)
    assert [one.text for one in row][1:] == [
        "balanced sample",
        "0.780 (0.700 to 0.860)",
        "0.880 (0.820 to 0.940)",
    ]


def test_the_summary_says_what_was_found(made: Path, parse) -> None:
    text = parse(made).text
    assert "AUC 0.880 (95 % CI over patients 0.820 to 0.940), AP 0.836" in text
    assert "at a prevalence of 0.20 %" in text
    assert "bootstrap over patients, the declared test, p = 0.080" in text
    assert "Which patients bleed, by the highest cluster of the map: AUC 0.770" in text


@pytest.mark.parametrize("kind", ["empty", "nothing estimable"])
def test_what_cannot_be_shown_is_said(kind: str, tmp_path: Path, parse, broken_links) -> None:
    content = plausible(empty=True)
    view = VoxelView() if kind == "empty" else read_voxel_view(write(tmp_path / "t", content))
    page = _made(view, tmp_path)
    found = parse(page)
    assert "svg" not in found.tags
    assert [name for name in found.ids if name in SECTIONS] == SECTIONS
    assert broken_links(page) == []
    for said in ("No ROC curve is drawn", "No precision–recall curve", "No likelihood map", "No severity"):
        assert said in found.text
    shown = found.text.split("</style>")[-1].split("use strict")[0]
    assert not re.search(r"\bnan\b|\bNone\b(?! was recorded)", shown)


def test_the_shown_are_who_bled_most_and_false_alarms(view: VoxelView) -> None:
    rows = chosen(view)
    assert [row["ht"] for row in rows] == ["1"] * MOST_WITH + ["0"] * MOST_WITHOUT
    volumes = [float(row["observed_ml"]) for row in rows[:MOST_WITH]]
    least = sorted((float(r["observed_ml"]) for r in view.of_chief), reverse=True)[MOST_WITH - 1]
    assert volumes == sorted(volumes, reverse=True) and volumes[-1] == least


def test_maps_are_pictures_with_the_haemorrhage(made: Path, view: VoxelView) -> None:
    files = {path.name for path in (made.parent.parent / "trial/likelihood").iterdir()}
    assert len(files) == 2 * (MOST_WITH + MOST_WITHOUT)
    text = made.read_text(encoding="utf-8").split('<section id="likelihood">')[1].split("</section>")[0]
    assert text.count('<path class="ht" d="M') == len(files)
    assert text.count('class="hues"') == len(files) / 2
    assert text.count(STAMP) == len(files) / 2


def test_maps_of_an_earlier_run_do_not_stay(view: VoxelView, tmp_path: Path, undrawn: None) -> None:
    who = chosen(view)[0]["participant_id"]
    _made(view, tmp_path, {who: images()})
    _made(view, tmp_path, {})
    assert list((tmp_path / "trial/likelihood").iterdir()) == []


def test_maps_are_read_of_those_alone_who_are_shown(view: VoxelView, tmp_path: Path) -> None:
    shown, hidden = chosen(view)[0]["participant_id"], "sub-99"
    maps, perfusion = [], []
    for who in (shown, hidden):
        maps.append(tmp_path / f"fold/{who}_likelihood.nii.gz")
        perfusion += [tmp_path / who / f"{name}.nii.gz" for name in ("PWI_gre", "PWI_cbf")]
    for path in (maps[0], perfusion[0]):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_volume(path, images()["PWI_gre"], {})
    found = read_likelihoods(view, maps, perfusion)
    assert {who: sorted(read) for who, read in found.items()} == {shown: ["PWI_gre", "likelihood"]}


def test_the_same_tables_give_the_same_bytes(made: Path, view: VoxelView, tmp_path: Path) -> None:
    mapped = {row["participant_id"]: images() for row in chosen(view)}
    assert _made(view, tmp_path, mapped).read_bytes() == made.read_bytes()


def test_content_is_inert(view: VoxelView, tmp_path: Path, parse, undrawn: None) -> None:
    evil = '"><script>alert(1)</script>'
    wicked = {
        name: [dict.fromkeys(row, evil) | {"split": "cv"} for row in getattr(view, name)[:2]]
        for name in ("left_out", "searched", "patients", "burden", "severity", "metrics")
    }
    summary = {"title": evil, "stamps": [evil], "notices": [evil]}
    found = parse(_made(replace(VoxelView(), summary=summary, **wicked), tmp_path))
    assert found.tags.count("script") == 1


def test_any_table_can_be_listed() -> None:
    table = listed([{"name": "a", "auc": "0.123456"}, {"name": "b", "auc": ""}], "what")
    assert [[one.text for one in row] for row in table.rows] == [["a", "0.1235"], ["b", ""]]
    assert listed([], "what").rows == ()
