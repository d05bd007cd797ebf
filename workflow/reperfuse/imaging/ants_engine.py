"""The one door to ANTs: images in memory, one thread, a fixed seed, nothing left on disk.

``ants.registration`` ignores its ``random_seed`` for rigid transforms and leaves its files in the
temporary directory, so the command line of antsRegistration is given to it as a list instead.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

# ITK reads it once, at its first filter; with two threads no seed makes a fit repeatable.
os.environ["ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS"] = "1"

import ants
import numpy as np

from reperfuse.imaging.grids import LPS, itk_text, to_lps
from reperfuse.imaging.volume import Volume
from reperfuse.imaging.warp import read_field


class EngineError(Exception):
    """ANTs gave up on a pair (no overlap, for instance); the next start may hold."""


@dataclass(frozen=True)
class Stage:
    """One stage of antsRegistration.

    Parameters
    ----------
    transform : str
        As ANTs spells it, for instance ``Rigid[0.1]`` or ``SyN[0.2,3,0]``.
    metric : {"mattes", "GC", "CC", "meansquares"}
        Similarity metric.
    bins : int
        Histogram bins of ``mattes``, radius in voxels of ``CC``.
    sampling_rate : float
        Share of the fixed grid's voxels that the metric reads, in (0, 1]; 1 reads all.
    iterations, shrink_factors : sequence of int
        At most this many iterations per level, coarse to fine, and the level's subsampling.
    smoothing_mm : sequence of float
        Gaussian sigma per level in mm.
    threshold, window : float, int
        A level ends when the metric's slope over the window falls below the threshold.
    """

    transform: str
    metric: str
    bins: int
    sampling_rate: float
    iterations: Sequence[int]
    shrink_factors: Sequence[int]
    smoothing_mm: Sequence[float]
    threshold: float
    window: int

    def levels(self, which: slice) -> Stage:
        """Return the stage with some of its levels only."""
        return replace(
            self,
            iterations=self.iterations[which],
            shrink_factors=self.shrink_factors[which],
            smoothing_mm=self.smoothing_mm[which],
        )

    def arguments(self, pair: str, masks: str) -> list[str]:
        """Return the command line's words, given the pointers of the images and of the masks."""
        sampling = f",regular,{self.sampling_rate}" if self.sampling_rate < 1 else ""
        levels = "x".join(map(str, self.iterations))
        return [
            *("--transform", self.transform),
            *("--metric", f"{self.metric}[{pair},1,{self.bins}{sampling}]"),
            *("--convergence", f"[{levels},{self.threshold},{self.window}]"),
            *("--shrink-factors", "x".join(map(str, self.shrink_factors))),
            *("--smoothing-sigmas", "x".join(map(str, self.smoothing_mm)) + "mm"),
            *("--masks", masks),
        ]


@dataclass(frozen=True)
class Fitted:
    """What a registration found.

    Parameters
    ----------
    matrix : ndarray, shape (4, 4)
        Fixed RAS mm to moving RAS mm, the linear part.
    warp, inverse_warp : ndarray, shape (x, y, z, 3), or None
        Displacements in RAS mm on the fixed grid; see ``reperfuse.imaging.normalisation``.
    """

    matrix: np.ndarray
    warp: np.ndarray | None = None
    inverse_warp: np.ndarray | None = None


def to_ants(volume: Volume) -> ants.ANTsImage:
    """Return a 3-D volume as an ANTs image (LPS; float32, or bytes for bool), in memory."""
    kind = np.uint8 if volume.data.dtype == bool else np.float32
    affine = to_lps(volume.affine)
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    return ants.from_numpy(
        np.ascontiguousarray(volume.data, dtype=kind),
        origin=tuple(map(float, affine[:3, 3])),
        spacing=tuple(map(float, spacing)),
        direction=affine[:3, :3] / spacing,
    )


def fit(
    fixed: Volume,
    moving: Volume,
    stages: Sequence[Stage],
    *,
    start: np.ndarray,
    fixed_mask: np.ndarray | None,
    moving_mask: np.ndarray | None,
    seed: int,
) -> Fitted:
    """Run antsRegistration on one thread with a fixed seed.

    Parameters
    ----------
    fixed, moving : Volume
        3-D images.
    stages : sequence of Stage
        Linear stages first; the last may be SyN.
    start : ndarray, shape (4, 4)
        Fixed RAS mm to moving RAS mm.
    fixed_mask, moving_mask : ndarray of bool or None
        Where the metric is read, on the grid of the fixed or the moving image.
    seed : int
        Positive. The metric's sample points are jittered by it.

    Raises
    ------
    EngineError
        Where ANTs cannot fit the pair or leaves no transform.
    """
    images = [to_ants(fixed), to_ants(moving)]
    masks = [_mask(fixed, fixed_mask), _mask(moving, moving_mask)]
    pair = ",".join(ants.internal.get_pointer_string(image) for image in images)
    masked = ",".join("NA" if m is None else ants.internal.get_pointer_string(m) for m in masks)
    with tempfile.TemporaryDirectory(prefix="reperfuse-") as folder:
        first = Path(folder) / "start.txt"
        first.write_text(itk_text(start), encoding="ascii")
        words = ["--dimensionality", "3", "--float", "1", "--random-seed", str(seed)]
        words += ["--initial-moving-transform", str(first), "--collapse-output-transforms", "1"]
        words += ["--output", f"{folder}/found_"]
        for stage in stages:
            words += stage.arguments(pair, f"[{masked}]")
        try:
            ants.registration(words, None)
        except RuntimeError as error:
            raise EngineError(str(error)) from error
        return _read(Path(folder))


def _mask(volume: Volume, mask: np.ndarray | None) -> ants.ANTsImage | None:
    # ANTs takes a mask's pointer for bytes whatever it points at: floats would be read as another mask.
    return None if mask is None else to_ants(volume.like(mask.astype(bool)))


def _read(folder: Path) -> Fitted:
    linear = folder / "found_0GenericAffine.mat"
    if not linear.is_file():
        raise EngineError("no transform was written")
    transform = ants.read_transform(str(linear))
    parameters = np.asarray(transform.parameters, dtype=float)
    centre = np.asarray(transform.fixed_parameters, dtype=float)
    matrix = np.eye(4)
    matrix[:3, :3] = parameters[:9].reshape(3, 3)
    matrix[:3, 3] = parameters[9:] + centre - matrix[:3, :3] @ centre
    if not np.isfinite(matrix).all():
        raise EngineError("the transform is not finite")
    fields = [folder / f"found_1{name}.nii.gz" for name in ("Warp", "InverseWarp")]
    warps = (read_field(path) if path.is_file() else None for path in fields)
    return Fitted(LPS @ matrix @ LPS, *warps)
