"""One visit's raw images, checked and brought to one convention."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from reperfuse.cohort.layout import MAP
from reperfuse.imaging import brain as brains
from reperfuse.imaging.diffusion import Diffusion
from reperfuse.imaging.stream import ReadLimits
from reperfuse.imaging.units import AdcUnits, resolve_adc_units
from reperfuse.imaging.visit import ADC_UNIT, Prepared, Source, Visit, onto
from reperfuse.imaging.volume import Volume

__all__ = ["Prepared", "Source", "prepare_visit"]


def prepare_visit(
    sources: Mapping[str, Source],
    *,
    max_declared_gib: float,
    max_ratio: float,
    allow_no_orientation: bool,
    allow_synthetic: bool,
    max_nonfinite_percent: float,
    adc_units: str,
    max_negative_percent: float,
    b0_max: float,
    b_min: float,
    brain_smoothing_mm: float,
    brain_opening_mm: float,
    brain_edge_mm: float,
    minimum_coverage_mm: float,
    pwi_minimum_volumes: int,
    pwi_baseline_volumes: int,
    pwi_unsteady_percent: float,
) -> Prepared:
    """Read and check every image of a visit; settle ADC unit, diffusion maps and brain mask.

    An image that cannot be used is left out with its fault; the others go on. The ADC map is the scanner's,
    or computed from the diffusion series where there is none or where it was refused. A synthetic image is
    no measurement and refused unless ``allow_synthetic``. Parameters are the section ``prepare`` of the
    configuration.

    Parameters
    ----------
    sources : mapping
        Role (``adc``, ``trace``, ``dwi``, ``pwi``, ``gre``, ``flair``, ``t1w``, ``brain``, ``map_<name>``) → its files.

    Returns
    -------
    Prepared
        ``facts``: ``images`` (shape, zooms_mm, acquisition, synthetic), ``adc_unit`` (unit, scale, median, evidence),
        ``adc_source``, ``adc_negative_percent``, ``b_values``, ``brain_ml``, ``brain_method``,
        ``skull_stripped``, ``coverage_mm``, ``acquisition`` (of the diffusion image), ``pwi``. What is not
        known is left out.
    """
    limits = ReadLimits(max_declared_gib, max_ratio, allow_no_orientation, max_nonfinite_percent)
    visit = Visit(dict(sources), limits, allow_synthetic)
    for role in ("flair", "t1w", "gre", *(role for role in sources if role.startswith(MAP))):
        if (image := visit.attempt(role, visit.single)) is not None:
            visit.keep(role, image, role)
    visit.attempt(
        "pwi",
        lambda role: visit.perfusion(
            role,
            minimum_volumes=pwi_minimum_volumes,
            baseline_volumes=pwi_baseline_volumes,
            unsteady_percent=pwi_unsteady_percent,
        ),
    )
    acquired = {
        role: visit.attempt(role, lambda role: visit.diffusion(role, b0_max, b_min))
        for role in ("trace", "dwi")
    }
    s0, trace, computed = (_first(acquired, part) for part in ("s0", "trace", "adc"))
    given_map = visit.attempt("adc", visit.single)
    base: Volume
    contrast: brains.Contrast
    if s0 is not None:
        base, contrast = s0[0], "s0"
    elif trace is not None:
        base, contrast = trace[0], "trace"
    elif given_map is not None:
        base, contrast = given_map, "adc"
    else:
        return visit.done()
    automatic = brains.brain_mask(
        base,
        contrast=contrast,
        smoothing_mm=brain_smoothing_mm,
        opening_mm=brain_opening_mm,
        edge_mm=brain_edge_mm,
    )
    visit.facts["skull_stripped"] = automatic.skull_stripped
    brain, method = base.like(automatic.mask), automatic.method
    grids = [image for image in (given_map, base) if image is not None]
    if (given := visit.attempt("brain", lambda role: visit.mask(role, grids))) is not None:
        brain, method = given, "given mask"

    fluid = None if trace is None else trace[0]
    adc, adc_role = _adc(visit, given_map, computed, brain, fluid, adc_units, max_negative_percent)
    reference = adc or base
    for name, found in (("trace", trace), ("s0", s0)):
        if found is not None:
            visit.keep(name, visit.on_grid(found[0], reference, found[1]), found[1])
    if adc is not None:
        visit.keep("adc", adc, adc_role)
    visit.brain(onto(brain, reference, interpolation="nearest"), method, minimum_coverage_mm)
    shells = next((d.b_values for d in (acquired["dwi"], acquired["trace"]) if d and d.b_values), ())
    if b_values := shells or visit.stated_b_value():
        visit.facts["b_values"] = [round(b) for b in b_values]
    return visit.done()


def _first(acquired: Mapping[str, Diffusion | None], part: str) -> tuple[Volume, str] | None:
    """Return a part of the first acquisition that has it, and that acquisition's role."""
    for role, diffusion in acquired.items():
        if diffusion is not None and (volume := getattr(diffusion, part)) is not None:
            return volume, role
    return None


def _adc(
    visit: Visit,
    given: Volume | None,
    computed: tuple[Volume, str] | None,
    brain: Volume,
    trace: Volume | None,
    override: str,
    max_negative_percent: float,
) -> tuple[Volume | None, str]:
    """Return the ADC map that counts and the role that it comes from."""

    def resolved(role: str) -> Volume:
        assert given is not None
        adc, units, faults = resolve_adc_units(
            given,
            visit.within(brain, given),
            override=override,
            max_negative_percent=max_negative_percent,
            trace=None if trace is None else onto(trace, given, interpolation="linear").data,
            path=visit.sources[role].name(),
        )
        visit.faults += faults
        visit.adc_facts(units, "scanner map")
        return adc

    if given is not None and (adc := visit.attempt("adc", resolved)) is not None:
        return adc, "adc"
    if computed is None:
        return None, ""
    volume, role = computed
    inside = volume.data[visit.within(brain, volume)]
    positive = inside[inside > 0]
    units = AdcUnits(
        unit=ADC_UNIT,
        scale=1.0,
        median=float(np.median(positive)) if positive.size else 0.0,
        evidence="computed from the diffusion series in this unit",
        negative_percent=100.0 * float(np.mean(inside < 0)) if inside.size else 0.0,
    )
    visit.adc_facts(units, "computed from the diffusion series")
    return Volume(np.maximum(volume.data, 0), volume.affine), role
