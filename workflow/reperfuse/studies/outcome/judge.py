"""Every table by which the study's predictions are judged."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from reperfuse.core.seeds import seed_of
from reperfuse.evaluation import conformal, ordinal, power, subgroups
from reperfuse.evaluation.calibration import reliability
from reperfuse.evaluation.comparison import adjust, compare
from reperfuse.evaluation.crossval import Scored, by_configuration, fold_aucs
from reperfuse.evaluation.decision import decision_curve
from reperfuse.evaluation.discrimination import delong, roc_points
from reperfuse.evaluation.interface import Prediction
from reperfuse.evaluation.judgement import judge
from reperfuse.evaluation.reported import PaperTable
from reperfuse.studies.outcome.sensitivity import spread, sweep

Array = np.ndarray
Row = dict[str, Any]
# What the paper's numbers are of.
PAPER_TARGET = "mrs_3m<=1"
CURVE = np.round(np.arange(0.05, 0.601, 0.01), 2)
COLUMNS: Mapping[str, Sequence[str]] = {
    name: text.split()
    for name, text in {
        "comparisons": "target first second split test role difference ci_low ci_high statistic p p_adjusted n note",
        "roc": "configuration split fpr tpr threshold",
        "calibration": "configuration stage bin mean_score observed ci_low ci_high n",
        "decision": "configuration threshold net_benefit",
        "sweep": "configuration parameter value auc_fold_mean auc_fold_sd auc_pooled ci_low ci_high n_features",
        "spread": "configuration lesion against fold_sd fold_sd_against ratio ci_low ci_high p n",
        "conformal": "configuration epsilon label n coverage singleton empty both",
        "subgroups": "configuration variable level n n_positive auc ci_low ci_high brier p_differs",
        "ordinal": "configuration quantity estimate ci_low ci_high n note",
    }.items()
}


@dataclass(frozen=True)
class Case:
    """What the judge needs beside predictions.

    Parameters
    ----------
    target : str
        The primary one.
    compared : tuple of str
        Primary configuration and comparator, as far as they were made.
    groups : mapping
        participant_id → group.
    clinical : mapping
        participant_id → standard name → value.
    grade : mapping
        participant_id → the ordinal outcome.
    statistics : mapping
        Section ``statistics``.
    salt : str
    """

    target: str
    compared: tuple[str, ...]
    groups: Mapping[str, str]
    clinical: Mapping[str, Mapping[str, Any]]
    grade: Mapping[str, float]
    statistics: Mapping[str, Any]
    salt: str

    @property
    def level(self) -> float:
        """Level of intervals."""
        return float(self.statistics["level"])


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
    main = {name: found for name, found in first.items() if "[" not in name}
    compared = {name: first[name] for name in case.compared if name in first}
    return {
        "comparisons": comparisons(predictions, case),
        "roc": [row for name, found in main.items() for row in roc(name, found)],
        "calibration": [row for name in compared for row in _calibration(name, first, case.level)],
        "decision": _decision(main, case.compared),
        "sweep": sweep(first, case.compared, n_features, level=case.level),
        "spread": [row for name in compared for row in spread(name, first, level=case.level)],
        "conformal": [row for name, found in compared.items() for row in _conformal(name, found, case)],
        "subgroups": [row for name, found in compared.items() for row in _subgroups(name, found, case)],
        "ordinal": [row for name, found in compared.items() for row in _ordinal(name, found, case)],
    }


def comparisons(predictions: Sequence[Prediction], case: Case) -> list[Row]:
    """Return the primary comparison, and the secondary ones: each block, each visit, each simple model against it.

    Secondary p values are adjusted per test (Benjamini and Hochberg); the primary one was declared before scoring.
    On an external cohort, where there are no folds, the two declared configurations are compared once more.
    """
    rows = adjust(_on_folds(predictions, case))
    for split in sorted({one.split for one in predictions if one.split.startswith("external:")}):
        scored = by_configuration(predictions, target=case.target, split=split, repeat=None)
        if len(case.compared) == 2 and set(case.compared) <= set(scored):
            (ids, y, p, _), (others, _, q, _) = (scored[name] for name in case.compared)
            if ids == others:
                head = {"target": case.target, "first": case.compared[0], "second": case.compared[1]}
                found = compare(
                    y, p, q, ids, [], groups=ids, repeated_differences=[], test_share=1.0,
                    draws=case.statistics["swaps"], seed=seed_of(case.salt, split), level=case.level,
                )  # fmt: skip
                head |= {"split": split, "role": "external"}
                kept = [row for row in found if row["test"] in ("delong", "label_swap")]
                rows += [head | row | {"note": "frozen models"} for row in kept]
    return rows


def _on_folds(predictions: Sequence[Prediction], case: Case) -> list[Row]:
    repeats = sorted({one.repeat for one in predictions if one.split == "cv" and one.repeat is not None})
    scored = {one: by_configuration(predictions, target=case.target, repeat=one) for one in repeats}
    first = scored.get(1, {})
    aucs = {
        (repeat, name): fold_aucs(found)
        for repeat, configurations in scored.items()
        for name, found in configurations.items()
        if "[" not in name
    }

    def differences(one: str, two: str, chosen: Sequence[int]) -> list[float | None]:
        return [
            None if a is None or b is None else a - b
            for repeat in chosen
            if (repeat, one) in aucs and (repeat, two) in aucs
            for a, b in zip(aucs[repeat, one], aucs[repeat, two], strict=True)
        ]

    rows: list[Row] = []
    for one, two in _pairs([name for name in first if "[" not in name], case.compared):
        (ids, y, p, fold), (others, _, q, _) = first[one], first[two]
        if ids != others:
            continue
        head = {"target": case.target, "first": one, "second": two, "split": "cv"}
        head["role"] = "primary" if (one, two) == case.compared else "secondary"
        found = compare(
            y, p, q, ids, differences(one, two, [1]),
            groups=[case.groups.get(who, who) for who in ids],
            repeated_differences=differences(one, two, repeats) if len(repeats) > 1 else [],
            test_share=1 / max(len(set(fold.tolist())) - 1, 1), draws=case.statistics["swaps"],
            seed=seed_of(case.salt, one, two), level=case.level,
        )  # fmt: skip
        rows += [head | row for row in found]
    return rows


def _pairs(names: Sequence[str], compared: tuple[str, ...]) -> list[tuple[str, str]]:
    """Return who is compared with whom: the two declared, J1 with J0 of the same blocks, the primary with all else."""
    pairs = [compared] if len(compared) == 2 and set(compared) <= set(names) else []
    pairs += [(one, f"J0{one[2:]}") for one in names if one.startswith("J1_") and f"J0{one[2:]}" in names]
    pairs += [(compared[0], other) for other in names if compared and other != compared[0]]
    return list(dict.fromkeys((one, two) for one, two in pairs))


def roc(name: str, found: tuple[list[str], Array, Array, Array]) -> list[Row]:
    """Return the points of one configuration's ROC curve."""
    points = zip(*roc_points(found[1], found[2]), strict=True)
    return [
        {"configuration": name, "split": "cv", "fpr": float(a), "tpr": float(b), "threshold": float(c)}
        for a, b, c in points
    ]


