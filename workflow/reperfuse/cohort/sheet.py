"""Read a table that somebody else wrote: any separator, encoding and line end, every cell as text."""

from __future__ import annotations

import codecs
import csv
import io
from dataclasses import dataclass, field
from pathlib import Path

from reperfuse.core.errors import Fault

_DELIMITERS = {"\t": "tab-separated", ";": "semicolon-separated", ",": "comma-separated"}


@dataclass(frozen=True)
class Line:
    """One row: its line number in the file (the header is 1) and its cells by column."""

    number: int
    cells: dict[str, str]


@dataclass(frozen=True)
class Sheet:
    """A table as text.

    Parameters
    ----------
    name : str
        Path as faults show it.
    columns : tuple of str
        Columns that can be used, in the order of the file.
    lines : tuple of Line
        Rows that have as many cells as the header.
    ragged : tuple of (str, Fault)
        Rows that do not, with their first cell.
    dialect : tuple of str
        In what the file is not a tab-separated table in UTF-8.
    faults : tuple of Fault
        What concerns the table as a whole.
    """

    name: str
    columns: tuple[str, ...] = ()
    lines: tuple[Line, ...] = ()
    ragged: tuple[tuple[str, Fault], ...] = ()
    dialect: tuple[str, ...] = ()
    faults: tuple[Fault, ...] = field(default=())


def _decode(content: bytes) -> tuple[str, str]:
    """Return the text and, where it is not plain UTF-8, what it is."""
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return content.decode("utf-16", errors="replace"), "UTF-16"
    if content.startswith(codecs.BOM_UTF8):
        return content.decode("utf-8-sig", errors="replace"), "UTF-8 with a byte-order mark"
    try:
        return content.decode("utf-8"), ""
    except UnicodeDecodeError:
        pass
    try:
        return content.decode("cp1252"), "Windows-1252"
    except UnicodeDecodeError:
        return content.decode("latin-1"), "Latin-1"


def _parse(text: str, delimiter: str) -> list[tuple[int, list[str]]]:
    """Return line number and cells of every row that is not blank.

    A quotation mark that is never closed would swallow the rows after it: then marks are taken literally.
    """
    rows: list[tuple[int, list[str]]] = []
    try:
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
        for row in reader:
            rows.append((reader.line_num, row))
        broken = any("\n" in cell or "\r" in cell for _, row in rows for cell in row)
    except csv.Error:
        broken = True
    if broken:
        lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
        rows = [
            (number, [cell.strip().strip('"') for cell in line.split(delimiter)])
            for number, line in enumerate(lines, start=1)
        ]
    rows = [(number, [cell.strip() for cell in row]) for number, row in rows]
    return [(number, row) for number, row in rows if any(row)]


def read_sheet(path: Path, *, name: str) -> Sheet:
    """Read a delimited table, whatever its separator, encoding and line ends.

    Parameters
    ----------
    path : Path
        The file.
    name : str
        How faults call it.

    Returns
    -------
    Sheet
        A table that cannot be read has no columns and says why in ``faults``.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        return Sheet(name, faults=(Fault("E212", name, {"why": error.strerror or "unknown"}),))
    text, encoding = _decode(content)
    first = next((line for line in text.splitlines() if line.strip()), "")
    delimiter = next((mark for mark in _DELIMITERS if mark in first), "\t")
    dialect = tuple(
        word
        for word, found in (
            (_DELIMITERS[delimiter], delimiter != "\t"),
            (encoding, bool(encoding)),
            ("CRLF line ends", "\r" in text),
        )
        if found
    )
    rows = _parse(text.replace("\x00", ""), delimiter)
    if not rows:
        problem = {"line": 1, "column": "participant_id", "problem": "the table is empty"}
        return Sheet(name, dialect=dialect, faults=(Fault("E130", name, problem),))
    header = rows[0][1]
    while header and not header[-1]:
        header.pop()
    twice = sorted({column for column in header if column and header.count(column) > 1})
    faults = tuple(
        Fault("E130", name, {"line": 1, "column": column, "problem": "the column is there more than once"})
        for column in twice
    )
    lines: list[Line] = []
    ragged: list[tuple[str, Fault]] = []
    for number, row in rows[1:]:
        width = len(header)
        if len(row) < width or any(row[width:]):
            where = header[len(row)] if len(row) < width else f"after {header[-1]}"
            problem = {"line": number, "column": where, "problem": f"{len(row)} cells in place of {width}"}
            ragged.append((row[0], Fault("E130", name, problem)))
            continue
        cells = {c: v for c, v in zip(header, row, strict=False) if c and c not in twice}
        lines.append(Line(number, cells))
    columns = tuple(column for column in header if column and column not in twice)
    return Sheet(name, columns, tuple(lines), tuple(ragged), dialect, faults)
