"""b-values, trace and the fitted ADC."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reperfuse.core.errors import Refusal
from reperfuse.imaging.diffusion import diffusion_of, fit_adc, geometric_mean, read_bvals, shells
from reperfuse.imaging.volume import Volume

LIMITS = {"b0_max": 50.0, "b_min": 500.0}
ADC = np.random.default_rng(0).uniform(300, 3000, (5, 6, 4))
S0 = np.random.default_rng(1).uniform(500, 2000, (5, 6, 4))


def series(*bvals: float) -> Volume:
    return Volume(np.stack([S0 * np.exp(-b * ADC * 1e-6) for b in bvals], -1).astype(np.float32), np.eye(4))


def code(*args: object) -> str:
    with pytest.raises(Refusal) as caught:
        diffusion_of(*args, **LIMITS)  # type: ignore[arg-type]
    return caught.value.fault.code


@pytest.mark.parametrize("bvals", [(0, 1000), (0, 5, 500, 1000, 2000), (0, 0, 995, 1000, 1005), (10, 800)])
def test_a_mono_exponential_decay_gives_its_adc(bvals: tuple[float, ...]) -> None:
    found, faults = diffusion_of(series(*bvals), np.array(bvals, float), **LIMITS)
    assert faults == [] and found.adc is not None
    np.testing.assert_allclose(found.adc.data, ADC, rtol=1e-3)


def test_parts_of_a_series_with_three_directions() -> None:
    bvals = np.array([0, 4, 1000, 1000, 1000.0])
    data = series(*bvals).data.copy()
    data[..., 2:] *= np.array([0.5, 1.0, 2.0], np.float32)
    found, _ = diffusion_of(Volume(data, np.eye(4)), bvals, **LIMITS)
    assert found.s0 is not None and found.trace is not None and found.adc is not None
    np.testing.assert_allclose(found.s0.data, data[..., :2].mean(-1), rtol=1e-6)
    np.testing.assert_allclose(found.trace.data, S0 * np.exp(-1e-3 * ADC), rtol=1e-4)
    np.testing.assert_allclose(found.adc.data, ADC, rtol=3e-3)
    assert found.b_values == (2.0, 1000.0)


def test_the_trace_is_that_of_the_highest_shell() -> None:
    found, _ = diffusion_of(series(0, 500, 1000), np.array([0, 500, 1000.0]), **LIMITS)
    assert found.trace is not None
    np.testing.assert_allclose(found.trace.data, S0 * np.exp(-1e-3 * ADC), rtol=1e-5)


def test_without_b0_there_is_a_trace_and_no_adc() -> None:
    found, _ = diffusion_of(series(800, 1000), np.array([800, 1000.0]), **LIMITS)
    assert found.s0 is None and found.adc is None and found.trace is not None


@given(st.floats(200, 3500), st.floats(50, 5000), st.lists(st.floats(100, 3000), min_size=1, max_size=6))
def test_the_fit_is_exact_for_any_protocol(adc: float, s0: float, weighted: list[float]) -> None:
    bvals = np.array([0.0, *weighted])
    signal = (s0 * np.exp(-bvals * adc * 1e-6))[None, None, None]
    assert float(fit_adc(signal, bvals)[0, 0, 0]) == pytest.approx(adc, rel=1e-4)


def test_voxels_without_signal_have_no_adc_and_no_trace() -> None:
    data = series(0, 1000).data
    data[0, 0, 0, 1], data[1, 0, 0, 0] = 0, -3
    adc = fit_adc(data, np.array([0, 1000.0]))
    assert adc[0, 0, 0] == adc[1, 0, 0] == 0 and np.isfinite(adc).all()
    assert geometric_mean(data)[0, 0, 0] == 0


def test_a_signal_that_rises_has_a_negative_adc() -> None:
    assert fit_adc(np.array([[[[100.0, 200.0]]]]), np.array([0, 1000.0]))[0, 0, 0] == pytest.approx(
        -693.1, abs=0.1
    )


def test_a_single_image_is_the_trace_unless_its_b_value_says_b0() -> None:
    image = Volume(S0.astype(np.float32), np.eye(4))
    for bvals in (None, np.array([1000.0]), np.array([])):
        assert diffusion_of(image, bvals, **LIMITS)[0].trace is image
    assert diffusion_of(image, np.array([0.0]), **LIMITS)[0].s0 is image
    found, faults = diffusion_of(image, np.array([0, 1000.0]), **LIMITS)
    assert found.trace is image and [fault.code for fault in faults] == ["W214"]


def test_what_b_values_cannot_tell_apart() -> None:
    assert code(series(0, 1000), None) == "E107"
    assert code(series(0, 1000), np.array([0, 1000, 1000.0])) == "E214"
    assert code(series(0, 10, 40), np.array([0, 10, 40.0])) == "E215"
    assert code(series(0, 300), np.array([0, 300.0])) == "E215"


@pytest.mark.parametrize("text", ["0 1000 1000", "0\n1000\n1000\n", "\ufeff0\t1000  1000 ", "0,1000,1e3"])
def test_bval_files_in_rows_and_columns(text: str, tmp_path: Path) -> None:
    path = tmp_path / "a.bval"
    path.write_text(text, encoding="utf-8")
    np.testing.assert_array_equal(read_bvals(path), [0, 1000, 1000])


@pytest.mark.parametrize(
    ("content", "fault"), [(b"b0 b1000", "E215"), (b"0 nan", "E215"), (b"-5 1000", "E215")]
)
def test_bval_files_with_something_else(content: bytes, fault: str, tmp_path: Path) -> None:
    path = tmp_path / "a.bval"
    path.write_bytes(content)
    with pytest.raises(Refusal) as caught:
        read_bvals(path)
    assert caught.value.fault.code == fault and caught.value.fault.path == "a.bval"
    path.unlink()
    with pytest.raises(Refusal) as caught:
        read_bvals(path)
    assert caught.value.fault.code == "E212"


def test_shells_are_named_by_their_mean() -> None:
    assert shells([0, 995, 1005, 5, 2000]) == (2.0, 1000.0, 2000.0)
