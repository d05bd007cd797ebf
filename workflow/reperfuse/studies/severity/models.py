"""A fitted configuration with its calibration, and what several of them say of the same patients."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from scipy.special import expit

from reperfuse.studies.severity.assemble import Cohort
from reperfuse.studies.severity.combine import Combined, Mean, Stack
from reperfuse.studies.severity.systems import Networks, Rule

Array = np.ndarray


@dataclass(frozen=True)
class Model:
    """A fitted configuration.

    Parameters
    ----------
    rule : Rule or Combined
        What gives its decisions.
    platt : tuple of float
        Slope and intercept from decisions to log odds.
    members : mapping
        Configuration → model, of those that it combines.
    about : mapping
        What the card of a frozen one says; empty of one that was just fitted.
    """

    rule: Rule | Combined
    platt: tuple[float, float]
    members: Mapping[str, Model] = field(default_factory=dict)
    about: Mapping[str, Any] = field(default_factory=dict)

    def log_odds(self, decisions: Array) -> Array:
        """Return (n) calibrated log odds of (n) decisions."""
        return np.asarray(self.platt[0] * decisions + self.platt[1])

    def predict(self, cohort: Cohort, ids: Sequence[str]) -> Array:
        """Return (n) probabilities of a non-minor stroke."""
        return np.asarray(expit(log_odds_of({**self.members, "": self}, cohort, ids)[""]))

    @property
    def networks(self) -> list[Any]:
        """The networks behind it, modules of torch; empty where it is none."""
        return list(self.rule.members.modules) if isinstance(self.rule, Networks) else []


def log_odds_of(models: Mapping[str, Model], cohort: Cohort, ids: Sequence[str]) -> dict[str, Array]:
    """Return configuration → (n) calibrated log odds; each is asked once, also by what combines it."""
    said: dict[str, Array] = {}
    for name, model in _members_first(models):
        if isinstance(model.rule, Mean | Stack):
            said[name] = model.log_odds(model.rule.decision(said, cohort, ids))
        else:
            said[name] = model.log_odds(model.rule.decision(cohort, ids))
    return {name: said[name] for name in models}


def _members_first(models: Mapping[str, Model]) -> Iterable[tuple[str, Model]]:
    return sorted(models.items(), key=lambda item: isinstance(item[1].rule, Mean | Stack))
