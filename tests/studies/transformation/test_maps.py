from __future__ import annotations

import numpy as np
import pytest

from reperfuse.evaluation.discrimination import auc
from reperfuse.studies.transformation import maps
from reperfuse.studies.transformation.scan import Sample, region_mean


def sample(values: np.ndarray, y: np.ndarray) -> Sample:
    n = len(y)
    empty = np.zeros((n, 0), np.float32)
    return Sample(("a",), np.zeros(n, int), np.zeros((n, 3), np.int16), y.astype(np.int8), empty, empty,
                  empty[:1], empty[:1], {"map_adc": values})  # fmt: skip


@pytest.mark.parametrize("sign", [1, -1])
def test_a_map_is_turned_by_the_training_voxels_and_keeps_its_order(sign: int) -> None:
    rng = np.random.default_rng(1)
    y = rng.integers(0, 2, 400)
    values = 500 + sign * 80 * y + 100 * rng.standard_normal(400)
    values[0] = 1e9  # one voxel of nonsense decides nothing
    model = maps.fit("map_adc", sample(values, y))
    p = model.predict(sample(values, y))
    assert model.sign == sign and auc(y, p) == pytest.approx(auc(y, sign * values))
    assert abs(p.mean() - y.mean()) < 0.01 and p[1:].min() < 0.4 < 0.6 < p[1:].max()
    other = np.sort(rng.normal(500, 100, 50))
    assert (np.diff(sign * model.probability(other)) > 0).all()


def test_a_map_that_says_nothing_gives_the_share_of_the_training_voxels() -> None:
    y = np.array([0, 0, 0, 1])
    p = maps.fit("map_adc", sample(np.full(4, 7.0), y)).predict(sample(np.full(4, 7.0), y))
    assert p == pytest.approx(np.full(4, 0.25), abs=0.01)


def test_the_region_is_the_hypoperfused_brain_or_all_of_it() -> None:
    k2, late = np.arange(8.0).reshape(2, 2, 2), np.zeros((2, 2, 2))
    brain = np.ones((2, 2, 2), dtype=bool)
    assert region_mean(k2, late, brain) == 3.5
    late[1, 1, 1], late[1, 1, 0] = 6.0, 4.0
    assert region_mean(k2, late, brain) == 7.0
