"""Atlases: tables as found, sides by position, loads through world coordinates."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reperfuse.core.errors import Refusal
from reperfuse.imaging import atlas as atlases
from reperfuse.imaging.volume import Volume

NAMES = {
    1: ("FL", "frontal left"),
    2: ("FR", "frontal right"),
    3: ("TL", "temporal left"),
    4: ("TR", "temporal right"),
}


def quadrants(*, flip: bool = False, mm: float = 2.0) -> Volume:
    """Labels 1 left front, 2 right front, 3 left back, 4 right back, of 16 × 16 × 8 mm each."""
    size = mm * np.array([-1.0 if flip else 1.0, 1.0, 1.0])
    affine = np.diag([*size, 1.0])
    shape = (int(40 / mm), int(40 / mm), int(16 / mm))
    affine[:3, 3] = -size * (np.array(shape) - 1) / 2
    grid = np.stack(np.meshgrid(*[np.arange(n) for n in shape], indexing="ij"), axis=-1)
    x, y, z = np.moveaxis(grid @ affine[:3, :3].T + affine[:3, 3], -1, 0)
    inside = (abs(x) < 16) & (abs(y) < 16) & (abs(z) < 4)
    labels = 1 + (x > 0) + 2 * (y < 0)
    return Volume(np.where(inside, labels, 0).astype(np.float32), affine)


def table(folder: Path, text: str) -> Path:
    path = folder / "labels.txt"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1|AL|a left|1\n2|AR|a right|2\n", {1: ("AL", "a left"), 2: ("AR", "a right")}),
        ("index\tname\n0\tbackground\n1\tM1 left\n2\tM1 right\n", {1: ("M1 left",), 2: ("M1 right",)}),
        ("name\tcolour\tindex\tabbreviation\nInsula\t#fff\t7\tI\n", {7: ("Insula", "I")}),
        ("\ufeff1,Insula\r\n2,Caudate\r\n", {1: ("Insula",), 2: ("Caudate",)}),
        ("# colour table\n0 Unknown 0 0 0 0\n10 Left-Thalamus 0 118 14 0\n", {10: ("Left-Thalamus",)}),
    ],
)
def test_tables_of_the_shapes_found_are_read(tmp_path: Path, text: str, expected: dict) -> None:
    assert atlases.read_labels(table(tmp_path, text)) == expected


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "no row"),
        ("1|A\nx|B\n", "line 2, column 1: no whole number"),
        ("1|A\n1|B\n", "the label 1 comes twice"),
        ("1|A\n2|\n", "line 2, column 1: no name"),
        ("colour\tsize\n1\t2\n", "`index` and `name`"),
    ],
)
def test_a_table_that_cannot_be_read_is_refused_with_its_line(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(Refusal) as refusal:
        atlases.read_labels(table(tmp_path, text))
    assert refusal.value.fault.code == "E130"
    assert says in refusal.value.fault.sentence
    assert str(tmp_path) not in refusal.value.fault.sentence


def test_a_table_that_is_missing_or_not_utf8_is_refused(tmp_path: Path) -> None:
    for content in (None, b"1|\xe9\n"):
        path = tmp_path / "labels.txt"
        if content is not None:
            path.write_bytes(content)
        with pytest.raises(Refusal) as refusal:
            atlases.read_labels(path)
        assert refusal.value.fault.code == "E130"


@pytest.mark.parametrize("flip", [False, True])
def test_sides_go_by_position(flip: bool) -> None:
    made, faults = atlases.make_atlas(quadrants(flip=flip), NAMES, path="a.nii.gz")
    assert faults == []
    assert {n: r.side for n, r in made.regions.items()} == {1: "left", 2: "right", 3: "left", 4: "right"}
    assert made.regions[1] == atlases.Region("FL", "left", pytest.approx(16 * 16 * 8 / 1000))


def test_names_that_contradict_their_position_are_told_and_numbers_decide() -> None:
    wrong = {**NAMES, 2: ("FL", "frontal right"), 4: ("TR", "occipital left")}
    made, faults = atlases.make_atlas(quadrants(), wrong, path="a.nii.gz")
    assert made.regions[2].side == "right" and made.regions[4].side == "right"
    assert [fault.code for fault in faults] == ["W146"]
    assert "2 FL lies right; 4 occipital left lies right" in faults[0].sentence
    assert made.regions[2].name == "frontal right"  # FL comes twice, so the next column names the regions


def test_names_that_never_differ_get_their_number() -> None:
    made, _ = atlases.make_atlas(quadrants(), dict.fromkeys(NAMES, ("lobe",)), path="a.nii.gz")
    assert [region.name for region in made.regions.values()] == [f"lobe ({n})" for n in NAMES]


def test_a_region_across_the_midline_is_on_both_sides() -> None:
    volume = quadrants()
    volume.data[volume.data > 0] = 5
    made, faults = atlases.make_atlas(volume, {5: ("brainstem",)}, path="a.nii.gz")
    assert made.regions[5].side == "both" and faults == []


def test_labels_without_name_and_names_without_voxel_are_told() -> None:
    made, [fault] = atlases.make_atlas(quadrants(), {1: ("A",), 9: ("Z",)}, path="a.nii.gz")
    assert (
        fault.code == "W147" and "without a name: 2, 3, 4" in fault.sentence and "voxel: 9" in fault.sentence
    )
    assert made.regions[2].name == "2" and 9 not in made.regions


@pytest.mark.parametrize(
    ("name", "last_letter", "side"),
    [
        ("Left-Thalamus", False, "left"),
        ("rh_insula", False, "right"),
        ("MCA_R", False, "right"),
        ("basilar left", False, "left"),
        ("ACAL", True, "left"),
        ("ACAL", False, None),
        ("Frontal", True, None),
        ("left and right", True, None),
        ("Lenticular nucleus", True, None),
    ],
)
def test_the_side_that_a_name_states(name: str, last_letter: bool, side: str | None) -> None:
    assert atlases.side_in_name(name, last_letter=last_letter) == side


def test_probabilities_are_no_labels() -> None:
    volume = quadrants()
    for data in (volume.data / 7, np.zeros_like(volume.data), np.stack([volume.data] * 2, axis=-1)):
        with pytest.raises(Refusal) as refusal:
            atlases.make_atlas(Volume(data, volume.affine), NAMES, path="a.nii.gz")
        assert refusal.value.fault.code == "E146"


@pytest.mark.parametrize("flip_atlas", [False, True])
@pytest.mark.parametrize("flip_mask", [False, True])
@pytest.mark.parametrize("mm", [1.0, 2.0])
def test_loads_are_the_same_on_any_grid(flip_atlas: bool, flip_mask: bool, mm: float) -> None:
    made, _ = atlases.make_atlas(quadrants(flip=flip_atlas), NAMES, path="a.nii.gz")
    like = quadrants(flip=flip_mask, mm=mm)
    mask = like.like(np.isin(like.data, [2, 3]))
    half = like.data.shape[2] // 2
    mask.data[:, :, :half] = False
    rows = atlases.loads(mask, made)
    assert [(row["label"], row["name"], row["side"]) for row in rows] == [
        (1, "FL", "left"),
        (2, "FR", "right"),
        (3, "TL", "left"),
        (4, "TR", "right"),
    ]
    assert [row["volume_ml"] for row in rows] == pytest.approx([0, 1.024, 1.024, 0])
    assert [row["percent_of_region"] for row in rows] == pytest.approx([0, 50, 50, 0])


def test_lesion_outside_the_atlas_and_its_field_of_view_loads_nothing() -> None:
    made, _ = atlases.make_atlas(quadrants(), NAMES, path="a.nii.gz")
    affine = np.diag([4.0, 4.0, 4.0, 1.0])
    affine[:3, 3] = -100
    mask = np.zeros((50, 50, 50), bool)
    mask[0:3] = True
    assert sum(row["volume_ml"] for row in atlases.loads(Volume(mask, affine), made)) == 0


def test_an_empty_lesion_has_a_row_for_every_region() -> None:
    made, _ = atlases.make_atlas(quadrants(), NAMES, path="a.nii.gz")
    rows = atlases.loads(made.labels.like(np.zeros(made.labels.data.shape, bool)), made)
    assert len(rows) == 4 and all(row["volume_ml"] == 0 for row in rows)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_both_ways_agree_and_no_volume_is_lost(seed: int) -> None:
    made, _ = atlases.make_atlas(quadrants(), NAMES, path="a.nii.gz")
    mask = np.random.default_rng(seed).random(made.labels.data.shape) > 0.7
    rows = atlases.loads(made.labels.like(mask), made)
    assert rows == atlases.loads_on_grid(mask, made.labels.data, made.regions, made.labels.voxel_ml)
    inside = np.count_nonzero(mask & (made.labels.data > 0)) * made.labels.voxel_ml
    assert sum(row["volume_ml"] for row in rows) == pytest.approx(inside)


def test_labels_on_another_grid_are_a_mistake_of_the_caller() -> None:
    made, _ = atlases.make_atlas(quadrants(), NAMES, path="a.nii.gz")
    with pytest.raises(ValueError, match="grid"):
        atlases.loads_on_grid(np.ones((2, 2, 2), bool), made.labels.data, made.regions, 1.0)


def test_an_atlas_is_read_from_its_files(tmp_path: Path) -> None:
    volume = quadrants(flip=True)
    nib.save(nib.Nifti1Image(volume.data.astype(np.int16), volume.affine), tmp_path / "quadrants.nii.gz")
    names = table(tmp_path, "index\tname\n1\tFL\n2\tFR\n3\tTL\n4\tTR\n")
    made, faults = atlases.read_atlas(tmp_path / "quadrants.nii.gz", names)
    assert faults == []
    assert np.array_equal(made.labels.data, volume.data)
    assert [region.side for region in made.regions.values()] == ["left", "right", "left", "right"]


def test_the_arterial_atlas_goes_by_number(real_data: Path) -> None:
    folder = real_data / "soop/atlas"
    made, faults = atlases.read_atlas(folder / "ArterialAtlas136.nii.gz", folder / "ArterialAtlas136.txt")
    assert len(made.regions) == 32
    assert all(region.side == ("left" if n % 2 else "right") for n, region in made.regions.items())
    [told] = [fault for fault in faults if fault.code == "W146"]
    assert told.values["names"].split("; ") == [
        f"{n} {name} lies right" for n, name in ((10, "MCAPL"), (12, "MCATL"), (14, "MCAOL"), (16, "MCAIL"))
    ]
    assert made.regions[10].name == "parietal pars of middle cerebral artery right"
    assert nib.aff2axcodes(made.labels.affine) == ("L", "A", "S")
