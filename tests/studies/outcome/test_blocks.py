"""What is fitted to a block inside a fold."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reperfuse.studies.outcome.blocks import Block, FittedBlock, Reduction, fit_block
from tests.studies.outcome.cohorts import clinical, embedding, with_values

PCA = Reduction("pca", 12, 0.95)
LABELS = np.arange(30) % 2


def numbers(fitted: FittedBlock) -> list[np.ndarray]:
    found = [fitted.fill, np.array(fitted.flagged), fitted.affine.mean, fitted.affine.weight]
    return found if fitted.affine.projection is None else [*found, fitted.affine.projection]


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10_000), method=st.sampled_from(["pca", "pls", "none"]), image=st.booleans())
def test_what_is_fitted_sees_the_training_rows_alone(seed: int, method: str, image: bool) -> None:
    rng = np.random.default_rng(seed)
    block = embedding(40, 20, seed) if image else clinical(40, 6, seed, missing=0.2)
    rows = np.sort(rng.choice(40, 30, replace=False))
    others = np.setdiff1d(np.arange(40), rows)
    changed = block.values.copy()
    changed[others] = rng.normal(1000, 500, size=changed[others].shape)
    changed[others[0]] = np.nan
    reduction = Reduction(method, 12, 0.95)
    first, second = (
        fit_block(one, rows, LABELS, reduction, seed=1) for one in (block, with_values(block, changed))
    )
    for a, b in zip(numbers(first), numbers(second), strict=True):
        np.testing.assert_array_equal(a, b)
    assert first.features == second.features and first.seen == second.seen == frozenset(rows.tolist())
    np.testing.assert_array_equal(first.transform(block.values[rows]), second.transform(block.values[rows]))


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10_000), image=st.booleans())
def test_the_order_of_the_training_patients_does_not_matter(seed: int, image: bool) -> None:
    block = embedding(40, 20, seed) if image else clinical(40, 6, seed, missing=0.2)
    rows = np.arange(30)
    shuffled = np.random.default_rng(seed).permutation(rows)
    one, two = (fit_block(block, order, LABELS, PCA, seed=1) for order in (rows, shuffled))
    # A component's sign is a convention; distances between patients are not.
    a, b = (fitted.transform(block.values) for fitted in (one, two))
    np.testing.assert_allclose(a @ a.T, b @ b.T, atol=1e-8)


def test_a_missing_number_becomes_the_median_and_a_missing_flag_the_more_frequent_value() -> None:
    nan = np.nan
    values = np.array(
        [[1.0, 1, 0], [2, 1, 0], [9, nan, 1], [nan, 1, 1], [100, 0, 1], [nan, nan, nan], [5000, 0, 0]]
    )
    block = Block("J0:clinical", ("age", "ivt", "dm"), values)
    fitted = fit_block(block, np.arange(5), np.array([0, 1, 0, 1, 0]), PCA, seed=1)
    assert fitted.fill.tolist() == [5.5, 1.0, 1.0]  # the median of 1, 2, 9, 100
    assert fitted.flagged == (0, 1)
    assert fitted.features == ("age", "ivt", "dm", "age missing", "ivt missing")
    z = fitted.transform(values)
    assert np.isfinite(z).all()
    filled = np.array([[5.5, 1.0, 1.0, 1.0, 1.0]])
    np.testing.assert_allclose(z[5:6], (filled - fitted.affine.mean) * fitted.affine.weight)
    assert z[3, 3] > z[0, 3] and z[2, 4] > z[0, 4]


def test_equally_frequent_values_of_a_flag_give_0_and_no_half_patient() -> None:
    block = Block("J0:clinical", ("ivt",), np.array([[1.0], [0], [1], [0], [np.nan]]))
    assert fit_block(block, np.arange(5), LABELS[:5], PCA, seed=1).fill.tolist() == [0.0]


def test_a_value_that_only_a_later_patient_lacks_is_filled_in_like_any_other() -> None:
    block = clinical(20, 4, 3)
    rows = np.arange(20)
    fitted = fit_block(block, rows, LABELS[:20], PCA, seed=1)
    assert fitted.flagged == ()
    np.testing.assert_allclose(fitted.fill[1], np.median(block.values[:, 1]))
    z = fitted.transform(np.full((1, 4), np.nan))
    inside = fitted.transform(block.values)
    assert (z >= inside.min(axis=0)).all() and (z <= inside.max(axis=0)).all()


def test_a_column_that_no_training_patient_has_says_nothing() -> None:
    values = clinical(20, 3, 1).values
    values[:15, 1] = np.nan
    fitted = fit_block(Block("b", ("x", "y", "z"), values), np.arange(15), LABELS[:15], PCA, seed=1)
    z = fitted.transform(values)
    assert np.isfinite(z).all()
    assert not z[:, 1].any(), "the value counts for nobody, since nobody to learn from had one"
    assert fitted.features[-1] == "y missing" and not z[:, 3].any()


def test_columns_are_scaled_to_sd_1_on_the_training_patients() -> None:
    block = clinical(30, 5, 2, missing=0.1)
    rows = np.arange(20)
    z = fit_block(block, rows, LABELS[:20], PCA, seed=1).transform(block.values[rows])
    np.testing.assert_allclose(z.mean(axis=0), 0, atol=1e-12)
    np.testing.assert_allclose(z.std(axis=0), 1)


@pytest.mark.parametrize(("most", "variance"), [(12, 0.95), (12, 0.5), (4, 0.99), (12, 1.0)])
def test_the_fewest_components_that_hold_the_variance_are_kept_and_at_most_as_many_as_allowed(
    most: int, variance: float
) -> None:
    block = embedding(40, 25, 4)
    rows = np.arange(32)
    train = block.values[rows]
    scaled = (train - train.mean(axis=0)) / train.std(axis=0)
    shares = np.linalg.svd(scaled, compute_uv=False) ** 2
    held = np.cumsum(shares / shares.sum())
    k = int(np.searchsorted(held, variance - 1e-9)) + 1
    fitted = fit_block(block, rows, LABELS, Reduction("pca", most, variance), seed=1)
    assert len(fitted.features) == min(most, k)
    assert fitted.features[0] == "J0:mri PCA1"
    z = fitted.transform(train)
    np.testing.assert_allclose(z.std(axis=0), 1)
    np.testing.assert_allclose(np.corrcoef(z.T) - np.eye(z.shape[1]), 0, atol=1e-8)
    assert fitted.transform(block.values).shape == (40, min(most, k))


def test_there_are_never_more_components_than_the_patients_allow() -> None:
    block = embedding(9, 50, 5)
    fitted = fit_block(block, np.arange(9), LABELS[:9], Reduction("pca", 12, 1.0), seed=1)
    assert len(fitted.features) <= 8
    z = fitted.transform(block.values)
    assert np.isfinite(z).all() and np.abs(z).max() < 10, "no component is rounding that was blown up"


def test_only_partial_least_squares_sees_the_label() -> None:
    block, rows = embedding(30, 15, 6), np.arange(30)
    for method, same in (("pca", True), ("none", True), ("pls", False)):
        reduction = Reduction(method, 3, 1.0)
        one, two = (fit_block(block, rows, y, reduction, seed=1) for y in (LABELS, LABELS[::-1] ^ (rows < 9)))
        equal = np.allclose(one.transform(block.values), two.transform(block.values))
        assert equal is same, method


def test_constant_columns_change_nothing_and_a_constant_block_has_no_components() -> None:
    block, rows = embedding(30, 15, 7), np.arange(24)
    wider = Block(
        "J0:mri", tuple(map(str, range(18))), np.hstack([np.full((30, 3), 7.0), block.values]), True
    )
    a, b = (fit_block(one, rows, LABELS[:24], PCA, seed=1).transform(one.values) for one in (block, wider))
    np.testing.assert_allclose(a @ a.T, b @ b.T, atol=1e-8)
    still = Block("J0:mri", ("0", "1"), np.vstack([np.ones((24, 2)), np.zeros((6, 2))]), True)
    fitted = fit_block(still, rows, LABELS[:24], PCA, seed=1)
    assert fitted.features == () and fitted.transform(still.values).shape == (30, 0)


def test_without_reduction_the_embedding_stays_whole() -> None:
    block = embedding(20, 15, 8)
    fitted = fit_block(block, np.arange(20), LABELS[:20], Reduction("none", 12, 0.95), seed=1)
    assert fitted.features == block.columns


def test_large_blocks_have_the_same_components_again_and_nearly_the_exact_ones() -> None:
    block = embedding(230, 220, 9)
    y = np.arange(230) % 2
    one, two = (fit_block(block, np.arange(230), y, PCA, seed=3) for _ in range(2))
    np.testing.assert_array_equal(one.affine.projection, two.affine.projection)
    scaled = (block.values - block.values.mean(axis=0)) / block.values.std(axis=0)
    exact = np.linalg.svd(scaled, full_matrices=False)[0]
    ours = one.transform(block.values)
    assert abs(np.corrcoef(ours[:, 0], exact[:, 0])[0, 1]) > 0.9999


def test_what_a_block_is_of() -> None:
    assert embedding(3, 2, 1).kind == "mri" and clinical(3, 2, 1, name="J1:clinical").kind == "clinical"
