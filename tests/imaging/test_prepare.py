"""A visit's images together: what is made, what is left out and why, what is said of the acquisition."""

from __future__ import annotations

import gzip
import inspect
import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from reperfuse.core.errors import Refusal
from reperfuse.imaging.prepare import Prepared, Source, prepare_visit
from reperfuse.imaging.reader import read_mask
from reperfuse.imaging.series import ALLOWED, acquisition, steady_mean, timing
from reperfuse.imaging.volume import Volume, encode, write_volume

Writer = Callable[..., Path]
Visit = Callable[..., Prepared]


@pytest.fixture
def visit(tmp_path: Path, nifti: Writer, head: SimpleNamespace, prepare_settings: dict[str, Any]) -> Visit:
    """Write arrays as a visit's images and prepare them: ``visit(adc=array, dwi=(array, json, bvals))``."""

    def run(
        affine: np.ndarray | None = None, settings: dict[str, Any] | None = None, **images: Any
    ) -> Prepared:
        sources = {}
        for role, given in images.items():
            data, metadata, bvals = (
                (*given, None, None)[:3] if isinstance(given, tuple) else (given, None, None)
            )
            stem = f"sub-1/dwi/sub-1_{role}"
            files = [nifti(f"{stem}.nii.gz", data, head.affine if affine is None else affine)]
            for text, extension in ((metadata and json.dumps(metadata), "json"), (bvals, "bval")):
                if text:
                    files.append(tmp_path / f"{stem}.{extension}")
                    files[-1].write_text(text, encoding="utf-8")
            sources[role] = Source.of(tmp_path, [[str(f.relative_to(tmp_path)), "stamp"] for f in files])
        return prepare_visit(sources, **{**prepare_settings, **(settings or {})})

    return run


def codes(prepared: Prepared) -> list[str]:
    return [fault.code for fault in prepared.faults]


def series_of(head: SimpleNamespace) -> np.ndarray:
    return np.stack([head.s0, head.trace], -1)


def bolus(head: SimpleNamespace, n: int = 24, unsteady: int = 0) -> np.ndarray:
    course = 1 - 0.4 * np.exp(-(((np.arange(n) - 16) / 2.0) ** 2))
    course[:unsteady] = 1.25
    return (head.s0[::2, ::2, ::2, None] * course).astype(np.float32)


def test_parameters_and_schema_are_the_same(prepare_settings: dict[str, Any]) -> None:
    parameters = inspect.signature(prepare_visit).parameters
    assert set(parameters) - {"sources"} == set(prepare_settings)
    assert all(parameters[key].default is inspect.Parameter.empty for key in prepare_settings)


def test_a_complete_visit(visit: Visit, head: SimpleNamespace) -> None:
    prepared = visit(
        adc=(head.adc / 1000, {"Manufacturer": "Philips", "EchoTime": 0.085}),
        dwi=(series_of(head), None, "0 1000"),
        flair=head.s0,
        t1w=head.trace,
        gre=head.s0,
        pwi=(bolus(head), {"EchoTime": 0.03, "RepetitionTime": 1.8}),
    )
    assert prepared.faults == []
    assert set(prepared.images) == {"adc", "trace", "s0", "brain", "flair", "t1w", "gre", "pwi"}
    np.testing.assert_allclose(prepared.images["adc"].data, head.adc, rtol=1e-4)
    facts = prepared.facts
    assert facts["adc_unit"]["unit"] == "1e-3 mm2/s" and facts["adc_unit"]["scale"] == 1000
    assert facts["adc_source"] == "scanner map" and facts["b_values"] == [0, 1000]
    assert facts["brain_ml"] == pytest.approx(head.brain.sum() * 0.08, rel=0.07)
    assert facts["acquisition"] == {"Manufacturer": "Philips", "EchoTime": 0.085}
    assert facts["images"]["adc"]["zooms_mm"] == [4.0, 4.0, 5.0]
    assert facts["images"]["pwi"]["shape"][3] == 24 and facts["pwi"]["dropped_volumes"] == 0
    assert not facts["skull_stripped"] and 100 < facts["coverage_mm"] < 140
    assert prepared.sidecars["adc"]["Units"] == "1e-6 mm2/s"
    assert prepared.sidecars["adc"]["Sources"] == ["bids:raw:sub-1/dwi/sub-1_adc.nii.gz"]
    json.dumps(facts, allow_nan=False)


def test_maps_of_the_users_own_are_checked_and_kept_as_they_are(visit: Visit, head: SimpleNamespace) -> None:
    share = head.brain * np.linspace(0.2, 0.8, head.brain.shape[0])[:, None, None]
    prepared = visit(adc=head.adc, map_fa=share, map_ndi=np.full(head.brain.shape, 3.0))
    np.testing.assert_allclose(prepared.images["map_fa"].data, share, rtol=1e-5)
    assert "map_ndi" not in prepared.images and codes(prepared) == ["E111"]
    assert prepared.facts["images"]["map_fa"]["shape"] == list(share.shape)


