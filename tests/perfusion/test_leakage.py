from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import spearmanr

from reperfuse.perfusion.concentration import smooth
from reperfuse.perfusion.leakage import boxerman_weisskoff, non_enhancing
from tests.perfusion.objects import KINETICS, SPACING_MM, STEP_S, N, measured, phantoms, tissue

KEYS = KINETICS["leakage"]


def leaking(k2: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Curves of one flow and many leaks, the first of which none."""
    mean = 100 * tissue(4.0, np.array([0.0]))[0]
    integral = np.cumsum(mean) * STEP_S - 0.5 * STEP_S * mean
    return mean + k2[:, None] * integral, np.arange(k2.size) == 0, mean


def test_the_leak_that_was_put_in_is_found_and_taken_away() -> None:
    k2 = np.array([0.0, 0.002, 0.01, 0.03, -0.005])
    curves, reference, mean = leaking(k2)
    found, corrected = boxerman_weisskoff(curves, reference=reference, step_s=STEP_S, effect="T2star")
    np.testing.assert_allclose(found, k2, atol=1e-6)
    np.testing.assert_allclose(corrected, np.tile(mean, (5, 1)), atol=1e-3)
    published, same = boxerman_weisskoff(curves, reference=reference, step_s=STEP_S, effect="T1")
    np.testing.assert_array_equal(published, -found)
    np.testing.assert_array_equal(same, corrected)


def test_tissue_that_is_only_late_does_not_leak_once_it_is_shifted() -> None:
    delay = np.array([0.0, 3.0, 6.0, 9.0])
    curves = 100 * tissue(4.0, delay)
    reference = delay == 0
    plain, _ = boxerman_weisskoff(curves, reference=reference, step_s=STEP_S, effect="T2star")
    shifted, _ = boxerman_weisskoff(
        curves, reference=reference, step_s=STEP_S, effect="T2star", delay_s=delay
    )
    assert np.abs(plain[1:]).min() > 0.002
    assert np.abs(shifted).max() < 5e-4


def test_reference_voxels_end_without_contrast() -> None:
    curves, _, _ = leaking(np.array([0.0, 0.03]))
    curves = np.vstack([curves, np.zeros((1, N))])
    found = non_enhancing(curves, tail_points=KEYS["tail_points"], tail_share=KEYS["tail_share"])
    assert found.tolist() == [True, False, False]
    with pytest.raises(ValueError):
        boxerman_weisskoff(curves, reference=np.zeros(3, dtype=bool), step_s=STEP_S, effect="T1")


def test_k2_ranks_the_leaks_of_the_phantom() -> None:
    series = next(phantoms(8, 9, snr=40))
    curves = smooth(series.curves, series.valid, spacing_mm=SPACING_MM, fwhm_mm=6)[series.valid]
    maps = measured(curves, series.aif, step_s=series.step_s)
    calm = non_enhancing(curves, tail_points=KEYS["tail_points"], tail_share=KEYS["tail_share"])
    reference = calm & (np.abs(maps.tmax_s) < 2) & (maps.peak_z > 5)
    k2, _ = boxerman_weisskoff(
        curves, reference=reference, step_s=series.step_s, effect=KEYS["effect"], delay_s=maps.tmax_s
    )
    low = series.kappa_per_s > 0
    assert spearmanr(k2[low], series.kappa_per_s[low]).statistic > 0.6
    assert np.median(k2[low]) > 0.003 and abs(np.median(k2[~low])) < 2e-4
