"""What a paper reports, beside what a run finds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from reperfuse.core.errors import ConfigError
from reperfuse.core.tables import read_table
from reperfuse.evaluation.interface import MAIN_SPLIT

COLUMNS = ("configuration", "metric", "estimator", "kind", "value", "spread", "source", "certain")
# A table may have one more: a paper that reports other cohorts as well says of which each number is.
SPLIT = "split"
KINDS = ("value", "at most")
EVERYONE = "all"


@dataclass(frozen=True)
class Reported:
    """One number of the paper.

    Parameters
    ----------
    configuration, metric, estimator : str
        As in ``metrics.tsv``; ``all`` for what holds for the whole study.
    kind : {"value", "at most"}
        Whether the number is the value or an upper bound.
    value, spread : str
        As printed, so that no digit is lost or made up, a range with a dash; the spread is the SD over folds,
        empty where unknown.
    source : str
        Where it was read.
    certain : bool
        Whether it is clear which configuration the number belongs to.
    split : str
        ``cv``, or ``external:<name>`` of another cohort, by models that were not fitted on it.
    """

    configuration: str
    metric: str
    estimator: str
    kind: str
    value: str
    spread: str
    source: str
    certain: bool
    split: str = MAIN_SPLIT

    @property
    def text(self) -> str:
        """The number as tables print it, such as ``0.923 ± 0.085``."""
        number = f"≤ {self.value}" if self.kind == "at most" else self.value
        return (
            number
            + (f" ± {self.spread}" if self.spread else "")
            + ("" if self.certain else " (row uncertain)")
        )


@dataclass(frozen=True)
class PaperTable:
    """Every number of the paper that is known."""

    entries: tuple[Reported, ...]

    def of(
        self, configuration: str, metric: str, estimator: str | None = None, *, split: str = MAIN_SPLIT
    ) -> str:
        """Return what the paper reports, or the empty text where that is not known.

        Parameters
        ----------
        configuration, metric : str
            As in ``metrics.tsv``. A variant such as ``J1_mri[c=1]`` is not the paper's configuration.
        estimator : str, optional
            Gives the number only where the paper's is of this estimator.
        split : str, optional
            Of which predictions.
        """
        found = (
            entry.text
            for entry in self.entries
            if (entry.configuration, entry.metric, entry.split) == (configuration, metric, split)
            and estimator in (None, entry.estimator)
        )
        return next(found, "")

    @property
    def n(self) -> int | None:
        """Number of patients of the paper, or None."""
        text = self.of(EVERYONE, "n")
        return int(text) if text else None


def read_paper(path: Path) -> PaperTable:
    """Read the table of the paper's numbers.

    Raises
    ------
    ConfigError
        The table lacks a column, or a row is no number, of no known kind, or there twice.
    """
    rows = read_table(path)
    _check(path.name, rows)
    return PaperTable(
        tuple(
            Reported(
                **{name: row[name] for name in COLUMNS[:-1]},
                certain=row["certain"] == "1",
                split=row.get(SPLIT) or MAIN_SPLIT,
            )
            for row in rows
        )
    )


def _check(name: str, rows: Sequence[dict[str, str]]) -> None:
    seen = set()
    for line, row in enumerate(rows, start=2):
        if set(row) - {SPLIT} != set(COLUMNS):
            raise ConfigError(
                f"{name} has the columns {', '.join(map(str, row))}; expected {', '.join(COLUMNS)}."
            )
        key = (row["configuration"], row["metric"], row["estimator"], row.get(SPLIT))
        if row["kind"] not in KINDS or row["certain"] not in ("0", "1") or key in seen:
            raise ConfigError(
                f"{name}, line {line}: kind {row['kind']!r}, certain {row['certain']!r}, or a row that is "
                f"there twice; expected kind {' or '.join(KINDS)}, certain 0 or 1, and each row once."
            )
        for text in filter(None, (*row["value"].split("–"), row["spread"])):
            if not text.replace(".", "", 1).isdigit():
                raise ConfigError(f"{name}, line {line}: {text!r} is no number.")
        if not row["value"] or not row["source"]:
            raise ConfigError(f"{name}, line {line}: value or source is empty; leave the row out instead.")
        seen.add(key)
