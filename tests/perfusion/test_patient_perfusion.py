"""A series from frames to maps, against the truth of the synthetic cohort, and with points that refuse."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from reperfuse.core.settings import fill, load_schema
from reperfuse.imaging.reader import read_made, read_volume
from reperfuse.imaging.volume import Volume
from reperfuse.perfusion.line import Given, Perfused
from reperfuse.perfusion.patient_perfusion import brain_of, perfuse
from tests.workspace import ROOT, write_patients

SUB = "sub-0004"  # a large infarct
SECTION: dict[str, Any] = fill({}, load_schema(ROOT / "workflow/schemas"))["perfusion"]
SETTINGS = {key: SECTION[key] for key in ("series", "aif", "kinetics", "quality")}
SETTINGS["volumes"] = {key: value for key, value in SECTION["volumes"].items() if key != "core_criterion"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four synthetic patients and their truth, at the voxel size of the demonstration."""
    path = tmp_path_factory.mktemp("perfusion")
    write_patients(
        path / "bids",
        4,
        shape=[64, 64, 12],
        spacing_mm=[3.5, 3.5, 10.0],
        frames=[72, 72],
        pwi_missing_mild=0.0,
        pwi_missing_other=0.0,
    )
    return path


@pytest.fixture(scope="module")
def series(folder: Path) -> Volume:
    path = folder / f"bids/{SUB}/ses-01/perf/{SUB}_ses-01_ce-gadolinium_dsc.nii.gz"
    return read_volume(path, metadata=[path.with_name(path.name.replace(".nii.gz", ".json"))])[0]


@pytest.fixture(scope="module")
def truth(folder: Path) -> dict[str, np.ndarray]:
    names = ("delay", "cbf", "mtt", "aif", "vof", "hypoperfused", "kappa")
    return {name: read_made(folder / f"bids-truth/{SUB}/J0_{name}.nii.gz").data for name in names}


def run(pwi: Volume, truth: dict[str, np.ndarray], **changed: Any) -> Perfused:
    given = {
        "brain": truth["mtt"] > 0,
        "core": None,
        "core_ml": None,
        "dropped": 2,
        "given": None,
        "path": "dsc.nii.gz",
    }
    return perfuse(pwi, **{**given, **SETTINGS, **changed})


@pytest.fixture(scope="module")
def made(series: Volume, truth: dict[str, np.ndarray]) -> Perfused:
    return run(series, truth)


def codes(made: Perfused) -> list[str]:
    return [fault.code for fault in made.faults]


MAPS = {f"PWI_{name}" for name in "cbf cbv mtt tmax late ttp rttp k2 slope final peak".split()}
OTHERS = {f"PWI_{name}" for name in "s0 brain valid concentration aif vof".split()}


def test_every_map_is_made_and_finite_and_nothing_lies_outside_the_brain(made: Perfused) -> None:
    assert made.images.keys() == MAPS | OTHERS
    outside = ~made.images["PWI_valid"].data
    for name in MAPS | {"PWI_concentration"}:
        data = made.images[name].data
        assert np.isfinite(data).all() and not data[outside].any(), name
        assert data.dtype == np.float32
    assert made.images["PWI_concentration"].data.shape[3] == 60


def test_delays_and_volumes_are_those_that_were_planted(
    made: Perfused, series: Volume, truth: dict[str, np.ndarray]
) -> None:
    tissue = (truth["mtt"] > 0) & (truth["cbf"] > 3)
    tmax = made.images["PWI_tmax"].data
    assert abs(np.median(tmax[tissue & (truth["delay"] == 0)])) < 0.6
    assert np.corrcoef(tmax[tissue], truth["delay"][tissue])[0, 1] > 0.9
    wanted = float((truth["delay"][truth["mtt"] > 0] > 6).sum()) * series.voxel_ml
    assert wanted > 50
    assert made.facts["volumes_ml"]["tmax6"] == pytest.approx(wanted, rel=0.1)
    assert made.facts["agreement"]["dice"] > 0.6


def test_flow_and_leakage_follow_the_planted_ones(made: Perfused, truth: dict[str, np.ndarray]) -> None:
    tissue = (truth["mtt"] > 0) & (truth["cbf"] > 3)
    healthy = tissue & (truth["hypoperfused"] == 0)
    cbf, planted = made.images["PWI_cbf"].data[healthy], truth["cbf"][healthy]
    assert cbf[planted > 50].mean() > 1.3 * cbf[planted < 30].mean()
    late = tissue & (truth["hypoperfused"] > 0)
    assert made.images["PWI_cbf"].data[late].mean() < 0.6 * made.images["PWI_cbf"].data[healthy].mean()
    leaking = truth["kappa"] > np.quantile(truth["kappa"][late], 0.8)
    k2 = made.images["PWI_k2"].data
    assert k2[late & leaking].mean() > k2[late & ~leaking].mean()


