from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from scipy import stats

from reperfuse.evaluation import ranks

# Hollander and Wolfe 1973, page 116: mucociliary efficiency of normal subjects, obstructive disease, asbestosis.
MUCUS = np.array([2.9, 3.0, 2.5, 2.6, 3.2, 3.8, 2.7, 4.0, 2.4, 2.8, 3.4, 3.7, 2.2, 2.0])
WHO = np.repeat([1, 2, 3], [5, 4, 5])


def test_kruskal_wallis_of_a_published_example():
    found = ranks.kruskal_wallis(MUCUS, WHO)
    assert found.statistic == pytest.approx(0.77143, abs=1e-5)
    assert (found.df, found.n) == (2, 14)
    assert found.p == pytest.approx(0.68, abs=1e-3)
    assert found.effect == pytest.approx(0.77143 / 13, abs=1e-6)


def test_values_that_are_not_known_are_left_out():
    values, groups = np.append(MUCUS, [np.nan, np.nan]), np.append(WHO, [1, 9])
    assert ranks.kruskal_wallis(values, groups) == ranks.kruskal_wallis(MUCUS, WHO)


@pytest.mark.parametrize("values", [np.ones(14), np.full(14, np.nan)])
def test_one_level_has_no_statistic(values):
    assert ranks.kruskal_wallis(values, WHO).statistic is None
    assert ranks.dunn_holm(values, WHO) == []


def test_dunn_agrees_with_the_worked_formula_and_with_two_groups_squared():
    rng = np.random.default_rng(0)
    values = rng.integers(0, 6, size=40).astype(float)
    two = np.repeat([1, 2], 20)
    (pair,) = ranks.dunn_holm(values, two)
    # With two groups Dunn's z² is H, ties and all.
    assert pair["z"] ** 2 == pytest.approx(ranks.kruskal_wallis(values, two).statistic)
    assert pair["p_holm"] == pair["p"] == pytest.approx(2 * stats.norm.sf(abs(pair["z"])))


def test_dunn_of_an_example_without_ties():
    found = {(row["first"], row["second"]): row for row in ranks.dunn_holm(MUCUS, WHO)}
    # By hand: mean ranks 7.2, 9 and 6.6 of 14, so that the variance of a rank is 14 · 15 / 12 = 17.5.
    assert found[1, 2]["z"] == pytest.approx((7.2 - 9) / np.sqrt(17.5 * (1 / 5 + 1 / 4)))
    assert found[1, 3]["z"] == pytest.approx((7.2 - 6.6) / np.sqrt(17.5 * (1 / 5 + 1 / 5)))
    assert found[2, 3]["z"] == pytest.approx((9 - 6.6) / np.sqrt(17.5 * (1 / 4 + 1 / 5)))
    assert found[2, 3]["p_holm"] == pytest.approx(min(3 * found[2, 3]["p"], 1))
    assert found[1, 2]["median_first"] == 2.9


def test_holm_steps_down():
    rng = np.random.default_rng(1)
    groups = np.repeat([1, 2, 3], 30)
    rows = ranks.dunn_holm(rng.normal(size=90) + (groups == 3), groups)
    p = np.sort([row["p"] for row in rows])
    expected = np.minimum(np.maximum.accumulate(p * [3, 2, 1]), 1)
    np.testing.assert_allclose(np.sort([row["p_holm"] for row in rows]), expected)


def test_chi_squared_and_cramers_v():
    values = ["a"] * 10 + ["b"] * 10 + [None] * 5
    perfect = ranks.chi_squared(values, [1] * 10 + [2] * 15)
    assert perfect.statistic == pytest.approx(20) and perfect.effect == pytest.approx(1)
    assert perfect.n == 20
    assert ranks.chi_squared(["a"] * 6, [1, 1, 1, 2, 2, 2]).statistic is None
    assert ranks.chi_squared([None] * 6, [1, 1, 1, 2, 2, 2]).statistic is None


def test_the_null_of_unmoved_labels_is_what_was_observed():
    rng = np.random.default_rng(2)
    labels = rng.integers(1, 4, size=50)
    numbers = rng.integers(0, 5, size=(50, 3)).astype(float)
    numbers[::7, 1] = np.nan
    levels = [None if i % 9 == 0 else "abc"[i % 3] for i in range(50)]
    h, chi = ranks.null_of(numbers, [levels], labels, iter([np.arange(50)[None, :]]))
    expected = [ranks.kruskal_wallis(numbers[:, j], labels).statistic for j in range(3)]
    np.testing.assert_allclose(h[0], expected)
    assert chi[0, 0] == pytest.approx(ranks.chi_squared(levels, labels).statistic)


def test_families_are_exchanged_as_wholes_and_within():
    blocks = ["a", "a", "b", "b", "c", "d", "e"]
    (orders,) = ranks.exchanges(blocks, [""] * 7, draws=400, seed=0)
    assert orders.shape == (400, 7)
    assert (np.sort(orders, axis=1) == np.arange(7)).all()
    pairs = {tuple(row) for row in orders[:, :2]}
    assert pairs == {(0, 1), (1, 0), (2, 3), (3, 2)}
    assert {tuple(row) for row in orders[:, 4:]} == set(permutations((4, 5, 6)))


def test_only_the_same_cells_are_exchanged():
    cells = ["F 1", "F 1", "M 1", "M 1", "M 1", "F 2"]
    (orders,) = ranks.exchanges(range(6), cells, draws=300, seed=0)
    assert set(np.unique(orders[:, :2])) == {0, 1}
    assert {tuple(row) for row in orders[:, 2:5]} == set(permutations((2, 3, 4)))
    assert (orders[:, 5] == 5).all()


def test_draws_come_in_parts_and_are_as_many_as_asked_for():
    parts = list(ranks.exchanges(range(9), [""] * 9, draws=1100, seed=0))
    assert [len(one) for one in parts] == [500, 500, 100]


def share_rejected(within_families: bool, n_simulations: int = 200) -> float:
    """Relatives share both stratum and phenotype, which have nothing to do with each other."""
    rng = np.random.default_rng(7)
    family = np.repeat(np.arange(40), 2)
    rejected = 0
    for draw in range(n_simulations):
        strata = rng.integers(1, 4, size=40)[family]
        values = (rng.normal(size=40)[family] + 0.3 * rng.normal(size=80))[:, None]
        blocks = family if within_families else range(80)
        orders = ranks.exchanges(blocks, [""] * 80, draws=199, seed=draw)
        h, _ = ranks.null_of(values, [], strata, orders)
        observed = ranks.kruskal_wallis(values[:, 0], strata).statistic
        rejected += ranks.p_of(observed, h[:, 0]) <= 0.05
    return rejected / n_simulations


def test_the_null_within_families_holds_its_level_where_a_plain_one_does_not():
    # Two binomial standard errors of 5 % in 200 simulations are 3 %.
    assert share_rejected(within_families=True) <= 0.08
    assert share_rejected(within_families=False) > 0.15
