"""What may be judged, and the one sentence about what may not."""

from __future__ import annotations

import numpy as np
import pytest

from reperfuse.evaluation.inputs import labels_of, probabilities_of, scores_of, unit_interval


def test_labels_of_any_numeric_kind_become_integers() -> None:
    for y in ([0, 1, 1], [False, True, True], [0.0, 1.0, 1.0]):
        assert labels_of(np.array(y)).tolist() == [0, 1, 1]


@pytest.mark.parametrize(
    ("y", "found"),
    [
        ([0, 1, 2], "y holds 2"),
        ([0.5, 1.0], "y holds 0.5"),
        ([0.0, np.nan], "y holds nan"),
        ([[0, 1]], r"y has shape \(1, 2\)"),
        (["a", "b"], "expected labels of 0 and 1"),
    ],
)
def test_labels_refused(y: list[object], found: str) -> None:
    with pytest.raises(ValueError, match=found):
        labels_of(np.array(y))


@pytest.mark.parametrize(
    ("score", "found"),
    [
        ([0.1, 0.2], r"score has shape \(2,\); expected \(3,\)"),
        ([0.1, np.nan, 0.3], "1 values that are not finite, of 3"),
        ([np.inf, -np.inf, 0.3], "2 values that are not finite, of 3"),
        (["a", "b", "c"], "expected numbers"),
    ],
)
def test_scores_refused(score: list[object], found: str) -> None:
    with pytest.raises(ValueError, match=found):
        scores_of(np.array(score), n=3)


def test_probabilities_lie_within_0_and_1() -> None:
    assert probabilities_of([0, 1, 0.5], n=3).tolist() == [0, 1, 0.5]
    with pytest.raises(ValueError, match=r"probability holds 1\.2"):
        probabilities_of([0.1, 1.2], n=2)


@pytest.mark.parametrize("level", [0.0, 1.0, 95, float("nan")])
def test_a_level_lies_strictly_between_0_and_1(level: float) -> None:
    with pytest.raises(ValueError, match=f"level is {level}"):
        unit_interval(level, name="level")
