"""Write the synthetic cohort as a BIDS dataset, and its truth beside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from reperfuse.core.errors import ConfigError
from reperfuse.core.files import write_json, write_text
from reperfuse.core.seeds import seed_of
from reperfuse.core.tables import write_table
from reperfuse.imaging.volume import Volume, write_volume
from reperfuse.phantom import clinical_tables, oracle
from reperfuse.phantom.patient import Patient, Protocol, Shot, Site, row_of
from reperfuse.phantom.scalars import PLANTED, Table, missing, participant_id, simulate

TWINS = ("none", "labels", "noise")
# Scalars that the label-permuted twin takes from an independent cohort.
LABELS = ("nihss", "nihss_24h", "mrs", "favourable", "ht", "side_of_nihss")
FILES = {
    "dwi": ("dwi", "dwi"), "adc": ("dwi", "ADC"), "trace": ("dwi", "trace"), "flair": ("anat", "FLAIR"),
    "t1w": ("anat", "T1w"), "gre": ("anat", "T2starw"), "pwi": ("perf", "ce-gadolinium_dsc"),
}  # fmt: skip
README = """A synthetic cohort of acute ischaemic stroke MRI, with known truth.

Nothing here comes from a person. Heads are analytic, lesions and clinical values are drawn from planted laws,
and times are shifted so that last known well is 1900-01-01T00:00:00. ses-01 is admission, ses-02 is 24 hours.
Perfusion series have no BIDS suffix yet; they are listed in .bidsignore.
"""


def write_cohort(
    bids_dir: str | Path,
    truth_dir: str | Path,
    *,
    n: int,
    seed: int,
    shape: Sequence[int],
    spacing_mm: Sequence[float],
    pwi_in_plane_max: int,
    frames: Sequence[int],
    recirculation: float,
    b_s_mm2: float,
    snr: float,
    bias_sd: float,
    contrast_shift_mm: float,
    contrast_rotation_deg: float,
    j1_shift_mm: float,
    j1_rotation_deg: float,
    mcar: Mapping[str, float],
    pwi_missing_mild: float,
    pwi_missing_other: float,
    minor_max: int,
    left_before_j1: float,
    manual_lesion_rate: float,
    duplicates: int,
    twin: str,
) -> list[str]:
    """Write a cohort; the same arguments give the same bytes, and a patient's do not depend on ``n``.

    Parameters
    ----------
    bids_dir, truth_dir : path
        The dataset, and the truth, which must lie outside it.
    n, seed : int
        Number of patients (at most 9000), and the cohort's seed.
    shape, spacing_mm : three numbers
        Grid of every image but PWI (voxels, mm).
    pwi_in_plane_max : int
        PWI uses this grid, coarsened by a whole factor until its longer side has at most so many voxels.
    frames : two ints
        Fewest and most frames of a PWI series.
    recirculation : float
        Height of the second passage in the artery over the first.
    b_s_mm2, snr, bias_sd : float
        b-value, grey-matter signal-to-noise ratio, SD of the logarithm of the receive field.
    contrast_shift_mm, contrast_rotation_deg, j1_shift_mm, j1_rotation_deg : float
        SD, per axis, of the rigid displacement of a contrast within its visit, and of J1 from J0.
    mcar, pwi_missing_mild, pwi_missing_other, minor_max, left_before_j1
        Missing images; see `scalars.missing`. Where ADC or trace is missing, so is the series it comes from.
    manual_lesion_rate : float
        Share of patients whose true J0 lesion is given as a reader's mask under ``derivatives/manual``.
    duplicates : int
        So many of the first patients appear again under a new identifier, sub-9001 and on, byte for byte.
    twin : {"none", "labels", "noise"}
        Negative twin: labels of an independent cohort of the same law, or images replaced by noise.

    Returns
    -------
    list of str
        Identifiers written.

    Raises
    ------
    ConfigError
        Where the truth would lie in the dataset, or an argument is out of range.

    Source: science reference, appendix B; names, BIDS 1.11.1.
    """  # fmt: skip
    bids, truth = Path(bids_dir), Path(truth_dir)
    if truth.resolve().is_relative_to(bids.resolve()):
        raise ConfigError(f"truth_dir {truth} lies inside bids_dir {bids}; put it elsewhere")
    if twin not in TWINS or not 1 <= n <= 9000 or not 0 <= duplicates <= min(n, 999):
        raise ConfigError(
            f"twin {twin!r}, n {n}, duplicates {duplicates}: expected one of {TWINS}, 1–9000, 0–n"
        )
    protocol = Protocol(
        seed, _three(shape), _three(spacing_mm), pwi_in_plane_max, (int(frames[0]), int(frames[1])),
        recirculation,
        b_s_mm2, snr, bias_sd, contrast_shift_mm, contrast_rotation_deg, j1_shift_mm, j1_rotation_deg,
        planted=twin != "labels",
    )  # fmt: skip
    table = simulate(n, seed)
    gone = missing(
        table, mcar=dict(mcar), pwi_missing_mild=pwi_missing_mild, pwi_missing_other=pwi_missing_other,
        minor_max=minor_max, left_before_j1=left_before_j1,
    )  # fmt: skip
    labels = _labels(table, n, seed, twin)
    _write_frame(bids)
    writer = _Writer(bids, truth, twin, seed)
    people: list[dict[str, Any]] = []
    tables: dict[str, list[dict[str, Any]]] = {name: [] for name in clinical_tables.TABLES}
    facts: list[dict[str, Any]] = []
    names = {i: [participant_id(i)] + ([f"sub-{9001 + i}"] if i < duplicates else []) for i in range(n)}
    for i in range(n):
        row = row_of(labels, i)
        absent = {role for role, flags in gone.items() if flags[i]}
        reader = bool(row["u_reader"] < manual_lesion_rate)
        for name in names[i]:
            patient = Patient(participant_id(i), row, protocol)
            writer.patient(name, patient, absent, reader)
            j1 = "j1" not in absent
            clinical_tables.write_sessions(bids, name, row, j1)
            people.append({"participant_id": name, **clinical_tables.participant(row)})
            items = clinical_tables.items_of(seed, participant_id(i), {**row, "side": row["side_of_nihss"]})
            rows = clinical_tables.phenotype(row, items=items, j1=j1, ht_share=patient.facts.get("ht_share"))
            for key, values in rows.items():
                tables[key].append({"participant_id": name, **values})
            facts.append(
                {
                    "participant_id": name,
                    "missing": " ".join(sorted(absent)),
                    "twin_of": names[i][0],
                    **patient.facts,
                }
            )
    order = sorted(range(len(people)), key=lambda k: people[k]["participant_id"])
    clinical_tables.write_tables(
        bids, [people[k] for k in order], {key: [rows[k] for k in order] for key, rows in tables.items()}
    )
    _write_truth(truth, table, labels, [facts[k] for k in order], protocol, twin)
    return [people[k]["participant_id"] for k in order]


def _three(values: Sequence[Any]) -> tuple[Any, Any, Any]:
    x, y, z = values
    return x, y, z


def _labels(table: Table, n: int, seed: int, twin: str) -> Table:
    """Return the scalars that the dataset tells: the patient's own, or, in the twin, another's labels."""
    own = {**table, "side_of_nihss": table["side"]}
    if twin != "labels":
        return own
    other = simulate(n, seed, purpose="permuted labels")
    other["side_of_nihss"] = other["side"]
    told = [*LABELS, *clinical_tables.COGNITION]
    return own | {name: other[name] for name in told}


def _write_frame(bids: Path) -> None:
    description = {
        "Name": "Reperfuse phantom: synthetic acute stroke MRI",
        "BIDSVersion": "1.11.1", "DatasetType": "raw",
        "License": "CC0", "Authors": ["Reperfuse contributors"],
        "GeneratedBy": [{"Name": "reperfuse.phantom"}],
    }  # fmt: skip
    write_json(bids / "dataset_description.json", description)
    write_text(bids / "README", README)
    write_text(bids / ".bidsignore", "**/perf/*_dsc.*\n")
    write_json(bids / "sessions.json", clinical_tables.SESSIONS)
    manual = {
        "Name": "Readers' masks of the synthetic cohort",
        "BIDSVersion": "1.11.1", "DatasetType": "derivative",
        "License": "CC0", "GeneratedBy": [{"Name": "reperfuse.phantom"}],
    }  # fmt: skip
    write_json(bids / "derivatives" / "manual" / "dataset_description.json", manual)


class _Writer:
    """Writes one patient after the other."""

    def __init__(self, bids: Path, truth: Path, twin: str, seed: int) -> None:
        self.bids, self.truth, self.twin, self.seed = bids, truth, twin, seed

    def patient(self, name: str, patient: Patient, absent: set[str], reader: bool) -> None:
        """Make and write every image that is not absent, and the truth of those that are made."""
        images, border = patient.diffusion("J0")
        for role, shot in images.items():
            if role not in absent and not (role == "dwi" and absent & {"adc", "trace"}):
                self._raw(name, "01", role, shot, patient)
        for role in ("flair", "t1w"):
            if role not in absent:
                self._raw(name, "01", role, patient.structural(role, border), patient)
        if "pwi" not in absent:
            self._raw(name, "01", "pwi", patient.perfusion(border), patient)
        if reader:
            self._mask(name, "01", "dwi", "L", patient.truth["J0_lesion"], "Lesion")
        if "j1" not in absent:
            images, border = patient.diffusion("J1")
            for role, shot in images.items():
                self._raw(name, "02", role, shot, patient)
            if "gre" not in absent:
                self._raw(name, "02", "gre", patient.gradient_echo(border), patient)
                self._mask(name, "02", "anat", "HT", patient.truth["J1_ht"], "Lesion")
        folder = self.truth / name
        for key, shot in sorted(patient.truth.items()):
            write_volume(folder / f"{key}.nii.gz", Volume(shot.data, shot.affine))
        write_json(folder / "transforms.json", {key: pose.tolist() for key, pose in patient.poses.items()})
        curves = patient.facts.pop("curves", None)
        if curves is not None:
            rows = [
                dict(zip(curves, map(float, values), strict=True))
                for values in zip(*curves.values(), strict=True)
            ]
            write_table(folder / "curves.tsv", rows, list(curves))

    def _raw(self, name: str, session: str, role: str, shot: Shot, patient: Patient) -> None:
        folder, suffix = FILES[role]
        path = self.bids / name / f"ses-{session}" / folder / f"{name}_ses-{session}_{suffix}.nii.gz"
        data = shot.data
        if self.twin == "noise":
            data = _noise(data, seed_of(self.seed, "phantom", patient.name, "noise twin", session, role))
        write_volume(path, Volume(data, shot.affine), _sidecar(role, patient), tr_s=shot.tr_s)
        if role == "dwi":
            b = patient.protocol.b_s_mm2
            stem = str(path).removesuffix(".nii.gz")
            write_text(stem + ".bval", f"0 {b:g} {b:g} {b:g}\n")
            write_text(stem + ".bvec", "0 1 0 0\n0 0 1 0\n0 0 0 1\n")

    def _mask(self, name: str, session: str, folder: str, label: str, shot: Shot, kind: str) -> None:
        file = f"{name}_ses-{session}_label-{label}_desc-manual_mask.nii.gz"
        path = self.bids / "derivatives" / "manual" / name / f"ses-{session}" / folder / file
        source = "dwi/{0}_trace.nii.gz" if label == "L" else "anat/{0}_T2starw.nii.gz"
        uri = f"bids:raw:{name}/ses-{session}/" + source.format(f"{name}_ses-{session}")
        write_volume(path, Volume(shot.data, shot.affine), {"Type": kind, "Manual": True, "Sources": [uri]})


def _noise(data: np.ndarray, seed: int) -> np.ndarray:
    """Return an image of the same type and scale that holds nothing but noise."""
    rng = np.random.default_rng(seed)
    scale = float(np.abs(data[data != 0].astype(np.float64)).mean()) if data.any() else 1.0
    values = scale * (1 + 0.2 * rng.standard_normal(data.shape, dtype=np.float32))
    return np.rint(values).astype(data.dtype) if data.dtype.kind == "i" else values.astype(data.dtype)


def _sidecar(role: str, patient: Patient) -> dict[str, Any]:
    site: Site = patient.site
    te_s = {"dwi": 0.085, "adc": 0.085, "trace": 0.085, "flair": 0.12, "t1w": 0.009, "gre": 0.02}
    tr_s = {"dwi": 5.2, "adc": 5.2, "trace": 5.2, "flair": 9.0, "t1w": 0.5, "gre": 0.7}
    timing = patient.timing
    sidecar: dict[str, Any] = {
        "Manufacturer": site.vendor, "MagneticFieldStrength": site.field_t, "Modality": "MR",
        "SliceThickness": float(patient.protocol.spacing_mm[2]), "MRAcquisitionType": "2D",
        "EchoTime": timing.te_s if role == "pwi" else te_s[role],
        "RepetitionTime": timing.tr_s if role == "pwi" else tr_s[role],
    }  # fmt: skip
    if role == "pwi":
        sidecar |= {"ContrastBolusIngredient": "GADOLINIUM", "FlipAngle": 80}
    if role == "flair":
        sidecar["InversionTime"] = 2.5
    if role == "adc" and site.declares_unit:
        sidecar["Units"] = site.adc_unit
    return sidecar


def _write_truth(
    truth: Path, table: Table, labels: Table, facts: list[dict[str, Any]], protocol: Protocol, twin: str
) -> None:
    """Write what was planted and what is true of each patient."""
    n = table["index"].size
    shown = [name for name in table if not name.startswith(("u_", "z_"))]
    rows = [{"participant_id": participant_id(i), **{k: table[k][i].item() for k in shown}} for i in range(n)]
    write_table(truth / "cohort.tsv", rows, ["participant_id", *shown])
    scores = oracle.scores(table)
    rows = [
        {"participant_id": participant_id(i), **{k: float(v[i]) for k, v in scores.items()}} for i in range(n)
    ]
    write_table(truth / "scores.tsv", rows, ["participant_id", *scores])
    told = [name for name in LABELS if name != "favourable"]
    rows = [{"participant_id": participant_id(i), **{k: labels[k][i].item() for k in told}} for i in range(n)]
    write_table(truth / "labels.tsv", rows, ["participant_id", *told])
    columns = ["participant_id", "twin_of", "missing", "J0_lesion_ml", "J1_lesion_ml", "J0_brain_ml",
               "J1_brain_ml", "tmax6_ml", "cbf_scale", "ht_ml", "ht_share"]  # fmt: skip
    write_table(truth / "images.tsv", facts, columns)
    write_json(truth / "planted.json", {**PLANTED, "twin": twin, "seed": protocol.seed})
