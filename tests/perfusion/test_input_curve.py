"""How a peak is described, and curves that a user gives."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reperfuse.core.errors import Refusal
from reperfuse.perfusion.input_curve import from_file, input_function, peak_of, rescaled

SHAPE = (2, 2, 1)


@given(st.floats(10, 40), st.floats(2.5, 6), st.floats(1, 100), st.integers(0, 1000))
def test_a_bell_is_described_between_the_frames(centre: float, sd: float, height: float, seed: int) -> None:
    steps = np.random.default_rng(seed).uniform(0.8, 1.2, 60)
    times = np.concatenate([[0.0], np.cumsum(steps)])
    peak = peak_of((height * np.exp(-((times - centre) ** 2) / (2 * sd**2)))[None], times)
    assert peak.ttp_s[0] == pytest.approx(centre, abs=0.1)
    assert peak.height[0] == pytest.approx(height, rel=0.01)
    if centre > 1.5 * sd and centre + 1.5 * sd < times[-1]:
        assert peak.fwhm_s[0] == pytest.approx(2.3548 * sd, rel=0.03)


def test_a_curve_that_does_not_come_down_has_no_width() -> None:
    times = np.arange(20.0)
    peaks = peak_of(np.stack([times, 20 - times, np.zeros(20), np.exp(-((times - 9) ** 2))]), times)
    assert list(np.isnan(peaks.fwhm_s)) == [True, True, True, False]
    assert peaks.ttp_s[0] == 19 and peaks.ttp_s[1] == 0


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def test_a_table_with_times_is_interpolated_at_the_frames(tmp_path: Path) -> None:
    path = write(tmp_path / "aif.tsv", "time_s\tother\taif\n0\t9\t0\n4\t9\t8\n8\t9\t0\n")
    found = from_file(path, np.array([-1.0, 1, 2, 4, 6, 20]), SHAPE)
    np.testing.assert_allclose(found.curve, [0, 2, 4, 8, 4, 0])
    assert found.source == "file" and found.slice is None and found.n_voxels == 0
    assert found.voxels.shape == SHAPE


@pytest.mark.parametrize("header", ["", "aif\n", "concentration\n"])
def test_one_column_is_taken_at_the_frames(tmp_path: Path, header: str) -> None:
    found = from_file(write(tmp_path / "aif.tsv", header + "0\n1\n5\n2\n"), np.arange(4.0), SHAPE)
    np.testing.assert_allclose(found.curve, [0, 1, 5, 2])


@pytest.mark.parametrize(
    "text",
    ["", "0\n1\n", "aif\n0\n1\n5\n2\n3\n", "time_s\taif\n0\t1\n0\t2\n", "time_s\taif\n0\tx\n",
     "aif\n1\nnan\n2\n3\n",     "time_s\tcurve\n0\t1\n1\t2\n2\t3\n3\t4\n", "0\t1\n2\n3\n4\n",
     "time_s\taif\n0\n1\n5\n2\n"],
)  # fmt: skip
def test_a_file_that_is_neither_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(Refusal, match=r"E144.*aif\.tsv"):
        from_file(write(tmp_path / "aif.tsv", text), np.arange(4.0), SHAPE)


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "aif.tsv").write_bytes(b"\x1f\x8b\xff\xfe0\n1\n5\n2\n")
    with pytest.raises(Refusal, match=r"E144.*aif\.tsv"):
        from_file(tmp_path / "aif.tsv", np.arange(4.0), SHAPE)


def test_partial_volume_scales_up_to_the_vein_and_never_down() -> None:
    times = np.arange(30.0)
    bell = np.exp(-((times - 10) ** 2) / 8)
    aif, vof = (
        input_function(factor * bell, np.zeros(SHAPE, bool), times, "automatic") for factor in (2.0, 5.0)
    )
    scaled, factor = rescaled(aif, vof, times)
    assert factor == pytest.approx(2.5)
    np.testing.assert_allclose(scaled.curve, vof.curve, rtol=1e-6)
    assert scaled.peak_per_s == pytest.approx(vof.peak_per_s)
    same, factor = rescaled(vof, aif, times)
    assert factor == 1.0 and same.peak_per_s == vof.peak_per_s
