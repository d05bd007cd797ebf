from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import pytest

from reperfuse.cohort.survey import check_places, check_sections, read_survey, survey, write_drawn
from reperfuse.core.errors import ConfigError
from reperfuse.core.files import read_json
from reperfuse.core.settings import resolve
from reperfuse.studies.requirements import requirements

SCHEMAS = Path(__file__).parents[2] / "workflow/schemas"


def configured(tmp_path: Path, **sections: Any) -> dict[str, Any]:
    places = {"bids_dir": str(tmp_path / "bids"), "output_dir": str(tmp_path / "out")}
    return resolve({**places, **sections}, SCHEMAS)


def add(tmp_path: Path, participant_id: str, *suffixes: str) -> None:
    for suffix in suffixes:
        path = tmp_path / f"bids/{participant_id}/dwi/{participant_id}_{suffix}.nii.gz"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(gzip.compress(path.name.encode(), mtime=0))


def surveyed(tmp_path: Path, **sections: Any) -> tuple[Path, dict[str, Any]]:
    config = configured(tmp_path, **sections)
    path = Path(read_survey(survey(config, requirements(config["studies"]))).manifests[""])
    return path, read_json(path)


def test_the_manifest_is_named_by_its_content(tmp_path: Path) -> None:
    add(tmp_path, "sub-1", "ADC", "trace")
    path, manifest = surveyed(tmp_path)
    assert surveyed(tmp_path)[0] == path, "the same dataset has the same manifest"
    assert sorted(manifest["active"]["sub-1"]["J0"]) == ["adc", "trace"]
    add(tmp_path, "sub-2", "ADC")
    assert surveyed(tmp_path)[0] != path


def test_nothing_in_the_manifest_tells_where_things_are(tmp_path: Path) -> None:
    add(tmp_path, "sub-1", "ADC")
    atlas = tmp_path / "elsewhere/atlas.nii.gz"
    atlas.parent.mkdir()
    atlas.write_bytes(b"x")
    path, _ = surveyed(tmp_path, atlases={"a": {"image": str(atlas), "labels": str(atlas)}})
    assert str(tmp_path) not in path.read_text()
    assert str(tmp_path) not in (tmp_path / "out/work/stamps.json").read_text()


def test_who_lacks_what_is_judged_for_everybody_with_a_folder(tmp_path: Path) -> None:
    add(tmp_path, "sub-1", "ADC", "trace")
    add(tmp_path, "sub-2", "ADC")
    (tmp_path / "bids/sub-2/dwi/sub-2_ADC.nii.gz").write_bytes(b"")
    _, manifest = surveyed(tmp_path)
    assert list(manifest["active"]) == ["sub-1"]
    assert {sub: bool(faults) for sub, faults in manifest["eligibility"]["imputation"].items()} == {
        "sub-1": False,
        "sub-2": True,
    }


def test_maps_of_the_users_own_are_found_and_count_as_contrasts(tmp_path: Path) -> None:
    add(tmp_path, "sub-1", "ADC", "FA")
    add(tmp_path, "sub-2", "ADC")
    _, manifest = surveyed(
        tmp_path,
        images={"maps": {"fa": [{"suffix": "FA"}]}},
        studies={"fusion": {"contrasts": ["adc", "fa"], "minimum": 2}},
    )
    assert sorted(manifest["active"]["sub-1"]["J0"]) == ["adc", "map_fa"]
    judged = {sub: len(faults) for sub, faults in manifest["eligibility"]["fusion"].items()}
    assert judged == {"sub-1": 0, "sub-2": 1}
    with pytest.raises(ConfigError, match="FA"):
        configured(tmp_path, images={"maps": {"FA": [{"suffix": "FA"}]}})


def begin(tmp_path: Path, **studies: Any) -> list[str]:
    """Survey and begin a run; return the fold table's lines."""
    write_drawn(surveyed(tmp_path, studies={"imputation": studies})[1], tmp_path / "out")
    return (tmp_path / "out/cohort/folds-imputation.tsv").read_text().splitlines()


