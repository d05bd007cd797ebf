from __future__ import annotations

import json

import nibabel as nib
import numpy as np
import pytest

from reperfuse.core.tables import read_table
from reperfuse.phantom.patient import SITES
from reperfuse.phantom.perfusion_truth import Perfusion, Timing, arterial, curves


def test_a_curve_equals_its_integral():
    """C(t) = k CBF/6000 (AIF ⊗ R)(t) + κ∫C dt, summed directly for single voxels."""
    timing = Timing(1.7, 0.03, 45, 14.0)
    delay, cbf, mtt, kappa = (np.array(v, dtype=np.float32) for v in (
        [0.0, 4.0, 11.0], [60.0, 20.0, 9.0], [4.0, 6.5, 12.0], [0.0, 0.01, 0.03]))  # fmt: skip
    none = np.zeros(3, dtype=bool)
    maps = Perfusion(delay, cbf, mtt, kappa, none, none, none, np.zeros(45), np.zeros(45), 6.4)
    found = curves(maps, timing, 0.1)
    step = 0.01
    t = np.arange(0, timing.times_s[-1], step)
    artery = arterial(t, timing.arrival_s, 0.1)
    for i in range(3):
        residue = np.where(t >= delay[i], np.exp(-np.maximum(t - delay[i], 0) / mtt[i]), 0)
        tissue = 6.4 * cbf[i] / 6000 * np.convolve(artery, residue)[: t.size] * step
        expected = np.interp(timing.times_s, t, tissue + kappa[i] * np.cumsum(tissue) * step)
        np.testing.assert_allclose(found[i], expected, atol=0.012 * expected.max())


def test_the_artery_is_a_gamma_variate_that_peaks_three_widths_after_arrival():
    t = np.arange(0, 60, 0.01)
    artery = arterial(t, 15.0, 0.0)
    assert t[np.argmax(artery)] == pytest.approx(15 + 3 * 1.5, abs=0.02)
    s = 22.0 - 15.0
    ratio = (s**3 * np.exp(-s / 1.5)) / (4.5**3 * np.exp(-3.0))
    assert artery[2200] / artery.max() == pytest.approx(ratio, rel=1e-3)
    assert (artery[t < 15] == 0).all()


def test_the_series_shows_what_the_truth_says(cohort):
    for name in cohort.names:
        stem = cohort.bids / name / "ses-01" / "perf" / f"{name}_ses-01_ce-gadolinium_dsc"
        series = np.asanyarray(nib.load(f"{stem}.nii.gz").dataobj).astype(float)
        sidecar = json.loads(stem.with_name(stem.name + ".json").read_text())
        rows = read_table(cohort.truth / name / "curves.tsv")
        time, aif = (np.array([float(row[k]) for row in rows]) for k in ("time_s", "aif_per_s"))
        truth = {
            k: np.asanyarray(nib.load(cohort.truth / name / f"J0_{k}.nii.gz").dataobj)
            for k in ("delay", "cbf", "mtt", "kappa", "hypoperfused", "aif", "vof", "brain")
        }
        assert 1.5 <= sidecar["RepetitionTime"] <= 2.2 and time[1] == pytest.approx(sidecar["RepetitionTime"])
        assert 40 <= series.shape[3] <= 44 and len(rows) == series.shape[3]
        assert truth["aif"].sum() >= 4 and truth["vof"].sum() >= 4
        low, delay = truth["hypoperfused"] > 0, truth["delay"]
        assert (delay > 6).any() and (delay[low] >= 2).all() and delay.max() <= 12 and not delay[~low].any()
        assert (truth["kappa"][low] > 0).all() and not truth["kappa"][~low].any()
        grey = (truth["cbf"] > 45) & ~low & (truth["aif"] + truth["vof"] == 0)
        mean = series[grey].mean(axis=0)
        baseline = mean[2:6].mean()
        assert 1.2 < mean[0] / baseline < 1.3 and 1.02 < mean[1] / baseline < 1.1
        assert 0.25 < 1 - mean.min() / baseline < 0.6
        artery = series[truth["aif"] > 0].mean(axis=0)
        rate = -np.log(artery / artery[2:6].mean()) / sidecar["EchoTime"]
        assert np.argmax(artery < 0.5 * artery[3]) < np.argmin(mean)
        keep = aif < 60
        np.testing.assert_allclose(rate[2:][keep[2:]], aif[2:][keep[2:]], atol=8)
        assert np.argmin(series[low & (delay > 6)].mean(axis=0)) > np.argmin(mean)


def test_sites_differ_in_unit_declaration_and_background():
    assert {site.adc_unit for site in SITES} == {"mm2/s", "1e-3 mm2/s", "1e-6 mm2/s"}
    assert {site.declares_unit for site in SITES} == {site.zero_air for site in SITES} == {True, False}
