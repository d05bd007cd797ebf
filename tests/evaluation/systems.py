"""Systems whose fits are known, to test what judges them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np


@dataclass(frozen=True)
class Fitted:
    """Predicts a number that depends on the patient and on whom it was fitted on."""

    cases: tuple[str, ...]
    seed: int
    seen: frozenset[str]

    def predict(self, cases: Sequence[str]) -> np.ndarray:
        shift = len(self.cases) % 7 / 100
        return np.array([0.05 + 0.8 * (sum(map(ord, one)) % 17) / 17 + shift for one in cases])


@dataclass
class Honest:
    """Has seen what it was given; keeps what was asked of it."""

    fits: list[tuple[tuple[str, ...], tuple[int, ...], int]] = field(default_factory=list)

    def fit(self, cases: Sequence[str], labels: np.ndarray, *, seed: int) -> Fitted:
        self.fits.append((tuple(cases), tuple(labels.tolist()), seed))
        return Fitted(tuple(cases), seed, frozenset(cases))


@dataclass(frozen=True)
class Scaled:
    """Was scaled on everybody before it was fitted, as is often done."""

    everybody: frozenset[str]

    def fit(self, cases: Sequence[str], labels: np.ndarray, *, seed: int) -> Fitted:
        return Fitted(tuple(cases), seed, self.everybody)
