"""Patients whose files, names or clinical rows contradict each other: rows 29 to 36, 59, 73, 74 of the catalogue."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import nibabel as nib

from reperfuse.imaging.volume import Volume, encode
from tests.faults.build_faults import PLAUSIBLE, Patient, case, patched, put

# What must appear in no output. The table of participants, a sidecar and free fields of a header hold it.
SECRET = "DOE^JOHN"
# Names of folders that a shell or a path could take amiss; none may become a patient.
NAMES = ("sub-$(touch pwned)", "sub--rf", "sub-..", "sub-a b", "sub-line\nbreak", "sub-é", "sub-;reboot")
NEVER_THERE = "sub-w127norow"
ITEMS = {
    "nihss_1a": "1",
    **dict.fromkeys(("nihss_1b", "nihss_1c"), "0"),
    **{f"nihss_{item}": "0" for item in "2 3 4 5a 5b 6a 6b 7 8 9 10 11".split()},
}


# Files


@case(
    29,
    "E123",
    step="index",
    says=("2 files serve as adc", "run-2", "select: {run: last}"),
    spared=("J1_trace",),
    volumes=False,
)
def two_runs(patient: Patient) -> None:
    patient.write("trace")
    for run, session in (("run-1", "01"), ("run-2", "02")):
        put(patient.path("adc", entities=run), encode(patient.volume("adc", session)))


@case(
    29,
    "E123",
    step="index",
    file="ADC.nii",
    says=("2 files serve as adc",),
    spared=("J1_trace",),
    volumes=False,
)
def stray(patient: Patient) -> None:
    patient.write("trace", "adc")
    put(patient.path("adc", extension=".nii"), encode(patient.volume("adc")))


@case(30, spared=("J1_trace",))
def a30_original(patient: Patient) -> None:
    put(patient.path("trace"), encode(Patient(patient.bids, "sub-same", patient.bases).volume("trace")))


@case(
    30,
    "E124",
    step="index",
    file="trace.nii.gz",
    study="all",
    volumes=False,
    says=("sub-a30original_ses-02_trace.nii.gz", "each patient once"),
)
def same_again(patient: Patient) -> None:
    put(patient.path("trace"), encode(Patient(patient.bids, "sub-same", patient.bases).volume("trace")))


@case(73, "E211", step="index", file="adc.nii.gz", says=("upper and lower case",), spared=("J1_adc",))
def letters(patient: Patient) -> None:
    patient.write("adc", "trace")
    path = patient.path("adc")
    put(path.with_name(path.name.replace("ADC", "adc")), b"")


@case(74, "E212", step="index", says=("cannot be read",), spared=("J1_trace",), volumes=False)
def loop(patient: Patient) -> None:
    patient.write("trace")
    patient.path("adc").symlink_to(patient.path("adc").name)


@case(
    74, "E212", step="index", says=("permission denied", "ask its owner"), spared=("J1_trace",), volumes=False
)
def not_mine(patient: Patient) -> None:
    patient.write("trace", "adc")
    patient.path("adc").chmod(0)


@case(64, "E213", file="ADC.json", says=("not valid JSON", "line 2"), spared=("J1_trace",), volumes=False)
def sidecar(patient: Patient) -> None:
    patient.write("trace", "adc")
    put(patient.path("adc", extension=".json"), '{"EchoTime": 0.08,\n}')


@case(
    10,
    "E214",
    file="dwi.nii.gz",
    says=("3 b-values for 4 volumes",),
    spared=("J1_adc", "J1_trace"),
    volumes=True,
)
def b_values(patient: Patient) -> None:
    patient.write("adc", "trace", "dwi")
    put(patient.path("dwi", extension=".bval"), "0 1000 1000\n")


@case(1, "E128", step="index", file="", study="all", says=("none of the images",), volumes=False)
def no_image(patient: Patient) -> None:
    put(patient.bids / patient.sub / "notes.txt", "scanned elsewhere\n")


# Clinical rows


@case(30, "W125", step="index", file="", says=("sub-0w125zeros", "leading zeros"), spared=("J1_flair",))
def zeros(patient: Patient) -> None:
    patient.write("flair")
    Patient(patient.bids, "sub-0w125zeros", patient.bases).write("flair")


@case(31, "W126", step="clinical", file="", says=("no row",), cells=None, spared=("J1_adc",), volumes=True)
def no_row(patient: Patient) -> None:
    patient.write("adc", "trace")


@case(
    33,
    "E130",
    step="clinical",
    file="participants.tsv",
    study="outcome",
    says=("line", "3 cells in place of 6"),
    cells={"name": "nobody"},
    spared=("J1_flair",),
)
def ragged(patient: Patient) -> None:
    patient.write("flair")


@case(
    34,
    "W133",
    step="clinical",
    file="participants.tsv",
    says=("89+", "taken as 89"),
    spared=("J1_flair",),
    cells=PLAUSIBLE | {"age": "89+"},
)
def capped(patient: Patient) -> None:
    patient.write("flair")


@case(34, cells=PLAUSIBLE | {"sex": "X3", "nihss": " ", "mrs_3m": "unknown"}, spared=("J1_flair",))
def r34_other_words(patient: Patient) -> None:
    patient.write("flair")


@case(
    35,
    "E132",
    step="clinical",
    file="participants.tsv",
    study="outcome",
    says=("mrs_3m is '7'", "from 0 to 6"),
    cells=PLAUSIBLE | {"mrs_3m": "7"},
    spared=("J1_flair",),
)
def rankin(patient: Patient) -> None:
    patient.write("flair")


@case(
    35,
    "E132",
    step="clinical",
    file="participants.tsv",
    study="severity",
    says=("nihss is 9", "the sum of its items"),
    spared=("J1_flair",),
)
def sum_of_items(patient: Patient) -> None:
    patient.write("flair")
    cells = {"participant_id": patient.sub, **ITEMS}
    put(patient.bids / "phenotype/nihss.tsv", "\t".join(cells) + "\n" + "\t".join(cells.values()) + "\n")


@case(36, cells=PLAUSIBLE | {"mrs_3m": "n/a"}, spared=("J1_adc",), volumes=True)
def r36_no_outcome(patient: Patient) -> None:
    patient.write("adc", "trace")


# Patients without a fault


@case(
    0,
    spared=("J0_adc", "J1_adc", "space-J0_adc", "space-MNI_anatomy", "J0_adc620", "J1_lesion"),
    volumes=True,
)
def healthy(patient: Patient) -> None:
    patient.write("adc", "trace", session="01")
    for role in ("adc", "trace"):
        volume = patient.volume(role)
        affine = volume.affine.copy()
        affine[:3, 3] += (4, -3, 6)  # the head lies elsewhere on the second day
        put(patient.path(role), encode(Volume(volume.data, affine)))


@case(
    (64, 65), spared=("J0_adc", "J0_flair", "space-J0_flair", "space-MNI_anatomy", "J0_lesion"), volumes=True
)
def planted(patient: Patient) -> None:
    for role in ("adc", "trace", "flair"):
        volume = patient.volume(role, "01")
        image = nib.Nifti1Image(volume.data, volume.affine)
        image.header.extensions.append(nib.nifti1.Nifti1Extension("comment", SECRET.encode()))
        fields = dict.fromkeys(("descrip", "aux_file", "db_name", "intent_name"), SECRET)
        content = gzip.compress(image.to_bytes(), mtime=0)
        put(patient.path(role, "01"), patched(content, **fields))
        told = {
            "PatientName": SECRET,
            "Manufacturer": "Siemens",
            "_private": {"MRN": SECRET},
            "EchoTime": 0.08,
        }
        put(patient.path(role, "01", extension=".json"), json.dumps(told))


def strangers(bids: Path) -> list[str]:
    """Write folders whose names cannot be a patient's; return the names that this file system took."""
    taken = []
    for name in NAMES:
        try:
            put(bids / name / "ses-02/dwi" / f"{name}_ses-02_ADC.nii.gz", b"")
            taken.append(name)
        except OSError:
            continue
    return taken
