from __future__ import annotations

import numpy as np
import pytest

from reperfuse.studies.outcome.sensitivity import spread, sweep

RNG = np.random.default_rng(4)
N = 80
Y, FOLD = np.arange(N) % 2, np.arange(N) // 2 % 8 + 1
IDS = [f"sub-{i:02d}" for i in range(N)]


def scored(signal: float) -> tuple[list[str], np.ndarray, np.ndarray, np.ndarray]:
    return IDS, Y, 1 / (1 + np.exp(-RNG.normal(signal * Y, 1))), FOLD


FIRST = {
    "J0_mri+lesion": scored(1),
    "J0_mri": scored(1),
    "J0_mri+lesion[c=1]": scored(1),
    "J0_mri+lesion[platt=none]": scored(1),
    "J0_mri+lesion[lesion=raw]": scored(1),
    "J1_mri+lesion[c=1]": scored(1),
}


def test_the_sweep_names_what_was_changed_of_the_compared_alone() -> None:
    rows = sweep(FIRST, ["J0_mri+lesion"], {"J0_mri+lesion[c=1]": 14}, level=0.95)
    assert [(row["parameter"], row["value"]) for row in rows] == [
        ("base", "as configured"), ("c", "1"), ("lesion", "raw"),
    ]  # fmt: skip
    assert rows[1]["n_features"] == 14
    assert all(0 <= row["ci_low"] <= row["auc_pooled"] <= row["ci_high"] <= 1 for row in rows)


def test_lesion_methods_and_no_lesion_volume_are_held_against_the_configuration() -> None:
    rows = spread("J0_mri+lesion", FIRST, level=0.95)
    assert [row["lesion"] for row in rows] == ["raw", "no lesion volume"]
    assert all(row["ratio"] == pytest.approx(row["fold_sd"] / row["fold_sd_against"]) for row in rows)
    assert all(row["n"] == 8 and 0 <= row["p"] <= 1 for row in rows)
