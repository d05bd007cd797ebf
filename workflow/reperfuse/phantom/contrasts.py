"""Images of a head: diffusion, FLAIR, T1w and T2*, with bias field and Rician noise."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from reperfuse.core.seeds import seed_of
from reperfuse.phantom.anatomy import Array, CosineField
from reperfuse.phantom.view import View

# ADC in 10⁻⁶ mm²/s. Brain: science reference, appendix B; the rest assumed.
ADC = {"gm": 800.0, "wm": 720.0, "csf": 2600.0, "skull": 300.0, "scalp": 900.0, "eye": 2600.0}
# Relative signals (assumed), white matter of T1w and grey matter of the others about 100.
B0 = {"csf": 230.0, "gm": 103.0, "wm": 82.0, "skull": 6.0, "scalp": 32.0, "eye": 230.0}
FLAIR = {"csf": 14.0, "gm": 110.0, "wm": 90.0, "skull": 10.0, "scalp": 120.0, "eye": 14.0}
T1W = {"csf": 26.0, "gm": 68.0, "wm": 100.0, "skull": 12.0, "scalp": 165.0, "eye": 30.0}
T2STAR = {"csf": 150.0, "gm": 105.0, "wm": 92.0, "skull": 8.0, "scalp": 70.0, "eye": 140.0}
# Signal of the lesion over the tissue it replaces: J0 before 4.5 h, J0 after, J1.
LESION = {
    "b0": (1.02, 1.10, 1.25),
    "flair": (1.04, 1.45, 1.60),
    "t1w": (0.98, 0.94, 0.85),
    "gre": (1.0, 1.05, 1.15),
}
FLAIR_POSITIVE_MIN = 270.0
HT_T2STAR = 0.22
# SD of the logarithm of signal and of ADC between places of one tissue (assumed; ADC from appendix B).
T2_TEXTURE, T1_TEXTURE, ADC_TEXTURE = 0.08, 0.03, 0.04


@dataclass(frozen=True)
class Scanner:
    """What an image owes to the machine: noise and receive field.

    Parameters
    ----------
    seed : int
        Of the image; noise is drawn from it.
    snr : float
        Grey-matter signal over the noise SD of one channel.
    bias : CosineField
        Logarithm of the receive field, before scaling.
    bias_sd : float
        SD of its logarithm.
    gain : float
        Arbitrary scale of the stored values.
    """

    seed: int
    snr: float
    bias: CosineField
    bias_sd: float
    gain: float

    @classmethod
    def draw(cls, seed: int, *, snr: float, bias_sd: float, gain: float = 4.0) -> Scanner:
        """Draw the receive field from the image's seed."""
        return cls(seed, snr, CosineField.draw(seed_of(seed, "bias"), 260, n=8), bias_sd, gain)

    def receive(self, view: View) -> Array:
        """Return the receive field over the voxels near the head."""
        return np.exp(self.bias_sd * self.bias(view.points)).astype(np.float32)

    def acquire(self, view: View, signal: Array, name: str, *, averages: int = 1) -> Array:
        """Return a magnitude image: signal over the voxels near the head, Rician noise everywhere, int16."""
        rng = np.random.default_rng(seed_of(self.seed, "noise", name))
        sigma = np.float32(100.0 / self.snr / np.sqrt(averages))
        real = rng.standard_normal(view.shape, dtype=np.float32) * sigma
        imaginary = rng.standard_normal(view.shape, dtype=np.float32) * sigma
        real.reshape(-1)[view.inside] += signal
        magnitude = np.hypot(real, imaginary) * np.float32(self.gain)
        return np.clip(np.rint(magnitude), 0, 32767).astype(np.int16)


def stage(visit: str, lkw_min: float) -> int:
    """Return which column of `LESION` applies."""
    return 2 if visit == "J1" else int(lkw_min > FLAIR_POSITIVE_MIN)


