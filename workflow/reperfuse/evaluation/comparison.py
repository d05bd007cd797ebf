"""Two models on the same patients, compared by several tests side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import stats

from reperfuse.evaluation.discrimination import paired_delong
from reperfuse.evaluation.estimate import Comparison
from reperfuse.evaluation.inputs import ArrayLike
from reperfuse.evaluation.permutation import label_swap
from reperfuse.evaluation.resampling import corrected_t, naive_t

TESTS = ("delong", "label_swap", "corrected_t", "naive_t", "corrected_t_repeats")


def compare(
    y: ArrayLike,
    first: ArrayLike,
    second: ArrayLike,
    patients: Sequence[Any] | npt.NDArray[Any],
    fold_differences: Sequence[float | None],
    *,
    groups: Sequence[Any] | npt.NDArray[Any],
    repeated_differences: Sequence[float | None],
    test_share: float,
    draws: int,
    seed: int,
    level: float,
) -> list[dict[str, Any]]:
    """Compare the AUC of two models: paired DeLong and exchange of scores on pooled scores, t tests on folds.

    Parameters
    ----------
    y : array of int, shape (n,)
    first, second : array of float, shape (n,)
        Out-of-fold scores.
    patients : sequence, shape (n,)
        Whose row it is.
    fold_differences : sequence of float or None
        AUC of the first minus that of the second in each fold; None where a fold has one class.
    groups : sequence, shape (n,)
        Family of each row, or the patient: the unit whose scores are exchanged. DeLong takes relatives as
        independent.
    repeated_differences : sequence of float or None
        The same differences over the folds of all repeats; empty where the folds were drawn once.
    test_share : float
        n_test / n_train of a fold.
    draws, seed : int
        Of the exchange of scores.
    level : float
        Confidence level.

    Returns
    -------
    list of dict
        One row per test in the order of `TESTS`, the last only with repeats:
        ``test``, ``difference`` (first − second), ``ci_low``,
        ``ci_high``, ``statistic`` (z; ΔAUC; t; t; t), ``p`` (two-sided), ``n`` (patients), ``note``. DeLong
        takes rows as independent: where a patient has several there is only the difference.

    Raises
    ------
    ValueError
        When labels are not 0 and 1, scores not finite, or lengths differ.
    """
    n = len(np.unique(np.asarray(patients)))
    delong = paired_delong(y, first, second, level=level)
    note = "pooled out-of-fold scores"
    if n < len(np.asarray(patients)):
        delong = Comparison(delong.difference, None, None, None, None)
        note += "; not tested, because a patient has several rows"
    swap = label_swap(y, first, second, groups, draws=draws, seed=seed)
    swapped = Comparison(swap.difference, None, None, swap.difference, swap.p)
    kept = sum(one is not None for one in fold_differences)
    folds = f"{kept} folds"
    if kept < len(fold_differences):
        folds += f"; {len(fold_differences) - kept} more have no AUC"
    found = (
        (delong, note),
        (swapped, f"pooled out-of-fold scores; {draws} draws, each exchanges whole families or patients"),
        (
            corrected_t(fold_differences, test_share=test_share, level=level),
            f"{folds}; variance corrected for overlapping training sets",
        ),
        (
            naive_t(fold_differences, level=level),
            f"{folds}; takes folds as independent, p too small, for comparison only",
        ),
        (
            corrected_t(repeated_differences, test_share=test_share, level=level),
            f"{sum(one is not None for one in repeated_differences)} folds of all repeats; variance corrected",
        ),
    )
    rows = [
        {
            "test": test,
            "difference": one.difference,
            "ci_low": one.low,
            "ci_high": one.high,
            "statistic": one.statistic,
            "p": one.p,
            "n": n,
            "note": text,
        }
        for test, (one, text) in zip(TESTS, found, strict=True)
    ]
    return rows if len(repeated_differences) else rows[:-1]


def adjust(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Add ``p_adjusted``: Benjamini and Hochberg (1995) over the secondary comparisons of each test.

    The primary comparison was declared beforehand and keeps its own p. Rows without p are not counted.

    Parameters
    ----------
    rows : sequence of mapping
        With ``test``, ``role`` (``primary`` or ``secondary``) and ``p``; one family, such as one target and
        split.

    Returns
    -------
    list of dict
        Copies of the rows in the same order.
    """
    result = [{**row, "p_adjusted": row["p"]} for row in rows]
    for test in dict.fromkeys(row["test"] for row in rows):
        family = [
            row
            for row in result
            if row["test"] == test and row["role"] == "secondary" and row["p"] is not None
        ]
        if family:
            adjusted = stats.false_discovery_control([row["p"] for row in family], method="bh")
            for row, p in zip(family, adjusted, strict=True):
                row["p_adjusted"] = float(p)
    return result
