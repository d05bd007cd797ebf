from __future__ import annotations

import random
from pathlib import Path
from typing import Any

from reperfuse.cohort.flow import eligibility_counts, flow
from reperfuse.cohort.status import EXCLUDED_COLUMNS, STATUS_COLUMNS, cohort_status
from reperfuse.core.errors import Fault
from reperfuse.core.records import state_of
from reperfuse.core.tables import write_table

PEOPLE = [f"sub-{i}" for i in range(1, 7)]


def record(sub: str, step: str, *faults: Fault, **facts: Any) -> dict[str, Any]:
    return {
        "participant_id": sub,
        "step": step,
        "state": state_of(faults),
        "faults": [fault.as_dict() for fault in faults],
        "facts": facts,
    }


def visit(*roles: str) -> dict[str, Any]:
    return {"images": {role: {"shape": [2, 2, 2]} for role in roles}}


def truncated(sub: str, n: int) -> Fault:
    values = {"found_bytes": n, "declared_bytes": 999, "why": "unexpected end"}
    return Fault("E103", f"{sub}/dwi/{sub}_ADC.nii.gz", values, session_id="ses-01")


INDEX = [
    Fault("E128", "", {"roles": "adc"}, "sub-6"),
    Fault("W117", "", {"moving": "J1"}, "sub-2"),
]
CLINICAL = [
    Fault("E131", "participants.tsv", {"column": "sex", "levels": "'X' (1)", "allowed": "one of M, F"}),
    Fault("E132", "participants.tsv", {"column": "mRS", "value": "9", "allowed": "0 to 6"}, "sub-1"),
    Fault("W126", "", {}, "sub-3"),
]
RECORDS = [
    record("sub-1", "prepare", J0=visit("adc", "flair"), J1=visit("adc")),
    record("sub-1", "register", pairs=[]),
    record("sub-1", "lesions", rows=[{"volume_ml": 1.0}]),
    record("sub-2", "prepare", Fault("W110", "sub-2/x.nii.gz", {"count": 3}), J0=visit("adc")),
    record(
        "sub-2", "register", Fault("E150", "sub-2/y.nii.gz", {"moving": "J1", "fixed": "J0", "why": "far"})
    ),
    record("sub-2", "lesions", rows=[{"volume_ml": 0.0}]),
    record("sub-3", "prepare", truncated("sub-3", 10)),
    record("sub-3", "lesions", Fault("E160", "", {"step": "prepare", "image": "J0_adc"})),
    record("sub-4", "prepare", truncated("sub-4", 20)),
    record("sub-5", "prepare", Fault("E101", "sub-5/z.nii.gz"), J0=visit("flair")),
]
ELIGIBILITY: dict[str, dict[str, list[Fault | str]]] = {
    "outcome": {
        "sub-1": [CLINICAL[1]],
        "sub-2": [Fault("E137", "", {"role": "ADC", "visit": "J1"})],
        "sub-3": ["no ADC of J1", "mrs_3m is missing"],
    },
    "fusion": {"sub-1": [], "sub-2": []},
}


def tables() -> tuple[list[dict[str, str]], list[dict[str, str]]]:
    return cohort_status(INDEX, RECORDS, CLINICAL, PEOPLE, ELIGIBILITY)


def of(rows: list[dict[str, str]], **wanted: str) -> list[dict[str, str]]:
    return [row for row in rows if all(row[key] == value for key, value in wanted.items())]


def test_every_step_of_everybody_has_a_row() -> None:
    status, _ = tables()
    assert {tuple(row) for row in status} == {STATUS_COLUMNS}
    for sub in PEOPLE:
        assert len(of(status, participant_id=sub, step="index")) == 1
        assert len(of(status, participant_id=sub, step="clinical")) == 1
    assert [row["step"] for row in of(status, participant_id="sub-1")] == [
        "index", "clinical", "prepare", "register", "lesions",
    ]  # fmt: skip


def test_states_codes_and_sessions() -> None:
    status, _ = tables()
    (row,) = of(status, participant_id="sub-3", step="prepare")
    assert (row["session_id"], row["state"], row["codes"]) == ("ses-01", "failed", "E103")
    assert row["reason"] == f"sub-3/dwi/sub-3_ADC.nii.gz {truncated('sub-3', 10).reason}"
    assert of(status, participant_id="sub-2", step="prepare")[0]["state"] == "warned"
    assert of(status, participant_id="sub-1", step="prepare")[0] == {
        "participant_id": "sub-1", "session_id": "n/a", "step": "prepare", "state": "ok", "codes": "n/a",
        "reason": "n/a",
    }  # fmt: skip
    assert of(status, participant_id="n/a")[0]["codes"] == "E131"


