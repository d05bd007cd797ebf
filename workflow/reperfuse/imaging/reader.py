"""The one reader of images, masks and metadata."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from reperfuse.core.errors import Fault, Refusal
from reperfuse.imaging import checks
from reperfuse.imaging.grids import resample
from reperfuse.imaging.stream import ReadLimits, load
from reperfuse.imaging.volume import Volume, same_grid

DEFAULT_LIMITS = ReadLimits()
# Share of a mask that may be NaN or infinite; more is a mask that says too little.
MAX_NONFINITE_OF_MASK = 0.01


def read_volume(
    path: str | Path, *, limits: ReadLimits = DEFAULT_LIMITS, metadata: Sequence[Path] = (), name: str = ""
) -> tuple[Volume, list[Fault]]:
    """Read and check an image.

    The whole stream is inflated and its checksum compared before any voxel is used: other readers return half
    an image, and zeros, for half a file.

    Parameters
    ----------
    path : path
        ``.nii`` or ``.nii.gz``.
    limits : ReadLimits
    metadata : sequence of Path
        JSON files that describe the image, root first; see :func:`read_metadata`.
    name : str
        How messages call the file; its bare name unless given.

    Returns
    -------
    Volume
        float32, 3-D or 4-D, finite, on orthogonal axes.
    list of Fault
        Warnings.

    Raises
    ------
    Refusal
        E100 to E106 and E212 for the file, E107 for more than four axes, E109 to E111 for its values, E116,
        E118 and E119 for its position, E213 for its metadata.
    """
    path, name = Path(path), name or Path(path).name
    data, affine, faults = load(path, limits, name)
    with np.errstate(over="ignore"):
        data = data.astype(np.float32)
    zooms = np.linalg.norm(affine[:3, :3], axis=0)
    data, found = checks.finite(data, tuple(zooms), limit_percent=limits.max_nonfinite_percent, path=name)
    checks.varied(data, path=name)
    data, affine, moved = checks.orthogonalise(data, affine, order=1, path=name)
    return Volume(data, affine, read_metadata(metadata)), [*faults, *found, *moved]


def read_made(path: str | Path) -> Volume:
    """Read an image that a step of the workflow wrote.

    Raises
    ------
    RuntimeError
        It is gone or damaged. No finding about the patient: the job must fail, or it would stand as one.
    """
    path = Path(path)
    try:
        data, affine, _ = load(path, ReadLimits(max_declared_gib=16.0), path.name)
    except Refusal as refusal:
        raise RuntimeError(
            f"{path} is gone or damaged ({refusal}); delete the record that lists it, beside it, to have it made again"
        ) from refusal
    return Volume(data.astype(np.float32), affine)


def read_present(paths: Mapping[str, Path]) -> dict[str, Volume]:
    """Read the workflow's own images by name."""
    return {name: read_made(path) for name, path in paths.items()}


def read_mask(
    path: str | Path, *, limits: ReadLimits = DEFAULT_LIMITS, name: str = ""
) -> tuple[Volume, list[Fault]]:
    """Read a mask; an empty one is a valid answer.

    Two values are background and inside, cut halfway: 0 and 0.99999999977, as some tools scale 1, count as 0
    and 1; other pairs such as 0 and 255 are taken too (W121). Values between 0 and 1 are probabilities, cut
    at 0.5 (W121).

    Raises
    ------
    Refusal
        E121 for any other values, E107 for several volumes, and what :func:`read_volume` raises for the file
        and its position.
    """
    path, name = Path(path), name or Path(path).name
    data, affine, faults = load(path, limits, name)
    if data.ndim == 4:
        shape = checks.shape_text(data.shape)
        raise Refusal("E107", path=name, n_volumes=data.shape[3], shape=shape, bval="one mask")
    bad = ~np.isfinite(data)
    if bad.mean() > MAX_NONFINITE_OF_MASK:
        percent = f"{100 * bad.mean():.1f}"
        raise Refusal("E110", path=name, percent=percent, limit=f"{100 * MAX_NONFINITE_OF_MASK:g}")
    if bad.any():
        faults.append(Fault("W110", name, {"count": int(bad.sum())}))
        data = np.where(bad, 0, data)
    inside, found = _binary(data, name)
    inside, affine, moved = checks.orthogonalise(inside.astype(np.uint8), affine, order=0, path=name)
    kept = [fault for fault in faults if fault.code != "W112"]
    return Volume(inside > 0, affine), [*kept, *found, *moved]


