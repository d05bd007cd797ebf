"""Bad input of studies and of their models: rows of the catalogue of faults that no other file tests."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from reperfuse.core.settings import fill, load_schema
from reperfuse.imaging.prepare import Prepared, Source, prepare_visit
from reperfuse.imaging.series import is_synthetic
from tests.faults.build_faults import ROOT, Bases, Patient, phantom

SCHEMAS = ROOT / "workflow/schemas"


@pytest.fixture(scope="module")
def bases(tmp_path_factory: pytest.TempPathFactory) -> Bases:
    return phantom(tmp_path_factory.mktemp("phantom"))


# 70: an imputed image is not a measurement


def prepared(bids: Path, bases: Bases, sidecar: dict[str, Any], entities: str, allow: bool) -> Prepared:
    """Prepare a visit of ADC, trace and brain mask whose ADC map has this sidecar and name."""
    patient = Patient(bids, "sub-1", bases)
    patient.write("trace", "adc")
    path = patient.path("adc", entities=entities)
    patient.path("adc").rename(path)
    described = path.with_name(path.name.removesuffix(".nii.gz") + ".json")
    described.write_text(json.dumps(sidecar))
    sources = {
        "adc": Source(path, (described,), None, bids),
        "trace": Source(patient.path("trace"), (), None, bids),
    }
    settings = fill({}, load_schema(SCHEMAS, "prepare"))
    return prepare_visit(sources, **(settings | {"allow_synthetic": allow} if allow else settings))


@pytest.mark.parametrize(
    ("sidecar", "entities"),
    [
        ({"Synthetic": True}, ""),
        ({"Synthetic": "True"}, ""),
        ({}, "desc-synth"),
        ({"Synthetic": False}, "desc-synth"),
    ],
)
def test_70_a_synthetic_image_is_no_measurement(
    sidecar: dict[str, Any], entities: str, tmp_path: Path, bases: Bases
) -> None:
    visit = prepared(tmp_path, bases, sidecar, entities, allow=False)
    (fault,) = [fault for fault in visit.faults if fault.code == "E164"]
    assert (
        fault.excludes
        and fault.path.startswith("sub-1/ses-02/dwi/sub-1_")
        and "allow_synthetic" in fault.sentence
    )
    # The measured trace goes on; no ADC map is made from anything.
    assert "trace" in visit.images and "adc" not in visit.images
    assert "synthetic" not in json.dumps(visit.facts) and "Synthetic" not in json.dumps(visit.sidecars)


def test_70_a_measured_image_is_used_whatever_else_its_sidecar_says(tmp_path: Path, bases: Bases) -> None:
    visit = prepared(tmp_path, bases, {"Synthetic": False}, "desc-denoised", allow=False)
    assert "adc" in visit.images and not [fault for fault in visit.faults if fault.excludes]


def test_70_a_synthetic_image_is_used_where_it_is_allowed_and_says_so(tmp_path: Path, bases: Bases) -> None:
    visit = prepared(tmp_path, bases, {"Synthetic": True}, "", allow=True)
    assert [fault.code for fault in visit.faults if fault.code.endswith("164")] == ["W164"]
    assert visit.sidecars["adc"]["Synthetic"] is True and visit.facts["images"]["adc"]["synthetic"] is True
    assert "Synthetic" not in visit.sidecars["trace"]


@pytest.mark.parametrize(
    ("name", "sidecar", "synthetic"),
    [
        ("sub-1_desc-synth_ADC.nii.gz", {}, True),
        ("sub-1_desc-synthetic_ADC.nii.gz", {}, True),
        ("sub-1_desc-synthstrip_ADC.nii.gz", {}, False),  # a real image without its skull
        ("sub-synth_ADC.nii.gz", {"Synthetic": None}, False),
        ("sub-1_ADC.nii.gz", {"Synthetic": [True]}, False),
    ],
)
def test_70_what_counts_as_synthetic(name: str, sidecar: dict[str, Any], synthetic: bool) -> None:
    assert is_synthetic(name, sidecar) is synthetic
