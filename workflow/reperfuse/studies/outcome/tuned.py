"""What the fine-tuned networks of single folds predict, taken together."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from reperfuse.core.files import is_marker
from reperfuse.core.tables import Row, read_table


def pooled(tables: Sequence[str | Path]) -> list[Row]:
    """Return the folds' predictions as one table, without those of a visit that lacks a fold.

    Parameters
    ----------
    tables : sequence of path
        ``…/<visit>-<fold>/predictions.tsv``; a marker stands for a fold that could not be trained.
    """
    lacking = {_visit(path) for path in tables if is_marker(path)}
    return [row for path in tables if _visit(path) not in lacking for row in read_table(path)]


def _visit(path: str | Path) -> str:
    return Path(path).parent.name.partition("-")[0]
