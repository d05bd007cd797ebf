from __future__ import annotations

from base64 import urlsafe_b64encode
from pathlib import Path

import pytest

from reperfuse.core.files import write_json
from reperfuse.core.kept import Kept, forget_all, forget_trusted


def test_a_record_comes_back_only_under_its_key(tmp_path: Path) -> None:
    record = tmp_path / "sub-1/prepare.json"
    write_json(record, {"key": "a", "files": {}})
    kept = Kept(tmp_path, "sub-1.prepare")
    kept.keep(record)
    record.unlink()
    assert not kept.restore(record, "b") and not record.exists()
    assert kept.restore(record, "a") and record.exists()


def test_copies_of_trusted_records_are_dropped_at_the_start_of_a_run(tmp_path: Path) -> None:
    """Whatever Snakemake wants although it trusts the record, it was told to make again."""
    work, incomplete = tmp_path / "work", tmp_path / "incomplete"
    for who in ("sub-trusted", "sub-removed", "sub-begun"):
        record = work / who / "prepare.json"
        write_json(record, {"key": "a", "files": {}})
        Kept(work, f"{who}.prepare").keep(record)
    (work / "sub-removed/prepare.json").unlink()
    name = urlsafe_b64encode(f"{work}/sub-begun/prepare.json".encode()).decode()
    parts = [name[i : i + 254] for i in range(0, len(name), 254)]
    mark = incomplete.joinpath(*("@" + part for part in parts[:-1]), parts[-1])
    write_json(mark, {"external_jobid": None})
    forget_trusted(str(work), incomplete)
    assert {path.name for path in (work / "kept").iterdir()} == {
        "sub-removed.prepare.json",
        "sub-begun.prepare.json",
    }
    forget_all(str(work))
    forget_trusted(str(work), incomplete)
    assert not (work / "kept").exists()


def test_files_that_were_touched_since_are_made_again(tmp_path: Path) -> None:
    record, image = tmp_path / "sub-1/prepare.json", tmp_path / "sub-1/J0_adc.nii.gz"
    write_json(record, {"key": "a", "files": {image.name: 5}})
    image.write_text("image")
    kept = Kept(tmp_path, "sub-1.prepare")
    kept.keep(record)
    assert kept.restore(record, "a")
    image.write_text("wrong")
    assert not kept.restore(record, "a")


@pytest.mark.parametrize("content", ["", "[]", "{", '{"record": [], "written": {}}'])
def test_a_damaged_copy_is_none(content: str, tmp_path: Path) -> None:
    kept = Kept(tmp_path, "sub-1.prepare")
    kept.path.parent.mkdir()
    kept.path.write_text(content)
    assert not kept.restore(tmp_path / "sub-1/prepare.json", "a")