def test_a_fault_excludes_its_image_and_no_other(visit: Visit, head: SimpleNamespace) -> None:
    prepared = visit(adc=head.adc, trace=head.trace, flair=np.zeros_like(head.s0), t1w=head.s0)
    assert codes(prepared) == ["E111"] and prepared.faults[0].path == "sub-1/dwi/sub-1_flair.nii.gz"
    assert set(prepared.images) == {"adc", "trace", "brain", "t1w"}


@pytest.mark.parametrize("why", ["absent", "unit", "inverted"])
def test_adc_is_computed_where_the_map_is_absent_or_refused(
    why: str, visit: Visit, head: SimpleNamespace
) -> None:
    given = {"absent": {}, "unit": {"adc": head.adc / 70}, "inverted": {"adc": np.exp(-head.adc / 1000)}}[why]
    prepared = visit(dwi=(series_of(head), None, "0 1000"), **given)
    assert codes(prepared) == {"absent": [], "unit": ["E113"], "inverted": ["E114"]}[why]
    assert prepared.facts["adc_source"] == "computed from the diffusion series"
    inside = head.brain & ~head.fluid
    np.testing.assert_allclose(
        np.median(prepared.images["adc"].data[inside] / head.adc[inside]), 1, atol=0.02
    )
    assert prepared.images["adc"].data.min() >= 0


def test_a_refused_map_without_series_leaves_the_trace(visit: Visit, head: SimpleNamespace) -> None:
    prepared = visit(adc=head.adc / 70, trace=head.trace)
    assert codes(prepared) == ["E113"] and set(prepared.images) == {"trace", "brain"}
    assert "adc_unit" not in prepared.facts
    assert (
        visit(adc=head.adc / 70, trace=head.trace, settings={"adc_units": "mm2/s"}).faults[0].code == "E113"
    )


def test_a_trace_of_two_volumes_needs_b_values(visit: Visit, head: SimpleNamespace) -> None:
    told = visit(trace=(series_of(head), None, "0 1000"))
    assert told.faults == [] and set(told.images) == {"s0", "trace", "adc", "brain"}
    untold = visit(trace=series_of(head), flair=head.s0)
    assert codes(untold) == ["E107"] and set(untold.images) == {"flair"}


def test_a_single_trace_is_believed_against_an_inherited_b_value(visit: Visit, head: SimpleNamespace) -> None:
    prepared = visit(trace=(head.trace, {"DiffusionBValue": 1000}, "0"), adc=head.adc)
    assert prepared.faults == [] and "s0" not in prepared.images
    assert prepared.facts["b_values"] == [1000]


def test_several_echoes_are_no_single_image(visit: Visit, head: SimpleNamespace) -> None:
    prepared = visit(gre=series_of(head), adc=head.adc)
    assert codes(prepared) == ["E107"] and set(prepared.images) == {"adc", "brain"}


def test_a_trace_on_another_grid_comes_to_that_of_the_adc_map(
    visit: Visit, head: SimpleNamespace, nifti: Writer, prepare_settings: dict[str, Any]
) -> None:
    coarse = head.affine.copy()
    coarse[:3, 2] *= 2
    coarse[2, 3] += 2.5
    pairs = ((head.trace[..., ::2] + head.trace[..., 1::2]) / 2).astype(np.float32)
    sources = {
        "adc": Source(nifti("adc.nii.gz", head.adc, head.affine)),
        "trace": Source(nifti("trace.nii.gz", pairs, coarse)),
    }
    prepared = prepare_visit(sources, **prepare_settings)
    assert codes(prepared) == ["W120"] and prepared.faults[0].path == "trace.nii.gz"
    shapes = {prepared.images[name].data.shape for name in ("adc", "trace", "brain")}
    assert shapes == {head.adc.shape}
    middle = prepared.images["trace"].data[:, :, 5:-5]
    assert np.corrcoef(middle.ravel(), head.trace[:, :, 5:-5].ravel())[0, 1] > 0.97


def test_a_given_brain_mask_wins_and_a_bad_one_is_told(visit: Visit, head: SimpleNamespace) -> None:
    small = head.brain & (np.arange(head.brain.shape[0])[:, None, None] > 20)
    prepared = visit(adc=head.adc, trace=head.trace, brain=small.astype(np.uint8))
    np.testing.assert_array_equal(prepared.images["brain"].data, small)
    assert prepared.facts["brain_method"] == "given mask"
    bad = visit(adc=head.adc, trace=head.trace, brain=np.indices(head.adc.shape)[0].astype(np.uint8) % 4)
    assert codes(bad) == ["E121"] and "Otsu" in bad.facts["brain_method"]
    assert bad.faults[0].path == "sub-1/dwi/sub-1_brain.nii.gz"


