from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import perfusion_samples as samples
import pytest
from perfusion_samples import facts, images, patient, record, refused, tables

from reperfuse.imaging.volume import Volume
from reperfuse.reporting.pages import RESEARCH_USE
from reperfuse.reporting.patient import patient_page
from reperfuse.reporting.perfusion_cohort import cohort_perfusion
from reperfuse.reporting.perfusion_figures import SHOWN, bleeding, strips, vessels
from reperfuse.reporting.perfusion_plots import baseline_s, curves_plot, motion_plot
from reperfuse.reporting.perfusion_section import mismatch


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return patient_page(patient(), tmp_path_factory.mktemp("report"))


def section(page: Path) -> str:
    found = re.search(r'<section id="perfusion">.*?</section>', page.read_text(encoding="utf-8"), re.DOTALL)
    return found[0] if found else ""


def test_every_map_is_drawn_and_small(written: list[Path]) -> None:
    names = {path.name for path in written}
    maps = {f"PWI_{name}.webp" for name in "trace adc tmax cbf cbv mtt rttp k2 overview aif vof".split()}
    assert maps | {"PWI_ht_gre.webp", "PWI_curves.svg", "PWI_motion.svg"} <= names
    assert all(path.stat().st_size <= 150_000 for path in written[:-1])


def test_links_resolve_and_nothing_lacks_a_description(written: list[Path], broken_links, parse) -> None:
    assert broken_links(written[-1]) == ["index.html"]
    found = parse(written[-1])
    assert found.without_alt == []
    assert len(found.ids) == len(set(found.ids)), "names inside the figures must not collide"
    assert found.text.count(RESEARCH_USE) == 3, "at both ends and at the mismatch card"


@pytest.mark.parametrize(
    "expected",
    [
        "25.5 ml",
        "84.0 ml",
        "58.5 ml",
        "3.29",
        "0.25",
        "0.71",
        "−3.5 ml against Tmax > 6 s, Dice 0.93",
        "The head moved during the series",
        "an unheard of flag",
        "found automatically",
        "91.2",
        "largest 1.42 mm, mean 0.11 mm, 1 frame above the threshold",
        "3.46 ml in 1 part (manual)",
        "ml/100 ml/min",
        "30.0 ms",
        "limit of what the GRE covers",
    ],
)
def test_it_says_what_the_record_says(written: list[Path], parse, expected: str) -> None:
    assert expected in parse(written[-1]).text


def test_the_rules_are_told_apart() -> None:
    values = {one.title: one.value for one in mismatch(facts())}
    assert values["DEFUSE 3 target mismatch"] == "fulfilled"
    assert values["EXTEND mismatch"] == "cannot be said"
    without = mismatch({**facts(), "defuse3": False, "mismatch_ratio": None, "volumes_ml": {"core": 0.0}})
    values = {one.title: one.value for one in without}
    assert values["DEFUSE 3 target mismatch"] == "not fulfilled"
    assert values["Mismatch ratio"] == "no core"


def test_contours_stand_where_the_map_is_late(written: list[Path]) -> None:
    shown = strips(images())
    assert [one.title for one in shown] == [*"Trace ADC Tmax CBF CBV MTT rTTP".split(), "K2, leakage"]
    layers = dict(shown[0].picture.layers)
    assert all(layers[name] for name in ("t4", "t6", "t10", "core"))
    # The late tissue has low first indices, with this affine the patient's left: the right half of each tile.
    cell = shown[0].picture.size[0] / sum(text == "R" for _, _, text in shown[0].picture.labels)
    places = [float(x) % cell for x in re.findall(r"[ML]([\d.]+) ", layers["t6"])]
    assert len(places) > 50 and min(places) > cell / 2
    assert all(set(dict(one.picture.layers)) == {"t6"} for one in shown[2:])


def test_only_what_was_counted_has_a_contour() -> None:
    none = images() | {"PWI_late": images()["PWI_tmax"].like(np.zeros(samples.SHAPE, np.float32))}
    assert dict(strips(none)[0].picture.layers)["t6"] == ""


def test_a_square_for_each_voxel() -> None:
    found = {one.title: dict(one.picture.layers) for one in vessels(images())}
    assert found["AIF"]["aif"].count("z") == 4
    assert found["VOF"]["vof"].count("z") == 2


def test_the_likelihood_stands_below_the_bleeding() -> None:
    risk = Volume(np.full(samples.SHAPE, 0.3, np.float32), samples.AFFINE)
    shown = bleeding(images(), likelihood=risk)
    assert [one.title for one in shown] == ["GRE of J1", "Predicted"]
    assert shown[0].picture.size == shown[1].picture.size
    assert dict(shown[1].picture.layers)["ht"] == dict(shown[0].picture.layers)["ht"] != ""
    bare = {name: image for name, image in images().items() if name not in ("PWI_ht", "PWI_gre")}
    assert [one.title for one in bleeding(bare, likelihood=risk)] == ["PWI, baseline", "Predicted"]


