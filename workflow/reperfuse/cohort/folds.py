"""Folds of a cross-validation: stratified, whole groups together, appended to and never reshuffled.

A cohort that has grown therefore has other folds than the same cohort drawn afresh.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from reperfuse.core.errors import ConfigError
from reperfuse.core.tables import read_table, write_table

COLUMNS = ("participant_id", "fold", "stratum", "group")
# Strata that are no class: a study without label, and patients whose label is not known.
NO_CLASS = ("all", "n/a")


@dataclass(frozen=True, order=True)
class FoldRow:
    """A patient's place: fold from 1 on, the stratum and the group that led to it."""

    participant_id: str
    fold: int
    stratum: str
    group: str


@dataclass(frozen=True)
class FoldPlan:
    """Folds of one study.

    Parameters
    ----------
    rows : list of FoldRow
        Sorted by patient; also those who have a place and cannot take part at present.
    n_folds : int
        Folds in use; 0 where a cross-validation is not possible.
    notices : list of str
        Plain sentences for the report.
    """

    rows: list[FoldRow]
    n_folds: int
    notices: list[str]


def assign_folds(
    existing: Mapping[str, int],
    candidates: Mapping[str, tuple[str, str]],
    *,
    n_folds: int,
    salt: str,
) -> dict[str, int]:
    """Give every candidate a fold; those who have one keep it.

    Groups come in the order of their size, then of sha256(salt, group), and each goes to the fold that holds
    fewest of its strata. A group some of whose members have a fold joins the one that holds most of them.
    The result depends on neither the order of the input nor the machine.

    Parameters
    ----------
    existing : mapping
        participant_id → fold.
    candidates : mapping
        participant_id → (stratum, group); of earlier patients too, so that they count.
    n_folds : int
        Folds, numbered from 1.
    salt : str
        Another one gives other folds.

    Returns
    -------
    dict
        participant_id → fold, of existing and new ones, sorted.

    Raises
    ------
    ConfigError
        A fold in ``existing`` is not between 1 and ``n_folds``.
    """
    beyond = sorted({fold for fold in existing.values() if not 1 <= fold <= n_folds})
    if beyond:
        raise ConfigError(
            f"fold {beyond[0]} was assigned, but folds are 1 to {n_folds}; give the number of folds that the "
            "fold table was made with, or delete the table to draw afresh"
        )
    folds = dict(existing)
    members: dict[str, list[str]] = defaultdict(list)
    seats = {fold: Counter[str]() for fold in range(1, n_folds + 1)}
    for name, (stratum, group) in candidates.items():
        members[group].append(name)
        if name in existing:
            seats[existing[name]][stratum] += 1
    totals = Counter(stratum for stratum, _ in candidates.values())

    def turn(group: str) -> tuple[int, str]:
        return -len(members[group]), hashlib.sha256(f"{salt}\x1f{group}".encode()).hexdigest()

    for group in sorted(members, key=turn):
        new = [name for name in members[group] if name not in existing]
        if not new:
            continue
        held = Counter(existing[name] for name in members[group] if name in existing)
        added = Counter(candidates[name][0] for name in new)

        def load(fold: int, added: Counter[str] = added) -> tuple[float, int, int]:
            crowd = sum(seats[fold][stratum] * n / totals[stratum] for stratum, n in added.items())
            return round(crowd, 12), seats[fold].total(), fold

        fold = min(held, key=lambda f: (-held[f], f)) if held else min(seats, key=load)
        seats[fold] += added
        folds |= dict.fromkeys(new, fold)
    return dict(sorted(folds.items()))


def usable_folds(candidates: Mapping[str, tuple[str, str]], n_folds: int) -> tuple[int, list[str]]:
    """Return the number of folds that every class can fill, and a sentence where that is too few.

    A class needs one group per fold. With fewer than two groups there is no cross-validation: 0.
    """
    groups: dict[str, set[str]] = defaultdict(set)
    for stratum, group in candidates.values():
        groups["all" if stratum in NO_CLASS else stratum].add(group)
    classes = {stratum: len(found) for stratum, found in groups.items() if stratum not in NO_CLASS}
    counts = classes or {"all": len(groups.get("all", ()))}
    if len(classes) == 1:
        only = next(iter(classes))
        return 0, [f"Every known label is of class {only}, so there is nothing to cross-validate."]
    stratum, smallest = min(counts.items(), key=lambda item: (item[1], item[0]))
    whose = "The cohort" if stratum in NO_CLASS else f"Class {stratum}"
    has = f"{whose} has {smallest} independent patient{'' if smallest == 1 else 's'}"
    if smallest < 2:
        return 0, [f"{has}; at least 2 are needed, so no folds were made."]
    if smallest < n_folds:
        return smallest, [f"{has}, fewer than the {n_folds} folds asked for, so {smallest} folds were made."]
    return n_folds, []


