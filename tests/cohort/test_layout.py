from __future__ import annotations

import pytest

from reperfuse.cohort.layout import AFTER, steps_of

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
        ({"J0": ["brain"]}, []),
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
