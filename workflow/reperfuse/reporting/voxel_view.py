"""The tables of a study that predicts voxels: what stands beside those of any study, by what was predicted."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from reperfuse.core.tables import Row
from reperfuse.reporting.pages import to_float
from reperfuse.reporting.study_view import Rows, StudyView, read_tables

# Targets are told apart by how their names end.
BALANCED, DENSE, PATIENT = "(balanced)", "(dense)", "patient"
BY_TARGET = (
    "metrics metrics_by_fold metrics_by_subject comparisons roc pr calibration strata predictions".split()
)


@dataclass(frozen=True)
class VoxelView(StudyView):
    """The tables of one study of voxels; each field may be empty.

    Attributes
    ----------
    pr, metrics_by_subject, patients, severity, burden, strata, searched, left_out : sequence of dict
        Rows of the table of that name with ``-`` for ``_``, as text.
    """

    pr: Rows = ()
    metrics_by_subject: Rows = ()
    patients: Rows = ()
    severity: Rows = ()
    burden: Rows = ()
    strata: Rows = ()
    searched: Rows = ()
    left_out: Rows = ()

    def on(self, kind: str, metric: str = "") -> VoxelView:
        """Return the part of the tables on one target, and of comparisons on one metric if named."""
        names = {row.get("target", "") for name in BY_TARGET for row in getattr(self, name)}
        target = next((name for name in sorted(names) if name.endswith(kind)), "")
        kept: dict[str, Any] = {
            name: [row for row in getattr(self, name) if row.get("target") == target] for name in BY_TARGET
        }
        if metric:
            kept["comparisons"] = [r for r in kept["comparisons"] if r.get("metric") in (None, "", metric)]
        return replace(self, summary={**self.summary, "target": target}, **kept)

    @cached_property
    def chief(self) -> str:
        """The configuration that the page is about."""
        return self.primary[0] if self.primary else next(iter(self.configurations), "")

    @property
    def of_chief(self) -> Rows:
        """The patients as the chief configuration predicts them."""
        mine = [row for row in self.patients if row.get("configuration") == self.chief]
        return mine or [row for row in self.patients if "configuration" not in row]


def read_voxel_view(folder: str | Path) -> VoxelView:
    """Read the tables of a study's folder; a table that is absent, or an empty marker, has no rows."""
    return VoxelView(**read_tables(folder, VoxelView))


def largest(rows: Iterable[Row], key: str, most: int) -> list[Row]:
    """Return the rows with the largest values, the largest first; those without a number are left out."""
    known = [(value, row) for row in rows if (value := to_float(row.get(key))) is not None]
    ranked = sorted(known, key=lambda pair: (-pair[0], pair[1].get("participant_id", "")))
    return [row for _, row in ranked[:most]]
