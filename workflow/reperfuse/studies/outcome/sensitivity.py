"""What the compared configurations lose or gain by one other choice."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean, stdev
from typing import Any

from reperfuse.evaluation.crossval import Scored, fold_aucs
from reperfuse.evaluation.discrimination import auc_interval
from reperfuse.evaluation.spread import compare_spread

Row = dict[str, Any]


def sweep(
    first: Scored, compared: Sequence[str], n_features: Mapping[str, int], *, level: float
) -> list[Row]:
    """Return the compared configurations with one choice changed at a time, each beside its own base."""
    rows = []
    for name, found in first.items():
        base, _, choice = name.partition("[")
        if base not in compared or name.endswith("[platt=none]"):
            continue
        parameter, _, value = choice.rstrip("]").partition("=")
        known = [one for one in fold_aucs(found) if one is not None]
        whole = auc_interval(found[1], found[2], level=level)
        rows.append(
            {
                "configuration": base, "parameter": parameter or "base", "value": value or "as configured",
                "auc_fold_mean": fmean(known) if known else None,
                "auc_fold_sd": stdev(known) if len(known) > 1 else None,
                "auc_pooled": whole.value, "ci_low": whole.low, "ci_high": whole.high,
                "n_features": n_features.get(name),
            }
        )  # fmt: skip
    return rows


def spread(name: str, first: Scored, *, level: float) -> list[Row]:
    """Return whether another way to the lesion volume, or none, changes the spread of the AUC over folds."""
    rows = []
    others = {key.partition("=")[2].rstrip("]"): key for key in first if key.startswith(f"{name}[lesion=")}
    without = name.replace("+lesion", "")
    if without != name and without in first:
        others["no lesion volume"] = without
    base = fold_aucs(first[name])
    for method, other in others.items():
        found = compare_spread(fold_aucs(first[other]), base, level=level)
        rows.append(
            {
                "configuration": name, "lesion": method, "against": "as configured", "fold_sd": found.first,
                "fold_sd_against": found.second, "ratio": found.ratio, "ci_low": found.low,
                "ci_high": found.high, "p": found.p, "n": found.n,
            }
        )  # fmt: skip
    return rows
