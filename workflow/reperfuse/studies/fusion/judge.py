"""Every table by which reconstructions are judged: what embeddings hold, over folds and over patients."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from statistics import stdev
from typing import Any

import numpy as np

from reperfuse.core.seeds import seed_of
from reperfuse.evaluation.comparison import adjust
from reperfuse.evaluation.interface import MAIN_SPLIT
from reperfuse.evaluation.judgement import FOLD_COLUMNS, METRIC_COLUMNS
from reperfuse.evaluation.resampling import Statistic, cluster_bootstrap, corrected_interval, corrected_t
from reperfuse.studies.fusion.reconstructed import (
    ALL,
    MEAN_CODE,
    OWN,
    SHUFFLED,
    Cell,
    Error,
    cells,
    explained,
    of_fold,
)

Row = dict[str, Any]
# Which end of the folds is the worst.
WORST: Mapping[str, Callable[[Iterable[float]], float]] = {"mse": max, "r2": min, "cnr_change": min}
COLUMNS: Mapping[str, Sequence[str]] = {
    "metrics": METRIC_COLUMNS,
    "metrics-by-fold": FOLD_COLUMNS,
    **{
        name: text.split()
        for name, text in {
            "metrics-by-subject": "participant_id session_id target configuration fold mse mse_mean r2 norm_diff "
            "cnr_of cnr_original cnr_reconstructed cnr_change mse_shuffled mse_mean_code",
            "flags": "participant_id configuration target fold quantity value limit level",
            "comparisons": "target first second split metric test role difference ci_low ci_high statistic p "
            "p_adjusted n note",
        }.items()
    },
}


def measured(
    found: Iterable[Error], paper: Callable[[str, str, str], str], *, level: float
) -> tuple[list[Row], list[Row]]:
    """Return ``metrics.tsv`` and ``metrics-by-fold.tsv``.

    Parameters
    ----------
    found : iterable of Error
    paper : callable
        (target, configuration, metric) → the paper's value as text, or nothing.
    level : float
        Of the intervals, which allow for overlapping training sets (Nadeau and Bengio 2003).

    Notes
    -----
    ``fold_mean`` is the mean over folds; ``fold_worst`` the worst fold, without an interval.
    """
    rows, by_fold = [], []
    folds: dict[tuple[str, str], dict[int, tuple[dict[str, float | None], int]]] = {}
    for (configuration, target, fold), mine in sorted(cells(found).items()):
        n = len({one.participant_id for one in mine if one.held_out})
        folds.setdefault((configuration, target), {})[fold] = of_fold(mine), n
    for (configuration, target), values in folds.items():
        head: Row = {"target": target, "configuration": configuration, "split": MAIN_SPLIT}
        by_fold += [
            {**head, "repeat": 1, "fold": fold, "metric": metric, "estimate": value, "n": n}
            for fold, (of_metric, n) in values.items()
            for metric, value in of_metric.items()
        ]
        head["n"] = sum(n for _, n in values.values())
        for metric in next(iter(values.values()))[0]:
            known = [v for of_metric, _ in values.values() if (v := of_metric[metric]) is not None]
            got = corrected_interval(known, test_share=1 / max(len(known) - 1, 1), level=level)
            row = {
                **head,
                "metric": metric,
                "estimator": "fold_mean",
                "estimate": got.value,
                "ci_low": got.low,
            }
            row |= {
                "ci_high": got.high,
                "interval": got.interval,
                "paper": paper(target, configuration, metric),
            }
            rows.append({**row, "fold_sd": stdev(known) if len(known) > 1 else None})
            if metric in WORST and known:
                rows.append(
                    {**head, "metric": metric, "estimator": "fold_worst", "estimate": WORST[metric](known)}
                )
    return rows, by_fold


def by_subject(found: Iterable[Error]) -> list[Row]:
    """Return ``metrics-by-subject.tsv``: every held-out patient, with the errors from other embeddings beside."""
    rows = []
    for (configuration, target, fold), mine in sorted(cells(found).items()):
        other = {(one.participant_id, one.code): one.mse for one in mine if one.held_out}
        for one in sorted(mine, key=lambda one: one.participant_id):
            if one.held_out and one.code == OWN:
                row: Row = {
                    "participant_id": one.participant_id,
                    "session_id": one.session_id,
                    "target": target,
                }
                row |= {
                    "configuration": configuration,
                    "fold": fold,
                    "mse": one.mse,
                    "mse_mean": one.mse_mean,
                }
                row |= {"r2": explained([one]), "norm_diff": one.norm_diff, "cnr_of": one.cnr_of}
                row |= {"cnr_original": one.cnr_original, "cnr_reconstructed": one.cnr_reconstructed}
                row["cnr_change"] = one.cnr[1] / one.cnr[0] - 1 if one.cnr else None
                row["mse_shuffled"] = other.get((one.participant_id, SHUFFLED))
                row["mse_mean_code"] = other.get((one.participant_id, MEAN_CODE))
                rows.append(row)
    return rows


def flags(subjects: Iterable[Row], *, mse_flags: Sequence[float], cnr_drop: float) -> list[Row]:
    """Return held-out reconstructions that are doubtful or have failed, by contrast.

    Parameters
    ----------
    subjects : iterable of mapping
        Rows of `by_subject`.
    mse_flags : sequence of float
        Above the first a reconstruction is doubtful, above the second it has failed.
    cnr_drop : float
        Share of the CNR whose loss is a failure.
    """
    rows = []
    doubtful, failed = mse_flags
    for one in subjects:
        if one["target"] == ALL:
            continue
        head = {name: one[name] for name in ("participant_id", "configuration", "target", "fold")}
        if one["mse"] > doubtful:
            level, limit = ("failed", failed) if one["mse"] > failed else ("doubtful", doubtful)
            rows.append({**head, "quantity": "mse", "value": one["mse"], "limit": limit, "level": level})
        change = one["cnr_change"]
        if change is not None and change < -cnr_drop:
            rows.append(
                {**head, "quantity": "cnr_change", "value": change, "limit": -cnr_drop, "level": "failed"}
            )
    return rows


def compared(
    found: Iterable[Error],
    pairs: Sequence[tuple[str, str]],
    groups: Mapping[str, str],
    *,
    level: float,
    draws: int,
    salt: str,
) -> list[Row]:
    """Return ``comparisons.tsv``: R² over the mean image of two configurations on the same folds and patients.

    Parameters
    ----------
    found : iterable of Error
    pairs : sequence of (str, str)
        The declared comparison first; p values of the others are adjusted.
    groups : mapping
        participant_id → family, the unit of the bootstrap.
    level : float
    draws : int
        Of the bootstrap; none for 0.
    salt : str
    """
    known = cells(one for one in found if one.target == ALL)
    rows = []
    for place, (first, second) in enumerate(pairs):
        mine = {
            fold: both
            for fold in sorted({key[2] for key in known})
            if (both := _both(known, first, second, fold))
        }
        if not mine:
            continue
        head: Row = {"target": ALL, "first": first, "second": second, "split": MAIN_SPLIT, "metric": "r2"}
        everybody = [pair for both in mine.values() for pair in both]
        head |= {"role": "secondary" if place else "primary", "n": len(everybody)}
        differences = [_difference(both) for both in mine.values()]
        got = corrected_t(differences, test_share=1 / max(len(mine) - 1, 1), level=level)
        row = {"test": "corrected_t", "difference": got.difference, "ci_low": got.low, "ci_high": got.high}
        note = f"{len(mine)} folds; variance corrected for overlapping training sets"
        rows.append({**head, **row, "statistic": got.statistic, "p": got.p, "note": note})
        if draws:
            a, b = np.array([(x.mse, y.mse) for x, y in everybody]).T
            chance = np.array([x.mse_mean for x, _ in everybody])
            drawn = cluster_bootstrap(
                _gain(b - a, chance),
                np.zeros(len(everybody), dtype=np.int64),
                [groups.get(x.participant_id, x.participant_id) for x, _ in everybody],
                draws=draws,
                level=level,
                seed=seed_of(salt, first, second),
            )
            estimate = drawn.estimate
            row = {"test": "patient_bootstrap", "difference": estimate.value, "ci_low": estimate.low}
            note = drawn.note or "held-out patients of all folds; whole families are drawn again"
            rows.append({**head, **row, "ci_high": estimate.high, "p": None, "note": note})
    return adjust(rows)


def _gain(less: np.ndarray, chance: np.ndarray) -> Statistic:
    return lambda at: float(less[at].sum() / chance[at].sum()) if chance[at].any() else None


def _both(
    known: Mapping[Cell, Sequence[Error]], first: str, second: str, fold: int
) -> list[tuple[Error, Error]]:
    one, two = (
        {
            error.participant_id: error
            for error in known.get((name, ALL, fold), ())
            if error.held_out and error.code == OWN
        }
        for name in (first, second)
    )
    return [(one[who], two[who]) for who in sorted(one.keys() & two.keys())]


def _difference(both: Sequence[tuple[Error, Error]]) -> float | None:
    first, second = (explained([pair[side] for pair in both]) for side in (0, 1))
    return None if first is None or second is None else first - second
