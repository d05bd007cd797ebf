"""Diffusion series: b-values, b = 0 image, trace and ADC map."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from reperfuse.core.errors import Fault, Refusal
from reperfuse.imaging.checks import shape_text
from reperfuse.imaging.volume import Volume

# Scanners give 995 and 1005 for one shell.
SHELL_TOLERANCE = 50.0


@dataclass(frozen=True)
class Diffusion:
    """What a diffusion acquisition gives; parts that it cannot give are None.

    Parameters
    ----------
    s0 : Volume or None
        Mean of the b = 0 volumes.
    trace : Volume or None
        Geometric mean over the volumes of the highest shell: the isotropic image.
    adc : Volume or None
        In 10⁻⁶ mm²/s; 0 where a signal is 0 or negative. Negative values are left in.
    b_values : tuple of float
        Distinct b-values in s/mm², ascending.
    """

    s0: Volume | None
    trace: Volume | None
    adc: Volume | None
    b_values: tuple[float, ...]


def read_bvals(path: Path, *, name: str = "") -> np.ndarray:
    """Read an FSL .bval file: numbers in one row or one column.

    Raises
    ------
    Refusal
        E215 where something else is in it, E212 where it cannot be read.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
        values = np.array([float(word) for word in text.replace(",", " ").split()])
    except OSError as error:
        raise Refusal("E212", path=name or path.name, why=error.strerror or "input error") from None
    except ValueError:
        raise Refusal("E215", path=name or path.name, bvals="not numbers") from None
    if not np.isfinite(values).all() or (values < 0).any():
        raise Refusal("E215", path=name or path.name, bvals=_text(values))
    return values


def diffusion_of(
    series: Volume,
    bvals: np.ndarray | None,
    *,
    b0_max: float,
    b_min: float,
    bval_name: str = "",
    path: str = "",
) -> tuple[Diffusion, list[Fault]]:
    """Take a diffusion acquisition apart.

    A 3-D image is the b = 0 image where its one b-value says so, else the trace: see :func:`single`.

    Parameters
    ----------
    series : Volume
        3-D, or 4-D with the volumes last.
    bvals : ndarray or None
        One per volume, s/mm².
    b0_max : float
        Below this b-value a volume counts as b = 0.
    b_min : float
        Highest b-value that is needed for trace and ADC.
    bval_name : str
        Where the b-values belong, for the message.

    Raises
    ------
    Refusal
        E107 for several volumes without b-values, E214 where their number differs, E215 where no volume is
        diffusion-weighted or several b = 0 volumes are all there is.
    """
    if series.data.ndim == 3:
        return single(series, bvals, b0_max=b0_max, path=path)
    n_volumes = series.data.shape[3]
    if bvals is None:
        raise Refusal(
            "E107",
            path=path,
            n_volumes=n_volumes,
            shape=shape_text(series.data.shape),
            bval=bval_name or "b-values",
        )
    if len(bvals) != n_volumes:
        raise Refusal("E214", path=path, n_bvals=len(bvals), n_volumes=n_volumes)
    top = bvals.max()
    if top < b_min:
        raise Refusal("E215", path=path, bvals=_text(bvals))
    weighted, base = bvals >= top - SHELL_TOLERANCE, bvals < b0_max
    s0 = series.like(series.data[..., base].mean(axis=3, dtype=np.float32)) if base.any() else None
    trace = series.like(geometric_mean(series.data[..., weighted]))
    adc = series.like(fit_adc(series.data, bvals)) if base.any() else None
    return Diffusion(s0, trace, adc, shells(bvals)), []


def single(
    image: Volume, bvals: np.ndarray | None, *, b0_max: float, path: str = ""
) -> tuple[Diffusion, list[Fault]]:
    """Return a 3-D image as b = 0 image where its one b-value says so, else as trace."""
    if bvals is None or len(bvals) == 0:
        return Diffusion(None, image, None, ()), []
    if len(bvals) > 1:
        return Diffusion(None, image, None, ()), [
            Fault("W214", path, {"n_bvals": len(bvals), "n_volumes": 1})
        ]
    if bvals[0] < b0_max:
        return Diffusion(image, None, None, shells(bvals)), []
    return Diffusion(None, image, None, shells(bvals)), []


def shells(bvals: Sequence[float] | np.ndarray) -> tuple[float, ...]:
    """Return the distinct b-values, those nearer than 50 s/mm² taken together at their rounded mean."""
    groups: list[list[float]] = []
    for b in sorted(float(b) for b in bvals):
        if groups and b - groups[-1][0] < SHELL_TOLERANCE:
            groups[-1].append(b)
        else:
            groups.append([b])
    return tuple(float(round(sum(group) / len(group))) for group in groups)


def geometric_mean(volumes: np.ndarray) -> np.ndarray:
    """Return the geometric mean over the last axis, 0 where any value is not positive; float32."""
    positive = (volumes > 0).all(axis=-1)
    logs = np.log(np.where(volumes > 0, volumes, 1), dtype=np.float32)
    return np.where(positive, np.exp(logs.mean(axis=-1)), 0).astype(np.float32)


def fit_adc(volumes: np.ndarray, bvals: np.ndarray) -> np.ndarray:
    """Fit ln S = ln S₀ − b·ADC by least squares over all volumes.

    Parameters
    ----------
    volumes : ndarray, shape (x, y, z, n)
    bvals : ndarray, shape (n,)
        s/mm²; at least two different ones. With two it is ln(S₀/S)/b of Stejskal and Tanner (1965).

    Returns
    -------
    ndarray, shape (x, y, z)
        10⁻⁶ mm²/s, float32; 0 where any signal is not positive.
    """
    centred = bvals - bvals.mean()
    weights = -centred / (centred**2).sum() * 1e6
    positive = np.ones(volumes.shape[:-1], bool)
    adc = np.zeros(volumes.shape[:-1], np.float64)
    for k, weight in enumerate(weights):
        signal = volumes[..., k]
        positive &= signal > 0
        adc += weight * np.log(np.where(signal > 0, signal, 1), dtype=np.float64)
    return np.where(positive, adc, 0).astype(np.float32)


def _text(bvals: np.ndarray) -> str:
    shown = " ".join(f"{b:g}" for b in bvals[:12])
    return shown + (" …" if len(bvals) > 12 else "") if len(bvals) else "absent"
