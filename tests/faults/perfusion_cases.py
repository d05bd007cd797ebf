"""Patients whose perfusion series, haemorrhage or times are wrong: rows 39 to 43 and 46 to 48."""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from reperfuse.imaging.volume import Volume, encode
from tests.faults.build_faults import Patient, case, put

TR_S, TE_S = 1.8, 0.03
DSC = "dsc.nii.gz"
LOST = ("PWI_tmax", "PWI_concentration")
MADE = ("PWI_s0", "PWI_tmax", "PWI_rttp")


def series(patient: Patient, volume: Volume | None = None, **sidecar: Any) -> None:
    """Write a perfusion series of the baseline with its times; None takes a field away."""
    volume = patient.volume("pwi", "01") if volume is None else volume
    put(patient.path("pwi", "01"), encode(volume, tr_s=TR_S))
    told = {"EchoTime": TE_S, "RepetitionTime": TR_S} | sidecar
    known = {key: value for key, value in told.items() if value is not None}
    put(patient.path("pwi", "01", extension=".json"), json.dumps(known))


@case(39, "E141", step="perfusion", file=DSC, says=("EchoTime is missing",), spared=("J0_pwi",), lost=LOST)
def no_echo_time(patient: Patient) -> None:
    series(patient, EchoTime=None)


@case(39, "W141", step="perfusion", file=DSC, says=("EchoTime is 30", "milliseconds"), spared=MADE)
def milliseconds(patient: Patient) -> None:
    series(patient, EchoTime=30)


@case(40, "W152", step="perfusion", file=DSC, says=("usable curve", "at least 90 %"), spared=MADE)
def zeros_in_time(patient: Patient) -> None:
    volume = patient.volume("pwi", "01")
    volume.data[:, 24:, :, 20:24] = 0
    series(patient, volume)


@case(41, "E142", step="perfusion", file=DSC, says=("no bolus", "falls by"), spared=("J0_pwi",), lost=LOST)
def still(patient: Patient) -> None:
    volume = patient.volume("pwi", "01")
    series(patient, volume.like(volume.data[..., [4]] + np.arange(30, dtype=np.float32) % 3))


@case(42, "E143", step="perfusion", file=DSC, says=("VolumeTiming names 29 times for 30",), lost=LOST)
def dropped_frames(patient: Patient) -> None:
    series(patient, RepetitionTime=None, VolumeTiming=[TR_S * k for k in range(29)])


@case(42, spared=MADE)
def r42_volume_timing(patient: Patient) -> None:
    series(patient, RepetitionTime=None, VolumeTiming=[TR_S * k + 0.2 * (k % 2) for k in range(30)])


@case(43, "W148", step="perfusion", file=DSC, says=("25 time points", "repeat the last"), spared=MADE)
def short(patient: Patient) -> None:
    volume = patient.volume("pwi", "01")
    series(patient, volume.like(volume.data[..., :24]))


@case(
    46,
    "E150",
    step="register",
    file="",
    says=("J0_pwi could not be aligned",),
    spared=("J0_adc", "J0_pwi", *MADE),
    lost=("space-J0_pwi", "PWI_adc", "PWI_core"),
    volumes=True,
)
def few_slices(patient: Patient) -> None:
    patient.write("adc", "trace", session="01")
    volume = patient.volume("pwi", "01")
    affine = volume.affine.copy()
    affine[:3, 3] += 4 * affine[:3, 2]
    series(patient, Volume(volume.data[:, :, 4:7], affine))


@case(
    47,
    "E120",
    step="perfusion",
    file="mask.nii.gz",
    says=("resample the mask",),
    spared=(*MADE, "PWI_gre", "PWI_covered", "PWI_adc"),
    lost=("PWI_ht",),
)
def haemorrhage_elsewhere(patient: Patient) -> None:
    patient.write("adc", "trace", session="01")
    patient.write("trace", "gre")
    series(patient)
    affine = patient.bases["gre"].affine.copy()
    affine[:3, 3] += 3.7
    name = f"{patient.sub}_ses-02_label-HT_desc-manual_mask.nii.gz"
    mask = Volume(patient.infarct, affine)
    put(patient.bids / "derivatives/manual" / patient.sub / "ses-02/anat" / name, encode(mask))


@case(
    48,
    "E151",
    step="index",
    file="sessions.tsv",
    study="all",
    says=("25.0 hours before the baseline", "acq_time"),
    volumes=False,
    lost=("J0_flair", "J1_flair"),
)
def swapped(patient: Patient) -> None:
    patient.write("flair", session="01")
    patient.write("flair")
    rows = "session_id\tacq_time\nses-01\t1900-01-02T09:00:00\nses-02\t1900-01-01T08:00:00\n"
    put(patient.bids / patient.sub / f"{patient.sub}_sessions.tsv", rows)
