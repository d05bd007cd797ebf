"""One run at a time for one folder of results, from whichever clone, folder or login node it is started.

Snakemake locks files for its own working directory, and the first of several runs there that ends removes the locks
of all. This lock lies with the results, and the operating system lets go of it when the run ends, however it ends.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import IO

NAME = "run.lock"
_held: list[IO[str]] = []


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
    _held.append(stream)
    return True


def announce() -> None:
    """Say in what was claimed in which folder this run was started; of one that is killed, that is what remains."""
    for stream in _held:
        _write(stream, os.getcwd())


def release() -> None:
    """Say that the run of this process has ended by itself."""
    for stream in _held:
        _write(stream, "")


def started_in(work: Path) -> Path | None:
    """Return the folder in which a run was started that was killed, or is at work."""
    try:
        text = work.joinpath(NAME).read_text(encoding="utf-8").strip()
    except OSError:
        return None
    return Path(text) if text else None


def _write(stream: IO[str], text: str) -> None:
    stream.truncate(0)
    stream.write(text)
    stream.flush()


def claimed(work: Path) -> bool:
    """Whether another process has claimed the results."""
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
