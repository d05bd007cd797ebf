"""From measured values to numbers between 0 and 1."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reperfuse.studies.fusion import ranges

MASK = np.ones((4, 5, 6), dtype=bool)
MASK[0] = False
SECTION = {"fixed": {"adc": [0, 3000], "jac": [-1, 1]}, "quantiles": [0.0, 1.0]}
RNG = np.random.default_rng(0)


def image(scale: float = 1.0) -> np.ndarray:
    return (scale * RNG.uniform(1, 3, MASK.shape)).astype(np.float16)


def test_a_contrast_with_a_unit_has_the_range_of_the_configuration() -> None:
    found = ranges.fit(SECTION, [{"adc": image()}], ["adc"], MASK)["adc"]
    assert found == ranges.Range(0.0, 3000.0, False)
    values = ranges.applied("adc", np.full(MASK.shape, 1500, dtype=np.float16), found, MASK)
    assert values[MASK] == pytest.approx(0.5) and not values[~MASK].any()


@given(st.floats(0.05, 20))
def test_an_images_own_scale_does_not_matter_where_there_is_no_unit(scale: float) -> None:
    one = image().astype(np.float32)
    found = ranges.fit(SECTION, [{"trace": one}], ["trace"], MASK)["trace"]
    assert found.relative and found.low < 1 < found.high
    a, b = (ranges.applied("trace", x, found, MASK) for x in (one, one * scale))
    assert np.allclose(a, b, atol=1e-5) and a[MASK].min() == 0 and a[MASK].max() == pytest.approx(1)


def test_only_the_brain_counts_and_values_outside_the_range_are_cut() -> None:
    one = image().astype(np.float32)
    loud = one.copy()
    loud[~MASK] = 1e4
    first, second = (ranges.fit(SECTION, [{"trace": x}], ["trace"], MASK)["trace"] for x in (one, loud))
    assert first == second
    assert ranges.applied("trace", one**3, first, MASK).max() == 1


def test_the_jacobian_is_seen_by_its_logarithm() -> None:
    found = ranges.fit(SECTION, [], ["jac"], MASK)["jac"]
    for determinant, expected in ((1.0, 0.5), (np.e, 1.0), (0.0, 0.0), (np.exp(-0.5), 0.25)):
        values = ranges.applied("jac", np.full(MASK.shape, determinant), found, MASK)
        assert values[MASK] == pytest.approx(expected)
    free = ranges.fit({**SECTION, "fixed": {}}, [{"jac": np.full(MASK.shape, 2.0)}], ["jac"], MASK)["jac"]
    assert not free.relative and free.low == pytest.approx(np.log(2))


def test_empty_and_constant_images_give_finite_numbers() -> None:
    for value in (0.0, 7.0):
        one = np.full(MASK.shape, value, dtype=np.float16)
        found = ranges.fit(SECTION, [{"gre": one}], ["gre"], MASK)["gre"]
        assert found.high > found.low and np.isfinite(ranges.applied("gre", one, found, MASK)).all()


def test_large_cohorts_are_thinned_and_give_the_same_range_nearly(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = {**SECTION, "quantiles": [0.05, 0.95]}
    many = [{"trace": image(scale)} for scale in range(1, 60)]
    whole = ranges.fit(asked, many, ["trace"], MASK)["trace"]
    monkeypatch.setattr(ranges, "MOST_VALUES", 1000)
    thin = ranges.fit(asked, many, ["trace"], MASK)["trace"]
    assert (thin.low, thin.high) == pytest.approx((whole.low, whole.high), rel=0.05) and thin != whole
