from __future__ import annotations

import multiprocessing
from base64 import urlsafe_b64encode
from pathlib import Path

from reperfuse.core.files import write_json
from reperfuse.core.kept import Kept, clear, forget_trusted


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
    clear(str(work))
    assert not (work / "kept").exists()


def _hold(work: Path, done: Path) -> None:
    Kept(work, "sub-1.prepare").lock()
    done.touch()


def test_the_same_job_waits_for_its_orphan(tmp_path: Path) -> None:
    mine = Kept(tmp_path, "sub-1.prepare")
    mine.lock()
    context = multiprocessing.get_context("spawn")
    other = context.Process(target=_hold, args=(tmp_path, tmp_path / "done"))
    other.start()
    other.join(timeout=3)
    assert other.is_alive() and not (tmp_path / "done").exists()
    assert mine._lock is not None
    mine._lock.close()
    other.join(timeout=60)
    assert (tmp_path / "done").exists()