def test_partial_coverage_and_an_impossible_brain_are_told(visit: Visit, head: SimpleNamespace) -> None:
    few = visit(adc=head.adc[..., 14:20], trace=head.trace[..., 14:20])
    assert codes(few) == ["W119"] and few.faults[0].values["n_slices"] == 6
    assert few.facts["coverage_mm"] == 30.0
    everything = visit(adc=head.adc, trace=head.trace, brain=np.ones(head.adc.shape, np.uint8))
    assert "W138" in codes(everything)


def test_nothing_but_anatomy(visit: Visit, head: SimpleNamespace) -> None:
    prepared = visit(flair=head.s0)
    assert set(prepared.images) == {"flair"} and prepared.faults == [] and "brain_ml" not in prepared.facts
    assert visit().images == {}


@pytest.mark.parametrize("shape", [(5, 5, 5), (5, 5, 5, 19)])
def test_too_few_time_points(shape: tuple[int, ...], visit: Visit) -> None:
    random = np.random.default_rng(0).uniform(1, 2, shape).astype(np.float32)
    prepared = visit(pwi=(random, {"EchoTime": 0.03, "RepetitionTime": 1.8}))
    assert codes(prepared) == ["E108"] and prepared.images == {}


@pytest.mark.parametrize(
    ("metadata", "missing"),
    [
        ({}, "EchoTime"),
        ({"EchoTime": 0.03}, "RepetitionTime"),
        ({"RepetitionTime": 1.8}, "EchoTime"),
        ({"EchoTime": "0.03", "RepetitionTime": 1.8}, "EchoTime"),
        ({"EchoTime": 0.03, "RepetitionTime": 0}, "RepetitionTime"),
        ({"EchoTime": 0.03, "VolumeTiming": [0, 2, 1]}, "RepetitionTime"),
    ],
)
def test_a_perfusion_series_needs_its_times_for_maps_and_not_for_its_mean(
    metadata: dict[str, Any], missing: str, visit: Visit, head: SimpleNamespace
) -> None:
    with pytest.raises(Refusal) as raised:
        timing(metadata)
    assert raised.value.fault.code == "E141" and raised.value.fault.values["missing"] == missing
    prepared = visit(pwi=(bolus(head), metadata))
    assert codes(prepared) == [] and "pwi" in prepared.images
    assert prepared.facts["pwi"].keys() == {"n_volumes", "dropped_volumes"}


def test_times_in_milliseconds_and_volume_timing() -> None:
    te_s, tr_s, faults = timing({"EchoTime": 30, "RepetitionTime": 1800})
    assert (te_s, tr_s) == (0.03, 1.8) and [fault.values["key"] for fault in faults] == [
        "EchoTime",
        "RepetitionTime",
    ]
    assert timing({"EchoTime": 0.03, "VolumeTiming": [0.0, 1.5, 3.0, 4.5]}) == (0.03, 1.5, [])
    with pytest.raises(Refusal):
        timing({"EchoTime": True, "RepetitionTime": 1.8})


@pytest.mark.parametrize("unsteady", [0, 1, 3])
def test_volumes_before_steady_state_are_dropped(unsteady: int, head: SimpleNamespace) -> None:
    data = bolus(head, unsteady=unsteady)
    mean, dropped = steady_mean(
        Volume(data, head.affine), minimum_volumes=20, baseline_volumes=5, unsteady_percent=5.0
    )
    assert dropped == unsteady
    np.testing.assert_allclose(mean.data, data[..., 5], rtol=0.02, atol=1e-3)


PLANTED = "DOE^JOHN"
IDENTIFYING = {
    "PatientName": PLANTED, "PatientID": PLANTED, "PatientBirthDate": PLANTED, "AcquisitionDateTime": PLANTED,
    "InstitutionName": PLANTED, "StationName": PLANTED, "DeviceSerialNumber": PLANTED,
    "ImageComments": PLANTED, "SeriesDescription": PLANTED, "ProtocolName": PLANTED,
}  # fmt: skip


