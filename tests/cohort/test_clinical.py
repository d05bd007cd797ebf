from __future__ import annotations

import csv
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reperfuse.cohort.clinical import (
    Clinical,
    available,
    find_tables,
    participant_rows,
    read_clinical,
    reconcile,
)
from reperfuse.cohort.values import missing_words, parse
from reperfuse.cohort.variables import NIHSS_ITEMS, STANDARD
from reperfuse.core.errors import ConfigError, Fault
from reperfuse.core.tables import write_table

MISSING = ["n/a", "na", "unknown", "none"]
SESSIONS = {"J0": "01", "J1": "02"}


def read(root: Path, tables: list[str] | None = None, **other: Any) -> Clinical:
    options: dict[str, Any] = {"columns": {}, "sessions": {}, "missing": MISSING} | other
    return read_clinical(
        find_tables(root, tables or []),
        root=root,
        id_columns=["participant_id", "subject"],
        session_columns=["session_id"],
        **options,
    )


def table(root: Path, text: str, name: str = "participants.tsv", encoding: str = "utf-8") -> None:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode(encoding))


def only(clinical: Clinical, code: str) -> Fault:
    found = [fault for fault in clinical.faults if fault.code == code]
    assert len(found) == 1, [fault.sentence for fault in clinical.faults]
    return found[0]


def test_a_plain_table_is_read_without_a_word(tmp_path: Path) -> None:
    table(tmp_path, "participant_id\tage\tsex\tnihss\nsub-1\t70\tM\t12\n2\t61.5\tf\tn/a\n")
    clinical = read(tmp_path)
    assert clinical.faults == []
    assert clinical.rows == {
        "sub-1": {"age": 70.0, "sex": "M", "nihss": 12.0, "age_capped": 0.0},
        "sub-2": {"age": 61.5, "sex": "F", "nihss": None, "age_capped": 0.0},
    }


@pytest.mark.parametrize(
    ("text", "encoding", "says"),
    [
        ("participant_id,age,site\nsub-1,70,Orléans\n", "utf-8", "comma-separated"),
        ("participant_id;age;site\nsub-1;70;Orléans\n", "utf-8-sig", "semicolon-separated"),
        ("participant_id\tage\tsite\r\nsub-1\t70\tOrléans\r\n", "utf-8", "CRLF"),
        ("participant_id\tage\tsite\nsub-1\t70\tOrléans\n", "utf-8-sig", "byte-order mark"),
        ("participant_id\tage\tsite\nsub-1\t70\tOrléans\n", "latin-1", "Windows-1252"),
        ("participant_id\tage\tsite\r\nsub-1\t70\tOrléans\r\n", "utf-16", "UTF-16"),
        ("participant_id;age;site\nsub-1;70,0;Orléans\n", "cp1252", "decimal commas"),
    ],
)
def test_other_dialects_give_the_same_row_and_say_so(
    tmp_path: Path, text: str, encoding: str, says: str
) -> None:
    table(tmp_path, text, encoding=encoding)
    clinical = read(tmp_path)
    assert clinical.rows == {"sub-1": {"age": 70.0, "age_capped": 0.0, "site": "Orléans"}}
    assert says in only(clinical, "W130").reason


def test_a_comma_that_may_mean_two_numbers_is_refused_with_line_and_column(tmp_path: Path) -> None:
    table(tmp_path, "participant_id\tonset_to_mri_min\nsub-1\t1,234\nsub-2\t12,5\nsub-3\t0,125\n")
    clinical = read(tmp_path)
    fault = only(clinical, "E130")
    assert fault.participant_id == "sub-1"
    assert fault.reason.startswith("line 2, column onset_to_mri_min: 1,234 may be 1.234 or 1234")
    values = [row["onset_to_mri_min"] for row in clinical.rows.values()]
    assert values == [None, 12.5, 0.125]


