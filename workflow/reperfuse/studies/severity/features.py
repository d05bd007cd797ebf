"""Tables of predictors made of a lesion and of clinical variables; NaN where a patient has none."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from reperfuse.studies.severity.assemble import Cohort
from reperfuse.studies.severity.names import AGE

Array = np.ndarray
# Loads enter as log(1 + ml / this): most regions hold less than a millilitre of a lesion.
LOAD_ML = 0.1


@dataclass(frozen=True)
class Table:
    """Predictors of some patients: names of the columns, and values (n, p)."""

    columns: tuple[str, ...]
    values: Array

    def __add__(self, other: Table) -> Table:
        """Return the columns of both."""
        return Table((*self.columns, *other.columns), np.hstack([self.values, other.values]))

    @property
    def missing(self) -> Array:
        """(n) whether a patient lacks any of the values."""
        return np.isnan(self.values).any(axis=1)


@dataclass(frozen=True)
class Filling:
    """What takes the place of missing values, and brings columns to mean 0 and SD 1; (p) each."""

    fill: Array
    scale: Array

    @classmethod
    def of(cls, values: Array) -> Filling:
        """Fit on training patients (n, p); a column that none of them has becomes 0."""
        known = ~np.isnan(values)
        count = known.sum(axis=0)
        fill = np.where(known, values, 0.0).sum(axis=0) / np.maximum(count, 1)
        spread = np.where(known, values, fill).std(axis=0)
        return cls(fill, np.where(spread > 1e-8, 1 / np.maximum(spread, 1e-8), 0.0))

    def filled(self, values: Array) -> Array:
        """Return (n, p) without missing values."""
        return np.where(np.isnan(values), self.fill, values)

    def __call__(self, values: Array) -> Array:
        """Return (n, p) filled in and standardised."""
        return (self.filled(values) - self.fill) * self.scale


def volume_table(cohort: Cohort, ids: Sequence[str]) -> Table:
    """Return log(1 + ml) of the lesion of J0."""
    volumes = np.array([cohort.volumes_ml.get(who, np.nan) for who in ids], dtype=float)
    return Table(("log1p lesion (ml)",), np.log1p(volumes)[:, None])


def clinical_table(cohort: Cohort, ids: Sequence[str], variables: Sequence[str]) -> Table:
    """Return clinical variables as numbers."""
    values = [[cohort.clinical.get(who, {}).get(name, np.nan) for name in variables] for who in ids]
    return Table(tuple(variables), np.array(values, dtype=float).reshape(len(ids), len(variables)))


def regions(cohort: Cohort, ids: Sequence[str]) -> tuple[str, ...]:
    """Return the regions in which the lesion of any of these patients was measured, sorted."""
    return tuple(sorted({name for who in ids for name in cohort.loads.get(who, ())}))


def territory_table(cohort: Cohort, ids: Sequence[str], names: Sequence[str]) -> Table:
    """Return the log load of each region, and of the whole lesion."""
    rows = []
    for who in ids:
        loads: Mapping[str, float] | None = cohort.loads.get(who)
        rows.append([np.nan if loads is None else loads.get(name, 0.0) for name in names])
    loads_ml = np.array(rows, dtype=float).reshape(len(ids), len(names))
    return volume_table(cohort, ids) + Table(tuple(names), np.log1p(loads_ml / LOAD_ML))


Maker = Callable[[Cohort, Sequence[str]], Table]


def maker(name: str, columns: Sequence[str]) -> Maker:
    """Return what makes the table of a baseline for any patients.

    Parameters
    ----------
    name : str
        ``log_volume``, ``territories``, or either with age.
    columns : sequence of str
        Regions of ``territories``, as the training patients have them.
    """
    return partial(_table, name.removesuffix(AGE), tuple(columns), name.endswith(AGE))


def _table(kind: str, names: Sequence[str], with_age: bool, cohort: Cohort, ids: Sequence[str]) -> Table:
    found = volume_table(cohort, ids) if kind == "log_volume" else territory_table(cohort, ids, names)
    return found + clinical_table(cohort, ids, ["age"]) if with_age else found
