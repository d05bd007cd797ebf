"""From measured values to numbers between 0 and 1."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reperfuse.studies.fusion import ranges
from tests.studies.fusion.made_cohort import brain

SHAPE, MM = (10, 12, 14), (4.0, 4.0, 4.0)
MASK = brain(SHAPE)
SECTION: dict[str, Any] = {
    "fixed": {"adc": [0, 3000], "jac": [-1, 1], "lesion": [0, 1]}, "quantiles": [0.0, 1.0],
    "field_mm": 0, "smooth_mm": 0,
}  # fmt: skip
RNG = np.random.default_rng(0)


def image(scale: float = 1.0) -> np.ndarray:
    return np.asarray(scale * RNG.uniform(1, 3, SHAPE))


def made(name: str, *images: np.ndarray, **changed: Any) -> tuple[ranges.Range, np.ndarray]:
    """Return the range of some images and the images by it."""
    section = SECTION | changed
    stack = np.stack([ranges.prepared(name, one, MASK, section, MM) for one in images])
    found = ranges.fit(name, stack[:, MASK], section)
    stack[:, MASK] = ranges.apply(stack[:, MASK], found)
    return found, stack


def test_a_contrast_with_a_unit_has_the_range_of_the_configuration() -> None:
    found, (values,) = made("adc", np.full(SHAPE, 1500.0))
    assert found == ranges.Range(0.0, 3000.0)
    assert values[MASK] == pytest.approx(0.5) and not values[~MASK].any()


@given(st.floats(0.05, 20), st.sampled_from([0, 12]))
def test_an_images_own_scale_does_not_matter_where_there_is_no_unit(scale: float, field_mm: float) -> None:
    one = image()
    found, (a, b) = made("trace", one, one * scale, field_mm=field_mm)
    assert found.low < 1 < found.high
    assert np.allclose(a, b, atol=1e-5) and a[MASK].min() < 1e-6 and a[MASK].max() == pytest.approx(1)


def test_only_the_brain_counts_and_values_outside_the_range_are_cut() -> None:
    one = image()
    loud = np.where(MASK, one, 1e4)
    assert made("trace", one, field_mm=12)[0] == made("trace", loud, field_mm=12)[0]
    found, _ = made("trace", one)
    bright = ranges.apply(ranges.prepared("trace", one**3, MASK, SECTION, MM)[MASK], found)
    assert bright.max() == 1 and bright.min() == 0


def test_a_smooth_field_is_taken_out_and_what_is_smaller_stays() -> None:
    z = np.indices(SHAPE)[0]
    plain = 1 + 0.3 * RNG.choice([-1, 1], SHAPE)
    bent = plain * np.exp(0.1 * (z - z.mean()))
    kept = {mm: [ranges.prepared("t1w", one, MASK, SECTION | {"field_mm": mm}, MM)[MASK] for one in (plain, bent)]
            for mm in (0, 12)}  # fmt: skip
    errors = {mm: float(np.std(a - b)) for mm, (a, b) in kept.items()}
    assert errors[12] < errors[0] / 1.5
    assert np.corrcoef(kept[12][1], plain[MASK])[0, 1] > 0.9
    adc = ranges.prepared("adc", bent, MASK, SECTION | {"field_mm": 12}, MM)
    assert adc[MASK] == pytest.approx(bent[MASK])  # it has a unit


def test_smoothing_stays_inside_the_brain_and_keeps_a_constant() -> None:
    one = ranges.prepared("adc", np.full(SHAPE, 7.0), MASK, SECTION | {"smooth_mm": 6}, MM)
    assert one[MASK] == pytest.approx(7) and not one[~MASK].any()
    rough = image()
    smooth = ranges.prepared("adc", rough, MASK, SECTION | {"smooth_mm": 6}, MM)
    assert smooth[MASK].std() < rough[MASK].std() / 2


def test_what_was_not_measured_is_no_value_but_no_lesion_is_one() -> None:
    one = image()
    one[:5] = 0
    section = SECTION | {"field_mm": 12, "smooth_mm": 6}
    values = ranges.prepared("trace", one, MASK, section, MM)
    assert not values[:5].any() and values[5:][MASK[5:]] == pytest.approx(1, abs=0.3)
    assert ranges.prepared("lesion", one > 0, MASK, section, MM)[4][MASK[4]].max() > 0.1


def test_the_jacobian_is_seen_by_its_logarithm() -> None:
    for determinant, expected in ((1.0, 0.5), (np.e, 1.0), (1e-9, 0.0), (np.exp(-0.5), 0.25)):
        assert made("jac", np.full(SHAPE, determinant))[1][0][MASK] == pytest.approx(expected)
    assert made("jac", np.full(SHAPE, 2.0), fixed={})[0].low == pytest.approx(np.log(2))


def test_empty_and_constant_images_give_finite_numbers() -> None:
    for value in (0.0, 7.0, np.nan):
        found, values = made("gre", np.full(SHAPE, value), field_mm=12, smooth_mm=6)
        assert found.high > found.low and np.isfinite(values).all()


def test_a_signed_map_needs_a_range() -> None:
    signed = RNG.normal(size=SHAPE)
    assert "intensity.fixed" in ranges.lacks_range("zmap", signed, MASK, SECTION)
    assert not ranges.lacks_range("zmap", signed, MASK, SECTION | {"fixed": {"zmap": [-3, 3]}})
    assert not ranges.lacks_range("jac", signed, MASK, SECTION)
    assert not ranges.lacks_range("zmap", np.where(MASK, image(), -1), MASK, SECTION)  # outside the brain
    one = image()
    one[5, 6, 7] = -0.1
    assert not ranges.lacks_range("trace", one, MASK, SECTION)


def test_large_cohorts_are_thinned_and_give_the_same_range_nearly(monkeypatch: pytest.MonkeyPatch) -> None:
    many = [image(scale) for scale in range(1, 30)]
    whole, _ = made("trace", *many, quantiles=[0.05, 0.95])
    monkeypatch.setattr(ranges, "MOST_VALUES", 2000)
    thin, _ = made("trace", *many, quantiles=[0.05, 0.95])
    assert (thin.low, thin.high) == pytest.approx((whole.low, whole.high), rel=0.05) and thin != whole
