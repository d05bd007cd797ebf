"""When frames were taken: regular, irregular, contradictory, in milliseconds."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reperfuse.core.errors import Refusal
from reperfuse.perfusion.timing import Frames, frame_times


def times(metadata: dict[str, Any], n: int, **changes: Any) -> Frames:
    return frame_times(metadata, n, **{"te_s": None, "tr_s": None, "path": "p.nii.gz"} | changes)


def test_equally_spaced_frames() -> None:
    found = times({"EchoTime": 0.03, "RepetitionTime": 1.8}, 60)
    assert found.source == "RepetitionTime" and found.te_s == 0.03 and found.tr_s == 1.8
    np.testing.assert_allclose(found.times_s, np.arange(60) * 1.8)
    assert not found.faults


def test_milliseconds_are_recognised_and_told() -> None:
    found = times({"EchoTime": 30, "RepetitionTime": 1800}, 40)
    assert (found.te_s, found.tr_s) == (0.03, 1.8)
    assert [fault.code for fault in found.faults] == ["W141", "W141"]
    volumes = times({"EchoTime": 0.03, "VolumeTiming": [0, 1800, 3600, 5400]}, 4)
    np.testing.assert_allclose(volumes.times_s, [0, 1.8, 3.6, 5.4])
    assert volumes.tr_s == 1.8 and [fault.values["key"] for fault in volumes.faults] == ["VolumeTiming"]


@given(st.lists(st.floats(0.5, 6.0), min_size=3, max_size=80), st.floats(0, 100))
def test_irregular_times_are_kept_as_they_are(steps: list[float], start: float) -> None:
    volumes = list(start + np.concatenate([[0.0], np.cumsum(steps)]))
    found = times({"EchoTime": 0.03, "RepetitionTime": 9.0, "VolumeTiming": volumes}, len(volumes))
    assert found.source == "VolumeTiming"
    assert found.times_s[0] == 0
    np.testing.assert_allclose(np.diff(found.times_s), steps, atol=1e-9)
    assert found.tr_s == pytest.approx(np.median(np.diff(volumes)))


@pytest.mark.parametrize(
    ("metadata", "words"),
    [
        ({"VolumeTiming": [0, 1.8, 3.6]}, "3 times for 5 frames"),
        ({"VolumeTiming": [0, 1.8, 1.8, 3.6, 5.4]}, r"do not rise \(frame 2\)"),
        ({"VolumeTiming": [0, 1.8, "3.6", 5.4, 7.2]}, "do not rise"),
        ({"RepetitionTime": [1.8, 1.8, 3.6, 1.8, 1.8]}, "list of 5 values and VolumeTiming is missing"),
        ({"RepetitionTime": 1.8, "NumberOfTemporalPositions": 6}, "5 frames where .* says 6"),
    ],
)
def test_times_that_contradict_the_series_are_refused(metadata: dict[str, Any], words: str) -> None:
    with pytest.raises(Refusal, match=f"E143.*{words}"):
        times({"EchoTime": 0.03, **metadata}, 5)


@pytest.mark.parametrize("metadata", [{"RepetitionTime": 1.8}, {"EchoTime": 0.03}, {}])
def test_missing_times_are_refused_unless_they_are_given(metadata: dict[str, Any]) -> None:
    with pytest.raises(Refusal, match="E141"):
        times(metadata, 40)
    found = times(metadata, 40, te_s=0.03, tr_s=1.8)
    assert (found.te_s, found.tr_s) == (0.03, 1.8)


def test_a_repetition_time_that_is_given_wins_over_the_list() -> None:
    found = times({"EchoTime": 0.03, "VolumeTiming": [0, 1]}, 4, tr_s=2.0)
    np.testing.assert_allclose(found.times_s, [0, 2, 4, 6])
