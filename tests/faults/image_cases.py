"""Patients whose files are damaged or hold something else than they should: rows 1 to 18 of the catalogue."""

from __future__ import annotations

import gzip

import numpy as np

from reperfuse.imaging.volume import encode
from tests.faults.build_faults import Patient, case, patched, put

ANNEX = "/annex/objects/MD5E-s20871--0e4f.nii.gz\n"
LFS = "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 20871\n"
TRACE = ("J1_trace", "J1_brain")
NO_ADC = ("J1_adc", "J1_adc620", "J1_lesion")


def adc_of(patient: Patient, **fields: object) -> None:
    """Write trace and ADC map, the latter with fields of its header changed."""
    patient.write("trace")
    put(patient.path("adc"), patched(encode(patient.volume("adc")), **fields))


# The file


@case(1, "E101", step="index", says=("0 bytes", "datalad get"), spared=TRACE, volumes=False)
def empty(patient: Patient) -> None:
    patient.write("trace")
    put(patient.path("adc"), b"")


@case(2, "E102", step="index", says=("MD5E-s20871--0e4f", "datalad get"), spared=TRACE, volumes=False)
def annex_link(patient: Patient) -> None:
    patient.write("trace")
    patient.path("adc").symlink_to("../../../.git/annex/objects/Xf/9k/MD5E-s20871--0e4f.nii.gz")


@case(2, "E102", step="index", says=("sub-9_ADC.nii.gz",), volumes=False)
def absolute_link(patient: Patient) -> None:
    patient.write("trace")
    patient.path("adc").symlink_to("/home/DOE^JOHN/store/sub-9_ADC.nii.gz")


@case(3, "E102", step="index", says=("MD5E-s20871--0e4f", "datalad get"), spared=TRACE, volumes=False)
def annex_pointer(patient: Patient) -> None:
    patient.write("trace")
    put(patient.path("adc"), ANNEX)


@case(3, "E102", step="index", says=("git-lfs",), spared=TRACE, volumes=False)
def lfs_pointer(patient: Patient) -> None:
    patient.write("trace")
    put(patient.path("adc"), LFS)


@case(4, "E103", says=("of 55648 bytes", "it was cut off"), spared=TRACE, lost=NO_ADC, volumes=False)
def truncated(patient: Patient) -> None:
    patient.write("trace")
    put(patient.path("adc"), encode(patient.volume("adc"))[:-4000])


@case(5, "W103", says=("7 bytes",), spared=("J1_adc",), volumes=True)
def garbage(patient: Patient) -> None:
    patient.write("trace")
    plain = gzip.decompress(encode(patient.volume("adc")))
    two_members = gzip.compress(plain[:9000], mtime=0) + gzip.compress(plain[9000:], mtime=0)
    put(patient.path("adc"), two_members + b"garbage")


@case(6, "E104", says=("not compressed", "rename"), spared=TRACE, lost=NO_ADC, volumes=False)
def plain(patient: Patient) -> None:
    patient.write("trace")
    put(patient.path("adc"), gzip.decompress(encode(patient.volume("adc"))))


@case(7, "E105", says=("476.84 GiB", "at most 4 GiB"), spared=TRACE, lost=NO_ADC, volumes=False)
def bomb(patient: Patient) -> None:
    adc_of(patient, dim=[3, 4000, 4000, 4000, 1, 1, 1, 1], datatype=64, bitpix=64)


@case(8, "E106", says=("0 × 36 × 12",), spared=TRACE, lost=NO_ADC, volumes=False)
def no_voxel(patient: Patient) -> None:
    adc_of(patient, dim=[3, 0, 36, 12, 1, 1, 1, 1])


@case(9, "W107", says=("32 × 36 × 12 × 1",), spared=("J1_adc",), volumes=True)
def singleton(patient: Patient) -> None:
    adc_of(patient, dim=[4, 32, 36, 12, 1, 1, 1, 1])


