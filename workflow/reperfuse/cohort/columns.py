"""Which column of which clinical table holds which variable."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from typing import Any

from reperfuse.cohort.sheet import Sheet
from reperfuse.cohort.values import factor
from reperfuse.cohort.variables import STANDARD, Variable
from reperfuse.core.errors import ConfigError, Fault


@dataclass(frozen=True)
class Source:
    """Where a variable comes from.

    Parameters
    ----------
    variable : Variable
        What it is.
    sheet : int
        Number of the table in the list.
    column : str
        Name of the column in it.
    session_id : str
        Use the rows of this session only; empty: the rows that the variable's visit asks for.
    levels : mapping
        Configured spelling → standard level.
    scale : float
        Factor from the column's unit, as configured or as the table's JSON file says, to the variable's.
    described : mapping
        Spelling → description from the table's JSON file.
    """

    variable: Variable
    sheet: int
    column: str
    session_id: str = ""
    levels: Mapping[str, str | None] = field(default_factory=dict)
    scale: float = 1.0
    described: Mapping[str, str] = field(default_factory=dict)


def _key(name: str) -> str:
    return re.sub(r"[\s_\-.]+", "", name.casefold())


def nearest(name: str, choices: Sequence[str]) -> str:
    """Return the choice that is spelt most like ``name``, or ``none``."""
    found = difflib.get_close_matches(name, list(choices), n=1, cutoff=0.5)
    return found[0] if found else "none"


def sidecar(path: Path, *, name: str) -> tuple[dict[str, Any], list[Fault]]:
    """Read the JSON file that describes a table; an absent one is no fault, a broken one is E213."""
    described = path.with_suffix(".json")
    if not described.is_file():
        return {}, []
    shown = PurePosixPath(name).with_suffix(".json").as_posix()
    try:
        content = json.loads(described.read_text(encoding="utf-8-sig"))
    except json.JSONDecodeError as error:
        return {}, [Fault("E213", shown, {"line": error.lineno})]
    except (UnicodeDecodeError, OSError):
        return {}, [Fault("E213", shown, {"line": 1})]
    return (content if isinstance(content, dict) else {}), []


def variables(columns: Mapping[str, Mapping[str, Any] | None]) -> dict[str, Variable]:
    """Return the variables to look for: the standard ones as configured, and those that the user defines.

    Parameters
    ----------
    columns : mapping
        Section ``clinical: columns`` of the configuration; ``None`` takes a variable out.

    Raises
    ------
    ConfigError
        A name is not a standard one and does not say what it is.
    """
    wanted = dict(STANDARD)
    for name, spec in columns.items():
        if spec is None:
            wanted.pop(name, None)
            continue
        if name not in STANDARD:
            if "kind" not in spec or "available_at" not in spec:
                raise ConfigError(
                    f"clinical: columns: {name} is not a standard variable (nearest: "
                    f"{nearest(name, list(STANDARD))}); give its `kind` and `available_at` to define it"
                )
            targets = sorted(
                {str(level) for level in (spec.get("levels") or {}).values() if level is not None}
            )
            levels: dict[str, tuple[str, ...]] = {level: (level,) for level in targets}
            if spec["kind"] == "flag":
                levels = dict(STANDARD["ivt"].levels)
            wanted[name] = Variable(
                name, "Defined in the configuration", spec["kind"], spec["available_at"],
                spec.get("units", ""), levels=levels, once=True,
            )  # fmt: skip
        elif spec.get("available_at"):
            wanted[name] = replace(STANDARD[name], available_at=spec["available_at"])
    return wanted


def _spread(
    sheets: Sequence[Sheet], columns: Mapping[str, Mapping[str, Any] | None]
) -> dict[str, Mapping[str, Any] | None]:
    """Return the configuration with ``memory_*`` in place of which stands every column that is called so.

    A column that has an entry of its own, or the name of a standard variable, is not among them. One for which there
    is no column stays, as the column that is missing.
    """
    found: dict[str, Mapping[str, Any] | None] = {}
    for name, spec in columns.items():
        if not name.endswith("*") or spec is None:
            found[name] = spec
            continue
        mine = [sheet for sheet in sheets if not spec.get("table") or _is_table(sheet, spec["table"])]
        there = {_name(column): column for sheet in mine for column in sheet.columns}
        chosen = [
            one for one in there if fnmatchcase(one, name) and one not in columns and one not in STANDARD
        ]
        found |= {one: {**spec, "column": there.get(one, one)} for one in chosen or [name]}
    return found


def _name(column: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", column.casefold())


def _is_table(sheet: Sheet, wanted: str) -> bool:
    path = PurePosixPath(sheet.name)
    return wanted in (sheet.name, path.name, path.stem)


def _scale(variable: Variable, configured: str, described: str) -> float:
    """Return the factor to the variable's unit; a unit that only the JSON file names may be unknown."""
    if variable.kind != "number":
        return 1.0
    try:
        return factor(variable, configured or described)
    except KeyError:
        if not configured:
            return 1.0
        raise ConfigError(
            f"clinical: columns: {variable.name}: units: {configured} cannot be turned into {variable.units}"
        ) from None


def sources(
    sheets: Sequence[Sheet],
    sidecars: Sequence[Mapping[str, Any]],
    columns: Mapping[str, Mapping[str, Any] | None],
) -> tuple[list[Source], list[Fault]]:
    """Find the column of every variable; a name such as ``memory_*`` stands for every column that is called so.

    A configured column is taken as it is spelt; otherwise the standard name, then its aliases, whatever their
    case, in the first table that has one.

    Returns
    -------
    list of Source, list of Fault
        E135 for a configured column that no table has.
    """
    found: list[Source] = []
    faults: list[Fault] = []
    columns = _spread(sheets, columns)
    for name, variable in variables(columns).items():
        spec = columns.get(name) or {}
        table = spec.get("table") or ""
        candidates = [i for i, sheet in enumerate(sheets) if not table or _is_table(sheet, table)]
        place: tuple[int, str] | None = None
        if spec.get("column"):
            exact = spec["column"]
            place = next(((i, exact) for i in candidates if exact in sheets[i].columns), None)
            if place is None:
                there = [column for i in candidates for column in sheets[i].columns]
                values = {"column": exact, "name": name, "nearest": nearest(exact, there)}
                shown = table or ", ".join(sheet.name for sheet in sheets)
                faults.append(Fault("E135", shown, values))
        else:
            spellings = [_key(word) for word in (name, *variable.aliases)]
            for i in candidates:
                keys = {_key(column): column for column in reversed(sheets[i].columns)}
                match = next((keys[word] for word in spellings if word in keys), None)
                if match:
                    place = (i, match)
                    break
        if place is None:
            continue
        meta = sidecars[place[0]].get(place[1])
        meta = meta if isinstance(meta, dict) else {}
        levels = meta.get("Levels")
        described: dict[str, Any] = levels if isinstance(levels, dict) else {}
        words = {k: v.get("Description", "") if isinstance(v, dict) else str(v) for k, v in described.items()}
        scale = _scale(variable, spec.get("units") or "", str(meta.get("Units", "")))
        session = str(spec.get("session_id") or "")
        found.append(Source(variable, *place, session, spec.get("levels") or {}, scale, words))
    return found, faults
