"""Whether J1 comes after J0."""

from __future__ import annotations

from pathlib import Path

import pytest

from reperfuse.cohort.visits import swapped

SESSIONS = {"J0": "01", "J1": "02"}


def write(bids: Path, text: str, sub: str = "sub-1") -> None:
    (bids / sub).mkdir()
    (bids / sub / f"{sub}_sessions.tsv").write_text(text)


@pytest.mark.parametrize(
    ("first", "second", "told"),
    [
        ("1900-01-01T08:00:00", "1900-01-02T09:00:00", False),
        ("1900-01-02T08:30:00", "1900-01-01T09:00:00", True),
        ("1900-01-02T08:00:00Z", "1900-01-01T09:00:00.5", True),
        ("1900-01-01", "1900-01-01T09:00:00", False),
        ("n/a", "1900-01-01T09:00:00", False),
        ("yesterday", "1900-01-01T09:00:00", False),
    ],
)
def test_the_times_of_the_sessions_are_compared(first: str, second: str, told: bool, tmp_path: Path) -> None:
    write(tmp_path, f"session_id\tacq_time\nses-01\t{first}\nses-02\t{second}\nses-03\tn/a\n")
    faults = swapped(tmp_path, ["sub-1"], SESSIONS)
    assert [fault.code for fault in faults] == ["E151"] * told
    assert not told or (faults[0].participant_id == "sub-1" and faults[0].path == "sub-1/sub-1_sessions.tsv")


def test_the_finding_names_no_date(tmp_path: Path) -> None:
    write(tmp_path, "session_id\tacq_time\nses-01\t2021-03-05T08:30:00\nses-02\t2021-03-04T08:00:00\n")
    (fault,) = swapped(tmp_path, ["sub-1"], SESSIONS)
    assert "24.5 hours before" in fault.sentence and "2021" not in fault.sentence


def test_a_table_without_times_or_that_cannot_be_read_says_nothing(tmp_path: Path) -> None:
    write(tmp_path, "session_id\nses-01\nses-02\n")
    (tmp_path / "sub-2").mkdir()
    (tmp_path / "sub-2/sub-2_sessions.tsv").write_bytes(b"\xff\xfe\x00")
    assert swapped(tmp_path, ["sub-1", "sub-2", "sub-3"], SESSIONS) == []
    assert swapped(tmp_path, ["sub-1"], {"J0": "01"}) == []
