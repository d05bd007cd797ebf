from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from page_samples import AFFINE, fault, images, patient, records

from reperfuse.imaging.volume import Volume
from reperfuse.reporting.pages import RESEARCH_USE
from reperfuse.reporting.patient import PatientView, patient_page, state_of


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return patient_page(patient(), tmp_path_factory.mktemp("report"))


def test_it_writes_the_page_and_small_figures(written: list[Path]) -> None:
    page = written[-1]
    assert page.name == "sub-01.html"
    figures = {path.name for path in written[:-1]}
    assert {"J0_adc.webp", "J0_trace.webp", "J1_adc.webp", "J0_overview.webp", "adc_histogram.svg"} <= figures
    assert all(path.parent == page.parent / "figures" / "sub-01" for path in written[:-1])
    assert len(written) == len(set(written))
    assert all(path.stat().st_size <= 150_000 for path in written[:-1])
    assert sum(path.stat().st_size for path in written) <= 1_500_000


def test_links_are_relative_and_resolve(written: list[Path], broken_links, parse) -> None:
    assert broken_links(written[-1]) == ["index.html"]
    assert not any("http" in link for link in parse(written[-1]).links)


def test_it_is_accessible(written: list[Path], parse) -> None:
    found = parse(written[-1])
    assert found.without_alt == []
    assert len(found.ids) == len(set(found.ids))
    assert "script" not in found.tags


def test_research_use_stands_at_both_ends(written: list[Path], parse) -> None:
    text = parse(written[-1]).text
    assert text.count(RESEARCH_USE) == 2
    assert text.index(RESEARCH_USE) < text.index("sub-01", text.index("Reperfuse", 40))


@pytest.mark.parametrize(
    "expected",
    [
        "the file is empty (0 bytes)",
        "datalad get sub-01/anat/sub-01_T1w.nii.gz",
        "0.4 % of the voxels inside the head were negative",
        "fusion",
        "left out: mRS is missing",
        "55 ms",
        "multiplied by 1000",
        "only one unit fits",
        "21.50",
        "4.56",
        "agreement, not accuracy",
        "MCA",
        "12.34",
        "J0_gre → J0_s0",
        "1.210",
        "0.970",
        "given (derivatives/manual)",
        "reperfuse 0.1.0",
        "50 mm",
        "10⁻⁶ mm²/s",
    ],
)
def test_it_says_what_the_records_say(written: list[Path], parse, expected: str) -> None:
    assert expected in parse(written[-1]).text


def test_verdicts_follow_acceptance_and_faults(written: list[Path]) -> None:
    section = (
        written[-1].read_text(encoding="utf-8").split('<section id="registration">')[1].split("</tbody>")[0]
    )
    rows = section.split("<tr>")[2:]
    verdicts = [next(word for word in ("pass", "warn", "fail") if f'badge {word}"' in row) for row in rows]
    assert verdicts == ["pass", "warn", "fail"]


def test_the_same_view_gives_the_same_bytes(written: list[Path], tmp_path: Path) -> None:
    again = patient_page(patient(), tmp_path)
    assert [path.name for path in again] == [path.name for path in written]
    assert all(one.read_bytes() == two.read_bytes() for one, two in zip(written, again, strict=True))


def test_no_date_and_no_place_is_told(written: list[Path]) -> None:
    for path in written:
        if path.suffix in (".html", ".svg"):
            text = path.read_text(encoding="utf-8")
            assert str(path.parent) not in text
            assert "<dc:date>" not in text
            assert "/tmp" not in text


def test_content_is_inert(tmp_path: Path, parse) -> None:
    evil = "<script>alert(1)</script>"
    noted = records()
    noted["prepare"]["faults"].append(fault("E100", f"{evil}.nii.gz", why=evil))
    noted["prepare"]["facts"]["J0"]["acquisition"]["Manufacturer"] = evil
    noted["register"]["facts"]["pairs"][0]["start"] = evil
    view = replace(patient(), clinical={evil: evil}, images={}, records=noted, eligibility={evil: evil})
    page = patient_page(view, tmp_path)[-1]
    found = parse(page)
    assert "script" not in found.tags
    assert found.text.count(evil) >= 7


