from __future__ import annotations

from pathlib import Path

from reperfuse.cohort import layout
from reperfuse.cohort.derivatives import describe, publish, publishable
from reperfuse.core.files import read_json, write_json, write_text

SESSIONS = {"J0": "01", "J1": "02"}
IMAGES = {
    "prepare": [f"{visit}_{name}" for visit, names in layout.PREPARED.items() for name in names],
    "register": [f"space-J0_{name}" for name in ("adc", "flair", "t1w", "gre", "pwi")],
    "normalise": ["space-MNI_anatomy", "space-MNI_jacobian", "to-MNI_warp", "from-MNI_warp"],
    "lesions": [f"{v}_{name}" for v in ("J0", "J1") for name in ("adc480raw", "adc480", "lesion")],
}


def dataset(tmp_path: Path) -> Path:
    work = tmp_path / "work/sub-1"
    write_text(work / "J0_adc.nii.gz", "image")
    write_json(work / "J0_adc.json", {"Units": "1e-6 mm2/s"})
    write_text(work / "J1_gre.nii.gz", "image")
    write_text(work / "J0_lesion.nii.gz", "mask")
    return tmp_path


def records(root: Path, **facts: dict) -> list[dict]:
    """Records that list what lies in the patient's folder."""
    there = {path.name for path in (root / "work/sub-1").iterdir()}
    return [
        {
            "participant_id": "sub-1",
            "step": step,
            "facts": facts.get(step, {}),
            "files": {f"{name}.nii.gz": 1 for name in names if f"{name}.nii.gz" in there},
        }
        for step, names in IMAGES.items()
    ]


def test_names_follow_bids_with_and_without_sessions() -> None:
    assert layout.published("sub-1", "J1_adc620", SESSIONS) == (
        "sub-1/ses-02/dwi/sub-1_ses-02_label-L_desc-adc620_mask.nii.gz"
    )
    assert layout.published("sub-1", "J0_s0", {}) == "sub-1/dwi/sub-1_desc-preproc_S0map.nii.gz"
    assert layout.published("sub-1", "space-J0_adc", SESSIONS, source="J1_adc") == (
        "sub-1/ses-02/dwi/sub-1_ses-02_space-J0_desc-preproc_ADC.nii.gz"
    )
    assert layout.published("sub-1", "J0_lesion", {}, space="MNI152Lin") == (
        "sub-1/dwi/sub-1_space-MNI152Lin_label-L_desc-lesion_mask.nii.gz"
    )


def test_no_two_images_share_a_published_name() -> None:
    names = [name for names in IMAGES.values() for name in names]
    paths = [path for name in names if (path := layout.published("sub-1", name, SESSIONS))]
    assert len(paths) == len(set(paths))


def test_images_that_records_list_are_published_with_their_sidecars(tmp_path: Path) -> None:
    root = dataset(tmp_path)
    files = publishable(SESSIONS, records(root))
    publish(root, files, ["sub-1"])
    found = sorted(str(p.relative_to(root)) for p in (root / "sub-1").rglob("*") if p.is_file())
    assert found == [
        "sub-1/ses-01/dwi/sub-1_ses-01_desc-preproc_ADC.json",
        "sub-1/ses-01/dwi/sub-1_ses-01_desc-preproc_ADC.nii.gz",
        "sub-1/ses-01/dwi/sub-1_ses-01_label-L_desc-lesion_mask.nii.gz",
        "sub-1/ses-02/anat/sub-1_ses-02_desc-preproc_T2starw.nii.gz",
    ]
    assert (root / found[1]).samefile(root / "work/sub-1/J0_adc.nii.gz"), "stored once"


def test_what_is_gone_is_unpublished_and_what_is_new_replaces_the_old(tmp_path: Path) -> None:
    root = dataset(tmp_path)
    publish(root, publishable(SESSIONS, records(root)), ["sub-1"])
    (root / "work/sub-1/J0_adc.nii.gz").unlink()
    write_text(root / "work/sub-1/J0_lesion.nii.gz", "another mask")
    publish(root, publishable(SESSIONS, records(root)), ["sub-1"])
    dwi = root / "sub-1/ses-01/dwi"
    assert [p.name for p in dwi.iterdir()] == ["sub-1_ses-01_label-L_desc-lesion_mask.nii.gz"]
    assert (dwi / "sub-1_ses-01_label-L_desc-lesion_mask.nii.gz").read_text() == "another mask"


def test_the_description_names_its_source_and_no_path(tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    write_json(
        raw / "dataset_description.json", {"Name": "Trial", "DatasetDOI": "doi:10.1/x", "Authors": ["DOE"]}
    )
    describe(tmp_path / "out", raw, version="0.1.0")
    description = read_json(tmp_path / "out/dataset_description.json")
    assert description["SourceDatasets"] == [{"DOI": "doi:10.1/x"}]
    assert description["DatasetType"] == "derivative"
    assert str(tmp_path) not in (tmp_path / "out/dataset_description.json").read_text()
    assert "not a medical device" in (tmp_path / "out/README").read_text().lower()


def test_an_image_is_published_under_the_visit_and_space_that_it_is_of(tmp_path: Path) -> None:
    root = dataset(tmp_path)
    write_text(root / "work/sub-1/space-J0_gre.nii.gz", "image")
    facts = {
        "register": {"sources": {"space-J0_gre": "J0_gre"}},
        "lesions": {"space": {"J0_lesion": "MNI152Lin"}},
    }
    names = list(publishable(SESSIONS, records(root, **facts)))
    assert "sub-1/ses-01/anat/sub-1_ses-01_space-J0_desc-preproc_T2starw.nii.gz" in names
    assert "sub-1/ses-01/dwi/sub-1_ses-01_space-MNI152Lin_label-L_desc-lesion_mask.nii.gz" in names


def test_pages_of_patients_who_left_are_removed(tmp_path: Path) -> None:
    root = dataset(tmp_path)
    for name in ("report/sub-1.html", "report/sub-2.html", "report/figures/sub-2/a.svg"):
        write_text(root / name, "page")
    publish(root, {}, ["sub-1"])
    assert sorted(p.name for p in (root / "report").iterdir()) == ["figures", "sub-1.html"]
    assert not (root / "report/figures/sub-2").exists()


def test_a_damaged_description_of_the_dataset_is_no_reason_to_stop(tmp_path: Path) -> None:
    for content in (b"{", b"[]", b'{"Name": "\xe9"}'):
        (tmp_path / "dataset_description.json").write_bytes(content)
        describe(tmp_path / "out", tmp_path, version="0.1.0")
        assert read_json(tmp_path / "out/dataset_description.json")["Name"].startswith("Reperfuse")
