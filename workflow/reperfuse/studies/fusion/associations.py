"""Whether strata differ in factors and variables, and whether they do so beyond chance."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import stats

from reperfuse.core.seeds import seed_of
from reperfuse.evaluation import ranks
from reperfuse.evaluation.inputs import Floats
from reperfuse.studies.fusion.phenotypes import Factors, Singles

Labels = npt.NDArray[np.int64]
Row = dict[str, Any]
# Ages between which patients may stand for each other in the null of `sex_age`: quarters of the cohort.
AGE_QUANTILES = (0.25, 0.5, 0.75)


@dataclass(frozen=True)
class Tested:
    """One partition against everything that is known.

    Parameters
    ----------
    rows : tuple of dict
        Of `associations.tsv`.
    significant : tuple of str
        Factors below the false discovery rate.
    p_n_significant : float or None
        How often strata that were exchanged between patients have as many significant factors.
    """

    rows: tuple[Row, ...]
    significant: tuple[str, ...]
    p_n_significant: float | None


def blocks_of(
    within: str, ids: Sequence[str], clinical: Mapping[str, Mapping[str, Any]], groups: Mapping[str, str]
) -> tuple[list[str], list[str]]:
    """Return block and cell of each patient for `reperfuse.evaluation.ranks.exchanges`.

    ``family`` exchanges families of equal size as wholes and members within a family; ``sex_age`` patients of the same
    sex and quarter of age, whatever their family; ``none`` everybody.
    """
    alone = [f"patient {who}" for who in ids]
    if within == "family":
        return [
            f"family {groups[who]}" if who in groups else one for who, one in zip(ids, alone, strict=True)
        ], [""] * len(ids)
    if within == "none":
        return alone, [""] * len(ids)
    ages = [clinical.get(who, {}).get("age") for who in ids]
    known = [age for age in ages if age is not None]
    edges = np.quantile(known, AGE_QUANTILES) if known else np.zeros(0)
    quarter = ["" if age is None else str(int(np.searchsorted(edges, age, "right"))) for age in ages]
    return alone, [f"{clinical.get(w, {}).get('sex', '')} {q}" for w, q in zip(ids, quarter, strict=True)]


def tested(
    labels: Labels,
    factors: Factors,
    singles: Singles,
    *,
    analysis: str,
    blocks: Sequence[str],
    cells: Sequence[str],
    statistics: Mapping[str, Any],
    seed: int,
) -> Tested:
    """Test a partition.

    Factors and numbers by ranks (Kruskal and Wallis; effect ε²), levels by tables (χ²; effect Cramér's V), which have
    the p of the null for their own, because cells may expect few. The false discovery rate (Benjamini and Hochberg)
    is held among factors, and among variables apart.

    Parameters
    ----------
    labels : array of int, shape (n,)
        From 1; 0 for who is in no group, and then left out.
    factors, singles
        Of the same patients.
    analysis : str
        First column of the rows.
    blocks, cells : sequence of str, length n
        See `blocks_of`.
    statistics : mapping
        ``studies.fusion.statistics``: ``permutations``, ``fdr``.
    seed : int
    """
    here = np.flatnonzero(labels > 0)
    groups, rate = labels[here], statistics["fdr"]
    numbers = {name: factors.scores[here, i] for i, name in enumerate(factors.names)}
    numbers |= {name: column[here] for name, column in singles.numbers.items()}
    tables = {name: [column[i] for i in here] for name, column in singles.tables.items()}
    if len(np.unique(groups)) < 2:
        return Tested((), (), None)
    h0, chi0 = _null(
        numbers, tables, groups, [blocks[i] for i in here], [cells[i] for i in here], statistics, seed
    )
    n_factors = len(factors.names)
    first: list[Row] = []
    variables: list[Row] = []
    for i, (name, column) in enumerate(numbers.items()):
        what = "factor" if i < n_factors else "variable"
        found = ranks.kruskal_wallis(column, groups)
        row = _row(analysis, what, name, "kruskal_wallis", found, ranks.p_of(found.statistic, h0[:, i]))
        (first if i < n_factors else variables).append(row)
    for i, (name, levels) in enumerate(tables.items()):
        found = ranks.chi_squared(levels, groups)
        p = ranks.p_of(found.statistic, chi0[:, i])
        row = _row(analysis, "variable", name, "chi_squared", found, p)
        variables.append(row | {"p": row["p"] if p is None else p})
    _discoveries(first, rate)
    _discoveries(variables, rate)
    significant = tuple(row["name"] for row in first if row["significant"])
    chance = None
    if n_factors and len(h0):
        df = np.array([max(row["df"], 1) for row in first])
        drawn = stats.false_discovery_control(stats.chi2.sf(h0[:, :n_factors], df), axis=1)
        usual = stats.false_discovery_control([1.0 if row["p"] is None else row["p"] for row in first])
        chance = ranks.p_of(float((usual < rate).sum()), (drawn < rate).sum(axis=1).astype(float))
    return Tested(tuple(first + variables), significant, chance)


def pairs(labels: Labels, factors: Factors, singles: Singles, rows: Sequence[Row]) -> list[Row]:
    """Return Dunn's comparisons of every two strata for whatever differs between strata by ranks."""
    columns = {name: factors.scores[:, i] for i, name in enumerate(factors.names)} | dict(singles.numbers)
    return [
        {"name": row["name"]} | pair
        for row in rows
        if row["significant"] and row["test"] == "kruskal_wallis"
        for pair in ranks.dunn_holm(columns[row["name"]], labels)
    ]


def by_volume(volumes: Floats, n: int) -> Labels:
    """Return groups of equal frequency by volume (n,), from 1, the smallest; 0 where a volume is not known."""
    known = np.isfinite(volumes)
    found = np.zeros(len(volumes), dtype=np.int64)
    if known.any():
        # Equal volumes stay together, in the group of the middle one of them.
        middle = stats.rankdata(volumes[known]) - 0.5
        found[known] = np.minimum((middle * n / known.sum()).astype(np.int64) + 1, n)
    return found


def _null(
    numbers: Mapping[str, Floats],
    tables: Mapping[str, Sequence[str | None]],
    groups: Labels,
    blocks: Sequence[str],
    cells: Sequence[str],
    statistics: Mapping[str, Any],
    seed: int,
) -> tuple[Floats, Floats]:
    draws = statistics["permutations"]
    if not draws or not (numbers or tables):
        return np.empty((0, len(numbers))), np.empty((0, len(tables)))
    orders: Iterator[Any] = ranks.exchanges(blocks, cells, draws=draws, seed=seed_of(seed, "null"))
    matrix = np.column_stack(list(numbers.values())) if numbers else np.empty((len(groups), 0))
    return ranks.null_of(matrix, list(tables.values()), groups, orders)


def _row(
    analysis: str, what: str, name: str, test: str, found: ranks.Test, p_permutation: float | None
) -> Row:
    effect = "epsilon_squared" if test == "kruskal_wallis" else "cramers_v"
    return {
        "analysis": analysis, "what": what, "name": name, "test": test, "statistic": found.statistic,
        "df": found.df, "p": found.p, "q": None, "effect": found.effect, "effect_name": effect,
        "p_permutation": p_permutation, "n": found.n, "significant": 0,
    }  # fmt: skip


def _discoveries(rows: list[Row], rate: float) -> None:
    """Fill in q and what is significant."""
    known = [row for row in rows if row["p"] is not None]
    if known:
        # Of relatives the χ² distribution takes each for a patient of its own; the permutation does not.
        values = [row["p"] if row["p_permutation"] is None else row["p_permutation"] for row in known]
        for row, q in zip(known, stats.false_discovery_control(values), strict=True):
            row |= {"q": float(q), "significant": int(q < rate)}
