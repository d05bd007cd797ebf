"""Perfusion series on real anatomy: semi-synthetic, because no real 4-D series with known truth is at hand.

    python -m reperfuse.phantom.borrowed anatomy SOURCE BIDS_DIR TRUTH_DIR
    python -m reperfuse.phantom.borrowed reference-object SOURCE BIDS_DIR TRUTH_DIR

``anatomy`` links the patients of a BIDS dataset (ADC, and a trace or diffusion series) and adds a series to
each: the patient's own b = 0 signal, coarser, through which a bolus passes, late and slow around the real lesion.
``reference-object`` turns a published concentration series into a signal, with its artery mask. The names of
all these series hold ``desc-synth`` and their sidecars ``Synthetic``, so that nothing takes them for
measured unless it is told to.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from scipy import ndimage

from reperfuse.core.errors import ConfigError
from reperfuse.core.files import write_json, write_text
from reperfuse.core.seeds import seed_of
from reperfuse.core.tables import write_table
from reperfuse.imaging.volume import Volume, write_volume
from reperfuse.phantom.anatomy import Array
from reperfuse.phantom.perfusion_truth import (
    MTT_LEVELS_S,
    N_AIF,
    N_VOF,
    UNSTEADY,
    Perfusion,
    Timing,
    curves,
    vessels,
)
from reperfuse.phantom.view import rigid

README = """Semi-synthetic: perfusion series that were COMPUTED, not measured; other images are links to real ones.

