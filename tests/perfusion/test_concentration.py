from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reperfuse.perfusion.concentration import Concentration, smooth, to_concentration
from tests.perfusion.objects import KINETICS

TE_S, BASE = 0.03, slice(0, 8)


def converted(signal: np.ndarray, **changes: Any) -> Concentration:
    return to_concentration(signal, te_s=TE_S, baseline=BASE, **{**KINETICS["concentration"], **changes})


@given(st.floats(10, 1e4), st.floats(0.01, 60))
def test_concentration_is_what_made_the_signal(s0: float, peak: float) -> None:
    truth = np.concatenate([np.zeros(8), peak * np.sin(np.linspace(0, np.pi, 40))])
    found = converted((s0 * np.exp(-TE_S * truth))[None])
    assert found.valid.all() and found.clamped_percent == 0 and found.values.dtype == np.float32
    np.testing.assert_allclose(found.values[0], truth, atol=2e-4)
    assert found.s0[0] == pytest.approx(s0, rel=1e-6)


@pytest.mark.parametrize("bad", [0.0, -12.0, np.nan, np.inf, -np.inf])
def test_a_point_without_a_logarithm_is_clamped_and_counted(bad: float) -> None:
    signal = np.full((2, 40), 100.0)
    signal[0, 20] = bad
    found = converted(signal)
    assert np.isfinite(found.values).all() and found.valid.all()
    assert found.values[0, 20] == KINETICS["concentration"]["c_max"]
    assert found.clamped_percent == pytest.approx(100 / 80)


def test_a_voxel_with_too_many_clamped_points_is_left_out() -> None:
    signal = np.full((3, 60), 100.0)
    signal[1, 20:23] = 0  # 5 %
    signal[2, 20:24] = 0
    found = converted(signal)
    assert found.valid.tolist() == [True, True, False]
    assert not found.values[2].any() and found.values[1].any()
    assert found.clamped_percent == pytest.approx(100 * 7 / 180)


def test_a_voxel_without_a_baseline_is_left_out_and_not_counted() -> None:
    signal = np.vstack([np.zeros(30), np.full(30, -5.0), np.full(30, np.nan), np.full(30, 7.0)])
    found = converted(signal)
    assert found.valid.tolist() == [False, False, False, True]
    assert found.clamped_percent == 0 and np.isfinite(found.values).all()


def test_limits_are_kept() -> None:
    signal = np.full((1, 60), 100.0)
    signal[0, 30], signal[0, 40] = 100 * np.exp(TE_S * 9), 100 * np.exp(-TE_S * 190)
    values = converted(signal).values[0]
    assert values.min() == -5 and values.max() == 150


@pytest.mark.parametrize(("te_s", "baseline"), [(0.0, BASE), (-0.03, BASE), (TE_S, slice(0, 0))])
def test_no_echo_time_and_no_baseline_are_refused(te_s: float, baseline: slice) -> None:
    with pytest.raises(ValueError):
        to_concentration(np.ones((1, 9)), te_s=te_s, baseline=baseline, **KINETICS["concentration"])


def test_smoothing_keeps_a_constant_and_takes_nothing_from_outside() -> None:
    values = np.full((9, 9, 2, 3), 1e6, dtype=np.float32)
    valid = np.zeros((9, 9, 2), dtype=bool)
    valid[2:7, 3:8] = True
    values[valid] = 4.0
    found = smooth(values, valid, spacing_mm=(2.0, 2.0, 6.0), fwhm_mm=6.0)
    np.testing.assert_allclose(found[valid], 4.0, rtol=1e-5)
    assert not found[~valid].any()
    assert smooth(values, valid, spacing_mm=(2, 2, 6), fwhm_mm=0)[valid].max() == 4


def test_smoothing_has_its_width_and_stays_in_the_slice() -> None:
    values = np.zeros((41, 41, 3, 1), dtype=np.float32)
    values[20, 20, 1] = 1
    found = smooth(values, np.ones(values.shape[:3], dtype=bool), spacing_mm=(1.0, 2.0, 6.0), fwhm_mm=8.0)
    assert not found[:, :, [0, 2]].any()
    for profile, spacing in ((found[:, 20, 1, 0], 1.0), (found[20, :, 1, 0], 2.0)):
        place = np.arange(41) * spacing
        fine = np.interp(np.arange(0, place[-1], 0.01), place, profile)
        assert 0.01 * (fine >= fine.max() / 2).sum() == pytest.approx(8.0, abs=0.4)
