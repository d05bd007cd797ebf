"""What a trained network is shown: images around the middle of the brain at a fixed spacing, and the way back."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from reperfuse.core.errors import Refusal
from reperfuse.imaging.grids import box_of, inside, invert, resample
from reperfuse.imaging.model_input import standardised, turned_to_own
from reperfuse.imaging.pattern import BOX
from reperfuse.imaging.volume import Volume, same_grid

Shape = tuple[int, int, int]
# Values beyond this many SD of the brain are cut; as much is then added, so that background can be 0.
CLIP_SD = 5.0
# Middle of the template's brain in RAS mm.
TEMPLATE_CENTRE = np.array([(low + high) / 2 for low, high in BOX])
# Least share of the brain that a network must be shown.
MIN_SHARE = 0.5


@dataclass(frozen=True)
class Grid:
    """A box of voxels; axes superior, anterior, left.

    Parameters
    ----------
    shape : (slices, rows, columns)
    spacing_mm : (float, float, float)
        Between them.
    """

    shape: Shape
    spacing_mm: tuple[float, float, float]

    @classmethod
    def of(cls, section: Mapping[str, Sequence[float]]) -> Grid:
        """Return the grid that ``grid`` of the configuration says."""
        s, r, c = map(int, section["shape"])
        ds, dr, dc = map(float, section["spacing_mm"])
        return cls((s, r, c), (ds, dr, dc))


def centre_of(brain: Volume) -> np.ndarray:
    """Return the middle of the box around a brain mask, RAS mm.

    Not its centre of mass, which would waste a part of the grid above the brain, where it is wide.

    Raises
    ------
    Refusal
        E111 if the mask is empty.
    """
    if not brain.data.any():
        raise Refusal("E111", value=0)
    box = box_of(brain.data, border=0)
    middle = [(one.start + one.stop - 1) / 2 for one in box]
    found: np.ndarray = brain.affine[:3, :3] @ middle + brain.affine[:3, 3]
    return found


def input_to_index(grid: Grid, volume: Volume, centre_mm: np.ndarray) -> np.ndarray:
    """Return the 4×4 matrix from a voxel of the input array to a voxel of the image.

    Oblique images keep their axes, as in `reperfuse.imaging.model_input`: slices were planned along the anatomy, and
    thick ones are not mixed.

    Parameters
    ----------
    grid : Grid
    volume : Volume
        Gives grid and orientation.
    centre_mm : ndarray, shape (3,)
        RAS mm of the middle of the input.
    """
    to_own, along = turned_to_own(volume)
    middle = invert(to_own) @ invert(volume.affine) @ [*centre_mm, 1.0]
    scale = np.eye(4)
    for axis, (stored, n, spacing) in enumerate(zip(along, grid.shape, grid.spacing_mm, strict=True)):
        step = spacing / volume.zooms[stored]
        scale[axis, axis], scale[axis, 3] = step, middle[axis] - step * (n - 1) / 2
    matrix: np.ndarray = to_own @ scale
    return matrix


def input_to_mm(grid: Grid, brain: Volume | None) -> np.ndarray:
    """Return the 4×4 matrix from a voxel of the input to RAS mm: one box in space, whatever the grids of the images.

    Parameters
    ----------
    grid : Grid
    brain : Volume or None
        Mask of the patient's brain, in the middle of which the grid lies; None for the template's.

    Raises
    ------
    Refusal
        E111 if the mask is empty.
    """
    if brain is None:
        brain, centre = Volume(np.zeros((1, 1, 1), dtype=bool), np.eye(4)), TEMPLATE_CENTRE
    else:
        centre = centre_of(brain)
    matrix: np.ndarray = brain.affine @ input_to_index(grid, brain, centre)
    return matrix


def share_inside(mask: Volume, matrix: np.ndarray, shape: Shape) -> float:
    """Return the share of a mask's voxels whose centres lie in the input; 1 for an empty mask."""
    where = np.argwhere(mask.data > 0.5)
    if not len(where):
        return 1.0
    to_input = invert(matrix)
    index = where @ to_input[:3, :3].T + to_input[:3, 3]
    limit = np.asarray(shape) - 0.5 + 1e-6
    return float(((index >= -0.5 - 1e-6) & (index <= limit)).all(axis=1).mean())


def check_share(share: float) -> None:
    """Refuse a grid that holds less than half of the brain (E153)."""
    if share < MIN_SHARE:
        raise Refusal("E153", percent=f"{100 * share:.0f}", limit=f"{100 * MIN_SHARE:.0f}")


def channel(name: str, volume: Volume, brain: Volume | None, matrix: np.ndarray, shape: Shape) -> np.ndarray:
    """Return what a network is shown of one image.

    Where the input is coarser than the image, each of its voxels is the mean over what it covers. An image is taken
    inside the brain alone, has there mean 0 and SD 1, is cut at 5 SD either side and lifted by 5; background is 0. A
    lesion is the share of each voxel that it fills.

    Parameters
    ----------
    name : {"trace", "adc", "lesion"}
    volume : Volume
    brain : Volume or None
        Mask in the space of the image; not asked for of a lesion.
    matrix : ndarray, shape (4, 4)
        Voxel of the input to voxel of the image, from `input_to_index`.
    shape : (slices, rows, columns)
        Of the input.

    Returns
    -------
    ndarray of float32, shape ``shape``
        0 to 10 for an image, 0 to 1 for a lesion.

    Raises
    ------
    Refusal
        E111 if no voxel of the image lies in the brain, or all of them are equal.
    """
    if name == "lesion":
        return np.clip(_mean_over(np.clip(volume.data, 0, 1), matrix, shape), 0, 1)
    assert brain is not None
    if not same_grid(brain, volume):
        brain = resample(brain.like(brain.data > 0.5), volume, np.eye(4), interpolation="nearest")
    values = np.nan_to_num(volume.data.astype(np.float32), posinf=0.0, neginf=0.0)
    valid = (values > 0) & (brain.data > 0.5)
    lifted, where = standardised(values, valid, lambda data: _mean_over(data, matrix, shape))
    lifted = np.clip(lifted, -CLIP_SD, CLIP_SD) + np.float32(CLIP_SD)
    return np.where(where, lifted, np.float32(0))


