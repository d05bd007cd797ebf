"""What an input function is, how its peak is described, and how one that the user gives is read."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import numpy as np

from reperfuse.core.errors import Fault, Refusal

Source = Literal["automatic", "mask", "file"]


@dataclass(frozen=True)
class Peak:
    """The highest peaks of n curves, each field of shape (n,): 1/s, s, and full width at half maximum in s.

    ``fwhm_s`` is NaN where a curve does not fall to half its peak on both sides.
    """

    height: np.ndarray
    ttp_s: np.ndarray
    fwhm_s: np.ndarray


@dataclass(frozen=True)
class InputFunction:
    """An arterial or venous curve.

    Parameters
    ----------
    curve : ndarray, shape (n_frames,), float32
        Concentration in 1/s.
    voxels : ndarray of bool, shape (x, y, z)
        Where it comes from; nowhere for a file.
    peak_per_s, ttp_s, fwhm_s : float
        Height of the peak, its time on the series' clock, between the frames, and full width at half maximum.
    slice : int or None
        Index of the slice that holds most of the voxels.
    source : {"automatic", "mask", "file"}
    faults : list of Fault
    """

    curve: np.ndarray
    voxels: np.ndarray
    peak_per_s: float
    ttp_s: float
    fwhm_s: float
    slice: int | None
    source: Source
    faults: list[Fault] = field(default_factory=list)

    @property
    def n_voxels(self) -> int:
        """How many voxels were averaged."""
        return int(self.voxels.sum())


def peak_of(curves: np.ndarray, times_s: np.ndarray) -> Peak:
    """Describe the highest peak of each curve.

    Parameters
    ----------
    curves : ndarray, shape (n, n_frames)
    times_s : ndarray, shape (n_frames,)
        Rising, not necessarily equally spaced, at least three.

    Notes
    -----
    Time and height are those of the parabola through the highest frame and its neighbours; half maximum is
    crossed on straight lines between frames.
    """
    n, t = curves.shape
    rows, at = np.arange(n), curves.argmax(axis=1)
    middle = np.clip(at, 1, t - 2)
    y0, y1, y2 = (curves[rows, middle + k].astype(float) for k in (-1, 0, 1))
    before, after = times_s[middle] - times_s[middle - 1], times_s[middle + 1] - times_s[middle]
    # Newton's form of the parabola around the middle point: y = y1 + b·u + c·u².
    left, right = (y1 - y0) / before, (y2 - y1) / after
    c = (right - left) / (before + after)
    b = left + c * before
    curved = (c < 0) & (at == middle)
    u = np.where(curved, -b / np.where(curved, 2 * c, 1.0), 0.0)
    height = np.where(curved, y1 + b * u + c * u * u, curves[rows, at])
    return Peak(
        height, np.where(curved, times_s[middle] + u, times_s[at]), _width(curves, times_s, at, height)
    )


def _width(curves: np.ndarray, times_s: np.ndarray, at: np.ndarray, height: np.ndarray) -> np.ndarray:
    n, t = curves.shape
    rows, frames = np.arange(n), np.arange(t)
    low = curves < height[:, None] / 2
    before = low & (frames < at[:, None])
    after = low & (frames > at[:, None])
    start = np.where(before.any(axis=1), t - 1 - before[:, ::-1].argmax(axis=1), 0)
    end = np.where(after.any(axis=1), after.argmax(axis=1), t - 1)

    def crossing(first: np.ndarray, second: np.ndarray) -> np.ndarray:
        a, b = curves[rows, first].astype(float), curves[rows, second].astype(float)
        share = (height / 2 - a) / np.where(b == a, 1.0, b - a)
        return times_s[first] + np.clip(share, 0, 1) * (times_s[second] - times_s[first])

    width = crossing(np.maximum(end - 1, 0), end) - crossing(start, np.minimum(start + 1, t - 1))
    return np.where(before.any(axis=1) & after.any(axis=1), width, np.nan)


def input_function(
    curve: np.ndarray, voxels: np.ndarray, times_s: np.ndarray, source: Source, slices: int = 2
) -> InputFunction:
    """Describe a curve; ``slices`` is the axis of the array along which slices lie."""
    peak = peak_of(np.asarray(curve, dtype=float)[None], times_s)
    others = tuple(axis for axis in range(3) if axis != slices)
    counts = voxels.sum(axis=others)
    return InputFunction(
        np.asarray(curve, dtype=np.float32), voxels, float(peak.height[0]), float(peak.ttp_s[0]),
        float(peak.fwhm_s[0]), int(counts.argmax()) if counts.any() else None, source,
    )  # fmt: skip


def from_mask(
    concentration: np.ndarray, mask: np.ndarray, times_s: np.ndarray, *, path: str = ""
) -> InputFunction:
    """Average the voxels of a mask that the user has drawn on the series' grid.

    Parameters
    ----------
    concentration : ndarray, shape (x, y, z, n_frames)
        1/s; voxels that are not finite are left out.
    mask : ndarray of bool, shape (x, y, z)

    Raises
    ------
    Refusal
        E144 where no voxel of the mask holds a concentration.
    """
    usable = mask & np.isfinite(concentration).all(axis=3)
    if not usable.any():
        problem = f"none of the {int(mask.sum())} voxels of the mask holds a concentration"
        raise Refusal("E144", path=path, problem=problem, expected="a mask on vessels inside the series")
    return input_function(concentration[usable].mean(axis=0), usable, times_s, "mask")


def from_file(
    path: str | Path, times_s: np.ndarray, shape: tuple[int, int, int], *, name: str = ""
) -> InputFunction:
    """Read a curve that the user gives, as TSV.

    Columns ``time_s`` (clock of the series) and ``aif`` or ``aif_per_s`` (or ``vof``, ``vof_per_s``), which
    is interpolated at the frames, 0 before its first time and its last value after its last. Or one column
    with one value for each frame, with or without a header.

    Raises
    ------
    Refusal
        E144 where it is neither, or holds what is not a number.
    """
    name = name or Path(path).name
    text = Path(path).read_text(encoding="utf-8-sig", errors="replace")  # what is no text is no number either
    rows = [row for row in csv.reader(io.StringIO(text), delimiter="\t") if any(row)]
    header = [cell.strip() for cell in rows[0]] if rows and not _is_number(rows[0][0]) else []
    try:
        values = np.array([[float(cell) for cell in row] for row in rows[bool(header) :]], dtype=float)
    except ValueError:
        values = np.empty((0, 0))
    usable = values.ndim == 2 and values.size > 0 and bool(np.isfinite(values).all())
    usable = usable and values.shape[1] == len(header or values[0])
    column = next((header.index(h) for h in ("aif", "aif_per_s", "vof", "vof_per_s") if h in header), None)
    if usable and column is not None and "time_s" in header:
        clock = values[:, header.index("time_s")]
        if (np.diff(clock) > 0).all():
            curve = np.interp(times_s, clock, values[:, column], left=0.0)
            return input_function(curve, np.zeros(shape, bool), times_s, "file")
    elif usable and values.shape == (len(times_s), 1):
        return input_function(values[:, 0], np.zeros(shape, bool), times_s, "file")
    problem = (
        f"the table has {values.shape[0]} rows of numbers and the columns {', '.join(header) or 'unnamed'}"
    )
    expected = f"columns time_s (rising) and aif, or one column of {len(times_s)} values"
    raise Refusal("E144", path=name, problem=problem, expected=expected)


def rescaled(aif: InputFunction, vof: InputFunction, times_s: np.ndarray) -> tuple[InputFunction, float]:
    """Scale an arterial curve to the area of the venous one, which partial volume spares; never down.

    Returns
    -------
    InputFunction, float
        The curve, and the factor.

    Source: Knutsson et al., Magn Reson Med 2007;58:415 (correction of the arterial area by the venous one).
    """
    areas = [float(np.trapezoid(f.curve, times_s)) for f in (vof, aif)]
    factor = max(areas[0] / areas[1], 1.0) if areas[1] > 0 else 1.0
    curve = (aif.curve * factor).astype(np.float32)
    return replace(aif, curve=curve, peak_per_s=aif.peak_per_s * factor), factor


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
