"""Turn the text of a clinical cell into a value of its variable."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from reperfuse.cohort.variables import FACTORS, UNIT_NAMES, Variable
from reperfuse.core.errors import ConfigError

Value = float | str | None

_DECIMAL = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_COMMA = re.compile(r"([+-]?\d+),(\d+)")
_CAPPED = re.compile(r"(?:(\d+)\s*\+|>=?\s*(\d+)|≥\s*(\d+))")


@dataclass(frozen=True)
class Parsed:
    """A cell's value and what was noticed about it.

    Parameters
    ----------
    value : float, str or None
        ``None`` where it is missing or refused.
    problem : {"", "range", "level", "comma"}
        Why it was refused: not what the variable may hold, an unknown level, a comma that may separate
        decimals or thousands.
    capped, decimal_comma : bool
        An age given as "89+"; a number written with a decimal comma.
    """

    value: Value
    problem: str = ""
    capped: bool = False
    decimal_comma: bool = False


def level_key(text: str) -> str:
    """Return what spellings of one level share: case, blanks, hyphens, a trailing ``.0`` do not count."""
    key = re.sub(r"[\s_\-]+", "", text.casefold())
    return re.sub(r"^(\d+)\.0+$", r"\1", key)


def missing_words(words: Collection[str]) -> frozenset[str]:
    """Return the spellings of a missing value in the form that `is_missing` compares."""
    return frozenset({"", *(" ".join(word.casefold().split()) for word in words)})


def is_missing(text: str, missing: Collection[str]) -> bool:
    """Whether a cell stands for no value; ``missing`` comes from `missing_words`."""
    return " ".join(text.casefold().split()) in missing


def level_map(
    variable: Variable,
    configured: Mapping[str, str | None],
    sidecar: Mapping[str, str],
    present: Collection[str],
) -> dict[str, str | None]:
    """Return spelling → standard level for one column.

    The configuration comes first, then what the table's JSON file says its codes mean, then the variable's
    own spellings. Those that are bare numbers hold only where they explain every number in the column: a
    column of 0 and 1 does not follow the code of 1 and 2.

    Parameters
    ----------
    variable : Variable
        Of kind ``flag`` or ``level``.
    configured, sidecar : mapping
        The column's spelling → standard level, and → description.
    present : collection of str
        Spellings that the column holds, missing ones left out.

    Raises
    ------
    ConfigError
        A level is configured that the variable does not have.
    """
    own = {level_key(word): level for level, words in variable.levels.items() for word in words}
    given: dict[str, str | None] = {}
    for code, description in sidecar.items():
        level = own.get(level_key(description))
        if level is not None:
            given[level_key(code)] = level
    for code, target in configured.items():
        if target is not None and level_key(str(target)) not in {level_key(name) for name in variable.levels}:
            raise ConfigError(
                f"clinical: columns: {variable.name}: levels: {code} is mapped to {target}, "
                f"which is not {variable.allowed}"
            )
        names = {level_key(name): name for name in variable.levels}
        given[level_key(str(code))] = None if target is None else names[level_key(str(target))]
    numbers = {level_key(text) for text in present if level_key(text).isdigit()}
    if numbers - set(given) - set(own):
        own = {key: level for key, level in own.items() if not key.isdigit()}
    return {**own, **given}


def factor(variable: Variable, units: str) -> float:
    """Return what a number in ``units`` is multiplied by to be in the variable's unit.

    Raises
    ------
    KeyError
        The conversion is not known.
    """
    here, there = (
        UNIT_NAMES.get(u.strip().casefold(), u.strip().casefold()) for u in (units, variable.units)
    )
    return 1.0 if here in ("", there) else FACTORS[here, there]


def parse(
    text: str,
    variable: Variable,
    *,
    levels: Mapping[str, str | None],
    scale: float,
    missing: Collection[str],
) -> Parsed:
    """Turn one cell into a value.

    Parameters
    ----------
    text : str
        The cell.
    variable : Variable
        What it is.
    levels : mapping
        Spelling → standard level (`level_map`), for flags and levels.
    scale : float
        Factor to the variable's unit (`factor`), for numbers.
    missing : collection of str
        Spellings of a missing value (`missing_words`); a spelling that is also a level counts as the level.
    """
    text = " ".join(text.split())
    if variable.kind in ("flag", "level"):
        key = level_key(text)
        if key in levels:
            level = levels[key]
            return Parsed(None if level is None else float(level) if variable.kind == "flag" else level)
        return Parsed(None, "" if is_missing(text, missing) else "level")
    if is_missing(text, missing):
        return Parsed(None)
    if variable.kind == "text":
        return Parsed(text)
    capped = _CAPPED.fullmatch(text) if variable.name == "age" else None
    if capped:
        text = next(group for group in capped.groups() if group)
    comma = _COMMA.fullmatch(text)
    if comma:
        whole, decimals = comma.groups()
        if len(decimals) == 3 and whole.lstrip("+-") != "0":
            return Parsed(None, "comma")
        text = f"{whole}.{decimals}"
    if not _DECIMAL.fullmatch(text):
        return Parsed(None, "range")
    value = float(text) * scale
    low = float("-inf") if variable.low is None else variable.low
    high = float("inf") if variable.high is None else variable.high
    outside = not low <= value <= high or value in (float("inf"), float("-inf"))
    if outside or (variable.kind == "whole" and value != int(value)):
        return Parsed(None, "range", decimal_comma=bool(comma))
    return Parsed(value, capped=bool(capped), decimal_comma=bool(comma))