def covered(mask: Volume, matrix: np.ndarray, shape: Shape) -> np.ndarray:
    """Return the share of each voxel of the input that a mask fills, float32 from 0 to 1; `matrix` as in `channel`."""
    return np.clip(_mean_of_some(np.clip(mask.data, 0, 1), matrix, shape), 0, 1)


def mean_inside(
    volume: Volume, known: np.ndarray, matrix: np.ndarray, shape: Shape
) -> tuple[np.ndarray, np.ndarray]:
    """Return an image's values in its own unit: means over what each voxel of the input covers.

    Parameters
    ----------
    volume : Volume
        What is not known must be 0.
    known : ndarray, shape (x, y, z)
        How much of each voxel holds a value, 0 to 1; the mean is weighted by it. ``volume`` is weighted already.
    matrix, shape
        As in `channel`.

    Returns
    -------
    values, share : ndarray of float32, shape ``shape``
        The means, 0 where nothing is known, and how much is known.
    """
    total, share = (_mean_of_some(data, matrix, shape) for data in (volume.data, known))
    values = np.zeros(shape, dtype=np.float32)
    np.divide(total, share, out=values, where=share > 1e-3)
    return values, share


def to_native(
    coarse: np.ndarray,
    image: Volume,
    matrix: np.ndarray,
    shape: Shape,
    *,
    stride: Sequence[float] | None = None,
) -> Volume:
    """Bring a map in the space of the input to the grid of an image, linearly; 0 outside the input.

    Parameters
    ----------
    coarse : ndarray, shape (d, h, w)
        A map of features, or anything in the space of the input.
    image : Volume
        The image that the input was made from, or another grid.
    matrix : ndarray, shape (4, 4)
        Voxel of the input to voxel of ``image``.
    shape : (slices, rows, columns)
        Of the input.
    stride : sequence of 3 floats, optional
        The network's stride along each axis up to ``coarse``. Voxel k of its map is centred on voxel ``stride·k`` of
        the input where every kernel is odd and padded by half its extent, as in `reperfuse.imaging.model_input`.
        Without it the map's voxels share the input evenly, edge to edge.

    Returns
    -------
    Volume
        float32 on the grid of ``image``.
    """
    to_coarse = np.eye(4)
    for axis, (n, m) in enumerate(zip(shape, coarse.shape, strict=True)):
        step = stride[axis] if stride is not None else n / m
        to_coarse[axis, axis] = 1.0 / step
        to_coarse[axis, 3] = 0.0 if stride is not None else (1.0 / step - 1.0) / 2.0
    index = to_coarse @ invert(matrix)
    data = ndimage.affine_transform(
        np.asarray(coarse, dtype=np.float32), index[:3, :3], index[:3, 3], image.data.shape[:3], order=1,
        mode="nearest",
    )  # fmt: skip
    # Voxels of the input are those of a volume whose affine leads to the image's.
    box = Volume(np.empty(shape, dtype=bool), image.affine @ matrix)
    data[~inside(box, image, np.eye(4))] = 0
    return image.like(data)


def _mean_of_some(data: np.ndarray, matrix: np.ndarray, shape: Shape) -> np.ndarray:
    """Return what `_mean_over` does, computed only where an image is not 0: a lesion is a small part of a grid."""
    found = np.zeros(shape, dtype=np.float32)
    if not data.any():
        return found
    box = box_of(data != 0, border=1)
    corners = np.array(np.meshgrid(*([one.start - 1, one.stop] for one in box), indexing="ij")).reshape(3, -1)
    to_input = invert(matrix)
    reached = to_input[:3, :3] @ corners + to_input[:3, 3:]
    first = np.clip(np.floor(reached.min(axis=1)).astype(int), 0, shape)
    last = np.clip(np.ceil(reached.max(axis=1)).astype(int) + 1, first, shape)
    n, k, m = map(int, last - first)
    if n * k * m:
        shift = np.eye(4)
        shift[:3, 3] = first
        part = tuple(slice(int(a), int(b)) for a, b in zip(first, last, strict=True))
        found[part] = _mean_over(data, matrix @ shift, (n, k, m))
    return found


def _mean_over(data: np.ndarray, matrix: np.ndarray, shape: Shape) -> np.ndarray:
    """Return the mean of an image, 0 outside its field of view, over each voxel of the input.

    Points are set along each axis as near to one another as the image's voxels are, and interpolated linearly.
    """
    n = [max(1, math.ceil(float(np.linalg.norm(matrix[:3, axis])) - 1e-3)) for axis in range(3)]
    finer = np.eye(4)
    for axis, parts in enumerate(n):
        finer[axis, axis], finer[axis, 3] = 1 / parts, (1 / parts - 1) / 2
    index = matrix @ finer
    points = tuple(size * parts for size, parts in zip(shape, n, strict=True))
    fine = ndimage.affine_transform(
        data.astype(np.float32), index[:3, :3], index[:3, 3], points, order=1, mode="grid-constant"
    )
    split = fine.reshape(shape[0], n[0], shape[1], n[1], shape[2], n[2])
    return np.asarray(split.mean(axis=(1, 3, 5), dtype=np.float32))