def _calibration(name: str, first: Scored, level: float) -> list[Row]:
    rows = []
    for stage, key in (("before", f"{name}[platt=none]"), ("after", name)):
        if key in first:
            _, y, p, _ = first[key]
            bins = max(2, min(10, y.size // 10))
            found = reliability(y, p, bins=bins, level=level)
            rows += [{"configuration": name, "stage": stage, **row} for row in found]
    return rows


def _decision(main: Scored, compared: Sequence[str]) -> list[Row]:
    wanted = [*compared, *(name for name in ("age+nihss", "log_volume_J0") if name in main)]
    chosen = {name: main[name] for name in dict.fromkeys(wanted) if name in main}
    if not chosen:
        return []
    y = next(iter(chosen.values()))[1]
    return decision_curve(y, {name: found[2] for name, found in chosen.items()}, CURVE)


def _conformal(name: str, found: tuple[list[str], Array, Array, Array], case: Case) -> list[Row]:
    _, y, p, fold = found
    epsilon = case.statistics["epsilon"]
    sets = conformal.prediction_sets(conformal.p_values(y, p, fold), epsilon=epsilon)
    rows = conformal.summary(y, sets, epsilon=epsilon)
    return [{"configuration": name, "epsilon": epsilon, **row} for row in rows]


def _subgroups(name: str, found: tuple[list[str], Array, Array, Array], case: Case) -> list[Row]:
    ids, y, p, _ = found
    levels: dict[str, list[str | None]] = {}
    for variable in ("sex", "vendor", "site", "lesion_side"):
        values = [case.clinical.get(one, {}).get(variable) for one in ids]
        if len({value for value in values if value is not None}) > 1:
            levels[variable] = [None if value is None else str(value) for value in values]
    for variable, edges, unit in (
        ("age", case.statistics["age_bands"], "years"),
        ("onset_to_mri_min", [270, 540], "min"),
        ("nihss", [5, 15], ""),
    ):
        numbers = [case.clinical.get(one, {}).get(variable) for one in ids]
        if any(isinstance(value, float | int) for value in numbers):
            bands = subgroups.bands(numbers, edges, unit=unit)
            levels[variable] = list(bands)
    rows = subgroups.by_level(
        y, p, ids, levels, minimum=case.statistics["subgroup_minimum"], level=case.level
    )
    tested = {
        variable: subgroups.heterogeneity(
            [row for row in rows if row["variable"] == variable], level=case.level
        )
        for variable in levels
    }
    return [{"configuration": name, **row, "p_differs": tested[row["variable"]]} for row in rows]


def _ordinal(name: str, found: tuple[list[str], Array, Array, Array], case: Case) -> list[Row]:
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


def power_of(predictions: Sequence[Prediction], case: Case) -> Row:
    """Return the primary comparison's difference, its standard error, and what so many patients could have shown."""
    first = by_configuration(predictions, target=case.target)
    if len(case.compared) < 2 or any(name not in first for name in case.compared):
        return {}
    (_, y, p, _), (_, _, q, _) = (first[name] for name in case.compared)
    aucs, cov = delong(y, np.stack([p, q]))
    if aucs is None or cov is None:
        return {}
    spread = float(np.sqrt(max(cov[0, 0] + cov[1, 1] - 2 * cov[0, 1], 0.0)))
    found: Row = {"difference": float(aucs[0] - aucs[1]), "standard_error": spread}
    counts = {"n": int(y.size), "n_positive": int(y.sum())}
    if spread > 0:
        found["smallest_detectable"] = power.smallest_detectable(spread, power=0.8, alpha=1 - case.level)
        found["statement"] = power.statement(
            found["difference"], spread, **counts, alpha=1 - case.level, power=0.8
        )
    return found | counts