The series (desc-synth, Synthetic in the sidecar) show a bolus that was simulated, or published as curves.
Nothing that rests on them is a finding about a patient.
"""
TITLE = "Semi-synthetic perfusion series: computed, not measured"
SERIES = "ce-gadolinium_desc-synth_dsc"
TIMING = Timing(tr_s=1.8, te_s=0.030, n_frames=50, arrival_s=16.0)
RECIRCULATION, SNR = 0.08, 40.0
# Voxels of the series are at least so large, mm: coarser than the anatomy, as real series are.
COARSE_MM = (3.4, 3.4, 5.0)
# How the head moved between diffusion and perfusion, mm and degrees; the aligned header would hide registration.
SHIFT_MM, TURN_DEG = np.array([1.5, -1.0, 1.0]), np.array([0.8, -0.6, 1.2])
# Around the lesion: reach in mm, delay in s at the lesion and at the border, share of the flow that is left.
REACH_MM, DELAY_S, FLOW_LEFT, CORE_FLOW, KAPPA_PER_S = 32.0, (12.0, 2.0), (0.3, 0.7), 0.15, 0.01
CBF = {"wm": 26.0, "gm": 60.0}
FLUID_ADC, LESION_ADC = 1600.0, 620.0
# The public object has no times; this is the repetition time of the curves published with it.
OBJECT_TR_S, OBJECT_VOXEL_MM = 1.243, 6.0


def coarsen(data: Array, affine: Array, factors: Array) -> tuple[Array, Array]:
    """Return means over whole blocks of voxels, and the affine of the coarser grid."""
    shape = np.array(data.shape) // factors
    cut = data[tuple(slice(0, n * f) for n, f in zip(shape, factors, strict=True))].astype(np.float32)
    split = [part for n, f in zip(shape, factors, strict=True) for part in (n, f)]
    coarse = affine.copy()
    coarse[:3, 3] += affine[:3, :3] @ ((factors - 1) / 2)
    coarse[:3, :3] = affine[:3, :3] * factors
    return cut.reshape(split).mean(axis=(1, 3, 5)), coarse


def planted(s0: Array, adc: Array, brain: Array, lesion: Array, affine: Array, timing: Timing) -> Perfusion:
    """Lay out delay, flow, transit time and leakage around a lesion; maps over the flat grid.

    Parameters
    ----------
    s0, adc, brain, lesion : ndarray, shape (x, y, z)
        Signal without diffusion weighting; ADC in 10⁻⁶ mm²/s; masks.
    affine : ndarray, shape (4, 4)
        Voxel to RAS mm.

    Notes
    -----
    Grey matter is brighter than white without diffusion weighting: flow rises with it. Tissue of the lesion's
    side within reach of the lesion is late and slow; the artery is measured on the other side.
    """
    points = np.argwhere(np.ones(brain.shape, bool)) @ affine[:3, :3].T + affine[:3, 3]
    inside = points[brain.ravel()]
    low, high = inside.min(axis=0), inside.max(axis=0)
    middle, half = (low + high) / 2, (high - low) / 2
    tissue = brain & (adc < FLUID_ADC)
    dark, bright = np.percentile(s0[tissue], [20, 80])
    flow = CBF["wm"] + (CBF["gm"] - CBF["wm"]) * np.clip((s0 - dark) / max(bright - dark, 1e-6), 0, 1)
    flow = np.where(tissue, flow, 0).ravel()
    right = bool(lesion.any()) and float(points[lesion.ravel(), 0].mean()) > middle[0]
    zooms = np.linalg.norm(affine[:3, :3], axis=0)
    away = (
        ndimage.distance_transform_edt(~lesion, sampling=zooms)
        if lesion.any()
        else np.full(brain.shape, np.inf)
    )
    same = (points[:, 0] > middle[0]) == right
    low_flow = tissue.ravel() & (away.ravel() < REACH_MM) & same
    depth = np.where(low_flow, 1 - np.minimum(away.ravel(), REACH_MM) / REACH_MM, 0)
    delay = np.where(low_flow, DELAY_S[1] + (DELAY_S[0] - DELAY_S[1]) * depth, 0)
    flow = np.where(low_flow, flow * (FLOW_LEFT[1] - (FLOW_LEFT[1] - FLOW_LEFT[0]) * depth), flow)
    core = lesion.ravel() & tissue.ravel()
    flow = np.where(core, flow * CORE_FLOW / FLOW_LEFT[0], flow)
    step = MTT_LEVELS_S[1] - MTT_LEVELS_S[0]
    mtt = MTT_LEVELS_S[0] + step * np.rint((4.4 * (1 + depth) - MTT_LEVELS_S[0]) / step)
    side = -1.0 if right else 1.0
    course = [(side * f, 0.10, -0.16) for f in (0.18, 0.28, 0.38)]
    free = brain.ravel() & ~low_flow & ~core
    aif = _nearest(points, middle + np.array(course) * half, free, brain.shape, N_AIF)
    sinus = [(0.0, -0.93, f) for f in (0.05, 0.15, 0.25)]
    vof = _nearest(points, middle + np.array(sinus) * half, free & ~aif, brain.shape, N_VOF)
    return Perfusion(
        delay.astype(np.float32), flow.astype(np.float32), mtt.astype(np.float32),
        np.where(core, KAPPA_PER_S, 0).astype(np.float32), low_flow, aif, vof, *vessels(timing, RECIRCULATION),
    )  # fmt: skip


def signal(s0: Array, perfusion: Perfusion, brain: Array, timing: Timing, seed: int) -> Array:
    """Return the 4-D series S₀·exp(−TE·ΔR2*) with noise, int16; air stays blank."""
    rate = np.exp(-timing.te_s * curves(perfusion, timing, RECIRCULATION)).reshape(*s0.shape, timing.n_frames)
    level = 1000.0 / float(np.median(s0[brain]))
    still = (level * s0)[..., None] * np.where(brain[..., None], rate, 1)
    still[..., : len(UNSTEADY)] *= UNSTEADY
    random, sigma = np.random.default_rng(seed), np.float32(1000.0 / SNR)
    noise = [random.standard_normal(still.shape, dtype=np.float32) * sigma for _ in range(2)]
    measured = np.where(s0[..., None] > 0, np.hypot(still + noise[0], noise[1]), 0)
    return np.rint(np.clip(measured, 0, 32767)).astype(np.int16)


def _nearest(points: Array, course: Array, free: Array, shape: tuple[int, ...], count: int) -> Array:
    """Return the free voxels nearest to a vessel's course, all in the slice of the nearest one."""
    distance = np.min([np.linalg.norm(points - one, axis=1) for one in course], axis=0)
    distance = np.where(free, distance, np.inf)
    level = np.indices(shape)[2].ravel()
    distance[level != level[np.argmin(distance)]] = np.inf
    chosen = np.zeros(distance.size, bool)
    order = np.argsort(distance, kind="stable")[:count]
    chosen[order[np.isfinite(distance[order])]] = True
    return chosen


