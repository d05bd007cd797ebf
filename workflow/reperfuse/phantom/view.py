"""One patient's head seen on one grid from one position."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from reperfuse.phantom.anatomy import TISSUES, Head

Array = np.ndarray


def grid_affine(shape: tuple[int, int, int], spacing_mm: tuple[float, float, float], flip_x: bool) -> Array:
    """Return the affine of a grid centred on the origin; ``flip_x`` stores it from right to left."""
    steps = np.array(spacing_mm, dtype=float)
    if flip_x:
        steps[0] = -steps[0]
    affine = np.diag([*steps, 1.0])
    affine[:3, 3] = -steps * (np.array(shape) - 1) / 2
    return affine


def rigid(translation_mm: Array, rotation_deg: Array) -> Array:
    """Return a 4×4 rigid transform: rotation about x, then y, then z through the origin, then translation."""
    matrix = np.eye(4)
    for axis, angle in enumerate(np.deg2rad(rotation_deg)):
        turn = np.eye(4)
        i, j = [k for k in range(3) if k != axis]
        turn[i, i] = turn[j, j] = np.cos(angle)
        sign = -1.0 if axis != 1 else 1.0
        turn[i, j], turn[j, i] = sign * np.sin(angle), -sign * np.sin(angle)
        matrix = turn @ matrix
    matrix[:3, 3] = translation_mm
    return matrix


@dataclass(frozen=True)
class View:
    """What an image looks at.

    Parameters
    ----------
    head : Head
    affine : ndarray, shape (4, 4)
        Voxel to RAS mm of the image.
    shape : tuple of int
    pose : ndarray, shape (4, 4)
        RAS mm of the baseline diffusion image (the fixed image) to RAS mm of this image.
    """

    head: Head
    affine: Array
    shape: tuple[int, int, int]
    pose: Array

    @cached_property
    def _near(self) -> tuple[Array, Array]:
        """Flat indices of the voxels near the head, and their points (3, m) in the head's own frame."""
        to_head = (np.linalg.inv(self.pose) @ self.affine).astype(np.float32)
        i, j, k = np.ogrid[tuple(slice(s) for s in self.shape)]
        points = [
            (row[0] * i + row[1] * j + row[2] * k + row[3]).astype(np.float32).ravel() for row in to_head[:3]
        ]
        reach = np.array(self.head.axes_mm) + 24.0
        ratio = sum((p / r) ** 2 for p, r in zip(points, reach, strict=True))
        inside = np.flatnonzero(ratio < 1.0)
        return inside, np.stack([p[inside] for p in points])

    @property
    def inside(self) -> Array:
        """Flat (C order) indices of the voxels near the head."""
        return self._near[0]

    @property
    def points(self) -> Array:
        """Points of those voxels in the head's frame, shape (3, m), mm."""
        return self._near[1]

    @cached_property
    def tissues(self) -> dict[str, Array]:
        """Tissue fractions of those voxels."""
        spacing = np.linalg.norm(self.affine[:3, :3], axis=0)
        return self.head.tissues(self.points, max(0.5, 0.30 * float(spacing[:2].mean())))

    @cached_property
    def parenchyma(self) -> Array:
        """Whether a voxel is mostly grey or white matter."""
        return (self.tissues["gm"] + self.tissues["wm"]) > 0.5

    @property
    def voxel_ml(self) -> float:
        """Volume of a voxel in ml."""
        return float(abs(np.linalg.det(self.affine[:3, :3]))) / 1000.0

    def mix(self, values: Mapping[str, float]) -> Array:
        """Return the mixture of a value per tissue, over the voxels near the head."""
        total = np.zeros(self.inside.size, dtype=np.float32)
        for name in TISSUES:
            total += self.tissues[name] * np.float32(values[name])
        return total

    def image(self, values: Array, dtype: type = np.float32) -> Array:
        """Put values of the voxels near the head into a whole image."""
        full: Array = np.zeros(self.shape, dtype=dtype)
        full.reshape(-1)[self.inside] = values
        return full
