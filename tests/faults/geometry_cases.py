"""Patients whose images lie where they should not, and whose masks do: rows 19 to 28 and 46 of the catalogue."""

from __future__ import annotations

import numpy as np

from reperfuse.imaging.volume import Volume, encode
from tests.faults.build_faults import Patient, case, patched, put
from tests.faults.image_cases import NO_ADC, TRACE, adc_of


@case(19, "W115", says=("differ by 50.0 mm",), spared=("J1_adc",), volumes=True)
def two_positions(patient: Patient) -> None:
    offset = patient.bases["adc"].affine[0, 3]
    adc_of(patient, qoffset_x=offset + 50)


@case(20, "E116", says=("neither qform nor sform",), spared=TRACE, lost=NO_ADC, volumes=False)
def no_position(patient: Patient) -> None:
    adc_of(patient, qform_code=0, sform_code=0)


@case(21, "W123", says=("off orthogonal",), spared=("J1_adc",), volumes=True)
def sheared(patient: Patient) -> None:
    affine = patient.bases["adc"].affine
    for role in ("trace", "adc"):
        row = affine[0] + [0, 0.05 * affine[1, 1], 0, 0]
        put(patient.path(role), patched(encode(patient.volume(role)), srow_x=row, qform_code=0))


@case(21, "E119", says=("sheared or degenerate",), spared=TRACE, lost=NO_ADC, volumes=False)
def degenerate(patient: Patient) -> None:
    affine = patient.bases["adc"].affine
    adc_of(patient, srow_x=affine[0] + [0, 2 * affine[1, 1], 0, 0], qform_code=0)


@case(22, "W117", step="register", file="", says=("mirroring", "J1_trace"), spared=("J1_trace",))
def mirrored(patient: Patient) -> None:
    patient.write("trace", session="01")
    trace = patient.volume("trace")
    put(patient.path("trace"), encode(trace.like(trace.data[::-1])))


@case(23, "E118", says=("voxel size is 0",), spared=TRACE, lost=NO_ADC, volumes=False)
def no_size(patient: Patient) -> None:
    adc_of(patient, srow_x=[0, 0, 0, 0], qform_code=0)


@case(23, "W118", says=("header says meter",), spared=("J1_adc",), volumes=True)
def metres(patient: Patient) -> None:
    affine = patient.bases["adc"].affine / 1000
    adc_of(patient, srow_x=affine[0], srow_y=affine[1], srow_z=affine[2], qform_code=0, xyzt_units=9)


@case(
    24,
    "W119",
    file="trace.nii.gz",
    says=("60 mm (5 slices)", "at least 80 mm"),
    spared=("J1_adc",),
    volumes=True,
)
def five_slices(patient: Patient) -> None:
    for role in ("trace", "adc"):
        image = patient.volume(role)
        affine = image.affine.copy()
        affine[:3, 3] += 4 * affine[:3, 2]
        put(patient.path(role), encode(Volume(image.data[:, :, 4:9], affine)))


# Masks


@case(25, "E120", step="lesions", file="mask.nii.gz", says=("32 × 36 × 12", "resample"), lost=("J1_lesion",))
def other_space(patient: Patient) -> None:
    patient.write("adc", "trace")
    affine = patient.bases["adc"].affine.copy()
    affine[:3, 3] += 3.7
    patient.mask(patient.infarct, affine)


@case(
    25,
    "W120",
    step="lesions",
    file="mask.nii.gz",
    says=("64 × 72 × 12",),
    spared=("J1_lesion",),
    volumes=True,
)
def finer_mask(patient: Patient) -> None:
    patient.write("adc", "trace")
    affine = patient.bases["adc"].affine @ np.diag([0.5, 0.5, 1, 1])
    affine[:3, 3] -= patient.bases["adc"].affine[:3, :2].sum(axis=1) / 4
    patient.mask(patient.infarct.repeat(2, axis=0).repeat(2, axis=1), affine)


@case(
    26,
    "W121",
    step="lesions",
    file="mask.nii.gz",
    says=("0, 255", "127.5"),
    spared=("J1_lesion",),
    volumes=True,
)
def bytes255(patient: Patient) -> None:
    patient.write("adc", "trace")
    patient.mask(patient.infarct.astype(np.int16) * 255)


@case(
    26,
    "E121",
    step="lesions",
    file="mask.nii.gz",
    says=("4 different values",),
    lost=("J1_lesion",),
    volumes=True,
)
def labels(patient: Patient) -> None:
    patient.write("adc", "trace")
    patient.mask((np.indices((32, 36, 12))[1] % 4).astype(np.int16))


@case(27, spared=("J1_adc", "J1_lesion"), volumes=True)
def r27_no_lesion(patient: Patient) -> None:
    patient.write("adc", "trace")
    patient.mask(np.zeros((32, 36, 12), bool))


@case(
    28,
    "W122",
    step="lesions",
    file="",
    says=("of the brain", "less than 50"),
    spared=("J1_lesion",),
    volumes=True,
)
def whole_brain(patient: Patient) -> None:
    patient.write("adc", "trace")
    patient.mask(patient.brain)


# In the middle of the graph


@case(
    46,
    "E150",
    step="register",
    file="",
    says=("J0_flair could not be aligned", "mutual information"),
    spared=("J0_adc", "J0_flair", "J0_adc620", "space-MNI_anatomy"),
    lost=("space-J0_flair",),
    volumes=True,
)
def noise(patient: Patient) -> None:
    patient.write("adc", "trace", session="01")
    flair = patient.volume("flair", "01")
    random = np.random.default_rng(4)
    put(
        patient.path("flair", "01"),
        encode(flair.like(random.permuted(flair.data.ravel()).reshape(32, 36, 12))),
    )


@case(
    4,
    "E103",
    file="FLAIR.nii.gz",
    says=("it was cut off",),
    spared=("J0_adc", "J0_adc620", "space-MNI_anatomy"),
    lost=("J0_flair", "space-J0_flair"),
    volumes=True,
)
def truncated_flair(patient: Patient) -> None:
    patient.write("adc", "trace", session="01")
    put(patient.path("flair", "01"), encode(patient.volume("flair", "01"))[:-4000])