def test_excluded_rows_say_what_is_out_and_what_to_do() -> None:
    _, excluded = tables()
    assert {tuple(row) for row in excluded} == {EXCLUDED_COLUMNS}
    assert of(excluded, participant_id="sub-6", study="all")[0]["code"] == "E128"
    (image,) = of(excluded, participant_id="sub-4")
    assert (image["study"], image["file"]) == ("imaging", "sub-4/dwi/sub-4_ADC.nii.gz")
    assert image["remedy"] == "copy or convert the file again"
    (value,) = of(excluded, participant_id="sub-1")
    assert (value["study"], value["code"], value["file"]) == ("outcome", "E132", "participants.tsv")
    words = {(row["code"], row["reason"]) for row in of(excluded, participant_id="sub-3", study="outcome")}
    assert words == {("n/a", "no ADC of J1"), ("n/a", "mrs_3m is missing")}
    assert not [row for row in excluded if row["code"].startswith("W")]


def test_what_follows_from_an_earlier_finding_is_not_listed_again() -> None:
    status, excluded = tables()
    assert not of(excluded, code="E160")
    assert of(status, participant_id="sub-3", step="lesions")[0]["codes"] == "E160"
    alone = [record("sub-1", "lesions", Fault("E160", "", {"step": "prepare", "image": "J0_adc"}))]
    assert len(cohort_status([], alone, [], ["sub-1"], {})[1]) == 1


def test_tables_do_not_depend_on_the_order_of_records(tmp_path: Path) -> None:
    shuffled = RECORDS[:]
    random.Random(4).shuffle(shuffled)
    again = cohort_status(INDEX[::-1], shuffled, CLINICAL[::-1], PEOPLE[::-1], ELIGIBILITY)
    assert again == tables()
    for name, rows, columns in zip("se", again, (STATUS_COLUMNS, EXCLUDED_COLUMNS), strict=True):
        write_table(tmp_path / name, rows, columns)
        assert (tmp_path / name).read_text().count("\n") == len(rows) + 1


def test_the_flow_accounts_for_everybody() -> None:
    boxes = {stage.label: stage for stage in flow(PEOPLE, INDEX, RECORDS, ELIGIBILITY)}
    counts = {label: stage.n for label, stage in boxes.items()}
    assert counts == {
        "found": 6, "readable": 3, "prepared": 2, "registered": 1, "with lesion volumes": 2,
        "eligible for outcome": 0, "eligible for fusion": 2,
    }  # fmt: skip
    for stage in boxes.values():
        if stage.of:
            assert boxes[stage.of].n - stage.n == sum(n for _, n in stage.reasons), stage


def test_the_flow_counts_alike_faults_together() -> None:
    boxes = {stage.label: stage for stage in flow(PEOPLE, INDEX, RECORDS, ELIGIBILITY)}
    (first, n_first), (second, n_second) = boxes["readable"].reasons
    assert (n_first, n_second) == (2, 1)
    assert first.endswith("(E103)") and "… of … bytes" in first and "{" not in first
    assert second.endswith("(E128)")
    assert boxes["prepared"].reasons == [(f"{Fault('E101').text('found')} (E101)", 1)]
    assert boxes["eligible for outcome"].reasons[0] == ("no image that can be used", 3)
    assert ("no ADC of J1", 2) in boxes["eligible for outcome"].reasons


def test_an_empty_cohort_is_no_error() -> None:
    assert cohort_status([], [], [], [], {}) == ([], [])
    assert [stage.n for stage in flow([], [], [], {})] == [0, 0, 0, 0, 0]


def test_boxes_say_where_they_come_from() -> None:
    boxes = [(stage.label, stage.of) for stage in flow(PEOPLE, INDEX, RECORDS, ELIGIBILITY)]
    assert boxes == [
        ("found", ""),
        ("readable", "found"),
        ("prepared", "readable"),
        ("registered", "prepared"),
        ("with lesion volumes", "found"),
        ("eligible for outcome", "found"),
        ("eligible for fusion", "found"),
    ]


def test_eligibility_by_reason() -> None:
    assert eligibility_counts(ELIGIBILITY) == {
        "outcome": (0, {"no ADC of J1": 2, "mRS is 9 (E132)": 1, "mrs_3m is missing": 1}),
        "fusion": (2, {}),
    }
