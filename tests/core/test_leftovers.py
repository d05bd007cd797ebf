from __future__ import annotations

import os
from pathlib import Path

import pytest

from reperfuse.core.files import write_json
from reperfuse.core.leftovers import still_queued


def with_squeue(folder: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    """Put a stand-in for Slurm's `squeue` first on the path."""
    folder.mkdir()
    command = folder / "squeue"
    command.write_text(f"#!/bin/sh\n{script}\n")
    command.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")


def test_jobs_that_are_still_in_the_queue_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with_squeue(tmp_path / "bin", monkeypatch, 'echo "7 7"; echo "12 12"; echo "99 99"')
    marks = tmp_path / "incomplete"
    for name, job in {"a": "12", "b": "12", "@long/c": "7", "d": "13", "e": None}.items():
        write_json(marks / name, {"external_jobid": job})
    assert still_queued(marks) == ["7", "12"]


def test_without_jobs_or_without_slurm_nothing_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert still_queued(tmp_path / "incomplete") == []
    write_json(tmp_path / "incomplete/a", {"external_jobid": "1"})
    with_squeue(tmp_path / "bin", monkeypatch, "exit 1")
    assert still_queued(tmp_path / "incomplete") == []
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
    assert still_queued(tmp_path / "incomplete") == []
