"""What a header may say and what its voxels may hold: position, size, shear, scaling, finite numbers."""

from __future__ import annotations

import math
from typing import Any

import nibabel as nib
import numpy as np
from scipy import ndimage

from reperfuse.core.errors import Fault, Refusal
from reperfuse.imaging.brain import head_mask

ZOOM_RANGE_MM = (0.1, 20.0)
UNIT_MM = {"meter": 1000.0, "micron": 0.001}
# Below the first a shear is rounding, below the second it is taken out by turning the
# axes alone, above the third (30 degrees) the header is not believed.
SHEAR_ROUNDING, SHEAR_SMALL, SHEAR_LIMIT = 1e-6, 1e-3, 0.5
QFORM_DISTANCE_MM, QFORM_ANGLE_DEG = 1.0, 1.0

Header = nib.Nifti1Header | nib.Nifti2Header


def shape_of(header: Header, *, path: str) -> tuple[int, ...]:
    """Return the declared shape, padded to three axes.

    Raises
    ------
    Refusal
        E100 for an impossible number of axes, E106 for an axis without voxels.
    """
    dim = [int(n) for n in header["dim"]]
    if not 1 <= dim[0] <= 7:
        raise Refusal("E100", path=path, why=f"{dim[0]} dimensions")
    shape = tuple(dim[1 : dim[0] + 1])
    if min(shape) < 1:
        raise Refusal("E106", path=path, shape=shape_text(shape))
    return shape + (1,) * (3 - len(shape))


def squeezed(shape: tuple[int, ...], *, path: str) -> tuple[tuple[int, ...], list[Fault]]:
    """Drop trailing axes of length 1 beyond the third.

    Raises
    ------
    Refusal
        E107 where more than four axes remain.
    """
    short = shape
    while len(short) > 3 and short[-1] == 1:
        short = short[:-1]
    # A dangling axis before the last one, as in (x, y, z, 1, t), carries nothing either.
    short = short[:3] + tuple(n for n in short[3:] if n > 1)
    if len(short) > 4:
        raise Refusal(
            "E107", path=path, n_volumes=math.prod(short[3:]), shape=shape_text(shape), bval="b-values"
        )
    return short, [] if short == shape else [Fault("W107", path, {"shape": shape_text(shape)})]


def scaling(header: Header, *, path: str) -> tuple[float, float, list[Fault]]:
    """Return slope and intercept of the stored values; 0, NaN and infinity count as no scaling (W112)."""
    slope, intercept = float(header["scl_slope"]), float(header["scl_inter"])
    intercept = intercept if math.isfinite(intercept) else 0.0
    if math.isfinite(slope) and slope != 0:
        return slope, intercept, []
    return 1.0, 0.0, [Fault("W112", path, {"slope": f"{slope:g}"})]


def position(header: Header, *, allow_no_orientation: bool, path: str) -> tuple[np.ndarray, list[Fault]]:
    """Return the voxel-to-RAS-mm affine that counts.

    The sform counts if its code is set, otherwise the qform (the rule of fMRIPrep's ``ValidateImage``).

    Parameters
    ----------
    header : nibabel header
        As stored.
    allow_no_orientation : bool
        Whether an image with neither is taken with its axes as stored, centred (W116), instead of refused.

    Raises
    ------
    Refusal
        E116 without any position, E118 for impossible voxel sizes, E119 for axes that lie in one plane.
    """
    faults = []
    sform = np.asarray(header.get_sform(), float) if int(header["sform_code"]) > 0 else None
    qform = _qform(header) if int(header["qform_code"]) > 0 else None
    if sform is not None:
        affine = sform
        if qform is not None and np.isfinite(sform).all():
            faults += _disagreement(sform, qform, shape_of(header, path=path), path)
    elif qform is not None:
        affine = qform
    elif allow_no_orientation:
        zooms = np.asarray(header["pixdim"][1:4], float)
        affine = np.diag([*np.abs(zooms), 1.0])
        affine[:3, 3] = -affine[:3, :3] @ (np.asarray(shape_of(header, path=path)[:3]) - 1) / 2
        faults.append(Fault("W116", path))
    else:
        raise Refusal("E116", path=path)
    affine, found = _in_mm(affine, header, path)
    if _shear(affine) > SHEAR_LIMIT or abs(np.linalg.det(_directions(affine))) < 1e-3:
        raise Refusal("E119", path=path, shear=f"{_shear(affine):.3f}", limit=SHEAR_LIMIT)
    return affine, faults + found


