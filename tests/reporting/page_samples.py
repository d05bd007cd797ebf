"""A made-up patient and cohort with everything that a page can show."""

from __future__ import annotations

from typing import Any

import numpy as np

from reperfuse.imaging.volume import Volume
from reperfuse.reporting.cohort_page import CohortView, qc_rows
from reperfuse.reporting.patient import PatientView

SHAPE = (40, 48, 14)
AFFINE = np.diag([4.0, 4.0, 8.0, 1.0])


def _ball(centre: tuple[float, float, float], radii: tuple[float, float, float]) -> np.ndarray:
    grid = np.indices(SHAPE)
    return sum(((grid[axis] - centre[axis]) / radii[axis]) ** 2 for axis in range(3)) < 1


def images(visits: tuple[str, ...] = ("J0", "J1")) -> dict[str, Volume | None]:
    """Return a head with ventricles, and a lesion in the half with the lower first index."""
    brain = _ball((19.5, 23.5, 7), (15, 19, 6))
    fluid = _ball((19.5, 23.5, 8), (3, 8, 3))
    texture = np.random.default_rng(1).normal(0.0, 30.0, SHAPE)
    found: dict[str, Volume | None] = {}
    for visit, size in (("J0", 4.0), ("J1", 5.0)):
        if visit not in visits:
            continue
        core, rim = _ball((12, 24, 8), (size - 2, size - 2, 2)), _ball((12, 24, 8), (size, size, 3))
        adc = np.where(fluid, 2800.0, np.where(core, 400.0, np.where(rim, 560.0, 800.0))) + texture
        adc = np.where(brain, adc, 0.0).astype(np.float32)
        trace = np.where(brain, 900.0 - 0.25 * adc + texture, 0.0).astype(np.float32)
        masks = {"brain": brain, "adc480": core, "adc620": rim | core, "lesion": rim | core}
        for name, data in {"adc": adc, "trace": trace, **masks}.items():
            found[f"{visit}_{name}"] = Volume(data, AFFINE)
    if "J1" in visits:
        found["space-J0_adc"] = found["J1_adc"]
    found["space-J0_flair"] = found["J0_trace"]
    found["space-J0_t1w"] = None
    return found


def fault(code: str, path: str = "", **values: Any) -> dict[str, Any]:
    """Return a fault as a record keeps it."""
    return {"code": code, "participant_id": "sub-01", "session_id": "ses-01", "path": path, "values": values}


def _prepared() -> dict[str, Any]:
    return {
        "images": {"adc": {"shape": list(SHAPE), "zooms_mm": [4.0, 4.0, 8.0]}},
        "adc_unit": {
            "unit": "10⁻³ mm²/s",
            "scale": 1000.0,
            "median": 803.2,
            "evidence": "only one unit fits",
        },
        "brain_ml": 1234.5,
        "brain_method": "from b0",
        "skull_stripped": False,
        "adc_negative_percent": 0.4,
        "coverage_mm": 112.0,
        "acquisition": {"Manufacturer": "Vendor", "MagneticFieldStrength": 3.0, "EchoTime": 0.055},
        "b_values": [0, 1000],
    }


def _pair(moving: str, accepted: bool) -> dict[str, Any]:
    return {
        "moving": moving,
        "fixed": "J0_s0",
        "start": "centre of mass",
        "nmi_before": 1.05,
        "nmi_after": 1.21,
        "brain_dice": 0.97,
        "translation_mm": 3.4,
        "rotation_deg": 1.2,
        "accepted": accepted,
    }


def records() -> dict[str, dict[str, Any]]:
    """Return the records of all steps, with an exclusion and two warnings."""
    digests = {"cfg": "a" * 64, "code": "b" * 64, "src": "c" * 64, "after": {"prepare": "d" * 64}}
    rows = [
        {
            "visit": visit,
            "session_id": session,
            "criterion": criterion,
            "volume_ml": volume,
            "n_components": 2,
            "side": "left",
            "dice_given": 0.62 if criterion == "adc620" else None,
        }
        for visit, session in (("J0", "01"), ("J1", "02"))
        for criterion, volume in (("adc480", 7.25), ("adc620", 21.5), ("given", 25.75))
    ]
    loads = [
        {"visit": "J0", "atlas": "Territories", "label": 3, "name": "MCA", "side": "left", "volume_ml": 12.34}
    ]
    facts: dict[str, dict[str, Any]] = {
        "prepare": {"J0": _prepared(), "J1": _prepared()},
        "register": {"pairs": [_pair("J1_s0", True), _pair("J0_flair", True), _pair("J0_gre", False)]},
        "normalise": {"moving": "J0_s0", "template": "MNI152", "nmi_syn": 1.15, "accepted": True},
        "lesions": {
            "rows": rows,
            "lesion": {"J0": "given (derivatives/manual)", "J1": "adc620"},
            "growth_ml": {"adc620": 4.56},
            "loads": loads,
        },
    }
    faults = {
        "prepare": [
            fault("E101", "sub-01/anat/sub-01_T1w.nii.gz"),
            fault("W113", "sub-01/adc.nii.gz", percent=0.4),
        ],
        "register": [fault("W150", moving="J0_flair", fixed="J0_s0", start="identity", why="NMI 1.02")],
    }
    states = {"prepare": "failed", "register": "warned"}
    return {
        step: {
            "participant_id": "sub-01",
            "step": step,
            "state": states.get(step, "ok"),
            "faults": faults.get(step, []),
            "facts": facts[step],
            "digests": digests,
            "key": "e" * 64,
        }
        for step in facts
    }


def patient() -> PatientView:
    """Return a patient with two visits."""
    return PatientView(
        participant_id="sub-01",
        records=records(),
        images=images(),
        clinical={"participant_id": "sub-01", "age": "71", "sex": "F"},
        eligibility={"outcome": "", "fusion": "mRS is missing"},
        sessions={"J0": "01", "J1": "02"},
        versions={"reperfuse": "0.1.0"},
    )


def cohort(usable: int, unusable: int) -> CohortView:
    """Return a cohort in which the first patients have everything and the others nothing."""
    random = np.random.default_rng(2)
    good = [f"sub-{index:04d}" for index in range(usable)]
    bad = [f"sub-{index:04d}" for index in range(usable, usable + unusable)]
    lesions = [
        {"participant_id": who, "session_id": session, "criterion": "adc620", "volume_ml": float(volume)}
        for who in good
        for session, volume in zip(("01", "02"), random.lognormal(2.0, 1.0, 2), strict=True)
    ]
    excluded = [
        {
            "participant_id": who,
            "session_id": "ses-01",
            "file": f"{who}/dwi/{who}_ADC.nii.gz",
            "code": "E101",
            "reason": "the file is empty (0 bytes); expected a NIfTI image",
            "remedy": f"fetch its content with `datalad get {who}`",
        }
        for who in bad
    ]
    return CohortView(
        participants=[{"participant_id": who, "age": "70"} for who in good],
        status=[{"participant_id": who, "state": "ok"} for who in good]
        + [{"participant_id": who, "state": "failed"} for who in bad],
        excluded=excluded,
        lesions=lesions,
        flow=[("found", usable + unusable, []), ("readable", usable, [("empty file (E101)", unusable)])],
        qc=[row for who in good for row in qc_rows(who, records())],
        eligibility={"outcome": (usable, {"no image": unusable})},
        run={"command": "snakemake report"},
        available={who: ["J0_adc", "J1_adc"] if place % 2 else ["J0_adc"] for place, who in enumerate(good)},
        pages=good,
        sessions={"J0": "01", "J1": "02"},
    )
