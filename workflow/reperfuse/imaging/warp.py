"""A nonlinear transform between a template and an image: applied, measured, saved as ANTs saves it."""

from __future__ import annotations

import gzip
import io
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
from scipy import ndimage

from reperfuse.core.files import write_bytes, write_text
from reperfuse.imaging.grids import ORDER, Interpolation, invert, itk_text, read_itk_text
from reperfuse.imaging.volume import Volume

# Names under which a patient's transform lies: part → file.
WARP = {
    "affine": "to-MNI_affine.txt",
    "forward": "to-MNI_warp.nii.gz",
    "inverse": "from-MNI_warp.nii.gz",
}
LPS_SIGNS = np.array([-1, -1, 1], dtype=np.float32)


@dataclass(frozen=True)
class Warp:
    """An affine and a pair of displacement fields.

    Parameters
    ----------
    matrix : ndarray, shape (4, 4)
        Template RAS mm to image RAS mm.
    forward, inverse : Volume, data of shape (x, y, z, 3)
        Displacements in RAS mm on the template grid. A template point x lies at ``matrix @ (x + forward(x))``
        in the image; an image point y at ``q + inverse(q)``, ``q = matrix⁻¹ @ y``, in the template.
    """

    matrix: np.ndarray
    forward: Volume
    inverse: Volume


def to_template(
    volume: Volume, warp: Warp, *, interpolation: Interpolation, through: np.ndarray | None = None
) -> Volume:
    """Bring a 3-D image onto the template grid; 0 outside its field of view.

    Parameters
    ----------
    volume : Volume
        In the space of the image that was normalised. bool data stay bool.
    warp : Warp
        The transform.
    interpolation : {"linear", "nearest", "bspline"}
        Nearest for labels.
    through : ndarray, shape (4, 4), optional
        From the normalised image's RAS mm to those of ``volume``, where it lies in another space: a rigid
        transform is chained and interpolated with the warp once.
    """
    points = _grid_points(warp.forward) + warp.forward.data
    points = _apply(np.eye(4) if through is None else through, _apply(warp.matrix, points))
    return Volume(_pull(volume, points, interpolation), warp.forward.affine)


def from_template(volume: Volume, like: Volume, warp: Warp, *, interpolation: Interpolation) -> Volume:
    """Bring a template image, labels for instance, onto the grid of an image.

    Parameters
    ----------
    volume : Volume
        In template space, on any grid.
    like : Volume
        Gives the grid; in the space of the image that was normalised.
    warp : Warp
        The transform.
    interpolation : {"linear", "nearest", "bspline"}
        Nearest for labels.
    """
    points = _apply(invert(warp.matrix), _grid_points(like))
    return like.like(_pull(volume, points + _displacement(warp.inverse, points), interpolation))


def jacobian(warp: Warp) -> Volume:
    """Return the Jacobian determinant of template to image: image mm³ per template mm³, affine included."""
    field = warp.forward.data
    gradient = np.empty((*field.shape, 3), dtype=np.float64)
    for axis in range(3):
        for direction, slope in enumerate(np.gradient(field[..., axis])):
            gradient[..., axis, direction] = slope
    # Slopes per voxel become slopes per mm of each world axis.
    gradient = gradient @ np.linalg.inv(warp.forward.affine[:3, :3])
    determinant = np.linalg.det(gradient + np.eye(3)) * np.linalg.det(warp.matrix[:3, :3])
    return Volume(determinant.astype(np.float32), warp.forward.affine)


def write_warp(warp: Warp, *, affine: str | Path, forward: str | Path, inverse: str | Path) -> None:
    """Write the affine as ITK text and the fields as NIfTI vectors in LPS mm, each atomically.

    ``antsApplyTransforms -t forward -t affine`` brings the image to the template;
    ``-t [affine,1] -t inverse`` brings the template to the image.
    """
    write_text(affine, itk_text(warp.matrix))
    write_bytes(forward, _encode(warp.forward))
    write_bytes(inverse, _encode(warp.inverse))


def find_warp(paths: Iterable[Path]) -> Warp | None:
    """Return the transform among the files of a patient, or None where the patient could not be normalised."""
    known = {path.name: path for path in paths}
    if not all(name in known for name in WARP.values()):
        return None
    return read_warp(**{part: known[name] for part, name in WARP.items()})


def read_warp(*, affine: str | Path, forward: str | Path, inverse: str | Path) -> Warp:
    """Return what ``write_warp`` wrote."""
    fields = [Volume(read_field(Path(path)), nib.nifti1.load(path).affine) for path in (forward, inverse)]
    return Warp(read_itk_text(Path(affine).read_text(encoding="ascii")), *fields)


def read_field(path: Path) -> np.ndarray:
    """Return an ITK displacement field as (x, y, z, 3) in RAS mm."""
    field = np.asarray(nib.nifti1.load(path).dataobj, dtype=np.float32)[:, :, :, 0, :]
    return field * LPS_SIGNS


def quantised(field: np.ndarray) -> np.ndarray:
    """Round displacements to 1/1024 mm, far below what a fit can tell; the file shrinks by half."""
    return (np.round(field * 1024) / 1024).astype(np.float32)


def _encode(field: Volume) -> bytes:
    data = (field.data.astype(np.float32) * LPS_SIGNS)[:, :, :, None, :] + np.float32(0)
    image = nib.nifti1.Nifti1Image(data, field.affine)
    image.set_sform(field.affine, code=1)
    image.set_qform(field.affine, code=1)
    image.header.set_intent("vector")
    image.header.set_xyzt_units("mm", "sec")
    raw = io.BytesIO()
    with gzip.GzipFile(filename="", mode="wb", fileobj=raw, mtime=0, compresslevel=4) as stream:
        stream.write(image.to_bytes())
    return raw.getvalue()


def _grid_points(volume: Volume) -> np.ndarray:
    index = np.moveaxis(np.indices(volume.data.shape[:3], dtype=np.float64), 0, -1)
    return _apply(volume.affine, index)


def _apply(matrix: np.ndarray, points: np.ndarray) -> np.ndarray:
    return points @ matrix[:3, :3].T + matrix[:3, 3]


def _displacement(field: Volume, points: np.ndarray) -> np.ndarray:
    index = np.moveaxis(_apply(invert(field.affine), points), -1, 0)
    parts = [ndimage.map_coordinates(field.data[..., i], index, order=1, mode="nearest") for i in range(3)]
    return np.stack(parts, axis=-1)


def _pull(volume: Volume, points: np.ndarray, interpolation: Interpolation) -> np.ndarray:
    index = np.moveaxis(_apply(invert(volume.affine), points), -1, 0)
    binary = volume.data.dtype == bool
    order = ORDER[interpolation]
    data = volume.data.astype(np.float32) if binary or order else volume.data
    found = ndimage.map_coordinates(data, index, order=order, mode="nearest")
    size = np.asarray(volume.data.shape).reshape(3, 1, 1, 1)
    found[~((index >= -0.5) & (index <= size - 0.5)).all(axis=0)] = 0
    return found >= 0.5 if binary else found
