"""Net benefit and the decision curve."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reperfuse.evaluation.decision import decision_curve, net_benefit, treat_all

patients = st.lists(st.tuples(st.integers(0, 1), st.integers(0, 10)), min_size=1, max_size=30)
thresholds = st.lists(st.integers(0, 19).map(lambda k: k / 20), max_size=12)


@settings(deadline=None)
@given(patients, thresholds)
def test_net_benefit_is_counted_patient_by_patient(rows: list[tuple[int, int]], at: list[float]) -> None:
    y, p = [row[0] for row in rows], [row[1] / 10 for row in rows]
    expected = [
        sum((1 if label else -t / (1 - t)) for label, value in zip(y, p, strict=True) if value >= t) / len(y)
        for t in at
    ]
    assert net_benefit(y, p, at) == pytest.approx(expected, abs=1e-12)


@settings(deadline=None)
@given(patients, thresholds)
def test_a_certain_yes_is_treating_all_and_a_certain_no_is_treating_none(
    rows: list[tuple[int, int]], at: list[float]
) -> None:
    y = [row[0] for row in rows]
    assert net_benefit(y, np.ones(len(y)), at) == pytest.approx(treat_all(y, at), abs=1e-12)
    positive = [t for t in at if t > 0]
    assert net_benefit(y, np.zeros(len(y)), positive) == pytest.approx(np.zeros(len(positive)))
    # Knowing the truth gains every positive and costs nothing.
    assert net_benefit(y, y, positive) == pytest.approx(np.full(len(positive), np.mean(y)))


def test_treating_all_is_worth_the_prevalence_at_0_and_nothing_at_the_prevalence() -> None:
    assert treat_all([1, 0, 0, 0], [0, 0.25, 0.5]) == pytest.approx([0.25, 0.0, 0.25 - 0.75])


def test_net_benefit_by_hand() -> None:
    # At 0.2 three are treated, two of them rightly: 2/5 - 1/5 * 0.2/0.8.
    found = net_benefit([1, 1, 0, 0, 1], [0.9, 0.2, 0.6, 0.1, 0.1], [0.2])
    assert found == pytest.approx([2 / 5 - 1 / 5 * 0.25])


def test_rows_of_the_curve() -> None:
    rows = decision_curve([1, 0], {"b": [0.9, 0.1], "a": [0.5, 0.5]}, [0.2, 0.6])
    assert [(row["configuration"], row["threshold"]) for row in rows] == [
        (name, t) for name in ("b", "a", "treat all", "treat none") for t in (0.2, 0.6)
    ]
    values = [row["net_benefit"] for row in rows]
    assert values == pytest.approx([0.5, 0.5, 0.5 - 0.125, 0, 0.5 - 0.125, 0.5 - 0.75, 0, 0])


def test_without_patients_nothing_is_known() -> None:
    assert net_benefit([], [], [0.2]) is None
    assert treat_all([], [0.2]) is None
    assert [row["net_benefit"] for row in decision_curve([], {"a": []}, [0.2])] == [None] * 3


@pytest.mark.parametrize(
    ("at", "found"), [([1.0], "a threshold is 1"), ([-0.1], "is -0.1"), ([[0.1]], "shape")]
)
def test_wrong_thresholds_are_refused(at: list[float], found: str) -> None:
    with pytest.raises(ValueError, match=found):
        net_benefit([0, 1], [0, 1], at)
