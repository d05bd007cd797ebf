from __future__ import annotations

from reperfuse.studies.lesion_facts import lesion_facts


def test_the_lesion_that_counts_is_found_by_its_criterion() -> None:
    facts = {
        "rows": [
            {"visit": "J0", "criterion": "adc620", "volume_ml": 3.0, "side": "n/a"},
            {"visit": "J0", "criterion": "given", "volume_ml": 0.0, "side": "left"},
            {"visit": "J1", "criterion": "adc620", "volume_ml": 5.0, "side": "n/a"},
        ],
        "lesion": {"J0": "given (derivatives/mask.nii.gz)", "J1": "adc620"},
        "loads": [{"visit": "J0", "atlas": "a", "label": 2, "name": "MCA", "side": "left", "volume_ml": 0.0}],
    }
    found = lesion_facts({"facts": facts})
    assert found.volumes["J0", "lesion"] == 0.0 and found.volumes["J1", "lesion"] == 5.0
    assert found.volumes["J0", "adc620"] == 3.0 and found.sides == {"J0": "left"}
    assert found.loads == {"J0": {"a 2 MCA (left)": 0.0}}


def test_a_mask_that_could_not_be_read_is_replaced_by_nothing() -> None:
    row = {"visit": "J0", "criterion": "adc620", "volume_ml": 3.0, "side": "left"}
    found = lesion_facts({"facts": {"rows": [row], "lesion": {}, "loads": []}})
    assert found.volumes == {("J0", "adc620"): 3.0} and not found.sides
    assert lesion_facts({}).volumes == {}
