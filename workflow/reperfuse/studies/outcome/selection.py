"""Who has no J1 and why, and what leaving them out does to a comparison of J1 with J0.

A J1 model can only be judged on patients who were alive and there at 24 h. What is made here describes that
selection, and weighs the patients who have J1 so that they stand for all.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.linear_model import LogisticRegression

from reperfuse.evaluation.inputs import ArrayLike, Floats, labels_of, scores_of
from reperfuse.evaluation.resampling import Statistic, cluster_bootstrap
from reperfuse.studies.outcome.describe import counted, levels_of, mean_sd, share, smd

ClinicalRow = Mapping[str, float | str | None]
Indices = npt.NDArray[np.int64]

SELECTION_COLUMNS = ("variable", "group", "summary", "n", "smd")
REASON_COLUMNS = ("reason", "n")
WEIGHTED_COLUMNS = (
    "weighting", "quantity", "estimate", "ci_low", "ci_high", "interval", "n", "n_positive", "n_effective",
)  # fmt: skip
WITH, WITHOUT = "with J1", "without J1"
NOT_STATED = "not stated"


def selection_table(
    rows: Mapping[str, ClinicalRow], has_j1: Mapping[str, bool], variables: Sequence[str]
) -> list[dict[str, Any]]:
    """Compare patients with and without J1.

    Parameters
    ----------
    rows : mapping
        participant_id → standard name → value.
    has_j1 : mapping
        participant_id → whether J1 is there; only these patients count.
    variables : sequence of str
        What to compare. Numbers are summarised by mean (SD), flags and levels by n (%) of those with a value,
        one pair of rows per level; a further pair counts patients without a value where there are any.

    Returns
    -------
    list of dict
        Rows of ``selection.tsv``. ``n`` counts patients with a value. ``smd`` is the standardised mean
        difference, with J1 minus without; see `reperfuse.studies.outcome.describe.smd`.
    """
    sides = ((WITH, True), (WITHOUT, False))
    groups = {name: [one for one in sorted(has_j1) if bool(has_j1[one]) is there] for name, there in sides}
    sizes = {name: len(ids) for name, ids in groups.items()}
    table = _pair("patients", {name: share(n, len(has_j1)) for name, n in sizes.items()}, sizes, None)
    for variable in variables:
        values = {name: [rows.get(one, {}).get(variable) for one in ids] for name, ids in groups.items()}
        known = {name: [v for v in those if v is not None] for name, those in values.items()}
        present = [v for those in known.values() for v in those]
        if counted(variable, present):
            for level in levels_of(variable, present):
                label = variable if level == 1.0 else f"{variable} = {level}"
                table += _counts(label, {g: [float(v == level) for v in those] for g, those in known.items()})
        elif present:
            numbers = {name: [float(v) for v in those] for name, those in known.items()}
            apart = smd(numbers[WITH], numbers[WITHOUT], ddof=1)
            n = {name: len(those) for name, those in numbers.items()}
            table += _pair(variable, {name: mean_sd(those) for name, those in numbers.items()}, n, apart)
        if len(present) < len(has_j1):
            gaps = {name: [float(v is None) for v in those] for name, those in values.items()}
            table += _counts(f"{variable} missing", gaps)
    return table


def reasons(has_j1: Mapping[str, bool], stated: Mapping[str, str | None]) -> list[dict[str, Any]]:
    """Count why patients have no J1; rows of ``selection-reasons.tsv``, the most frequent first.

    Parameters
    ----------
    has_j1 : mapping
        participant_id → whether J1 is there.
    stated : mapping
        participant_id → reason; a patient who has none counts as ``not stated``.
    """
    found = Counter(stated.get(one) or NOT_STATED for one, there in has_j1.items() if not there)
    return [
        {"reason": reason, "n": n}
        for reason, n in sorted(found.items(), key=lambda item: (-item[1], item[0]))
    ]


def selection_design(
    rows: Mapping[str, ClinicalRow], participants: Sequence[str], variables: Sequence[str]
) -> tuple[Floats, tuple[str, ...]]:
    """Return J0 variables as numbers, for `inverse_probability_weights`.

    A missing number becomes the median, a missing flag or level the most frequent one, and a further column
    says that it was missing. It is fitted on all patients, which is right for weights: the outcome has no
    part in it.

    Returns
    -------
    x : array, shape (n, p)
    names : tuple of str, length p
        Columns that are the same for everybody are left out.
    """
    columns: dict[str, list[float]] = {}
    for variable in variables:
        values = [rows.get(one, {}).get(variable) for one in participants]
        known = [v for v in values if v is not None]
        if not known:
            continue
        if counted(variable, known):
            usual = max(sorted(set(known), key=str), key=known.count)
            levels = levels_of(variable, known)
            for level in levels if levels == [1.0] else levels[1:]:
                name = variable if level == 1.0 else f"{variable} = {level}"
                columns[name] = [float((usual if v is None else v) == level) for v in values]
        else:
            middle = float(np.median([float(v) for v in known]))
            columns[variable] = [middle if v is None else float(v) for v in values]
        columns[f"{variable} missing"] = [float(v is None) for v in values]
    kept = {name: column for name, column in columns.items() if len(set(column)) > 1}
    x = np.array(list(kept.values()), dtype=np.float64).reshape(len(kept), len(participants)).T
    return x, tuple(kept)


def inverse_probability_weights(x: ArrayLike, observed: ArrayLike, *, ridge: float, limit: float) -> Floats:
    """Return weights that let the patients with J1 stand for all patients.

    Having J1 is regressed on what was known at J0 (logistic, columns scaled to SD 1); a weight is the share
    of patients with J1 divided by the patient's probability of it, cut at ``limit`` (stabilised, truncated
    weights: Robins, Hernán and Brumback 2000, doi 10.1097/00001648-200009000-00011; Cole and Hernán 2008,
    doi 10.1093/aje/kwn164). They mend only what the variables of J0 explain.

    Parameters
    ----------
    x : array, shape (n, p)
        Variables of J0, finite; see `selection_design`. Columns may be sums of others.
    observed : array of bool, shape (n,)
        Whether J1 is there.
    ridge : float
        L2 penalty on the slopes, above 0: keeps them finite where a variable separates the groups. The
        intercept is free, so that the mean probability is the share of patients with J1.
    limit : float
        Largest weight, above 1.

    Returns
    -------
    array, shape (n_observed,)
        In the order of the patients with J1; all 1 where everybody has J1.

    Raises
    ------
    ValueError
        Shapes differ, a value is not finite, nobody has J1, or a tunable is out of range.
    """
    table, there = np.asarray(x, dtype=np.float64), labels_of(np.asarray(observed).astype(int))
    if table.ndim != 2 or len(table) != len(there):
        raise ValueError(f"x has shape {table.shape}, observed {there.shape}; expected one row per patient.")
    if not np.isfinite(table).all():
        raise ValueError(
            "x holds values that are not finite; fill them in first, for example with `selection_design`."
        )
    if not (ridge > 0 and limit > 1):
        raise ValueError(f"ridge is {ridge} and limit {limit}; expected ridge above 0 and limit above 1.")
    if not there.any():
        raise ValueError("nobody has J1; there is no patient to weigh.")
    spread = table.std(axis=0)
    # A spread that is only rounding would blow up a constant column.
    useful = spread > 1e-12 * np.maximum(1.0, np.abs(table).max(axis=0, initial=1.0))
    if there.all() or not useful.any():
        return np.ones(int(there.sum()))
    scaled = (table[:, useful] - table[:, useful].mean(axis=0)) / spread[useful]
    fitted = LogisticRegression(C=1 / ridge, solver="lbfgs", tol=1e-8, max_iter=10_000).fit(scaled, there)
    probability = fitted.predict_proba(scaled)[there == 1, 1]
    return np.minimum(there.mean() / probability, limit)


def effective_n(weights: ArrayLike) -> float:
    """Return Kish's effective number of patients, (Σw)² / Σw²."""
    w = np.asarray(weights, dtype=np.float64)
    return float(w.sum() ** 2 / (w**2).sum())


