"""Voxels split at random let a model recognise the patient: shown on data that hold nothing else."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from reperfuse.evaluation.discrimination import auc
from reperfuse.studies.transformation.scan import Sample
from reperfuse.studies.transformation.systems import systems
from tests.studies.transformation.made_scans import section

N_PATIENTS, PER_PATIENT, N_POINTS = 60, 12, 60


def fingerprints(seed: int) -> Sample:
    """Voxels whose curves and AIF tell which patient they are of, and nothing of haemorrhage."""
    rng = np.random.default_rng(seed)
    who = np.repeat(np.arange(N_PATIENTS), PER_PATIENT)
    own = rng.standard_normal((N_PATIENTS, N_POINTS))
    curves = own[who][:, :, None] + 0.5 * rng.standard_normal((len(who), N_POINTS, 9))
    return Sample(
        tuple(f"sub-{i:02d}" for i in range(N_PATIENTS)), who, np.zeros((len(who), 3), np.int16),
        (who % 2).astype(np.int8), curves.astype(np.float32),
        rng.standard_normal((len(who), 18)).astype(np.float32), own.astype(np.float32),
        np.zeros((N_PATIENTS, 3)), {},
    )  # fmt: skip


def scored(sample: Sample, name: str, parts: np.ndarray, folder: Path) -> float:
    """Mean AUC of two parts, each predicted by a model of the other."""
    asked = section(lstm={"epochs": 30, "hidden": 16, "lr": 0.01, "batch": 32, "output": "each"})
    system, found = systems(asked, device="cpu", devices=1, threads=1)[name], []
    for part in (0, 1):
        train, test = (sample.take(np.flatnonzero((parts == part) == held)) for held in (False, True))
        model = system.fit(train, system.points[0], seed=1, folder=folder / f"{part}")
        found.append(auc(test.y, model.predict(test)))
    return float(np.mean([one for one in found if one is not None]))


@pytest.mark.parametrize("name", ["forest", "srkda", "lstm_pwi"])
def test_a_random_split_of_voxels_finds_what_is_not_there_and_one_of_patients_does_not(
    name: str, tmp_path: Path
) -> None:
    sample = fingerprints(3)
    rng = np.random.default_rng(0)
    at_random = rng.integers(0, 2, len(sample))
    # Half of the patients of either kind on each side.
    of_patients = ((np.arange(N_PATIENTS) // 2) % 2)[sample.who]
    assert scored(sample, name, at_random, tmp_path / "random") > 0.9
    assert scored(sample, name, of_patients, tmp_path / "patients") == pytest.approx(0.5, abs=0.2)
