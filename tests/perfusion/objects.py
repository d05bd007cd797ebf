"""Curves with known truth: on a fine grid, of the phantom, and the OSIPI reference object."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from reperfuse.core.settings import fill, load_schema
from reperfuse.perfusion.concentration import smooth, to_concentration
from reperfuse.perfusion.deconvolution import Residue, deconvolve
from reperfuse.phantom.patient import Patient, Protocol, row_of
from reperfuse.phantom.scalars import participant_id, simulate

SCHEMAS = Path(__file__).resolve().parents[2] / "workflow/schemas"
KINETICS = fill({}, load_schema(SCHEMAS, "perfusion_kinetics"))
STEP_S, N, FINE_S, CBF = 1.8, 60, 0.01, 20.0
DELAYS_S = np.round(np.arange(-3.6, 10.81, 0.3), 1)
MTTS_S = (3.0, 4.0, 6.0, 8.0, 10.0, 12.0)
UNSTEADY = 2  # frames at the beginning of a phantom series
SHAPE, SPACING_MM = (64, 64, 20), (3.5, 3.5, 6.5)
VOXEL_ML = float(np.prod(SPACING_MM)) / 1000


def settings(**changes: Any) -> dict[str, Any]:
    """The schema's deconvolution, with changes."""
    return {**KINETICS["deconvolution"], **changes}


def artery(times_s: np.ndarray, width_s: float = 2.0) -> np.ndarray:
    """The gamma-variate of the perfusion reference, section 2: arrives at 15 s, peaks at 60 1/s."""
    since = np.maximum(times_s - 15.0, 0) / (3 * width_s)
    return 60 * since**3 * np.exp(3 - 3 * since)


def residue(kind: str, times_s: np.ndarray, mtt_s: float) -> np.ndarray:
    """Residue functions of one MTT: every particle alike (box), uniform transit times, or well mixed."""
    if kind == "box":
        return (times_s < mtt_s).astype(float)
    if kind == "uniform":
        return np.maximum(1 - times_s / (2 * mtt_s), 0)
    return np.exp(-times_s / mtt_s)


def tissue(
    mtt_s: float, delays_s: np.ndarray, *, kind: str = "exponential", width_s: float = 2.0, n: int = N
) -> np.ndarray:
    """Curves of flow 20 ml/100 ml/min, integrated in steps of 0.01 s and then sampled, a row each delay."""
    fine = np.arange(0, (n + 1) * STEP_S, FINE_S)
    size = 2 * fine.size
    product = np.fft.rfft(artery(fine, width_s), size) * np.fft.rfft(residue(kind, fine, mtt_s), size)
    curve = np.fft.irfft(product, size)[: fine.size] * FINE_S * CBF / 6000
    times = np.arange(n) * STEP_S
    return np.stack([np.interp(times - d, fine, curve, left=0.0) for d in delays_s])


def measured(curves: np.ndarray, aif: np.ndarray, *, step_s: float = STEP_S, **changes: Any) -> Residue:
    """Deconvolve with the schema's settings, changed."""
    return deconvolve(curves, aif, step_s=step_s, **settings(**changes))


@dataclass(frozen=True)
class Series:
    """A phantom patient: native curves of the voxels that are valid, and the truth there."""

    curves: np.ndarray
    valid: np.ndarray
    aif: np.ndarray
    measured_aif: np.ndarray
    step_s: float
    delay_s: np.ndarray
    cbf: np.ndarray
    kappa_per_s: np.ndarray
    true_ml: float