def weighted_comparison(
    y: ArrayLike,
    first: ArrayLike,
    second: ArrayLike,
    weights: ArrayLike,
    groups: Sequence[Any] | npt.NDArray[Any],
    *,
    draws: int,
    level: float,
    seed: int,
) -> list[dict[str, Any]]:
    """Compare two models by AUC, patients weighted and unweighted.

    Parameters
    ----------
    y : array of int, shape (n,)
        Outcome of the patients with J1.
    first, second : array of float, shape (n,)
        Their scores.
    weights : array, shape (n,)
        From `inverse_probability_weights`. They are taken as known, so that the interval leaves out their own
        uncertainty.
    groups : sequence, shape (n,)
        Patients; one draw of the bootstrap takes whole groups.
    draws : int
        Of the bootstrap.
    level : float
        Confidence level.
    seed : int

    Returns
    -------
    list of dict
        weighting (``none`` or ``inverse probability``), quantity (``auc_first``, ``auc_second``,
        ``difference``), estimate, ci_low, ci_high, interval, n, n_positive, n_effective.

    Raises
    ------
    ValueError
        Lengths differ, or a weight is not finite and above 0.
    """
    label = labels_of(y)
    n = len(label)
    a, b = scores_of(first, n=n, name="first"), scores_of(second, n=n, name="second")
    w = scores_of(weights, n=n, name="weights")
    if n and w.min() <= 0:
        raise ValueError(f"weights hold {w.min():g}; expected numbers above 0.")
    table = []
    for weighting, used in (("none", np.ones(n)), ("inverse probability", w)):
        one, other = _auc(label, a, used), _auc(label, b, used)
        wanted = {"auc_first": one, "auc_second": other, "difference": _difference(one, other)}
        for quantity, statistic in wanted.items():
            found = cluster_bootstrap(statistic, label, groups, draws=draws, level=level, seed=seed).estimate
            table.append({
                "weighting": weighting,
                "quantity": quantity,
                "estimate": found.value,
                "ci_low": found.low,
                "ci_high": found.high,
                "interval": found.interval,
                "n": n,
                "n_positive": int(label.sum()),
                "n_effective": effective_n(used) if n else None,
            })  # fmt: skip
    return table