def _qform(header: Header) -> np.ndarray | None:
    try:
        qform = np.asarray(header.get_qform(), float)
        return qform if np.isfinite(qform).all() and np.linalg.norm(qform[:3, :3], axis=0).all() else None
    except (ValueError, nib.spatialimages.HeaderDataError):
        return None


def _disagreement(sform: np.ndarray, qform: np.ndarray, shape: tuple[int, ...], path: str) -> list[Fault]:
    corners = np.array(np.meshgrid(*([0, n - 1] for n in shape[:3]), indexing="ij")).reshape(3, -1)
    gap = sform[:3] - qform[:3]
    distance = float(np.linalg.norm(gap[:, :3] @ corners + gap[:, 3:], axis=0).max())
    turn = _directions(sform) @ np.linalg.pinv(_directions(qform))
    angle = math.degrees(math.acos(np.clip((np.trace(turn) - 1) / 2, -1, 1)))
    if distance <= QFORM_DISTANCE_MM and angle <= QFORM_ANGLE_DEG:
        return []
    return [Fault("W115", path, {"distance_mm": f"{distance:.1f}", "angle_deg": f"{angle:.1f}"})]


def _in_mm(affine: np.ndarray, header: Header, path: str) -> tuple[np.ndarray, list[Fault]]:
    """Return the affine in mm: stated units are believed where they give voxels of a plausible size."""
    unit = header.get_xyzt_units()[0] if int(header["xyzt_units"]) & 7 in (1, 2, 3) else "unknown"
    zooms = np.linalg.norm(affine[:3, :3], axis=0)
    for factor in (UNIT_MM.get(unit, 1.0), 1.0):
        sizes = zooms * factor
        if (
            np.isfinite(affine).all()
            and (ZOOM_RANGE_MM[0] <= sizes).all()
            and (sizes <= ZOOM_RANGE_MM[1]).all()
        ):
            break
    else:
        raise Refusal(
            "E118", path=path, zooms=_sizes(zooms), unit="mm" if unit in ("mm", "unknown") else unit
        )
    scaled = affine.copy()
    scaled[:3] *= factor
    if unit not in UNIT_MM:
        return scaled, []
    return scaled, [Fault("W118", path, {"unit": unit, "zooms": _sizes(zooms), "zooms_mm": _sizes(sizes)})]


def _sizes(zooms: np.ndarray) -> str:
    return " × ".join(f"{z:.4g}" for z in zooms)


def _directions(affine: np.ndarray) -> np.ndarray:
    return affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)


def _shear(affine: np.ndarray) -> float:
    """Largest cosine between two axes; 0 where all are orthogonal."""
    cosines = _directions(affine)
    return float(np.abs(cosines.T @ cosines - np.eye(3)).max())


