"""The array that a frozen encoder reads, made from an ADC map; and the way back for maps of features."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import nibabel as nib
import numpy as np
from scipy import ndimage

from reperfuse.core.errors import Refusal
from reperfuse.imaging.grids import invert
from reperfuse.imaging.volume import Volume, same_grid

Background = Literal["noise", "zero"]
# Direction in which the index of each axis grows: slices up, rows forward, columns to the patient's left. This
# is how a converted axial series is stored, transposed to (depth, height, width).
AXES = ("S", "A", "L")


def input_to_index(shape: tuple[int, int, int], volume: Volume) -> np.ndarray:
    """Return the 4×4 matrix from a voxel of the input array to a voxel of the image.

    The input covers the image's field of view edge to edge, whatever its shape: nothing is cropped and
    nothing padded. Oblique images keep their axes; each is taken as the body's axis that it is closest to.

    Parameters
    ----------
    shape : (slices, rows, columns)
        Shape of the input array.
    volume : Volume
        Gives grid and orientation.
    """
    to_own, along = turned_to_own(volume)
    size = volume.data.shape[:3]
    scale = np.eye(4)
    for axis, (stored, n) in enumerate(zip(along, shape, strict=True)):
        step = size[stored] / n
        scale[axis, axis], scale[axis, 3] = step, (step - 1.0) / 2.0
    return to_own @ scale


def turned_to_own(volume: Volume) -> tuple[np.ndarray, tuple[int, ...]]:
    """Return the 4×4 matrix from a voxel of the image turned to `AXES` to its own, and which own axis each one is.

    Oblique images keep their axes; each is taken as the body's axis that it is closest to.
    """
    own = nib.orientations.io_orientation(volume.affine)
    turned = nib.orientations.ornt_transform(own, nib.orientations.axcodes2ornt(AXES))
    matrix = nib.orientations.inv_ornt_aff(turned, volume.data.shape[:3])
    return matrix, tuple(int(axis) for axis in np.argsort(turned[:, 0]))


def model_input(
    adc: Volume,
    brain: Volume | None,
    *,
    shape: tuple[int, int, int],
    clip: float,
    background: Background,
    seed: int,
) -> np.ndarray:
    """Return an ADC map as the encoder reads it.

    Brain only; clipped to [0, ``clip``]; resampled linearly to ``shape`` over the whole field of view; mean 0
    and SD 1 over the voxels above 0; the others noise or 0. Voxels outside the brain are left out of the
    interpolation's weighted mean, because counted as 0 they would draw a rim of restricted diffusion.

    Parameters
    ----------
    adc : Volume
        10⁻⁶ mm²/s, 3-D.
    brain : Volume or None
        Mask on the same grid; None takes every voxel above 0.
    shape : (slices, rows, columns)
        Of the result; arXiv 2512.02088 uses 24×256×256.
    clip : float
        Upper bound in 10⁻⁶ mm²/s.
    background : {"noise", "zero"}
        What voxels of value 0 become: standard normal noise, as MedicalNet was trained, or 0.
    seed : int
        Of the noise.

    Returns
    -------
    ndarray of float32, shape ``shape``
        Axes superior, anterior, left; without unit.

    Raises
    ------
    Refusal
        E120 if the mask lies on another grid; E111 if no voxel is above 0, or all of them are equal.

    Notes
    -----
    Normalisation and noise follow MedicalNet (Chen et al., arXiv 1904.00625, ``datasets/brains18.py``), which
    resizes without interpolation and draws other noise each time; here the result is the same every time.
    """
    values = np.clip(np.nan_to_num(adc.data.astype(np.float32), posinf=0.0, neginf=0.0), 0.0, clip)
    valid = values > 0
    if brain is not None:
        if not same_grid(adc, brain):
            raise Refusal("E120", **_grids(brain, adc))
        valid &= brain.data.astype(bool)
    index = input_to_index(shape, adc)

    def pull(data: np.ndarray) -> np.ndarray:
        return ndimage.affine_transform(
            data.astype(np.float32), index[:3, :3], index[:3, 3], shape, order=1, mode="nearest"
        )

    normalised, inside = standardised(values, valid, pull)
    if background == "noise":
        outside = np.random.default_rng(seed).standard_normal(shape, dtype=np.float32)
    else:
        outside = np.zeros(shape, dtype=np.float32)
    return np.where(inside, normalised, outside)


def standardised(
    values: np.ndarray, valid: np.ndarray, pull: Callable[[np.ndarray], np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """Return an image on another grid with mean 0 and SD 1 over the tissue there, and where that is.

    Parameters
    ----------
    values, valid : ndarray
        The image, and which of its voxels hold tissue; the others are left out of each weighted mean.
    pull : callable
        Brings an array to the other grid by a weighted mean.

    Raises
    ------
    Refusal
        E111 if no voxel is above 0, or all of them are equal.
    """
    weight, total = pull(valid), pull(np.where(valid, values, 0.0))
    # A voxel that is at least half brain is brain.
    inside = weight >= 0.5
    result = np.zeros(weight.shape, dtype=np.float32)
    np.divide(total, weight, out=result, where=inside)
    inside &= result > 0
    if not inside.any():
        raise Refusal("E111", value=0)
    kept = result[inside].astype(np.float64)
    mean, sd = kept.mean(), kept.std()
    if sd < 1e-6 * mean:
        raise Refusal("E111", value=round(float(mean), 1))
    return ((result - mean) / sd).astype(np.float32), inside


def to_native(
    coarse: np.ndarray, adc: Volume, *, shape: tuple[int, int, int] | None = None, stride: float = 1.0
) -> Volume:
    """Bring a map in the encoder's space back to the grid of the ADC map, linearly.

    Parameters
    ----------
    coarse : ndarray, shape (d, h, w)
        A map of features, or anything in the space of `model_input`.
    adc : Volume
        The image that the input was made from.
    shape : (slices, rows, columns), optional
        Of the input, where ``coarse`` is coarser; otherwise its own.
    stride : float
        The encoder's output stride. Voxel k of its map is centred on voxel ``stride·k`` of the input, not in
        the middle of ``stride`` voxels, because every kernel is odd and padded by half its extent: for 24
        slices and stride 8 the difference is three and a half slices.

    Returns
    -------
    Volume
        float32 on the grid of ``adc``. Beyond the outermost voxels of ``coarse`` their values are continued.
    """
    to_input = invert(input_to_index(shape or coarse.shape, adc))
    index = np.diag([1.0 / stride] * 3 + [1.0]) @ to_input
    data = ndimage.affine_transform(
        np.asarray(coarse, dtype=np.float32),
        index[:3, :3],
        index[:3, 3],
        adc.data.shape[:3],
        order=1,
        mode="nearest",
    )
    return adc.like(data)


def _grids(mask: Volume, image: Volume) -> dict[str, str]:
    found = {}
    for name, volume in (("found", mask), ("expected", image)):
        found[f"{name}_shape"] = "×".join(map(str, volume.data.shape[:3]))
        found[f"{name}_origin"] = ", ".join(f"{mm:.1f}" for mm in volume.affine[:3, 3])
    return found
