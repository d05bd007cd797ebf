from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.interpolate import interp1d

from reperfuse.perfusion.resampling import to_grid


@given(
    step=st.floats(0.5, 3.0), n=st.integers(2, 90), start=st.floats(-5, 20), jitter=st.floats(0, 0.4),
    seed=st.integers(0, 99),
)  # fmt: skip
def test_it_is_linear_interpolation_with_both_ends_held(
    step: float, n: int, start: float, jitter: float, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    times = step * (np.arange(n) + jitter * rng.uniform(-1, 1, n))
    curves = rng.normal(0, 20, (7, n))
    found, held = to_grid(curves, times, step_s=1.8, n_points=60, start_s=start)
    grid = start + 1.8 * np.arange(60)
    expected = interp1d(times, curves, axis=1)(np.clip(grid, times[0], times[-1]))
    assert found.shape == (7, 60) and found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=1e-6 * np.ptp(curves))
    assert held == (grid > times[-1] + 1e-6 * 1.8).sum()


def test_a_short_series_is_held_and_counted_and_a_long_one_cropped() -> None:
    times = np.arange(40) * 1.5
    found, held = to_grid(times[None] + 1, times, step_s=1.8, n_points=60, start_s=0)
    assert held == 60 - 33 and (found[0, 33:] == found[0, 33]).all() and found[0, 33] == pytest.approx(59.5)
    long = np.arange(100) * 2.0
    found, held = to_grid(long[None], long, step_s=1.8, n_points=60, start_s=0)
    assert held == 0 and found[0, -1] == pytest.approx(106.2)


def test_the_grid_itself_comes_back() -> None:
    times = np.arange(60) * 1.8
    curves = np.random.default_rng(0).normal(size=(5, 60)).astype(np.float32)
    found, held = to_grid(curves, times, step_s=1.8, n_points=60, start_s=0)
    assert held == 0
    np.testing.assert_allclose(found, curves, atol=1e-6)


@pytest.mark.parametrize("times", [[0.0, 1.0, 1.0], [0.0, 2.0, 1.0], [0.0, 1.0], [0.0]])
def test_times_that_do_not_rise_or_fit_are_refused(times: list[float]) -> None:
    with pytest.raises(ValueError):
        to_grid(np.ones((2, 3)), np.array(times), step_s=1.8, n_points=60, start_s=0)
