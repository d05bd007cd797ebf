"""One configuration fitted: the classifier is scikit-learn's, the probabilities keep its order."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.compose import ColumnTransformer
from sklearn.decomposition import PCA
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from reperfuse.studies.outcome.blocks import Block
from reperfuse.studies.outcome.model import FittedRecipe, Workshop, inner_folds
from tests.studies.outcome.cohorts import arrays_of, clinical, embedding, recipe, with_values, workshop

BOTH = ("J0:mri", "J0:clinical")


def labels_of(block: Block, seed: int) -> np.ndarray:
    """Labels that the first columns say something about."""
    rng = np.random.default_rng(seed)
    score = np.nan_to_num(block.values[:, 1]) - np.nanmean(block.values[:, 1])
    return (score + rng.normal(0, score.std(), score.size) > 0).astype(int)


@pytest.fixture(scope="module")
def fold() -> tuple[Workshop, np.ndarray, np.ndarray, np.ndarray]:
    """A workshop of 74 patients, training rows, test rows, labels of everybody."""
    image, numbers = embedding(74, 60, 1), clinical(74, 9, 2, missing=0.05)
    rows = np.random.default_rng(0).permutation(74)
    return workshop(image, numbers), np.sort(rows[:65]), np.sort(rows[65:]), labels_of(numbers, 3)


def pipeline(shop: Workshop, rows: np.ndarray, k: int, classifier: object) -> Pipeline:
    """The same steps from scikit-learn's own parts; flags are filled in by their mode, numbers by their median."""
    p, q = (shop.blocks[name].values.shape[1] for name in BOTH)
    train = shop.blocks["J0:clinical"].values[rows]
    fill = np.nanmedian(train, axis=0)
    flags = [i for i in range(q) if set(np.unique(train[~np.isnan(train[:, i]), i])) <= {0.0, 1.0}]
    assert len(flags) == 3 and np.isin(fill[flags], [0.0, 1.0]).all(), "median and mode agree on these flags"
    image = make_pipeline(StandardScaler(), PCA(k, svd_solver="full"), StandardScaler())
    numbers = make_pipeline(SimpleImputer(strategy="median", add_indicator=True), StandardScaler())
    parts = [("mri", image, list(range(p))), ("clinical", numbers, list(range(p, p + q)))]
    return Pipeline([("columns", ColumnTransformer(parts)), ("classifier", classifier)])


@pytest.mark.parametrize(
    ("changed", "classifier"),
    [
        ({}, SVC(kernel="linear", C=0.1, class_weight="balanced")),
        ({"c": 10.0}, SVC(kernel="linear", C=10.0, class_weight="balanced")),
        ({"kernel": "rbf", "c": 1.0}, SVC(kernel="rbf", C=1.0, class_weight="balanced")),
        ({"classifier": "logistic", "c": 1.0}, LogisticRegression(C=1.0, max_iter=300)),
    ],
)
def test_the_decision_is_that_of_scikit_learns_own_pipeline(fold, changed, classifier) -> None:
    shop, train, test, y = fold
    fitted = shop.fit(recipe(*BOTH, **changed), train, y[train], seed=1)
    k = sum("PCA" in feature for feature in fitted.features)
    full = PCA(svd_solver="full").fit(StandardScaler().fit_transform(shop.blocks["J0:mri"].values[train]))
    assert k == min(12, int(np.searchsorted(np.cumsum(full.explained_variance_ratio_), 0.95)) + 1)
    x = np.hstack([shop.blocks[name].values for name in BOTH])
    other = pipeline(shop, train, k, classifier).fit(x[train], y[train])
    values = {name: shop.blocks[name].values[test] for name in BOTH}
    np.testing.assert_allclose(fitted.decision(values), other.decision_function(x[test]), atol=1e-8)
    if "classifier" in changed:
        np.testing.assert_allclose(fitted.probability(values), other.predict_proba(x[test])[:, 1], atol=1e-8)


