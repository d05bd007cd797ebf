"""The image in memory and the one writer."""

from __future__ import annotations

import gzip
import hashlib
import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from reperfuse.imaging.reader import read_made
from reperfuse.imaging.volume import Volume, encode, same_grid, sidecar_path, verify, write_volume

AFFINE = np.array([[-2.0, 0, 0, 90], [0, 1.5, -0.8, -80], [0, 0.6, 3.0, -50], [0, 0, 0, 1]])


def image(dtype: type = np.float32) -> Volume:
    return Volume(np.arange(60).reshape(3, 4, 5).astype(dtype), np.diag([2.0, 2.0, 3.0, 1.0]))


def test_voxel_volume_is_the_determinant_not_the_product_of_the_sizes() -> None:
    volume = Volume(np.zeros((2, 2, 2)), AFFINE)
    assert volume.voxel_ml == pytest.approx(abs(np.linalg.det(AFFINE[:3, :3])) / 1000)
    assert volume.voxel_ml < np.prod(volume.zooms) / 1000


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.int16, np.int32, np.float32])
def test_writing_and_reading_returns_the_numbers(dtype: type, tmp_path: Path) -> None:
    volume = image(dtype)
    write_volume(tmp_path / "a.nii.gz", volume)
    back = read_made(tmp_path / "a.nii.gz")
    np.testing.assert_array_equal(back.data, volume.data.astype(np.float32))
    np.testing.assert_allclose(back.affine, volume.affine)


def test_float64_is_stored_as_float32(tmp_path: Path) -> None:
    write_volume(tmp_path / "a.nii.gz", image(np.float64))
    assert nib.load(tmp_path / "a.nii.gz").get_data_dtype() == np.float32


def test_the_same_array_gives_the_same_bytes_and_says_nothing_else() -> None:
    content = encode(image())
    assert content == encode(image())
    header = nib.Nifti1Image.from_bytes(gzip.decompress(content)).header
    assert content[4:8] == bytes(4), "no time stamp"
    assert (int(header["sform_code"]), int(header["qform_code"])) == (1, 1)
    assert header.get_xyzt_units() == ("mm", "sec")
    assert bytes(header["descrip"].item()) == bytes(header["aux_file"].item()) == b""


def test_the_sidecar_names_the_bytes_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "sub-1_ADC.nii.gz"
    write_volume(path, image(), {"Units": "1e-6 mm2/s"}, tr_s=None)
    sidecar = json.loads(sidecar_path(path).read_text(encoding="utf-8"))
    assert sidecar == {"Units": "1e-6 mm2/s", "ImageSHA256": hashlib.sha256(path.read_bytes()).hexdigest()}


def test_a_sidecar_of_another_image_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "sub-1_ADC.nii.gz"
    write_volume(path, image(), {"Units": "1e-6 mm2/s"})
    assert verify(path)
    newer = sidecar_path(path).read_text(encoding="utf-8")
    # Interrupted between the two: the sidecar is of the new image, the image is the old one.
    path.write_bytes(encode(Volume(image().data + 1, image().affine)))
    assert not verify(path)
    write_volume(path, image())
    assert verify(path)
    for text in (newer[:-20], "{}", "[]"):
        sidecar_path(path).write_text(text, encoding="utf-8")
        assert not verify(path)
    sidecar_path(path).unlink()
    assert not verify(path)


def test_repetition_time_stands_in_the_header(tmp_path: Path) -> None:
    series = Volume(np.ones((2, 2, 2, 3), np.float32), np.eye(4))
    write_volume(tmp_path / "p.nii.gz", series, tr_s=1.8)
    assert nib.load(tmp_path / "p.nii.gz").header.get_zooms()[3] == pytest.approx(1.8)


def test_same_grid_is_judged_at_the_corners() -> None:
    one = image()
    tilted = one.affine.copy()
    tilted[0, 2] += 2e-3 / 4
    assert same_grid(one, Volume(one.data, one.affine + 5e-4 * np.eye(4, k=3)))
    assert not same_grid(one, Volume(one.data, tilted)), "2 µm at the last slice"
    assert not same_grid(one, Volume(one.data[:-1], one.affine))