def _spread(rows: Iterable[FoldRow]) -> list[str]:
    """Return a sentence for every group that sits in several folds: found to belong together too late."""
    folds: dict[str, set[int]] = defaultdict(set)
    for row in rows:
        folds[row.group].add(row.fold)
    return [
        f"Group {group} sits in folds {', '.join(map(str, sorted(found)))}, because its members had places "
        "before they were known to belong together; delete the fold table to draw afresh."
        for group, found in sorted(folds.items())
        if len(found) > 1
    ]


def plan_folds(
    existing: Sequence[FoldRow],
    candidates: Mapping[str, tuple[str, str]],
    *,
    n_folds: int,
    salt: str,
    frozen: bool,
) -> FoldPlan:
    """Extend the folds of a study by the patients who are new.

    The number of folds is settled at the first draw, when it may have to be reduced, and kept from then on.

    Parameters
    ----------
    existing : sequence of FoldRow
        The study's fold table; empty at the first draw.
    candidates : mapping
        participant_id → (stratum, group) of those who take part now.
    n_folds, salt
        See `assign_folds`.
    frozen : bool
        Whether ``existing`` is a paper's own table, to which nobody is added.
    """
    places = {row.participant_id: row for row in existing}
    everyone = {row.participant_id: (row.stratum, row.group) for row in existing} | dict(candidates)
    if frozen:
        rows = [FoldRow(name, places[name].fold, *everyone[name]) for name in sorted(places)]
        left = len(set(candidates) - set(places))
        notices = (
            [f"{left} eligible patients are not in the frozen fold table and take no part."] if left else []
        )
        return FoldPlan(rows, max((row.fold for row in rows), default=0), notices + _spread(rows))
    if existing:
        n_used, notices = max(row.fold for row in existing), []
        if n_used != n_folds:
            notices.append(
                f"The fold table was made with {n_used} folds, not {n_folds}; it is kept. "
                "Delete it to draw afresh."
            )
    else:
        n_used, notices = usable_folds(candidates, n_folds)
    if n_used == 0:
        return FoldPlan([], 0, notices)
    folds = assign_folds(
        {name: row.fold for name, row in places.items()}, everyone, n_folds=n_used, salt=salt
    )  # fmt: skip
    rows = [FoldRow(name, fold, *everyone[name]) for name, fold in folds.items()]
    return FoldPlan(rows, n_used, notices + _spread(rows))


def balance(rows: Iterable[FoldRow], *, n_folds: int) -> list[dict[str, int]]:
    """Return one row per fold: ``fold``, ``n``, and ``n_<stratum>`` for every stratum."""
    rows = list(rows)
    strata = sorted({row.stratum for row in rows})
    table = []
    for fold in range(1, n_folds + 1):
        counts = Counter(row.stratum for row in rows if row.fold == fold)
        table.append(
            {"fold": fold, "n": counts.total()} | {f"n_{stratum}": counts[stratum] for stratum in strata}
        )
    return table


def write_folds(path: str | Path, rows: Iterable[FoldRow]) -> None:
    """Write a fold table, sorted by patient, the same bytes for the same folds."""
    write_table(path, [vars(row) for row in sorted(rows)], COLUMNS)


def read_folds(path: str | Path) -> list[FoldRow]:
    """Read a fold table.

    Raises
    ------
    ConfigError
        The table cannot be read, a row is not a patient's only one, or its fold is not a whole number from 1 on.
    """
    try:
        table = read_table(path)
    except (OSError, ValueError):
        raise ConfigError(f"The fold table {path} cannot be read; restore it, or correct its path.") from None
    rows: dict[str, FoldRow] = {}
    for number, row in enumerate(table, start=2):
        name, fold = row.get("participant_id") or "", row.get("fold") or ""
        if not name or name in rows or not fold.isdecimal() or int(fold) < 1:
            raise ConfigError(
                f"{Path(path).name}, line {number}: {name or 'no patient'}, fold {fold or 'n/a'}; "
                "expected each patient once and folds from 1 on; restore the table or delete it"
            )
        rows[name] = FoldRow(name, int(fold), row.get("stratum") or "n/a", row.get("group") or name)
    return sorted(rows.values())
