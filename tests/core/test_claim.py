"""Results belong to one run at a time, and to nobody once it has ended."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from reperfuse.core.claim import announce, claim, claimed, release, started_in

LIBRARY = Path(__file__).resolve().parents[2] / "workflow"
ANOTHER = "import sys; from pathlib import Path; from reperfuse.core import claim; print(claim.{}(Path(sys.argv[1])))"


def another(asks: str, work: Path) -> bool:
    """Return what another process is told."""
    command = [sys.executable, "-c", ANOTHER.format(asks), str(work)]
    environment = {**os.environ, "PYTHONPATH": str(LIBRARY)}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    return done.stdout == "True\n"


def test_who_claims_results_keeps_them_from_others_until_the_end(tmp_path: Path) -> None:
    mine, other = tmp_path / "mine/work", tmp_path / "other/work"
    assert not claimed(mine) and not mine.exists(), "to ask leaves nothing behind"
    assert claim(mine) and not another("claim", mine) and another("claimed", mine)
    assert another("claim", other) and not another("claimed", other), "that run has ended"
    assert claim(other) and not claimed(other), "one's own claim is no obstacle"


def test_a_run_that_was_killed_leaves_the_folder_that_it_was_started_in(tmp_path: Path) -> None:
    work = tmp_path / "work"
    assert started_in(work) is None
    code = "from pathlib import Path; from reperfuse.core import claim; claim.claim(Path('work')); claim.announce()"
    subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        check=True,
        env={**os.environ, "PYTHONPATH": str(LIBRARY)},
    )
    assert started_in(work) == tmp_path
    assert claim(work) and started_in(work) == tmp_path, "until this one has looked"
    announce()
    assert started_in(work) == Path.cwd()
    release()
    assert started_in(work) is None
