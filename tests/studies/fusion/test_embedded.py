"""Codes of models side by side, and what is measured of patients beside them."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from reperfuse.core.files import write_marker
from reperfuse.studies.fusion import embedded


def facts(trial: str, *ids: str) -> dict[str, object]:
    return {"trial": trial, "embedded": list(ids)}


def test_codes_come_back_and_those_of_no_model_are_none(tmp_path: Path) -> None:
    codes = np.arange(6, dtype=np.float32).reshape(3, 2)
    embedded.write_codes(tmp_path / "a.safetensors", codes)
    assert np.array_equal(embedded.read_codes(tmp_path / "a.safetensors"), codes)
    write_marker(tmp_path / "b.safetensors")
    assert embedded.read_codes(tmp_path / "b.safetensors").shape == (0, 0)


def test_each_model_keeps_its_own_space_and_all_the_same_patients() -> None:
    models = [
        facts("adc+jac-none-1", "sub-1", "sub-2", "sub-3"),
        facts("adc+jac-none-0", "sub-3", "sub-2"),
        facts("adc+jac-wide-1", "sub-1"),
        {"trial": "adc+jac-none-2", "not_fitted": "1 patient"},
    ]
    codes = {
        "adc+jac-none-1": np.array([[1.0], [2.0], [3.0]]),
        "adc+jac-none-0": np.array([[30.0, 0.0], [20.0, 0.0]]),
        "adc+jac-wide-1": np.array([[7.0]]),
    }
    found = embedded.side_by_side(models, codes)
    assert set(found) == {"adc+jac", "adc+jac[wide]"}
    ids, mine = found["adc+jac"]
    assert ids == ["sub-2", "sub-3"] and set(mine) == {"fold-1", "final"}
    assert mine["fold-1"].tolist() == [[2.0], [3.0]] and mine["final"].tolist() == [[20.0, 0.0], [30.0, 0.0]]


def test_volumes_are_those_of_j0_as_far_as_they_are_known() -> None:
    row = {"visit": "J0", "criterion": "given", "volume_ml": 3.0, "side": "n/a", "session_id": ""}
    records = {
        "sub-1": {
            "prepare": {"facts": {"J0": {"brain_ml": 1400.0}, "J1": {"brain_ml": 9.0}}},
            "lesions": {"facts": {"rows": [row], "lesion": {"J0": "given"}}},
        },
        "sub-2": {"lesions": {"facts": {}}},
    }
    assert embedded.measured(records) == {"sub-1": {"brain_ml": 1400.0, "lesion_ml": 3.0}, "sub-2": {}}