def _auc(label: npt.NDArray[np.int64], score: Floats, weight: Floats) -> Statistic:
    """Return `reperfuse.evaluation.discrimination.weighted_auc` as a fast function of row indices.

    Scores are ranked once and each call only adds up weights, since a bootstrap asks thousands of times.
    """
    values, code = np.unique(score, return_inverse=True)
    n_codes = len(values)
    cell = code + n_codes * label  # adds up both classes in one pass

    def statistic(indices: Indices) -> float | None:
        mass = np.bincount(cell[indices], weights=weight[indices], minlength=2 * n_codes)
        negative, positive = mass[:n_codes], mass[n_codes:]
        pairs = float(positive.sum() * negative.sum())
        return float(positive @ (np.cumsum(negative) - negative / 2)) / pairs if pairs > 0 else None

    return statistic


def _difference(first: Statistic, second: Statistic) -> Statistic:
    def statistic(indices: Indices) -> float | None:
        a, b = first(indices), second(indices)
        return None if a is None or b is None else a - b

    return statistic


def _counts(variable: str, hits: Mapping[str, Sequence[float]]) -> list[dict[str, Any]]:
    n = {group: len(those) for group, those in hits.items()}
    summary = {group: share(int(sum(those)), len(those)) for group, those in hits.items()}
    return _pair(variable, summary, n, smd(hits[WITH], hits[WITHOUT], ddof=0))


def _pair(
    variable: str, summary: Mapping[str, str | None], n: Mapping[str, int], apart: float | None
) -> list[dict[str, Any]]:
    return [
        {"variable": variable, "group": group, "summary": summary[group], "n": n[group], "smd": apart}
        for group in (WITH, WITHOUT)
    ]
