"""The automatic input functions against the phantom's, whose voxels and curves are known."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from reperfuse.core.errors import Refusal
from reperfuse.core.settings import fill, load_schema
from reperfuse.imaging.brain import brain_mask
from reperfuse.imaging.volume import Volume
from reperfuse.perfusion.aif import body_axes, search_region, select_aif, select_vof
from reperfuse.perfusion.bolus import find_bolus
from reperfuse.perfusion.input_curve import InputFunction, from_mask, peak_of
from reperfuse.phantom.patient import Patient, Protocol, row_of
from reperfuse.phantom.scalars import participant_id, simulate

SCHEMAS = Path(__file__).resolve().parents[2] / "workflow/schemas"
DEFAULTS: dict[str, Any] = fill({}, load_schema(SCHEMAS, "perfusion_aif"))
BOLUS: dict[str, Any] = fill({}, load_schema(SCHEMAS, "perfusion_series"))["bolus"]
DUMMIES = 2


@dataclass(frozen=True)
class Case:
    """A patient's concentration (1/s) with clinical noise, and the truth."""

    concentration: np.ndarray
    affine: np.ndarray
    brain: np.ndarray
    times_s: np.ndarray
    truth: dict[str, np.ndarray]
    curves: dict[str, np.ndarray]
    site: int

    def aif(self, **changes: Any) -> InputFunction:
        settings = {**DEFAULTS["arterial"], **changes}
        return select_aif(self.concentration, self.brain, self.times_s, self.affine, **settings)


@cache
def case(seed: int, index: int) -> Case:
    """A patient as the library sees him: automatic brain mask, baseline that was found, clipped logarithm."""
    protocol = Protocol(seed, (48, 56, 16), (4.2, 4.2, 8.0), 128, (40, 60), 0.08, 1000, 40, 0.08, 1, 1, 1, 1)
    row = row_of(simulate(index + 1, seed), index)
    patient = Patient(participant_id(index), row, protocol)
    _, border = patient.diffusion("J0")
    shot = patient.perfusion(border)
    series, times = shot.data[..., DUMMIES:].astype(np.float32), patient.timing.times_s[DUMMIES:]
    mean = Volume(series[..., :4].mean(axis=3), shot.affine)
    brain = brain_mask(mean, contrast="s0", smoothing_mm=2, opening_mm=5, edge_mm=2).mask
    bolus = find_bolus(series[brain].mean(axis=0), times, **BOLUS)
    s0 = series[..., bolus.baseline].mean(axis=3, keepdims=True)
    with np.errstate(divide="ignore", invalid="ignore"):
        values = -np.log(np.maximum(series / s0, 1e-3)) / patient.timing.te_s
    values[s0[..., 0] <= 0] = np.nan
    truth = {name: patient.truth[f"J0_{name}"].data for name in ("aif", "vof")}
    curves = {name: patient.facts["curves"][f"{name}_per_s"][DUMMIES:] for name in truth}
    return Case(np.clip(values, -5, 150), shot.affine, brain, times, truth, curves, int(row["site"]))


PATIENTS = [(seed, index) for seed in (11, 13, 14, 15) for index in range(3)]


@pytest.mark.parametrize(("seed", "index"), PATIENTS)
def test_the_artery_of_the_phantom_is_found(seed: int, index: int) -> None:
    one = case(seed, index)
    found, true = one.aif(), peak_of(one.curves["aif"][None], one.times_s)
    step = one.times_s[1] - one.times_s[0]
    assert found.source == "automatic" and 4 <= found.n_voxels <= 6
    assert (found.voxels & one.truth["aif"]).sum() >= 4
    assert abs(found.ttp_s - true.ttp_s[0]) <= step
    assert found.fwhm_s == pytest.approx(float(true.fwhm_s[0]), rel=0.15)
    assert found.peak_per_s == pytest.approx(float(true.height[0]), rel=0.25)
    assert found.slice == int(np.argwhere(one.truth["aif"])[0, 2])


def test_the_patients_above_are_of_every_site() -> None:
    assert {case(seed, index).site for seed, index in PATIENTS} == {0, 1, 2, 3}


@pytest.mark.parametrize(("seed", "index"), PATIENTS[::3])
def test_the_vein_of_the_phantom_is_found_later_and_larger(seed: int, index: int) -> None:
    one = case(seed, index)
    artery = one.aif()
    found = select_vof(one.concentration, one.brain, one.times_s, one.affine, artery, **DEFAULTS["venous"])
    true = peak_of(one.curves["vof"][None], one.times_s)
    assert found is not None
    assert (found.voxels & one.truth["vof"]).sum() >= 0.75 * found.n_voxels
    assert abs(found.ttp_s - true.ttp_s[0]) <= one.times_s[1] - one.times_s[0]
    assert found.ttp_s > artery.ttp_s
    assert np.trapezoid(found.curve, one.times_s) > np.trapezoid(artery.curve, one.times_s)
    assert not (found.voxels & artery.voxels).any()


def test_a_single_slice_works() -> None:
    one = case(*PATIENTS[0])
    level = int(np.argwhere(one.truth["aif"])[0, 2])
    part = slice(level, level + 1)
    found = select_aif(
        one.concentration[:, :, part], one.brain[:, :, part], one.times_s, one.affine, **DEFAULTS["arterial"]
    )
    assert found.slice == 0 and (found.voxels & one.truth["aif"][:, :, part]).sum() >= 4


