"""Files as users have them: one test per way in which one can be wrong."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reperfuse.core.errors import Refusal
from reperfuse.imaging.reader import match_grid, read_made, read_mask, read_metadata, read_volume
from reperfuse.imaging.stream import ReadLimits
from reperfuse.imaging.volume import Volume, encode

Writer = Callable[..., Path]
DATA = np.random.default_rng(0).integers(1, 900, (9, 8, 7)).astype(np.int16)
MASK = DATA > 600
POINTER = b"/annex/objects/MD5E-s1801--0e4f.nii.gz\n"


def refused(path: Path, **options: object) -> Refusal:
    with pytest.raises(Refusal) as caught:
        read_volume(path, **options)  # type: ignore[arg-type]
    return caught.value


def test_an_image_comes_back_scaled_in_float32(nifti: Writer) -> None:
    affine = np.diag([-1.5, 2.0, 3.0, 1.0])
    volume, faults = read_volume(nifti("a.nii.gz", DATA, affine, scl_slope=0.5, scl_inter=-3))
    assert faults == [] and volume.data.dtype == np.float32
    np.testing.assert_allclose(volume.data, DATA * 0.5 - 3)
    np.testing.assert_array_equal(volume.affine, affine)


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
def test_either_compression_is_read(name: str, nifti: Writer) -> None:
    np.testing.assert_array_equal(read_volume(nifti(name, DATA))[0].data, DATA)


def test_big_endian_and_nifti2_are_read(tmp_path: Path) -> None:
    for k, image in enumerate(
        (
            nib.Nifti1Image(DATA.astype(">i2"), np.eye(4), nib.Nifti1Header(endianness=">")),
            nib.Nifti2Image(DATA, np.eye(4)),
        )
    ):
        path = tmp_path / f"{k}.nii.gz"
        path.write_bytes(gzip.compress(image.to_bytes()))
        np.testing.assert_array_equal(read_volume(path)[0].data, DATA)


@pytest.mark.parametrize(
    ("code", "name", "content"),
    [
        ("E101", "a.nii.gz", b""),
        ("E102", "a.nii.gz", POINTER),
        ("E102", "a.nii", b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n"),
        ("E100", "a.nii.gz", gzip.compress(b"no image " * 200)),
        ("E100", "a.nii.gz", gzip.compress(b"")),
        ("E100", "a.nii", b"\x00" * 40),
        ("E104", "a.nii.gz", b"<html>Moved Permanently</html>"),
    ],
)
def test_what_is_no_image(code: str, name: str, content: bytes, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    refusal = refused(tmp_path / name)
    assert refusal.fault.code == code and refusal.fault.path == name
    assert str(tmp_path) not in refusal.fault.sentence


def test_a_pointer_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.nii.gz").write_bytes(POINTER)
    assert "MD5E-s1801--0e4f" in refused(tmp_path / "a.nii.gz").fault.reason


def test_a_broken_link_names_its_target_but_not_where_this_machine_keeps_it(tmp_path: Path) -> None:
    (tmp_path / "a.nii.gz").symlink_to("../../.git/annex/objects/Xf/MD5E-s18.nii.gz")
    (tmp_path / "b.nii.gz").symlink_to("/home/someone/MD5E-s18.nii.gz")
    relative, absolute = refused(tmp_path / "a.nii.gz").fault, refused(tmp_path / "b.nii.gz").fault
    assert relative.code == absolute.code == "E102"
    assert "../../.git/annex/objects/Xf/MD5E-s18.nii.gz" in relative.reason
    assert "MD5E-s18" in absolute.reason and "someone" not in absolute.reason


def test_a_file_that_vanished_and_one_without_permission(
    tmp_path: Path, nifti: Writer, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert refused(tmp_path / "gone.nii.gz").fault.code == "E100"
    path = nifti("a.nii.gz", DATA)

    def denied(self: Path) -> bytes:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "read_bytes", denied)
    assert refused(path).fault.code == "E212"


@pytest.mark.parametrize("keep", [30, 400, 700, -9, -1])
def test_a_truncated_stream_is_never_half_an_image(keep: int, nifti: Writer) -> None:
    path = nifti("a.nii.gz", DATA, wrap=lambda content: content[:keep])
    assert refused(path).fault.code == "E103"


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_no_damaged_byte_changes_a_voxel_unnoticed(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    content = bytearray(encode(Volume(DATA, np.diag([2.0, 2.0, 2.0, 1.0]))))
    at = data.draw(st.integers(0, len(content) - 1))
    content[at] ^= data.draw(st.integers(1, 255))
    path = tmp_path_factory.getbasetemp() / "damaged.nii.gz"
    path.write_bytes(content)
    try:
        volume, _ = read_volume(path)
        np.testing.assert_array_equal(volume.data, DATA)
    except Refusal as refusal:
        assert refusal.fault.code in ("E100", "E103", "E104")


def test_an_uncompressed_file_that_is_too_short(nifti: Writer) -> None:
    fault = refused(nifti("a.nii", DATA, wrap=lambda content: content[:-100])).fault
    assert fault.code == "E103" and fault.values["declared_bytes"] - fault.values["found_bytes"] == 100


def test_several_members_are_one_stream_and_what_follows_is_garbage(nifti: Writer) -> None:
    def halves(content: bytes) -> bytes:
        plain = gzip.decompress(content)
        return gzip.compress(plain[:500]) + gzip.compress(plain[500:]) + b"garbage"

    volume, faults = read_volume(nifti("a.nii.gz", DATA, wrap=halves))
    np.testing.assert_array_equal(volume.data, DATA)
    assert [fault.code for fault in faults] == ["W103"] and faults[0].values["extra_bytes"] == 7


def test_an_uncompressed_file_named_gz_and_the_reverse(nifti: Writer) -> None:
    assert refused(nifti("a.nii.gz", DATA, wrap=gzip.decompress)).fault.code == "E104"
    assert refused(nifti("a.nii", DATA, wrap=gzip.compress)).fault.code == "E100"


def test_a_bomb_is_stopped_by_its_header(nifti: Writer) -> None:
    dim = [3, 4000, 4000, 4000, 1, 1, 1, 1]
    huge = refused(nifti("a.nii.gz", DATA, dim=dim)).fault
    assert huge.code == "E105" and float(huge.values["declared_gib"]) > 100
    dim = [3, 400, 400, 400, 1, 1, 1, 1]
    assert refused(nifti("b.nii.gz", DATA, dim=dim)).fault.code == "E105", "by its ratio"


def test_a_stream_that_goes_on_beyond_its_header_is_not_kept(nifti: Writer) -> None:
    def longer(content: bytes) -> bytes:
        return gzip.compress(gzip.decompress(content) + bytes(3 << 20))

    path = nifti("a.nii.gz", DATA, wrap=longer)
    assert read_volume(path)[0].data.shape == DATA.shape
    assert refused(path, limits=ReadLimits(max_declared_gib=1 / 1024)).fault.code == "E105"


def test_an_empty_mask_is_no_bomb(nifti: Writer) -> None:
    path = nifti(
        "a.nii.gz", np.zeros((200, 200, 100), np.uint8), wrap=lambda c: gzip.compress(gzip.decompress(c), 9)
    )
    volume, faults = read_mask(path)
    assert not volume.data.any() and faults == []


def test_trailing_axes_of_one_are_dropped(nifti: Writer) -> None:
    volume, faults = read_volume(nifti("a.nii.gz", DATA[..., None, None]))
    assert volume.data.shape == DATA.shape and [fault.code for fault in faults] == ["W107"]
    series, faults = read_volume(nifti("b.nii.gz", np.stack([DATA, DATA + 1], -1)[:, :, :, None]))
    assert series.data.shape == (*DATA.shape, 2) and faults[0].values["shape"] == "9 × 8 × 7 × 1 × 2"


def test_a_flat_image_has_three_axes(nifti: Writer) -> None:
    assert read_volume(nifti("a.nii.gz", DATA[..., 0], np.diag([2.0, 2, 2, 1])))[0].data.shape == (9, 8, 1)


@pytest.mark.parametrize(
    ("code", "dim"),
    [("E106", [3, 0, 8, 7]), ("E106", [3, 9, -8, 7]), ("E100", [0, 9, 8, 7]), ("E100", [9, 9, 8, 7])],
)
def test_impossible_dimensions(code: str, dim: list[int], nifti: Writer) -> None:
    assert refused(nifti("a.nii.gz", DATA, dim=[*dim, 1, 1, 1, 1])).fault.code == code


def test_a_five_dimensional_image(nifti: Writer) -> None:
    assert refused(nifti("a.nii.gz", np.ones((3, 3, 3, 2, 2), np.int16))).fault.code == "E107"


def test_colour_and_complex_maps(nifti: Writer) -> None:
    rgb = np.zeros((3, 3, 3), [("R", "u1"), ("G", "u1"), ("B", "u1")])
    fault = refused(nifti("a.nii.gz", rgb)).fault
    assert fault.code == "E109" and "RGB" in fault.values["dtype"]
    assert refused(nifti("b.nii.gz", np.ones((3, 3, 3), np.complex64))).fault.code == "E109"
    assert refused(nifti("c.nii.gz", DATA, datatype=77)).fault.code == "E100"


@pytest.mark.parametrize("value", [0, 7])
def test_an_image_of_one_value(value: int, nifti: Writer) -> None:
    assert refused(nifti("a.nii.gz", np.full((4, 4, 4), value, np.int16))).fault.values["value"] == str(value)


@pytest.mark.parametrize("slope", [0.0, np.nan, np.inf])
def test_a_useless_slope_counts_as_one_and_is_told(slope: float, nifti: Writer) -> None:
    volume, faults = read_volume(nifti("a.nii.gz", DATA, scl_slope=slope, scl_inter=5))
    assert [fault.code for fault in faults] == ["W112"]
    np.testing.assert_array_equal(volume.data, DATA)


def test_metadata_are_inherited_key_by_key(tmp_path: Path, nifti: Writer) -> None:
    root, near = tmp_path / "dwi.json", tmp_path / "sub-1_dwi.json"
    root.write_text('\ufeff{"EchoTime": 0.08, "Units": "mm2/s"}', encoding="utf-8")
    near.write_text('{"EchoTime": 0.09}', encoding="utf-8")
    volume, _ = read_volume(nifti("a.nii.gz", DATA), metadata=[root, near])
    assert volume.metadata == {"EchoTime": 0.09, "Units": "mm2/s"}


@pytest.mark.parametrize(("text", "line"), [('{"a": 1,\n"b": }', 2), ("[1]", 1), ("", 1), ("\xff", 1)])
def test_metadata_that_are_no_object(text: str, line: int, tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(Refusal) as caught:
        read_metadata([path])
    assert caught.value.fault.code == "E213" and caught.value.fault.values["line"] == line


def test_mask_voxels_a_hair_below_one_count(nifti: Writer) -> None:
    path = nifti("m.nii.gz", MASK.astype(np.uint8) * 255, scl_slope=np.float32(0.99999999977 / 255))
    mask, faults = read_mask(path)
    assert faults == [] and mask.data.dtype == bool
    np.testing.assert_array_equal(mask.data, MASK)
    double = MASK * 0.99999999977
    np.testing.assert_array_equal(read_mask(nifti("d.nii.gz", double))[0].data, MASK)


@pytest.mark.parametrize(
    ("values", "threshold"),
    [((0, 255), "127.5"), ((0, 1000), "500"), ((1, 2), "1.5"), ((0, 0.2), "0.5")],
)
def test_two_values_are_cut_halfway_and_probabilities_at_a_half(
    values: tuple[float, float], threshold: str, nifti: Writer
) -> None:
    data = np.where(MASK, values[1], values[0]).astype(np.float32)
    mask, faults = read_mask(nifti("m.nii.gz", data))
    assert [fault.code for fault in faults] == ["W121"] and faults[0].values["threshold"] == threshold
    np.testing.assert_array_equal(mask.data, data > float(threshold))


def test_probabilities_and_labels(nifti: Writer) -> None:
    chance = np.linspace(0, 1, DATA.size, dtype=np.float32).reshape(DATA.shape)
    mask, faults = read_mask(nifti("p.nii.gz", chance))
    assert faults[0].code == "W121" and mask.data.sum() == (chance > 0.5).sum()
    with pytest.raises(Refusal) as caught:
        read_mask(nifti("l.nii.gz", (DATA % 4).astype(np.uint8)))
    assert caught.value.fault.code == "E121" and caught.value.fault.values["labels"] == "0, 1, 2, 3"
    with pytest.raises(Refusal) as caught:
        read_mask(nifti("v.nii.gz", np.ones((3, 3, 3, 2), np.uint8)))
    assert caught.value.fault.code == "E107"


def test_nan_in_a_mask_is_outside(nifti: Writer) -> None:
    data = MASK.astype(np.float32)
    data[0, 0, 0] = np.nan
    mask, faults = read_mask(nifti("m.nii.gz", data))
    assert faults[0].code == "W110" and not mask.data[0, 0, 0] and mask.data[MASK].sum() >= MASK.sum() - 1


def on(affine: np.ndarray, shape: tuple[int, ...], mask: np.ndarray | None = None) -> Volume:
    return Volume(np.zeros(shape, bool) if mask is None else mask, affine)


def test_a_mask_within_a_thousandth_is_taken_as_it_is() -> None:
    affine = np.diag([2.0, 2.0, 5.0, 1.0])
    mask, faults = match_grid(on(affine + 5e-4 * np.eye(4, k=3), MASK.shape, MASK), on(affine, MASK.shape))
    assert faults == [] and mask.data is MASK
    np.testing.assert_array_equal(mask.affine, affine)


def test_a_mask_stored_the_other_way_round_is_turned() -> None:
    affine = np.diag([2.0, 2.0, 5.0, 1.0])
    flipped = affine.copy()
    flipped[0, 0], flipped[0, 3] = -2.0, 2.0 * (MASK.shape[0] - 1)
    mask, faults = match_grid(on(flipped, MASK.shape, MASK[::-1]), on(affine, MASK.shape))
    assert [fault.code for fault in faults] == ["W120"]
    np.testing.assert_array_equal(mask.data, MASK)


def test_a_cropped_and_a_finer_mask_are_brought_over() -> None:
    affine = np.diag([2.0, 2.0, 2.0, 1.0])
    like = on(affine, (20, 20, 20))
    crop = affine.copy()
    crop[:3, 3] = 2 * np.array([3, 4, 5])
    mask, _ = match_grid(on(crop, MASK.shape, MASK), like)
    np.testing.assert_array_equal(mask.data[3:12, 4:12, 5:12], MASK)
    assert mask.data.sum() == MASK.sum()
    fine = np.diag([1.0, 1.0, 1.0, 1.0])
    fine[:3, 3] = -0.5
    block = np.zeros((40, 40, 40), bool)
    block[10:20, 10:20, 10:20] = True
    mask, _ = match_grid(on(fine, block.shape, block), like)
    assert mask.data.sum() == 125 and mask.data[5:10, 5:10, 5:10].all()


@pytest.mark.parametrize("change", ["shifted", "turned", "template"])
def test_a_mask_of_another_space_is_refused_with_both_grids(change: str) -> None:
    affine, other = np.diag([2.0, 2.0, 2.0, 1.0]), np.diag([2.0, 2.0, 2.0, 1.0])
    shape = MASK.shape
    if change == "shifted":
        other[:3, 3] = 0.7
    elif change == "turned":
        c, s = np.cos(0.1), np.sin(0.1)
        other[:2, :2] = 2 * np.array([[c, -s], [s, c]])
    else:
        other, shape = np.diag([1.0, 1.0, 1.0, 1.0]), (157, 189, 136)
    with pytest.raises(Refusal) as caught:
        match_grid(on(other, shape), on(affine, MASK.shape))
    values = caught.value.fault.values
    assert caught.value.fault.code == "E120" and values["expected_shape"] == "9 × 8 × 7"


def test_the_header_is_judged_before_the_rest_is_inflated(nifti: Writer) -> None:
    noise = np.random.default_rng(1).integers(0, 1 << 15, (64, 64, 64)).astype(np.int16)
    path = nifti("a.nii.gz", noise, wrap=lambda content: content[: len(content) // 2])
    assert refused(path).fault.code == "E103"
    assert refused(path, limits=ReadLimits(max_declared_gib=1e-4)).fault.code == "E105"


def test_a_mask_below_zero_is_not_guessed_at(nifti: Writer) -> None:
    with pytest.raises(Refusal, match="E121"):
        read_mask(nifti("m.nii.gz", np.where(MASK, -1.0, 0.0)))


def test_a_mask_of_nothing_but_nan_is_no_empty_lesion(nifti: Writer) -> None:
    with pytest.raises(Refusal, match="E110"):
        read_mask(nifti("m.nii.gz", np.full(MASK.shape, np.nan)))


def test_a_damaged_image_of_ones_own_is_no_finding_about_the_patient(tmp_path: Path) -> None:
    path = tmp_path / "J0_adc.nii.gz"
    path.write_bytes(b"\x1f\x8b broken")
    for lost in (path, tmp_path / "J1_adc.nii.gz"):
        with pytest.raises(RuntimeError, match="delete the record that lists it"):
            read_made(lost)
