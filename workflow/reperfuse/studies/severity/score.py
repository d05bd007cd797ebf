"""Frozen models applied to patients that they have never seen: external cohorts, and patients without a label."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy.special import expit

from reperfuse.core.participants import outside
from reperfuse.evaluation.interface import Prediction
from reperfuse.studies.severity import names
from reperfuse.studies.severity.assemble import VISIT, Cohort
from reperfuse.studies.severity.bundle import check_inputs
from reperfuse.studies.severity.models import Model, log_odds_of


def score(
    models: Sequence[Mapping[str, Model]],
    section: Mapping[str, Any],
    cohort: Cohort,
    ids: Sequence[str],
    *,
    split: str,
    session_ids: Mapping[str, str],
    target: str,
) -> tuple[list[Prediction], dict[str, str]]:
    """Return the mean probability of the folds' models for each patient, and participant_id → why there is none.

    Parameters
    ----------
    models : sequence of mapping
        Of each fold of the first repeat: configuration → model. A configuration that some folds lack is the mean of
        the others.
    section : mapping
        ``studies.severity``.
    cohort : Cohort
        Of these patients.
    ids : sequence of str
        Patients to score; see `reperfuse.studies.severity.assemble.unseen`.
    split : str
        ``new``, or ``external:<name>``, whose prefix is taken off the names.
    session_ids : mapping
        Visit → session.
    target : str
        What 1 stands for.

    Raises
    ------
    ConfigError
        The models were fitted on other inputs, or predict something else.
    """
    cohort_name = split.partition(":")[2]
    # Whoever has a place in the fold table was fitted on or is accounted for there.
    reasons = {
        outside(who, cohort_name): why for who, why in cohort.left_out.items() if who not in cohort.places
    }
    if not ids:
        return [], reasons
    said: dict[str, list[np.ndarray]] = {}
    for fold in models:
        check_inputs(fold, section)
        for configuration, log_odds in log_odds_of(fold, cohort, ids).items():
            said.setdefault(configuration, []).append(expit(log_odds))
    predictions = [
        Prediction(outside(who, cohort_name), session_ids.get(VISIT, ""), target, configuration, split, None, None,
                   cohort.labels.get(who), float(p))
        for configuration in names.configurations(section)
        if configuration in said
        for who, p in zip(ids, np.mean(said[configuration], axis=0), strict=True)
    ]  # fmt: skip
    return predictions, reasons