def phantoms(first: int, last: int, *, snr: float) -> Iterator[Series]:
    """Patients ``first`` to ``last`` − 1 of the phantom's default cohort, C(t) in the true brain mask."""
    default = fill({}, load_schema(SCHEMAS, "phantom"))
    names = ("pwi_in_plane_max", "recirculation", "b_s_mm2", "bias_sd", "contrast_shift_mm",
             "contrast_rotation_deg", "j1_shift_mm", "j1_rotation_deg", "seed")  # fmt: skip
    frames = (default["frames"][0], default["frames"][1])
    protocol = Protocol(
        shape=SHAPE, spacing_mm=SPACING_MM, frames=frames, snr=snr, **{k: default[k] for k in names}
    )
    table = simulate(last, protocol.seed)
    for i in range(first, last):
        patient = Patient(participant_id(i), row_of(table, i), protocol)
        _, border = patient.diffusion("J0")
        shot = patient.perfusion(border)
        truth = {key[3:]: one.data for key, one in patient.truth.items()}
        brain = truth["brain"] > 0
        timing = patient.timing
        baseline = slice(0, int(timing.arrival_s / timing.tr_s) - UNSTEADY - 1)
        found = to_concentration(
            shot.data[brain][:, UNSTEADY:].astype(np.float32), te_s=timing.te_s, baseline=baseline,
            **KINETICS["concentration"],
        )  # fmt: skip
        valid = brain.copy()
        valid[brain] = found.valid
        curves = np.zeros((*brain.shape, timing.n_frames - UNSTEADY), dtype=np.float32)
        curves[valid] = found.values[found.valid]
        aif = np.asarray(patient.facts["curves"]["aif_per_s"])[UNSTEADY:]
        own = curves[truth["aif"] > 0].mean(axis=0)
        yield Series(
            curves, valid, aif, own, timing.tr_s, truth["delay"][valid], truth["cbf"][valid],
            truth["kappa"][valid], float((truth["delay"] > 6).sum() * VOXEL_ML),
        )  # fmt: skip


def volumes(series: Series, fwhm_mm: float, *, own_aif: bool = False, **changes: Any) -> dict[str, float]:
    """Volumes in ml above 6 s: of Tmax, missed, and found in tissue without delay."""
    curves = smooth(series.curves, series.valid, spacing_mm=SPACING_MM, fwhm_mm=fwhm_mm)[series.valid]
    aif = series.measured_aif if own_aif else series.aif
    least = changes.pop("min_peak_z", KINETICS["detection"]["min_peak_z"])
    maps = measured(curves, aif, step_s=series.step_s, **changes)
    late = (maps.tmax_s > 6) & (maps.peak_z >= least)
    true = series.delay_s > 6
    counts = {"ml": late, "missed": true & ~late, "false": late & (series.delay_s == 0)}
    return {name: float(one.sum()) * VOXEL_ML for name, one in counts.items()}


@dataclass(frozen=True)
class ReferenceObject:
    """The OSIPI DSC object: curves, AIF, step and truth."""

    curves: np.ndarray
    aif: np.ndarray
    step_s: float
    cbf: np.ndarray
    cbv: np.ndarray


def reference_object(folder: Path) -> ReferenceObject:
    """Read ``dsc_data.csv``."""
    with (folder / "dsc-dro/dsc_data.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    curves, aif = (np.array([[float(v) for v in row[k].split()] for row in rows]) for k in ("C_tis", "C_aif"))
    cbf, cbv, step = (np.array([float(row[k]) for row in rows]) for k in ("cbf", "cbv", "tr"))
    return ReferenceObject(curves, aif[0], float(step[0]), cbf, cbv)


def toeplitz(aif: np.ndarray, step_s: float) -> np.ndarray:
    """The lower triangular matrix of standard SVD."""
    lag = np.subtract.outer(np.arange(aif.size), np.arange(aif.size))
    return np.where(lag >= 0, aif[np.abs(lag)], 0) * step_s


def circulant(aif: np.ndarray, step_s: float) -> np.ndarray:
    """The 2n × 2n block-circulant matrix of Wu et al."""
    padded = np.concatenate([aif, np.zeros_like(aif)])
    lag = np.subtract.outer(np.arange(padded.size), np.arange(padded.size))
    return padded[lag % padded.size] * step_s


def truncated(matrix: np.ndarray, threshold: float) -> np.ndarray:
    """The pseudo-inverse without singular values below a share of the largest, by a dense SVD."""
    u, s, vh = np.linalg.svd(matrix)
    few = s >= threshold * s[0]
    return (vh[few].T / s[few]) @ u[:, few].T
