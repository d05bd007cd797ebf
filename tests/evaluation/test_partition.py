from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reperfuse.evaluation import partition

GRID = {
    "damping": [0.5, 0.7, 0.9],
    "preference": [-2, -1, 0, 0.1, 0.5],
    "max_iter": 300,
    "smallest": 2,
    "seed": 0,
}


def blobs(sizes: tuple[int, ...] = (30, 20, 10), spread: float = 0.2) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(3)
    truth = np.repeat(np.arange(1, len(sizes) + 1), sizes)
    centres = 5 * np.column_stack([np.arange(len(sizes)), np.arange(len(sizes)) % 2])
    points = centres[truth - 1] + spread * rng.normal(size=(len(truth), 2))
    order = rng.permutation(len(truth))
    return points[order], truth[order]


def test_the_partition_of_clear_groups_is_found_and_numbered_by_size():
    points, truth = blobs()
    found = partition.best_partition(partition.similarity_of(points), **GRID)
    np.testing.assert_array_equal(found.labels, truth)
    assert found.n == 3
    np.testing.assert_array_equal(found.labels[found.exemplars], [1, 2, 3])


def test_every_setting_is_a_row_and_the_highest_silhouette_is_chosen():
    points, _ = blobs(spread=1.5)
    found = partition.best_partition(partition.similarity_of(points), **GRID)
    assert len(found.tried) == 15
    chosen = [row for row in found.tried if row["chosen"]]
    assert [(row["damping"], row["preference"]) for row in chosen] == [
        (found.setting.damping, found.setting.preference)
    ]
    assert chosen[0]["silhouette"] == max(row["silhouette"] for row in found.tried if not row["why"])
    assert all((row["silhouette"] is None) == bool(row["why"]) for row in found.tried)


def test_a_run_that_has_not_settled_is_rejected():
    points, _ = blobs(spread=1.5)
    found = partition.best_partition(partition.similarity_of(points), **(GRID | {"max_iter": 5}))
    assert found.n == 1 and found.setting is None
    assert {row["why"] for row in found.tried} == {"not converged after 5 iterations"}


def test_clusters_that_are_too_small_are_rejected():
    points, _ = blobs(sizes=(20, 20, 1))
    similarity = partition.similarity_of(points)
    assert partition.best_partition(similarity, **(GRID | {"smallest": 1})).n == 3
    found = partition.best_partition(similarity, **(GRID | {"smallest": 2}))
    assert np.bincount(found.labels)[1:].min() >= 2
    assert any(row["why"] == "a cluster of 1" for row in found.tried)


@pytest.mark.parametrize("points", [np.ones((8, 3)), np.ones((2, 3)) * [[1], [2]]])
def test_where_nobody_differs_everybody_is_in_one_cluster(points):
    found = partition.best_partition(partition.similarity_of(points), **GRID)
    assert found.labels.tolist() == [1] * len(points)
    assert not len(found.exemplars)
    assert {row["why"] for row in found.tried} == {"all similarities are equal"}


def test_preferences_below_zero_are_multiples_of_the_range():
    similarity = np.array([[0.0, -1.0, -4.0], [-1.0, 0.0, -2.0], [-4.0, -2.0, 0.0]])
    assert partition.level_of(similarity, 0) == -4
    assert partition.level_of(similarity, 0.5) == -2
    assert partition.level_of(similarity, -2) == -4 - 2 * 3


def test_silhouettes_are_those_of_distances():
    from sklearn.metrics import silhouette_samples

    points, truth = blobs(spread=2)
    ours = partition.silhouettes(partition.similarity_of(points), truth)
    np.testing.assert_allclose(ours, silhouette_samples(points, truth), atol=1e-6)
    assert not partition.silhouettes(partition.similarity_of(points), np.ones(len(truth))).any()


def test_co_assignment_counts_how_often_two_are_together():
    together = partition.co_assignment([[1, 1, 2], [2, 1, 1], [1, 1, 1]])
    np.testing.assert_allclose(together, [[1, 2 / 3, 1 / 3], [2 / 3, 1, 2 / 3], [1 / 3, 2 / 3, 1]])
    np.testing.assert_allclose(partition.shares(together, [1, 1, 2]), [2 / 3, 2 / 3, 1])


def test_a_consensus_of_noisy_partitions_is_closer_to_the_truth_than_each_of_them():
    rng = np.random.default_rng(0)
    truth = np.repeat([1, 2, 3], 30)
    noisy = [np.where(rng.random(90) < 0.25, rng.integers(1, 4, size=90), truth) for _ in range(9)]
    found = partition.best_partition(partition.co_assignment(noisy), **(GRID | {"damping": [0.8, 0.9]}))
    ours = partition.adjusted_rand(truth, found.labels)
    assert ours > max(partition.adjusted_rand(truth, one) for one in noisy)
    assert ours > 0.95


def test_the_adjusted_rand_index_of_a_table_by_hand():
    # Pairs: 7 in cells, 14 and 13 in margins, 45 in all: (7 − 14 · 13 / 45) / ((14 + 13) / 2 − 14 · 13 / 45).
    table = np.array([[1, 1, 0], [1, 2, 1], [0, 0, 4]])
    first, second = (np.repeat(index.ravel(), table.ravel()) for index in np.indices(table.shape))
    chance = 14 * 13 / 45
    assert partition.adjusted_rand(first, second) == pytest.approx((7 - chance) / ((14 + 13) / 2 - chance))


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(0, 4), min_size=1, max_size=30))
def test_numbering_by_size_keeps_who_is_together(labels):
    order, found = partition.by_size(labels)
    counts = np.bincount(found)[1:]
    assert (np.diff(counts) <= 0).all()
    np.testing.assert_array_equal(np.equal.outer(found, found), np.equal.outer(labels, labels))
    np.testing.assert_array_equal(np.unique(labels)[order[found - 1]], labels)


def test_medoids_are_the_exemplars_of_settled_clusters():
    points, _ = blobs()
    similarity = partition.similarity_of(points)
    found = partition.best_partition(similarity, **GRID)
    np.testing.assert_array_equal(partition.medoids(similarity, found.labels), found.exemplars)
    np.testing.assert_array_equal(partition.nearest(similarity, found.exemplars), found.labels)


def test_the_same_again_is_the_same():
    points, _ = blobs(spread=1.5)
    similarity = partition.similarity_of(points)
    first = partition.propagate(similarity, 0.8, -3.0, max_iter=300, seed=1)
    second = partition.propagate(similarity, 0.8, -3.0, max_iter=300, seed=1)
    np.testing.assert_array_equal(first[0], second[0])