@pytest.mark.parametrize("name", sorted(SHOWN))
def test_any_image_may_be_missing(tmp_path: Path, broken_links, name: str) -> None:
    page = patient_page(patient(images={**images(), name: None}, tables={}), tmp_path)[-1]
    assert broken_links(page) == ["index.html"]


def test_a_refused_series_says_why(tmp_path: Path, parse) -> None:
    files = patient_page(patient(records={"perfusion": refused()}, images={}, tables={}), tmp_path)
    assert [path.name for path in files] == ["sub-01.html"]
    assert "No perfusion map could be made. " in parse(files[0]).text
    assert "dsc.nii.gz" in section(files[0])


def test_without_a_series_there_is_no_section(tmp_path: Path) -> None:
    assert section(patient_page(patient(records={}), tmp_path)[-1]) == ""


def test_without_a_label_none_is_claimed(tmp_path: Path, parse) -> None:
    without = {name: image for name, image in images().items() if name != "PWI_ht"}
    text = parse(patient_page(patient(images=without), tmp_path)[-1]).text
    assert "No mask of a haemorrhagic transformation was given" in text


def test_an_empty_mask_is_no_haemorrhage(tmp_path: Path, parse) -> None:
    told = facts() | {"ht": {"volume_ml": 0.0, "n_components": 0, "source": "derivatives/manual/mask.nii.gz"}}
    empty = images() | {"PWI_ht": images()["PWI_ht"].like(np.zeros(samples.SHAPE, bool))}
    page = patient_page(patient(records={"perfusion": record(facts=told)}, images=empty), tmp_path)[-1]
    assert (
        "The mask that was given (mask.nii.gz) is empty: no haemorrhagic transformation." in parse(page).text
    )


def test_the_same_view_gives_the_same_bytes(written: list[Path], tmp_path: Path) -> None:
    again = patient_page(patient(), tmp_path)
    assert all(one.read_bytes() == two.read_bytes() for one, two in zip(written, again, strict=True))


def test_content_is_inert(tmp_path: Path, parse) -> None:
    evil = "<script>alert(1)</script>"
    told = facts() | {"flags": [evil], "method": evil, "timing": evil}
    told["aif"]["source"] = told["ht"]["source"] = evil
    found = parse(patient_page(patient(records={"perfusion": record(facts=told)}), tmp_path)[-1])
    assert "script" not in found.tags
    assert found.text.count(evil) >= 4


def test_plots_are_figures_that_mark_arrival_and_spikes() -> None:
    for svg in (curves_plot(tables()["PWI_curves"], facts()), motion_plot(tables()["PWI_motion"], 1.0)):
        assert ElementTree.fromstring(svg).tag.endswith("svg")
    text = curves_plot(tables()["PWI_curves"], facts())
    assert "arrival" in text and "baseline" in text
    assert "threshold 1 mm" in motion_plot(tables()["PWI_motion"], 1.0)
    assert "threshold" not in motion_plot(tables()["PWI_motion"], None)
    assert curves_plot([], {}) == "" == motion_plot([], 1.0)


def test_curves_without_an_artery_are_drawn() -> None:
    rows = [row | {"aif_per_s": "", "vof_per_s": ""} for row in tables()["PWI_curves"]]
    assert "AIF" not in curves_plot(rows, {}) and "Mean of the brain" in curves_plot(rows, {})


@pytest.mark.parametrize(("frames", "ends"), [(8, (0.0, 12.6)), ([2, 8], (3.6, 12.6)), (None, (0.0, 0.0))])
def test_the_baseline_is_marked_as_recorded(frames, ends) -> None:
    told = {"tr_s": 1.8, "bolus": {"baseline_frames": frames}}
    assert baseline_s(told, [0.0, 1.8]) == pytest.approx(ends)


@pytest.mark.parametrize("value", [0.0, np.nan])
def test_empty_maps_are_drawn(tmp_path: Path, value: float) -> None:
    flat = Volume(np.full(samples.SHAPE, value, np.float32), samples.AFFINE)
    names = {path.name for path in patient_page(patient(images=dict.fromkeys(images(), flat)), tmp_path)}
    assert {"PWI_trace.webp", "PWI_cbf.webp", "PWI_k2.webp"} <= names


def test_another_grid_is_left_out() -> None:
    other = Volume(np.zeros((4, 4, 3), np.float32), samples.AFFINE)
    assert "CBF" not in [one.title for one in strips({**images(), "PWI_cbf": other})]
    assert replace(patient(), images={}).images == {}


def test_the_cohort_lists_volumes_and_who_has_none() -> None:
    records = {"sub-02": {"perfusion": refused()}, "sub-01": {"perfusion": record()}, "sub-03": {}}
    html = str(cohort_perfusion(records, ["sub-01"]).html)
    assert '<a href="sub-01.html">sub-01</a>' in html and "<td>84.0</td>" in html
    assert "Without volumes of Tmax (1)" in html and "sub-01_dsc.nii.gz" in html.split("<details")[1]
    assert "sub-03" not in html and RESEARCH_USE in html
    assert cohort_perfusion({"sub-03": {}}, []).html == ""
