from __future__ import annotations

import gzip
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from reperfuse.cohort.index import Index, find_sessions, scan, stamped
from reperfuse.cohort.twins import twins
from reperfuse.core.provenance import Stamps
from reperfuse.core.settings import fill, load_schema

SCHEMAS = Path(__file__).parents[2] / "workflow/schemas"
IMAGES = fill({}, load_schema(SCHEMAS, "images"))

Tree = Callable[..., Path]


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    """Make a dataset from relative paths; content defaults to something that differs per path."""

    def make(*paths: str, **content: bytes) -> Path:
        for path in paths:
            file = tmp_path / "bids" / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content.get("content", gzip.compress(path.encode(), mtime=0)))
        return tmp_path / "bids"

    return make


def index_of(root: Path, **kwargs: Any) -> Index:
    arguments = {
        "images": {role: patterns for role, patterns in IMAGES.items() if role != "select"},
        "select": {},
        "sessions": dict(zip(("J0", "J1"), find_sessions(root), strict=False)),
        **kwargs,
    }
    return scan(root, **arguments)


def codes(index: Index) -> list[tuple[str, str]]:
    return [(fault.code, fault.participant_id) for fault in index.faults]


def test_sessions_are_found_and_become_visits(tree: Tree) -> None:
    root = tree("sub-1/ses-01/dwi/sub-1_ses-01_ADC.nii.gz", "sub-1/ses-02/dwi/sub-1_ses-02_ADC.nii.gz")
    assert find_sessions(root) == ["01", "02"]
    found = index_of(root).participants["sub-1"]
    assert {visit: sorted(roles) for visit, roles in found.items()} == {"J0": ["adc"], "J1": ["adc"]}


def test_a_dataset_without_sessions_has_j0_only(tree: Tree) -> None:
    index = index_of(tree("sub-2/dwi/sub-2_ADC.nii.gz", "sub-2/anat/sub-2_FLAIR.nii.gz"))
    assert sorted(index.participants["sub-2"]["J0"]) == ["adc", "flair"]


def test_the_older_names_of_adc_and_trace_are_known_and_the_series_is_not_mistaken(tree: Tree) -> None:
    index = index_of(tree("sub-2/dwi/sub-2_rec-ADC_dwi.nii.gz", "sub-2/dwi/sub-2_rec-TRACE_dwi.nii.gz"))
    roles = index.participants["sub-2"]["J0"]
    assert {role: files[0].split("/")[-1] for role, files in roles.items()} == {
        "adc": "sub-2_rec-ADC_dwi.nii.gz",
        "trace": "sub-2_rec-TRACE_dwi.nii.gz",
    }


def test_metadata_is_inherited_root_first(tree: Tree) -> None:
    root = tree(
        "dwi.json",
        "acq-other_dwi.json",
        "sub-1/sub-1_dwi.json",
        "sub-1/dwi/sub-1_dwi.bval",
        "sub-1/dwi/sub-1_dwi.nii.gz",
        "sub-1/dwi/sub-1_ADC.json",
    )
    assert index_of(root).participants["sub-1"]["J0"]["dwi"] == [
        "sub-1/dwi/sub-1_dwi.nii.gz",
        "dwi.json",
        "sub-1/sub-1_dwi.json",
        "sub-1/dwi/sub-1_dwi.bval",
    ]


def test_masks_are_found_among_derivatives_and_a_readers_comes_first(tree: Tree) -> None:
    root = tree(
        "sub-1/dwi/sub-1_ADC.nii.gz",
        "derivatives/tool/sub-1/dwi/sub-1_label-L_desc-tool_mask.nii.gz",
        "derivatives/manual/sub-1/dwi/sub-1_label-L_desc-reader_mask.nii.gz",
    )
    lesion = index_of(root).participants["sub-1"]["J0"]["lesion"]
    assert lesion == ["derivatives/manual/sub-1/dwi/sub-1_label-L_desc-reader_mask.nii.gz"]


