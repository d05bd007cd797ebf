"""One image in memory, and the one writer."""

from __future__ import annotations

import gzip
import hashlib
import io
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np

from reperfuse.core.files import read_json, write_bytes, write_json

SAFE_DTYPES = (np.uint8, np.int16, np.int32, np.float32)


@dataclass(frozen=True)
class Volume:
    """An image in memory.

    Parameters
    ----------
    data : ndarray
        3-D (x, y, z) or 4-D (x, y, z, volume); float32 for images, bool for masks.
    affine : ndarray, shape (4, 4)
        Voxel index to RAS millimetres (the NIfTI convention), orthogonal axes.
    metadata : dict
        Sidecar JSON of the file, inheritance resolved; empty where there is none.
    """

    data: np.ndarray
    affine: np.ndarray
    metadata: dict[str, Any] = field(default_factory=dict)

    @property
    def zooms(self) -> tuple[float, float, float]:
        """Voxel size in mm."""
        x, y, z = np.linalg.norm(self.affine[:3, :3], axis=0)
        return float(x), float(y), float(z)

    @property
    def voxel_ml(self) -> float:
        """Volume of a voxel in ml, from the determinant of the affine."""
        return float(abs(np.linalg.det(self.affine[:3, :3]))) / 1000.0

    def like(self, data: np.ndarray) -> Volume:
        """Return other data on the same grid, without this image's metadata."""
        return Volume(data, self.affine)


def same_grid(one: Volume, other: Volume, *, tolerance_mm: float = 1e-3) -> bool:
    """Whether two images share shape and position, corner by corner within ``tolerance_mm``."""
    shape = one.data.shape[:3]
    if shape != other.data.shape[:3]:
        return False
    corners = np.array(np.meshgrid(*([0, n - 1] for n in shape), indexing="ij")).reshape(3, -1)
    difference = one.affine[:3] - other.affine[:3]
    return bool(np.abs(difference[:, :3] @ corners + difference[:, 3:]).max() <= tolerance_mm)


def sidecar_path(path: str | Path) -> Path:
    """Return the JSON path that belongs to an image."""
    path = Path(path)
    return path.with_name(path.name.removesuffix(".gz").removesuffix(".nii") + ".json")


def encode(volume: Volume, *, tr_s: float | None = None) -> bytes:
    """Return the bytes of a .nii.gz with a fresh header: no field of any source survives.

    The same arrays give the same bytes: no time stamp, fixed compression level.
    """
    data = volume.data.astype(np.uint8) if volume.data.dtype == bool else volume.data
    if data.dtype.type not in SAFE_DTYPES:
        data = data.astype(np.float32)
    image = nib.Nifti1Image(data, volume.affine)
    image.set_sform(volume.affine, code=1)
    image.set_qform(volume.affine, code=1)
    image.header.set_xyzt_units("mm", "sec")
    if tr_s is not None:
        image.header["pixdim"][4] = tr_s
    raw = io.BytesIO()
    with gzip.GzipFile(filename="", mode="wb", fileobj=raw, mtime=0, compresslevel=4) as stream:
        stream.write(image.to_bytes())
    return raw.getvalue()


def write_volume(
    path: str | Path, volume: Volume, sidecar: dict[str, Any] | None = None, *, tr_s: float | None = None
) -> None:
    """Write an image and, beside it, its JSON sidecar, each atomically.

    Parameters
    ----------
    path : path
        Ends in ``.nii.gz``.
    volume : Volume
        bool data are stored as uint8, other types than uint8, int16, int32 and float32 as float32.
    sidecar : dict, optional
        Written with ``ImageSHA256`` added, so that an image and a sidecar that do not belong together show.
    tr_s : float, optional
        Repetition time of a 4-D series in seconds.
    """
    content = encode(volume, tr_s=tr_s)
    if sidecar is not None:
        digest = hashlib.sha256(content).hexdigest()
        write_json(sidecar_path(path), {**sidecar, "ImageSHA256": digest})
    write_bytes(path, content)


def verify(path: str | Path) -> bool:
    """Whether an image is the one that its sidecar was written for; not so where either is absent."""
    try:
        told = read_json(sidecar_path(path))
        return bool(told["ImageSHA256"] == hashlib.sha256(Path(path).read_bytes()).hexdigest())
    except (OSError, ValueError, KeyError, TypeError):
        return False
