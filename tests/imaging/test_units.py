"""The unit of an ADC map is stated, follows from its values, or is refused."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reperfuse.core.errors import Refusal
from reperfuse.imaging.units import CHOICES, SCALES, csf_brain_ratio, resolve_adc_units, scale_of
from reperfuse.imaging.volume import Volume


def resolve(head: SimpleNamespace, factor: float, override: str = "auto", **metadata: Any):
    adc = Volume((head.adc * factor).astype(np.float32), head.affine, metadata)
    return resolve_adc_units(adc, head.brain, override=override, max_negative_percent=1.0, path="a")


def refused(*args: Any, **kwargs: Any) -> Any:
    with pytest.raises(Refusal) as caught:
        resolve(*args, **kwargs)
    return caught.value.fault


@pytest.mark.parametrize("unit", CHOICES)
@pytest.mark.parametrize("how", ["values", "sidecar", "configuration"])
def test_each_unit_ends_in_the_same_numbers(unit: str, how: str, head: SimpleNamespace) -> None:
    metadata = {"Units": unit.replace("1e-", "10^-")} if how == "sidecar" else {}
    override = unit if how == "configuration" else "auto"
    volume, units, faults = resolve(head, 1 / SCALES[unit], override, **metadata)
    np.testing.assert_allclose(volume.data, head.adc, rtol=1e-5)
    assert units.scale == SCALES[unit] and faults == [] and 780 < units.median < 820
    assert volume.metadata["Units"] == "1e-6 mm2/s"
    assert {"values": "alone", "sidecar": "sidecar", "configuration": "configuration"}[how] in units.evidence


@given(st.floats(550, 1200), st.sampled_from(CHOICES))
def test_any_plausible_brain_in_any_unit_is_recognised(median: float, unit: str) -> None:
    data = np.full((6, 6, 6), median / SCALES[unit], np.float32)
    data[0] *= 3.5
    volume, units, _ = resolve_adc_units(
        Volume(data, np.eye(4)), np.ones(data.shape, bool), override="auto", max_negative_percent=1
    )
    assert units.unit == unit and float(np.median(volume.data)) == pytest.approx(median, rel=1e-5)


@pytest.mark.parametrize(
    ("text", "scale"),
    [
        ("mm2/s", 1e6), ("mm^2/s", 1e6), ("mm²/s", 1e6), ("1e-3 mm2/s", 1e3), ("10^-3 mm^2/s", 1e3),
        ("x10^-6 mm²/s", 1.0), ("×10⁻⁶ mm²/s", 1.0), ("10-6mm2/s", 1.0), ("µm²/s", 1.0), ("um2/ms", 1e3),
        ("mm2 s-1", 1e6), ("mm²·s⁻¹", 1e6), ("m2/s", 1e12), ("10^-5 cm^2/s", 1e3), ("10^{-3} mm^{2}/s", 1e3),
        ("arbitrary", None), ("", None), ("s/mm2", None), ("HU", None),
    ],
)  # fmt: skip
def test_names_of_units(text: str, scale: float | None) -> None:
    assert scale_of(text) == (None if scale is None else pytest.approx(scale))


def test_a_unit_that_is_not_understood_leaves_it_to_the_values(head: SimpleNamespace) -> None:
    assert resolve(head, 1e-3, Units="a.u.")[1].unit == "1e-3 mm2/s"


@pytest.mark.parametrize("factor", [0.01, 7.3, 1e-5])
def test_no_unit_fits(factor: float, head: SimpleNamespace) -> None:
    fault = refused(head, factor)
    assert fault.code == "E113" and "no known unit" in fault.reason
    assert all(choice in fault.sentence for choice in CHOICES)


def test_a_stated_unit_that_cannot_be_is_refused_and_told(head: SimpleNamespace) -> None:
    by_sidecar = refused(head, 1.0, Units="mm2/s")
    assert by_sidecar.code == "E113" and "not mm2/s, as the sidecar says" in by_sidecar.reason
    assert "1e-6 mm2/s" in by_sidecar.reason
    assert "as the configuration says" in refused(head, 1.0, override="1e-3 mm2/s").reason


def test_a_stated_unit_may_have_an_unusual_median(head: SimpleNamespace) -> None:
    assert refused(head, 1.8).code == "E113"
    assert resolve(head, 1.8, Units="1e-6 mm2/s")[1].median == pytest.approx(1440, rel=0.02)


def test_philips_floating_point_values(head: SimpleNamespace) -> None:
    slopes = {"PhilipsRescaleSlope": 0.966995, "PhilipsScaleSlope": 0.00485952}
    volume, units, _ = resolve(head, 1 / (0.966995 * 0.00485952), **slopes)
    assert "PhilipsScaleSlope" in units.unit
    np.testing.assert_allclose(volume.data, head.adc, rtol=1e-5)
    assert resolve(head, 1e-6, **slopes)[1].unit == "mm2/s", (
        "the slopes do not stand in the way of plain units"
    )


def test_two_readings_are_no_reading(head: SimpleNamespace) -> None:
    fault = refused(head, 1.0, PhilipsRescaleSlope=0.0015, PhilipsScaleSlope=1.0)
    assert fault.code == "E113" and " or " in fault.values["candidates"]
    near = resolve(head, 1.0, PhilipsRescaleSlope=0.000967, PhilipsScaleSlope=1.0)
    assert near[1].scale == 1.0, "3 % apart is one reading"
    assert resolve(head, 1.0, "1e-6 mm2/s", PhilipsRescaleSlope=0.0015, PhilipsScaleSlope=1.0)[1].scale == 1.0


@pytest.mark.parametrize("kind", ["exponential", "trace"])
@pytest.mark.parametrize("with_trace", [True, False])
def test_an_image_with_dark_fluid_is_no_adc_map(kind: str, with_trace: bool, head: SimpleNamespace) -> None:
    data = np.exp(-head.adc / 1000) if kind == "exponential" else head.trace
    with pytest.raises(Refusal) as caught:
        resolve_adc_units(
            Volume(data, head.affine),
            head.brain,
            override="auto",
            max_negative_percent=1,
            trace=head.trace if with_trace else None,
        )
    assert caught.value.fault.code == "E114" and float(caught.value.fault.values["ratio"]) < 0.5


@pytest.mark.parametrize("with_trace", [True, False])
def test_a_large_infarct_does_not_make_an_adc_map_look_inverted(
    with_trace: bool, head: SimpleNamespace
) -> None:
    adc, trace = head.adc.copy(), head.trace.copy()
    infarct = head.brain & ~head.fluid & (np.arange(adc.shape[0])[:, None, None] > 28)
    adc[infarct], trace[infarct] = 250, trace[infarct] * 2
    assert 0.2 < infarct.sum() / head.brain.sum() < 0.5
    _, units, _ = resolve_adc_units(
        Volume(adc, head.affine),
        head.brain,
        override="auto",
        max_negative_percent=1,
        trace=trace if with_trace else None,
    )
    assert units.scale == 1


def test_fluid_is_brighter_in_an_adc_map(head: SimpleNamespace) -> None:
    assert 2 < csf_brain_ratio(head.adc[head.brain]) < 5
    assert 2 < csf_brain_ratio(head.adc[head.brain], head.trace[head.brain]) < 5
    random = np.random.default_rng(0)
    tissue, shading = random.normal(800, 80, 5000), random.normal(300, 30, 5000)
    assert csf_brain_ratio(tissue) >= 1, "a mask without fluid"
    assert csf_brain_ratio(tissue, shading) == pytest.approx(1, abs=0.05)


def test_negative_voxels_become_zero_and_are_told(head: SimpleNamespace) -> None:
    where = np.argwhere(head.brain)
    for share, codes in ((0.005, []), (0.05, ["W113"])):
        adc = head.adc.copy()
        some = where[: round(share * len(where))]
        adc[tuple(some.T)] = -2773
        volume, units, faults = resolve_adc_units(
            Volume(adc, head.affine), head.brain, override="auto", max_negative_percent=1.0, path="a"
        )
        assert volume.data.min() == 0 and [fault.code for fault in faults] == codes
        assert units.negative_percent == pytest.approx(100 * share, rel=0.02)


def test_nothing_inside_the_brain(head: SimpleNamespace) -> None:
    assert refused(head, 0.0).code == "E113"
