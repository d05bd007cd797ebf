"""Files with chosen headers, and a small head whose brain and diffusion are known."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]


def nifti_bytes(
    data: np.ndarray,
    affine: np.ndarray | None = None,
    *,
    qform: np.ndarray | None = None,
    sform_code: int = 1,
    qform_code: int = 0,
    **fields: Any,
) -> bytes:
    """Return an uncompressed NIfTI-1 file; ``fields`` are set in the header as they are."""
    affine = np.diag([2.0, 2.0, 2.0, 1.0]) if affine is None else affine
    header = nib.Nifti1Header()
    header.set_data_dtype(data.dtype)
    header.set_data_shape(data.shape)
    header["pixdim"][1:4] = np.linalg.norm(affine[:3, :3], axis=0)
    header.set_xyzt_units("mm", "sec")
    header["srow_x"], header["srow_y"], header["srow_z"] = affine[:3]
    if qform_code:
        header.set_qform(affine if qform is None else qform, qform_code)
    header["sform_code"], header["vox_offset"] = sform_code, 352
    header["scl_slope"], header["scl_inter"], header["magic"] = 1, 0, b"n+1"
    for key, value in fields.items():
        header[key] = value
    return header.binaryblock + bytes(4) + data.tobytes(order="F")


@pytest.fixture
def nifti(tmp_path: Path) -> Callable[..., Path]:
    """Write an image as ``nifti(name, data, affine, **header)``; ``wrap`` has the last word on the bytes."""

    def write(
        name: str, data: np.ndarray, *args: Any, wrap: Callable[[bytes], bytes] = bytes, **fields: Any
    ) -> Path:
        content = nifti_bytes(data, *args, **fields)
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(wrap(gzip.compress(content, 1) if name.endswith(".gz") else content))
        return path

    return write


@pytest.fixture(scope="session")
def head() -> SimpleNamespace:
    """A head of 4 × 4 × 5 mm voxels: scalp, skull, brain, ventricles; b = 0 and 1000, ADC in 10⁻⁶ mm²/s."""
    shape, zooms = (50, 58, 34), (4.0, 4.0, 5.0)
    affine = np.diag([*zooms, 1.0])
    affine[:3, 3] = -np.array(zooms) * (np.array(shape) - 1) / 2
    axes = np.meshgrid(
        *[(np.arange(n) - (n - 1) / 2) * z for n, z in zip(shape, zooms, strict=True)], indexing="ij"
    )

    def ellipsoid(*radii: float) -> np.ndarray:
        return sum((a / r) ** 2 for a, r in zip(axes, radii, strict=True)) <= 1

    scalp, skull, brain, fluid = (
        ellipsoid(90, 108, 82), ellipsoid(82, 100, 74), ellipsoid(68, 85, 60), ellipsoid(32, 44, 26),
    )  # fmt: skip
    random = np.random.default_rng(1)
    s0, adc = np.zeros(shape), np.zeros(shape)
    for region, signal, diffusivity in (
        (scalp, 300, 900),
        (skull, 20, 300),
        (brain, 900, 800),
        (fluid, 1800, 3000),
    ):
        s0[region], adc[region] = signal, diffusivity
    adc[brain] *= random.normal(1, 0.08, int(brain.sum()))
    lesion = brain & ~fluid & (axes[0] > 25) & (axes[1] > 0) & (np.abs(axes[2]) < 20)
    adc[lesion] *= 0.5
    trace = s0 * np.exp(-adc / 1000)
    noisy = [np.abs(image + random.normal(0, 12, shape)).astype(np.float32) for image in (s0, trace)]
    return SimpleNamespace(
        affine=affine, zooms=zooms, brain=brain, fluid=fluid, scalp=scalp, lesion=lesion,
        s0=noisy[0], trace=noisy[1], adc=adc.astype(np.float32),
    )  # fmt: skip


@pytest.fixture(scope="session")
def prepare_settings() -> dict[str, Any]:
    """Defaults of the section ``prepare``."""
    schema = yaml.safe_load((ROOT / "workflow/schemas/prepare.schema.yaml").read_text(encoding="utf-8"))
    return {key: entry["default"] for key, entry in schema["properties"].items()}