@case(
    10, "E107", file="trace.nii.gz", says=("2 volumes",), lost=("J1_trace",), spared=("J1_adc",), volumes=True
)
def two_volumes(patient: Patient) -> None:
    patient.write("adc")
    series = patient.volume("dwi")
    put(patient.path("trace"), encode(series.like(series.data[..., :2])))


@case(10, spared=("J1_trace", "J1_s0", "J1_adc"), volumes=True)
def r10_two_volumes_with_b_values(patient: Patient) -> None:
    two_volumes(patient)
    put(patient.path("trace", extension=".bval"), "0 1000\n")


@case(11, "E108", file="dsc.nii.gz", says=("12 time points", "at least 20"), lost=("J0_pwi",), volumes=True)
def short_series(patient: Patient) -> None:
    patient.write("adc", "trace")
    series = patient.volume("pwi", "01")
    put(patient.path("pwi", "01"), encode(series.like(series.data[..., :12]), tr_s=1.8))


@case(12, "E109", says=("RGB", "colour map"), spared=TRACE, lost=NO_ADC, volumes=False)
def colour(patient: Patient) -> None:
    adc_of(patient, dim=[3, 32, 36, 16, 1, 1, 1, 1], datatype=128, bitpix=24)


@case(13, "W110", says=("3 voxels",), spared=("J1_adc",), volumes=True)
def few_nan(patient: Patient) -> None:
    patient.write("trace")
    adc = patient.volume("adc")
    adc.data[0, 0, :3] = np.nan
    put(patient.path("adc"), encode(adc))


@case(13, "E110", says=("NaN or infinite", "at most 1 %"), spared=TRACE, lost=NO_ADC, volumes=False)
def many_nan(patient: Patient) -> None:
    patient.write("trace")
    adc = patient.volume("adc")
    adc.data[patient.brain & (np.indices(adc.data.shape)[2] == 6)] = np.inf
    put(patient.path("adc"), encode(adc))


@case(14, "E111", says=("every voxel is 0",), spared=TRACE, lost=NO_ADC, volumes=False)
def all_zero(patient: Patient) -> None:
    patient.write("trace")
    put(patient.path("adc"), encode(patient.volume("adc").like(np.zeros((32, 36, 12), np.float32))))


# Units and content


@case(15, "W112", says=("slope is nan", "taken as 1"), spared=("J1_adc",), volumes=True)
def slope(patient: Patient) -> None:
    adc_of(patient, scl_slope=np.nan)


def in_unit(patient: Patient, factor: float) -> None:
    """Write the same map in another unit; the noise is that of one patient."""
    patient.write("trace")
    adc = Patient(patient.bids, "sub-units", patient.bases).volume("adc")
    put(patient.path("adc"), encode(adc.like((adc.data * factor).astype(np.float32))))


@case(16, spared=("J1_adc",), volumes=True)
def r16_mm2s(patient: Patient) -> None:
    in_unit(patient, 1e-6)


@case(16, spared=("J1_adc",), volumes=True)
def r16_thousandths(patient: Patient) -> None:
    in_unit(patient, 1e-3)


@case(16, "E113", says=("adc_units", "mm2/s"), lost=NO_ADC, volumes=False)
def no_unit(patient: Patient) -> None:
    in_unit(patient, 0.02)


@case(17, "W113", says=("set to 0",), spared=("J1_adc",), volumes=True)
def negative(patient: Patient) -> None:
    patient.write("trace")
    adc = patient.volume("adc")
    adc.data[patient.brain & (np.indices(adc.data.shape).sum(axis=0) % 9 == 0)] *= -1
    put(patient.path("adc"), encode(adc))


@case(18, "E114", says=("fluid is darker", "exponential ADC"), spared=TRACE, lost=NO_ADC, volumes=False)
def exponential(patient: Patient) -> None:
    patient.write("trace")
    adc = patient.volume("adc")
    put(patient.path("adc"), encode(adc.like(np.where(patient.brain, 1500 * np.exp(-adc.data / 1000), 0))))