def test_the_artery_is_found_where_it_was_planted(made: Perfused, truth: dict[str, np.ndarray]) -> None:
    chosen = made.images["PWI_aif"].data
    assert (chosen & (truth["aif"] > 0)).sum() >= 0.5 * chosen.sum()
    aif = made.facts["aif"]
    assert aif["source"] == "automatic" and aif["n_voxels"] == chosen.sum() >= 4
    assert made.facts["vof"]["ttp_s"] > aif["ttp_s"]


def test_curves_and_motion_are_tables_of_the_frames_kept(made: Perfused) -> None:
    assert [row["time_s"] for row in made.curves] == pytest.approx([1.8 * k for k in range(60)])
    assert made.curves[0].keys() == {"time_s", "signal", "aif_per_s", "vof_per_s", "tissue_per_s"}
    aif, tissue = ([row[name] for row in made.curves] for name in ("aif_per_s", "tissue_per_s"))
    assert max(aif) > 1.5 * max(tissue) and np.argmax(aif) < np.argmax(tissue)
    assert [row["frame"] for row in made.motion] == list(range(2, 72))
    assert made.motion[0]["fd_mm"] == 0 and {"tx_mm", "rz_deg"} <= made.motion[0].keys()
    assert made.facts["motion"]["max_fd_mm"] == pytest.approx(max(r["fd_mm"] for r in made.motion), abs=1e-3)


def test_the_same_series_gives_the_same_maps(
    made: Perfused, series: Volume, truth: dict[str, np.ndarray]
) -> None:
    again = run(series, truth)
    for name, image in made.images.items():
        np.testing.assert_array_equal(image.data, again.images[name].data)
    assert again.facts == made.facts


def test_a_core_makes_the_mismatch(series: Volume, truth: dict[str, np.ndarray], made: Perfused) -> None:
    core = (truth["delay"] > 10) & (truth["mtt"] > 0)
    found = run(series, truth, core=core, core_ml=12.5).facts
    assert found["volumes_ml"]["core"] == 12.5
    assert found["mismatch_ratio"] > 1 and found["defuse3"] in (True, False)
    assert made.facts["defuse3"] is None


# Points that refuse


def test_without_an_artery_times_to_peak_and_shapes_still_come(
    series: Volume, truth: dict[str, np.ndarray]
) -> None:
    arterial = {**SECTION["aif"]["arterial"], "minimum_peak_ratio": 1000}
    found = run(series, truth, aif={**SECTION["aif"], "arterial": arterial})
    assert "E144" in codes(found) and "no AIF" in found.facts["flags"]
    lost = {f"PWI_{name}" for name in "cbf cbv mtt tmax late aif vof".split()}
    assert found.images.keys() == (MAPS | OTHERS) - lost
    assert found.facts["volumes_ml"].keys() == {"rttp4.5"} and "aif" not in found.facts


def test_a_mask_or_curve_that_is_given_wins(
    series: Volume, truth: dict[str, np.ndarray], made: Perfused, tmp_path: Path
) -> None:
    mask = series.like(truth["aif"] > 0)
    by_mask = run(series, truth, given=Given("aif.nii.gz", mask=mask))
    assert by_mask.facts["aif"]["source"] == "mask" and by_mask.facts["aif"]["n_voxels"] == mask.data.sum()
    # The same curve on the clock of the series, whose first two frames were dropped.
    lost_s = 2 * made.facts["tr_s"]
    rows = [f"{row['time_s'] + lost_s}\t{row['aif_per_s']}" for row in by_mask.curves]
    (tmp_path / "aif.tsv").write_text("\n".join(["time_s\taif", *rows]) + "\n")
    by_file = run(series, truth, given=Given("aif.tsv", curve=tmp_path / "aif.tsv"))
    assert by_file.facts["aif"]["source"] == "file" and "PWI_aif" not in by_file.images
    assert by_file.facts["aif"]["ttp_s"] == pytest.approx(by_mask.facts["aif"]["ttp_s"], abs=0.5)
    tmax = [found.images["PWI_tmax"].data[truth["delay"] > 6].mean() for found in (by_mask, by_file)]
    assert tmax[0] == pytest.approx(tmax[1], abs=0.5)


def test_a_mask_on_another_grid_is_refused_and_no_artery_is_guessed(
    series: Volume, truth: dict[str, np.ndarray]
) -> None:
    elsewhere = Volume(np.ones((8, 8, 4), bool), np.diag([3.0, 3.0, 3.0, 1.0]))
    found = run(series, truth, given=Given("aif.nii.gz", mask=elsewhere))
    assert [fault.path for fault in found.faults if fault.code == "E120"] == ["aif.nii.gz"]
    assert "PWI_tmax" not in found.images and "PWI_rttp" in found.images


