from __future__ import annotations

import numpy as np
import pytest

from reperfuse.perfusion.shape import bolus_shape, relative_ttp
from tests.perfusion.objects import DELAYS_S, KINETICS, STEP_S, N, tissue


def test_time_to_peak_follows_the_delay_between_samples() -> None:
    curves = tissue(4.0, DELAYS_S)
    shape = bolus_shape(curves, step_s=STEP_S, arrival_s=15.0, **KINETICS["shape"])
    late = shape.ttp_s - DELAYS_S
    assert np.ptp(late) < 0.2 and (np.diff(shape.ttp_s) > 0).all()
    assert 6 < late.mean() < 12
    earlier = bolus_shape(curves, step_s=STEP_S, arrival_s=5.0, **KINETICS["shape"])
    np.testing.assert_allclose(earlier.ttp_s - shape.ttp_s, 10.0, atol=1e-4)


def test_relative_ttp_is_the_lag_behind_the_reference() -> None:
    delay = np.array([0.0, 0.0, 0.0, 5.0])
    shape = bolus_shape(tissue(4.0, delay), step_s=STEP_S, arrival_s=15.0, **KINETICS["shape"])
    relative = relative_ttp(shape.ttp_s, delay == 0)
    np.testing.assert_allclose(relative, delay, atol=0.15)
    assert (relative > 4.5).tolist() == [False, False, False, True]
    with pytest.raises(ValueError):
        relative_ttp(shape.ttp_s, np.zeros(4, dtype=bool))


def test_slope_final_and_peak_are_what_they_are_called() -> None:
    times = np.arange(N) * STEP_S
    curves = np.stack([0.02 * times, np.full(N, 3.0), np.where(times < 30, 9.0, 1.0)])
    shape = bolus_shape(curves, step_s=STEP_S, arrival_s=15.0, final_points=5, slope_from_s=30.0)
    np.testing.assert_allclose(shape.slope, [0.02, 0, 0], atol=1e-7)
    np.testing.assert_allclose(shape.final, [0.02 * times[-5:].mean(), 3, 1], rtol=1e-6)
    np.testing.assert_allclose(shape.peak, [0.02 * times[-1], 3, 9], rtol=1e-6)


def test_a_series_that_ends_early_has_the_slope_of_its_final_points() -> None:
    times = np.arange(20) * STEP_S
    shape = bolus_shape(0.1 * times[None], step_s=STEP_S, arrival_s=30.0, final_points=5, slope_from_s=30.0)
    assert shape.slope[0] == pytest.approx(0.1)
