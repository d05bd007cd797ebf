from __future__ import annotations

import hashlib
import json
import re

import nibabel as nib
import numpy as np
import pytest

from reperfuse.core.errors import ConfigError
from reperfuse.core.tables import read_table
from reperfuse.phantom.clinical_tables import ITEMS, TABLES
from reperfuse.phantom.dataset import write_cohort
from reperfuse.phantom.patient import SITES
from reperfuse.phantom.scalars import simulate

from .conftest import settings

FACTOR = {"mm2/s": 1e6, "1e-3 mm2/s": 1e3, "1e-6 mm2/s": 1.0}


def load(path):
    image = nib.load(path)
    return np.asanyarray(image.dataobj), image


def digests(root, pattern="*"):
    files = sorted(p for p in root.rglob(pattern) if p.is_file())
    return {str(p.relative_to(root)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


def raw(cohort, name, session, rest):
    return cohort.bids / name / f"ses-{session}" / rest.replace("@", f"{name}_ses-{session}")


def site_of(cohort, name):
    return SITES[int(simulate(6, cohort.config["seed"])["site"][int(name[-4:]) - 1])]


def strays(paths):
    """Return the paths that no rule of the BIDS schema for raw data knows."""
    schema = pytest.importorskip("bidsschematools.schema").load_schema()
    from bidsschematools.rules import regexify_filename_rules

    known = [
        re.compile(rule["regex"] + r"\Z")
        for group in (schema.rules.files.raw, schema.rules.files.common)
        for rule in regexify_filename_rules(group, schema, level=2)
    ]
    return [path for path in paths if not any(pattern.match(path) for pattern in known)]


def test_names_are_valid_bids(cohort):
    listed = [str(p.relative_to(cohort.bids)) for p in cohort.bids.rglob("*") if p.is_file()]
    assert (cohort.bids / ".bidsignore").read_text() == "**/perf/*_dsc.*\n"
    ignored = re.compile(r"derivatives/|\.bidsignore|.*/perf/[^/]*_dsc\.")
    checked = [path for path in listed if not ignored.match(path)]
    assert len(checked) > 100 and strays(checked) == []
    wrong = [
        "sub-0001/ses-01/dwi/sub-0001_ses-01_TRACE.nii.gz",
        "sub-0001/ses-01/perf/sub-0001_ses-01_dsc.nii.gz",
    ]
    assert strays(wrong) == wrong


def test_tables_have_a_row_each_and_items_that_add_up(cohort):
    people = read_table(cohort.bids / "participants.tsv")
    assert [row["participant_id"] for row in people] == cohort.names
    for name in TABLES:
        rows = read_table(cohort.bids / "phenotype" / f"{name}.tsv")
        described = json.loads((cohort.bids / "phenotype" / f"{name}.json").read_text())
        assert [row["participant_id"] for row in rows] == cohort.names
        assert set(rows[0]) - {"participant_id"} <= set(described)
    for row in read_table(cohort.bids / "phenotype" / "nihss.tsv"):
        assert sum(int(row[f"nihss_{item[0]}"]) for item in ITEMS) == int(row["nihss"])


def test_adc_is_in_each_sites_unit_and_consistent_with_the_series(cohort):
    seen = set()
    for name in cohort.names:
        site = site_of(cohort, name)
        adc, _ = load(raw(cohort, name, "01", "dwi/@_ADC.nii.gz"))
        series, _ = load(raw(cohort, name, "01", "dwi/@_dwi.nii.gz"))
        brain, _ = load(cohort.truth / name / "J0_brain.nii.gz")
        sidecar = json.loads(raw(cohort, name, "01", "dwi/@_ADC.json").read_text())
        assert sidecar.get("Units") == (site.adc_unit if site.declares_unit else None)
        standard = adc.astype(float) * FACTOR[site.adc_unit]
        assert 700 < np.median(standard[brain > 0]) < 1000
        with np.errstate(divide="ignore", invalid="ignore"):
            again = -np.log(series[..., 1:] / series[..., :1]).mean(axis=-1) * 1e3
        inside = (brain > 0) & (series > 20).all(axis=-1)
        assert np.abs(standard - again)[inside].max() < 1.0
        if not site.zero_air:
            assert standard.min() < -100
        seen.add(site.adc_unit)
    assert len(seen) > 1


def test_lesions_have_the_planted_volume_side_and_adc(cohort):
    table = simulate(6, cohort.config["seed"])
    for i, name in enumerate(cohort.names):
        for visit, key in (("J0", "log_v0"), ("J1", "log_v1")):
            if not (cohort.truth / name / f"{visit}_lesion.nii.gz").exists():
                continue
            lesion, image = load(cohort.truth / name / f"{visit}_lesion.nii.gz")
            adc, _ = load(cohort.truth / name / f"{visit}_adc.nii.gz")
            voxel = abs(np.linalg.det(image.affine[:3, :3])) / 1000
            assert lesion.sum() * voxel == pytest.approx(max(np.exp(table[key][i]), voxel), abs=voxel)
            assert adc[lesion > 0].min() >= 295 and adc[lesion > 0].max() <= 620
            if visit == "J0":
                where = nib.affines.apply_affine(image.affine, np.argwhere(lesion))
                assert np.sign(where[:, 0].mean()) == -table["side"][i]


def test_j1_is_displaced_by_the_transform_in_the_truth(cohort):
    name = cohort.names[0]
    poses = {
        k: np.array(v) for k, v in json.loads((cohort.truth / name / "transforms.json").read_text()).items()
    }
    first, image = load(cohort.truth / name / "J0_brain.nii.gz")
    second, _ = load(cohort.truth / name / "J1_brain.nii.gz")
    pose = poses["J1_dwi"]
    np.testing.assert_allclose(pose[:3, :3] @ pose[:3, :3].T, np.eye(3), atol=1e-12)
    assert np.linalg.norm(pose[:3, 3]) > 1 and np.linalg.det(pose[:3, :3]) == pytest.approx(1)
    points = nib.affines.apply_affine(pose, nib.affines.apply_affine(image.affine, np.argwhere(first)))
    index = np.rint(nib.affines.apply_affine(np.linalg.inv(image.affine), points)).astype(int)
    inside = ((index >= 0) & (index < second.shape)).all(axis=1)
    moved = second[tuple(index[inside].T)].mean()
    assert moved > 0.95 and moved > second[first > 0].mean()


def test_haemorrhage_is_dark_inside_the_infarct_and_in_the_given_mask(cohort):
    n_positive = 0
    for row in read_table(cohort.bids / "phenotype" / "transformation.tsv"):
        name = row["participant_id"]
        given = cohort.bids / "derivatives" / "manual" / name / "ses-02" / "anat"
        given = given / f"{name}_ses-02_label-HT_desc-manual_mask.nii.gz"
        if row["ht"] == "":
            assert not given.exists()
            continue
        mask, _ = load(given)
        lesion, _ = load(cohort.truth / name / "J1_lesion_gre.nii.gz")
        gre, _ = load(raw(cohort, name, "02", "anat/@_T2starw.nii.gz"))
        assert bool(mask.any()) == (row["ht"] == "1") and not (mask > lesion).any()
        assert (row["ecass"] == "none") == (row["ht"] == "0")
        if mask.any():
            n_positive += 1
            assert gre[mask > 0].mean() < 0.5 * gre[(lesion > 0) & (mask == 0)].mean()
    assert n_positive > 0


def test_a_patients_bytes_do_not_depend_on_the_cohort(cohort, tmp_path):
    config = {**cohort.config, "n": 1}
    write_cohort(tmp_path / "bids", tmp_path / "truth", **config)
    name = cohort.names[0]
    assert digests(tmp_path / "bids" / name) == digests(cohort.bids / name)
    assert digests(tmp_path / "truth" / name) == digests(cohort.truth / name)
    assert (tmp_path / "bids" / "phenotype" / "mrs.tsv").read_text().splitlines() == (
        cohort.bids / "phenotype" / "mrs.tsv"
    ).read_text().splitlines()[:2]


def test_twins_and_duplicates(cohort, tmp_path):
    small = {**cohort.config, "n": 2, "duplicates": 1, "manual_lesion_rate": 1.0}
    names = write_cohort(tmp_path / "bids", tmp_path / "truth", **{**small, "twin": "labels"})
    assert names == ["sub-0001", "sub-0002", "sub-9001"]
    own = digests(tmp_path / "bids" / "sub-0001" / "ses-01", "*.nii.gz")
    again = digests(tmp_path / "bids" / "sub-9001" / "ses-01", "*.nii.gz")
    assert own == {path.replace("sub-9001", "sub-0001"): digest for path, digest in again.items()}
    assert own == digests(cohort.bids / "sub-0001" / "ses-01", "*.nii.gz")
    manual = (
        tmp_path
        / "bids/derivatives/manual/sub-0001/ses-01/dwi/sub-0001_ses-01_label-L_desc-manual_mask.nii.gz"
    )
    np.testing.assert_array_equal(load(manual)[0], load(tmp_path / "truth/sub-0001/J0_lesion.nii.gz")[0])
    write_cohort(tmp_path / "noise", tmp_path / "other", **{**cohort.config, "n": 1, "twin": "noise"})
    adc, _ = load(tmp_path / "noise/sub-0001/ses-01/dwi/sub-0001_ses-01_ADC.nii.gz")
    lesion, _ = load(tmp_path / "other/sub-0001/J0_lesion.nii.gz")
    outside = adc[lesion == 0]
    assert abs(adc[lesion > 0].mean() - outside.mean()) < 6 * outside.std() / np.sqrt(lesion.sum())


def test_labels_twin_is_independent_of_the_images():
    own, other = simulate(4000, 1), simulate(4000, 1, purpose="permuted labels")
    assert abs(np.corrcoef(own["log_v1"], other["mrs"])[0, 1]) < 0.05
    assert np.corrcoef(own["log_v1"], own["mrs"])[0, 1] > 0.4


def test_missing_images_are_not_written(tmp_path):
    rates = {"pwi": 1.0, "flair": 1.0, "t1w": 0.0, "adc": 1.0, "trace": 0.0, "gre": 0.0}
    config = settings(n=1, mcar=rates, left_before_j1=1.0)
    write_cohort(tmp_path / "bids", tmp_path / "truth", **config)
    images = sorted(p.name for p in (tmp_path / "bids").rglob("sub-*/**/*.nii.gz"))
    assert images == ["sub-0001_ses-01_T1w.nii.gz", "sub-0001_ses-01_trace.nii.gz"]
    (visit,) = read_table(tmp_path / "bids" / "sub-0001" / "sub-0001_sessions.tsv")
    assert visit["session_id"] == "ses-01" and visit["acq_time"].startswith("1900-01-01T")
    (row,) = read_table(tmp_path / "bids" / "phenotype" / "nihss.tsv")
    assert row["nihss_24h"] == "" and row["nihss"] != ""


@pytest.mark.parametrize("change", [{"n": 0}, {"twin": "both"}, {"duplicates": 3}])
def test_arguments_out_of_range_are_refused(tmp_path, change):
    with pytest.raises(ConfigError):
        write_cohort(tmp_path / "bids", tmp_path / "truth", **settings(**{"n": 1, **change}))


def test_truth_may_not_lie_in_the_dataset(tmp_path):
    with pytest.raises(ConfigError, match="inside"):
        write_cohort(tmp_path, tmp_path / "derivatives" / "truth", **settings(n=1))
