"""Results belong to one run at a time, and to nobody once it has ended."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from reperfuse.core.claim import claim, claimed

ANOTHER = "import sys; from pathlib import Path; from reperfuse.core import claim; print(claim.{}(Path(sys.argv[1])))"


def another(asks: str, work: Path) -> bool:
    """Return what another process is told."""
    command = [sys.executable, "-c", ANOTHER.format(asks), str(work)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout == "True\n"


def test_who_claims_results_keeps_them_from_others_until_the_end(tmp_path: Path) -> None:
    mine, other = tmp_path / "mine/work", tmp_path / "other/work"
    assert not claimed(mine) and not mine.exists(), "to ask leaves nothing behind"
    assert claim(mine) and not another("claim", mine) and another("claimed", mine)
    assert another("claim", other) and not another("claimed", other), "that run has ended"
    assert claim(other) and not claimed(other), "one's own claim is no obstacle"
