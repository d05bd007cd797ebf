from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reperfuse.phantom import oracle
from reperfuse.phantom.scalars import FACTORS, ITEMS, PLANTED, missing, nihss_items, simulate

N = 20_000


@pytest.fixture(scope="module")
def table():
    return simulate(N, 7)


# Science reference, appendix B (n = 200 000); here within three standard errors of n = 20 000.
@pytest.mark.parametrize(
    ("figure", "expected", "tolerance"),
    [
        ("minor_share", 0.454, 0.011),
        ("favourable_share", 0.535, 0.011),
        ("ht_share", 41 / 155, 0.015),
        ("auc_log_v0", 0.762, 0.011),
        ("auc_log_v1", 0.821, 0.010),
        ("auc_j0_block", 0.785, 0.010),
        ("auc_j1_block", 0.843, 0.009),
        ("auc_log_v0_non_minor", 0.825, 0.010),
    ],
)
def test_large_sample_figures(table, figure, expected, tolerance):
    assert oracle.references(table)[figure] == pytest.approx(expected, abs=tolerance)


def test_a_patient_does_not_depend_on_how_many_there_are():
    small, large = simulate(3, 5), simulate(8, 5)
    for name, values in small.items():
        np.testing.assert_array_equal(values, large[name][:3], err_msg=name)
    assert not np.array_equal(simulate(3, 6)["log_v0"], small["log_v0"])


@given(st.integers(0, 42), st.sampled_from([-1, 1]), st.integers(0, 2**32 - 1))
def test_items_add_up_and_stay_in_range(total, side, seed):
    items = nihss_items(total, side, np.random.default_rng(seed))
    assert sum(items.values()) == total
    assert all(0 <= items[name] <= most for name, most, *_ in ITEMS)


def test_left_lesions_weaken_the_right_side_and_score_higher(table):
    rng = np.random.default_rng(0)
    left = [nihss_items(12, 1, rng) for _ in range(200)]
    assert np.mean([i["5b"] for i in left]) > 5 * np.mean([i["5a"] for i in left])
    clear = (table["nihss"] > 0) & (table["nihss"] < 42)
    residual = table["nihss"] - 2.6 * table["log_v0"]
    gap = residual[clear & (table["side"] == 1)].mean() - residual[clear & (table["side"] == -1)].mean()
    assert 1.2 < gap < 2.2


def test_three_factors_carry_the_strata(table):
    eta = {name: oracle.eta_squared(table[f"factor_{name}"], table["stratum"]) for name in FACTORS}
    carriers = PLANTED["strata"]["factors"]
    assert all(eta[name] == pytest.approx(0.1, abs=0.015) for name in carriers)
    assert all(eta[name] < 0.002 for name in FACTORS if name not in carriers)
    assert np.corrcoef(table["memory_1"], table["memory_2"])[0, 1] == pytest.approx(0.85**2, abs=0.02)


def test_families_are_pairs_whose_anatomy_correlates(table):
    sizes = np.bincount(table["family"])
    assert set(np.unique(sizes[sizes > 0])) == {1, 2}
    related = np.flatnonzero(table["u_related"][::2] == 1) * 2
    r = np.corrcoef(table["z_axis_x"][related], table["z_axis_x"][related + 1])[0, 1]
    assert r == pytest.approx(PLANTED["sibling_correlation"], abs=0.05)
    assert table["z_axis_x"].std() == pytest.approx(1, abs=0.02)


def test_missing_images_nest_and_pwi_depends_on_severity(table):
    rates = {"pwi": 0.1, "flair": 0.2, "gre": 0.0}
    rest = {"pwi_missing_other": 0.1, "minor_max": 4, "left_before_j1": 0.05}
    few = missing(table, mcar=rates, pwi_missing_mild=0.5, **rest)
    many = missing(table, mcar={**rates, "flair": 0.4}, pwi_missing_mild=0.5, **rest)
    assert few["flair"].mean() == pytest.approx(0.2, abs=0.01)
    assert not few["gre"].any() and not (few["flair"] & ~many["flair"]).any()
    mild = table["nihss"] <= 4
    assert few["pwi"][mild].mean() == pytest.approx(1 - 0.9 * 0.5, abs=0.015)
    assert few["pwi"][~mild].mean() == pytest.approx(1 - 0.9 * 0.9, abs=0.015)
    assert (table["mrs"][few["j1"] & (table["died_before_j1"] == 1)] == 6).all()


def test_oracles_lie_in_their_bands(table):
    assert 0.84 < oracle.outcome(table) < 0.86
    assert 0.83 < oracle.severity(table) < 0.86
    assert 0.69 < oracle.fusion(table) < 0.73
    assert 0.83 < oracle.transformation(N, 3) < 0.86
    assert 0.93 < oracle.imputation(N, 3, snr=40.0, bias_sd=0.08, b_s_mm2=1000.0) < 0.97


def test_bayes_scores_are_calibrated_and_one_class_has_no_auc(table):
    scores = oracle.scores(table)
    for name, label in (
        ("outcome_j0", table["favourable"]), ("outcome_j1", table["favourable"]),
        ("severity", table["nihss"] > 4)
    ):  # fmt: skip
        high = scores[name] > 0.8
        assert label[high].mean() == pytest.approx(scores[name][high].mean(), abs=0.02), name
    assert np.isnan(oracle.auc(np.arange(4.0), np.ones(4)))
    assert oracle.auc(np.array([1.0, 1.0, 0.0, 2.0]), np.array([0, 1, 0, 1])) == 0.875


def test_the_cohort_is_frozen():
    """Later work is judged against these patients; a change here is a change of the reference."""
    table = simulate(4, 1)
    np.testing.assert_allclose(table["log_v0"], [1.5576, 1.1614, 2.8891, 4.5848], atol=1e-4)
    np.testing.assert_allclose(table["log_v1"], [2.7589, 1.9574, 3.1427, 5.3032], atol=1e-4)
    np.testing.assert_allclose(table["age"], [54.4523, 71.9133, 67.6297, 84.8841], atol=1e-4)
    for name, expected in (
        ("nihss", [3, 0, 8, 16]), ("mrs", [0, 0, 0, 6]), ("ht", [0, 0, 0, 1]), ("stratum", [1, 1, 0, 1]),
        ("site", [0, 2, 3, 1]),
    ):  # fmt: skip
        assert table[name].tolist() == expected, name
