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


RUN = "reperfuse_0f12ab34-0a1b-2c3d-4e5f-0123456789ab"


def test_jobs_that_are_still_in_the_queue_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here = tmp_path / "here"
    queue = [
        ("7", RUN, here),
        ("12", RUN, "/elsewhere"),  # by what Snakemake has written down
        ("101", RUN, here),  # by where it works
        ("102", RUN, tmp_path),
        ("103", "my own job", here),
        ("104", RUN.removeprefix("reperfuse_"), here),
    ]
    lines = "".join(f'echo "{job}|{name}|{folder}"; ' for job, name, folder in queue)
    with_squeue(tmp_path / "bin", monkeypatch, lines)
    marks = here / ".snakemake/incomplete"
    assert still_queued(marks) == []  # nothing was begun
    for name, job in {"a": "12", "b": "12", "@long/c": "7", "d": "13", "e": None}.items():
        write_json(marks / name, {"external_jobid": job})
    assert still_queued(marks) == ["7", "12", "101", "104"]


def test_without_jobs_or_without_slurm_nothing_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert still_queued(tmp_path / "incomplete") == []
    write_json(tmp_path / "incomplete/a", {"external_jobid": "1"})
    with_squeue(tmp_path / "bin", monkeypatch, "exit 1")
    assert still_queued(tmp_path / "incomplete") == []
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
    assert still_queued(tmp_path / "incomplete") == []
