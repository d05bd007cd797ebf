"""Whether groups differ: rank and table tests, what they amount to, pairs, and a null by exchange of patients."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import stats
from statsmodels.stats.multitest import multipletests

from reperfuse.evaluation.inputs import ArrayLike, Floats
from reperfuse.evaluation.resampling import rows_of

Indices = npt.NDArray[np.int64]
BLOCK = 500


@dataclass(frozen=True)
class Test:
    """One variable over groups.

    Parameters
    ----------
    statistic : float or None
        H of Kruskal and Wallis or χ²; None where it cannot be had.
    df : int
    p : float or None
        By the χ² distribution.
    effect : float or None
        ε² of ranks, Cramér's V of tables.
    n : int
        Rows with a value.
    """

    __test__ = False  # not pytest's

    statistic: float | None
    df: int
    p: float | None
    effect: float | None
    n: int


def kruskal_wallis(values: ArrayLike, groups: ArrayLike) -> Test:
    """Test whether values differ between groups, by ranks corrected for ties (Kruskal and Wallis 1952).

    Parameters
    ----------
    values : array of float, shape (n,)
        NaN where it is not known; such rows are left out.
    groups : array, shape (n,)
        ε² is H/(n − 1) (Tomczak and Tomczak 2014).
    """
    x, g = _known(values, groups)
    n, k = len(x), len(np.unique(g))
    if k < 2 or n < 3 or np.ptp(x) == 0:
        return Test(None, max(k - 1, 0), None, None, n)
    h, p = stats.kruskal(*(x[g == one] for one in np.unique(g)))
    return Test(float(h), k - 1, float(p), epsilon_squared(float(h), n), n)


def epsilon_squared(h: float, n: int) -> float:
    """Return ε² = H/(n − 1), the share of the ranks' variance that lies between groups."""
    return h / (n - 1)


def chi_squared(values: Sequence[Any], groups: ArrayLike) -> Test:
    """Test whether the levels of a variable are shared out alike in all groups; None is left out.

    The effect is Cramér's V. Where cells expect few the χ² distribution does not hold; take the p of `null`.
    """
    levels, g = _levels(values), np.asarray(groups)
    known = levels >= 0
    table = np.array(
        [np.bincount(levels[known & (g == one)], minlength=levels.max(initial=0) + 1) for one in np.unique(g)]
    )
    table = table[table.sum(axis=1) > 0]
    n = int(known.sum())
    if min(table.shape) < 2:
        return Test(None, 0, None, None, n)
    found = stats.chi2_contingency(table, correction=False)
    v = float(np.sqrt(found.statistic / (n * (min(table.shape) - 1))))
    return Test(float(found.statistic), int(found.dof), float(found.pvalue), v, n)


def dunn_holm(values: ArrayLike, groups: ArrayLike) -> list[dict[str, Any]]:
    """Compare every two groups by mean ranks (Dunn 1964, doi 10.1080/00401706.1964.10490181), p values by Holm.

    z = (R̄_a − R̄_b) / √((n(n+1)/12 − Σ(t³−t)/(12(n−1))) (1/n_a + 1/n_b)), with t the sizes of ties.

    Returns
    -------
    list of dict
        first, second, z, p, p_holm, median_first, median_second.
    """
    x, g = _known(values, groups)
    n = len(x)
    names = np.unique(g)
    if len(names) < 2 or n < 3 or np.ptp(x) == 0:
        return []
    ranks = stats.rankdata(x)
    _, ties = np.unique(x, return_counts=True)
    variance = n * (n + 1) / 12 - float((ties**3.0 - ties).sum()) / (12 * (n - 1))
    rows = []
    for a, b in combinations(names, 2):
        one, two = g == a, g == b
        z = (ranks[one].mean() - ranks[two].mean()) / np.sqrt(variance * (1 / one.sum() + 1 / two.sum()))
        medians = {"median_first": float(np.median(x[one])), "median_second": float(np.median(x[two]))}
        pair = {"first": a.item(), "second": b.item(), "z": float(z), "p": float(2 * stats.norm.sf(abs(z)))}
        rows.append(pair | medians)
    holm = multipletests([row["p"] for row in rows], method="holm")[1]
    return [row | {"p_holm": float(p)} for row, p in zip(rows, holm, strict=True)]


