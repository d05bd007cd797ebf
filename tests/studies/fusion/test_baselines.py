"""Components of the voxels against scikit-learn's, and the loss of the variational autoencoder."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.decomposition import PCA

from reperfuse.studies.fusion.baselines import Inferring, fit_voxel_pca
from reperfuse.studies.fusion.training import squared_error
from tests.studies.fusion.made_cohort import SHAPE, brain, section

MASK = brain()


def images(n: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return (rng.random((n, 2, *SHAPE)) * MASK).astype(np.float16)


@settings(max_examples=8, deadline=None)
@given(st.integers(2, 12), st.integers(1, 20), st.integers(0, 99))
def test_components_are_those_of_scikit_learn_in_the_mask(n: int, most: int, seed: int) -> None:
    shown = images(n, seed)
    found = fit_voxel_pca(shown, MASK, most=most)
    k = min(most, n - 1)
    values = shown[:, :, MASK].reshape(n, -1).astype(np.float64)
    expected = PCA(k).fit(values)
    assert found.components.shape == (k, values.shape[1])
    assert found.components @ found.components.T == pytest.approx(np.eye(k), abs=1e-3)
    agree = np.abs((found.components * expected.components_).sum(axis=1))
    assert agree == pytest.approx(1, abs=1e-2)
    assert (found.components[np.arange(k), np.abs(found.components).argmax(axis=1)] > 0).all()
    codes = np.stack([found.encode(one, np.ones(2))[0] for one in shown])
    made = np.stack([found.decode(one, [], SHAPE) for one in codes])
    again = expected.inverse_transform(expected.transform(values))
    assert made[:, :, MASK].reshape(n, -1) == pytest.approx(again, abs=2e-3)
    assert not made[:, :, ~MASK].any()


def test_patients_who_are_all_the_same_have_no_components() -> None:
    one = np.repeat(images(1), 4, axis=0)
    found = fit_voxel_pca(one, MASK, most=3)
    assert len(found.components) == 0
    code, skips = found.encode(one[0], np.ones(2))
    assert code.shape == (0,) and not skips
    assert found.decode(code, skips, SHAPE) == pytest.approx(one[0], abs=1e-3)


def test_codes_that_are_normal_cost_nothing_and_others_something() -> None:
    shown = images(2)
    task = Inferring(
        torch.nn.Linear(1, 1), shown, np.ones((2, 2), dtype=bool), MASK, section()["training"], (4, 4, 4), 1
    )
    batch = next(iter(task.batches(0)))
    batch = {name: one[:1] for name, one in batch.items()}
    off = batch["images"] + 0.1
    losses = [
        float(task.loss(lambda _, m=mean, s=sd: (off, torch.full((1, 4), m), torch.full((1, 4), s)), batch))
        for mean, sd in ((0.0, 1.0), (100.0, 1.0), (0.0, 1e-3))
    ]
    assert losses[0] == pytest.approx(float(squared_error(off, batch)), rel=1e-6)
    assert losses[1] > losses[0] + 0.01 and losses[2] > losses[0]
