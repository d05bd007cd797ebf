"""The unit of an ADC map: what the sidecar says, what its values can only mean, or a refusal."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from reperfuse.core.errors import Fault, Refusal
from reperfuse.imaging.volume import Volume

# Factor to 10⁻⁶ mm²/s. The first three are the choices of the configuration.
SCALES = {"mm2/s": 1e6, "1e-3 mm2/s": 1e3, "1e-6 mm2/s": 1.0, "1e-9 mm2/s": 1e-3}
CHOICES = ("mm2/s", "1e-3 mm2/s", "1e-6 mm2/s")
# Median ADC of a brain in 10⁻⁶ mm²/s. A unit that is stated needs less evidence than one that is inferred.
PLAUSIBLE, POSSIBLE = (500.0, 1300.0), (300.0, 3000.0)
# Two ways to the same numbers within 10 % are one reading: Philips' display slope is often 0.967.
SAME = 1.1
# Below this ratio of fluid to brain the image is no ADC map; a mask without any fluid gives about 1.
INVERTED = 0.8
FLUID_TAIL, DARK_TAIL = 1.8, 3.0
LENGTHS = {"mm2": 1e6, "um2": 1.0, "cm2": 1e8, "m2": 1e12}
SUPERSCRIPTS = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁻−µμ", "0123456789--uu")


@dataclass(frozen=True)
class AdcUnits:
    """The unit that an ADC map was found to have.

    Parameters
    ----------
    unit : str
        As stated or as found, for example ``1e-3 mm2/s``.
    scale : float
        Factor from stored values to 10⁻⁶ mm²/s.
    median : float
        Median inside the brain after scaling, voxels above 0 only, in 10⁻⁶ mm²/s.
    evidence : str
        One sentence: why this unit.
    negative_percent : float
        Share of the brain's voxels that were negative and were set to 0.
    """

    unit: str
    scale: float
    median: float
    evidence: str
    negative_percent: float


def scale_of(text: str) -> float | None:
    """Return the factor to 10⁻⁶ mm²/s that a unit's name stands for, None where it is not understood.

    Examples
    --------
    >>> scale_of("10^-3 mm^2/s"), scale_of("µm²/s"), scale_of("arbitrary")
    (1000.0, 1.0, None)
    """
    plain = re.sub(r"[\s^*×·{}()]", "", text.translate(SUPERSCRIPTS).lower())
    plain = re.sub(r"(ms|s|sec)-1$", r"/\1", plain)
    found = re.fullmatch(r"x?(?:(?:10|1e|1\.0e|10\*\*)([+-]?\d+)|1)?(mm2|um2|cm2|m2)/(s|sec|ms)", plain)
    if not found:
        return None
    power, length, time = found.groups()
    return float(f"1e{int(power or 0)}") * LENGTHS[length] * (1e3 if time == "ms" else 1.0)


def candidates(metadata: Mapping[str, Any]) -> dict[str, float]:
    """Return every reading of the stored values: name → factor to 10⁻⁶ mm²/s.

    Philips images hold either values of the display or world kind, or floating-point values that differ from
    them by the scale slope (dcm2niix before and after 2021): stored / ScaleSlope = display / (RescaleSlope ·
    ScaleSlope).
    """
    readings = dict(SCALES)
    scale_slope = _number(metadata.get("PhilipsScaleSlope"))
    for key in ("PhilipsRescaleSlope", "PhilipsRWVSlope"):
        slope = _number(metadata.get(key))
        if scale_slope and slope:
            for unit in CHOICES:
                readings[f"{unit} after {key} × PhilipsScaleSlope"] = scale_slope * slope * SCALES[unit]
    return readings


def _number(value: Any) -> float | None:
    usable = isinstance(value, (int, float)) and not isinstance(value, bool) and 0 < value < float("inf")
    return float(value) if usable else None


def csf_brain_ratio(values: np.ndarray, trace: np.ndarray | None = None) -> float:
    """Return how much brighter than the brain's median its fluid is.

    With a trace image, fluid is its darkest twentieth: in three patients an ADC map was 2.2 to 2.9 times
    as bright there as its median, an exponential ADC or trace image 0.14 to 0.34 times. Without one, fluid
    is the bright tail of the histogram (98th percentile 3.0 to 3.5 times the median), unless there is none
    and a long dark one instead. An infarct, however large, makes a dark tail too, but leaves the bright one.

    Parameters
    ----------
    values : ndarray, shape (n,)
        Positive values inside the brain, in any unit.
    trace : ndarray, shape (n,), optional
        Of the same voxels.
    """
    low, middle, high = np.percentile(values, [2, 50, 98])
    if trace is not None:
        fluid = values[trace <= np.percentile(trace, 5)]
        return float(np.median(fluid) / middle)
    no_fluid = high / middle < FLUID_TAIL and middle / low > DARK_TAIL
    return float(low / middle if no_fluid else high / middle)


def resolve_adc_units(
    adc: Volume,
    head: np.ndarray,
    *,
    override: str,
    max_negative_percent: float,
    trace: np.ndarray | None = None,
    path: str = "",
) -> tuple[Volume, AdcUnits, list[Fault]]:
    """Return an ADC map in 10⁻⁶ mm²/s, negative values set to 0.

    Parameters
    ----------
    adc : Volume
        As read. Its metadata's ``Units``, if understood, settle the unit.
    head : ndarray of bool
        The brain, or the head where no better mask is there.
    override : str
        ``auto``, or one of :data:`CHOICES` to be believed instead of sidecar and values.
    max_negative_percent : float
        Share of negative voxels inside the mask, in percent, above which to warn (W113).
    trace : ndarray, optional
        On the map's grid; tells where fluid is.

    Raises
    ------
    Refusal
        E113 where no unit, or more than one, gives a brain median of 500 to 1300 × 10⁻⁶ mm²/s (300 to 3000
        for a unit that is stated). E114 where fluid is darker than brain.
    """
    used = head & (adc.data > 0)
    inside = adc.data[used].astype(np.float64)
    if not inside.size:
        raise Refusal("E113", path=path, median="0", candidates="no unit", choices=", ".join(CHOICES))
    ratio = csf_brain_ratio(inside, None if trace is None else trace[used])
    raw = float(np.median(inside))
    if ratio < INVERTED:
        raise Refusal("E114", path=path, ratio=f"{ratio:.2f}")
    unit, scale, evidence = _settled(raw, adc.metadata, override, path)
    negative = 100.0 * float(np.mean(adc.data[head] < 0))
    faults = []
    if negative > max_negative_percent:
        faults.append(Fault("W113", path, {"percent": f"{negative:.1f}"}))
    scaled = np.maximum(adc.data * np.float64(scale), 0).astype(np.float32)
    found = AdcUnits(unit, scale, raw * scale, evidence, negative)
    return Volume(scaled, adc.affine, {**adc.metadata, "Units": "1e-6 mm2/s"}), found, faults


def _settled(raw: float, metadata: Mapping[str, Any], override: str, path: str) -> tuple[str, float, str]:
    """Return unit, factor and evidence."""
    stated = metadata.get("Units")
    fitting = {name: s for name, s in candidates(metadata).items() if PLAUSIBLE[0] <= raw * s <= PLAUSIBLE[1]}
    if override != "auto":
        unit, scale, source = override, SCALES[override], "the configuration says"
    elif isinstance(stated, str) and (scale_stated := scale_of(stated)) is not None:
        unit, scale, source = stated.strip(), scale_stated, "the sidecar says"
    else:
        distinct: dict[str, float] = {}
        for name, s in fitting.items():
            if all(max(s / other, other / s) > SAME for other in distinct.values()):
                distinct[name] = s
        if len(distinct) != 1:
            raise _unclear(raw, list(distinct), path)
        ((unit, scale),) = distinct.items()
        evidence = f"no unit is stated; a median of {raw:.4g} in the brain fits {unit} alone"
        return unit, scale, evidence
    if not POSSIBLE[0] <= raw * scale <= POSSIBLE[1]:
        raise _unclear(raw, [*fitting, f"not {unit}, as {source}"] if fitting else [], path)
    return unit, scale, f"{source} {unit}; the median in the brain is then {raw * scale:.4g} ×10⁻⁶ mm²/s"


def _unclear(raw: float, names: list[str], path: str) -> Refusal:
    fits = " or ".join(names[:2]) + "".join(f", {name}" for name in names[2:]) if names else "no known unit"
    return Refusal("E113", path=path, median=f"{raw:.4g}", candidates=fits, choices=", ".join(CHOICES))
