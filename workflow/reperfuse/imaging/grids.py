"""Transforms between grids: 4×4 matrices from the fixed image's RAS mm to the moving image's RAS mm."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike
from scipy import ndimage

from reperfuse.imaging.volume import Volume

Interpolation = Literal["linear", "nearest", "bspline"]
ORDER = {"nearest": 0, "linear": 1, "bspline": 3}
LPS = np.diag([-1.0, -1.0, 1.0, 1.0])


def to_lps(affine: np.ndarray) -> np.ndarray:
    """Return a voxel-to-RAS affine as voxel-to-LPS, the frame of ITK, or the reverse."""
    return LPS @ affine


def compose(*matrices: np.ndarray) -> np.ndarray:
    """Chain fixed→moving matrices, the first applied first.

    ``compose(a_to_b, b_to_c)`` maps the RAS mm of a to those of c.
    """
    product = np.eye(4)
    for matrix in matrices:
        product = matrix @ product
    return product


def invert(matrix: np.ndarray) -> np.ndarray:
    """Return the matrix from the moving image's RAS mm to the fixed image's."""
    inverse = np.linalg.inv(matrix)
    inverse[3] = [0.0, 0.0, 0.0, 1.0]
    return inverse


def rotation_deg(matrix: np.ndarray) -> float:
    """Angle of the rotation in degrees, for a rigid matrix (Euler's rotation theorem)."""
    cosine = (np.trace(matrix[:3, :3]) - 1.0) / 2.0
    return float(np.degrees(np.arccos(np.clip(cosine, -1.0, 1.0))))


def rigid_matrix(angles_deg: ArrayLike, shift_mm: ArrayLike, centre: ArrayLike) -> np.ndarray:
    """Return the rotation about x, then y, then z around a centre, followed by a shift.

    Parameters
    ----------
    angles_deg, shift_mm, centre : array_like, shape (3,)
        Degrees, mm and RAS mm.
    """
    rotation = np.eye(3)
    for axis, angle in enumerate(np.radians(np.asarray(angles_deg, dtype=float))):
        i, j = (axis + 1) % 3, (axis + 2) % 3
        turn = np.eye(3)
        turn[i, i] = turn[j, j] = np.cos(angle)
        turn[i, j], turn[j, i] = -np.sin(angle), np.sin(angle)
        rotation = turn @ rotation
    matrix = np.eye(4)
    matrix[:3, :3] = rotation
    matrix[:3, 3] = np.asarray(centre) + np.asarray(shift_mm) - rotation @ np.asarray(centre)
    return matrix


def centre_mm(volume: Volume, weights: np.ndarray | None = None) -> np.ndarray:
    """Return the centre of mass in RAS mm, of the weights or else of the grid."""
    if weights is None or not weights.any():
        index = (np.asarray(volume.data.shape[:3]) - 1) / 2.0
    else:
        index = np.asarray(ndimage.center_of_mass(weights))
    return volume.affine[:3, :3] @ index + volume.affine[:3, 3]


def box_of(mask: np.ndarray, *, border: int) -> tuple[slice, ...]:
    """Return the box that holds a mask with a border in voxels; all of the grid where the mask is empty."""
    where = np.argwhere(mask)
    if where.size == 0:
        return tuple(slice(0, n) for n in mask.shape)
    low = np.maximum(where.min(0) - border, 0)
    high = np.minimum(where.max(0) + 1 + border, mask.shape)
    return tuple(slice(int(a), int(b)) for a, b in zip(low, high, strict=True))


def points_mm(volume: Volume, mask: np.ndarray) -> np.ndarray:
    """Return the RAS mm of a mask's voxels, shape (n, 3)."""
    return np.argwhere(mask) @ volume.affine[:3, :3].T + volume.affine[:3, 3]


def transform_points(matrix: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Map points, shape (n, 3), RAS mm."""
    return points @ matrix[:3, :3].T + matrix[:3, 3]


def inside(moving: Volume, like: Volume, matrix: np.ndarray) -> np.ndarray:
    """Return where voxels of ``like`` fall within the moving image's field of view, to half a voxel."""
    index = invert(moving.affine) @ matrix @ like.affine
    shape = like.data.shape[:3]
    axes = np.ogrid[tuple(slice(0, n) for n in shape)]
    seen = np.ones(shape, dtype=bool)
    for axis, size in enumerate(moving.data.shape[:3]):
        at = index[axis, 0] * axes[0] + index[axis, 1] * axes[1] + index[axis, 2] * axes[2] + index[axis, 3]
        seen &= (at >= -0.5 - 1e-6) & (at <= size - 0.5 + 1e-6)
    return seen


def resample(
    moving: Volume,
    like: Volume,
    matrix: np.ndarray,
    *,
    interpolation: Interpolation,
    valid: np.ndarray | None = None,
) -> Volume:
    """Bring a 3-D image onto another grid; 0 outside its field of view.

    Parameters
    ----------
    moving : Volume
        bool data stay bool (linear and bspline are cut at one half).
    like : Volume
        Gives the grid.
    matrix : ndarray, shape (4, 4)
        RAS mm of ``like`` to RAS mm of ``moving``.
    interpolation : {"linear", "nearest", "bspline"}
        bspline (cubic) can ring below zero; an ADC map wants linear.
    valid : ndarray of bool, optional
        Voxels of ``moving`` that hold a value. The others are left out of the weighted mean instead of
        counting as 0, which at the rim of a masked ADC map would look like restricted diffusion.
    """
    index = invert(moving.affine) @ np.asarray(matrix, dtype=float) @ like.affine
    order = ORDER[interpolation]
    binary = moving.data.dtype == bool

    def pull(data: np.ndarray) -> np.ndarray:
        return ndimage.affine_transform(
            data, index[:3, :3], index[:3, 3], like.data.shape[:3], order=order, mode="nearest"
        )

    if binary and order == 0:
        result = pull(moving.data.astype(np.uint8)) > 0
    elif binary:
        result = pull(moving.data.astype(np.float32)) >= 0.5
    elif order == 0:
        result = pull(moving.data)
    elif valid is None:
        result = pull(moving.data.astype(np.float32))
    else:
        weight = pull(valid.astype(np.float32))
        total = pull(np.where(valid, moving.data, 0).astype(np.float32))
        result = np.where(weight >= 0.5, total / np.maximum(weight, 0.5), 0).astype(np.float32)
    result[~inside(moving, like, matrix)] = 0
    return like.like(result)


def itk_text(matrix: np.ndarray) -> str:
    """Return a matrix as an ITK transform file (text, LPS), as ANTs and 3D Slicer read it.

    The stored map goes from the fixed image's points to the moving image's, which is ITK's convention too.
    """
    lps = LPS @ np.asarray(matrix, dtype=float) @ LPS
    numbers = [*lps[:3, :3].ravel(), *lps[:3, 3]]
    return (
        "#Insight Transform File V1.0\n"
        "#Transform 0\n"
        "Transform: AffineTransform_double_3_3\n"
        f"Parameters: {' '.join(repr(float(n) + 0.0) for n in numbers)}\n"
        "FixedParameters: 0 0 0\n"
    )


def read_itk_text(text: str) -> np.ndarray:
    """Return the matrix of a transform file that ``itk_text`` wrote."""
    line = next(line for line in text.splitlines() if line.startswith("Parameters:"))
    numbers = np.array([float(word) for word in line.split()[1:]])
    lps = np.eye(4)
    lps[:3, :3] = numbers[:9].reshape(3, 3)
    lps[:3, 3] = numbers[9:]
    return LPS @ lps @ LPS
