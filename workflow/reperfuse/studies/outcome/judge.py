"""Every table by which the study's predictions are judged."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from reperfuse.core.seeds import seed_of
from reperfuse.evaluation import ordinal, patient_tables
from reperfuse.evaluation.crossval import Scored, by_configuration
from reperfuse.evaluation.interface import Prediction
from reperfuse.evaluation.judgement import judge
from reperfuse.evaluation.patient_tables import Case, Found, without_variants
from reperfuse.evaluation.reported import PaperTable
from reperfuse.studies.outcome.sensitivity import spread, sweep

Row = dict[str, Any]
# What the paper's numbers are of.
PAPER_TARGET = "mrs_3m<=1"
CURVE = np.round(np.arange(0.05, 0.601, 0.01), 2)
CATEGORIES = ("sex", "vendor", "site", "lesion_side")
COLUMNS: Mapping[str, Sequence[str]] = {
    **patient_tables.COLUMNS,
    **{
        name: text.split()
        for name, text in {
            "sweep": "configuration parameter value auc_fold_mean auc_fold_sd auc_pooled ci_low ci_high n_features",
            "spread": "configuration lesion against fold_sd fold_sd_against ratio ci_low ci_high p n",
            "ordinal": "configuration quantity estimate ci_low ci_high n note",
        }.items()
    },
}


def measured(predictions: Iterable[Prediction], case: Case, paper: PaperTable) -> tuple[list[Row], list[Row]]:
    """Return ``metrics.tsv`` and ``metrics-by-fold.tsv``."""
    return judge(
        predictions,
        case.groups,
        level=case.level,
        draws=case.statistics["bootstrap"],
        seed=seed_of(case.salt, "bootstrap"),
        bootstrapped=case.compared,
        paper=lambda target, configuration, metric: (
            paper.of(configuration, metric, "fold_mean") if target == PAPER_TARGET else ""
        ),
    )


def tables(
    predictions: Sequence[Prediction], case: Case, n_features: Mapping[str, int]
) -> dict[str, list[Row]]:
    """Return every other table by name; see ``COLUMNS``."""
    first = by_configuration(predictions, target=case.target)
    main = without_variants(first)
    compared = {name: first[name] for name in case.compared if name in first}
    simple = [name for name in ("age+nihss", "log_volume_J0") if name in main]
    epsilon = case.statistics["epsilon"]
    return {
        "comparisons": patient_tables.comparisons(
            predictions, case, lambda names: _pairs(names, case.compared)
        ),
        "roc": [row for name, found in main.items() for row in patient_tables.roc(name, found, split="cv")],
        "calibration": [row for name in compared for row in _calibration(name, first, case.level)],
        "decision": patient_tables.decision(main, [*case.compared, *simple], CURVE),
        "sweep": sweep(first, case.compared, n_features, level=case.level),
        "spread": [row for name in compared for row in spread(name, first, level=case.level)],
        "conformal": [
            row
            for name, found in compared.items()
            for row in patient_tables.conformal(name, found, epsilon=epsilon)
        ],
        "subgroups": [row for name, found in compared.items() for row in _subgroups(name, found, case)],
        "ordinal": [row for name, found in compared.items() for row in _ordinal(name, found, case)],
    }


def _pairs(names: Sequence[str], compared: tuple[str, ...]) -> list[tuple[str, str]]:
    """Return who is compared with whom: the two declared, J1 with J0 of the same blocks, the primary with all else."""
    pairs = [compared] if len(compared) == 2 and set(compared) <= set(names) else []
    pairs += [(one, f"J0{one[2:]}") for one in names if one.startswith("J1_") and f"J0{one[2:]}" in names]
    pairs += patient_tables.declared_pairs(names, compared)
    return list(dict.fromkeys((one, two) for one, two in pairs))


def _calibration(name: str, first: Scored, level: float) -> list[Row]:
    stages = (("before", f"{name}[platt=none]"), ("after", name))
    return [
        row
        for stage, key in stages
        if key in first
        for row in patient_tables.calibration(name, stage, first[key], level=level)
    ]


def _subgroups(name: str, found: Found, case: Case) -> list[Row]:
    banded = (
        ("age", case.statistics["age_bands"], "years"),
        ("onset_to_mri_min", [270, 540], "min"),
        ("nihss", [5, 15], ""),
    )
    return patient_tables.subgroups(name, found, case, categories=CATEGORIES, banded=banded)


def _ordinal(name: str, found: Found, case: Case) -> list[Row]:
    ids, _, p, _ = found
    known = np.array([one in case.grade for one in ids])
    grade = np.array([case.grade[one] for one in ids if one in case.grade])
    if not grade.size:
        return []
    head = {"configuration": name, "n": int(grade.size)}
    shift = ordinal.shift_odds_ratio(grade, p[known], level=case.level)
    rows: list[Row] = [
        head
        | {"quantity": "common odds ratio of a better grade per SD of the logit", "estimate": shift.value}
        | {"ci_low": shift.low, "ci_high": shift.high, "note": "proportional odds"},
        head | {"quantity": "concordance", "estimate": ordinal.concordance(grade, p[known])},
    ]
    for row in ordinal.auc_by_cut(grade, p[known], level=case.level):
        rows.append(
            head
            | {"quantity": f"AUC of grade <= {row['cut']:g}", "estimate": row["auc"]}
            | {"ci_low": row["ci_low"], "ci_high": row["ci_high"], "note": f"{row['n_positive']} at or below"}
        )
    return rows
