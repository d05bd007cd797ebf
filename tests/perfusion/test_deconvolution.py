"""Delay, flow and volume against curves whose truth is known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reperfuse.perfusion.deconvolution import inverse, kept
from tests.perfusion.objects import (
    CBF,
    DELAYS_S,
    MTTS_S,
    STEP_S,
    N,
    artery,
    circulant,
    measured,
    phantoms,
    reference_object,
    settings,
    tissue,
    toeplitz,
    truncated,
    volumes,
)

TIMES = np.arange(N) * STEP_S
AIF = artery(TIMES)


@pytest.mark.parametrize("threshold", [0.05, 0.1, 0.2])
def test_kept_frequencies_are_the_truncated_svd_of_the_block_circulant_matrix(threshold: float) -> None:
    curves = tissue(6.0, np.array([-1.3, 0.0, 4.4]))
    padded = np.hstack([curves, np.zeros_like(curves)])
    dense = padded @ truncated(circulant(AIF, STEP_S), threshold).T
    lags = np.arange(2 * N) * STEP_S
    ours = curves @ inverse(AIF, kept(AIF, threshold), lags, step_s=STEP_S)
    np.testing.assert_allclose(ours, dense, atol=1e-10 * np.abs(dense).max())


def test_lags_that_wrap_around_are_negative_delays() -> None:
    keep, lag = kept(AIF, 0.1), 3 * STEP_S
    both = inverse(AIF, keep, np.array([-lag, 2 * N * STEP_S - lag]), step_s=STEP_S)
    np.testing.assert_allclose(both[:, 0], both[:, 1], atol=1e-12 * np.abs(both).max())


@pytest.mark.parametrize("width_s", [1.5, 2.0])
@pytest.mark.parametrize("method", ["cSVD", "oSVD"])
@pytest.mark.parametrize("mtt_s", MTTS_S)
def test_delay_and_flow_do_not_depend_on_the_delay(method: str, mtt_s: float, width_s: float) -> None:
    aif = artery(TIMES, width_s)
    maps = measured(tissue(mtt_s, DELAYS_S, width_s=width_s), aif, method=method)
    error = maps.tmax_s - DELAYS_S
    assert np.ptp(error) <= 0.1  # demanded: 0.5 s
    assert np.abs(error).max() <= 0.1
    assert (np.diff(maps.tmax_s) > 0).all()
    assert np.ptp(maps.cbf) <= 0.03 * CBF  # demanded: 5 %
    np.testing.assert_allclose(maps.cbf, CBF, rtol=0.03)
    np.testing.assert_allclose(maps.mtt_s, mtt_s, rtol=0.04)
    np.testing.assert_allclose(maps.cbv, CBF * mtt_s / 60, rtol=0.02)


@pytest.mark.parametrize(
    ("method", "threshold", "low", "high"), [("cSVD", 0.1, 1.9, 3.3), ("oSVD", 0, 1.2, 2.2)]
)
def test_without_correction_tmax_has_the_bias_of_other_programs(
    method: str, threshold: float, low: float, high: float
) -> None:
    keys = {"method": method, "correction": "none", "oscillation_index": 0.035, "lowest_threshold": 0.01}
    if threshold:
        keys["threshold"] = threshold
    for mtt_s in MTTS_S:
        error = measured(tissue(mtt_s, DELAYS_S), AIF, **keys).tmax_s - DELAYS_S
        assert low <= error.min() and error.max() <= high


def test_the_peak_of_a_low_passed_residue_function_says_too_little_flow() -> None:
    curves = tissue(4.0, DELAYS_S)
    plain = measured(curves, AIF, correction="none")
    assert (plain.cbf < 0.6 * CBF).all()
    np.testing.assert_allclose(plain.cbv, measured(curves, AIF).cbv)


def test_osvd_takes_a_higher_threshold_for_a_noisier_curve_and_keeps_its_residue_calm() -> None:
    rng = np.random.default_rng(0)
    clean = np.repeat(tissue(6.0, np.array([2.0])), 40, axis=0)
    noisy = clean + rng.normal(0, 0.05 * clean.max(), clean.shape)
    limit = settings()["oscillation_index"]
    low, high = (measured(c, AIF, method="oSVD").threshold for c in (clean, noisy))
    assert np.median(high) > np.median(low)
    lags = np.arange(2 * N) * STEP_S
    for curve, threshold in zip(noisy, high, strict=True):

        def index(share: float, curve: np.ndarray = curve) -> float:
            residue = curve @ inverse(AIF, kept(AIF, share), lags, step_s=STEP_S)
            return float(np.abs(np.diff(residue, 2)).sum() / residue.size / residue.max())

        assert index(float(threshold)) <= limit * (1 + 1e-4)
        assert (
            threshold <= settings()["lowest_threshold"]
            or index(float(threshold) - 0.01) > limit
            or (kept(AIF, float(threshold)).sum() == kept(AIF, float(threshold) - 0.01).sum())
        )


@given(scale=st.floats(0.1, 10), aif_scale=st.floats(0.1, 10), mtt_s=st.sampled_from(MTTS_S))
def test_flow_is_in_proportion_and_delay_does_not_care(scale: float, aif_scale: float, mtt_s: float) -> None:
    curves = tissue(mtt_s, np.array([0.0, 5.0]))
    one, other = measured(curves, AIF), measured(scale * curves, aif_scale * AIF)
    np.testing.assert_allclose(other.cbf * aif_scale / scale, one.cbf, rtol=1e-4)
    np.testing.assert_allclose(other.tmax_s, one.tmax_s, atol=1e-3)
    np.testing.assert_allclose(other.mtt_s, one.mtt_s, rtol=1e-4)


def test_what_has_no_bolus_has_no_flow_and_noise_no_height() -> None:
    rng = np.random.default_rng(0)
    curves = np.vstack([np.zeros((1, N)), rng.normal(0, 1, (500, N)), 50 * tissue(4.0, np.array([0.0]))])
    curves[-1] += rng.normal(0, 1, N)
    maps = measured(curves, AIF)
    assert maps.cbf[0] == maps.tmax_s[0] == maps.mtt_s[0] == maps.peak_z[0] == 0
    assert np.median(maps.peak_z[1:-1]) < 2 and maps.peak_z[-1] > 8
    for values in (maps.cbf, maps.cbv, maps.mtt_s, maps.tmax_s, maps.peak_z):
        assert values.dtype == np.float32 and np.isfinite(values).all()


def test_chunks_and_neighbours_change_nothing() -> None:
    rng = np.random.default_rng(0)
    curves = tissue(5.0, DELAYS_S)[rng.integers(0, DELAYS_S.size, 9000)] + rng.normal(0, 0.1, (9000, N))
    for method in ("cSVD", "oSVD"):
        whole = measured(curves, AIF, method=method)
        part = measured(curves[8500:], AIF, method=method)
        np.testing.assert_allclose(whole.tmax_s[8500:], part.tmax_s, atol=1e-3)


@pytest.mark.parametrize(
    ("curves", "aif"),
    [
        (np.ones((2, 5)), np.ones(6)),
        (np.ones((2, 5)), np.zeros(5)),
        (np.full((2, 5), np.nan), np.ones(5)),
    ],
)
def test_what_cannot_be_deconvolved_is_refused(curves: np.ndarray, aif: np.ndarray) -> None:
    with pytest.raises(ValueError):
        measured(curves, aif)


def test_haematocrit_scales_flow_and_volume_only() -> None:
    curves = tissue(5.0, np.array([1.0]))
    one, other = measured(curves, AIF), measured(curves, AIF, haematocrit_factor=0.73)
    assert other.cbf[0] / one.cbf[0] == pytest.approx(0.73) == other.cbv[0] / one.cbv[0]
    assert other.mtt_s[0] == pytest.approx(one.mtt_s[0])


def test_the_osipi_object_is_found_with_the_settings_fixed_before(real_data: Path) -> None:
    """The object's curves are sums over samples: their area is CBV · x/(1 − exp(−x)), x = step/MTT."""
    dro = reference_object(real_data)
    x = dro.step_s * dro.cbf / (60 * dro.cbv)
    np.testing.assert_allclose(
        100 * dro.curves.sum(axis=1) / dro.aif.sum(), dro.cbv * x / (1 - np.exp(-x)), rtol=0.065
    )
    maps = measured(dro.curves, dro.aif, step_s=dro.step_s, convolution="sums")
    error = np.abs(maps.cbf / dro.cbf - 1)
    best = np.abs(
        6000 * (dro.curves @ truncated(toeplitz(dro.aif, dro.step_s), 0.2).T).max(axis=1) / dro.cbf - 1
    )
    assert best.mean() == pytest.approx(0.105, abs=0.002)
    assert error.mean() <= 0.07 < best.mean()
    for volume in (2.0, 4.0):
        assert (np.diff(maps.cbf[dro.cbv == volume]) > 0).all()
    np.testing.assert_allclose(maps.cbv, dro.cbv, rtol=0.2)
    assert np.median(np.abs(maps.tmax_s)) <= 0.2
    assert (np.diff(measured(dro.curves, dro.aif, step_s=dro.step_s).cbf[:7]) > 0).all()


@pytest.mark.slow
@pytest.mark.parametrize("snr", [40, 20])
def test_the_volume_of_tmax_above_6_s_on_the_phantom(snr: float) -> None:
    """On patients that the settings were not chosen on."""
    found = [(one.true_ml, volumes(one, 6.0)["ml"]) for one in phantoms(8, 24, snr=snr)]
    true, ours = (np.array(column) for column in zip(*found, strict=True))
    assert abs(ours.sum() / true.sum() - 1) <= 0.1
    assert np.median(np.abs(ours / true - 1)) <= 0.1
    large = true >= 20
    assert (np.abs(ours - true)[large] <= 0.1 * true[large] + 1.5).all()
    assert np.abs(ours - true)[~large].max() <= 5