def adc_map(view: View, lesion: Array, lesion_adc: Array, tissue_factor: float) -> Array:
    """Return the true ADC over the voxels near the head; air is 0.

    Parameters
    ----------
    lesion : ndarray of bool
        Over the voxels near the head.
    lesion_adc : ndarray
        ADC of those voxels.
    tissue_factor : float
        The patient's deviation of brain ADC (about 4 %).
    """
    values = {name: v * (tissue_factor if name in ("gm", "wm") else 1.0) for name, v in ADC.items()}
    adc = view.mix(values)
    filled = sum(view.tissues[name] for name in values)
    adc = np.where(filled > 0.5, adc / np.maximum(filled, 1e-3), 0.0)
    adc *= _texture(view, view.head.motion, ADC_TEXTURE)
    adc[lesion] = lesion_adc
    return adc.astype(np.float32)


def _texture(view: View, field: CosineField, sd: float) -> Array:
    """Return a multiplicative texture of the brain's tissue, 1 elsewhere."""
    tissue = view.tissues["gm"] + view.tissues["wm"]
    within = np.flatnonzero(tissue > 0.05)
    texture = np.ones(tissue.size, dtype=np.float32)
    texture[within] = np.exp(np.float32(sd) * tissue[within] * field(view.points[:, within]))
    return texture


def signal_of(view: View, table: Mapping[str, float], lesion: Array, factor: float) -> Array:
    """Return a relative signal over the voxels near the head, the lesion scaled by ``factor``."""
    signal = view.mix(table) * _texture(view, view.head.water, T1_TEXTURE if table is T1W else T2_TEXTURE)
    signal[lesion] *= factor
    return signal


def diffusion(
    view: View,
    scanner: Scanner,
    lesion: Array,
    adc: Array,
    *,
    visit: str,
    lkw_min: float,
    b_s_mm2: float,
    zero_air: bool,
) -> tuple[Array, Array, Array]:
    """Return the 4-D series (b = 0 and three directions), the trace image and the measured ADC.

    ADC is what a scanner would compute from its own noisy images, ln(S0/trace)/b, in 10⁻⁶ mm²/s: noise of
    some percent in the brain, positive and negative values in the air unless the scanner blanks it. Trace is
    the geometric mean of the three directions.
    """  # fmt: skip
    factor = LESION["b0"][stage(visit, lkw_min)]
    s0 = signal_of(view, B0, lesion, factor) * scanner.receive(view)
    weighted = s0 * np.exp(-b_s_mm2 * adc * 1e-6)
    b0 = scanner.acquire(view, s0, "b0", averages=2)
    directions = [scanner.acquire(view, weighted, f"b{k}", averages=2) for k in range(3)]
    logs = [np.log(np.maximum(image, 0.5).astype(np.float32)) for image in directions]
    mean = (logs[0] + logs[1] + logs[2]) / np.float32(3)
    measured = (np.log(np.maximum(b0, 0.5).astype(np.float32)) - mean) * np.float32(1e6 / b_s_mm2)
    if zero_air:
        measured[b0 < 5 * scanner.gain * 100.0 / scanner.snr] = 0
    trace = np.rint(np.exp(mean)).astype(np.int16)
    return np.stack([b0, *directions], axis=-1), trace, np.rint(measured).astype(np.float32)


def weighted_image(
    view: View,
    scanner: Scanner,
    role: str,
    lesion: Array,
    *,
    visit: str,
    lkw_min: float,
    bleeding: Array | None = None,
) -> Array:
    """Return a FLAIR, T1w or T2* image.

    Parameters
    ----------
    role : str
        ``flair``, ``t1w`` or ``gre``.
    lesion : ndarray of bool
        Over the voxels near the head.
    bleeding : ndarray of bool, optional
        HT voxels, likewise; dark on T2*.
    """  # fmt: skip
    table = {"flair": FLAIR, "t1w": T1W, "gre": T2STAR}[role]
    signal = signal_of(view, table, lesion, LESION[role][stage(visit, lkw_min)])
    if bleeding is not None:
        signal[bleeding] *= HT_T2STAR
    return scanner.acquire(view, signal * scanner.receive(view), role)