def anatomy(source: Path, bids: Path, truth: Path) -> list[str]:
    """Link a dataset and add a series to each patient; return the patients."""
    written = []
    for path in sorted(source.rglob("*")):
        if path.is_file() and path.name not in ("README", "dataset_description.json"):
            _link(path, bids / path.relative_to(source))
    for folder in sorted(source.glob("sub-*")):
        name = folder.name
        adc_image = nib.nifti1.load(next((folder / "dwi").glob(f"{name}*_ADC.nii.gz")))
        affine = np.asarray(adc_image.affine)
        adc = np.nan_to_num(np.asarray(adc_image.dataobj, dtype=np.float32))
        adc *= _unit(adc)
        s0, trace = _unweighted(folder, adc)
        brain = _mask(source, name, "desc-brain", trace.shape)
        brain = brain if brain is not None else trace > 0
        lesion = _mask(source, name, "label-L", trace.shape)
        if lesion is None:
            lesion = _bright(trace, adc, brain)
        zooms = np.linalg.norm(affine[:3, :3], axis=0)
        factors = np.maximum(np.ceil(np.array(COARSE_MM) / zooms - 0.01), 1).astype(int)
        grids = [coarsen(one, affine, factors)[0] for one in (s0, adc, brain, lesion)]
        coarse = coarsen(s0, affine, factors)[1]
        # A lesion smaller than a voxel of the series still has one.
        inside, core = grids[2] > 0.5, grids[3] > min(0.25, 0.99 * float(grids[3].max()))
        maps = planted(grids[0], grids[1], inside, core, coarse, TIMING)
        data = signal(grids[0], maps, inside, TIMING, seed_of("borrowed", name))
        pose = rigid(SHIFT_MM, TURN_DEG)
        _write(bids, truth, name, data, pose @ coarse, TIMING, maps, inside)
        write_json(truth / name / "transforms.json", {"J0_pwi": pose.tolist()})
        written.append(name)
    if not written:
        raise ConfigError(f"{source} holds no patients")
    return written


def reference_object(source: Path, bids: Path, truth: Path) -> list[str]:
    """Write a concentration series as the signal that it would give, with its artery mask; return the name.

    The stored values are read as TE·ΔR2* (their greatest is 0.9). A rim of air is put around the square.
    """
    name = "sub-dro"
    curves_in = np.asarray(nib.nifti1.load(source / "test_concentration.nii").dataobj, dtype=np.float32)
    mask = np.asarray(nib.nifti1.load(source / "test_artery_ROI.nii").dataobj) > 0.5
    rim = ((4, 4), (4, 4), (0, 0))
    s0 = np.pad(np.full(mask.shape, 1000.0, np.float32), rim)
    data = s0[..., None] * np.exp(-np.pad(curves_in, (*rim, (0, 0))))
    affine = np.diag([OBJECT_VOXEL_MM] * 3 + [1.0])
    timing = Timing(OBJECT_TR_S, 0.030, data.shape[3], 0.0)
    _write(bids, truth, name, np.rint(data).astype(np.int16), affine, timing, None, s0 > 0)
    path = bids / f"derivatives/manual/{name}/perf/{name}_label-AIF_mask.nii.gz"
    write_volume(path, Volume(np.pad(mask, rim), affine), {"Type": "ROI", "Sources": ["test_artery_ROI.nii"]})
    write_table(bids / "participants.tsv", [{"participant_id": name}], ["participant_id"])
    return [name]


def _unit(adc: Array) -> float:
    """Return the factor to 10⁻⁶ mm²/s, by the median."""
    median = float(np.median(adc[adc > 0]))
    return min((1.0, 1e3, 1e6), key=lambda factor: abs(np.log(median * factor / 800.0)))


