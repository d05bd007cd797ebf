"""The page and the results of the fusion study, from tables that the judge made of made-up models."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import fields, replace
from io import BytesIO
from itertools import pairwise
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import save_file

from reperfuse.core.files import write_json
from reperfuse.reporting import fusion_strata_tables as strata
from reperfuse.reporting import fusion_tables as tables
from reperfuse.reporting.fusion_maps import chosen, read_shown, triptych
from reperfuse.reporting.fusion_page import FIGURES, FusionParts
from reperfuse.reporting.fusion_view import FusionView, read_fusion_view
from reperfuse.reporting.fusion_words import carried, headline, lost
from reperfuse.reporting.pages import RESEARCH_USE
from reperfuse.reporting.study_page import study_page
from reperfuse.reporting.study_results import main
from reperfuse.reporting.study_view import StudyView
from tests.studies.fusion.fusion_samples import BAD, CONTRASTS, PRIMARY, STAMP, N, shown, write_folder

SECTIONS = (
    "summary words patients paper reconstruction triptychs curve cost comparisons strata phenotypes others leakage "
    "training assumptions limitations"
).split()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("results") / "fusion"
    target.mkdir()
    return write_folder(target)


@pytest.fixture(scope="module")
def view(folder: Path) -> FusionView:
    return read_fusion_view(folder)


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    root = tmp_path_factory.mktemp("work")
    paths = [root / f"{PRIMARY}-{model}/shown.safetensors" for model in ("none-1", "unet-1", "none-2")]
    for path in paths:
        path.parent.mkdir()
    for path, kind in zip(paths, ("none", "unet"), strict=False):
        save_file(shown(kind), path)
    paths[-1].touch()  # a marker: of this model there is nothing to show
    return paths


def made_of(view: FusionView, root: Path, drawn: Sequence[Path] = ()) -> Path:
    (root / "report").mkdir(parents=True, exist_ok=True)
    for name in ("index", "sub-000", "sub-004", BAD):
        (root / f"report/{name}.html").write_text("", encoding="utf-8")
    page = root / "report/fusion.html"
    shown_in = read_shown(drawn)
    return study_page(view, page, study="fusion", home="index.html", mapped=shown_in, parts=FusionParts)[-1]


@pytest.fixture(scope="module")
def made(view: FusionView, drawn: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made_of(view, tmp_path_factory.mktemp("page"), drawn)


def test_every_table_of_the_folder_is_read(view: FusionView) -> None:
    own = {field.name for field in fields(FusionView)} - {field.name for field in fields(StudyView)}
    assert [name for name in own if not getattr(view, name)] == []
    assert view.chief == PRIMARY and view.main[0] == PRIMARY and view.target == ""


def test_every_section_is_there_and_links_lead_somewhere(made: Path, parse) -> None:
    found = parse(made)
    assert [name for name in found.ids if name in SECTIONS] == SECTIONS
    assert len(found.ids) == len(set(found.ids)), "names inside the figures must not collide"
    for link in found.links:
        assert link.removeprefix("#") in found.ids or (made.parent / link).resolve().is_file(), link
        assert ":" not in link and not link.startswith("/")
    assert found.without_alt == []
    assert found.text.count(RESEARCH_USE) == 2 and "Strata must not guide treatment" in found.text
    assert "with the outcome" not in found.text


def test_every_figure_is_a_file_that_carries_the_stamp_and_is_named(made: Path) -> None:
    files = sorted((made.parent.parent / "fusion/figures").iterdir())
    assert {path.stem for path in files} == set(FIGURES)
    for path in files:
        figure = ElementTree.fromstring(path.read_text(encoding="utf-8"))
        told = "".join(figure.itertext())
        assert STAMP in told and RESEARCH_USE in told and figure.get("aria-label")


def test_the_headline_is_the_embedding_alone(view: FusionView) -> None:
    first, second, third, *rest = headline(view)
    r2 = float(view.estimate(PRIMARY, "r2", "fold_mean")["estimate"])
    assert "32 numbers of the embedding alone" in first and f"{r2:.3f}" in first and "worst fold" in first
    assert second.startswith("With skips, as in the paper") and "does not measure the embedding" in second
    assert "it carries the patient" in third
    assert any(one.startswith("Primary comparison, R² as mean over folds") for one in rest)
    assert rest[-1] == view.strata_summary["words"][-1]


def test_a_code_that_says_nothing_is_called_so(view: FusionView) -> None:
    rows = [{**row, "estimate": "1.02"} if row["metric"] == "shuffled_ratio" else row for row in view.metrics]
    alone, around = carried(replace(view, metrics=rows))
    assert "hardly changes the error" in alone and "it says little of the patient" in alone
    assert around.endswith("the skips carry the image.")


def test_failures_are_counted_by_patient(view: FusionView) -> None:
    (said,) = lost(view)
    assert said.startswith(f"Of {N} held-out patients") and ", 1 have an MSE above 0.1," in said
    assert f"and {N} lose more than 10 % of the CNR" in said


def test_tables_show_what_the_folder_says(view: FusionView) -> None:
    row = tables.reconstruction_table(view).rows[0]
    assert row[0].title == PRIMARY and row[0].kind == "counts"
    assert row[1].text == f"{float(view.estimate(PRIMARY, 'r2', 'fold_mean')['estimate']):.3f}"
    one = next(row for row in tables.parameters_table(view).rows if row[0].text.startswith("one block"))
    assert one[4].text == "21.07"
    first = tables.comparisons_table(view).rows[0]
    assert first[1].text.endswith("principal components of voxels") and first[0].kind == "counts"
    assert [row[1].text for row in strata.sizes_table(view).rows] == ["20", "16", "12"]
    void = {"what": "volume_alone_ari", "configuration": "", "estimate": "1", "n": "0", "n_strata": "0"}
    more = replace(view, stability=[*view.stability, void])
    assert len(strata.stability_table(more).rows) == len(view.stability), "nothing was compared"
    loadings = strata.loadings_table(view).rows
    assert len(loadings) == 6 and all(sum(bool(c.text) for c in row[1:]) == 1 for row in loadings)
    known = strata.associations_table(view, "factor").rows
    assert [row[0].kind for row in known] == ["counts", "counts", ""]
    compared = strata.analyses_table(view)
    assert compared.columns[1:] == ("Strata", "Strata, adjusted", "Lesion volume alone", "k-means")
    assert [cell.kind for cell in compared.rows[1][1:]] == ["counts", "", "", "counts"]
    (other,) = strata.others_table(view).rows
    assert [cell.text for cell in other] == ["other", "2", "2", "2", "2", "1", "no adc (1)"]


def test_names_are_for_reading(view: FusionView) -> None:
    assert view.named(PRIMARY) == "trace + ADC + Jacobian"
    assert view.named("trace+adc[unet]") == "trace + ADC, with skips"
    assert view.named(f"{PRIMARY}[half]").endswith(", half")


def test_least_median_and_largest_error_are_shown(view: FusionView, made: Path, drawn: list[Path]) -> None:
    found = chosen(view, read_shown(drawn)[PRIMARY])
    assert [rank for _, rank in found] == ["least error", "median error", "largest error"]
    assert found[-1][0] == BAD
    assert len(list((made.parent.parent / "fusion/reconstructions").glob("*.webp"))) == 3 * len(CONTRASTS)
    assert chosen(view, ["sub-000"]) == [("sub-000", "largest error")]
    assert chosen(view, []) == []


def test_the_left_of_the_patient_is_on_the_right(drawn: list[Path]) -> None:
    mine = read_shown(drawn)[PRIMARY]["sub-004"]["adc"]
    picture = triptych("one", mine, None, (4, 4, 4))
    pixels = np.asarray(Image.open(BytesIO(picture.content)).convert("RGB")).astype(int)
    tile = picture.size[0] // 7
    original = pixels[: picture.size[1] // 3, 3 * tile : 4 * tile]
    assert original[:, tile // 2 :].mean() > 1.3 * original[:, : tile // 2].mean()
    difference = pixels[2 * picture.size[1] // 3 + 1 :, 3 * tile : 4 * tile]
    upper, lower = np.array_split(difference, 2)
    # Too much in front: orange, which holds more red than blue.
    assert (upper[..., 0] - upper[..., 2]).mean() > 10 and np.abs(lower[..., 0] - lower[..., 2]).mean() < 3


def test_a_small_lesion_is_among_the_slices() -> None:
    brain = np.zeros((64, 64, 64), np.float32)
    brain[8:56, 8:56, 8:56] = 0.01
    lesion = np.zeros_like(brain)
    lesion[12:14, 30:34, 30:34] = 1
    picture = triptych("one", {"original": lesion, "reconstructed": brain}, None, (4, 4, 4))
    pixels = np.asarray(Image.open(BytesIO(picture.content)).convert("L"))
    assert pixels[: picture.size[1] // 3].max() > 200
    assert picture.size[0] > 7 * 48 * 4 / 1.3, "the whole brain is shown"


def test_one_stratum_and_nothing_tested_is_a_plain_page(view: FusionView, tmp_path: Path, parse) -> None:
    words = ["No strata were found: no setting gave two clusters."]
    none = dict.fromkeys(
        ("stability", "associations", "posthoc", "factors", "factor_scores", "parallel", "strata_others"), ()
    )
    single = replace(
        view, **none, strata=[{**row, "stratum": "1"} for row in view.strata], strata_summary={"words": words}
    )
    text = parse(made_of(single, tmp_path)).text
    for said in (
        *words,
        "No stability is drawn",
        "No loadings are drawn",
        "No factor is drawn",
        "No other cohort",
    ):
        assert said in text


def test_what_cannot_be_shown_is_said(tmp_path: Path, parse, broken_links) -> None:
    page = made_of(FusionView(), tmp_path)
    found = parse(page)
    assert "svg" not in found.tags and broken_links(page) == []
    assert [name for name in found.ids if name in SECTIONS] == SECTIONS
    for said in (
        "No network was fitted",
        "No errors are drawn",
        "No curve",
        "No reconstruction",
        "No training",
    ):
        assert said in found.text
    told = found.text.split("</style>")[-1].split("use strict")[0]
    assert not re.search(r"\bnan\b|\bNone\b(?! was (recorded|chosen))", told)


def test_the_same_tables_give_the_same_bytes(
    made: Path, view: FusionView, drawn: list[Path], tmp_path: Path
) -> None:
    assert made_of(view, tmp_path, drawn).read_bytes() == made.read_bytes()


def test_content_is_inert(view: FusionView, tmp_path: Path, parse, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("reperfuse.reporting.study_page.draw", lambda *_: {})
    evil = '"><script>alert(1)</script>'
    names = (
        "metrics parameters contrasts_curve left_out training strata stability factors associations reported"
    )
    wicked = {name: [dict.fromkeys(row, evil) for row in getattr(view, name)[:2]] for name in names.split()}
    summary = {"title": evil, "stamps": [evil], "notices": [evil], "chief": evil}
    found = parse(made_of(replace(FusionView(), summary=summary, **wicked), tmp_path))
    assert found.tags.count("script") == 1


def test_the_results_are_written_from_the_tables_alone(
    folder: Path, view: FusionView, tmp_path: Path
) -> None:
    main(str(folder), str(tmp_path / "fusion.md"), "make fusion-phantom", "fusion")
    text = (tmp_path / "fusion.md").read_text(encoding="utf-8")
    heads = [line.removeprefix("## ") for line in text.splitlines() if line.startswith("## ")]
    wanted = "Cohort|What was found|Beside the paper|Reconstruction|Number of contrasts|Parameters|Comparisons|Strata|"
    assert heads == f"{wanted}Phenotypes|Other cohorts|Limitations|What was assumed|Sources".split("|")
    assert "Written by `make fusion-phantom`" in text and f"**{STAMP}**" in text
    assert f"{N} patients." in text and "with the outcome" not in text and "21.07" in text
    lines = text.splitlines()
    for above, below in pairwise(lines):
        if above.startswith("|") and below.startswith("|"):
            assert above.replace("\\|", "").count("|") == below.replace("\\|", "").count("|")


def test_results_of_a_run_that_made_nothing_have_a_page(tmp_path: Path) -> None:
    (tmp_path / "fusion").mkdir()
    write_json(tmp_path / "fusion/summary.json", {"title": "Embedding", "n": 0})
    main(str(tmp_path / "fusion"), str(tmp_path / "page.md"), "make it", "fusion")
    text = (tmp_path / "page.md").read_text(encoding="utf-8")
    assert "No network was fitted" in text and not re.search(r"\bnan\b|\bNone\b", text)