def test_a_ragged_row_concerns_its_patient_only(tmp_path: Path) -> None:
    table(tmp_path, "participant_id\tage\tsex\nsub-1\t70\nsub-2\t61\tM\nsub-3\t50\tF\t\nsub-4\t5\tF\tx\n")
    clinical = read(tmp_path)
    assert clinical.rows["sub-2"]["age"] == 61.0 and clinical.rows["sub-3"]["age"] == 50.0
    faults = [fault for fault in clinical.faults if fault.code == "E130"]
    assert [(f.participant_id, f.values["line"]) for f in faults] == [("sub-1", 2), ("sub-4", 5)]
    assert clinical.refused["sub-1"]["*"].code == "E130"
    assert reconcile(clinical, ["sub-1", "sub-2", "sub-3", "sub-4"]) == [], "a refused row is there"


def test_an_unclosed_quotation_mark_swallows_nobody(tmp_path: Path) -> None:
    table(tmp_path, 'participant_id\tage\tsite\nsub-1\t70\t"Lyon\nsub-2\t61\tBron\nsub-3\t50\tNice\n')
    assert [row["site"] for row in read(tmp_path).rows.values()] == ["Lyon", "Bron", "Nice"]


def test_quoted_cells_may_hold_the_separator(tmp_path: Path) -> None:
    table(tmp_path, 'participant_id,etiology\nsub-1,"other, known"\n')
    assert read(tmp_path).rows["sub-1"]["etiology"] == "other, known"


@pytest.mark.parametrize("text", ["", "n/a", "NA", " ", "Unknown"])
def test_missing_spellings(tmp_path: Path, text: str) -> None:
    table(tmp_path, f"participant_id\tage\tsex\tht\nsub-1\t{text}\t{text}\t{text}\n")
    clinical = read(tmp_path)
    assert clinical.faults == []
    assert set(clinical.rows["sub-1"].values()) == {None}


@pytest.mark.parametrize(("text", "age"), [("89+", 89.0), ("> 89", 89.0), ("90 +", 90.0)])
def test_a_capped_age_is_flagged(tmp_path: Path, text: str, age: float) -> None:
    table(tmp_path, f"participant_id\tage\nsub-1\t{text}\nsub-2\t89\n")
    clinical = read(tmp_path)
    assert clinical.rows["sub-1"] == {"age": age, "age_capped": 1.0}
    assert clinical.rows["sub-2"] == {"age": 89.0, "age_capped": 0.0}
    assert only(clinical, "W133").text("found") == f"age is given as {text} and was taken as {age:g}"


def test_spellings_of_sex(tmp_path: Path) -> None:
    table(
        tmp_path,
        "participant_id\tgender\n" + "".join(f"{i}\t{x}\n" for i, x in enumerate("M m F 1 2".split())),
    )
    assert [row["sex"] for row in read(tmp_path).rows.values()] == ["M", "M", "F", "M", "F"]


def test_unknown_levels_are_listed_with_counts_and_only_those_values_lost(tmp_path: Path) -> None:
    table(tmp_path, "participant_id\tsex\tage\nsub-1\tX\t5\nsub-2\tdivers\t6\nsub-3\tX\t7\nsub-4\tM\t8\n")
    clinical = read(tmp_path)
    assert only(clinical, "E131").text("found") == "sex has the unknown values 'X' (2), 'divers' (1)"
    assert [row["sex"] for row in clinical.rows.values()] == [None, None, None, "M"]
    assert [row["age"] for row in clinical.rows.values()] == [5.0, 6.0, 7.0, 8.0]
    assert clinical.refused["sub-2"]["sex"].values["levels"] == "'divers'"


def test_bare_codes_count_only_where_they_explain_the_whole_column(tmp_path: Path) -> None:
    text = "participant_id\tsex\nsub-1\t0\nsub-2\t1\nsub-3\tmale\n"
    table(tmp_path, text)
    clinical = read(tmp_path)
    assert only(clinical, "E131").values["levels"] == "'0' (1), '1' (1)"
    assert clinical.rows["sub-3"]["sex"] == "M"
    configured = read(tmp_path, columns={"sex": {"levels": {"0": "M", "1": "F"}}})
    assert [row["sex"] for row in configured.rows.values()] == ["M", "F", "M"]
    sidecar = {"sex": {"Levels": {"0": "male", "1": {"Description": "female"}}}}
    (tmp_path / "participants.json").write_text(json.dumps(sidecar))
    assert [row["sex"] for row in read(tmp_path).rows.values()] == ["M", "F", "M"]


