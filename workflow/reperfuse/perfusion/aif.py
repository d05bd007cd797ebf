"""The arterial input function, found among the voxels; and the venous one, which is larger and later."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from nibabel.orientations import io_orientation
from scipy.cluster.hierarchy import ward

from reperfuse.core.errors import Refusal
from reperfuse.perfusion.input_curve import InputFunction, Peak, input_function, peak_of


def body_axes(affine: np.ndarray) -> tuple[int, int, int]:
    """Return which axis of the array runs left-right, which back-front, which along the slices' height."""
    order = [int(axis) for axis in io_orientation(affine)[:, 0]]
    return order.index(0), order.index(1), order.index(2)


def search_region(
    brain: np.ndarray, affine: np.ndarray, *, height_share: Sequence[float], semi_axes_share: Sequence[float]
) -> np.ndarray:
    """Return where the middle cerebral arteries may run: an ellipse in each slice around their level.

    Parameters
    ----------
    brain : ndarray of bool, shape (x, y, z)
    affine : ndarray, shape (4, 4)
        Voxel to RAS mm; says which axis is which.
    height_share : two floats
        Lowest and highest slice, as shares of the brain's height from below. A brain of three slices or less
        is searched whole.
    semi_axes_share : two floats
        Semi-axes of the ellipse from left to right and from back to front, as shares of the brain's extent in
        the slice; its centre is the middle of that extent.

    Source: the DSC toolbox of FAIR-Unipd (Peruzzo et al., Comput Methods Programs Biomed 2011;104:e148).
    """
    axes = body_axes(affine)
    region = np.zeros_like(brain)
    # Views with axes left-right, back-front, height; writing to one writes to the array.
    source, target = brain.transpose(axes), region.transpose(axes)
    levels = np.flatnonzero(source.any(axis=(0, 1)))
    if levels.size == 0:
        return region
    if levels.size > 3:
        up = affine[2, axes[2]] > 0
        share = (np.arange(levels.size) + 0.5) / levels.size
        share = share if up else 1 - share
        levels = levels[(share >= height_share[0]) & (share <= height_share[1])]
    for level in levels:
        inside = source[:, :, level]
        distance = np.zeros(inside.shape)
        for axis, semi in enumerate(semi_axes_share):
            where = np.flatnonzero(inside.any(axis=1 - axis))
            middle, extent = (where[0] + where[-1]) / 2, where[-1] - where[0] + 1
            at = (np.arange(inside.shape[axis]) - middle) / (semi * extent)
            distance += (at**2)[:, None] if axis == 0 else (at**2)[None, :]
        target[:, :, level] = inside & (distance <= 1)
    return region


