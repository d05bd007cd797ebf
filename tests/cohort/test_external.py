from __future__ import annotations

import gzip
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from reperfuse.cohort.external import as_inside, as_outside
from reperfuse.cohort.survey import read_survey, survey
from reperfuse.cohort.twins import contents, twins
from reperfuse.core.errors import ConfigError
from reperfuse.core.files import read_json
from reperfuse.core.settings import resolve
from reperfuse.studies.requirements import requirements

SCHEMAS = Path(__file__).parents[2] / "workflow/schemas"
Add = Callable[..., None]


@pytest.fixture
def add(tmp_path: Path) -> Add:
    """Write images of a patient into one of the datasets below the test's folder."""

    def write(dataset: str, participant_id: str, *suffixes: str, session: str = "") -> None:
        for suffix in suffixes:
            parts = "_".join(part for part in (participant_id, session, suffix) if part)
            path = tmp_path / dataset / participant_id / session / f"dwi/{parts}.nii.gz"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(gzip.compress(f"{dataset}/{path.name}".encode(), mtime=0))

    return write


def paths(tmp_path: Path, external: dict[str, Any], **sections: Any) -> dict[str, str]:
    places = {"bids_dir": str(tmp_path / "bids"), "output_dir": str(tmp_path / "out")}
    cohorts = {name: {"bids_dir": str(tmp_path / name), **own} for name, own in external.items()}
    config = resolve({**places, **sections, "external_cohorts": cohorts}, SCHEMAS)
    return read_survey(survey(config, requirements(config["studies"]))).manifests


def surveyed(tmp_path: Path, *names: str, **sections: Any) -> dict[str, dict[str, Any]]:
    """Return the manifests of the main cohort, under the empty name, and of external ones."""
    found = paths(tmp_path, {name: {} for name in names}, **sections)
    return {name: read_json(path) for name, path in found.items()}


def faults(manifest: dict[str, Any]) -> list[tuple[str, str]]:
    return [(fault["code"], fault["participant_id"]) for fault in manifest["faults"]]


def test_an_external_cohort_has_what_the_main_one_has_under_inside_names(tmp_path: Path, add: Add) -> None:
    add("bids", "sub-1", "ADC")
    add("test", "sub-1", "ADC", "trace")
    (tmp_path / "test/participants.tsv").write_text("participant_id\tage\nsub-1\t71\nsub-2\t50\n")
    manifests = surveyed(tmp_path, "test")
    main, external = manifests[""], manifests["test"]
    assert main.keys() - external.keys() == {"atlases"}
    assert external["folders"] == list(external["active"]) == list(external["participants"]) == ["sub-test+1"]
    assert sorted(external["active"]["sub-test+1"]["J0"]) == ["adc", "trace"]
    assert external["active"]["sub-test+1"]["J0"]["adc"][0][0] == "sub-1/dwi/sub-1_ADC.nii.gz"
    assert external["clinical"]["sub-test+1"]["age"] == 71
    assert [fault["participant_id"] for fault in external["clinical_faults"]] == ["sub-test+2"]
    assert external["folds"] == {} and main["clinical"] == {}
    assert list(main["active"]) == ["sub-1"], "nobody external in the main cohort"


def test_an_external_cohort_changes_no_other_cohorts_manifest(tmp_path: Path, add: Add) -> None:
    for dataset in ("bids", "test", "other"):
        add(dataset, "sub-1", "ADC")
    alone, both = paths(tmp_path, {}), paths(tmp_path, {"test": {}, "other": {}})
    assert alone[""] == both[""]
    add("test", "sub-2", "ADC")
    grown = paths(tmp_path, {"test": {}, "other": {}})
    assert (grown[""], grown["other"]) == (both[""], both["other"])
    assert grown["test"] != both["test"]


def test_nothing_tells_where_the_datasets_are(tmp_path: Path, add: Add) -> None:
    add("bids", "sub-1", "ADC")
    add("test", "sub-1", "ADC")
    surveyed(tmp_path, "test")
    written = sorted((tmp_path / "out/work").iterdir())
    assert {path.name.split(".")[0] for path in written} >= {"stamps", "stamps-test"}
    assert not [path.name for path in written if str(tmp_path) in path.read_text()]