@pytest.mark.parametrize("kernel", ["linear", "rbf"])
@pytest.mark.parametrize("order", ["pca_on_embeddings", "concat_then_pca"])
def test_the_rule_is_the_machines_decision_function(fold, kernel: str, order: str) -> None:
    shop, train, test, y = fold
    fitted = shop.fit(recipe(*BOTH, kernel=kernel, order=order), train, y[train], seed=1)
    design = {
        where: fitted.design({name: shop.blocks[name].values[rows] for name in BOTH})
        for where, rows in (("train", train), ("test", test))
    }
    machine = SVC(kernel=kernel, C=0.1, class_weight="balanced").fit(design["train"], y[train])
    np.testing.assert_allclose(
        fitted.rule.decision(design["test"]), machine.decision_function(design["test"]), atol=1e-10
    )
    assert (fitted.rule.support is None) is (kernel == "linear")


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    kernel=st.sampled_from(["linear", "rbf"]),
    order=st.sampled_from(["pca_on_embeddings", "concat_then_pca"]),
    signal=st.booleans(),
)
def test_probabilities_keep_the_order_of_the_decisions(
    seed: int, kernel: str, order: str, signal: bool
) -> None:
    numbers = clinical(40, 4, seed, missing=0.1)
    shop = workshop(embedding(40, 10, seed), numbers)
    y = labels_of(numbers, seed) if signal else np.random.default_rng(seed).permutation(np.arange(40) % 2)
    if min(y[:30].sum(), 30 - y[:30].sum()) < 2:
        return
    fitted = shop.fit(recipe(*BOTH, kernel=kernel, order=order), np.arange(30), y[:30], seed=seed)
    values = {name: block.values[30:] for name, block in shop.blocks.items()}
    decision, probability = fitted.decision(values), fitted.probability(values)
    assert fitted.calibration[0] > 0
    assert ((probability > 0) & (probability < 1)).all()
    by_decision = np.argsort(decision)
    assert (np.diff(probability[by_decision]) >= 0).all()


@settings(max_examples=15, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    changed=st.sampled_from(
        [
            {},
            {"kernel": "rbf"},
            {"order": "concat_then_pca"},
            {"method": "pls"},
            {"method": "none"},
            {"classifier": "logistic"},
        ]
    ),
)
def test_patients_who_are_not_in_training_change_nothing(seed: int, changed: dict) -> None:
    image, numbers = embedding(40, 10, seed), clinical(40, 4, seed, missing=0.1)
    y = np.arange(40) % 2
    rows, others = np.arange(32), np.arange(32, 40)
    rng = np.random.default_rng(seed)
    moved = []
    for block in (image, numbers):
        values = block.values.copy()
        values[others] = rng.normal(300, 100, values[others].shape)
        moved.append(with_values(block, values))
    one, two = (
        shop.fit(recipe(*BOTH, **changed), rows, y[rows], seed=7)
        for shop in (workshop(image, numbers), workshop(*moved))
    )
    for a, b in zip(arrays_of(one), arrays_of(two), strict=True):
        np.testing.assert_array_equal(a, b)
    assert one.seen == frozenset(range(32))


def test_what_was_fitted_before_does_not_leak_into_another_fold() -> None:
    image, numbers = embedding(40, 10, 1), clinical(40, 4, 1, missing=0.1)
    y = np.arange(40) % 2
    shop, one = workshop(image, numbers), recipe(*BOTH)
    rows, other = np.arange(32), np.arange(8, 40)
    shop.fit(one, other, y[other], seed=1)
    shop.fit(one.with_(method="pls"), rows, y[rows], seed=1)
    shop.fit(one, rows, y[rows], seed=2)
    again = shop.fit(one, rows, y[rows], seed=1)
    alone = workshop(image, numbers).fit(one, rows, y[rows], seed=1)
    for a, b in zip(arrays_of(again), arrays_of(alone), strict=True):
        np.testing.assert_array_equal(a, b)
    pls = one.with_(method="pls")
    flipped = workshop(image, numbers).fit(pls, rows, 1 - y[rows], seed=1)
    shop.fit(pls, rows, y[rows], seed=1)
    for a, b in zip(arrays_of(shop.fit(pls, rows, 1 - y[rows], seed=1)), arrays_of(flipped), strict=True):
        np.testing.assert_array_equal(a, b)


def clinical_share(fitted: FittedRecipe, n_image: int) -> float:
    """Share of the components' loadings that lies on columns after the first ``n_image``."""
    assert fitted.joint is not None and fitted.joint.projection is not None
    loading = fitted.joint.projection / np.linalg.norm(fitted.joint.projection, axis=0)
    return float((loading[n_image:] ** 2).sum() / (loading**2).sum())