def test_an_image_under_two_names_and_relatives_never_meet_on_both_sides(tmp_path: Path) -> None:
    """Of two patients with one image the second is out; twins, who have images of their own, share a fold."""
    for i in range(1, 9):
        add(tmp_path, f"sub-{i}", "ADC", "trace")
    one, other = (tmp_path / f"bids/sub-{i}/dwi/sub-{i}_ADC.nii.gz" for i in (1, 2))
    other.write_bytes(one.read_bytes())
    rows = [f"sub-{i}\t{'twins' if i in (3, 5, 8) else f'alone{i}'}\t{60 + i}" for i in range(1, 9)]
    table = tmp_path / "bids/participants.tsv"
    table.write_text("\n".join(["participant_id\tfamily\tage", *rows]) + "\n")

    config = configured(tmp_path, studies={"fusion": {"contrasts": ["adc", "trace"], "n_folds": 3}})
    found = read_survey(survey(config, requirements(config["studies"])))
    manifest, places = read_json(found.manifests[""]), read_json(found.places["fusion"])
    assert [fault["code"] for fault in manifest["faults"] if fault["participant_id"] == "sub-2"] == ["E124"]
    placed = {row["participant_id"]: row["fold"] for row in places["folds"]["fusion"]["rows"]}
    assert places["active"] == sorted(placed) and "sub-2" not in placed and len(placed) == 7
    assert len({placed[f"sub-{i}"] for i in (3, 5, 8)}) == 1 and len(set(placed.values())) == 3

    table.write_text(table.read_text().replace("\t61", "\t91"))
    again = read_survey(survey(config, requirements(config["studies"])))
    assert again.places == found.places, "who is in which fold says nothing of values"
    assert again.studies["fusion"] != found.studies["fusion"]


def test_folds_are_drawn_once_and_kept(tmp_path: Path) -> None:
    for i in range(1, 7):
        add(tmp_path, f"sub-{i}", "ADC", "trace")
    before = begin(tmp_path, n_folds=2)
    add(tmp_path, "sub-7", "ADC", "trace")
    after = begin(tmp_path, n_folds=2)
    assert len(after) == len(before) + 1
    assert set(before) <= set(after)


def test_a_look_ahead_draws_no_folds(tmp_path: Path) -> None:
    add(tmp_path, "sub-1", "ADC", "trace")
    surveyed(tmp_path)
    assert not (tmp_path / "out/cohort").exists()


def test_a_frozen_table_is_used_and_ones_own_is_left_alone(tmp_path: Path) -> None:
    for i in range(1, 7):
        add(tmp_path, f"sub-{i}", "ADC", "trace")
    own = begin(tmp_path, n_folds=2)
    frozen = tmp_path / "frozen.tsv"
    frozen.write_text("\n".join(own[:5]) + "\n")
    _, manifest = surveyed(tmp_path, studies={"imputation": {"frozen_folds": str(frozen)}})
    assert [row["participant_id"] for row in manifest["folds"]["imputation"]["rows"]] == [
        line.split("\t")[0] for line in own[1:5]
    ]
    assert begin(tmp_path, n_folds=2, frozen_folds=str(frozen)) == own


def test_more_than_two_sessions_are_not_guessed_at(tmp_path: Path) -> None:
    for label in ("00", "01", "02"):
        path = tmp_path / f"bids/sub-1/ses-{label}/dwi/sub-1_ses-{label}_ADC.nii.gz"
        path.parent.mkdir(parents=True)
        path.write_bytes(label.encode() * 10)
    with pytest.raises(ConfigError, match="00, 01, 02; say which is the baseline"):
        surveyed(tmp_path)
    assert sorted(surveyed(tmp_path, sessions={"J0": "01", "J1": "02"})[1]["active"]["sub-1"]) == ["J0", "J1"]


@pytest.mark.parametrize(
    ("sections", "sentence"),
    [
        (
            {"lesions": {"thresholds": [480]}},
            "`lesions.lesion_criterion` is adc620; expected one of adc480, adc480_raw.",
        ),
        ({"register": {"iterations": [9, 9, 9]}}, "`register.iterations` has 3"),
    ],
)
def test_values_that_contradict_each_other_are_refused(tmp_path: Path, sections: dict, sentence: str) -> None:
    with pytest.raises(ConfigError) as error:
        check_sections(configured(tmp_path, **sections))
    assert sentence in str(error.value)


def test_results_do_not_go_among_raw_data(tmp_path: Path) -> None:
    raw = tmp_path / "bids"
    (raw / "derivatives").mkdir(parents=True)
    check_places(raw, raw / "derivatives/reperfuse")
    for place in (raw, raw / "sub-1", raw / "derivatives/../sub-1"):
        with pytest.raises(ConfigError, match="inside the dataset"):
            check_places(raw, place)
    with pytest.raises(ConfigError, match="not a folder"):
        check_places(tmp_path / "absent", tmp_path / "out")
