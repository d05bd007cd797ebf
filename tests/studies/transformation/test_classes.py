from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reperfuse.evaluation.discrimination import auc, average_precision
from reperfuse.imaging.atlas import Atlas, Region
from reperfuse.imaging.grids import rigid_matrix
from reperfuse.imaging.volume import Volume, write_volume
from reperfuse.imaging.warp import WARP, Warp, write_warp
from reperfuse.studies.transformation import burden, classes, patients, predicted, seen
from reperfuse.studies.transformation.paper import lowest_precision
from tests.studies.transformation.voxel_samples import AFFINE, PRIMARY, SECTION, SHAPE, VOXEL_ML, write

LIMITS = {"petechia_ml": 0.05, "solid_percent": 10.0, "ph2_percent": 30.0}
STATISTICS = SECTION["statistics"]


def bled(*blocks: tuple[slice, slice, slice]) -> Volume:
    mask = np.zeros(SHAPE, dtype=bool)
    for block in blocks:
        mask[block] = True
    return Volume(mask, AFFINE)


INFARCT = bled((slice(1, 6), slice(1, 6), slice(0, 2))).data


def test_a_haemorrhage_is_measured_in_clusters() -> None:
    mask = bled((slice(1, 3), slice(1, 3), slice(0, 1)), (slice(9, 12), slice(9, 12), slice(3, 4)))
    found = classes.bleeding(mask, INFARCT, remote_mm=5)
    assert found.n_clusters == 2
    assert (found.volume_ml, found.largest_ml) == pytest.approx((13 * VOXEL_ML, 9 * VOXEL_ML))
    assert found.remote_ml == pytest.approx(9 * VOXEL_ML)
    assert classes.bleeding(mask, None, remote_mm=5).remote_ml is None
    assert classes.bleeding(mask, INFARCT, remote_mm=100).remote_ml == 0


@pytest.mark.parametrize(
    ("volume_ml", "largest_ml", "n", "infarct_ml", "grade", "letter"),
    [
        (0.0, 0.0, 0, 10.0, "none", "0"),
        (0.12, 0.04, 3, 10.0, "HI1", "1a"),
        (0.12, 0.04, 3, None, "HI1", "1a"),
        (1.2, 0.9, 3, 10.0, "HI2", "1b"),
        (2.0, 1.5, 2, 10.0, "PH1", "1c"),
        (3.0, 3.0, 1, 10.0, "PH1", "1c"),
        (3.1, 3.1, 1, 10.0, "PH2", "2"),
        (3.1, 3.1, 1, None, None, None),
    ],
)
def test_classes_follow_the_share_of_the_infarct(
    volume_ml: float,
    largest_ml: float,
    n: int,
    infarct_ml: float | None,
    grade: str | None,
    letter: str | None,
) -> None:
    found = classes.Bleeding(volume_ml, largest_ml, n, 0.0)
    assert classes.ecass(found, infarct_ml, **LIMITS) == grade
    assert classes.heidelberg(grade, found) == letter


def test_what_lies_wholly_elsewhere_is_class_3() -> None:
    assert classes.heidelberg("PH2", classes.Bleeding(4.0, 4.0, 1, 4.0)) == "3"
    assert classes.heidelberg("PH2", classes.Bleeding(4.0, 4.0, 1, 3.0)) == "2"
    assert classes.heidelberg("HI2", None) == "1b"


def test_the_table_wins_and_the_infarct_of_the_follow_up_counts(tmp_path: Path) -> None:
    paths = {}
    for name, volume in {
        "PWI_brain": bled((slice(None),) * 3),
        "PWI_ht": bled((slice(2, 5),) * 2 + (slice(0, 2),)),
    }.items():
        paths[name] = tmp_path / f"{name}.nii.gz"
        write_volume(paths[name], volume)
    rows = [
        {"visit": v, "criterion": c, "volume_ml": ml}
        for v, c, ml in (("J0", "adc620", 2.0), ("J1", "given", 1.0))
    ]
    lesions = {"lesion": {"J0": "adc620", "J1": "given (manual)"}, "rows": rows}
    limits = {**LIMITS, "remote_mm": 10.0}
    found = seen.of_patient(paths, lesions, {}, 1, **limits)
    assert (found.infarct_ml, found.infarct_visit) == (1.0, "J1")
    assert (found.ecass, found.ecass_source, found.heidelberg) == ("PH2", "by volume share", "2")
    told = seen.of_patient(paths, lesions, {"ecass": "HI1"}, 1, **limits)
    assert (told.ecass, told.ecass_source, told.heidelberg) == ("HI1", "table", "1a")
    del paths["PWI_ht"]
    assert seen.of_patient(paths, lesions, {}, 1, **limits).bleeding is None
    assert seen.of_patient(paths, lesions, {}, 0, **limits).ecass == "none"