def _binary(data: np.ndarray, name: str) -> tuple[np.ndarray, list[Fault]]:
    values = np.unique(np.round(data.astype(np.float64), 3))
    shown = ", ".join(f"{v:g}" for v in values[:6]) + (", …" if len(values) > 6 else "")
    if set(values) <= {0.0, 1.0}:
        return data > 0.5, []
    if values[0] >= 0 and values[-1] <= 1:
        threshold = 0.5
    elif len(values) <= 2 and values[0] >= 0:
        threshold = float((values[0] if len(values) == 2 else 0.0) + values[-1]) / 2
    else:
        raise Refusal("E121", path=name, n_labels=len(values), labels=shown)
    return data > threshold, [Fault("W121", name, {"labels": shown, "threshold": f"{threshold:g}"})]


def match_grid(mask: Volume, like: Volume) -> tuple[Volume, list[Fault]]:
    """Return a mask on an image's grid, nearest neighbour.

    Both must fill the same box, at any resolution and with axes stored in any order or direction, or one grid
    must be a whole-voxel crop of the other. Anything else may well be another space, and is refused.

    Parameters
    ----------
    mask, like : Volume
        bool data, and the image.

    Returns
    -------
    Volume
        bool.
    list of Fault
        W120 where the mask was resampled.

    Raises
    ------
    Refusal
        E120 with both grids.
    """
    if same_grid(mask, like):
        return Volume(mask.data, like.affine), []
    found, expected = (checks.shape_text(volume.data.shape[:3]) for volume in (mask, like))
    if not (_same_box(mask, like) or _same_lattice(mask, like)):
        raise Refusal(
            "E120",
            found_shape=found,
            found_origin=_origin(mask),
            expected_shape=expected,
            expected_origin=_origin(like),
        )
    moved = resample(mask, like, np.eye(4), interpolation="nearest")
    return moved, [Fault("W120", values={"found_shape": found, "expected_shape": expected})]


def _origin(volume: Volume) -> str:
    return "(" + ", ".join(f"{x:.1f}" for x in volume.affine[:3, 3]) + ")"


def _between(mask: Volume, like: Volume) -> np.ndarray | None:
    """Voxel-to-voxel matrix, None where the axes are not parallel within 0.001."""
    step = np.linalg.inv(like.affine) @ mask.affine
    turn = step[:3, :3] * np.asarray(like.zooms)[:, None] / np.asarray(mask.zooms)
    return step if np.abs(np.abs(turn) - np.round(np.abs(turn))).max() <= 1e-3 else None


def _same_box(mask: Volume, like: Volume) -> bool:
    step = _between(mask, like)
    if step is None:
        return False
    edges = np.array(np.meshgrid(*([-0.5, n - 0.5] for n in mask.data.shape[:3]), indexing="ij")).reshape(
        3, -1
    )
    there = step[:3, :3] @ edges + step[:3, 3:]
    # Tools that change the resolution align either the outer edges or the centres of the first voxels.
    sizes = np.abs(step[:3, :3]).max(axis=1)
    slack = np.where(np.abs(sizes - 1) > 1e-3, np.maximum(1, sizes) / 2, 0) + 1e-3
    ends = np.asarray(like.data.shape[:3]) - 0.5
    return bool(
        (np.abs(there.min(axis=1) + 0.5) <= slack).all() and (np.abs(there.max(axis=1) - ends) <= slack).all()
    )


def _same_lattice(mask: Volume, like: Volume) -> bool:
    step = _between(mask, like)
    return step is not None and bool(np.abs(step[:3] - np.round(step[:3])).max() <= 1e-3)


def read_metadata(paths: Sequence[Path], *, name: str = "") -> dict[str, Any]:
    """Merge JSON files, root first: the nearest file wins, key by key (BIDS inheritance principle).

    Raises
    ------
    Refusal
        E213 where one is not a JSON object, E212 where it cannot be read.
    """
    merged: dict[str, Any] = {}
    for path in paths:
        try:
            content = json.loads(Path(path).read_text(encoding="utf-8-sig"))
        except OSError as error:
            raise Refusal("E212", path=name or Path(path).name, why=error.strerror or "input error") from None
        except ValueError as error:
            raise Refusal("E213", path=name or Path(path).name, line=getattr(error, "lineno", 1)) from None
        if not isinstance(content, dict):
            raise Refusal("E213", path=name or Path(path).name, line=1)
        merged.update(content)
    return merged
