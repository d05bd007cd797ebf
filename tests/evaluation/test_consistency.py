"""Whether printed metrics can come from one confusion matrix."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reperfuse.evaluation.averages import AVERAGES, METRICS, averages, of_counts
from reperfuse.evaluation.consistency import ANY, nearest, rounding


def exhaustive(reported: dict[str, float], n: int, average: str, tolerance: dict[str, float]) -> float:
    """The smallest worst miss beyond rounding, of every matrix one by one."""
    best = np.inf
    for tp, fn, fp in itertools.product(range(n + 1), repeat=3):
        if (tn := n - tp - fn - fp) < 0:
            continue
        cells = (np.array([one]) for one in (tp, fn, fp, tn))
        tp_, fn_, fp_, tn_ = cells
        misses = [
            abs(of_counts(name, tp_, fn_, fp_, tn_, average=average)[0] - value) - tolerance[name]
            for name, value in reported.items()
        ]
        if not np.isnan(misses).any():
            best = min(best, max(misses))
    return best


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.integers(20, 80), st.sampled_from(AVERAGES), st.booleans())
def test_metrics_of_predictions_pass_to_nine_digits(seed: int, n: int, average: str, known: bool) -> None:
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 2, n)
    y[:2] = 0, 1
    row = next(one for one in averages(y, rng.random(n), 0.5) if one["average"] == average)
    values = {name: row[name] for name in METRICS if row[name] is not None}
    positives = row["n_positive"] if known else None
    got = nearest(values, n=n, average=average, tolerance=dict.fromkeys(values, 1e-9), n_positive=positives)
    assert got is not None and got.passes and got.distance < 1e-9
    assert got.tp + got.fn + got.fp + got.tn == n
    if known:
        assert got.tp + got.fn == row["n_positive"]


@pytest.mark.parametrize("average", AVERAGES)
@pytest.mark.parametrize("seed", range(4))
def test_the_search_finds_what_looking_at_every_matrix_finds(average: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    reported = {name: round(float(rng.uniform(0.4, 0.95)), 2) for name in METRICS}
    tolerance = dict.fromkeys(METRICS, 0.005)
    got = nearest(reported, n=14, average=average, tolerance=tolerance)
    assert got is not None
    best = exhaustive(reported, 14, average, tolerance)
    assert got.distance - 0.005 == pytest.approx(best, abs=1e-9)
    assert got.passes == (best <= 1e-12)


def test_one_changed_value_is_found_out() -> None:
    y, p = np.r_[np.zeros(40, int), np.ones(60, int)], np.linspace(0, 1, 100)
    row = averages(y, p, 0.6)[0]
    values = {name: row[name] for name in METRICS}
    rounded = {name: round(value, 4) for name, value in values.items()}
    tolerance = dict.fromkeys(values, 0.00005)
    assert nearest(rounded, n=100, average="positive", tolerance=tolerance).passes
    wrong = rounded | {"specificity": rounded["specificity"] - 0.05}
    got = nearest(wrong, n=100, average="positive", tolerance=tolerance)
    assert not got.passes and 0 < got.distance <= 0.05


def test_each_metric_may_be_granted_an_average_of_its_own() -> None:
    y, p = np.r_[np.zeros(30, int), np.ones(70, int)], np.linspace(0, 1, 100) ** 2
    positive, _, weighted = averages(y, p, 0.4)
    mixed = {"sensitivity": weighted["sensitivity"], "ppv": positive["ppv"], "accuracy": positive["accuracy"]}
    tolerance = dict.fromkeys(mixed, 1e-9)
    assert nearest(mixed, n=100, average=ANY, tolerance=tolerance).passes
    assert nearest(mixed, n=100, average=ANY, tolerance=tolerance, n_positive=70).passes


def test_rounding_is_half_a_unit_of_the_last_printed_digit() -> None:
    assert [rounding(text) for text in ("0.81", "0.9645", "1")] == pytest.approx([0.005, 0.00005, 0.5])


def test_nothing_reported_and_impossible_numbers() -> None:
    assert nearest({}, n=10, average="positive", tolerance={}) is None
    with pytest.raises(ValueError, match="12 positives of 10"):
        nearest({"accuracy": 0.5}, n=10, average="positive", tolerance={"accuracy": 0.1}, n_positive=12)
    with pytest.raises(ValueError, match="finite"):
        nearest({"accuracy": np.nan}, n=10, average="positive", tolerance={"accuracy": 0.1})