@pytest.mark.parametrize(
    ("column", "text"),
    [("mrs_3m", "7"), ("mrs_3m", "2.5"), ("nihss", "43"), ("nihss", "-1"), ("nihss_5a", "9"), ("age", "old")],
)
def test_values_out_of_range_are_refused_with_their_line(tmp_path: Path, column: str, text: str) -> None:
    table(tmp_path, f"participant_id\t{column}\nsub-1\t0\nsub-2\t{text}\n")
    clinical = read(tmp_path)
    fault = only(clinical, "E132")
    assert fault.participant_id == "sub-2" and f"'{text}' (line 3)" in fault.reason
    assert STANDARD[column].allowed in fault.reason
    assert clinical.rows["sub-2"][column] is None and clinical.rows["sub-1"][column] == 0.0


def items(total: str, first: int) -> str:
    names = "\t".join(f"nihss_{item}" for item in NIHSS_ITEMS)
    zeros = "\t".join(["0"] * (len(NIHSS_ITEMS) - 1))
    return f"participant_id\tnihss\t{names}\nsub-1\t{total}\t{first}\t{zeros}\n"


def test_items_add_up_to_42_at_most() -> None:
    assert sum(NIHSS_ITEMS.values()) == 42


def test_a_total_that_is_not_the_sum_of_its_items_is_refused(tmp_path: Path) -> None:
    table(tmp_path, items("5", 3))
    clinical = read(tmp_path)
    assert "nihss is 5; expected 3, the sum of its items" in only(clinical, "E132").reason
    assert clinical.rows["sub-1"]["nihss"] is None and clinical.rows["sub-1"]["nihss_1a"] == 3.0


def test_a_missing_total_is_the_sum_of_its_items(tmp_path: Path) -> None:
    table(tmp_path, items("n/a", 2))
    clinical = read(tmp_path)
    assert clinical.rows["sub-1"]["nihss"] == 2.0
    assert only(clinical, "W135").participant_id == "sub-1"


def test_rows_that_disagree_lose_what_they_disagree_on(tmp_path: Path) -> None:
    text = "participant_id\tage\tnihss\nsub-1\t70\t4\n1\t70\t9\nsub-2\t50\t3\nsub-2\t50\t3\n"
    table(tmp_path, text)
    clinical = read(tmp_path)
    assert only(clinical, "E134").participant_id == "sub-1"
    assert only(clinical, "W134").participant_id == "sub-2"
    assert clinical.rows["sub-1"]["age"] == 70.0 and clinical.rows["sub-1"]["nihss"] is None
    assert clinical.rows["sub-2"]["nihss"] == 3.0
    assert clinical.refused["sub-1"]["nihss"].code == "E134"


def test_sessions_are_visits(tmp_path: Path) -> None:
    table(tmp_path, "participant_id\tage\nsub-1\t70\n")
    header = "participant_id\tsession_id\tnihss\tglucose\n"
    text = header + "sub-1\tses-01\t9\t6\nsub-1\t02\t4\t8\nsub-1\t90d\t1\tn/a\n"
    table(tmp_path, text, "phenotype/nihss.tsv")
    clinical = read(tmp_path, sessions=SESSIONS)
    row = clinical.rows["sub-1"]
    assert (row["nihss"], row["nihss_24h"], row["glucose"]) == (9.0, 4.0, 6.0)
    assert clinical.dictionary["nihss_24h"]["available_at"] == "J1"
    unused = {f.values["column"]: f.values["sessions"] for f in clinical.faults if f.code == "W137"}
    assert unused == {"nihss": "ses-90d (1)", "glucose": "ses-02 (1)"}


