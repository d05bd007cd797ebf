from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import stats

from reperfuse.evaluation.discrimination import auc_interval
from reperfuse.evaluation.subgroups import bands, by_level, heterogeneity


def cohort(n: int, *, seed: int, gain: float = 1.5) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    y = np.arange(n) % 2
    return y, 1 / (1 + np.exp(-(gain * (y - 0.5) + rng.normal(size=n))))


def test_bands_hold_their_lower_edge() -> None:
    found = bands([59.9, 60, 74.99, 75, None, float("nan"), -3], [60, 75], unit="")
    assert found == ["< 60", "60 to 75", "60 to 75", ">= 75", "not known", "not known", "< 60"]
    assert bands([3, 5], [4.5], unit="h") == ["< 4.5 h", ">= 4.5 h"]


@pytest.mark.parametrize("edges", [[], [75, 60], [60, 60]])
def test_edges_must_increase(edges: list[float]) -> None:
    with pytest.raises(ValueError, match="edges"):
        bands([1.0], edges, unit="")


def test_each_level_is_judged_on_its_own_patients() -> None:
    y, probability = cohort(90, seed=0)
    sex = ["female" if i % 3 else "male" for i in range(90)]
    age = bands([float(i) for i in range(90)], [9, 45, 75], unit="years")
    rows = by_level(y, probability, np.arange(90), {"sex": sex, "age": age}, minimum=5, level=0.9)
    assert [(row["variable"], row["level"], row["n"], row["n_positive"]) for row in rows] == [
        ("sex", "female", 60, 30),
        ("sex", "male", 30, 15),
        ("age", "< 9 years", 9, 4),
        ("age", "9 to 45 years", 36, 18),
        ("age", "45 to 75 years", 30, 15),
        ("age", ">= 75 years", 15, 8),
    ]
    here = np.array(sex) == "female"
    wanted = auc_interval(y[here], probability[here], level=0.9)
    assert (rows[0]["auc"], rows[0]["ci_low"], rows[0]["ci_high"]) == (wanted.value, wanted.low, wanted.high)
    assert rows[0]["brier"] == pytest.approx(((probability - y)[here] ** 2).mean())


def test_levels_with_few_of_a_class_have_no_auc_but_a_brier_score() -> None:
    y, probability = cohort(40, seed=1)
    scanner = [None] * 6 + ["a"] * 30 + [""] * 2 + ["b"] * 2
    rows = by_level(y, probability, np.arange(40), {"scanner": scanner}, minimum=4, level=0.95)
    assert [row["level"] for row in rows] == ["a", "b", "not known"]
    assert [row["auc"] is None for row in rows] == [False, True, False]
    assert (rows[1]["ci_low"], rows[1]["ci_high"]) == (None, None) and rows[1]["brier"] > 0
    one_class = by_level([1, 1], [0.5, 0.6], [1, 2], {"a": ["x", "x"]}, minimum=0, level=0.95)
    assert one_class[0]["auc"] is None


def test_patients_are_counted_not_rows_and_their_rows_make_no_interval() -> None:
    y, probability = (np.repeat(one, 3) for one in cohort(20, seed=2))
    rows = by_level(y, probability, np.repeat(np.arange(20), 3), {"a": ["x"] * 60}, minimum=10, level=0.95)
    assert (rows[0]["n"], rows[0]["n_positive"]) == (20, 10)
    assert rows[0]["auc"] is not None and rows[0]["ci_low"] is None
    too_few = by_level(y, probability, np.repeat(np.arange(20), 3), {"a": ["x"] * 60}, minimum=11, level=0.95)
    assert too_few[0]["auc"] is None


def level_row(name: str, centre: float, error: float, **changes: Any) -> dict[str, Any]:
    z = stats.norm.ppf(0.975)
    auc, low, high = (1 / (1 + np.exp(-(centre + k * z * error))) for k in (0, -1, 1))
    return {"variable": "sex", "level": name, "auc": auc, "ci_low": low, "ci_high": high, **changes}


def test_heterogeneity_by_hand() -> None:
    rows = [level_row("a", 0.5, 0.2), level_row("b", 1.5, 0.4)]
    q = 1.0**2 / (0.2**2 + 0.4**2)  # two levels: the squared difference over its variance
    assert heterogeneity(rows, level=0.95) == pytest.approx(stats.chi2.sf(q, 1))
    extra = [
        level_row("not known", 9, 0.1),
        level_row("c", 9, 0.1, auc=None, ci_low=None, ci_high=None),
        level_row("d", 9, 0.1, auc=1.0, ci_low=0.7, ci_high=1.0),
        level_row("e", 9, 0.1, ci_low=None, ci_high=None),
    ]
    assert heterogeneity(rows + extra, level=0.95) == heterogeneity(rows, level=0.95)
    assert heterogeneity(rows[:1] + extra, level=0.95) is None
    assert heterogeneity([], level=0.95) is None


def test_heterogeneity_is_uniform_without_and_found_with_a_difference() -> None:
    found = []
    for seed in range(120):
        y, probability = cohort(200, seed=seed)
        side = ["left" if i // 2 % 2 else "right" for i in range(200)]
        rows = by_level(y, probability, np.arange(200), {"side": side}, minimum=10, level=0.95)
        found.append(heterogeneity(rows, level=0.95))
    assert stats.kstest(found, "uniform").pvalue > 0.001
    y, probability = cohort(200, seed=0, gain=3)
    probability[:100] = np.random.default_rng(1).random(100)
    half = by_level(y, probability, np.arange(200), {"h": ["a"] * 100 + ["b"] * 100}, minimum=10, level=0.95)
    p = heterogeneity(half, level=0.95)
    assert p is not None and p < 0.001


def test_bad_arguments_are_refused() -> None:
    with pytest.raises(ValueError, match="expected one variable"):
        heterogeneity([{"variable": "a"}, {"variable": "b"}], level=0.95)
    with pytest.raises(ValueError, match="sex has 1 levels"):
        by_level([0, 1], [0.1, 0.2], [1, 2], {"sex": ["f"]}, minimum=1, level=0.95)
    with pytest.raises(ValueError, match="groups"):
        by_level([0, 1], [0.1, 0.2], [1], {}, minimum=1, level=0.95)
