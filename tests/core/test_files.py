from __future__ import annotations

import os
from pathlib import Path

import pytest

from reperfuse.core.files import atomic, is_marker, read_json, write_json, write_marker, write_text
from reperfuse.core.seeds import seed_of
from reperfuse.core.tables import read_table, write_table

# Written down, so that a seed that changes with the machine or the Python shows.
SEED = 3910446061


def test_an_interrupted_write_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    write_text(path, "old")
    with pytest.raises(RuntimeError), atomic(path) as partial:
        partial.write_text("half")
        raise RuntimeError
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["a.txt"]


def test_files_respect_the_umask(tmp_path: Path) -> None:
    old = os.umask(0o027)
    try:
        write_text(tmp_path / "a.txt", "x")
    finally:
        os.umask(old)
    assert (tmp_path / "a.txt").stat().st_mode & 0o777 == 0o640


def test_json_is_byte_stable_and_refuses_nan(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"b": 1, "a": 2})
    write_json(tmp_path / "b.json", {"a": 2, "b": 1})
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()
    with pytest.raises(ValueError, match="JSON"):
        write_json(tmp_path / "c.json", {"a": float("nan")})
    assert not (tmp_path / "c.json").exists()


def test_json_with_a_byte_order_mark_is_read(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_bytes(b"\xef\xbb\xbf{}")
    assert read_json(tmp_path / "a.json") == {}


def test_a_marker_is_an_empty_file(tmp_path: Path) -> None:
    write_marker(tmp_path / "x.nii.gz")
    assert is_marker(tmp_path / "x.nii.gz")
    write_text(tmp_path / "y.nii.gz", "z")
    assert not is_marker(tmp_path / "y.nii.gz")


def test_tables_round_trip_and_keep_one_line_per_row(tmp_path: Path) -> None:
    rows = [
        {"id": "sub-01", "v": 1.23456789, "t": "two\nlines\tand a tab"},
        {"id": "02", "v": None, "t": True},
    ]
    write_table(tmp_path / "t.tsv", rows, ["id", "v", "t"])
    assert read_table(tmp_path / "t.tsv") == [
        {"id": "sub-01", "v": "1.23457", "t": "two lines and a tab"},
        {"id": "02", "v": "", "t": "1"},
    ]


def test_nan_is_missing_in_a_table(tmp_path: Path) -> None:
    write_table(tmp_path / "t.tsv", [{"v": float("nan")}], ["v"])
    assert (tmp_path / "t.tsv").read_text() == "v\nn/a\n"


def test_seeds_differ_by_purpose_only() -> None:
    assert seed_of("sub-01", "noise") == SEED
    assert seed_of("sub-01", "noise") != seed_of("sub-01", "bias")
    assert seed_of("a", "bc") != seed_of("ab", "c")
