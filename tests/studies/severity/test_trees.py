from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.ensemble import ExtraTreesRegressor

from reperfuse.studies.severity.trees import Forest, fit_forest


@given(st.integers(0, 2**31), st.integers(5, 60), st.integers(1, 6), st.integers(1, 9))
@settings(max_examples=25, deadline=None)
def test_the_arrays_say_what_the_forest_says(seed: int, n: int, p: int, min_leaf: int) -> None:
    rng = np.random.default_rng(seed)
    values, target = rng.normal(size=(n, p)).round(1), rng.normal(size=n)
    found = fit_forest(values, target, n_trees=7, min_leaf=min_leaf, features=0.5, seed=seed, threads=1)
    forest = ExtraTreesRegressor(7, min_samples_leaf=min_leaf, max_features=0.5, random_state=seed)
    new = np.vstack([values, rng.normal(size=(20, p)), found.threshold[:, None].repeat(p, axis=1)])
    expected = forest.fit(values, target).predict(new)
    np.testing.assert_allclose(found.predict(new), expected, rtol=0, atol=1e-12)
    again = Forest.from_arrays(found.arrays())
    assert np.array_equal(again.predict(new), found.predict(new))


def test_threads_change_nothing_and_thresholds_are_nobody_s_values() -> None:
    rng = np.random.default_rng(3)
    values, target = rng.normal(size=(80, 4)), rng.normal(size=80)
    one, two = (
        fit_forest(values, target, n_trees=20, min_leaf=5, features=0.5, seed=1, threads=k) for k in (1, 2)
    )
    assert all(
        np.array_equal(a, b) for a, b in zip(one.arrays().values(), two.arrays().values(), strict=True)
    )
    inner = one.left >= 0
    assert inner.sum() > 50 and not np.isin(one.threshold[inner], values).any()
