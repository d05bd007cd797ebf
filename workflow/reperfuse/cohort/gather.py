"""Go through the clinical tables cell by cell."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Collection, Mapping
from typing import Any

from reperfuse.cohort.columns import Source
from reperfuse.cohort.sheet import Line, Sheet
from reperfuse.cohort.values import Value, is_missing, level_map, missing_words, parse
from reperfuse.cohort.variables import NIHSS_ITEMS
from reperfuse.core.errors import Fault

EVERYTHING = "*"
_LABEL = re.compile(r"[0-9A-Za-z+]+")


class Reader:
    """Collects rows, faults and refusals while the tables are gone through.

    Parameters
    ----------
    sessions : mapping
        Visit → session label.
    missing : collection of str
        Spellings of a missing value.
    """

    def __init__(self, sessions: Mapping[str, str], missing: Collection[str]) -> None:
        self.visit_of = {str(label).removeprefix("ses-"): visit for visit, label in sessions.items()}
        self.visit_of |= {visit: visit for visit in sessions}
        self.order = {visit: i for i, visit in enumerate(["J0", "", "J1"])}
        self.missing = missing_words(missing)
        self.rows: dict[str, dict[str, Value]] = {}
        self.faults: list[Fault] = []
        self.refused: dict[str, dict[str, Fault]] = defaultdict(dict)
        self.conflicts: dict[tuple[str, str, str], Fault] = {}
        self.filled_by: dict[str, tuple[Source, Sheet]] = {}
        self.capped: set[str] = set()
        self.commas: set[int] = set()

    def refuse(self, participant_id: str, name: str, fault: Fault, *, tell: bool = True) -> None:
        """Note why a value of a patient was not taken."""
        fault = fault.of(participant_id)
        self.refused[participant_id].setdefault(name, fault)
        if tell:
            self.faults.append(fault)

    def participant(self, text: str, sheet: Sheet) -> str:
        """Return ``sub-X``, or nothing where the name cannot be one."""
        label = text.strip().removeprefix("sub-")
        if _LABEL.fullmatch(label):
            return f"sub-{label}"
        if not is_missing(text, self.missing):
            self.faults.append(Fault("E190", sheet.name, {"name": ascii(text)}))
        return ""

    def group(
        self, sheet: Sheet, columns: Collection[str], id_column: str, session_column: str
    ) -> dict[tuple[str, str], Line]:
        """Return one row per patient and session; cells on which several rows disagree are refused."""
        groups: dict[tuple[str, str], list[Line]] = defaultdict(list)
        for line in sheet.lines:
            participant_id = self.participant(line.cells[id_column], sheet)
            session = line.cells.get(session_column, "").removeprefix("ses-") if session_column else ""
            session = "" if is_missing(session, self.missing) else session
            if participant_id:
                groups[participant_id, session].append(line)
                self.rows.setdefault(participant_id, {})
        for text, fault in sheet.ragged:
            participant_id = self.participant(text, sheet)
            if participant_id:
                self.refuse(participant_id, EVERYTHING, fault)
            else:
                self.faults.append(fault)
        single: dict[tuple[str, str], Line] = {}
        for (participant_id, session), lines in groups.items():
            cells = dict(lines[0].cells)
            apart = {c for c in columns if len({line.cells[c] for line in lines}) > 1}
            if len(lines) > 1:
                values = {"n_rows": len(lines), "columns": ", ".join(sorted(apart))}
                label = f"ses-{session}" if session else ""
                fault = Fault("E134" if apart else "W134", sheet.name, values, participant_id, label)
                self.faults.append(fault)
                for name in apart:
                    cells[name] = ""
                    self.conflicts[participant_id, sheet.name, name] = fault
            single[participant_id, session] = Line(lines[0].number, cells)
        return single

    def target(self, source: Source, session: str) -> str | None:
        """Return the name that a row of this session fills; ``None`` where it fills none."""
        variable = source.variable
        if source.session_id:
            return variable.name if session == source.session_id.removeprefix("ses-") else None
        visit = self.visit_of.get(session, "" if not session or not self.visit_of else None)
        if variable.once or visit in ("", "J0"):
            return variable.name
        return variable.follow_up or None if visit == "J1" else None

    def column(self, source: Source, sheet: Sheet, single: Mapping[tuple[str, str], Line]) -> None:
        """Read one column into the rows."""
        variable, column = source.variable, source.column
        present = {line.cells[column] for line in single.values()}
        present = {text for text in present if not is_missing(text, self.missing)}
        levels = level_map(variable, source.levels, source.described, present) if variable.levels else {}
        unknown: Counter[str] = Counter()
        unused: Counter[str] = Counter()

        def first_visit(key: tuple[str, str]) -> tuple[str, int, str]:
            return key[0], self.order.get(self.visit_of.get(key[1], ""), len(self.order)), key[1]

        for participant_id, session in sorted(single, key=first_visit):
            line = single[participant_id, session]
            text = line.cells[column]
            name = self.target(source, session)
            if name is None:
                unused[session] += not is_missing(text, self.missing)
                continue
            row = self.rows[participant_id]
            self.filled_by.setdefault(name, (source, sheet))
            conflict = self.conflicts.get((participant_id, sheet.name, column))
            if conflict:
                self.refuse(participant_id, name, conflict, tell=False)
            if row.get(name) is not None:
                continue
            parsed = parse(text, variable, levels=levels, scale=source.scale, missing=self.missing)
            row[name] = parsed.value
            if parsed.decimal_comma:
                self.commas.add(source.sheet)
            if parsed.capped:
                self.capped.add(participant_id)
                values: dict[str, Any] = {"value": text, "age": f"{parsed.value:g}"}
                self.faults.append(Fault("W133", sheet.name, values, participant_id))
            values = {"name": name, "column": column, "value": f"{text!r} (line {line.number})"}
            if parsed.problem == "level":
                unknown[text] += 1
                values |= {"levels": repr(text), "allowed": variable.allowed}
                self.refuse(participant_id, name, Fault("E131", sheet.name, values), tell=False)
            elif parsed.problem == "comma":
                problem = f"{text} may be {text.replace(',', '.')} or {text.replace(',', '')}"
                values |= {"line": line.number, "problem": problem}
                self.refuse(participant_id, name, Fault("E130", sheet.name, values))
            elif parsed.problem:
                values["allowed"] = variable.allowed
                self.refuse(participant_id, name, Fault("E132", sheet.name, values))
        if unknown:
            counted = ", ".join(f"{text!r} ({n})" for text, n in sorted(unknown.items()))
            values = {"name": variable.name, "column": column, "levels": counted, "allowed": variable.allowed}
            self.faults.append(Fault("E131", sheet.name, values))
        if +unused and not source.session_id:
            counted = ", ".join(f"ses-{text} ({n})" for text, n in sorted((+unused).items()))
            self.faults.append(Fault("W137", sheet.name, {"column": column, "sessions": counted}))

    def totals(self, stem: str) -> None:
        """Check the NIHSS against the sum of its items; take the sum where only the items are there."""
        for participant_id, row in sorted(self.rows.items()):
            items = [row.get(f"{stem}_{item}") for item in NIHSS_ITEMS]
            if any(not isinstance(item, float) for item in items):
                continue
            total = float(sum(item for item in items if isinstance(item, float)))
            given = row.get(stem)
            values = {"name": stem, "column": stem, "value": f"{total:g}"}
            if given is None and stem not in self.refused[participant_id]:
                row[stem] = total
                self.filled_by.setdefault(stem, self.filled_by[f"{stem}_1a"])
                self.faults.append(Fault("W135", "", values, participant_id))
            elif given is not None and given != total:
                row[stem] = None
                values |= {"value": f"{given:g}", "allowed": f"{total:g}, the sum of its items"}
                self.refuse(participant_id, stem, Fault("E132", self.filled_by[stem][1].name, values))
