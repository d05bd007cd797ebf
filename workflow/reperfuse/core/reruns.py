"""Recognise results when Snakemake's own memory of them is gone.

Snakemake knows what a result was made from as long as ``.snakemake`` is there. Results that were copied without
it carry the same digests in their records. Before a run, each record is compared with what would be made now. A
stale one is dated back, so that Snakemake sees that its inputs are newer; one that has no inputs is put aside, so
that what follows from it misses it. A current one stays, or comes back, and its dates are put in order where
copying has mixed them up.
"""

from __future__ import annotations

import os
from base64 import urlsafe_b64encode
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from reperfuse.core.files import is_whole, read_json_or
from reperfuse.core.records import digests_of, key_of


@dataclass(frozen=True)
class Expected:
    """One result as it would be made now.

    Parameters
    ----------
    cfg, code, src
        What the rule's ``params`` hold.
    after : mapping
        Name of each result before, as records name it → path of its record.
    files : sequence of str
        What Snakemake dates the job by: every output, and the benchmark.
    """

    cfg: Any
    code: str
    src: Any
    after: Mapping[str, str] = field(default_factory=dict)
    files: Sequence[str] = ()


@dataclass(frozen=True)
class Recognised:
    """How many results without Snakemake's memory are current, and the records of those that are stale."""

    current: int
    stale: tuple[str, ...]


def aside(record: str | Path) -> Path:
    """Return where the stale record of a job without inputs is put."""
    return Path(f"{record}.stale")


def remembered(record: str, memory: Path) -> bool:
    """Whether a folder of Snakemake's memory, ``metadata`` or ``incomplete``, knows an output."""
    name = urlsafe_b64encode(record.encode()).decode()
    parts = [name[i : i + 254] for i in range(0, len(name), 254)]
    return os.path.exists(os.path.join(memory, *("@" + part for part in parts[:-1]), parts[-1]))


def reconcile(results: Mapping[str, Callable[[], Expected]], metadata: Path) -> Recognised:
    """Compare records with what would be made now, in the order of the steps.

    Parameters
    ----------
    results : mapping
        Record → what tells how it would be made now, each after those that it names in ``after``. Only results
        that need it are asked, and those before them: thousands of patients are mostly remembered, or not there yet.
    metadata : Path
        ``.snakemake/metadata``.
    """
    made: dict[str, Expected] = {}
    keys: dict[str, str] = {}

    def key(record: str) -> str:
        if record not in keys:
            made[record] = one = results[record]()
            after = {name: key(path) for name, path in one.after.items()}
            keys[record] = key_of(digests_of(one.cfg, one.code, one.src, after))
        return keys[record]

    current, stale = 0, []
    for name in results:
        record, old = Path(name), aside(name)
        if not (os.path.exists(name) or os.path.exists(old)) or remembered(name, metadata):
            continue
        found = record if record.exists() else old
        if _is_current(found, key(name)):
            found.replace(record)
            before = made[name].after.values()
            _put_in_order(made[name].files, [path for one in before for path in made[one].files])
            current += 1
            continue
        if made[name].after and record.exists():
            os.utime(record, (1, 1))
        else:
            found.replace(old)
        stale.append(name)
    return Recognised(current, tuple(stale))


def _is_current(path: Path, key: str) -> bool:
    """Whether a record has the key, and the files that it lists are there with their sizes."""
    record = read_json_or(path, {})
    if not isinstance(record, dict) or record.get("key") != key:
        return False
    return all(is_whole(path.with_name(name), size) for name, size in record.get("files", {}).items())


def _put_in_order(files: Sequence[str], inputs: Sequence[str]) -> None:
    """Date files after inputs, where copying mixed them up."""
    dates = [os.stat(path).st_mtime_ns for path in files if os.path.exists(path)]
    newest = max((os.stat(path).st_mtime_ns for path in inputs if os.path.exists(path)), default=0)
    if min(dates, default=newest) < newest:
        for path in files:
            if os.path.exists(path):
                os.utime(path)
