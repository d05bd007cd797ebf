"""An arterial input function as a mask or as a curve."""

from __future__ import annotations

from pathlib import Path

import pytest

from reperfuse.cohort.index import scan
from reperfuse.cohort.names import parse
from reperfuse.core.settings import fill, load_schema

SCHEMAS = Path(__file__).resolve().parents[2] / "workflow/schemas"
IMAGES = fill({}, load_schema(SCHEMAS, "images"))
PATTERNS = {role: found for role, found in IMAGES.items() if role != "select"}
PLACE = "derivatives/manual/sub-1/ses-01/perf/sub-1_ses-01_"


def roles(bids: Path, *files: str) -> dict[str, list[str]]:
    for file in files:
        (bids / file).parent.mkdir(parents=True, exist_ok=True)
        (bids / file).write_text("time_s\taif\n")
    index = scan(bids, images=PATTERNS, select={}, sessions={"J0": "01", "J1": "02"})
    assert index.faults == []
    return index.participants["sub-1"]["J0"]


def test_a_curve_plays_the_role_and_comes_before_a_mask(tmp_path: Path) -> None:
    assert roles(tmp_path, f"{PLACE}label-AIF_mask.nii.gz")["aif"] == [f"{PLACE}label-AIF_mask.nii.gz"]
    found = roles(tmp_path, f"{PLACE}aif.tsv", f"{PLACE}aif.json")
    assert found == {"aif": [f"{PLACE}aif.tsv", f"{PLACE}aif.json"]}


@pytest.mark.parametrize(
    "name", ["sub-1_ses-01_events.tsv", "participants.tsv", "sub-1_ses-01_aif.csv", "aif.tsv"]
)
def test_no_other_table_is_taken_for_an_image(name: str) -> None:
    assert parse(f"sub-1/ses-01/perf/{name}") is None


def test_masks_of_haemorrhage_are_those_of_the_follow_up_label(tmp_path: Path) -> None:
    place = "derivatives/manual/sub-1/ses-02/anat/sub-1_ses-02_"
    roles(tmp_path, f"{PLACE}aif.tsv", f"{place}label-HT_desc-manual_mask.nii.gz")
    index = scan(tmp_path, images=PATTERNS, select={}, sessions={"J0": "01", "J1": "02"})
    assert index.participants["sub-1"]["J1"] == {"ht": [f"{place}label-HT_desc-manual_mask.nii.gz"]}
