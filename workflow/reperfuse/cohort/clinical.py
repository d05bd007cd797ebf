"""The clinical table: what every patient's row says, under standard names, and what is wrong with it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from reperfuse.cohort.columns import Source, sidecar, sources
from reperfuse.cohort.gather import EVERYTHING, Reader
from reperfuse.cohort.sheet import Sheet, read_sheet
from reperfuse.cohort.values import Value
from reperfuse.cohort.variables import STANDARD
from reperfuse.core.errors import ConfigError, Fault

AGE_CAPPED = {
    "Description": "Whether the age was given as a lower bound, such as 89+",
    "Levels": {"1": "yes", "0": "no"},
    "available_at": "none",
    "Source": "age",
}


@dataclass(frozen=True)
class Clinical:
    """Clinical data of a cohort.

    Parameters
    ----------
    rows : dict
        participant_id (with ``sub-``) → standard name → number, text or None.
    faults : list of Fault
        Everything worth telling, with the patient where it is one patient's.
    dictionary : dict
        Standard name → Description, Units, Levels, available_at, Source; for ``participants.json``.
    refused : dict
        participant_id → standard name → why the value was not taken; ``*`` for a whole row.
    """

    rows: dict[str, dict[str, Value]]
    faults: list[Fault] = field(default_factory=list)
    dictionary: dict[str, dict[str, Any]] = field(default_factory=dict)
    refused: dict[str, dict[str, Fault]] = field(default_factory=dict)


def find_tables(bids_dir: Path, named: Sequence[str]) -> list[Path]:
    """Return the clinical tables: those named (relative to the dataset), else ``participants.tsv`` and
    ``phenotype/*.tsv`` where they exist.

    Raises
    ------
    ConfigError
        A named table is absent.
    """
    if not named:
        return [
            p
            for p in [bids_dir / "participants.tsv", *sorted(bids_dir.glob("phenotype/*.tsv"))]
            if p.is_file()
        ]
    tables = [bids_dir / name for name in named]
    for name, path in zip(named, tables, strict=True):
        if not path.is_file():
            raise ConfigError(
                f"`clinical.tables` names {name}, which is not in {bids_dir}; give paths relative to the dataset."
            )
    return tables


def _find(columns: Sequence[str], names: Sequence[str]) -> str:
    folded = {column.casefold(): column for column in reversed(columns)}
    return next((folded[name.casefold()] for name in names if name.casefold() in folded), "")


def _describe(name: str, source: Source, sheet: Sheet) -> dict[str, Any]:
    variable = STANDARD.get(name, source.variable)
    entry: dict[str, Any] = {"Description": variable.description}
    if variable.units:
        entry["Units"] = variable.units
    if variable.levels:
        entry["Levels"] = {level: level for level in variable.levels}
    available = source.variable.available_at if name == source.variable.name else variable.available_at
    return entry | {"available_at": available, "Source": f"{sheet.name}: {source.column}"}


def read_clinical(
    tables: Sequence[Path],
    *,
    root: Path,
    columns: Mapping[str, Mapping[str, Any] | None],
    sessions: Mapping[str, str],
    id_columns: Sequence[str],
    session_columns: Sequence[str],
    missing: Sequence[str],
) -> Clinical:
    """Read the clinical tables under standard names.

    A fault in a row concerns that value or that patient only; everything else is read.

    Parameters
    ----------
    tables : sequence of Path
        In order of precedence; a variable is read from the first one that has it.
    root : Path
        The dataset; faults name tables relative to it.
    columns : mapping
        Standard name → ``column``, ``table``, ``session_id``, ``levels``, ``units``, ``available_at`` and
        ``kind``; ``None`` leaves the variable out. What is not configured is found by its name or an alias.
    sessions : mapping
        Visit (``J0``, ``J1``) → session label; empty for data without sessions, whose rows all count as J0.
    id_columns, session_columns, missing : sequence of str
        Names of the columns that identify patient and session, and the spellings of a missing value.

    Returns
    -------
    Clinical

    Raises
    ------
    ConfigError
        A table is absent, or the configuration asks for what cannot be: an unknown variable, unit or level.
    """
    names = [path.relative_to(root).as_posix() if path.is_relative_to(root) else path.name for path in tables]
    for path, name in zip(tables, names, strict=True):
        if not path.is_file():
            raise ConfigError(f"clinical: tables: {name} is absent")
    sheets = [read_sheet(path, name=name) for path, name in zip(tables, names, strict=True)]
    described = [sidecar(path, name=name) for path, name in zip(tables, names, strict=True)]
    reader = Reader(sessions, missing)
    reader.faults += [fault for sheet in sheets for fault in sheet.faults]
    reader.faults += [fault for _, faults in described for fault in faults]
    found, faults = sources(sheets, [content for content, _ in described], columns)
    reader.faults += faults
    for number, sheet in enumerate(sheets):
        id_column = _find(sheet.columns, id_columns)
        if sheet.columns and not id_column:
            values = {"line": 1, "column": id_columns[0], "problem": "no such column"}
            reader.faults.append(Fault("E130", sheet.name, values))
            continue
        here = [source for source in found if source.sheet == number]
        single = reader.group(
            sheet, {s.column for s in here}, id_column, _find(sheet.columns, session_columns)
        )
        for source in here:
            reader.column(source, sheet, single)
        dialect = [*sheet.dialect, *(["decimal commas"] if number in reader.commas else [])]
        if dialect:
            reader.faults.append(Fault("W130", sheet.name, {"dialect": ", ".join(dialect)}))
    reader.totals("nihss")
    reader.totals("nihss_24h")
    dictionary: dict[str, dict[str, Any]] = {}
    for name in _ordered(reader.filled_by):
        dictionary[name] = _describe(name, *reader.filled_by[name])
        if name == "age":
            dictionary["age_capped"] = AGE_CAPPED
            for participant_id, row in reader.rows.items():
                row["age_capped"] = None if row.get("age") is None else float(participant_id in reader.capped)
    rows = {participant_id: reader.rows[participant_id] for participant_id in sorted(reader.rows)}
    return Clinical(rows, reader.faults, dictionary, {k: v for k, v in reader.refused.items() if v})


def _ordered(names: Iterable[str]) -> list[str]:
    """Return names in the order of the standard table, the user's own after them."""
    place = {name: i for i, name in enumerate(STANDARD)}
    return sorted(names, key=lambda name: (place.get(name, len(place)), name))


def reconcile(clinical: Clinical, participants: Iterable[str]) -> list[Fault]:
    """Compare rows with folders.

    W126 a folder without row, W127 a row without folder, W125 where the two may be one patient because they
    differ in leading zeros only. A row that was refused is one all the same.
    """
    folders = set(participants)
    refused = {name for name, found in clinical.refused.items() if EVERYTHING in found}
    bare = {re.sub(r"^sub-0+(?=.)", "sub-", name): name for name in sorted(clinical.rows)}
    faults = []
    for name in sorted(folders - set(clinical.rows) - refused):
        other = bare.get(re.sub(r"^sub-0+(?=.)", "sub-", name))
        if other and other not in folders:
            faults.append(Fault("W125", "", {"other": other}, name))
        faults.append(Fault("W126", "", {}, name))
    return faults + [Fault("W127", "", {}, name) for name in sorted(set(clinical.rows) - folders)]


def available(clinical: Clinical, visit: str) -> list[str]:
    """Return the variables that a model of a visit may see: those known at it or before."""
    visits = {"J0": {"J0"}, "J1": {"J0", "J1"}}[visit]
    return [name for name, entry in clinical.dictionary.items() if entry["available_at"] in visits]


def participant_rows(
    clinical: Clinical, participants: Iterable[str]
) -> tuple[list[dict[str, Value]], list[str]]:
    """Return rows and columns of ``cohort/participants.tsv``: every patient with a folder, standard names.

    Values are written as they were read; a patient without clinical row has ``n/a`` throughout.
    """
    columns = list(clinical.dictionary)
    rows: list[dict[str, Value]] = []
    for participant_id in sorted(set(participants)):
        row = clinical.rows.get(participant_id, {})
        rows.append({"participant_id": participant_id, **{name: row.get(name) for name in columns}})
    return rows, ["participant_id", *columns]