def test_without_a_bolus_the_brain_and_the_times_are_what_is_left(
    series: Volume, truth: dict[str, np.ndarray]
) -> None:
    still = series.data[..., [3]] + np.random.default_rng(0).normal(0, 2, series.data.shape)
    found = run(replace(series, data=still.astype(np.float32)), truth)
    assert codes(found) == ["E142"] and found.facts["flags"] == ["no bolus"]
    assert found.images.keys() == {"PWI_brain"} and found.curves == []
    assert found.facts["te_s"] > 0 and "volumes_ml" not in found.facts


@pytest.mark.parametrize(("key", "code"), [("EchoTime", "E141"), ("RepetitionTime", "E141")])
def test_missing_times_are_refused_unless_the_configuration_gives_them(
    key: str, code: str, series: Volume, truth: dict[str, np.ndarray], made: Perfused
) -> None:
    without = replace(series, metadata={k: v for k, v in series.metadata.items() if k != key})
    found = run(without, truth)
    assert (
        codes(found) == [code] and key in found.faults[0].sentence and found.facts["flags"] == ["no timing"]
    )
    name = {"EchoTime": "te_s", "RepetitionTime": "tr_s"}[key]
    timing = {**SECTION["series"]["timing"], name: series.metadata[key]}
    given = run(without, truth, series={**SECTION["series"], "timing": timing})
    assert codes(given) == codes(made)


@pytest.mark.parametrize("values", [0.0, -1.0])
def test_a_given_curve_without_a_bolus_is_refused(
    values: float, series: Volume, truth: dict[str, np.ndarray], tmp_path: Path
) -> None:
    rows = [f"{values}" for _ in range(series.data.shape[3])]
    (tmp_path / "aif.tsv").write_text("\n".join(rows) + "\n")
    found = run(series, truth, given=Given("aif.tsv", curve=tmp_path / "aif.tsv"))
    assert [fault.path for fault in found.faults if fault.code == "E144"] == ["aif.tsv"]
    assert "PWI_tmax" not in found.images and "aif" not in found.facts and "PWI_k2" in found.images


def test_a_series_that_lasts_less_than_a_peak_is_refused(
    series: Volume, truth: dict[str, np.ndarray]
) -> None:
    hasty = replace(series, metadata={**series.metadata, "RepetitionTime": 0.0015})
    found = run(hasty, truth)
    assert "E143" in codes(found) and "PWI_tmax" not in found.images and "no timing" in found.facts["flags"]


def test_a_short_series_is_flagged_and_still_measured(series: Volume, truth: dict[str, np.ndarray]) -> None:
    found = run(replace(series, data=series.data[..., :45]), truth)
    assert "W148" in codes(found) and "short series" in found.facts["flags"]
    assert found.facts["held_points"] > 10 and "tmax6" in found.facts["volumes_ml"]


def test_a_wrong_artery_shows_by_relative_time_to_peak(series: Volume, truth: dict[str, np.ndarray]) -> None:
    late = series.like((truth["delay"] > 6) & (truth["delay"] < 7))
    found = run(series, truth, given=Given("aif.nii.gz", mask=late))
    assert "W151" in codes(found) and "rTTP and Tmax disagree" in found.facts["flags"]


def test_the_brain_of_a_series_that_no_transform_reaches_is_found_in_it(
    series: Volume, truth: dict[str, np.ndarray]
) -> None:
    settings = {"smoothing_mm": 2.0, "opening_mm": 5.0, "edge_mm": 2.0}
    mask, how = brain_of(series, None, 2, **settings)
    brain = truth["mtt"] > 0
    assert how.startswith("series") and 2 * (mask & brain).sum() / (mask.sum() + brain.sum()) > 0.85
    assert brain_of(series, brain, 2, **settings)[1] == "diffusion"


def test_what_has_leaked_is_no_blood_volume(made: Perfused, truth: dict[str, np.ndarray]) -> None:
    cbv, true = made.images["PWI_cbv"].data, truth["cbf"] * truth["mtt"] / 60
    seen = made.images["PWI_valid"].data & (truth["cbf"] > 15)
    leaky = seen & truth["hypoperfused"].astype(bool)
    ratio = [float(cbv[one].mean() / true[one].mean()) for one in (leaky, seen & ~leaky)]
    assert 0.8 < ratio[0] / ratio[1] < 1.1  # with what has leaked, 1.4


def test_an_artery_that_was_given_and_refused_is_not_guessed(
    series: Volume, truth: dict[str, np.ndarray]
) -> None:
    found = run(series, truth, given=Given("sub-0004_label-AIF_mask.nii.gz"))
    assert codes(found) == ["E144"] and "PWI_tmax" not in found.images and "PWI_rttp" in found.images
