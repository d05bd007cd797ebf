"""Tables that any study with one label and one score for each patient is judged by, beside its metrics."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from reperfuse.core.seeds import seed_of
from reperfuse.evaluation import conformal as sets_of
from reperfuse.evaluation import power
from reperfuse.evaluation import subgroups as levels_of
from reperfuse.evaluation.calibration import reliability
from reperfuse.evaluation.comparison import adjust, compare
from reperfuse.evaluation.crossval import Scored, by_configuration, fold_aucs
from reperfuse.evaluation.decision import decision_curve
from reperfuse.evaluation.discrimination import delong, roc_points
from reperfuse.evaluation.interface import EXTERNAL, MAIN_SPLIT, Prediction, is_cross_validation, is_external

Array = np.ndarray
Row = dict[str, Any]
# Patients, labels, scores and folds of one configuration, as `by_configuration` gives them.
Found = tuple[list[str], Array, Array, Array]
# Configurations → who is compared with whom.
Pairs = Callable[[Sequence[str]], Sequence[tuple[str, str]]]
# What tells a variant of a configuration, such as `J1_mri[c=1]`.
VARIANT = "["
COLUMNS: Mapping[str, Sequence[str]] = {
    name: text.split()
    for name, text in {
        "comparisons": "target first second split test role difference ci_low ci_high statistic p p_adjusted n note",
        "roc": "configuration split fpr tpr threshold",
        "calibration": "configuration stage bin mean_score observed ci_low ci_high n",
        "decision": "configuration threshold net_benefit",
        "conformal": "configuration epsilon label n coverage singleton empty both",
        "subgroups": "configuration variable level n n_positive auc ci_low ci_high brier p_differs",
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


def without_variants(scored: Scored) -> Scored:
    """Return the configurations themselves, without variants such as ``J1_mri[c=1]``."""
    return {name: found for name, found in scored.items() if VARIANT not in name}


def declared_pairs(names: Sequence[str], compared: Sequence[str]) -> list[tuple[str, str]]:
    """Return the declared comparison, where both were made, then its first configuration with all others."""
    pairs = [(compared[0], compared[1])] if len(compared) == 2 and set(compared) <= set(names) else []
    pairs += [(compared[0], other) for other in names if compared and other != compared[0]]
    return list(dict.fromkeys(pairs))


def comparisons(predictions: Sequence[Prediction], case: Case, pairs: Pairs) -> list[Row]:
    """Return the primary comparison and the secondary ones.

    Secondary p values are adjusted per split and test (Benjamini and Hochberg); the primary one was declared before
    scoring, and is of the main cross-validation. On an external cohort, where there are no folds, the two declared
    configurations are compared once more.

    Parameters
    ----------
    predictions : sequence of Prediction
    case : Case
    pairs : callable
        Who is compared with whom, of the configurations that a cross-validation has.
    """
    splits = sorted({one.split for one in predictions})
    rows = [
        row
        for split in filter(is_cross_validation, splits)
        for row in adjust(_on_folds(predictions, case, split, pairs))
    ]
    for split in filter(is_external, splits):
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


def _on_folds(predictions: Sequence[Prediction], case: Case, split: str, pairs: Pairs) -> list[Row]:
    repeats = sorted({one.repeat for one in predictions if one.split == split and one.repeat is not None})
    scored = {
        one: without_variants(by_configuration(predictions, target=case.target, split=split, repeat=one))
        for one in repeats
    }
    first = scored.get(1, {})
    aucs = {(one, name): fold_aucs(found) for one, many in scored.items() for name, found in many.items()}

    def differences(one: str, two: str, chosen: Sequence[int]) -> list[float | None]:
        return [
            None if a is None or b is None else a - b
            for repeat in chosen
            if (repeat, one) in aucs and (repeat, two) in aucs
            and scored[repeat][one][0] == scored[repeat][two][0]
            for a, b in zip(aucs[repeat, one], aucs[repeat, two], strict=True)
        ]  # fmt: skip

    rows: list[Row] = []
    for one, two in pairs(list(first)):
        (ids, y, p, fold), (others, _, q, _) = first[one], first[two]
        if ids != others:
            continue
        head = {"target": case.target, "first": one, "second": two, "split": split}
        declared = split == MAIN_SPLIT and (one, two) == tuple(case.compared)
        head["role"] = "primary" if declared else "secondary"
        found = compare(
            y, p, q, ids, differences(one, two, [1]),
            groups=[case.groups.get(who, who) for who in ids],
            repeated_differences=differences(one, two, repeats) if len(repeats) > 1 else [],
            test_share=1 / max(len(set(fold.tolist())) - 1, 1), draws=case.statistics["swaps"],
            seed=seed_of(case.salt, one, two), level=case.level,
        )  # fmt: skip
        rows += [head | row for row in found]
    return rows


def power_of(predictions: Sequence[Prediction], case: Case) -> Row:
    """Return the primary comparison's difference, its standard error, and what so many patients could have shown."""
    first = by_configuration(predictions, target=case.target)
    if len(case.compared) < 2 or any(name not in first for name in case.compared):
        return {}
    (ids, y, p, _), (others, _, q, _) = (first[name] for name in case.compared)
    if ids != others:
        return {}
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


