"""Tab-separated tables: text in, text out, the same bytes for the same rows."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from reperfuse.core.files import write_text

MISSING = "n/a"
Row = dict[str, str]


def cell(value: Any) -> str:
    """Return a value as a table shows it; floats keep six significant digits, nothing is ``n/a``."""
    if value is None or value == "":
        return MISSING
    if isinstance(value, bool):
        return str(int(value))
    if isinstance(value, float):
        return f"{value:.6g}" if math.isfinite(value) else MISSING
    return " ".join(str(value).split())


def write_table(path: str | Path, rows: Iterable[Mapping[str, Any]], columns: Sequence[str]) -> None:
    """Write rows as UTF-8 TSV with a header; absent values become ``n/a``."""
    stream = io.StringIO()
    writer = csv.writer(stream, delimiter="\t", lineterminator="\n", quoting=csv.QUOTE_MINIMAL)
    writer.writerow(columns)
    for row in rows:
        writer.writerow([cell(row.get(column)) for column in columns])
    write_text(path, stream.getvalue())


def read_table(path: str | Path) -> list[Row]:
    """Read a table that this package wrote; ``n/a`` becomes the empty string."""
    text = Path(path).read_text(encoding="utf-8")
    rows = csv.DictReader(io.StringIO(text), delimiter="\t")
    return [{k: "" if v == MISSING else v for k, v in row.items()} for row in rows]
