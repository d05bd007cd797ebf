"""What records of perfusion say, as tables."""

from __future__ import annotations

from typing import Any

from reperfuse.cohort.summary import perfusion_rows, quality_rows, volume_pairs

MANIFEST = {
    "session_ids": {"J0": "ses-01", "J1": "ses-02"},
    "clinical": {
        "sub-1": {"vendor_tmax6_ml": 90.0, "vendor_core_ml": None},
        "sub-2": {"vendor_tmax6_ml": 40.0, "vendor_core_ml": 9.0},
        "sub-3": {"vendor_tmax6_ml": 1.0},
    },
}


def record(sub: str, step: str = "perfusion", **facts: Any) -> dict[str, Any]:
    return {"participant_id": sub, "step": step, "facts": facts}


MEASURED = {"tmax6": 100.0, "rttp4.5": 120.0, "core": 10.0, "mismatch": 90.0}
RECORDS = [
    record("sub-1", volumes_ml=MEASURED, hir=0.4, defuse3=True, extend=None, ht={"volume_ml": 3.0}),
    record("sub-2", volumes_ml={"rttp4.5": 30.0, "core": 8.0}, flags=["no AIF", "motion"], n_volumes=60),
    record("sub-3", flags=["no bolus"], n_volumes=60, tr_s=1.8),
    record("sub-2", "prepare", J0={"brain_ml": 1300.0}, J1={"brain_ml": 1290.0}),
]


def test_each_measure_is_a_row_with_its_unit_and_session() -> None:
    rows = {(row["participant_id"], row["measure"]): row for row in perfusion_rows(MANIFEST, RECORDS)}
    assert rows["sub-1", "tmax6"] == {
        "participant_id": "sub-1", "session_id": "ses-01", "measure": "tmax6", "value": 100.0, "unit": "ml",
    }  # fmt: skip
    assert rows["sub-1", "ht"]["session_id"] == "ses-02" and rows["sub-1", "hir"]["unit"] == ""
    assert rows["sub-1", "defuse3"]["value"] is True and rows["sub-1", "extend"]["value"] is None
    assert not any(sub == "sub-3" for sub, _ in rows), "nothing was measured"


def test_volumes_are_paired_with_a_vendors_where_both_are_known() -> None:
    assert volume_pairs(MANIFEST, RECORDS) == {
        ("core", "vendor_core_ml"): [(8.0, 9.0)],
        ("tmax6", "rttp4.5"): [(100.0, 120.0)],
        ("tmax6", "vendor_tmax6_ml"): [(100.0, 90.0)],
    }


def test_quality_of_the_series_stands_in_the_row_of_the_baseline() -> None:
    j0, j1 = quality_rows(MANIFEST, RECORDS)
    assert (j0["visit"], j0["pwi_volumes"], j0["pwi_flags"]) == ("J0", 60, "no AIF, motion")
    assert j1["visit"] == "J1" and j1["pwi_volumes"] is None and j1["pwi_flags"] is None