def test_the_axes_of_the_array_do_not_matter() -> None:
    one = case(*PATIENTS[1])
    turned = one.affine[:, [2, 0, 1, 3]]
    flip = np.eye(4)
    flip[0, 0], flip[0, 3] = -1, one.brain.shape[2] - 1
    found = select_aif(
        one.concentration.transpose(2, 0, 1, 3)[::-1], one.brain.transpose(2, 0, 1)[::-1], one.times_s,
        turned @ flip, **DEFAULTS["arterial"],
    )  # fmt: skip
    assert body_axes(turned) == (1, 2, 0)
    np.testing.assert_array_equal(found.voxels[::-1].transpose(1, 2, 0), one.aif().voxels)


def test_the_region_lies_at_the_level_of_the_middle_cerebral_artery() -> None:
    brain = np.ones((40, 50, 20), bool)
    shares = {"height_share": [0.2, 0.6], "semi_axes_share": [0.35, 0.15]}
    region = search_region(brain, np.diag([3.5, 3.5, 6.5, 1.0]), **shares)
    assert list(np.flatnonzero(region.any(axis=(0, 1)))) == list(range(4, 12))
    assert region[:, :, 5].any(axis=1).sum() == pytest.approx(0.7 * 40, abs=2)
    assert region[:, :, 5].any(axis=0).sum() == pytest.approx(0.3 * 50, abs=2)
    upside_down = search_region(brain, np.diag([3.5, 3.5, -6.5, 1.0]), **shares)
    np.testing.assert_array_equal(upside_down, region[:, :, ::-1])
    assert not search_region(np.zeros_like(brain), np.eye(4), **shares).any()


def synthetic(n: int = 40, **vessels: tuple[float, float, int]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A slab of tissue that peaks at 30 s, with vessels name=(peak time, height, voxels) in its middle."""
    times = np.arange(n) * 1.8
    random = np.random.default_rng(5)

    def bolus(peak: float, height: float) -> np.ndarray:
        s = np.maximum(times - peak + 6, 0) / 2
        return height * (s / 3) ** 3 * np.exp(3 - s)

    brain = np.ones((24, 24, 3), bool)
    curves = bolus(30, 15) * random.uniform(0.6, 1.4, (*brain.shape, 1))
    row = 12
    for peak, height, count in vessels.values():
        curves[10 : 10 + count, row, 1] = bolus(peak, height)
        row += 1
    return curves + 0.4 * random.standard_normal(curves.shape), brain, times


def refused(curves: np.ndarray, brain: np.ndarray, times: np.ndarray, words: str, **changes: Any) -> None:
    with pytest.raises(Refusal, match=f"E144.*{words}"):
        select_aif(curves, brain, times, np.eye(4) * 3, **{**DEFAULTS["arterial"], **changes})


def test_a_vein_is_never_taken_for_an_artery() -> None:
    curves, brain, times = synthetic(artery=(26, 60, 5), vein=(36, 90, 5))
    found = select_aif(curves, brain, times, np.eye(4) * 3, **DEFAULTS["arterial"])
    assert set(map(tuple, np.argwhere(found.voxels))) == {(10 + k, 12, 1) for k in range(5)}
    curves, brain, times = synthetic(vein=(36, 90, 5))
    refused(curves, brain, times, "")


def test_a_saturated_vessel_is_refused() -> None:
    curves, brain, times = synthetic(artery=(26, 60, 5))
    curves[10:15, 12, 1] = np.minimum(curves[10:15, 12, 1] * 4, 60)
    refused(curves, brain, times, "", minimum_peak_ratio=2.0)


def test_a_series_that_ends_before_the_passage_has_no_input_function() -> None:
    curves, brain, times = synthetic(artery=(26, 60, 5))
    refused(curves[..., :15], brain, times[:15], "")


def test_what_is_hardly_higher_than_the_tissue_is_refused() -> None:
    refused(*synthetic(artery=(26, 60, 5)), "times that of the brain's mean", minimum_peak_ratio=10.0)


def test_fewer_voxels_than_the_minimum_are_refused() -> None:
    curves, brain, times = synthetic()
    curves[~np.isin(np.arange(24), [11, 12])] = np.nan
    refused(curves, brain, times, "", voxels=[40, 60])
    with pytest.raises(Refusal, match="E144"):
        from_mask(np.full((4, 4, 1, 9), np.nan), np.ones((4, 4, 1), bool), np.arange(9.0))


def test_a_mask_that_the_user_gives_is_the_mean_of_its_voxels() -> None:
    one = case(*PATIENTS[2])
    found = from_mask(one.concentration, one.truth["aif"], one.times_s)
    np.testing.assert_allclose(found.curve, one.concentration[one.truth["aif"]].mean(axis=0), rtol=1e-5)
    assert found.source == "mask" and found.n_voxels == 6
    assert found.fwhm_s == pytest.approx(one.aif().fwhm_s, rel=0.15)


def test_the_public_series_gives_the_early_high_cluster(real_data: Path) -> None:
    """Semi-synthetic, 129 different curves. Its artery mask holds all 625 voxels, so it names no artery."""
    folder = real_data / "dsc-dro"
    image = nib.nifti1.load(folder / "test_concentration.nii")
    curves = np.asarray(image.dataobj, float)
    mask = np.asarray(nib.nifti1.load(folder / "test_artery_ROI.nii").dataobj) > 0.5
    assert mask.all()
    times = np.arange(curves.shape[3]) * 1.0
    found = select_aif(
        curves, mask, times, image.affine, **{**DEFAULTS["arterial"], "minimum_peak_ratio": 1.0}
    )
    given = from_mask(curves, mask, times)
    assert found.ttp_s < given.ttp_s and found.peak_per_s > given.peak_per_s