def test_components_of_everything_side_by_side_leave_little_weight_on_clinical_columns() -> None:
    image, numbers = embedding(74, 2048, 1, directions=30), clinical(74, 22, 2)
    shop, y = workshop(image, numbers), np.arange(74) % 2
    rows = np.arange(65)
    joint = shop.fit(recipe(*BOTH, order="concat_then_pca", platt_folds=0), rows, y[rows], seed=1)
    assert clinical_share(joint, 2048) < 0.01  # 22 of 2070 columns are 1.1 %
    assert joint.features == tuple(f"all PCA{i + 1}" for i in range(len(joint.features)))
    assert len(joint.features) <= 12
    apart = shop.fit(recipe(*BOTH, platt_folds=0), rows, y[rows], seed=1)
    assert apart.joint is None
    own = [feature for feature in apart.features if feature in numbers.columns]
    assert own == list(numbers.columns)
    weight = dict(zip(apart.features, np.abs(apart.rule.weight), strict=True))
    assert sum(weight[name] for name in own) > 0.3 * sum(weight.values())


def test_all_columns_side_by_side_stay_all_columns() -> None:
    shop, y = workshop(embedding(40, 30, 1), clinical(40, 4, 2)), np.arange(40) % 2
    both = [
        shop.fit(recipe(*BOTH, order=order, method="none", platt_folds=0), np.arange(40), y, seed=1)
        for order in ("concat_then_pca", "pca_on_embeddings")
    ]
    assert len(both[0].features) == 34
    np.testing.assert_array_equal(both[0].rule.weight, both[1].rule.weight)


@pytest.mark.parametrize("order", ["pca_on_embeddings", "concat_then_pca"])
@pytest.mark.parametrize("classifier", ["svm", "logistic"])
def test_images_that_are_all_the_same_predict_the_share_of_the_class(order: str, classifier: str) -> None:
    shop = workshop(Block("J0:mri", ("0", "1"), np.ones((40, 2)), components=True))
    y = np.array([1] * 10 + [0] * 30)
    fitted = shop.fit(recipe("J0:mri", order=order, classifier=classifier), np.arange(40), y, seed=1)
    assert fitted.features == ()
    assert shop.probability(fitted, np.arange(3)).tolist() == pytest.approx([0.25] * 3, abs=0.03)


def test_calibration_comes_from_inner_folds_of_the_training_patients() -> None:
    """In-sample decisions of pure noise look good; those of inner folds do not, and no slope is made of them."""
    shop = workshop(embedding(60, 200, 1))
    y = np.random.default_rng(5).permutation(np.arange(60) % 2)
    fitted = shop.fit(recipe("J0:mri", method="none", c=10.0), np.arange(60), y, seed=1)
    decision = fitted.decision({"J0:mri": shop.blocks["J0:mri"].values})
    assert (decision > 0).astype(int).tolist() == y.tolist(), "the machine knows its own patients by heart"
    probability = shop.probability(fitted, np.arange(60))
    assert probability.max() - probability.min() < 0.6


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), n=st.integers(2, 5))
def test_inner_folds_hold_whole_groups_and_both_classes_to_train_on(seed: int, n: int) -> None:
    rng = np.random.default_rng(seed)
    groups = rng.integers(0, 20, 40)
    y = rng.integers(0, 2, 40)
    folds = inner_folds(y, groups, n, seed=seed)
    if folds is None:
        assert min(len(set(groups[y == k])) for k in (0, 1)) < n or y.min() == y.max()
        return
    for group in set(groups.tolist()):
        assert len(set(folds[groups == group].tolist())) == 1
    for fold in set(folds.tolist()):
        assert set(y[folds != fold].tolist()) == {0, 1}
    np.testing.assert_array_equal(folds, inner_folds(y, groups, n, seed=seed))


def test_a_class_of_one_is_fitted_without_calibration() -> None:
    shop, y = workshop(clinical(20, 3, 1)), np.array([1] + [0] * 19)
    assert inner_folds(y, np.arange(20), 5, seed=1) is None
    fitted = shop.fit(recipe("J0:clinical"), np.arange(20), y, seed=1)
    assert fitted.calibration == (1.0, 0.0)
    assert np.isfinite(shop.probability(fitted, np.arange(20))).all()


def test_a_recipe_says_what_it_is_made_of() -> None:
    one = recipe(*BOTH)
    changed = one.with_(components=4, method="pls", c=1.0)
    assert (changed.reduction.components, changed.reduction.method, changed.c) == (4, "pls", 1.0)
    assert (one.reduction.components, one.reduction.variance) == (12, changed.reduction.variance)
    assert changed.as_dict()["blocks"] == list(BOTH)
    assert changed.as_dict()["reduction"] == {"method": "pls", "components": 4, "variance": 0.95}