def select_aif(
    concentration: np.ndarray,
    brain: np.ndarray,
    times_s: np.ndarray,
    affine: np.ndarray,
    *,
    path: str = "",
    height_share: Sequence[float],
    semi_axes_share: Sequence[float],
    drop_area_percent: float,
    drop_late_percent: float,
    drop_irregular_percent: float,
    similar_peaks_percent: float,
    candidates: int,
    voxels: Sequence[int],
    minimum_peak_ratio: float,
    fwhm_s: Sequence[float],
    plateau_frames: int,
    plateau_percent: float,
) -> InputFunction:
    """Find the arterial input function.

    Voxels of the search region with the smallest area, the latest peak and the roughest curve are dropped;
    what peaks with or after the brain's mean, is flat at its top (saturated) or still high at the end is
    never taken. The rest is split in two by hierarchical clustering, the part with the higher peak (the
    earlier one where both are alike) is split again, and so on until ``voxels`` are left; their mean is the
    curve.

    Parameters
    ----------
    concentration : ndarray, shape (x, y, z, n_frames)
        1/s. Voxels that are not finite, or nowhere above 0, are left out.
    brain : ndarray of bool, shape (x, y, z)
    times_s : ndarray, shape (n_frames,)
    affine : ndarray, shape (4, 4)
    height_share, semi_axes_share
        See `search_region`.
    drop_area_percent, drop_late_percent, drop_irregular_percent : float
        Shares that are dropped, one after the other.
    similar_peaks_percent : float
        Peaks closer than this are alike.
    candidates : int
        Most voxels that are clustered, those of the greatest area.
    voxels : two ints
        Fewest and most voxels of the curve.
    minimum_peak_ratio : float
        Least peak over that of the brain's mean.
    fwhm_s : two floats
        Narrowest and widest full width at half maximum.
    plateau_frames, plateau_percent
        So many frames within this of the peak are a saturated one.

    Raises
    ------
    Refusal
        E144 where fewer voxels are left, or the curve fails one of these.

    Source: science reference, 4.1; Peruzzo et al. 2011 (filters, recursive clustering, its shares).
    """
    tissue = _tissue(concentration, brain, path)
    mean_peak = peak_of(tissue[None], times_s)
    region = search_region(brain, affine, height_share=height_share, semi_axes_share=semi_axes_share)
    where, curves = _usable(concentration, region)
    minimum, maximum = voxels
    if len(curves) >= minimum:
        kept = _drop(curves, times_s, drop_area_percent, drop_late_percent, drop_irregular_percent)
        where, curves = where[kept], curves[kept]
    peaks = peak_of(curves, times_s) if len(curves) else mean_peak
    limits = (plateau_frames, plateau_percent)
    good = _arterial(curves, peaks, float(mean_peak.ttp_s[0]), *limits) if len(curves) else np.zeros(0, bool)
    if good.sum() < minimum:
        problem = (
            f"{int(good.sum())} of {len(curves)} candidate voxels peak before the brain's mean "
            f"({mean_peak.ttp_s[0]:.1f} s), unsaturated"
        )
        raise Refusal("E144", path=path, problem=problem, expected=f"at least {minimum} of them")
    where, curves = where[good], curves[good]
    most = np.argsort(-_area(curves, times_s), kind="stable")[:candidates]
    where, curves = where[most], curves[most]
    chosen = _descend(curves, times_s, minimum, maximum, similar_peaks_percent, "peak")
    mask = np.zeros(brain.shape, bool)
    mask[tuple(where[chosen].T)] = True
    found = input_function(curves[chosen].mean(axis=0), mask, times_s, "automatic", body_axes(affine)[2])
    _check(found, mean_peak, path, minimum_peak_ratio=minimum_peak_ratio, fwhm_s=fwhm_s)
    return found


def select_vof(
    concentration: np.ndarray,
    brain: np.ndarray,
    times_s: np.ndarray,
    affine: np.ndarray,
    aif: InputFunction,
    *,
    drop_area_percent: float,
    similar_peaks_percent: float,
    candidates: int,
    voxels: Sequence[int],
    latest_after_aif_s: float,
    minimum_peak_ratio: float,
) -> InputFunction | None:
    """Find a venous output function, later than the artery, of large area and high peak; or None.

    Parameters
    ----------
    aif : InputFunction
        Its voxels are left out, and its peak comes before.
    drop_area_percent : float
        Share of the brain's voxels with the smallest area that are dropped.
    similar_peaks_percent, candidates, voxels
        As for `select_aif`; of two parts with alike areas the higher one is taken.
    latest_after_aif_s : float
        Latest peak after the artery's.
    minimum_peak_ratio : float
        Least peak over that of the brain's mean.
    """
    tissue = peak_of(_tissue(concentration, brain, "")[None], times_s)
    where, curves = _usable(concentration, brain & ~aif.voxels)
    if len(curves) < voxels[0]:
        return None
    areas = _area(curves, times_s)
    kept = areas >= np.percentile(areas, drop_area_percent)
    peaks = peak_of(curves, times_s)
    kept &= (peaks.ttp_s > aif.ttp_s) & (peaks.ttp_s <= aif.ttp_s + latest_after_aif_s)
    kept &= (peaks.height >= minimum_peak_ratio * tissue.height[0]) & np.isfinite(peaks.fwhm_s)
    most = np.argsort(-np.where(kept, areas, -np.inf), kind="stable")[: min(candidates, int(kept.sum()))]
    if len(most) < voxels[0]:
        return None
    chosen = most[_descend(curves[most], times_s, voxels[0], voxels[1], similar_peaks_percent, "area")]
    mask = np.zeros(brain.shape, bool)
    mask[tuple(where[chosen].T)] = True
    return input_function(curves[chosen].mean(axis=0), mask, times_s, "automatic", body_axes(affine)[2])


def _tissue(concentration: np.ndarray, brain: np.ndarray, path: str) -> np.ndarray:
    curves = concentration[brain]
    curves = curves[np.isfinite(curves).all(axis=1)]
    if not len(curves):
        raise Refusal("E144", path=path, problem="the brain mask holds no concentration", expected="one")
    return curves.mean(axis=0, dtype=np.float64)


