"""One run at a time for one folder of results, from whichever clone, folder or login node it is started.

Snakemake locks files for its own working directory, and the first of several runs there that ends removes the locks
of all. This lock lies with the results, and the operating system lets go of it when the run ends, however it ends.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from pathlib import Path
from typing import IO

NAME = "run.lock"
_held: dict[
    str, IO[str]
] = {}  # to open the file once more in this process, and close it, would let go of the lock


def claim(work: Path) -> bool:
    """Claim the results for this process, until it ends; return False where another run has them.

    Where the file system has no locks, they count as claimed for this process.

    Parameters
    ----------
    work : Path
        Folder of the intermediate results.

    Raises
    ------
    OSError
        Nothing can be written there.
    """
    work.mkdir(parents=True, exist_ok=True)
    stream = work.joinpath(NAME).open("a", encoding="utf-8")
    try:
        fcntl.lockf(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        stream.close()
        return False
    except OSError:
        pass
    _held[os.path.realpath(work)] = stream
    return True


def announce(plan: str) -> None:
    """Say in what was claimed where this run was started and by which plan; of one that is killed, this remains."""
    for stream in _held.values():
        _write(stream, f"{os.getcwd()}\n{plan}\n")


def release() -> None:
    """Say that the run of this process has ended by itself."""
    with contextlib.suppress(OSError):
        for stream in _held.values():
            _write(stream, "")


def announced(work: Path) -> tuple[str, str]:
    """Return folder and plan of a run that was killed, or is at work; empty if there is none.

    Not for the process that has claimed the results.
    """
    assert os.path.realpath(work) not in _held
    try:
        lines = work.joinpath(NAME).read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    return (lines[0], lines[1]) if len(lines) > 1 else ("", "")


def _write(stream: IO[str], text: str) -> None:
    stream.truncate(0)
    stream.write(text)
    stream.flush()
    os.fsync(stream.fileno())  # jobs on other computers read it while it is open here


def claimed(work: Path) -> bool:
    """Whether another process has claimed the results."""
    if os.path.realpath(work) in _held:
        return False
    try:
        stream = work.joinpath(NAME).open("r+", encoding="utf-8")
    except PermissionError:
        return True
    except OSError:
        return False
    with stream:
        try:
            fcntl.lockf(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError):
            return True
        except OSError:
            pass
    return False
