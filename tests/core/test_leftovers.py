from __future__ import annotations

import os
from base64 import urlsafe_b64encode
from pathlib import Path

import pytest

from reperfuse.core.errors import ConfigError
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


def mark(folder: Path, output: str, job: str | None) -> None:
    """Note that an output was begun, as Snakemake does."""
    name = urlsafe_b64encode(output.encode()).decode()
    parts = [name[i : i + 254] for i in range(0, len(name), 254)]
    path = folder.joinpath(".snakemake/incomplete", *("@" + part for part in parts[:-1]), parts[-1])
    write_json(path, {"external_jobid": job})


def test_jobs_that_are_still_in_the_queue_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here = tmp_path / "here"
    queue = [
        ("7", RUN, here),
        ("12", RUN, "/elsewhere"),  # by what Snakemake has written down
        ("13", "a number that another cluster has used again", here),
        ("101", RUN, here),  # by where it works
        ("102", RUN, tmp_path),
        ("103", "my own job", here),
        ("104", RUN.removeprefix("reperfuse_"), here),
    ]
    lines = "".join(f'echo "{job}|{name}|{folder}"; ' for job, name, folder in queue)
    with_squeue(tmp_path / "bin", monkeypatch, lines)
    results = here / "results"
    mark(here, "others/work/a.json", "7")
    assert still_queued(here, results) == []  # nothing was begun among these results
    for name, job in {"a": "12", "b": "12", "l" + 300 * "o" + "ng": "7", "d": "13", "e": None}.items():
        mark(here, f"results/{name}", job)
    assert still_queued(here, results) == ["7", "12", "101", "104"]


def test_results_may_be_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with_squeue(tmp_path / "bin", monkeypatch, f'echo "12|{RUN}|/elsewhere"')
    mark(tmp_path / "here", f"{tmp_path}/results/a", "12")
    assert still_queued(tmp_path / "here", tmp_path / "results") == ["12"]


def test_without_jobs_or_without_slurm_nothing_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert still_queued(tmp_path, tmp_path / "results") == []
    mark(tmp_path, "results/a", None)
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
    assert still_queued(tmp_path, tmp_path / "results") == []


def test_jobs_that_cannot_be_asked_about_are_no_jobs_that_have_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mark(tmp_path, "results/a", "17")
    with_squeue(tmp_path / "bin", monkeypatch, "exit 1")
    with pytest.raises(ConfigError, match=r"\(17\).*start where Slurm answers"):
        still_queued(tmp_path, tmp_path / "results")
