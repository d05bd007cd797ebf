"""When the bolus arrives: found from the signal, or refused with the reason."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reperfuse.core.errors import Refusal
from reperfuse.core.settings import fill, load_schema
from reperfuse.perfusion.bolus import Bolus, find_bolus

SCHEMAS = Path(__file__).resolve().parents[2] / "workflow/schemas"
DEFAULTS: dict[str, Any] = fill({}, load_schema(SCHEMAS, "perfusion_series"))["bolus"]
TR_S = 1.8


def course(arrival: float, n: int = 60, drop: float = 0.3, noise: float = 0.002, seed: int = 0) -> np.ndarray:
    """Mean signal of a brain: steady, a gamma-variate fall from ``arrival`` (s), some recirculation."""
    times = np.arange(n) * TR_S
    s = np.maximum(times - arrival, 0) / 2.5
    fall = drop * ((s / 3) ** 3 * np.exp(3 - s) + 0.08 * (s > 4))
    return 500 * (1 - fall) * (1 + noise * np.random.default_rng(seed).standard_normal(n))


def find(signal: np.ndarray, **changes: Any) -> Bolus:
    return find_bolus(signal, np.arange(len(signal)) * TR_S, **{**DEFAULTS, **changes})


@settings(max_examples=60)
@given(st.floats(9, 45), st.integers(0, 10_000), st.floats(0.1, 0.5))
def test_the_arrival_is_found_within_a_frame(arrival: float, seed: int, drop: float) -> None:
    found = find(course(arrival, seed=seed, drop=drop))
    # The cubic rise needs a while until it stands out of the noise.
    assert arrival - TR_S <= found.arrival_s <= arrival + 2.5 * TR_S
    assert found.baseline == slice(0, found.arrival - DEFAULTS["guard_frames"])
    assert found.peak_s == pytest.approx(arrival + 7.5, abs=1.5 * TR_S)
    assert found.drop_percent == pytest.approx(100 * drop, rel=0.12)
    assert not found.truncated and not found.faults


def test_a_spike_of_motion_is_not_taken_for_the_bolus() -> None:
    signal = course(25)
    signal[5] *= 0.5
    signal[40] *= 0.4
    plain, found = find(course(25)), find(signal)
    assert found.peak == plain.peak and abs(found.arrival - plain.arrival) <= 1


@pytest.mark.parametrize(
    ("signal", "words"),
    [
        (course(500), "falls by .* % at most"),
        (course(25, drop=0.03), "falls by .* % at most"),
        (course(-1), "steady frames come before the fall"),
        (course(1.8), "steady frames come before the fall"),
        (course(99), "still falls in the last frame"),
        (np.zeros(60), "falls by 0.0 % at most"),
    ],
)
def test_a_series_without_a_measurable_bolus_is_refused(signal: np.ndarray, words: str) -> None:
    with pytest.raises(Refusal, match=f"E142.*{words}"):
        find(signal)


def test_a_truncated_tail_is_told() -> None:
    whole = course(25)
    found = find(whole[: int(find(whole).peak) + 5])
    assert found.truncated and [fault.code for fault in found.faults] == ["W142"]
    assert "ends 7.2 s after" in found.faults[0].sentence


def test_a_signal_that_does_not_recover_is_truncated() -> None:
    signal = course(25, noise=0)
    peak = int(signal.argmin())
    signal[peak:] = signal[peak] * (1 + 0.001 * np.arange(len(signal) - peak))
    assert find(signal).truncated


def test_the_baseline_is_found_not_a_fixed_share() -> None:
    early, late = find(course(10)), find(course(60, n=70))
    assert early.baseline.stop < 8 < 30 < late.baseline.stop
