"""A bolus passage with known delay, flow, transit time and leakage, and its T2*-weighted series.

Written independently of the perfusion room, which is judged against it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr

from reperfuse.core.seeds import seed_of
from reperfuse.phantom.anatomy import Array, CosineField
from reperfuse.phantom.contrasts import T2STAR, Scanner
from reperfuse.phantom.territory import Territory, level, share_of
from reperfuse.phantom.view import View

FINE_S = 0.05
BOLUS_POWER, BOLUS_S = 3.0, 1.5
GM_PEAK_PER_S, AIF_OVER_TISSUE = 16.0, 6.0
CBF = {"gm": 60.0, "wm": 26.0, "csf": 0.0, "skull": 0.0, "scalp": 9.0, "eye": 0.0}
MTT_LEVELS_S = np.linspace(3.0, 15.0, 49)
DELAY_S, FLOW_LEFT, CORE_FLOW = (2.0, 12.0), (0.3, 0.7), 0.15
# Volumes 0 and 1 over the steady state; a real series measured 1.23–1.26 (perfusion reference, 1a).
UNSTEADY = (1.25, 1.06)
N_AIF, N_VOF = 6, 8


@dataclass(frozen=True)
class Timing:
    """Sampling, and the time ``arrival_s`` at which the bolus reaches the artery."""

    tr_s: float
    te_s: float
    n_frames: int
    arrival_s: float

    @property
    def times_s(self) -> Array:
        """Time of each frame in s."""
        return np.arange(self.n_frames) * self.tr_s


@dataclass(frozen=True)
class Perfusion:
    """Truth of one series: maps over the voxels near the head, ``aif`` and ``vof`` in 1/s per frame.

    ``cbf_scale`` is the constant k of C(t) = k · CBF/6000 · (AIF ⊗ R): the measured AIF is smaller than the
    blood's.
    """

    delay_s: Array
    cbf: Array
    mtt_s: Array
    kappa_per_s: Array
    hypoperfused: Array
    aif_voxels: Array
    vof_voxels: Array
    aif: Array
    vof: Array
    cbf_scale: float


def arterial(times_s: Array, arrival_s: float, recirculation: float) -> Array:
    """Return ΔR2* of the artery in 1/s: (t−t₀)³·exp(−(t−t₀)/1.5 s), and a late, wider second passage."""

    def bolus(start: float, width: float) -> Array:
        s = np.maximum(times_s - start, 0) / width
        return (s / BOLUS_POWER) ** BOLUS_POWER * np.exp(BOLUS_POWER - s)

    first = bolus(arrival_s, BOLUS_S)
    return GM_PEAK_PER_S * AIF_OVER_TISSUE * (first + recirculation * bolus(arrival_s + 16.0, 3.0))


def truth(
    view: View,
    territory: Territory,
    rho: Array,
    *,
    core_level: float,
    volume_ml: float,
    mismatch: float,
    timing: Timing,
    recirculation: float,
    seed: int,
    side: int,
) -> Perfusion:
    """Lay out delay, flow, transit time and leakage.

    Parameters
    ----------
    rho : ndarray
        Of the territory on this view.
    core_level : float
        ρ of the lesion's border.
    volume_ml : float
        Lesion volume.
    mismatch : float
        0 to 1: hypoperfused tissue is 1.3 to 3.5 times the lesion, and at least 15 ml more.
    side : int
        +1 for a left lesion: the AIF is measured in the right middle cerebral artery.

    Notes
    -----
    The residue function is exp(−(t−delay)/MTT), so that its maximum, Tmax, is the delay: 12 s deep in the
    core, 2 s at the border of the hypoperfused tissue, 0 outside. Flow left is 0.3–0.7 in the penumbra.
    """  # fmt: skip
    core = rho < core_level
    wanted = max(volume_ml * (1.3 + 2.2 * mismatch), volume_ml + 15.0)
    border = level(rho, wanted, view.voxel_ml, 0.95)
    low = rho < max(border, core_level)
    depth = 1.0 - share_of(rho, low)[low]
    points = view.points
    delay = np.zeros(rho.shape, dtype=np.float32)
    uneven = CosineField.draw(seed_of(seed, "delay"), 30)(points[:, low])
    early, late = DELAY_S
    delay[low] = np.clip(early + (late - early) * depth + 0.5 * uneven, early, late)
    tissue = CosineField.draw(seed_of(seed, "flow"), 40)
    cbf = view.mix(dict(CBF)) * (1 + 0.08 * tissue(points))
    left, most = FLOW_LEFT
    cbf[low] *= np.clip(most - (most - left) * depth + 0.04 * uneven, left, most)
    cbf[core] *= CORE_FLOW / left
    slow = 4.2 + 1.3 * ndtr(tissue(points) - 0.5)
    slow[low] *= 1 + 1.3 * depth
    step = MTT_LEVELS_S[1] - MTT_LEVELS_S[0]
    mtt = MTT_LEVELS_S[0] + step * np.clip(np.rint((slow - MTT_LEVELS_S[0]) / step), 0, MTT_LEVELS_S.size - 1)
    kappa = np.zeros(rho.shape, dtype=np.float32)
    kappa[low] = territory.leakage(points[:, low])
    a, b, c = view.head.axes_mm
    # The first segment of the middle cerebral artery on the healthy side, and the superior sagittal sinus.
    across = a * (1.0 if side > 0 else -1.0)
    aif = _nearest(view, [(f * across, 0.10 * b, -0.16 * c) for f in (0.18, 0.28, 0.38)], N_AIF, core | low)
    vof = _nearest(view, [(0.0, -0.93 * b, f * c) for f in (0.05, 0.15, 0.25)], N_VOF, core | low | aif)
    return Perfusion(
        delay, cbf.astype(np.float32), mtt.astype(np.float32), kappa, low, aif, vof,
        *vessels(timing, recirculation),
    )  # fmt: skip


def vessels(timing: Timing, recirculation: float) -> tuple[Array, Array, float]:
    """Return artery and vein in 1/s per frame, and the constant k that makes grey matter peak as planned."""
    fine = np.arange(0, timing.times_s[-1] + 2 * FINE_S, FINE_S)
    artery = arterial(fine, timing.arrival_s, recirculation)
    vein = _convolve(artery, 5.0)
    vein *= 1.1 * artery.max() / vein.max()
    reference = _convolve(arterial(fine, timing.arrival_s, 0.0), 4.0).max() * CBF["gm"] / 6000.0
    return (
        np.interp(timing.times_s, fine, artery),
        np.interp(timing.times_s - 2.0, fine, vein, left=0.0),
        float(GM_PEAK_PER_S / reference),
    )


def curves(perfusion: Perfusion, timing: Timing, recirculation: float) -> Array:
    """Return ΔR2*(t) in 1/s of the voxels near the head, shape (m, n_frames).

    C(t) = k·CBF/6000·(AIF ⊗ R)(t) + κ∫C dt. The convolution is tabulated per transit time on a grid of 0.05
    s.
    """
    fine = np.arange(0, timing.times_s[-1] + 2 * FINE_S, FINE_S)
    artery = arterial(fine, timing.arrival_s, recirculation)
    passage = np.stack([_convolve(artery, m) for m in MTT_LEVELS_S]).astype(np.float32)
    leaked = (np.cumsum(passage, axis=1) * FINE_S).astype(np.float32)
    step = MTT_LEVELS_S[1] - MTT_LEVELS_S[0]
    row = np.rint((perfusion.mtt_s - MTT_LEVELS_S[0]) / step).astype(np.int32) * np.int32(fine.size)
    flow = (perfusion.cbf_scale / 6000.0 * perfusion.cbf).astype(np.float32)
    result = np.empty((flow.size, timing.n_frames), dtype=np.float32)
    for k, time in enumerate(timing.times_s):
        at = np.rint((time - perfusion.delay_s) / FINE_S).astype(np.int32)
        early = at < 0
        at = row + np.where(early, 0, at)
        curve = passage.reshape(-1)[at] + perfusion.kappa_per_s * leaked.reshape(-1)[at]
        result[:, k] = np.where(early, 0, flow * curve)
    result[perfusion.aif_voxels] = perfusion.aif
    result[perfusion.vof_voxels] = perfusion.vof
    return result


def series(view: View, scanner: Scanner, perfusion: Perfusion, timing: Timing, recirculation: float) -> Array:
    """Return the 4-D series S₀·exp(−TE·ΔR2*) with noise, int16; the air is blanked as scanners do."""
    base = view.mix(T2STAR) * scanner.receive(view)
    concentration = curves(perfusion, timing, recirculation)
    keep = base > 3 * 100.0 / scanner.snr
    rng = np.random.default_rng(seed_of(scanner.seed, "noise", "dsc"))
    sigma = np.float32(100.0 / scanner.snr)
    result = np.zeros((*view.shape, timing.n_frames), dtype=np.int16)
    flat, at = result.reshape(-1, timing.n_frames), view.inside[keep]
    still = base[keep, None] * np.exp(np.float32(-timing.te_s) * concentration[keep])
    for k, excess in enumerate(UNSTEADY):
        still[:, k] *= excess
    still += rng.standard_normal(still.shape, dtype=np.float32) * sigma
    other = rng.standard_normal(still.shape, dtype=np.float32) * sigma
    flat[at] = np.rint(np.hypot(still, other) * np.float32(scanner.gain)).astype(np.int16)
    return result


def _convolve(artery: Array, mtt_s: float) -> Array:
    """Return AIF ⊗ exp(−t/MTT) on the fine grid, in 1/s·s."""
    residue = np.exp(-np.arange(artery.size) * FINE_S / mtt_s)
    size = 1 << int(np.ceil(np.log2(2 * artery.size)))
    product = np.fft.irfft(np.fft.rfft(artery, size) * np.fft.rfft(residue, size), size)
    return np.maximum(product[: artery.size], 0) * FINE_S


def _nearest(view: View, path: list[tuple[float, float, float]], count: int, avoid: Array) -> Array:
    """Return the ``count`` brain voxels nearest to a vessel's course, in one slice."""
    points = view.head.straighten(view.points)
    distance = np.full(points.shape[1], np.inf, dtype=np.float32)
    for point in path:
        offset = points - np.array(point, dtype=np.float32)[:, None]
        distance = np.minimum(distance, np.sqrt((offset**2).sum(axis=0)))
    distance[avoid | ~view.tissues["brain"]] = np.inf
    slices = view.inside % view.shape[2]
    distance[slices != slices[np.argmin(distance)]] = np.inf
    chosen = np.zeros(distance.size, dtype=bool)
    order = np.argsort(distance, kind="stable")[:count]
    chosen[order[np.isfinite(distance[order])]] = True
    return chosen