def _usable(concentration: np.ndarray, region: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return indices (n, 3) and curves (n, n_frames) of a region's voxels that hold a concentration."""
    where = np.argwhere(region)
    curves = concentration[region]
    good = np.isfinite(curves).all(axis=1) & (curves.max(axis=1, initial=0) > 0)
    return where[good], curves[good].astype(np.float64)


def _area(curves: np.ndarray, times_s: np.ndarray) -> np.ndarray:
    return np.trapezoid(curves, times_s, axis=1)


def _drop(
    curves: np.ndarray, times_s: np.ndarray, area_percent: float, late_percent: float, rough_percent: float
) -> np.ndarray:
    """Return which curves stay; each share is of those that the one before has left."""
    area = _area(curves, times_s)
    kept = np.flatnonzero((area >= np.percentile(area, area_percent)) & (area > 0))
    late = peak_of(curves[kept], times_s).ttp_s
    kept = kept[late <= np.percentile(late, 100 - late_percent)]
    # By the peak, not the area: a narrow bolus, which is what is looked for, would count as rough.
    scaled = curves[kept] / curves[kept].max(axis=1, keepdims=True)
    slope = np.diff(scaled, axis=1) / np.diff(times_s)
    rough = (np.diff(slope, axis=1) ** 2).sum(axis=1)
    return kept[rough <= np.percentile(rough, 100 - rough_percent)]


def _arterial(
    curves: np.ndarray, peaks: Peak, tissue_s: float, plateau_frames: int, plateau_percent: float
) -> np.ndarray:
    """Return which curves peak before the tissue, sharply, and come down again before the series ends."""
    top = curves.max(axis=1)
    flat = (curves >= (1 - plateau_percent / 100) * top[:, None]).sum(axis=1) >= plateau_frames
    return (peaks.ttp_s < tissue_s) & ~flat & np.isfinite(peaks.fwhm_s)


def _descend(
    curves: np.ndarray, times_s: np.ndarray, minimum: int, maximum: int, similar_percent: float, by: str
) -> np.ndarray:
    """Split in two, keep one part, and again; return indices of the last part, at most ``maximum``.

    Ward's tree of all curves holds the trees of its parts, so that it is built once.
    """
    n = len(curves)
    if n <= maximum:
        return np.arange(n)
    members: list[np.ndarray] = [np.array([i]) for i in range(n)]
    links = ward(curves)
    children = links[:, :2].astype(int)
    for a, b in children:
        members.append(np.concatenate([members[a], members[b]]))
    node = 2 * n - 2
    while node >= n and len(members[node]) > maximum:
        pair = list(children[node - n])
        means = np.stack([curves[members[child]].mean(axis=0) for child in pair])
        found = peak_of(means, times_s)
        value = found.height if by == "peak" else _area(means, times_s)
        better = int(value[1] > value[0])
        if abs(value[1] - value[0]) < similar_percent / 100 * abs(value).max():
            better = int(
                found.ttp_s[1] < found.ttp_s[0] if by == "peak" else found.height[1] > found.height[0]
            )
        if len(members[pair[better]]) < minimum:
            # So few may be noise; but a part that is no vessel must not take their place.
            better = 1 - better
        if len(members[pair[better]]) < minimum:
            break
        node = pair[better]
    chosen = members[node]
    return np.sort(chosen[np.argsort(-curves[chosen].max(axis=1), kind="stable")[:maximum]])


def _check(
    found: InputFunction, tissue: Peak, path: str, *, minimum_peak_ratio: float, fwhm_s: Sequence[float]
) -> None:
    ratio = found.peak_per_s / max(float(tissue.height[0]), 1e-9)
    narrow, wide = fwhm_s
    times = f"it peaks at {found.ttp_s:.1f} s, the brain's mean at {tissue.ttp_s[0]:.1f} s"
    height = f"its peak is {ratio:.2f} times that of the brain's mean"
    width = f"it is {found.fwhm_s:.1f} s wide at half its peak"
    problems = (
        (found.ttp_s < tissue.ttp_s[0], times, "an earlier peak"),
        (ratio >= minimum_peak_ratio, height, f"at least {minimum_peak_ratio:g}"),
        (narrow <= found.fwhm_s <= wide, width, f"{narrow:g} to {wide:g} s"),
    )
    for held, problem, expected in problems:
        if not held:
            raise Refusal("E144", path=path, problem=problem, expected=expected)
