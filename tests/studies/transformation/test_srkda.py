from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import cho_factor, cho_solve
from scipy.spatial.distance import cdist, pdist

from reperfuse.studies.transformation.srkda import SpectralRegression, expansion, gaussian, mean_distance


def model(**other: float) -> SpectralRegression:
    given = {"alpha": 0.001, "width": 1.0, "width_samples": 3000, "landmarks": 10_000, "seed": 0}
    return SpectralRegression(**{**given, **other})


def by_definition(x: np.ndarray, y: np.ndarray, shown: np.ndarray, alpha: float) -> np.ndarray:
    """SR-KDA as Cai, He & Han define it: responses by Gram and Schmidt, then a regularised solution."""
    basis = [np.ones(len(y)) / np.sqrt(len(y))]
    for label in (0, 1):
        response = (y == label).astype(float)
        for known in basis:
            response -= (response @ known) * known
        if (length := np.linalg.norm(response)) > 1e-8:
            basis.append(response / length)
    assert len(basis) == 2  # classes less one, beside 1
    t = pdist(x).mean()
    kernel = np.exp(-(cdist(x, x) ** 2) / (2 * t**2))
    weights = cho_solve(cho_factor(kernel + alpha * np.eye(len(x))), basis[1])
    return np.exp(-(cdist(shown, x) ** 2) / (2 * t**2)) @ weights


@settings(max_examples=20, deadline=None)
@given(st.integers(6, 40), st.integers(1, 5), st.floats(0.15, 0.85), st.integers(0, 999))
def test_it_is_kernel_ridge_regression(n: int, k: int, share: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    x, shown = rng.normal(size=(n, k)), rng.normal(size=(15, k))
    y = np.zeros(n, dtype=int)
    y[: min(max(round(share * n), 1), n - 1)] = 1
    ours = model(alpha=0.01).fit(x, y).decision(shown)
    theirs = by_definition(x, y, shown, 0.01)
    theirs *= np.sign(ours @ theirs)  # the sign and length of a discriminant are free
    assert np.allclose(ours / np.linalg.norm(ours), theirs / np.linalg.norm(theirs), atol=1e-8)


def test_a_larger_projection_means_the_positive_class() -> None:
    rng = np.random.default_rng(1)
    x = rng.normal(size=(120, 3))
    y = (np.linalg.norm(x, axis=1) > 1.5).astype(int)
    found = model().fit(x[:80], y[:80]).decision(x[80:])
    assert found[y[80:] == 1].mean() > found[y[80:] == 0].mean() + 0.3


def test_of_many_samples_random_landmarks_are_used() -> None:
    rng = np.random.default_rng(3)
    x = rng.normal(size=(300, 2))
    y = (x[:, 0] > 0).astype(int)
    few = model(landmarks=60).fit(x, y)
    assert len(few._centres) == 60
    assert np.array_equal(few.decision(x), model(landmarks=60).fit(x, y).decision(x))
    assert not np.array_equal(few.decision(x), model(landmarks=60, seed=1).fit(x, y).decision(x))
    assert ((few.decision(x) > 0) == (y == 1)).mean() > 0.95


def test_the_width_is_the_mean_distance_of_some() -> None:
    x = np.random.default_rng(4).normal(size=(90, 3))
    assert mean_distance(x, most=90, seed=0) == pytest.approx(pdist(x).mean())
    assert mean_distance(x, most=30, seed=0) == pytest.approx(pdist(x).mean(), rel=0.15)
    assert model(width=2.0).fit(x, np.arange(90) % 2).gamma == pytest.approx(1 / (8 * pdist(x).mean() ** 2))
    with pytest.raises(ValueError, match="mean distance between samples is 0"):
        model().fit(np.ones((5, 2)), np.array([0, 1, 0, 1, 0]))


def test_the_kernel_in_parts_is_the_kernel() -> None:
    rng = np.random.default_rng(5)
    x, centres, weights = rng.normal(size=(5000, 3)), rng.normal(size=(7, 3)), rng.normal(size=7)
    kernel = np.exp(-0.3 * cdist(x, centres) ** 2)
    assert np.allclose(gaussian(x, centres, 0.3), kernel)
    assert np.allclose(expansion(x, centres, weights, 0.3), kernel @ weights)
