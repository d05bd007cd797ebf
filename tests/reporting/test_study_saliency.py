"""The part of a study's page that shows what a network looked at."""

from __future__ import annotations

import io
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from reperfuse.core.tables import read_table, write_table
from reperfuse.imaging.volume import Volume, write_volume
from reperfuse.reporting.figures import signed_pictures
from reperfuse.reporting.study_page import study_page
from reperfuse.reporting.study_saliency import read_mapped, saliency_table
from reperfuse.reporting.study_view import StudyView, read_view

AFFINE = np.diag([4.0, 4.0, 8.0, 1.0])
STAMP = "NOT MedicalNet: random weights, seed 1"
ROW = {
    "participant_id": "sub-01",
    "session_id": "ses-02",
    "visit": "J1",
    "configuration": "J1_mri+clinical",
    "y_true": 1,
    "y_score": 0.912,
    "correct": True,
    "stability": 0.437,
    "share_in_lesion": 0.21,
    "lesion_share": 0.05,
    "share_outside_brain": None,
    "file": "sub-01_ses-02_desc-saliency_map.nii.gz",
}


def images() -> dict[str, Volume]:
    brain = np.zeros((40, 44, 12), np.float32)
    brain[6:34, 6:38, 2:10] = 1
    lesion = np.zeros_like(brain)
    lesion[10:16, 12:20, 4:7] = 1
    field = np.zeros_like(brain)
    field[20:] = 1.0
    field[:20] = -0.5
    data = {"adc": 800 * brain, "brain": brain, "lesion": lesion, "map": field}
    return {name: Volume(one, AFFINE) for name, one in data.items()}


def test_colours_follow_the_sign_and_the_strength() -> None:
    drawn = signed_pictures("case", images())
    assert drawn is not None and drawn.limit == pytest.approx(1.0)
    assert drawn.plain.size == drawn.covered.size and dict(drawn.covered.layers)["lesion"].startswith("M")
    picture = np.asarray(Image.open(io.BytesIO(drawn.covered.content)).convert("RGB")).astype(int)
    red, blue = picture[..., 0], picture[..., 2]
    # The patient's right, where the field is positive, is on the left of every slice.
    width = drawn.plain.size[0] // 3
    left, right = (
        (slice(None), slice(width // 6, width // 3)),
        (slice(None), slice(2 * width // 3, 5 * width // 6)),
    )
    assert red[left].mean() > blue[left].mean() + 100
    assert blue[right].mean() > red[right].mean() + 30, "half the size has the weaker colour"
    missing = {name: one for name, one in images().items() if name != "map"}
    assert signed_pictures("case", missing) is None
    other = {**images(), "map": Volume(np.zeros((3, 3, 3), np.float32), AFFINE)}
    assert signed_pictures("case", other) is None


def test_a_field_of_nothing_leaves_the_anatomy() -> None:
    still = {**images(), "map": Volume(np.zeros((40, 44, 12), np.float32), AFFINE)}
    drawn = signed_pictures("case", still)
    assert drawn is not None and drawn.limit == 0
    grey = np.asarray(Image.open(io.BytesIO(drawn.covered.content)).convert("RGB")).astype(int)
    assert np.abs(grey[..., 0] - grey[..., 2]).max() < 24, "but for what compression adds, grey"


@pytest.fixture
def results(tmp_path: Path) -> Path:
    folder = tmp_path / "outcome"
    write_table(folder / "saliency.tsv", [ROW], list(ROW))
    for name, volume in images().items():
        place = (
            folder / "saliency" / ROW["file"] if name == "map" else tmp_path / f"work/sub-01/J1_{name}.nii.gz"
        )
        write_volume(place, volume)
    (folder / "saliency/old_map.webp").write_bytes(b"old")
    return tmp_path


def test_the_page_shows_each_case_with_its_stamp(results: Path) -> None:
    view = read_view(results / "outcome")
    view = StudyView(summary={"stamps": [STAMP]}, saliency=view.saliency)
    mapped = read_mapped(view, results / "outcome/saliency", sorted((results / "work").rglob("*.nii.gz")))
    assert mapped.keys() == {ROW["file"]} and mapped[ROW["file"]].keys() == {"map", "adc", "brain", "lesion"}
    written = study_page(view, results / "report/outcome.html", study="outcome", home="", mapped=mapped)
    html = written[-1].read_text()
    part = html[html.index('<section id="saliency">') :]
    part = part[: part.index("</section>")]
    assert "What the network looked at" in part and STAMP in part
    links = re.findall(r'src="([^"]+\.webp)"', part)
    assert len(links) == 2
    for link in links:
        assert (results / "report" / link).resolve().is_file() and not link.startswith("/")
    assert not (results / "outcome/saliency/old_map.webp").exists()
    assert 'href="sub-01.html"' in part and "predicted 0.91: right" in part and "folds 0.44" in part


def test_the_table_says_what_was_measured_and_what_was_not(results: Path) -> None:
    (row,) = read_table(results / "outcome/saliency.tsv")
    table = saliency_table(StudyView(saliency=[row]))
    assert [one.text for one in table.rows[0]][:7] == [
        "sub-01",
        "J1",
        "yes",
        "0.91",
        "right",
        "0.44",
        "0.210",
    ]
    assert len(table.rows[0]) == len(table.columns)


def test_a_study_without_maps_says_so(tmp_path: Path) -> None:
    page = study_page(StudyView(), tmp_path / "report/outcome.html", study="outcome", home="")[-1]
    assert "No map of what a network looked at was made." in page.read_text()
