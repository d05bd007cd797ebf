from __future__ import annotations

import re
from pathlib import Path

import pytest

from reperfuse.core.errors import Fault, Refusal, catalogue


@pytest.mark.parametrize("code", sorted(catalogue()))
def test_every_fault_says_what_was_found(code: str) -> None:
    entry = catalogue()[code]
    assert re.fullmatch(r"[EW]\d{3}", code)
    assert entry["found"] and not entry["found"].endswith(".")
    if code.startswith("E"):
        assert entry["remedy"], "what takes a patient out must say what to do"


def test_every_fault_can_be_found_by_something() -> None:
    library = Path(__file__).parents[2] / "workflow/reperfuse"
    code = "".join(path.read_text(encoding="utf-8") for path in library.rglob("*.py"))
    assert [name for name in catalogue() if f'"{name}"' not in code] == []


def test_a_sentence_names_who_what_expected_and_what_to_do() -> None:
    fault = Fault("E102", "sub-1/dwi/sub-1_ADC.nii.gz", {"target": "../x"}).of("sub-1", "ses-01")
    assert fault.sentence == (
        "E102 sub-1 ses-01 sub-1/dwi/sub-1_ADC.nii.gz: the link points to ../x, which is not here; expected the "
        "file's content; fetch it with `datalad get sub-1/dwi/sub-1_ADC.nii.gz`."
    )


def test_a_fault_survives_the_record_and_keeps_its_owner() -> None:
    fault = Fault("E101", "a.nii.gz").of("sub-1").of("sub-2", "ses-01")
    assert (fault.participant_id, fault.session_id) == ("sub-1", "ses-01")
    assert Fault(**fault.as_dict()) == fault


def test_values_cannot_break_the_sentence() -> None:
    fault = Fault("E190", values={"name": "sub-{participant_id}%s{0}"}, participant_id="sub-x")
    assert "sub-{participant_id}%s{0}" in fault.sentence


def test_unknown_codes_are_a_defect() -> None:
    with pytest.raises(KeyError, match="E999"):
        Fault("E999")


def test_a_refusal_carries_its_fault() -> None:
    assert Refusal("E111", value=0).fault == Fault("E111", "", {"value": 0})
