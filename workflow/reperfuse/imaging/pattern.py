"""A lesion mask in the template as a vector: how much of each cell of a fixed lattice the lesion fills."""

from __future__ import annotations

import numpy as np

from reperfuse.imaging.volume import Volume

# Box around the MNI152 brain in mm (right, anterior, superior), a multiple of 4, 6, 8, 12 and 24 mm from end to end.
BOX = ((-96.0, 96.0), (-132.0, 84.0), (-72.0, 96.0))


def lattice(cell_mm: float) -> tuple[int, int, int]:
    """Return how many cells the lattice has along each axis."""
    x, y, z = (int(np.ceil((high - low) / cell_mm)) for low, high in BOX)
    return x, y, z


def lesion_pattern(mask: Volume, *, cell_mm: float) -> np.ndarray:
    """Return the square root of the share of each cell that a lesion fills; see `lesion_share`.

    The root brings small lesions and rims nearer to the large ones, which would otherwise make every component.
    """
    return np.sqrt(_share(mask, cell_mm)).astype(np.float32)


def lesion_share(mask: Volume, *, cell_mm: float) -> np.ndarray:
    """Return the share of each cell that a lesion fills.

    Parameters
    ----------
    mask : Volume
        In the template; above 0.5 is lesion. Its axes may point anywhere, its affine says where.
    cell_mm : float
        Edge of a cell.

    Returns
    -------
    ndarray
        (cells) float32, x slowest; what lies outside the box is not counted.
    """
    return _share(mask, cell_mm).astype(np.float32)


def _share(mask: Volume, cell_mm: float) -> np.ndarray:
    shape = lattice(cell_mm)
    where = np.argwhere(mask.data > 0.5)
    points = where @ mask.affine[:3, :3].T + mask.affine[:3, 3]
    low = np.array([one[0] for one in BOX])
    cells = np.floor((points - low) / cell_mm).astype(int)
    inside = np.all((cells >= 0) & (cells < shape), axis=1)
    counts = np.bincount(np.ravel_multi_index(tuple(cells[inside].T), shape), minlength=int(np.prod(shape)))
    share: np.ndarray = counts * mask.voxel_ml * 1000 / cell_mm**3
    return share
