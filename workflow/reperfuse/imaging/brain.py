"""Head and brain masks by classical means; nothing is downloaded and nothing was trained."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy import ndimage

from reperfuse.imaging.volume import Volume

Contrast = Literal["s0", "trace", "adc"]
# An image is skull-stripped where much of it is exactly 0, what is not is no larger than a brain can be, and
# a threshold between air and brain finds nearly all of that. Measured: 0.85 to 0.92 of it in stripped images,
# 0.19 to 0.37 in whole heads whose air was set to 0.
STRIPPED_ZEROS, STRIPPED_SHARE, BRAIN_MAX_ML = 0.3, 0.7, 2000.0
HEAD_SMOOTHING_MM = 2.0


@dataclass(frozen=True)
class Brain:
    """A brain mask and how it was made.

    Parameters
    ----------
    mask : ndarray of bool, shape (x, y, z)
    method : str
        For the record and the report.
    skull_stripped : bool
        Whether the image held nothing but brain.
    """

    mask: np.ndarray
    method: str
    skull_stripped: bool


def otsu(values: np.ndarray, *, bins: int = 256) -> float:
    """Return the threshold that separates two classes best (Otsu 1979), on a linear histogram."""
    counts, edges = np.histogram(values, bins)
    centres = (edges[1:] + edges[:-1]) / 2
    below, total = np.cumsum(counts)[:-1].astype(float), float(counts.sum())
    moment, all_moments = np.cumsum(counts * centres)[:-1], float((counts * centres).sum())
    between = (all_moments * below / total - moment) ** 2 / np.maximum(below * (total - below), 1)
    # Between two classes that do not touch every threshold is as good; the middle is the safest.
    return float(edges[1:-1][between == between.max()].mean())


def opening(mask: np.ndarray, radius_mm: float, zooms: tuple[float, float, float]) -> np.ndarray:
    """Return what balls of a radius in mm inside the mask cover.

    Distances are in mm, so that thick slices count as thick. Beyond the field of view the mask goes on: a
    brain that is cut by the first slice keeps it.
    """
    if not mask.any() or mask.all():
        return mask.copy()
    core = ndimage.distance_transform_edt(mask, sampling=zooms) > radius_mm + 1e-6
    if not core.any():
        return core
    return ndimage.distance_transform_edt(~core, sampling=zooms) <= radius_mm + 1e-6


def largest(mask: np.ndarray) -> np.ndarray:
    """Return the largest component; voxels that share a face belong together."""
    labels, count = ndimage.label(mask)
    if count < 2:
        return mask.copy()
    return labels == 1 + int(np.argmax(np.bincount(labels.ravel())[1:]))


def _solid(mask: np.ndarray) -> np.ndarray:
    return ndimage.binary_fill_holes(largest(mask))


def _smooth(data: np.ndarray, sigma_mm: float, zooms: tuple[float, float, float]) -> np.ndarray:
    return ndimage.gaussian_filter(data.astype(np.float32), sigma_mm / np.asarray(zooms))


def head_mask(data: np.ndarray, zooms: tuple[float, float, float]) -> np.ndarray:
    """Return the head, scalp included: smoothed signal above a quarter of Otsu's threshold, in one piece.

    Parameters
    ----------
    data : ndarray, shape (x, y, z)
        Any contrast, finite.
    zooms : tuple
        Voxel size in mm.
    """
    # A very bright vessel or artefact must not lift the threshold above the head.
    signal = np.minimum(np.abs(data), np.quantile(np.abs(data), 0.995)).astype(np.float32)
    smooth = _smooth(signal, HEAD_SMOOTHING_MM, zooms)
    if smooth.min() == smooth.max():
        return smooth > 0
    # Skull is dark and sets scalp apart from brain; within a plane scalp encloses the brain even where the
    # field of view cuts the head.
    mask = smooth > otsu(smooth) / 4
    filled = mask.copy()
    for axis in range(3):
        plane = ndimage.generate_binary_structure(3, 1)
        plane[tuple(slice(None, None, 2) if a == axis else slice(None) for a in range(3))] = False
        filled |= ndimage.binary_fill_holes(mask, plane)
    return _solid(filled)


def brain_mask(
    image: Volume, *, contrast: Contrast, smoothing_mm: float, opening_mm: float, edge_mm: float
) -> Brain:
    """Return the brain in a diffusion image.

    Whole head: Gaussian, Otsu on a linear histogram, opening, largest component, holes filled. A logarithmic
    histogram is unstable across scanners and not used. Skull-stripped: signal above 0, freed of single-voxel
    spurs by a small opening, largest component, holes filled.

    Parameters
    ----------
    image : Volume
        3-D, finite; b = 0 preferred, else trace, else ADC in any unit.
    contrast : {"s0", "trace", "adc"}
        What the image is. ADC is cut at twice its median first, or fluid and air noise would set the
        threshold.
    smoothing_mm : float
        Standard deviation of the Gaussian.
    opening_mm : float
        Radius that severs scalp and eyes from the brain in a whole head.
    edge_mm : float
        Radius of the opening of a skull-stripped image.
    """
    data, zooms = image.data, image.zooms
    positive = data > 0
    if not positive.any():
        return Brain(np.zeros(data.shape, bool), "no signal", False)
    signal = np.clip(data, 0, 2 * np.median(data[positive])) if contrast == "adc" else data
    smooth = _smooth(signal, smoothing_mm, zooms)
    threshold = otsu(smooth)
    brain = _solid(opening(smooth > threshold, opening_mm, zooms))
    foreground = _solid(positive)
    if (
        np.mean(data == 0) >= STRIPPED_ZEROS
        and foreground.sum() * image.voxel_ml <= BRAIN_MAX_ML
        and np.count_nonzero(brain & foreground) >= STRIPPED_SHARE * np.count_nonzero(foreground)
    ):
        mask = _solid(opening(positive, edge_mm, zooms))
        return Brain(mask, f"{contrast} above 0, largest component (skull-stripped image)", True)
    return Brain(brain, f"Otsu threshold and opening of {contrast}", False)
