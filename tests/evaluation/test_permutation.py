from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import KFold, permutation_test_score

from reperfuse.evaluation.permutation import label_swap, pipeline_permutation


def cohort(n: int, *, seed: int, gain: float = 0.0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    y = (rng.random(n) < 0.5).astype(int)
    y[:2] = 0, 1
    common = rng.normal(size=n)
    return y, y + common + rng.normal(size=n), (1 - gain) * y + common + rng.normal(size=n)


@given(
    st.lists(
        st.tuples(st.integers(0, 1), st.integers(0, 5), st.integers(0, 5), st.integers(0, 4)),
        min_size=3,
        max_size=15,
    )
)
@settings(max_examples=40, deadline=None)
def test_null_is_the_brute_force_exchange(rows: list[tuple[int, int, int, int]]) -> None:
    y, first, second, groups = np.array(rows).T
    if len(set(y)) < 2:
        return
    swap = label_swap(y, first, second, groups, draws=7, seed=11)
    one, two = stats.rankdata(first), stats.rankdata(second)
    assert swap.difference == pytest.approx(roc_auc_score(y, first) - roc_auc_score(y, second), abs=1e-12)
    patients, owner = np.unique(groups, return_inverse=True)
    exchanged = np.random.default_rng(11).integers(0, 2, size=(7, len(patients)))
    for draw, value in zip(exchanged, swap.null, strict=True):
        turned = draw[owner] == 1
        wanted = roc_auc_score(y, np.where(turned, two, one)) - roc_auc_score(y, np.where(turned, one, two))
        assert value == pytest.approx(wanted, abs=1e-12)


def test_result_does_not_depend_on_the_scale_or_order_of_the_models() -> None:
    y, first, second = cohort(50, seed=1, gain=0.5)
    plain = label_swap(y, first, second, np.arange(50), draws=500, seed=0)
    scaled = label_swap(y, np.exp(first), second * 1000 - 7, np.arange(50), draws=500, seed=0)
    turned = label_swap(y, second, first, np.arange(50), draws=500, seed=0)
    assert (scaled.difference, scaled.p) == (plain.difference, plain.p)
    assert plain.difference is not None
    assert (turned.difference, turned.p) == (-plain.difference, plain.p)


def test_p_is_uniform_without_a_difference_and_small_with_one() -> None:
    p = [label_swap(*cohort(60, seed=s), np.arange(60), draws=400, seed=s).p for s in range(200)]
    assert stats.kstest(p, "uniform").pvalue > 0.001
    assert np.mean(np.array(p) <= 0.05) < 0.05 + 3 * np.sqrt(0.05 * 0.95 / 200)
    strong = label_swap(*cohort(200, seed=0, gain=1.0), np.arange(200), draws=2000, seed=0)
    assert strong.p is not None and strong.p < 0.01


def test_p_counts_the_data_among_the_draws() -> None:
    y, good, bad = np.array([0, 1] * 20), np.arange(40) % 2 + 0.0, np.arange(40.0)
    swap = label_swap(y, good, bad, np.arange(40), draws=99, seed=0)
    assert swap.p == 0.01
    same = label_swap(y, bad, bad, np.arange(40), draws=99, seed=0)
    assert (same.difference, same.p) == (0.0, 1.0)


def test_rows_of_a_patient_are_exchanged_together() -> None:
    y, first, second = cohort(30, seed=3, gain=0.6)
    once = label_swap(y, first, second, np.arange(30), draws=800, seed=5)
    many = [np.repeat(one, 6) for one in (y, first, second, np.arange(30))]
    repeated = label_swap(*many, draws=800, seed=5)
    assert (repeated.difference, repeated.p) == pytest.approx((once.difference, once.p))
    wrong = label_swap(*many[:3], np.arange(180), draws=800, seed=5)
    assert wrong.null.std() < 0.6 * once.null.std()


def test_one_class_has_no_comparison() -> None:
    swap = label_swap([1, 1], [0.1, 0.2], [0.2, 0.1], ["a", "b"], draws=10, seed=0)
    assert (swap.difference, swap.p, swap.null.size) == (None, None, 0)


def test_blocks_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    y, first, second = cohort(20, seed=3)
    whole = label_swap(y, first, second, np.arange(20), draws=100, seed=5)
    monkeypatch.setattr("reperfuse.evaluation.permutation.BLOCK", 30)
    parts = label_swap(y, first, second, np.arange(20), draws=100, seed=5)
    np.testing.assert_allclose(parts.null, whole.null)


def test_shuffle_within_patients_has_no_null_and_ours_has() -> None:
    rng = np.random.default_rng(0)
    y = np.arange(40) % 2
    x = rng.normal(size=(40, 2)) + y[:, None]
    folds = list(KFold(4, shuffle=True, random_state=0).split(x))
    model = LogisticRegression()
    _, trapped, trapped_p = permutation_test_score(
        model, x, y, groups=np.arange(40), cv=folds, n_permutations=19, scoring="roc_auc", random_state=0
    )
    assert trapped.std() == 0 and trapped_p == 1

    def run(labels: np.ndarray) -> float:
        scores = np.empty(40)
        for train, test in folds:
            scores[test] = model.fit(x[train], labels[train]).predict_proba(x[test])[:, 1]
        return float(roc_auc_score(labels, scores))

    result = pipeline_permutation(run, y, np.arange(40), draws=19, seed=0)
    assert result.null.std() > 0.05
    assert not result.degenerate and result.dropped == 0
    assert result.observed == run(y)
    assert result.p == 0.05


def test_labels_move_with_patients_of_as_many_rows() -> None:
    groups = np.array(["a", "b", "a", "c", "d", "d", "e", "e", "e"])
    y = np.array([1, 0, 1, 1, 0, 0, 0, 1, 0])
    seen: list[np.ndarray] = []

    def run(labels: np.ndarray) -> float:
        seen.append(labels)
        return float(labels[0])

    pipeline_permutation(run, y, groups, draws=60, seed=2)
    assert np.array_equal(seen[0], y)
    pairs, singles = set(), set()
    for labels in seen[1:]:
        assert labels[[6, 7, 8]].tolist() == [0, 1, 0]  # nobody else has three rows
        pairs.add((*labels[[0, 2]], *labels[[4, 5]]))
        singles.add((labels[1], labels[3]))
    assert pairs == {(1, 1, 0, 0), (0, 0, 1, 1)}
    assert singles == {(0, 1), (1, 0)}


def test_one_row_per_patient_is_a_plain_shuffle_of_any_labels() -> None:
    y = np.array([0, 1, 2, 3, 4, 5, 6])
    seen: list[tuple[int, ...]] = []
    pipeline_permutation(lambda one: seen.append(tuple(one)) or 1.0, y, list("gfedcba"), draws=40, seed=0)
    assert all(sorted(one) == list(range(7)) for one in seen)
    assert len(set(seen)) > 35


def test_null_without_spread_is_told() -> None:
    blind = pipeline_permutation(lambda labels: 0.5, np.arange(6) % 2, np.arange(6), draws=9, seed=0)
    assert blind.degenerate and blind.p is None
    unequal = pipeline_permutation(
        lambda one: float(one[0]), np.array([1, 0, 0]), ["a", "b", "b"], draws=9, seed=0
    )
    assert unequal.degenerate


def test_draws_without_a_value_are_left_out_and_counted() -> None:
    y = np.array([1, 1, 0, 0])
    result = pipeline_permutation(
        lambda one: None if one[0] == one[1] == 0 else float(one[0]), y, np.arange(4), draws=200, seed=0
    )
    assert 10 < result.dropped < 60  # two of the four labels at two given places: 1/6
    assert len(result.null) == 200 - result.dropped
    assert result.p == pytest.approx((1 + result.null.sum()) / (1 + len(result.null)))
    none = pipeline_permutation(lambda one: None, y, np.arange(4), draws=5, seed=0)
    assert (none.observed, none.p, none.dropped, none.degenerate) == (None, None, 5, True)


def test_lengths_must_agree() -> None:
    with pytest.raises(ValueError, match="groups has 1"):
        label_swap([0, 1], [1, 2], [1, 2], ["a"], draws=1, seed=0)
    with pytest.raises(ValueError, match="groups 1"):
        pipeline_permutation(lambda one: 1.0, [0, 1], ["a"], draws=1, seed=0)