def roc(name: str, found: Found, *, split: str) -> list[Row]:
    """Return the points of one configuration's ROC curve."""
    points = zip(*roc_points(found[1], found[2]), strict=True)
    return [
        {"configuration": name, "split": split, "fpr": float(a), "tpr": float(b), "threshold": float(c)}
        for a, b, c in points
    ]


def calibration(name: str, stage: str, found: Found, *, level: float) -> list[Row]:
    """Return one configuration's reliability in at most ten bins, of ten patients or more where there are as many."""
    _, y, p, _ = found
    bins = max(2, min(10, y.size // 10))
    return [
        {"configuration": name, "stage": stage, **row} for row in reliability(y, p, bins=bins, level=level)
    ]


def decision(scored: Scored, names: Iterable[str], thresholds: Array) -> list[Row]:
    """Return decision curves of those configurations that predict the first one's patients; thresholds (t,)."""
    chosen = {name: scored[name] for name in dict.fromkeys(names) if name in scored}
    if not chosen:
        return []
    ids, y, _, _ = next(iter(chosen.values()))
    scores = {name: found[2] for name, found in chosen.items() if found[0] == ids}
    return decision_curve(y, scores, thresholds)


def conformal(name: str, found: Found, *, epsilon: float) -> list[Row]:
    """Return coverage and size of one configuration's conformal sets."""
    _, y, p, fold = found
    sets = sets_of.prediction_sets(sets_of.p_values(y, p, fold), epsilon=epsilon)
    return [
        {"configuration": name, "epsilon": epsilon, **row}
        for row in sets_of.summary(y, sets, epsilon=epsilon)
    ]


def subgroups(
    name: str,
    found: Found,
    case: Case,
    *,
    categories: Sequence[str],
    banded: Sequence[tuple[str, Sequence[float], str]],
) -> list[Row]:
    """Return one configuration's AUC and Brier score in each level of each variable, and whether levels differ.

    Parameters
    ----------
    name : str
    found : tuple
    case : Case
        Its ``clinical`` holds the variables.
    categories : sequence of str
        Variables of few values; passed over where all have the same.
    banded : sequence of (str, sequence of float, str)
        Variable, edges of its bands, unit; passed over where nobody has a number.
    """
    ids, y, p, _ = found
    levels: dict[str, list[str | None]] = {}
    for variable in categories:
        values = [case.clinical.get(one, {}).get(variable) for one in ids]
        if len({value for value in values if value is not None}) > 1:
            levels[variable] = [None if value is None else str(value) for value in values]
    for variable, edges, unit in banded:
        numbers = [case.clinical.get(one, {}).get(variable) for one in ids]
        if any(isinstance(value, float | int) for value in numbers):
            levels[variable] = list(levels_of.bands(numbers, edges, unit=unit))
    rows = levels_of.by_level(
        y, p, ids, levels, minimum=case.statistics["subgroup_minimum"], level=case.level
    )
    tested = {
        variable: levels_of.heterogeneity(
            [row for row in rows if row["variable"] == variable], level=case.level
        )
        for variable in levels
    }
    return [{"configuration": name, **row, "p_differs": tested[row["variable"]]} for row in rows]


def external(
    predictions: Sequence[Prediction], unscored: Sequence[Mapping[str, str]], names: Sequence[str]
) -> dict[str, Row]:
    """Return, for each external cohort, how many were scored and labelled, how many not, and the commonest reason."""
    found = {}
    for name in names:
        split = f"{EXTERNAL}{name}"
        scored = {one.participant_id: one.y_true for one in predictions if one.split == split}
        missing = {row["participant_id"]: row["reason"] for row in unscored if row["split"] == split}
        reasons = Counter(why for who, why in missing.items() if who not in scored)
        found[name] = {
            "n_scored": len(scored),
            "n_labelled": sum(value is not None for value in scored.values()),
            "n_left_out": reasons.total(),
            "why": reasons.most_common(1)[0][0] if reasons else "",
        }
    return found