def test_a_configured_session_is_the_one_that_counts(tmp_path: Path) -> None:
    table(tmp_path, "participant_id\tsession_id\tmRS\nsub-1\t01\t0\nsub-1\t90d\t3\n", "phenotype/mrs.tsv")
    spec = {"mrs_3m": {"table": "mrs", "column": "mRS", "session_id": "90d"}}
    assert read(tmp_path, sessions=SESSIONS, columns=spec).rows["sub-1"]["mrs_3m"] == 3.0


def test_columns_units_and_own_variables_are_configured(tmp_path: Path) -> None:
    table(tmp_path, "subject,delay,Sugar,troponin,etiology\n1,1.5,180.16,0.4,x\n", "data.csv")
    columns = {
        "onset_to_mri_min": {"column": "delay", "units": "h"},
        "glucose": {"column": "Sugar", "units": "mg/dL", "available_at": "J1"},
        "troponin": {"column": "troponin", "kind": "number", "available_at": "J0"},
        "etiology": None,
    }
    clinical = read(tmp_path, ["data.csv"], columns=columns)
    row = clinical.rows["sub-1"]
    assert row["onset_to_mri_min"] == 90.0 and row["troponin"] == 0.4 and "etiology" not in row
    assert row["glucose"] == pytest.approx(10.0)
    assert available(clinical, "J0") == ["onset_to_mri_min", "troponin"]
    assert available(clinical, "J1") == ["glucose", "onset_to_mri_min", "troponin"]


def test_one_entry_defines_every_column_that_is_called_so(tmp_path: Path) -> None:
    (tmp_path / "participants.tsv").write_text(
        "participant_id\tmemory_1\tMemory 2\tmemory_note\tage\nsub-1\t0.5\t-1\tgood\t70\n"
    )
    measure = {"kind": "number", "available_at": "none"}
    note = {"column": "memory_note", "kind": "text", "available_at": "none"}
    clinical = read(tmp_path, columns={"memory_*": measure, "memory_note": note, "mood_*": measure})
    row = {name: value for name, value in clinical.rows["sub-1"].items() if not name.startswith("age")}
    assert row == {"memory_1": 0.5, "memory_2": -1.0, "memory_note": "good"}
    assert "mood_*" in only(clinical, "E135").reason


def test_a_configured_column_that_no_table_has_is_named_with_its_nearest(tmp_path: Path) -> None:
    table(tmp_path, "participant_id\tmRS-90\tage\nsub-1\t2\t50\n")
    clinical = read(tmp_path, columns={"mrs_3m": {"column": "mRS_90"}})
    assert "mRS_90 (nearest: mRS-90)" in only(clinical, "E135").reason
    assert clinical.rows["sub-1"]["age"] == 50.0 and "mrs_3m" not in clinical.rows["sub-1"]


def test_outcomes_are_never_available_to_a_model() -> None:
    for name in ("mrs_3m", "mrs_discharge", "ht", "ecass", "family"):
        assert STANDARD[name].available_at == "none"
    assert STANDARD["tici"].available_at == "J1"


def test_no_alias_means_two_variables() -> None:
    names = [word for variable in STANDARD.values() for word in (variable.name, *variable.aliases)]
    assert [name for name, n in Counter(names).items() if n > 1] == []


@pytest.mark.parametrize(
    "columns",
    [
        {"mrs3m": {"column": "x"}},
        {"age": {"column": "age", "units": "parsec"}},
        {"sex": {"levels": {"1": "Q"}}},
    ],
)
def test_what_cannot_be_configured_stops(tmp_path: Path, columns: dict[str, Any]) -> None:
    table(tmp_path, "participant_id\tage\tsex\nsub-1\t50\t1\n")
    with pytest.raises(ConfigError, match=r"mrs_3m|parsec|Q"):
        read(tmp_path, columns=columns)


def test_a_named_table_must_exist_and_the_others_need_not(tmp_path: Path) -> None:
    assert read(tmp_path).rows == {}
    with pytest.raises(ConfigError, match=r"outcome\.csv"):
        read(tmp_path, ["outcome.csv"])


