from __future__ import annotations

import pytest

from reperfuse.cohort.layout import AFTER, is_prepared, published, steps_of

FILES = [["file", "stamp"]]


@pytest.mark.parametrize(
    ("visits", "steps"),
    [
        ({"J0": ["adc", "flair"]}, ["prepare", "register", "normalise", "lesions", "page"]),
        ({"J0": ["adc"], "J1": ["adc"]}, ["prepare", "register", "normalise", "lesions", "page"]),
        ({"J0": ["adc"]}, ["prepare", "normalise", "lesions", "page"]),
        ({"J0": ["trace"]}, ["prepare", "normalise", "page"]),
        ({"J1": ["dwi"]}, ["prepare", "lesions", "page"]),
        ({"J0": ["flair"]}, ["prepare", "page"]),
        ({"J0": ["lesion"]}, ["lesions", "page"]),
        ({"J0": ["adc", "pwi"]}, ["prepare", "register", "normalise", "lesions", "perfusion", "page"]),
        ({"J0": ["pwi"], "J1": ["ht"]}, ["prepare", "perfusion", "page"]),
        ({"J0": ["adc"], "J1": ["pwi"]}, ["prepare", "register", "normalise", "lesions", "page"]),
        ({"J0": ["brain"]}, []),
        ({"J0": ["aif"], "J1": ["ht"]}, []),
        ({}, []),
    ],
)
def test_a_patient_goes_through_the_steps_that_the_images_allow(visits: dict, steps: list[str]) -> None:
    found = {visit: dict.fromkeys(roles, FILES) for visit, roles in visits.items()}
    assert steps_of(found) == steps


def test_steps_are_in_an_order_in_which_each_finds_those_before() -> None:
    seen = {"template"}
    for step, before in AFTER.items():
        assert set(before) <= seen
        seen.add(step)


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("PWI_tmax", "sub-1/ses-01/perf/sub-1_ses-01_tmax.nii.gz"),
        ("PWI_aif", "sub-1/ses-01/perf/sub-1_ses-01_label-AIF_mask.nii.gz"),
        ("PWI_adc", None),
        ("PWI_brain", None),
        ("PWI_concentration", None),
    ],
)
def test_perfusion_maps_are_published_and_what_was_carried_to_their_grid_is_not(
    name: str, path: str | None
) -> None:
    assert published("sub-1", name, {"J0": "01", "J1": "02"}, source="J0_pwi") == path


def test_maps_of_the_users_own_are_prepared_and_registered_but_not_published() -> None:
    found = {"J0": dict.fromkeys(["adc", "map_fa"], FILES)}
    assert steps_of(found) == ["prepare", "register", "normalise", "lesions", "page"]
    assert steps_of({"J0": {"map_fa": FILES}}) == [
        "prepare",
        "page",
    ]  # no brain mask without a diffusion image
    assert is_prepared("J0", "map_fa") and not is_prepared("J1", "map_fa")
    assert published("sub-1", "J0_map_fa", {}) is None