def orthogonalise(
    data: np.ndarray, affine: np.ndarray, *, order: int, path: str
) -> tuple[np.ndarray, np.ndarray, list[Fault]]:
    """Return the image with orthogonal axes.

    A shear below 1e-3 is taken out by turning the axes to the nearest orthogonal ones, which moves nothing by
    more than a fraction of a voxel. A larger one is resampled into the box around the image (W123).

    Parameters
    ----------
    data : ndarray, 3-D or 4-D
    affine : ndarray, shape (4, 4)
    order : int
        Interpolation, 1 for images and 0 for masks.
    """
    shear = _shear(affine)
    if shear <= SHEAR_ROUNDING:
        return data, affine, []
    left, _, right = np.linalg.svd(_directions(affine))
    straight = affine.copy()
    straight[:3, :3] = (left @ right) * np.linalg.norm(affine[:3, :3], axis=0)
    if shear < SHEAR_SMALL:
        centre = (np.asarray(data.shape[:3]) - 1) / 2
        straight[:3, 3] += (affine[:3, :3] - straight[:3, :3]) @ centre
        return data, straight, []
    into = np.linalg.inv(straight[:3, :3]) @ affine[:3, :3]
    corners = into @ np.array(np.meshgrid(*([0, n - 1] for n in data.shape[:3]), indexing="ij")).reshape(
        3, -1
    )
    low, high = np.floor(corners.min(axis=1) + 1e-3), np.ceil(corners.max(axis=1) - 1e-3)
    straight[:3, 3] = affine[:3, 3] + straight[:3, :3] @ low
    step = np.linalg.inv(affine) @ straight
    shape = tuple(int(n) for n in high - low + 1)
    volumes = data[..., None] if data.ndim == 3 else data
    moved = [
        ndimage.affine_transform(volumes[..., k], step[:3, :3], step[:3, 3], output_shape=shape, order=order)
        for k in range(volumes.shape[3])
    ]
    result = moved[0] if data.ndim == 3 else np.stack(moved, axis=-1)
    return result, straight, [Fault("W123", path, {"shear": f"{shear:.4f}"})]


def finite(
    data: np.ndarray, zooms: tuple[float, float, float], *, limit_percent: float, path: str
) -> tuple[np.ndarray, list[Fault]]:
    """Set NaN and infinite voxels to 0.

    Parameters
    ----------
    data : ndarray, 3-D or 4-D
    zooms : tuple
        Voxel size in mm.
    limit_percent : float
        Share of the head's voxels up to which the image is still used. Voxels that hang together with the
        border are background, unless whole planes of the head are lost.

    Raises
    ------
    Refusal
        E110 above the limit.
    """
    good = np.isfinite(data)
    count = data.size - int(np.count_nonzero(good))
    if not count:
        return data, []
    clean = np.where(good, data, 0).astype(data.dtype)
    if data.ndim == 4:
        bad, mean = ~good.all(axis=3), clean.mean(axis=3)
    else:
        bad, mean = ~good, clean
    damage = _damage(bad)
    if damage.any():  # a lost slice must not split the head
        nearest = ndimage.distance_transform_edt(bad, zooms, return_distances=False, return_indices=True)
        mean = np.where(damage, mean[tuple(nearest)], mean)
    head = head_mask(mean, zooms)
    share = 100.0 * np.count_nonzero(damage & head) / max(int(np.count_nonzero(head)), 1)
    if not head.any() or share > limit_percent:
        raise Refusal("E110", path=path, percent=f"{share if head.any() else 100:.1f}", limit=limit_percent)
    return clean, [Fault("W110", path, {"count": count})]


def _damage(bad: np.ndarray) -> np.ndarray:
    """Return the bad voxels that are no background: enclosed ones, and whole planes between others.

    What hangs together with the image's border is background: a masked map may hold NaN there.
    """
    border = np.ones_like(bad)
    border[1:-1, 1:-1, 1:-1] = False
    damage = bad & ~ndimage.binary_propagation(border & bad, mask=bad)
    for axis in range(3):
        planes = np.moveaxis(damage, axis, 0)
        kept = np.flatnonzero(~np.moveaxis(bad, axis, 0).all(axis=(1, 2)))
        if kept.size:
            planes[np.setdiff1d(np.arange(kept[0], kept[-1]), kept)] = True
    return damage


def varied(data: np.ndarray, *, path: str) -> None:
    """Refuse (E111) an image of one value."""
    if data.min() == data.max():
        raise Refusal("E111", path=path, value=f"{float(data.flat[0]):g}")


def shape_text(shape: Any) -> str:
    """Return a shape as it is read aloud: ``112 × 112 × 73``."""
    return " × ".join(str(int(n)) for n in shape)
