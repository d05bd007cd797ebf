"""A made-up patient with a perfusion series: late tissue on one side, artery, vein and bleeding."""

from __future__ import annotations

from typing import Any

import numpy as np
from page_samples import AFFINE, SHAPE, _ball, fault

from reperfuse.imaging.volume import Volume
from reperfuse.reporting.patient import PatientView


def images() -> dict[str, Volume | None]:
    """Return what step `perfusion` writes and the page shows."""
    brain, fluid = _ball((19.5, 23.5, 7), (15, 19, 6)), _ball((19.5, 23.5, 8), (3, 8, 3))
    late, core = _ball((11, 24, 8), (6, 8, 4)), _ball((11, 24, 8), (3, 4, 2))
    noise = np.random.default_rng(4).normal(0.0, 1.0, SHAPE)
    tmax = np.where(core, 11.0, np.where(late, 7.0, 1.0)) + 0.2 * noise
    cbf = np.where(fluid, 0.0, np.where(late, 18.0, 45.0)) + noise
    aif, vof, ht = (np.zeros(SHAPE, bool) for _ in range(3))
    aif[25:28, 30, 5], aif[27, 31, 6], vof[19:21, 6, 9], ht[10:13, 22:25, 8] = True, True, True, True
    valid = brain.copy()
    valid[19, 23, 8] = False
    adc = np.where(fluid, 2800.0, np.where(core, 400.0, 800.0))
    values = {
        "s0": np.where(brain, 500.0 + 5 * noise, 20.0),
        "tmax": tmax,
        "late": np.where(core, 10.0, np.where(late, 6.0, 0.0)),
        "cbf": cbf,
        "cbv": cbf * 0.08,
        "mtt": np.where(late, 9.0, 5.0) + 0.1 * noise,
        "rttp": tmax - 1.0,
        "k2": np.where(late, 0.02, 0.0) + 0.001 * noise,
        "adc": np.where(brain, adc, 0.0),
        "trace": np.where(brain, 900.0 - 0.25 * adc, 0.0),
        "gre": np.where(brain, np.where(ht, 100.0, 400.0 + 5 * noise), 0.0),
        "brain": brain,
        "valid": valid,
        "core": core,
        "aif": aif,
        "vof": vof,
        "ht": ht,
        "covered": np.indices(SHAPE)[2] > 2,
    }
    return {
        f"PWI_{name}": Volume(data if data.dtype == bool else data.astype(np.float32), AFFINE)
        for name, data in values.items()
    }


def facts() -> dict[str, Any]:
    """Return what the step measured."""
    volumes = {"tmax4": 90.0, "tmax6": 84.0, "tmax8": 30.0, "tmax10": 21.0, "rttp4.5": 80.5}
    return {
        "te_s": 0.03,
        "tr_s": 1.8,
        "n_volumes": 60,
        "dropped_volumes": 2,
        "timing": "RepetitionTime",
        "motion": {"max_fd_mm": 1.42, "mean_fd_mm": 0.11, "n_spikes": 1, "threshold_mm": 1.0},
        "bolus": {"arrival_s": 18.0, "baseline_frames": 8, "drop_percent": 41.0, "truncated": False},
        "aif": {"source": "automatic", "n_voxels": 4, "peak_per_s": 91.2, "ttp_s": 22.3, "fwhm_s": 7.2},
        "vof": {"source": "automatic", "n_voxels": 2, "peak_per_s": 101.0, "ttp_s": 30.0, "fwhm_s": 9.0},
        "method": "oSVD",
        "valid_percent": 99.1,
        "held_points": 0,
        "volumes_ml": {**volumes, "core": 25.5, "mismatch": 58.5},
        "hir": 0.25,
        "cbv_index": 0.71,
        "mismatch_ratio": 3.294,
        "defuse3": True,
        "extend": None,
        "agreement": {"rttp_minus_tmax6_ml": -3.5, "dice": 0.93},
        "flags": ["motion", "an unheard_of flag"],
        "ht": {"volume_ml": 3.456, "n_components": 1, "source": "manual"},
    }


def tables() -> dict[str, list[dict[str, str]]]:
    """Return the rows of curves and motion."""
    times = 1.8 * np.arange(60)
    passage = np.where(times > 18, ((times - 18) / 6) ** 3 * np.exp(3 - (times - 18) / 2), 0.0)
    curves = [
        {
            "time_s": f"{t:.1f}",
            "signal": f"{500 - 20 * c:.3f}",
            "aif_per_s": f"{40 * c:.3f}",
            "vof_per_s": f"{44 * c:.3f}",
            "tissue_per_s": f"{6 * c:.3f}",
        }
        for t, c in zip(times, passage, strict=True)
    ]
    names = ("tx_mm", "ty_mm", "tz_mm", "rx_deg", "ry_deg", "rz_deg")
    motion = [
        {"frame": str(i), "time_s": f"{1.8 * i:.1f}", "fd_mm": "1.42" if i == 30 else "0.1"}
        | dict.fromkeys(names, f"{0.01 * i:.2f}")
        for i in range(60)
    ]
    return {"PWI_curves": curves, "PWI_motion": motion}


def record(**more: Any) -> dict[str, Any]:
    """Return the record of the step."""
    base = {
        "participant_id": "sub-01",
        "step": "perfusion",
        "state": "warned",
        "faults": [],
        "facts": facts(),
    }
    return {**base, "digests": {}, "key": "f" * 64, **more}


def refused() -> dict[str, Any]:
    """Return the record of a series in which no bolus was found."""
    return record(facts={}, faults=[fault("E108", "sub-01_dsc.nii.gz", found="1 volume", least=20)])


def patient(**more: Any) -> PatientView:
    """Return a patient with a perfusion series and nothing else."""
    given = {"records": {"perfusion": record()}, "images": images(), "tables": tables()}
    return PatientView("sub-01", **{**given, **more})