def test_the_workflows_own_results_are_no_input(tree: Tree) -> None:
    mask = "sub-1/dwi/sub-1_label-L_desc-adc620_mask.nii.gz"
    root = tree("sub-1/dwi/sub-1_ADC.nii.gz", f"derivatives/mine/{mask}", f"derivatives/older/{mask}")
    description = root / "derivatives/older/dataset_description.json"
    description.write_text('{"GeneratedBy": [{"Name": "reperfuse"}]}')
    assert "lesion" not in index_of(root, skip=[root / "derivatives/mine"]).participants["sub-1"]["J0"]


@pytest.mark.parametrize(
    "paths",
    [
        ("sub-1/dwi/sub-1_run-1_ADC.nii.gz", "sub-1/dwi/sub-1_run-2_ADC.nii.gz"),
        ("sub-1/dwi/sub-1_ADC.nii", "sub-1/dwi/sub-1_ADC.nii.gz"),
    ],
)
def test_two_files_for_one_role_are_an_error_that_names_both(tree: Tree, paths: tuple[str, str]) -> None:
    index = index_of(tree(*paths, "sub-1/anat/sub-1_FLAIR.nii.gz"))
    assert codes(index) == [("E123", "sub-1")]
    assert all(path in index.faults[0].sentence for path in paths)
    assert list(index.participants["sub-1"]["J0"]) == ["flair"], "the other images stay"


def test_a_choice_among_runs_settles_it(tree: Tree) -> None:
    root = tree("sub-1/dwi/sub-1_run-1_ADC.nii.gz", "sub-1/dwi/sub-1_run-2_ADC.nii.gz")
    found = index_of(root, select={"run": "last"})
    assert found.participants["sub-1"]["J0"]["adc"] == ["sub-1/dwi/sub-1_run-2_ADC.nii.gz"]
    assert found.faults == []


