"""What every study offers to be judged by: systems that are fitted on some patients and predict for others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

# The cross-validation that everything declared is of. `cv:3` is one of the same patients on another number of
# folds, `external:<name>` another cohort, predicted by frozen models, `new` a patient of this one without a fold.
MAIN_SPLIT = "cv"
EXTERNAL = "external:"


def is_cross_validation(split: str) -> bool:
    """Whether predictions of this split are of patients left out by folds."""
    return split.partition(":")[0] == MAIN_SPLIT


def is_external(split: str) -> bool:
    """Whether predictions of this split are of another cohort's patients."""
    return split.startswith(EXTERNAL)


class Model(Protocol):
    """A system after it was fitted."""

    @property
    def seen(self) -> frozenset[str]:
        """Every patient whose data shaped any part of it: scaler, components, classifier, calibration."""
        ...

    def predict(self, cases: Sequence[str]) -> np.ndarray:
        """Return (n,) probabilities of the positive class, one for each case."""
        ...


class System(Protocol):
    """A way to get from patients' data to a probability."""

    def fit(self, cases: Sequence[str], labels: np.ndarray, *, seed: int) -> Model:
        """Fit on these cases alone; ``labels`` (n,) holds 0 and 1."""
        ...


class Study(Protocol):
    """What each of the five studies has in common.

    ``eligible`` says who takes part, ``systems`` which configurations are fitted and predict, and evaluation and
    frozen bundles follow from these in the same way for all of them.
    """

    @property
    def name(self) -> str: ...

    def eligible(self) -> tuple[str, ...]:
        """Return the patients who can take part, sorted."""
        ...

    def systems(self) -> Mapping[str, System]:
        """Return configuration → system."""
        ...


@dataclass(frozen=True)
class Prediction:
    """One row of ``predictions.tsv``; ``fold`` is None for a patient whom no fold holds."""

    participant_id: str
    session_id: str
    target: str
    configuration: str
    split: str
    repeat: int | None
    fold: int | None
    y_true: int | None
    y_score: float

    @classmethod
    def of(cls, row: Mapping[str, str]) -> Prediction:
        """Return what a row of the table says, as `reperfuse.core.tables.read_table` gives it."""
        repeat, fold, y_true = (int(row[key]) if row[key] else None for key in ("repeat", "fold", "y_true"))
        who, session, target, name, split = (row[key] for key in COLUMNS[:5])
        return cls(who, session, target, name, split, repeat, fold, y_true, float(row["y_score"]))


COLUMNS = tuple(Prediction.__dataclass_fields__)
