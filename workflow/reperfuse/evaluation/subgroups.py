"""Performance by subgroup: sex, age band, side, scanner, time to imaging."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import stats
from scipy.special import logit

from reperfuse.evaluation.discrimination import auc_interval
from reperfuse.evaluation.estimate import Estimate
from reperfuse.evaluation.inputs import ArrayLike, labels_of, probabilities_of, unit_interval

NOT_KNOWN = "not known"


def bands(values: Sequence[float | None], edges: Sequence[float], *, unit: str) -> list[str]:
    """Return the band of each value: ``< 60``, ``60 to 75`` (60 counts, 75 does not), ``>= 75``.

    Parameters
    ----------
    values : sequence of float or None
        None and NaN become ``not known``.
    edges : sequence of float
        Increasing; at least one.
    unit : str
        Written after the number; may be empty.

    Raises
    ------
    ValueError
        When there are no edges or they do not increase.
    """
    limits = [float(edge) for edge in edges]
    if not limits or any(a >= b for a, b in pairwise(limits)):
        raise ValueError(f"edges are {list(edges)}; expected one or more, increasing.")
    text = [f"{edge:g}" for edge in limits]
    names = [f"< {text[0]}", *(f"{a} to {b}" for a, b in pairwise(text)), f">= {text[-1]}"]
    names = [f"{name} {unit}".strip() for name in names]
    return [
        NOT_KNOWN
        if value is None or math.isnan(value)
        else names[int(np.searchsorted(limits, value, "right"))]
        for value in values
    ]


def by_level(
    y: ArrayLike,
    probability: ArrayLike,
    groups: Sequence[Any] | npt.NDArray[Any],
    levels: Mapping[str, Sequence[str | None]],
    *,
    minimum: int,
    level: float,
) -> list[dict[str, Any]]:
    """Return discrimination and Brier score in each level of each variable.

    Parameters
    ----------
    y : array of int, shape (n,)
    probability : array of float, shape (n,)
    groups : sequence, shape (n,)
        Whose row it is.
    levels : mapping
        Variable → level of each row (n,); None or empty is ``not known``.
    minimum : int
        Patients of either class below which a level has no AUC.
    level : float
        Confidence level of the intervals (DeLong; none where a patient has several rows, or for a level
        without AUC).

    Returns
    -------
    list of dict
        ``variable``, ``level``, ``n`` and ``n_positive`` (patients, the latter with at least one positive
        row), ``auc``, ``ci_low``, ``ci_high``, ``brier`` (over rows). Bands in the order of their numbers,
        others by name, ``not known`` last.

    Raises
    ------
    ValueError
        When labels are not 0 and 1, probabilities not in 0 to 1, or lengths differ.
    """
    label = labels_of(y)
    score = probabilities_of(probability, n=len(label))
    owner = np.unique(np.asarray(groups), return_inverse=True)[1]
    if owner.shape != label.shape:
        raise ValueError(f"groups has shape {owner.shape}; expected {label.shape}, one per label.")
    rows = []
    for variable, given in levels.items():
        if len(given) != len(label):
            raise ValueError(f"{variable} has {len(given)} levels; expected {len(label)}, one per label.")
        names = np.array([one or NOT_KNOWN for one in given], dtype=object)
        for name in sorted(set(names.tolist()), key=_order):
            here = names == name
            n = len(np.unique(owner[here]))
            n_positive = len(np.unique(owner[here & (label == 1)]))
            estimate = Estimate(None, None, None, "none")
            if min(n_positive, n - n_positive) >= max(minimum, 1):
                estimate = auc_interval(label[here], score[here], level=level)
                if n < int(here.sum()):
                    estimate = Estimate(estimate.value, None, None, "none")
            rows.append(
                {
                    "variable": variable,
                    "level": name,
                    "n": n,
                    "n_positive": n_positive,
                    "auc": estimate.value,
                    "ci_low": estimate.low,
                    "ci_high": estimate.high,
                    "brier": float(np.mean((score[here] - label[here]) ** 2)),
                }
            )
    return rows


def heterogeneity(rows: Sequence[Mapping[str, Any]], *, level: float) -> float | None:
    """Return p of Cochran's Q: whether the AUC differs between the levels of one variable.

    On the logit scale, with standard errors from the intervals. ``not known`` and levels without an interval,
    or with an AUC of 0 or 1, are left out.

    Parameters
    ----------
    rows : sequence of mapping
        Rows of `by_level`, of one variable.
    level : float
        Confidence level at which their intervals were made.

    Returns
    -------
    float or None
        None where fewer than two levels are left.

    Raises
    ------
    ValueError
        When the rows are of several variables.
    """
    if len({row["variable"] for row in rows}) > 1:
        raise ValueError(f"rows are of {sorted({row['variable'] for row in rows})}; expected one variable.")
    z = float(stats.norm.ppf((1 + unit_interval(level, name="level")) / 2))
    centres, weights = [], []
    for row in rows:
        value, low, high = row["auc"], row["ci_low"], row["ci_high"]
        if row["level"] == NOT_KNOWN or value is None or low is None or high is None:
            continue
        if 0 < low < high < 1 and 0 < value < 1:
            centres.append(float(logit(value)))
            weights.append((2 * z / float(logit(high) - logit(low))) ** 2)
    if len(centres) < 2:
        return None
    mean = np.average(centres, weights=weights)
    q = float(np.sum(np.array(weights) * (np.array(centres) - mean) ** 2))
    return float(stats.chi2.sf(q, len(centres) - 1))


def _order(name: str) -> tuple[bool, float, str]:
    """Sort bands by their lower edge, names by themselves, ``not known`` last."""
    band = re.match(r"(< )?(?:>= )?(-?\d+(?:\.\d+)?(?:e[+-]?\d+)?)\b", name)
    lower = -math.inf if band is None or band[1] else float(band[2])
    return name == NOT_KNOWN, lower, name