def test_names_that_are_no_patient_are_refused(tmp_path: Path) -> None:
    table(tmp_path, "participant_id\tage\n../../x\t50\n$(id)\t51\nsub-1\t52\nn/a\t53\n")
    clinical = read(tmp_path)
    assert list(clinical.rows) == ["sub-1"]
    assert [fault.code for fault in clinical.faults] == ["E190", "E190"]


def test_a_table_without_patients_is_told(tmp_path: Path) -> None:
    table(tmp_path, "name\tage\nsub-1\t50\n")
    assert "column participant_id: no such column" in only(read(tmp_path), "E130").reason
    table(tmp_path, "")
    assert "the table is empty" in only(read(tmp_path), "E130").reason


def test_rows_and_folders_are_compared(tmp_path: Path) -> None:
    table(tmp_path, "participant_id\tage\nsub-1\t50\nsub-2\t50\nsub-3\t50\n")
    faults = reconcile(read(tmp_path), ["sub-001", "sub-2", "sub-9"])
    assert [(fault.code, fault.participant_id) for fault in faults] == [
        ("W125", "sub-001"),
        ("W126", "sub-001"),
        ("W126", "sub-9"),
        ("W127", "sub-1"),
        ("W127", "sub-3"),
    ]


def test_participants_table_has_standard_names_and_is_byte_stable(tmp_path: Path) -> None:
    table(tmp_path, "participant_id\tNIHSS\tAge\nsub-2\t3\t89+\nsub-1\t4\t50\n")
    rows, columns = participant_rows(read(tmp_path), ["sub-3", "sub-1", "sub-2"])
    write_table(tmp_path / "out.tsv", rows, columns)
    assert (tmp_path / "out.tsv").read_text() == (
        "participant_id\tage\tage_capped\tnihss\nsub-1\t50\t0\t4\nsub-2\t89\t1\t3\nsub-3\tn/a\tn/a\tn/a\n"
    )


@given(text=st.text(max_size=12), name=st.sampled_from(["age", "mrs_3m", "nihss", "glucose", "site"]))
def test_any_text_is_a_value_in_range_or_missing_or_refused(text: str, name: str) -> None:
    variable = STANDARD[name]
    parsed = parse(text, variable, levels={}, scale=1.0, missing=missing_words(MISSING))
    if isinstance(parsed.value, float):
        assert variable.low is not None and variable.high is not None
        assert variable.low <= parsed.value <= variable.high
        assert parsed.problem == ""


@given(content=st.binary(max_size=200))
def test_any_bytes_are_read_or_told(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    root = tmp_path_factory.getbasetemp() / "bytes"
    root.mkdir(exist_ok=True)
    (root / "participants.tsv").write_bytes(b"participant_id\tage\n" + content)
    clinical = read(root)
    assert all(name.startswith("sub-") for name in clinical.rows)
    assert all(fault.sentence for fault in clinical.faults)


def test_soop(real_data: Path) -> None:
    root = real_data / "soop"
    if not (root / "participants.tsv").is_file():
        pytest.skip(f"no SOOP table in {root}")
    clinical = read(root)
    with (root / "participants.tsv").open(encoding="utf-8") as stream:
        raw = list(csv.DictReader(stream, delimiter="\t"))
    assert len(clinical.rows) == len(raw) == 1155
    assert Counter(fault.code for fault in clinical.faults) == {"W133": 35}
    count = {
        name: sum(row.get(name) is not None for row in clinical.rows.values()) for name in clinical.dictionary
    }
    assert (count["nihss"], count["mrs_discharge"], count["age"], count["sex"]) == (852, 566, 852, 852)
    assert Counter(row["sex"] for row in clinical.rows.values()) == {"M": 447, "F": 405, None: 303}
    masks = {path.name for path in root.glob("sub-*") if path.is_dir()}
    with_mask = [clinical.rows[name] for name in masks]
    assert len(with_mask) == 972
    assert sum(row["nihss"] is not None for row in with_mask) == 729
    assert sum(row["mrs_discharge"] is not None for row in with_mask) == 473
