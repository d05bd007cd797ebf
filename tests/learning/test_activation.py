from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reperfuse.learning.activation import activation_maps, stability
from reperfuse.learning.encode import encode


def test_the_mean_of_a_map_is_the_embeddings_projection(encoder, volumes) -> None:
    directions = np.random.default_rng(0).standard_normal((4, 2048)) / 45
    maps = activation_maps(encoder, volumes[0], directions, device="cpu")
    assert maps.shape == (4, 2, 4, 4)
    assert maps.dtype == np.float32
    embedding = encode(encoder, volumes[:1], precision="fp32", device="cpu")[0]
    expected = directions @ embedding.astype(np.float64)
    np.testing.assert_allclose(maps.mean(axis=(1, 2, 3), dtype=np.float64), expected, rtol=1e-4)
    # They vary over the volume, or the test would say nothing.
    assert (maps.std(axis=(1, 2, 3)) > 1e-3 * np.abs(expected)).all()


def test_one_direction_gives_one_map_and_maps_add(encoder, volumes) -> None:
    first, second = np.eye(2048)[5], np.eye(2048)[9]
    one, two, both = (
        activation_maps(encoder, volumes[0], direction, device="cpu")[0]
        for direction in (first, second, 2 * first - second)
    )
    np.testing.assert_allclose(both, 2 * one - two, atol=1e-5 * np.abs(both).max())


def test_stability_is_the_mean_correlation_over_pairs() -> None:
    base = np.random.default_rng(1).standard_normal((3, 4, 4))
    assert stability(np.stack([base, 2 * base + 3, 0.1 * base])) == pytest.approx(1)
    assert stability(np.stack([base, -base])) == pytest.approx(-1)
    assert stability(np.stack([base, np.ones_like(base)])) == 0
    assert math.isnan(stability(base[None]))


@settings(max_examples=25, deadline=None)
@given(k=st.integers(2, 6), seed=st.integers(0, 2**32 - 1))
def test_stability_agrees_with_the_correlation_matrix(k: int, seed: int) -> None:
    maps = np.random.default_rng(seed).standard_normal((k, 2, 3, 4))
    matrix = np.corrcoef(maps.reshape(k, -1))
    assert stability(maps) == pytest.approx(matrix[~np.eye(k, dtype=bool)].mean(), abs=1e-12)