def test_nothing_identifying_leaves_the_raw_files(
    tmp_path: Path, head: SimpleNamespace, prepare_settings: dict[str, Any]
) -> None:
    sources = {}
    for role, data in (("adc", head.adc), ("trace", head.trace), ("flair", head.s0)):
        image = nib.Nifti1Image(data, head.affine)
        for key in ("descrip", "aux_file", "db_name", "intent_name"):
            image.header[key] = PLANTED.encode()
        image.header.extensions.append(nib.nifti1.Nifti1Extension("comment", PLANTED.encode()))
        path, sidecar = tmp_path / f"{role}.nii.gz", tmp_path / f"{role}.json"
        path.write_bytes(gzip.compress(image.to_bytes()))
        assert PLANTED.encode() in gzip.decompress(path.read_bytes())
        sidecar.write_text(
            json.dumps({**IDENTIFYING, "Manufacturer": "GE", "EchoTime": 0.08}), encoding="utf-8"
        )
        sources[role] = Source(path, (sidecar,))
    prepared = prepare_visit(sources, **prepare_settings)
    assert set(prepared.images) == {"adc", "trace", "flair", "brain"}
    told = json.dumps([prepared.facts, prepared.sidecars, [fault.as_dict() for fault in prepared.faults]])
    assert PLANTED not in told and str(tmp_path) not in told and "GE" in told
    for name, volume in prepared.images.items():
        write_volume(tmp_path / f"out/{name}.nii.gz", volume, prepared.sidecars[name])
        assert PLANTED.encode() not in gzip.decompress(encode(volume))
        assert PLANTED not in (tmp_path / f"out/{name}.json").read_text(encoding="utf-8")
        assert not volume.metadata


def test_only_listed_fields_with_plain_values_are_kept() -> None:
    said = acquisition(
        {
            **{key: [PLANTED] for key in ALLOWED},
            "Manufacturer": "Siemens\n Healthineers" + "x" * 100,
            "EchoTime": 140.0,
            "RepetitionTime": 9931.8544921875,
            "InversionTime": 2.85,
            "MagneticFieldStrength": float("nan"),
            "FlipAngle": True,
            "SliceThickness": 5,
        }
    )
    assert said == {
        "Manufacturer": ("Siemens Healthineers" + "x" * 100)[:64],
        "EchoTime": 0.14,
        "RepetitionTime": 9.931854492,
        "InversionTime": 2.85,
        "SliceThickness": 5,
    }


def test_the_same_visit_twice_is_the_same(visit: Visit, head: SimpleNamespace) -> None:
    one, two = (visit(adc=head.adc, dwi=(series_of(head), None, "0 1000")) for _ in range(2))
    assert one.facts == two.facts and one.faults == two.faults
    assert all(encode(one.images[name]) == encode(two.images[name]) for name in one.images)


def test_sources_of_the_index(tmp_path: Path) -> None:
    files = ["sub-1/dwi/sub-1_dwi.nii.gz", "dwi.bval", "dwi.json", "sub-1/dwi/sub-1_dwi.bval"]
    source = Source.of(tmp_path, [[name, "stamp"] for name in files])
    assert source.path == tmp_path / files[0] and source.bval == tmp_path / files[3]
    assert source.metadata == (tmp_path / "dwi.json",) and source.name() == files[0]
    assert Source(Path("/elsewhere/a.nii.gz")).name() == "a.nii.gz"


REAL = {
    "isles0009": ("1e-3 mm2/s", True, {"adc": "ADC", "trace": "trace"}, (30.39, 106.33)),
    "isles0001": ("1e-3 mm2/s", True, {"adc": "ADC", "trace": "trace"}, (18.40, 57.11)),
    "ads02": ("mm2/s", False, {"adc": "ADC", "dwi": "dwi"}, None),
}


@pytest.mark.parametrize("patient", REAL)
def test_real_patients(patient: str, real_data: Path, prepare_settings: dict[str, Any]) -> None:
    unit, stripped, roles, volumes = REAL[patient]
    root = real_data / "acute-dwi"
    sources = {}
    for role, suffix in roles.items():
        stem = f"sub-{patient}/dwi/sub-{patient}_{suffix}"
        files = [f"{stem}{e}" for e in (".nii.gz", ".json", ".bval") if (root / f"{stem}{e}").exists()]
        sources[role] = Source.of(root, [[name, ""] for name in files])
    prepared = prepare_visit(sources, **prepare_settings)
    assert prepared.faults == []
    assert prepared.facts["adc_unit"]["unit"] == unit and prepared.facts["skull_stripped"] is stripped
    adc, brain = prepared.images["adc"], prepared.images["brain"].data
    if volumes:
        found = [float((brain & (adc.data > 0) & (adc.data < t)).sum()) * adc.voxel_ml for t in (480, 620)]
        assert found == pytest.approx(volumes, abs=0.02)
        return
    computed = prepare_visit({"dwi": sources["dwi"]}, **prepare_settings).images["adc"].data
    np.testing.assert_allclose(computed[brain], adc.data[brain], atol=0.1)
    given, _ = read_mask(root / f"derivatives/ads/sub-{patient}/dwi/sub-{patient}_desc-brain_mask.nii.gz")
    assert 2 * (brain & given.data).sum() / (brain.sum() + given.data.sum()) >= 0.93