def _unweighted(folder: Path, adc: Array) -> tuple[Array, Array]:
    """Return the signal without diffusion weighting, measured or computed from trace and ADC, and the trace."""
    stem = folder / "dwi" / folder.name
    if (series := Path(f"{stem}_dwi.nii.gz")).is_file():
        data = np.asarray(nib.nifti1.load(series).dataobj, dtype=np.float32)
        b_values = np.array(Path(f"{stem}_dwi.bval").read_text().split(), float)
        return data[..., b_values < 50].mean(axis=3), data[..., b_values >= 500].mean(axis=3)
    trace = np.asarray(nib.nifti1.load(f"{stem}_trace.nii.gz").dataobj, dtype=np.float32)
    return trace * np.exp(np.clip(adc, 0, 3000) / 1000), trace


def _mask(source: Path, name: str, part: str, shape: tuple[int, ...]) -> Array | None:
    for path in sorted((source / "derivatives").glob(f"*/{name}/dwi/{name}*{part}*_mask.nii.gz")):
        mask = np.asarray(nib.nifti1.load(path).dataobj) > 0.5
        if mask.shape == shape:
            return mask
    return None


def _bright(trace: Array, adc: Array, brain: Array) -> Array:
    """Return the largest piece that is bright and of low ADC, where nobody has drawn the lesion."""
    spread = 1.4826 * np.median(np.abs(trace[brain] - np.median(trace[brain])))
    found = brain & (adc > 0) & (adc < LESION_ADC) & (trace > np.median(trace[brain]) + 2 * spread)
    labels, count = ndimage.label(found)
    return labels == 1 + int(np.argmax(np.bincount(labels.ravel())[1:])) if count else found


def _write(
    bids: Path,
    truth: Path,
    name: str,
    data: Array,
    affine: Array,
    timing: Timing,
    maps: Perfusion | None,
    brain: Array,
) -> None:
    sidecar: dict[str, Any] = {
        "EchoTime": timing.te_s, "RepetitionTime": timing.tr_s, "Modality": "MR", "Synthetic": True,
        "Description": "Semi-synthetic: a simulated bolus, not measured",
    }  # fmt: skip
    path = bids / name / "perf" / f"{name}_{SERIES}.nii.gz"
    write_volume(path, Volume(data, affine), sidecar, tr_s=timing.tr_s)
    write_text(bids / ".bidsignore", "**/perf/*_dsc.*\n")
    write_text(bids / "README", README)
    description = {"Name": TITLE, "BIDSVersion": "1.11.1", "DatasetType": "raw"}
    write_json(bids / "dataset_description.json", description)
    if maps is None:
        return
    parts = {
        "delay": np.round(maps.delay_s, 3), "cbf": np.round(maps.cbf, 2), "mtt": np.round(maps.mtt_s, 3),
        "hypoperfused": maps.hypoperfused, "aif": maps.aif_voxels, "vof": maps.vof_voxels,
        "brain": brain.ravel(),
    }  # fmt: skip
    for key, values in parts.items():
        write_volume(truth / name / f"J0_{key}.nii.gz", Volume(values.reshape(brain.shape), affine))
    columns = {"time_s": timing.times_s, "aif_per_s": maps.aif, "vof_per_s": maps.vof}
    rows = [dict(zip(columns, map(float, row), strict=True)) for row in zip(*columns.values(), strict=True)]
    write_table(truth / name / "curves.tsv", rows, list(columns))


def _link(path: Path, to: Path) -> None:
    to.parent.mkdir(parents=True, exist_ok=True)
    to.unlink(missing_ok=True)
    to.symlink_to(os.path.relpath(path.resolve(), to.parent.resolve()))


def main(arguments: list[str] | None = None) -> None:
    """Write the dataset and its truth."""
    parser = argparse.ArgumentParser(prog="python -m reperfuse.phantom.borrowed", description=__doc__)
    parser.add_argument("kind", choices=["anatomy", "reference-object"])
    parser.add_argument("source", type=Path)
    parser.add_argument("bids_dir", type=Path)
    parser.add_argument("truth_dir", type=Path)
    options = parser.parse_args(arguments)
    make = anatomy if options.kind == "anatomy" else reference_object
    names = make(options.source, options.bids_dir, options.truth_dir)
    print(f"{len(names)} patients in {options.bids_dir}")


if __name__ == "__main__":
    main()
