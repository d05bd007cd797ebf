"""Results belong to one run at a time, and to nobody once it has ended."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from reperfuse.core.claim import announced, claim, claimed

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
    assert not another("claim", other), "and to ask for it does not let go of it"


RUN = "from pathlib import Path; from reperfuse.core import claim; claim.claim(Path('work')); claim.announce('p-1')"


@pytest.mark.parametrize(("last", "left"), [("", True), ("; claim.release()", False)])
def test_a_run_that_was_killed_leaves_where_it_was_started_and_its_plan(
    last: str, left: bool, tmp_path: Path
) -> None:
    work = tmp_path / "work"
    assert announced(work) == ("", "")
    environment = {**os.environ, "PYTHONPATH": str(LIBRARY)}
    subprocess.run([sys.executable, "-c", RUN + last], cwd=tmp_path, check=True, env=environment)
    assert announced(work) == ((str(tmp_path), "p-1") if left else ("", ""))


def test_where_nothing_can_be_written_the_claim_says_so(tmp_path: Path) -> None:
    (tmp_path / "work").write_text("no folder")
    with pytest.raises(OSError, match="work"):
        claim(tmp_path / "work")