@pytest.mark.parametrize("name", ["../sub-01", "sub-01/x", "sub-<b>", ""])
def test_a_name_that_cannot_be_a_file_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match="letters and digits"):
        patient_page(PatientView(name, {}), tmp_path)


def test_nothing_at_all_still_gives_a_page(tmp_path: Path, parse) -> None:
    files = patient_page(PatientView("sub-02", {}), tmp_path)
    assert [path.name for path in files] == ["sub-02.html"]
    text = parse(files[0]).text
    assert "No step has been run" in text
    assert "J0 ADC" in text


@pytest.mark.parametrize("name", sorted(images()))
def test_any_image_may_be_missing(tmp_path: Path, broken_links, name: str) -> None:
    kept = {key: value for key, value in images().items() if key.startswith(("J0", "space"))}
    kept[name] = None
    page = patient_page(replace(patient(), images=kept), tmp_path)[-1]
    assert broken_links(page) == ["index.html"]


def test_one_visit_shows_one(tmp_path: Path, parse) -> None:
    view = replace(patient(), images=images(("J0",)))
    names = {path.name for path in patient_page(view, tmp_path)}
    assert "J0_adc.webp" in names
    assert not any(name.startswith("J1") for name in names)


@pytest.mark.parametrize("value", [0.0, np.nan])
def test_an_empty_map_is_drawn(tmp_path: Path, value: float) -> None:
    flat = Volume(np.full((12, 12, 3), value, np.float32), AFFINE)
    nothing = flat.like(np.zeros((12, 12, 3), bool))
    view = replace(
        patient(), images={"J0_adc": flat, "J0_brain": nothing, "J0_trace": flat, "J0_adc620": nothing}
    )
    assert any(path.name == "J0_adc.webp" for path in patient_page(view, tmp_path))


def test_a_code_of_another_version_is_still_shown(tmp_path: Path, parse) -> None:
    view = PatientView("sub-03", {"prepare": {"state": "failed", "faults": [fault("E999", "a.nii.gz", n=5)]}})
    assert "E999 a.nii.gz: n 5" in parse(patient_page(view, tmp_path)[-1]).text


def test_the_worst_step_counts() -> None:
    assert state_of(records()) == "failed"
    assert state_of({"a": {"state": "ok"}, "b": {"state": "warned"}}) == "warned"
    assert state_of({}) == "none"


def test_a_real_map_stays_within_the_budget(tmp_path: Path, real_data: Path) -> None:
    folder, name = real_data / "acute-dwi", "sub-isles0009"
    mask = f"derivatives/manual/{name}/dwi/{name}_label-L_desc-manual_mask.nii.gz"
    paths = {
        "adc": f"{name}/dwi/{name}_ADC.nii.gz",
        "trace": f"{name}/dwi/{name}_trace.nii.gz",
        "lesion": mask,
    }
    found = {}
    for kind, path in paths.items():
        if not (folder / path).is_file():
            pytest.skip(f"no {path} in {folder}")
        image = nib.load(folder / path)
        scale = 1000.0 if kind == "adc" else 1.0
        found[f"J0_{kind}"] = Volume(np.asarray(image.dataobj, np.float32) * scale, image.affine)
    adc = found["J0_adc"]
    found["J0_brain"] = adc.like(found["J0_trace"].data > 60)
    found["J0_adc620"] = adc.like((adc.data < 620) & found["J0_brain"].data)
    found["J0_adc480"] = adc.like((adc.data < 480) & found["J0_brain"].data)
    view = PatientView(name, {"lesions": {"state": "ok", "facts": {"lesion": {"J0": "given"}}}}, found)
    files = patient_page(view, tmp_path)
    assert all(path.stat().st_size <= 150_000 for path in files[:-1])
    assert sum(path.stat().st_size for path in files) <= 1_500_000
    assert 'class="lesion" d="M' in files[-1].read_text(encoding="utf-8")