def test_who_has_no_label_is_scored_all_the_same(tmp_path: Path, add: Add) -> None:
    for dataset in ("bids", "test"):
        add(dataset, "sub-1", "dwi", "ADC")
        add(dataset, "sub-2", "ADC")
        (tmp_path / dataset / "participants.tsv").write_text("participant_id\tage\nsub-1\t71\nsub-2\t60\n")
    manifests = surveyed(tmp_path, "test")

    def kept_out(name: str) -> dict[str, list[str]]:
        judged = manifests[name]["eligibility"]["severity"]
        return {sub: [fault["code"] for fault in found] for sub, found in judged.items()}

    assert kept_out("") == {"sub-1": ["E138"], "sub-2": ["E137", "E138"]}
    assert kept_out("test") == {"sub-test+1": [], "sub-test+2": ["E137"]}


def test_who_was_trained_on_validates_nothing(tmp_path: Path, add: Add) -> None:
    for dataset, patient in (("bids", "sub-1"), ("a", "sub-7"), ("b", "sub-7"), ("b", "sub-8")):
        add(dataset, patient, "ADC", "trace")
    known = tmp_path / "bids/sub-1/dwi/sub-1_trace.nii.gz"
    shutil.copy(known, tmp_path / "a/sub-7/dwi/sub-7_trace.nii.gz")
    shutil.copy(tmp_path / "a/sub-7/dwi/sub-7_ADC.nii.gz", tmp_path / "b/sub-8/dwi/sub-8_ADC.nii.gz")
    manifests = surveyed(tmp_path, "b", "a")
    assert list(manifests[""]["active"]) == ["sub-1"] and not faults(manifests[""])
    assert manifests["a"]["active"] == {} and faults(manifests["a"]) == [("E124", "sub-a+7")]
    assert list(manifests["b"]["active"]) == ["sub-b+7"] and faults(manifests["b"]) == [("E124", "sub-b+8")]
    other = {name: manifests[name]["faults"][0]["values"]["other"] for name in ("a", "b")}
    assert other == {
        "a": "sub-1/dwi/sub-1_trace.nii.gz of the main cohort",
        "b": "sub-7/dwi/sub-7_ADC.nii.gz of the external cohort a",
    }


def test_the_same_content_is_found_whether_git_annex_holds_it_or_not() -> None:
    hexadecimal = "0123456789abcdef" * 4
    key = f"SHA256E-s9--{hexadecimal}.nii.gz"
    plain = {"sub-1": {"J0": {"adc": [["a.nii.gz", hexadecimal[:32]]]}}}
    annexed = {"sub-2": {"J0": {"adc": [["b.nii.gz", key]]}}}
    assert [fault.code for fault in twins(annexed, contents(plain, "another"))] == ["E124"]
    assert [fault.code for fault in twins(plain, contents(annexed, "another"))] == ["E124"]


def test_an_empty_mask_in_two_cohorts_is_no_patient_twice() -> None:
    cohorts = [{name: {"J0": {"lesion": [["mask.nii.gz", "same"]]}}} for name in ("sub-1", "sub-2")]
    assert twins(cohorts[1], contents(cohorts[0], "another")) == []


def test_a_section_left_out_is_the_main_cohorts_and_one_given_stands_alone(tmp_path: Path, add: Add) -> None:
    images = {"adc": [{"suffix": "map"}], "trace": [{"suffix": "iso"}]}
    add("bids", "sub-1", "map")
    for dataset in ("heir", "own"):
        add(dataset, "sub-1", "map", "ADC", "trace")
    own = {"heir": {}, "own": {"images": {"adc": [{"suffix": "ADC"}]}}}
    found = {name: read_json(path) for name, path in paths(tmp_path, own, images=images).items()}
    roles = {name: found[name]["active"][f"sub-{name}+1"]["J0"] for name in own}
    assert {role: files[0][0] for role, files in roles["heir"].items()} == {
        "adc": "sub-1/dwi/sub-1_map.nii.gz"
    }
    assert {role: files[0][0] for role, files in roles["own"].items()} == {
        "adc": "sub-1/dwi/sub-1_ADC.nii.gz",
        "trace": "sub-1/dwi/sub-1_trace.nii.gz",
    }


def test_sessions_are_inherited_given_or_found(tmp_path: Path, add: Add) -> None:
    add("bids", "sub-1", "ADC", session="ses-day0")
    for dataset in ("heir", "own", "finder"):
        add(dataset, "sub-1", "ADC", session="ses-day0")
        add(dataset, "sub-1", "ADC", session="ses-01")
    own = {"heir": {}, "own": {"sessions": {"J0": "01"}}, "finder": {"sessions": {}}}
    found = paths(tmp_path, own, sessions={"J0": "day0"})
    assert {name: read_json(path)["sessions"] for name, path in found.items()} == {
        "": {"J0": "day0"},
        "heir": {"J0": "day0"},
        "own": {"J0": "01"},
        "finder": {"J0": "01", "J1": "day0"},
    }


