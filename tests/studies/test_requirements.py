from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from reperfuse.core.settings import fill, load_schema
from reperfuse.studies.requirements import STUDIES, ImageNeed, Label, requirements

SCHEMAS = Path(__file__).resolve().parents[2] / "workflow/schemas"


@pytest.fixture
def section() -> dict[str, Any]:
    filled: dict[str, Any] = fill({}, load_schema(SCHEMAS, "studies"))
    return filled


def test_the_schema_has_a_section_with_folds_for_every_study(section: dict[str, Any]) -> None:
    assert set(section) == set(STUDIES) == set(requirements(section))
    assert {name: study["n_folds"] for name, study in section.items()} == {
        "outcome": 8, "severity": 3, "transformation": 10, "fusion": 10, "imputation": 10,
    }  # fmt: skip


def test_every_key_is_described_and_says_where_its_value_is_from() -> None:
    sections = list(load_schema(SCHEMAS, "studies")["properties"].values())
    for section in sections:
        assert section["additionalProperties"] is False
        for name, key in section["properties"].items():
            assert key["description"], name
            if "properties" in key:
                sections.append(key)
            else:
                assert "default" in key, name
                assert key["x-source"] in ("stated", "assumed", "measured"), name


def test_needs_of_each_study(section: dict[str, Any]) -> None:
    needs = requirements(section)
    assert needs["outcome"].images == (ImageNeed("J0", ("adc",)), ImageNeed("J1", ("adc",)))
    assert needs["outcome"].clinical == ("mrs_3m",)
    assert needs["severity"].images == (ImageNeed("J0", ("trace", "dwi")),)
    assert needs["transformation"].images[-1] == ImageNeed("J1", ("gre",), or_variables=("ht",))
    assert needs["fusion"].images[0].at_least == needs["imputation"].images[0].at_least == 2
    assert not needs["fusion"].labelled and not needs["imputation"].labelled


def test_a_study_s_own_label_is_never_among_what_it_may_use(section: dict[str, Any]) -> None:
    for need in requirements(section).values():
        if need.label:
            assert need.label.variable not in need.optional


@pytest.mark.parametrize(("value", "label"), [(0.0, 1), (1.0, 1), (2.0, 0), (6.0, 0), (None, None)])
def test_favourable_is_a_rankin_of_one_at_most(
    section: dict[str, Any], value: float | None, label: int | None
) -> None:
    assert requirements(section)["outcome"].label_of({"mrs_3m": value}) == label


@pytest.mark.parametrize(("value", "label"), [(0.0, 0), (4.0, 0), (5.0, 1), (42.0, 1), (None, None)])
def test_non_minor_is_a_score_above_four(
    section: dict[str, Any], value: float | None, label: int | None
) -> None:
    assert requirements(section)["severity"].label_of({"nihss": value}) == label


@pytest.mark.parametrize(
    ("channels", "needed"),
    [
        (["trace", "adc"], [("trace", "dwi"), ("adc", "dwi")]),
        (["lesion"], [("lesion", "adc", "dwi")]),
    ],
)
def test_what_networks_are_shown_is_what_the_severity_study_needs(
    section: dict[str, Any], channels: list[str], needed: list[tuple[str, ...]]
) -> None:
    section["severity"]["channels"] = channels
    images = requirements(section)["severity"].images
    assert [need.roles for need in images] == needed and {need.visit for need in images} == {"J0"}


def test_configuration_changes_the_needs(section: dict[str, Any]) -> None:
    section["outcome"] |= {"visits": ["J0"], "variable": "mrs_discharge", "favourable_max": 2}
    del section["fusion"]
    needs = requirements(section)
    assert "fusion" not in needs
    assert needs["outcome"].images == (ImageNeed("J0", ("adc",)),)
    assert needs["outcome"].label == Label("favourable outcome", "mrs_discharge", False, 2)
    assert needs["outcome"].label.rule == "mrs_discharge <= 2"
