"""The table of a patient's acquisition."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from markupsafe import Markup

from reperfuse.reporting.pages import fragment, plain, to_float


def _milliseconds(value: Any, longest_in_seconds: float) -> str:
    found = to_float(value)
    if found is None:
        return plain(value)
    # Converters disagree on the unit; both are told apart by size and shown as ms.
    return f"{found * 1000:.4g} ms" if found < longest_in_seconds else f"{found:.4g} ms (given in ms)"


def acquisition(visits: Mapping[str, Mapping[str, Any]]) -> Markup | str:
    """Return the table of how each visit was acquired and which ADC unit was decided on.

    Parameters
    ----------
    visits : mapping
        Visit to what the step ``prepare`` says of it.
    """
    if not visits:
        return ""
    readers = {
        "Vendor": lambda f, a: plain(a.get("Manufacturer")),
        "Model": lambda f, a: plain(a.get("ManufacturersModelName", a.get("ManufacturerModelName"))),
        "Field strength": lambda f, a: _unit(a.get("MagneticFieldStrength"), "T"),
        "Echo time": lambda f, a: _milliseconds(a.get("EchoTime"), 1.0),
        "Repetition time": lambda f, a: _milliseconds(a.get("RepetitionTime"), 100.0),
        "Slice thickness": lambda f, a: _unit(a.get("SliceThickness"), "mm"),
        "b-values": lambda f, a: _unit(f.get("b_values"), "s/mm²"),
        "Coverage": lambda f, a: _unit(f.get("coverage_mm"), "mm"),
        "Brain": lambda f, a: _joined(_unit(f.get("brain_ml"), "ml"), f.get("brain_method")),
        "Skull stripped": lambda f, a: plain(f.get("skull_stripped")),
        "Negative ADC": lambda f, a: _unit(f.get("adc_negative_percent"), "%"),
        "ADC unit": lambda f, a: _joined(
            plain((f.get("adc_unit") or {}).get("unit")), _factor((f.get("adc_unit") or {}).get("scale"))
        ),
        "ADC median": lambda f, a: _unit((f.get("adc_unit") or {}).get("median"), "×10⁻⁶ mm²/s"),
        "Why this unit": lambda f, a: plain((f.get("adc_unit") or {}).get("evidence")),
    }
    rows = [
        (label, [reader(facts, facts.get("acquisition") or {}) for facts in visits.values()])
        for label, reader in readers.items()
    ]
    roles = list(dict.fromkeys(role for facts in visits.values() for role in facts.get("images") or {}))
    grids = [
        (role, [_grid((facts.get("images") or {}).get(role)) for facts in visits.values()]) for role in roles
    ]
    return fragment("patient_acquisition.html.j2", visits=list(visits), rows=rows, grids=grids)


def _unit(value: Any, unit: str) -> str:
    text = plain(value)
    return text if value in (None, "", "n/a") or value == [] else f"{text} {unit}"


def _factor(scale: Any) -> str:
    return "" if scale in (None, 1, 1.0) else f"multiplied by {plain(scale)}"


def _joined(*parts: Any) -> str:
    return ", ".join(str(part) for part in parts if part) or plain(None)


def _grid(image: Mapping[str, Any] | None) -> str:
    if not image:
        return plain(None)
    shape = " × ".join(plain(length) for length in image.get("shape") or ())
    zooms = " × ".join(f"{float(zoom):.3g}" for zoom in image.get("zooms_mm") or ())
    return f"{shape} voxels of {zooms} mm"
