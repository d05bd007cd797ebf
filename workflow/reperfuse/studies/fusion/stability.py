"""How much strata depend on who was there, on the encoder, and on the way of clustering."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
from sklearn.cluster import KMeans

from reperfuse.core.seeds import seed_of
from reperfuse.evaluation.inputs import Floats
from reperfuse.evaluation.partition import Labels, adjusted_rand, by_size, co_assignment, shares
from reperfuse.evaluation.resampling import rows_of
from reperfuse.studies.fusion.clusters import FINAL, Clustered, again, clustered

Row = dict[str, Any]
Others = Mapping[str, tuple[Sequence[str], Mapping[str, Floats]]]


@dataclass(frozen=True)
class Stability:
    """Rows of `stability.tsv`, and of each patient how often the same others are met again (n,); None if not drawn."""

    rows: tuple[Row, ...]
    of_patients: Floats | None


def stability(
    one: Clustered, groups: Sequence[str], strata: Mapping[str, Any], *, level: float, seed: int
) -> Stability:
    """Resample patients and cluster again, and compare what else gives a partition.

    Encoders, damping and preference stay what they were: what another training or choice adds is not in it.

    Parameters
    ----------
    one : Clustered
    groups : sequence of str, length n
        Family of each patient; families are drawn as wholes.
    strata : mapping
        ``studies.fusion.strata``: ``resamples`` and ``max_iter``.
    level : float
        Share of the draws, or of the pairs of encoders, between the limits that a row states.
    seed : int
    """
    ours, rows = one.strata.labels, []
    drawn = _draws(one, groups, strata, seed)
    rows.append(_row("bootstrap_ari", [adjusted_rand(ours, labels) for labels in drawn], level))
    folds = [part.labels for source, part in one.parts.items() if source != FINAL]
    # Two encoders that find nothing would agree perfectly.
    compared_folds = [(a, b) for a, b in combinations(folds, 2) if max(a.max(), b.max()) > 1]
    rows.append(_row("fold_ari", [adjusted_rand(a, b) for a, b in compared_folds], level))
    rng = np.random.default_rng(seed_of(seed, "random"))
    n_random = strata["resamples"] if one.strata.n > 1 else 0
    chance = [adjusted_rand(ours, rng.permutation(ours)) for _ in range(n_random)]
    rows.append(_row("random_ari", chance, level))
    if one.source != FINAL and FINAL in one.parts:
        rows.append(compared("final_ari", ours, one.parts[FINAL].labels))
    met = [shares(co_assignment([labels]), ours) for labels in drawn]
    return Stability(tuple(rows), np.mean(met, axis=0) if met else None)


def k_means(one: Clustered, *, seed: int) -> Labels:
    """Return as many clusters as there are strata by k-means, of the final encoder's points if they are there."""
    source = FINAL if FINAL in one.points else next(iter(one.points))
    model = KMeans(n_clusters=one.strata.n, n_init=10, random_state=seed_of(seed, "k_means"))
    return by_size(model.fit_predict(one.points[source]))[1]


def compared(what: str, first: Labels, second: Labels, *, configuration: str = "") -> Row:
    """Return the row of another partition of the same patients."""
    row: Row = {"what": what, "configuration": configuration, "estimate": adjusted_rand(first, second)}
    return row | {"ci_low": None, "ci_high": None, "n": len(first), "n_strata": int(second.max(initial=0))}


def others_compared(
    ids: Sequence[str], ours: Labels, others: Others, strata: Mapping[str, Any], *, seed: int
) -> list[Row]:
    """Return a row for each other system: the adjusted Rand index of its strata with ours, on patients of both."""
    rows = []
    for configuration, (there, codes) in others.items():
        place = {who: i for i, who in enumerate(there)}
        both = [i for i, who in enumerate(ids) if who in place]
        labels = clustered(codes, strata, seed=seed).strata.labels
        shared = labels[[place[ids[i]] for i in both]]
        row = compared("other_ari", ours[both], shared, configuration=configuration)
        rows.append(row | {"n_strata": int(labels.max(initial=0))})
    return rows


def _draws(one: Clustered, groups: Sequence[str], strata: Mapping[str, Any], seed: int) -> list[Labels]:
    rows = rows_of(list(groups))
    rng = np.random.default_rng(seed_of(seed, "bootstrap"))
    found = []
    for _ in range(strata["resamples"] if one.strata.n > 1 else 0):
        # Someone who is drawn twice is no second patient: equal points would only be ties.
        chosen = np.sort(rows.of(np.unique(rng.integers(0, rows.n, size=rows.n))))
        labels = again(one, chosen, max_iter=strata["max_iter"], seed=seed)
        if labels is not None:
            found.append(labels)
    return found


def _row(what: str, values: Sequence[float], level: float) -> Row:
    row: Row = {"what": what, "configuration": "", "estimate": None, "ci_low": None, "ci_high": None}
    row |= {"n": len(values), "n_strata": None}
    if values:
        row["estimate"] = float(np.mean(values))
    if len(values) > 1:
        tail = (1 - level) / 2
        row |= {"ci_low": float(np.quantile(values, tail)), "ci_high": float(np.quantile(values, 1 - tail))}
    return row
