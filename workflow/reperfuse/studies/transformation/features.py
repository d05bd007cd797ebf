"""What models are shown of a voxel: curves of its 3×3 neighbours in plane, the AIF, their b0 and b1000; scaled."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np

Array = np.ndarray
# In plane, axes 0 and 1 of the grid; row by row. The fifth is the voxel itself.
NEIGHBOURS = tuple((dx, dy) for dx in (-1, 0, 1) for dy in (-1, 0, 1))


def interior(mask: Array) -> Array:
    """Return a mask (x, y, z) without the border of the grid in plane, where a patch would be cut."""
    kept = np.zeros_like(mask, dtype=bool)
    kept[1:-1, 1:-1] = mask[1:-1, 1:-1]
    return kept


def shifts(shape: tuple[int, ...]) -> Array:
    """Return (9,) steps to the neighbours in the flattened grid (x, y, z)."""
    return np.array([(dx * shape[1] + dy) * shape[2] for dx, dy in NEIGHBOURS])


def patches(values: Array, at: Array) -> Array:
    """Return the 3×3 neighbourhoods of voxels.

    Parameters
    ----------
    values : ndarray
        (x, y, z) or (x, y, z, t).
    at : ndarray
        (n, 3) voxels, none on the border of the grid in plane.

    Returns
    -------
    ndarray
        (n, 9) or (n, t, 9), float32.

    Raises
    ------
    ValueError
        If a voxel has no full neighbourhood.
    """
    at, (nx, ny, nz) = np.asarray(at).astype(np.int64), values.shape[:3]
    if len(at) and not ((at >= (1, 1, 0)) & (at < (nx - 1, ny - 1, nz))).all():
        raise ValueError(f"a voxel is on the border of the grid {nx}×{ny}×{nz} in plane, or outside of it")
    flat = values.reshape(nx * ny * nz, -1)
    centre = np.ravel_multi_index((at[:, 0], at[:, 1], at[:, 2]), (nx, ny, nz))
    found = np.empty((len(at), flat.shape[1], 9), dtype=np.float32)
    for i, step in enumerate(shifts(values.shape)):
        found[:, :, i] = flat[centre + step]
    return found[:, 0] if values.ndim == 3 else found


def with_aif(curves: Array, aif: Array) -> Array:
    """Return curves (n, t, 9) and the AIF, (t,) or one for each (n, t), as a tenth feature: (n, t, 10) float32."""
    tenth = np.broadcast_to(aif, curves.shape[:2])[:, :, None]
    return np.concatenate([curves, tenth], axis=2, dtype=np.float32)


def vectors(curves: Array, aif: Array, dwi: Array) -> Array:
    """Return what the baselines see: (n, t, 9) curves, AIF (t,) or (n, t), (n, 18) diffusion → (n, 10 t + 18) float32.

    With 60 times 540 + 60 + 18 = 618.
    """
    n = len(curves)
    parts = (curves.reshape(n, -1), np.broadcast_to(aif, curves.shape[:2]), dwi)
    return np.concatenate(parts, axis=1, dtype=np.float32)


def diffusion_maps(b0: Array, trace: Array, brain: Array) -> Array:
    """Return b0 and trace (b1000), (x, y, z), each divided by its median in the brain, as (x, y, z, 2) float32.

    Raises
    ------
    ValueError
        If a median is not positive, so that nothing can be divided by it.
    """
    parts = []
    for name, image in (("b0", b0), ("trace", trace)):
        median = float(np.median(image[brain])) if brain.any() else 0.0
        if not median > 0:
            raise ValueError(f"the median of {name} in the brain is {median:g}; expected a positive one")
        parts.append(image / np.float32(median))
    return np.stack(parts, axis=-1).astype(np.float32)


def diffusion(maps: Array, at: Array) -> Array:
    """Return (n, 18) of `diffusion_maps` at voxels (n, 3): nine of b0, then nine of the trace."""
    return patches(maps, at).reshape(len(at), maps.shape[-1] * len(NEIGHBOURS))


@dataclass(frozen=True)
class Scaling:
    """What is subtracted and what it is divided by, from training voxels and patients alone.

    Parameters
    ----------
    curve_mean, curve_sd : float
        Of all concentrations together, so that amplitudes stay, 1/s.
    aif_mean, aif_sd : float
        Of all AIFs together, 1/s.
    clinical_mean, clinical_sd : tuple of float
        Of each clinical variable.
    """

    curve_mean: float
    curve_sd: float
    aif_mean: float
    aif_sd: float
    clinical_mean: tuple[float, ...]
    clinical_sd: tuple[float, ...]

    @classmethod
    def of(cls, curves: Array, aif: Array, clinical: Array) -> Self:
        """Measure it.

        Parameters
        ----------
        curves : ndarray
            (n, t, 9) of training voxels.
        aif : ndarray
            (p, t), one for each training patient.
        clinical : ndarray
            (p, c) of training patients; NaN where a value is missing. c may be 0.

        Raises
        ------
        ValueError
            If curves or AIFs do not vary, or are not finite.
        """
        curve_mean, curve_sd = _moments("concentrations", curves)
        aif_mean, aif_sd = _moments("AIFs", aif)
        known = [column[np.isfinite(column)] for column in np.asarray(clinical, dtype=np.float64).T]
        means = tuple(float(column.mean()) if len(column) else 0.0 for column in known)
        sds = tuple(float(column.std()) if len(column) else 0.0 for column in known)
        return cls(curve_mean, curve_sd, aif_mean, aif_sd, means, tuple(sd if sd > 0 else 1.0 for sd in sds))

    def curves(self, values: Array) -> Array:
        """Return concentrations, scaled, float32."""
        return _standardised(values, self.curve_mean, self.curve_sd)

    def aif(self, values: Array) -> Array:
        """Return AIFs, scaled, float32."""
        return _standardised(values, self.aif_mean, self.aif_sd)

    def clinical(self, values: Array) -> Array:
        """Return clinical values (…, c) as z-scores, float32; a missing one is the training patients' mean, 0."""
        scaled = (np.asarray(values, dtype=np.float64) - self.clinical_mean) / self.clinical_sd
        return np.where(np.isfinite(scaled), scaled, 0.0).astype(np.float32)

    def plain(self) -> dict[str, Any]:
        """Return it as numbers and lists, for a model's card."""
        return {name: list(v) if isinstance(v, tuple) else v for name, v in asdict(self).items()}

    @classmethod
    def from_plain(cls, found: Mapping[str, Any]) -> Self:
        """Return what `plain` gave."""
        plain: dict[str, Any] = {name: tuple(v) if isinstance(v, list) else v for name, v in found.items()}
        return cls(**plain)


def _moments(name: str, values: Array) -> tuple[float, float]:
    """Return mean and SD in float64, without a copy of all values in it."""
    flat = np.ascontiguousarray(values).reshape(-1)
    mean = float(np.mean(flat, dtype=np.float64))
    parts = np.array_split(flat, max(1, len(flat) // 2**20))
    sd = math.sqrt(
        sum(float(((part - mean) ** 2).sum(dtype=np.float64)) for part in parts) / max(len(flat), 1)
    )
    if not (math.isfinite(sd) and sd > 0):
        raise ValueError(f"the SD of the training {name} is {sd:g}; expected a positive one")
    return mean, sd


def _standardised(values: Array, mean: float, sd: float) -> Array:
    found = np.asarray(values, dtype=np.float32) - np.float32(mean)
    found /= np.float32(sd)
    return np.asarray(found)