@pytest.mark.parametrize("patient", ["sub-test+007", "sub-Test+1"])
def test_a_patient_who_could_be_an_external_one_is_refused(tmp_path: Path, add: Add, patient: str) -> None:
    add("bids", patient, "ADC")
    add("test", "sub-1", "ADC")
    surveyed(tmp_path)
    with pytest.raises(ConfigError) as error:
        surveyed(tmp_path, "test")
    assert f"has a patient {patient}, a name that patients of the external cohort test have" in str(
        error.value
    )


def test_names_that_a_file_system_may_take_for_one_are_refused(tmp_path: Path, add: Add) -> None:
    for dataset in ("bids", "test", "Test"):
        add(dataset, "sub-1", "ADC")
    with pytest.raises(ConfigError, match="Test and test differ only in upper and lower case"):
        surveyed(tmp_path, "test", "Test")


def test_a_place_that_cannot_be_is_refused_with_the_cohorts_name(tmp_path: Path, add: Add) -> None:
    add("bids", "sub-1", "ADC")
    with pytest.raises(ConfigError, match=r"External cohort gone: `bids_dir` is .*, which is not a folder"):
        surveyed(tmp_path, "gone")
    add("out", "sub-1", "ADC")
    with pytest.raises(ConfigError, match=r"External cohort out: `output_dir` is .*inside the dataset"):
        surveyed(tmp_path, "out")


@pytest.mark.parametrize(
    ("section", "sentence"),
    [
        ({"te-st": {"bids_dir": "x"}}, "'te-st'; expected text that matches"),
        ({"test\n": {"bids_dir": "x"}}, "expected text that matches"),
        ({"test": {}}, "`bids_dir` is missing at external_cohorts.test; add it."),
        (
            {"test": {"bids_dir": "x", "images": {"acd": []}}},
            "`acd` is not a key of external_cohorts.test.images; did you mean `adc`?",
        ),
        (
            {"test": {"bids_dir": "x", "image": {}}},
            "`image` is not a key of external_cohorts.test; did you mean `images`?",
        ),
    ],
)
def test_mistakes_are_named_with_their_place(section: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ConfigError) as error:
        resolve({"bids_dir": "a", "output_dir": "b", "external_cohorts": section}, SCHEMAS)
    assert sentence in str(error.value)


def test_tables_show_the_names_of_the_dataset() -> None:
    fault = {"code": "E128", "participant_id": "sub-1", "session_id": "", "path": "", "values": {}}
    plain: dict[str, Any] = {
        "name": "test",
        "mb": {"sub-1": 3},
        "folders": ["sub-1"],
        **{part: {"sub-1": {}} for part in ("participants", "active", "clinical")},
        **{part: [fault, {**fault, "participant_id": ""}] for part in ("faults", "clinical_faults")},
        "eligibility": {"outcome": {"sub-1": [fault]}},
    }
    within = as_inside(plain)
    assert within != plain and within["faults"][1]["participant_id"] == ""
    record = {"participant_id": "sub-test+1", "step": "lesions", "faults": within["faults"][:1], "facts": {}}
    manifest, records = as_outside(within, [record])
    assert manifest == plain
    assert records == [{**record, "participant_id": "sub-1", "faults": [fault]}]


def test_the_main_cohort_keeps_its_names_even_with_a_plus() -> None:
    manifest = {"name": "", "folders": ["sub-test+1"]}
    assert as_outside(manifest, [{"participant_id": "sub-test+1"}]) == (
        manifest,
        [{"participant_id": "sub-test+1"}],
    )


def test_a_mask_of_the_same_name_in_two_cohorts_is_one_patient_s() -> None:
    """Data of masks alone have nothing else to be recognised by; empty masks of others are the same bytes."""

    def masks(*names: str) -> dict[str, Any]:
        return {name: {"J0": {"lesion": [[f"{name}/mask.nii.gz", "abc"]]}} for name in names}

    elsewhere = contents(masks("sub-1", "sub-2"), "the main cohort")
    found = twins(masks("sub-b+2", "sub-b+3"), elsewhere)
    assert [(fault.code, fault.participant_id) for fault in found] == [("E124", "sub-b+2")]
    assert [fault.code for fault in twins(masks("sub-1", "sub-2"), {})] == []
