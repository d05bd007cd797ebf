"""The stages through which a perfusion series goes, from frames to maps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from reperfuse.core.errors import Fault, Refusal
from reperfuse.imaging.reader import match_grid
from reperfuse.imaging.volume import Volume
from reperfuse.perfusion import aif as arterial
from reperfuse.perfusion import shape as shapes
from reperfuse.perfusion.bolus import Bolus, find_bolus
from reperfuse.perfusion.concentration import smooth, to_concentration
from reperfuse.perfusion.deconvolution import deconvolve
from reperfuse.perfusion.input_curve import InputFunction, from_file, from_mask, input_function, rescaled
from reperfuse.perfusion.leakage import boxerman_weisskoff, non_enhancing
from reperfuse.perfusion.motion import correct
from reperfuse.perfusion.resampling import to_grid
from reperfuse.perfusion.timing import frame_times
from reperfuse.perfusion.volumes import healthier_side

# Concentration is kept in steps of 1/64 1/s, far below its noise, so that it compresses.
STEPS_PER_UNIT = 64.0
# A peak is that of a parabola through so many points.
FEWEST = 3
CURVES = ("time_s", "signal", "aif_per_s", "vof_per_s", "tissue_per_s")
UNITS = {
    "PWI_cbf": "ml/100ml/min", "PWI_cbv": "ml/100ml", "PWI_k2": "1/s", "PWI_slope": "1/s2",
    **dict.fromkeys(("PWI_mtt", "PWI_tmax", "PWI_ttp", "PWI_rttp"), "s"),
    **dict.fromkeys(("PWI_concentration", "PWI_final", "PWI_peak"), "1/s"), "PWI_adc": "1e-6 mm2/s",
}  # fmt: skip
MOVED = ("tx_mm", "ty_mm", "tz_mm", "rx_deg", "ry_deg", "rz_deg")
MOTION = ("frame", "time_s", "fd_mm", *MOVED)


@dataclass
class Perfused:
    """What a series gives.

    Parameters
    ----------
    images : dict
        ``PWI_s0 PWI_brain PWI_valid PWI_concentration`` (4-D, 1/s) and maps ``PWI_cbf`` (ml/100 ml/min) ``PWI_cbv``
        (ml/100 ml) ``PWI_mtt PWI_tmax PWI_ttp PWI_rttp`` (s) ``PWI_k2`` (1/s) ``PWI_slope PWI_final PWI_peak``, masks
        ``PWI_aif PWI_vof``; those that could be made.
    curves, motion : list of dict
        Rows of the two tables.
    faults : list of Fault
    facts : dict
    """

    images: dict[str, Volume] = field(default_factory=dict)
    curves: list[dict[str, Any]] = field(default_factory=list)
    motion: list[dict[str, Any]] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=lambda: {"flags": []})


@dataclass(frozen=True)
class Given:
    """An arterial input function of the user: a mask on the grid of the series, or the path of a curve.

    Neither where what was given has been refused.
    """

    name: str
    mask: Volume | None = None
    curve: Path | None = None


@dataclass
class Line:
    """A series on its way; each stage reads what the one before has left. Times count from the first frame kept."""

    pwi: Volume
    brain: np.ndarray
    path: str
    made: Perfused
    times_s: np.ndarray = field(init=False)  # of the frames kept
    raw_times_s: np.ndarray = field(init=False)  # of all, on the clock of the series
    grid_s: np.ndarray = field(init=False)
    step_s: float = field(init=False)
    voxels: np.ndarray = field(init=False)  # (n, n_frames) of the brain
    signal: np.ndarray = field(init=False)  # mean over the brain, by frame
    valid: np.ndarray = field(init=False)  # (x, y, z)
    sampled: np.ndarray = field(init=False)  # (x, y, z, n_points), 1/s
    measured: int = field(init=False)  # points of the grid before the series ends
    curves: np.ndarray = field(init=False)  # (n, measured) of the valid voxels, smoothed
    ttp_s: np.ndarray = field(init=False)  # (n,)
    detected: np.ndarray | None = None  # (x, y, z), where a residue function stands out of noise
    healthy: np.ndarray = field(init=False)  # (n,) of the valid voxels
    area: Volume = field(init=False)  # (x, y, z) of the curves, in 1/s·s
    unleaked: np.ndarray = field(init=False)  # (n,) the same without leakage, of the valid voxels
    input: InputFunction = field(init=False)

    def map(self, name: str, values: np.ndarray) -> None:
        """Keep values of the valid voxels as a map, 0 elsewhere."""
        data = np.zeros(self.valid.shape, dtype=np.float32)
        data[self.valid] = values
        self.made.images[f"PWI_{name}"] = self.pwi.like(data)

    def frames(self, dropped: int, settings: Mapping[str, Mapping[str, Any]]) -> Bolus:
        """Settle times, align the frames, find the bolus."""
        facts, n = self.made.facts, self.pwi.data.shape[3]
        found = frame_times(self.pwi.metadata, n, path=self.path, **settings["timing"])
        self.made.faults += found.faults
        self.raw_times_s = found.times_s
        self.times_s = found.times_s[dropped:] - found.times_s[dropped]
        facts |= {
            "te_s": found.te_s,
            "tr_s": round(found.tr_s, 4),
            "n_volumes": n,
            "dropped_volumes": dropped,
        }
        facts["timing"] = found.source
        data = self.pwi.data[..., dropped:]
        self.made.images["PWI_brain"] = self.pwi.like(self.brain)
        first = find_bolus(data[self.brain].mean(axis=0), self.times_s, path=self.path, **settings["bolus"])
        moved = correct(
            data, self.pwi.affine, self.brain, baseline=first.baseline, path=self.path, **settings["motion"]
        )
        self.moved(moved, dropped)
        facts["motion"]["threshold_mm"] = settings["motion"]["spike_mm"]
        self.voxels = moved.series[self.brain]
        self.signal = self.voxels.mean(axis=0, dtype=np.float64)
        bolus = find_bolus(self.signal, self.times_s, path=self.path, **settings["bolus"])
        self.made.faults += bolus.faults
        facts["bolus"] = {
            "arrival_s": round(bolus.arrival_s, 3),
            "baseline_frames": bolus.baseline.stop - bolus.baseline.start,
            "drop_percent": round(bolus.drop_percent, 2),
            "tail_s": round(bolus.tail_s, 3),
            "truncated": bolus.truncated,
        }
        s0 = moved.series[..., bolus.baseline].mean(axis=3, dtype=np.float32)
        self.made.images["PWI_s0"] = self.pwi.like(s0)
        return bolus

    def moved(self, motion: Any, dropped: int) -> None:
        """Keep what is known of the head's motion."""
        self.made.faults += motion.faults
        self.made.facts["motion"] = {
            "max_fd_mm": round(float(motion.fd_mm.max()), 3),
            "mean_fd_mm": round(float(motion.fd_mm.mean()), 3),
            "n_spikes": len(motion.spikes),
        }
        for k, (time, fd, moved) in enumerate(
            zip(self.times_s, motion.fd_mm, motion.parameters, strict=True)
        ):
            row = {"frame": k + dropped, "time_s": float(time), "fd_mm": float(fd)}
            self.made.motion.append(row | dict(zip(MOVED, map(float, moved), strict=True)))

    def concentration(self, bolus: Bolus, settings: Mapping[str, Mapping[str, Any]]) -> None:
        """Turn signals into concentrations on the common time grid."""
        te_s, grid = self.made.facts["te_s"], settings["resampling"]
        found = to_concentration(self.voxels, te_s=te_s, baseline=bolus.baseline, **settings["concentration"])
        self.valid = np.zeros_like(self.brain)
        self.valid[self.brain] = found.valid
        if not found.valid.any():
            raise Refusal("E142", path=self.path, problem="no voxel has a usable curve", limit="0")
        self.step_s, n_points = grid["step_s"], grid["n_points"]
        self.grid_s = np.arange(n_points) * self.step_s
        curves, held = to_grid(found.values[found.valid], self.times_s, start_s=0.0, **grid)
        self.sampled = np.zeros((*self.valid.shape, n_points), dtype=np.float32)
        self.sampled[self.valid] = curves
        # Networks want a grid of one length; maps are made from what was measured, not from held values.
        self.measured = n_points - int(held)
        if self.measured < FEWEST:
            problem = f"the series lasts {self.times_s[-1]:.3g} s"
            raise Refusal("E143", path=self.path, problem=problem, n=len(self.raw_times_s))
        self.made.facts |= {
            "valid_percent": round(100.0 * float(found.valid.mean()), 3),
            "clamped_percent": round(float(found.clamped_percent), 4),
            "held_points": int(held),
            "n_points": n_points,
        }
        self.made.images["PWI_valid"] = self.pwi.like(self.valid)
        kept = np.round(self.sampled * np.float32(STEPS_PER_UNIT)) / np.float32(STEPS_PER_UNIT)
        self.made.images["PWI_concentration"] = self.pwi.like(kept)
        spacing = self.pwi.zooms[:2]
        near = smooth(self.sampled, self.valid, spacing_mm=spacing, **settings["smoothing"])
        self.curves = near[self.valid][:, : self.measured]
        self.area = self.pwi.like(near[..., : self.measured].sum(axis=3) * np.float32(self.step_s))
        signal, _ = to_grid(self.signal[None].astype(np.float32), self.times_s, start_s=0.0, **grid)
        tissue = curves.mean(axis=0, dtype=np.float64)
        self.made.curves = [
            {"time_s": float(t), "signal": float(s), "tissue_per_s": float(c)}
            for t, s, c in zip(self.grid_s, signal[0], tissue, strict=True)
        ]

    def shapes(self, bolus: Bolus, settings: Mapping[str, Any]) -> None:
        """Measure curves without an artery: time to peak, slope, final and greatest contrast."""
        found = shapes.bolus_shape(self.curves, step_s=self.step_s, arrival_s=bolus.arrival_s, **settings)
        self.ttp_s = found.ttp_s
        for name, values in (
            ("ttp", found.ttp_s),
            ("slope", found.slope),
            ("final", found.final),
            ("peak", found.peak),
        ):
            self.map(name, values)
        brain = self.pwi.like(self.brain)
        self.healthy = healthier_side(brain, self.made.images["PWI_ttp"].data, self.valid)[self.valid]
        self.map("rttp", shapes.relative_ttp(found.ttp_s, self.healthy))

    def arteries(self, given: Given | None, settings: Mapping[str, Any]) -> None:
        """Take the arterial input function that is given, or find one; find the venous one."""
        if given is None:
            found = arterial.select_aif(
                self.sampled, self.valid, self.grid_s, self.pwi.affine, path=self.path, **settings["arterial"]
            )
        elif given.mask is None and given.curve is None:
            problem = "the given input function was refused, and none is guessed in its place"
            raise Refusal("E144", path=given.name, problem=problem, expected="one that can be read")
        elif given.mask is not None:
            mask, faults = match_grid(given.mask, self.pwi)
            self.made.faults += [fault.of("", path=given.name) for fault in faults]
            found = from_mask(self.sampled, mask.data & self.valid, self.grid_s, path=given.name)
        else:
            assert given.curve is not None
            found = from_file(given.curve, self.raw_times_s, self.valid.shape, name=given.name)
            curve = found.curve[None, -len(self.times_s) :]
            curve, _ = to_grid(
                curve, self.times_s, start_s=0.0, step_s=self.step_s, n_points=len(self.grid_s)
            )
            found = input_function(curve[0], found.voxels, self.grid_s, "file")
        if not float(found.curve[: self.measured].sum(dtype=np.float64)) > 0:
            raise Refusal("E144", problem="its area is not above 0", expected="a bolus")
        veins = arterial.select_vof(
            self.sampled, self.valid, self.grid_s, self.pwi.affine, found, **settings["venous"]
        )
        if veins is not None and settings["partial_volume"] == "vof":
            found, factor = rescaled(found, veins, self.grid_s)
            self.made.facts["aif_factor"] = round(factor, 4)
        self.input = found
        for name, one in (("aif", found), ("vof", veins)):
            if one is not None:
                self.made.faults += one.faults
                self.made.facts[name] = _described(one)
                if one.source != "file":
                    self.made.images[f"PWI_{name}"] = self.pwi.like(one.voxels)
                for row, value in zip(self.made.curves, one.curve, strict=True):
                    row[f"{name}_per_s"] = float(value)

    def flow(self, settings: Mapping[str, Mapping[str, Any]]) -> None:
        """Deconvolve: blood flow, blood volume, transit time, time to the residue function's maximum."""
        how = settings["deconvolution"]
        residue = deconvolve(self.curves, self.input.curve[: self.measured], step_s=self.step_s, **how)
        self.made.facts["method"] = how["method"]
        self.detected = np.zeros_like(self.valid)
        self.detected[self.valid] = residue.peak_z >= settings["detection"]["min_peak_z"]
        # What has leaked is no blood volume; a low-passed peak hardly knows of it.
        per_area = (
            100.0 * how["haematocrit_factor"] / float(self.input.curve[: self.measured].sum() * self.step_s)
        )
        cbv = np.where(residue.cbf > 0, np.maximum(self.unleaked, 0) * per_area, 0).astype(np.float32)
        mtt_s = np.divide(60 * cbv, residue.cbf, out=np.zeros_like(cbv), where=residue.cbf > 0)
        for name, values in (("cbf", residue.cbf), ("cbv", cbv), ("mtt", mtt_s), ("tmax", residue.tmax_s)):
            self.map(name, values)

    def leakage(self, settings: Mapping[str, Any]) -> None:
        """Estimate leakage against the healthier hemisphere, as far as it is perfused in time, and take it away."""
        tail = {key: settings[key] for key in ("tail_points", "tail_share")}
        reference = self.healthy & non_enhancing(self.curves, **tail)
        if not reference.any():
            reference = self.healthy
        lag = self.ttp_s - np.median(self.ttp_s[reference])
        k2, corrected = boxerman_weisskoff(
            self.curves, reference=reference, step_s=self.step_s, effect=settings["effect"], delay_s=lag
        )
        self.map("k2", k2)
        self.unleaked = corrected.sum(axis=1) * self.step_s


def _described(found: InputFunction) -> dict[str, Any]:
    width = None if not np.isfinite(found.fwhm_s) else round(found.fwhm_s, 3)
    return {
        "source": found.source, "n_voxels": found.n_voxels, "slice": found.slice, "fwhm_s": width,
        "peak_per_s": round(found.peak_per_s, 3), "ttp_s": round(found.ttp_s, 3),
    }  # fmt: skip
