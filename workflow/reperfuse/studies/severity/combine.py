"""Configurations that combine what others say of patients whom these have not seen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from reperfuse.studies.severity.assemble import Cohort
from reperfuse.studies.severity.classical import Logistic, fit_logistic
from reperfuse.studies.severity.features import clinical_table

Array = np.ndarray
LogOdds = Mapping[str, Array]


@dataclass(frozen=True)
class Mean:
    """The mean of the members' calibrated log odds; nothing is learnt."""

    members: tuple[str, ...]

    def decision(self, log_odds: LogOdds, cohort: Cohort, ids: Sequence[str]) -> Array:
        """Return (n) log odds of patients of whom the members say ``log_odds``."""
        return np.asarray(np.mean([log_odds[name] for name in self.members], axis=0))

    @property
    def weights(self) -> dict[str, float]:
        """Member → weight."""
        return dict.fromkeys(self.members, 1 / len(self.members))

    @property
    def n_parameters(self) -> int:
        """How many numbers were learnt."""
        return 0


@dataclass(frozen=True)
class Stack:
    """Logistic regression on the members' calibrated log odds and clinical variables."""

    members: tuple[str, ...]
    clinical: tuple[str, ...]
    model: Logistic

    def decision(self, log_odds: LogOdds, cohort: Cohort, ids: Sequence[str]) -> Array:
        """Return (n) log odds of patients of whom the members say ``log_odds``."""
        return self.model.decision(_table(self.members, self.clinical, log_odds, cohort, ids))

    @property
    def weights(self) -> dict[str, float]:
        """Member or clinical variable → weight of its standardised values."""
        names = (*self.members, *self.clinical)
        return {name: float(weight) for name, weight in zip(names, self.model.weight, strict=True)}

    @property
    def n_parameters(self) -> int:
        """How many numbers were learnt."""
        return len(self.model.weight) + 1


Combined = Mean | Stack


def fit_stack(
    members: Sequence[str],
    clinical: Sequence[str],
    log_odds: LogOdds,
    y: Array,
    cohort: Cohort,
    ids: Sequence[str],
    inner: Array,
) -> tuple[Stack, Array]:
    """Fit `hybrid` on training patients and return it with what it says of each, fitted on the other inner folds.

    Parameters
    ----------
    members, clinical : sequence of str
        Configurations and clinical variables; at least one of either.
    log_odds : mapping
        Member → (n) calibrated log odds of models that had not seen the patient.
    y : ndarray
        (n) 0 or 1.
    cohort : Cohort
    ids : sequence of str
        (n) training patients.
    inner : ndarray
        (n) inner fold of each.
    """
    values = _table(members, clinical, log_odds, cohort, ids)
    oof = np.empty(len(ids))
    for fold in np.unique(inner):
        inside = inner == fold
        oof[inside] = fit_logistic(values[~inside], y[~inside]).decision(values[inside])
    return Stack(tuple(members), tuple(clinical), fit_logistic(values, y)), oof


def _table(
    members: Sequence[str],
    clinical: Sequence[str],
    log_odds: LogOdds,
    cohort: Cohort,
    ids: Sequence[str],
) -> Array:
    said = np.array([log_odds[name] for name in members]).reshape(len(members), len(ids)).T
    return np.hstack([said, clinical_table(cohort, ids, clinical).values])