def test_content_that_was_not_fetched_is_named(tree: Tree) -> None:
    root = tree("sub-1/dwi/sub-1_ADC.nii.gz", content=b"")
    tree("sub-2/dwi/sub-2_ADC.nii.gz", content=b"/annex/objects/SHA256E-s9--ab.nii.gz\n")
    tree("sub-3/dwi/sub-3_ADC.nii.gz", content=b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n")
    link = root / "sub-4/dwi/sub-4_ADC.nii.gz"
    link.parent.mkdir(parents=True)
    link.symlink_to("../../.git/annex/objects/x/SHA256E-s9--ab.nii.gz")
    index = index_of(root)
    assert codes(index) == [("E101", "sub-1"), ("E102", "sub-2"), ("E102", "sub-3"), ("E102", "sub-4")]
    assert not any(index.participants.values())
    assert "datalad get sub-4/dwi/sub-4_ADC.nii.gz" in index.faults[3].sentence
    assert ".git/annex/objects/x/SHA256E-s9--ab.nii.gz" in index.faults[3].sentence


@pytest.mark.parametrize("name", ["sub-a b", "sub-$(touch x)", "sub-x\n", "sub-..", "sub-é"])
def test_names_that_a_shell_or_a_path_could_take_amiss_are_refused(tree: Tree, name: str) -> None:
    index = index_of(tree(f"{name}/dwi/{name}_ADC.nii.gz", "sub-1/dwi/sub-1_ADC.nii.gz"))
    assert [fault.code for fault in index.faults] == ["E190"]
    assert list(index.participants) == ["sub-1"]
    assert "\n" not in index.faults[0].sentence


def test_names_that_differ_in_case_only_are_named(tree: Tree) -> None:
    root = tree("sub-1/dwi/sub-1_ADC.nii.gz", "sub-1/dwi/sub-1_adc.nii.gz")
    if len(os.listdir(root / "sub-1/dwi")) < 2:
        pytest.skip("this file system does not tell upper from lower case")
    assert codes(index_of(root)) == [("E211", "sub-1")]


def test_a_file_of_somebody_else_in_the_folder_is_not_taken(tree: Tree) -> None:
    index = index_of(tree("sub-1/dwi/sub-2_ADC.nii.gz"))
    assert codes(index) == [("E128", "sub-1")]


def test_the_same_image_under_two_names_is_found(tree: Tree, tmp_path: Path) -> None:
    root = tree("sub-1/dwi/sub-1_ADC.nii.gz", "sub-7/dwi/sub-7_ADC.nii.gz", content=b"\x1f\x8bsame" * 200)
    tree("sub-07/dwi/sub-07_ADC.nii.gz")
    participants = stamped(index_of(root), Stamps(root, tmp_path / "stamps.json"))
    faults = twins(participants, {})
    assert {(fault.code, fault.participant_id) for fault in faults} == {("E124", "sub-7")}
    assert "sub-1/dwi/sub-1_ADC.nii.gz" in faults[0].sentence


def test_identifiers_that_differ_in_zeros_only_are_told(tree: Tree, tmp_path: Path) -> None:
    root = tree("sub-7/dwi/sub-7_ADC.nii.gz", "sub-07/dwi/sub-07_ADC.nii.gz")
    faults = twins(stamped(index_of(root), Stamps(root, tmp_path / "stamps.json")), {})
    assert [(fault.code, fault.participant_id) for fault in faults] == [("W125", "sub-7")]


def test_a_file_that_may_not_be_read_is_named(tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tree("sub-1/dwi/sub-1_ADC.nii.gz", content=b"\x1f\x8b" * 2000)
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    assert codes(index_of(root)) == [("E212", "sub-1")]


def test_links_that_lead_to_themselves_are_named(tree: Tree) -> None:
    root = tree("sub-1/ses-01/dwi/sub-1_ses-01_trace.nii.gz")
    image = root / "sub-1/ses-01/dwi/sub-1_ses-01_ADC.nii.gz"
    image.symlink_to(image.name)
    for folder in ("sub-2", "sub-1/ses-02", "derivatives/manual"):
        (root / folder).parent.mkdir(exist_ok=True)
        (root / folder).symlink_to(Path(folder).name)
    assert find_sessions(root) == ["01"]
    index = index_of(root, sessions={"J0": "01"})
    assert codes(index) == [("E212", "sub-1")] and "symbolic links" in index.faults[0].reason
    assert list(index.participants) == ["sub-1"] and list(index.participants["sub-1"]["J0"]) == ["trace"]


def test_a_folder_that_may_not_be_entered_takes_out_its_patient_only(
    tree: Tree, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tree("sub-1/ses-01/dwi/sub-1_ses-01_ADC.nii.gz", "sub-2/ses-01/dwi/sub-2_ses-01_ADC.nii.gz")
    scandir = os.scandir

    def closed(path: str | Path) -> Any:
        if Path(path) in (root / "sub-1", root / "sub-1/ses-01"):
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(os, "scandir", closed)
    assert find_sessions(root) == ["01"]
    index = index_of(root, sessions={"J0": "01"})
    assert codes(index) == [("E212", "sub-1")] and index.faults[0].path == "sub-1"
    assert "adc" in index.participants["sub-2"]["J0"]


def test_a_link_does_not_tell_where_this_machine_keeps_things(tree: Tree) -> None:
    root = tree("sub-1/dwi/sub-1_trace.nii.gz")
    (root / "sub-1/dwi/sub-1_ADC.nii.gz").symlink_to("/home/someone/store/SHA256E-s9--ab.nii.gz")
    sentence = index_of(root).faults[0].sentence
    assert "SHA256E-s9--ab.nii.gz" in sentence and "someone" not in sentence


def test_spaces_and_accents_above_the_dataset_do_not_matter(tmp_path: Path) -> None:
    root = tmp_path / "données de l'étude 1"
    file = root / "sub-1/dwi/sub-1_ADC.nii.gz"
    file.parent.mkdir(parents=True)
    file.write_bytes(b"x")
    assert index_of(root).participants["sub-1"]["J0"]["adc"] == ["sub-1/dwi/sub-1_ADC.nii.gz"]


def test_the_real_tree_without_content(real_data: Path, tmp_path: Path) -> None:
    import tarfile

    with tarfile.open(real_data / "ds004889-tree.tar.xz") as archive:
        archive.extractall(tmp_path, filter="tar")
    index = index_of(tmp_path / "ds004889")
    assert len(index.folders) == 1715
    assert not any(index.participants.values())
    assert {fault.code for fault in index.faults} == {"E102"}
    assert len({fault.participant_id for fault in index.faults}) == 1715