def test_labels_come_to_the_perfusion_grid_through_every_transform(tmp_path: Path) -> None:
    template = Volume(np.zeros((30, 30, 16), dtype=np.int32), np.diag([2.0, 2.0, 2.5, 1.0]))
    template.data[8:20, 8:20, 4:12] = 3
    to_image = rigid_matrix([0, 0, 0], [4, -6, 5], [0, 0, 0])  # template to normalised image
    to_diffusion = rigid_matrix([0, 0, 0], [-2, 2, 0], [0, 0, 0])
    to_pwi = rigid_matrix([0, 0, 0], [6, 8, -5], [0, 0, 0])
    still = Volume(np.zeros((30, 30, 16, 3), dtype=np.float32), template.affine)
    files = {part: tmp_path / name for part, name in WARP.items()}
    write_warp(Warp(to_image, still, still), **files)
    pwi = tmp_path / "PWI_brain.nii.gz"
    write_volume(pwi, Volume(np.ones((40, 40, 20), dtype=bool), np.diag([2.0, 2.0, 2.5, 1.0])))
    atlas = Atlas(template, {3: Region("thalamus", "left", 1.0)})
    registered = {
        "reference": "J0_s0",
        "pairs": [{"fixed": "J0_s0", "moving": "J0_pwi", "accepted": True, "matrix": to_pwi.tolist()}],
    }
    normalised = {"to_reference": to_diffusion.tolist()}
    found = seen.regions_on_pwi({"a": atlas}, pwi, normalised, registered, files.values())["a"]
    shift = (to_pwi @ to_diffusion @ to_image)[:3, 3] / (2.0, 2.0, 2.5)
    wanted = np.zeros((40, 40, 20), dtype=np.int32)
    wanted[
        tuple(slice(int(a + s), int(b + s)) for a, b, s in zip((8, 8, 4), (20, 20, 12), shift, strict=True))
    ] = 3
    assert np.array_equal(found, wanted)
    assert (
        seen.regions_on_pwi(
            {"a": atlas}, pwi, normalised, {"reference": "J0_s0", "pairs": []}, files.values()
        )
        == {}
    )


def test_burden_adds_up_to_the_volumes(tmp_path: Path) -> None:
    sample = write(tmp_path)
    voxels = predicted.read_predicted(sample.parquet)
    dense, priors = voxels["dense"], patients.priors_of(voxels["balanced"], voxels["dense"])
    labels = np.where(np.arange(SHAPE[0]) < 6, 1, 2)[:, None, None] * np.ones(SHAPE, dtype=np.int32)
    labels = labels.astype(np.int32)
    atlas = Atlas(
        Volume(labels, AFFINE), {1: Region("Left Thalamus", "left", 1.0), 2: Region("MCA", "right", 1.0)}
    )
    known = {who: seen.Seen(VOXEL_ML, regions={"a": labels}) for who in dense.patients}
    rows = burden.burden(dense, PRIMARY, priors, known, {"a": atlas}, eloquent=["thalamus"], level=0.95)
    assert [row["eloquent"] for row in rows] == [True, False]
    total = float(dense.scores[PRIMARY].sum() * VOXEL_ML / len(dense.patients))
    assert sum(row["predicted_ml"] for row in rows) == pytest.approx(total, rel=1e-5)
    assert sum(row["observed_ml"] for row in rows) == pytest.approx(
        dense.y.sum() * VOXEL_ML / len(dense.patients)
    )
    assert rows[0]["n_with_ht"] == 8 and rows[0]["predicted_corrected_ml"] < rows[0]["predicted_ml"]


def test_the_likeliest_cluster_must_be_large_enough(tmp_path: Path) -> None:
    at = np.argwhere(np.ones(SHAPE, dtype=bool)).astype(np.int16)
    p = np.full(len(at), 0.1, dtype=np.float32)
    grid = p.reshape(SHAPE)
    grid[2:4, 2:4, 1] = 0.7
    grid[9, 9, 3] = 0.99
    dense = predicted.Predicted(
        ("sub-1",), (1,), np.zeros(len(at), dtype=np.intp), at, np.zeros(len(at), dtype=np.int8), {"m": p}
    )
    about = {"sub-1": seen.Seen(VOXEL_ML)}
    made = {}
    for min_ml in (0.05, 0.01):
        [made[min_ml]] = patients.patients(
            dense,
            "m",
            patients.Priors({}, {}),
            about,
            {"sub-1": 0},
            {},
            cluster_probability=0.5,
            min_cluster_ml=min_ml,
        )
    assert made[0.05]["max_cluster"] == pytest.approx(0.7) and made[0.05]["n_predicted_clusters"] == 1
    assert made[0.05]["largest_predicted_ml"] == pytest.approx(4 * VOXEL_ML)
    assert made[0.01]["max_cluster"] == pytest.approx(0.99) and made[0.01]["predicted_corrected_ml"] is None


def test_prevalences_are_of_the_other_folds(tmp_path: Path) -> None:
    sample = write(tmp_path, patients=8, with_ht=2, folds=2)
    voxels = predicted.read_predicted(sample.parquet)
    found = patients.priors_of(voxels["balanced"], voxels["dense"])
    dense = voxels["dense"]
    other = np.array([dense.fold[k] == 2 for k in dense.owner])
    assert found.true[1] == pytest.approx(dense.y[other].mean())


@given(st.lists(st.booleans(), min_size=2, max_size=12), st.randoms(use_true_random=False))
def test_no_ranking_of_a_balanced_sample_has_a_lower_precision(order: list[bool], random: object) -> None:
    y = np.array([*order, *(not one for one in order)], dtype=int)
    random.shuffle(y)  # type: ignore[attr-defined]
    score = -np.arange(y.size, dtype=float)
    value, precision = auc(y, score), average_precision(y, score)
    assert value is not None and precision is not None
    assert precision >= lowest_precision(value) - 1e-12
