"""From a file's bytes to voxels: nothing is believed before it is checked."""

from __future__ import annotations

import io
import math
import os
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np

from reperfuse.core.errors import Fault, Refusal
from reperfuse.core.files import shown_link
from reperfuse.imaging import checks

GZIP = b"\x1f\x8b"
POINTERS = (b"/annex/objects/", b"version https://git-lfs")
CHUNK = 1 << 16
HEADER_BYTES = 540
GIB = 1 << 30


@dataclass(frozen=True)
class ReadLimits:
    """What a file may be before its voxels are touched, and what they may hold.

    Parameters
    ----------
    max_declared_gib : float
        Largest image that the header may declare, in GiB.
    max_ratio : float
        Largest declared size in multiples of the file's. Deflate cannot exceed 1032, so that a header above
        the default cannot be true, while an empty mask comes close to it.
    allow_no_orientation : bool
        Whether an image with neither qform nor sform is taken as stored (W116) or refused (E116).
    max_nonfinite_percent : float
        Share of the head's voxels that may be NaN or infinite.
    """

    max_declared_gib: float = 4.0
    max_ratio: float = 1100.0
    allow_no_orientation: bool = False
    max_nonfinite_percent: float = 1.0


def load(path: Path, limits: ReadLimits, name: str) -> tuple[np.ndarray, np.ndarray, list[Fault]]:
    """Return voxels with the header's scaling applied, affine and warnings; the axes may still be sheared.

    Parameters
    ----------
    path : Path
        ``.nii`` or ``.nii.gz``.
    limits : ReadLimits
    name : str
        How messages call the file.

    Raises
    ------
    Refusal
        E100 to E107, E109, E212, and those of :func:`reperfuse.imaging.checks.position`.
    """
    raw = _content(path, limits, name)
    compressed = raw[:2] == GZIP
    if path.name.endswith(".gz") and not compressed:
        raise Refusal("E104", path=name)
    if compressed and not path.name.endswith(".gz"):
        raise Refusal("E100", path=name, why="it is compressed, but the name does not end in .gz")
    content, faults = _inflate(raw, limits, name) if compressed else (raw, [])
    header, shape, dtype, offset = _declared(content, len(raw), limits, name)
    size = math.prod(shape) * dtype.itemsize
    if len(content) < offset + size:
        raise Refusal(
            "E103", path=name, found_bytes=len(content), declared_bytes=offset + size, why="it is too short"
        )
    short, squeezed = checks.squeezed(shape, path=name)
    affine, placed = checks.position(header, allow_no_orientation=limits.allow_no_orientation, path=name)
    slope, intercept, scaled = checks.scaling(header, path=name)
    stored: np.ndarray = np.ndarray(shape, dtype, content, offset, order="F").reshape(short, order="F")
    data = stored if (slope, intercept) == (1.0, 0.0) else stored * np.float64(slope) + np.float64(intercept)
    return data, affine, [*faults, *squeezed, *placed, *scaled]


def _content(path: Path, limits: ReadLimits, name: str) -> bytes:
    try:
        size = path.stat().st_size
        if size > limits.max_declared_gib * GIB:
            raise Refusal("E105", path=name, **_excess(size, size, limits))
        raw = path.read_bytes()
    except FileNotFoundError:
        if path.is_symlink():
            raise Refusal("E102", path=name, target=shown_link(os.readlink(path))) from None
        raise Refusal("E100", path=name, why="it is not there") from None
    except OSError as error:
        raise Refusal("E212", path=name, why=error.strerror or "input error") from None
    if not raw:
        raise Refusal("E101", path=name)
    if len(raw) < 1024 and raw[:2] != GZIP and any(pointer in raw for pointer in POINTERS):
        first = raw.decode("utf-8", "replace").splitlines()[0]
        raise Refusal("E102", path=name, target=shown_link(first))
    return raw


def _excess(declared: int, file_bytes: int, limits: ReadLimits) -> dict[str, Any]:
    return {
        "declared_gib": f"{declared / GIB:.2f}",
        "ratio": round(declared / file_bytes),
        "limit_gib": f"{limits.max_declared_gib:g}",
        "limit_ratio": f"{limits.max_ratio:g}",
    }


def _inflate(raw: bytes, limits: ReadLimits, name: str) -> tuple[bytes, list[Fault]]:
    """Inflate every member of a gzip stream, keeping no more than the header declares."""
    parts: list[bytes] = []
    total, at, declared = 0, 0, -1
    faults: list[Fault] = []

    def stopped(why: str) -> Refusal:
        shown = declared if declared >= 0 else "an unknown number of"
        return Refusal("E103", path=name, found_bytes=total, declared_bytes=shown, why=why)

    while at < len(raw):
        if raw[at : at + 2] != GZIP:
            faults.append(Fault("W103", name, {"extra_bytes": len(raw) - at}))
            break
        member = zlib.decompressobj(wbits=31)
        while not member.eof:
            if at >= len(raw):
                raise stopped("it was cut off")
            try:
                piece = member.decompress(raw[at : at + CHUNK])
            except zlib.error as error:
                reason = str(error).rpartition(": ")[2]
                raise stopped(f"damaged: {reason}") from None
            at = min(at + CHUNK, len(raw)) - len(member.unused_data)
            if declared < 0 or total < declared:
                parts.append(piece)
            total += len(piece)
            if declared < 0 and total >= HEADER_BYTES:
                _, shape, dtype, offset = _declared(b"".join(parts), len(raw), limits, name)
                declared = offset + math.prod(shape) * dtype.itemsize
            if total > limits.max_declared_gib * GIB:
                raise Refusal("E105", path=name, **_excess(total, len(raw), limits))
    return b"".join(parts), faults


def _declared(
    content: bytes, file_bytes: int, limits: ReadLimits, name: str
) -> tuple[checks.Header, tuple[int, ...], np.dtype, int]:
    """Return header, shape, voxel type and where voxels begin, within the budget."""
    kinds: dict[int, Any] = {348: nib.Nifti1Header, 540: nib.Nifti2Header}
    size = next((n for n in kinds for order in ("little", "big") if content[:4] == n.to_bytes(4, order)), 0)
    if not size or len(content) < size:
        raise Refusal("E100", path=name, why="no NIfTI header")
    header = kinds[size].from_fileobj(io.BytesIO(content[:size] + bytes(4)), check=False)
    magic = header["magic"].item()
    if not magic.startswith((b"n+1", b"n+2")):
        raise Refusal("E100", path=name, why="not a single-file NIfTI header")
    shape = checks.shape_of(header, path=name)
    code = int(header["datatype"])
    codes: Any = nib.nifti1.data_type_codes
    label = codes.label[code] if code in codes else f"{code}"
    if "RGB" in label or "complex" in label:
        raise Refusal("E109", path=name, dtype=label)
    try:
        dtype = header.get_data_dtype()
        offset = max(int(header["vox_offset"]), size + 4)
    except (KeyError, ValueError, OverflowError, nib.spatialimages.HeaderDataError):
        raise Refusal("E100", path=name, why=f"data type {label}") from None
    if not dtype.itemsize or dtype.kind not in "iuf":
        raise Refusal("E109", path=name, dtype=label)
    declared = offset + math.prod(shape) * dtype.itemsize
    if declared > limits.max_declared_gib * GIB or declared > limits.max_ratio * file_bytes + HEADER_BYTES:
        raise Refusal("E105", path=name, **_excess(declared, file_bytes, limits))
    return header, shape, dtype, offset
