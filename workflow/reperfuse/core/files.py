"""Files that are either whole or not there."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

PARTIAL = ".partial-"


@contextmanager
def atomic(path: str | Path) -> Iterator[Path]:
    """Give a temporary path beside ``path``; move it there when the block ends well.

    The temporary name ends like the final one, so that writers that look at the extension work.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    suffix = "".join(path.suffixes[-2:])
    handle, name = tempfile.mkstemp(prefix=PARTIAL, suffix=suffix, dir=path.parent)
    os.close(handle)
    partial = Path(name)
    try:
        yield partial
        umask = os.umask(0)
        os.umask(umask)
        partial.chmod(0o666 & ~umask)
        with partial.open("rb") as stream:
            os.fsync(stream.fileno())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def write_bytes(path: str | Path, content: bytes) -> None:
    """Write a file atomically."""
    with atomic(path) as partial:
        partial.write_bytes(content)


def write_text(path: str | Path, text: str) -> None:
    """Write a UTF-8 file atomically."""
    write_bytes(path, text.encode("utf-8"))


def write_json(path: str | Path, content: Any) -> None:
    """Write JSON atomically, byte-stable: sorted keys, two spaces, no NaN."""
    text = json.dumps(content, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False)
    write_text(path, text + "\n")


def read_json(path: str | Path) -> Any:
    """Read a UTF-8 JSON file, with or without a byte-order mark."""
    return json.loads(Path(path).read_text(encoding="utf-8-sig"))


def read_json_or(path: str | Path, otherwise: Any) -> Any:
    """Read a JSON file; return ``otherwise`` where it is absent or damaged."""
    try:
        return read_json(path)
    except (OSError, ValueError):
        return otherwise


def lines_of(path: str | Path) -> list[str]:
    """Return the lines of a file that may vanish at any time; none then."""
    try:
        return Path(path).read_text(encoding="utf-8").splitlines()
    except OSError:
        return []


def write_marker(path: str | Path) -> None:
    """Leave an empty file where an image could not be made."""
    write_bytes(path, b"")


def is_marker(path: str | Path) -> bool:
    """Whether a file stands for an image that could not be made."""
    return Path(path).stat().st_size == 0


def is_whole(path: Path, size: int) -> bool:
    """Whether a file is there with a size in bytes."""
    try:
        return path.stat().st_size == size
    except OSError:
        return False


def shown_link(target: str) -> str:
    """Return a link's target as messages name it: without telling where this machine keeps things."""
    return f"…/{Path(target).name}" if os.path.isabs(target) else target[-160:]
