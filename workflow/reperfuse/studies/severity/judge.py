"""Every table by which the study's predictions are judged."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from reperfuse.core.seeds import seed_of
from reperfuse.evaluation import patient_tables
from reperfuse.evaluation.calibration import recalibrated
from reperfuse.evaluation.crossval import Scored, by_configuration
from reperfuse.evaluation.discrimination import auc_interval
from reperfuse.evaluation.interface import MAIN_SPLIT, Prediction, is_cross_validation, is_external
from reperfuse.evaluation.judgement import judge
from reperfuse.evaluation.patient_tables import Case, Found, declared_pairs, without_variants
from reperfuse.evaluation.reported import PaperTable
from reperfuse.studies.severity.names import ENSEMBLE, HYBRID

Row = dict[str, Any]
CURVE = np.round(np.arange(0.05, 0.951, 0.01), 2)
RECALIBRATED = "[recalibrated]"
# Of the paper's numbers, what can be held against ours.
COMPARABLE = ("auc",)
CATEGORIES = ("sex", "lesion_side", "prior_stroke", "site")
COLUMNS: Mapping[str, Sequence[str]] = {
    **patient_tables.COLUMNS,
    "cuts": "configuration cut n n_positive auc ci_low ci_high note".split(),
}


def measured(predictions: Iterable[Prediction], case: Case, paper: PaperTable) -> tuple[list[Row], list[Row]]:
    """Return ``metrics.tsv`` and ``metrics-by-fold.tsv``; the paper's AUC stands beside cross-validations.

    Of which patients, cut and average the paper's other numbers are is not known: see ``consistency.tsv``.
    """
    return judge(
        predictions,
        case.groups,
        level=case.level,
        draws=case.statistics["bootstrap"],
        seed=seed_of(case.salt, "bootstrap"),
        bootstrapped=case.compared,
        paper=lambda target, configuration, metric: (
            paper.of(configuration, metric) if metric in COMPARABLE else ""
        ),
    )


def with_recalibrated(predictions: Sequence[Prediction]) -> list[Prediction]:
    """Return the predictions, then those of external cohorts with the intercept shifted to the cohort's prevalence.

    The shift uses the cohort's labels, so that these stand under a name of their own.
    """
    added: list[Prediction] = []
    groups: dict[tuple[str, str, str], list[Prediction]] = {}
    for one in predictions:
        if (
            is_external(one.split)
            and one.y_true is not None
            and patient_tables.VARIANT not in one.configuration
        ):
            groups.setdefault((one.target, one.configuration, one.split), []).append(one)
    for rows in groups.values():
        shifted = recalibrated([one.y_true or 0 for one in rows], [one.y_score for one in rows])
        if shifted is not None:
            added += [
                replace(one, configuration=one.configuration + RECALIBRATED, y_score=float(score))
                for one, score in zip(rows, shifted, strict=True)
            ]
    return [*predictions, *added]


def splits_of(predictions: Sequence[Prediction]) -> dict[str, int | None]:
    """Return each cross-validation and external cohort and the repeat of it that tables show, the main one first."""
    names = sorted({one.split for one in predictions})
    inner = {name: 1 for name in names if is_cross_validation(name)}
    return {**inner, **dict.fromkeys(name for name in names if is_external(name))}


def tables(predictions: Sequence[Prediction], case: Case, other_cuts: Sequence[int]) -> dict[str, list[Row]]:
    """Return the tables that follow from predictions alone; see ``COLUMNS``.

    Parameters
    ----------
    predictions : sequence of Prediction
        Without the recalibrated ones.
    case : Case
        ``clinical`` with ``lesion_ml`` and ``lesion_side``, ``grade`` with the score.
    other_cuts : sequence of int
        Of the score, beside that of the target.
    """
    every = with_recalibrated(predictions)
    scored = {
        split: by_configuration(every, target=case.target, split=split, repeat=repeat)
        for split, repeat in splits_of(predictions).items()
    }
    first = without_variants(scored.get(MAIN_SPLIT, {}))
    chief = list(dict.fromkeys(name for name in (*case.compared, ENSEMBLE, HYBRID) if name in first))
    epsilon = case.statistics["epsilon"]
    return {
        "comparisons": patient_tables.comparisons(
            predictions, case, lambda names: pairs(names, case.compared)
        ),
        "roc": [
            row
            for split, found in scored.items()
            if split == MAIN_SPLIT or is_external(split)
            for name, one in without_variants(found).items()
            for row in patient_tables.roc(name, one, split=split)
        ],
        "calibration": _calibration(scored, chief, case),
        "decision": patient_tables.decision(first, [*chief, *first], CURVE),
        "conformal": [
            row for name in chief for row in patient_tables.conformal(name, first[name], epsilon=epsilon)
        ],
        "subgroups": [row for name in chief for row in _subgroups(name, first[name], case)],
        "cuts": [row for name, found in first.items() for row in cuts(name, found, case, other_cuts)],
    }


def pairs(names: Sequence[str], compared: Sequence[str]) -> list[tuple[str, str]]:
    """Return who is compared with whom: the two declared, the primary with all else, all else with the comparator."""
    found = declared_pairs(names, compared)
    if len(compared) == 2:
        found += [(name, compared[1]) for name in names if name not in compared]
    return found


def _calibration(scored: Mapping[str, Scored], chief: Sequence[str], case: Case) -> list[Row]:
    """Return reliability; ``after`` calibration on inner folds, as figures call it, and that of each other cohort."""
    rows = []
    for split, found in scored.items():
        if split == MAIN_SPLIT or is_external(split):
            stage = "after" if split == MAIN_SPLIT else split
            for name in chief:
                stages = {stage: name, f"{stage} recalibrated": name + RECALIBRATED}
                rows += [
                    row
                    for label, key in stages.items()
                    if key in found
                    for row in patient_tables.calibration(name, label, found[key], level=case.level)
                ]
    return rows


def _subgroups(name: str, found: Found, case: Case) -> list[Row]:
    banded = (
        ("lesion_ml", case.statistics["volume_bands"], "ml"),
        ("age", case.statistics["age_bands"], "years"),
    )
    return patient_tables.subgroups(name, found, case, categories=CATEGORIES, banded=banded)


def cuts(name: str, found: Found, case: Case, others: Sequence[int]) -> list[Row]:
    """Return the AUC of one configuration's scores at each cut of the score that labels are made from.

    Nothing is fitted on the other cuts. ``cut`` is the highest score that is still minor.
    """
    ids, _, p, _ = found
    known = np.array([who in case.grade for who in ids], dtype=bool)
    grade = np.array([case.grade[who] for who in ids if who in case.grade])
    declared = int(case.target.partition(">")[2])
    rows = []
    for cut in sorted({declared, *others}):
        y = (grade > cut).astype(np.int64)
        auc = auc_interval(y, p[known], level=case.level)
        note = "the declared cut" if cut == declared else "nothing was fitted on this cut"
        if auc.value is None:
            note += "; not estimable: all patients are of one class"
        rows.append(
            {"configuration": name, "cut": cut, "n": int(y.size), "n_positive": int(y.sum()), "note": note}
            | {"auc": auc.value, "ci_low": auc.low, "ci_high": auc.high}
        )
    return rows