def exchanges(blocks: Sequence[Any], cells: Sequence[Any], *, draws: int, seed: int) -> Iterator[Indices]:
    """Yield orders of rows, at most 500 at a time, in which only rows that may stand for each other are exchanged.

    The members of a block (a family) depend on each other, so that they neither may be spread over other blocks nor
    be fixed. As in whole- and within-block exchangeability (Winkler and others 2015,
    doi 10.1016/j.neuroimage.2015.05.092) a draw exchanges blocks of equal size as wholes, and shuffles the members
    within each; with blocks of one it is a plain shuffle. With ``cells`` (sex and age, say) only blocks whose
    members have the same cells, in whatever order, are exchanged, and members within a block only with their like.

    Parameters
    ----------
    blocks, cells : sequence, length n
        Of each row.
    draws, seed : int

    Yields
    ------
    array of int, shape (up to 500, n)
        ``labels[order]`` are labels under the null.
    """
    rows = rows_of(list(blocks))
    names = np.asarray([str(one) for one in cells])
    # Within a block rows stand in the order of their cells, so that like meets like when blocks are exchanged.
    members = [
        one[np.argsort(names[one], kind="stable")] for one in np.split(rows.order, np.cumsum(rows.size)[:-1])
    ]
    alike: dict[tuple[str, ...], list[Indices]] = {}
    for one in members:
        alike.setdefault(tuple(names[one]), []).append(one)
    kinds = [(np.array(same), _runs(kind)) for kind, same in sorted(alike.items())]
    rng = np.random.default_rng(seed)
    for start in range(0, draws, BLOCK):
        size = min(BLOCK, draws - start)
        order = np.tile(np.arange(len(names)), (size, 1))
        for same, runs in kinds:
            giver = rng.permuted(np.tile(np.arange(len(same)), (size, 1)), axis=1)
            taken = same[giver]  # (size, blocks, members)
            for run in runs:
                taken[:, :, run] = rng.permuted(taken[:, :, run], axis=2)
            order[:, same.ravel()] = taken.reshape(size, -1)
        yield order


def null_of(
    numbers: Floats, tables: Sequence[Sequence[Any]], labels: ArrayLike, orders: Iterator[Indices]
) -> tuple[Floats, Floats]:
    """Return the statistics under the null.

    Parameters
    ----------
    numbers : array of float, shape (n, f)
        Variables for `kruskal_wallis`; NaN where a value is not known.
    tables : sequence of f2 sequences, length n
        Variables for `chi_squared`; None where it is not known.
    labels : array of int, shape (n,)
        Groups.
    orders : iterator
        Of `exchanges` over the same rows.

    Returns
    -------
    h : array, shape (draws, f)
    chi2 : array, shape (draws, f2)
    """
    g = np.asarray(labels)
    known = np.isfinite(numbers)
    ranks = np.zeros(numbers.shape)
    ties = np.ones(numbers.shape[1])
    for j in range(numbers.shape[1]):
        ranks[known[:, j], j] = stats.rankdata(numbers[known[:, j], j])
        ties[j] = stats.tiecorrect(ranks[known[:, j], j])
    coded = [_levels(values) for values in tables]
    hot = [np.eye(code.max(initial=0) + 1)[code] * (code >= 0)[:, None] for code in coded]
    h, chi = [], []
    for order in orders:
        drawn = g[order]
        member = [(drawn == one).astype(np.float64) for one in np.unique(g)]
        h.append(_h(member, ranks, known.astype(np.float64), ties))
        chi.append(np.stack([_chi(member, one) for one in hot], axis=1) if hot else np.empty((len(drawn), 0)))
    return np.concatenate(h), np.concatenate(chi)


def p_of(observed: float | None, null: Floats) -> float | None:
    """Return the share of draws that reach what was observed, which is counted as one of them."""
    if observed is None or not len(null):
        return None
    return float((1 + np.sum(null >= observed - 1e-9 * max(1.0, abs(observed)))) / (1 + len(null)))


def _h(member: Sequence[Floats], ranks: Floats, known: Floats, ties: Floats) -> Floats:
    n = known.sum(axis=0)
    total: Any = 0.0
    for one in member:
        size = one @ known
        total = total + np.divide((one @ ranks) ** 2, size, out=np.zeros_like(size), where=size > 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.nan_to_num((12 / (n * (n + 1)) * total - 3 * (n + 1)) / ties)


def _chi(member: Sequence[Floats], hot: Floats) -> Floats:
    levels = hot.sum(axis=0)
    n = levels.sum()
    found: Any = 0.0
    for one in member:
        seen = one @ hot
        expected = seen.sum(axis=1, keepdims=True) * levels / n
        found = found + np.divide(
            (seen - expected) ** 2, expected, out=np.zeros_like(seen), where=expected > 0
        ).sum(axis=1)
    return np.asarray(found)


def _known(values: ArrayLike, groups: ArrayLike) -> tuple[Floats, npt.NDArray[Any]]:
    x, g = np.asarray(values, dtype=np.float64), np.asarray(groups)
    known = np.isfinite(x)
    return x[known], g[known]


def _levels(values: Sequence[Any]) -> Indices:
    """Return the number of each value's level in sorted order, −1 for None."""
    place: Mapping[str, int] = {
        one: i for i, one in enumerate(sorted({str(v) for v in values if v is not None}))
    }
    return np.array([-1 if v is None else place[str(v)] for v in values], dtype=np.int64)


def _runs(kind: Sequence[str]) -> list[slice]:
    """Return the runs of equal entries that are longer than one."""
    edges = [0, *(i for i in range(1, len(kind)) if kind[i] != kind[i - 1]), len(kind)]
    return [slice(a, b) for a, b in pairwise(edges) if b - a > 1]
