from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score
from sklearn.svm import SVC

from reperfuse.studies.transformation.baselines import KINDS, Columns, make

PARAMS: dict[str, dict[str, Any]] = {
    "linear": {"calibration_folds": 3},
    "forest": {"trees": 60, "max_features": "sqrt", "min_leaf": 1},
    "svm": {"calibration_folds": 3, "c": 1.0, "gamma": 1.0, "exact_up_to": 10_000, "components": 50},
    "srkda": {
        "calibration_folds": 3,
        "alpha": 0.1,
        "width": 1.0,
        "width_samples": 3000,
        "landmarks": 10_000,
    },
}


def cohort(n: int = 600, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return vectors of very different scales, labels that one of them shows, and patients."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 8)).astype(np.float32)
    y = (x[:, 0] + 0.7 * rng.normal(size=n) > 0).astype(int)
    x *= np.array([0.01, 100, 1, 1, 1, 1, 1, 0], dtype=np.float32)
    return x, y, np.arange(n) // 10


@pytest.mark.parametrize("name", KINDS)
def test_a_baseline_finds_what_is_there_and_is_calibrated(name: str) -> None:
    x, y, groups = cohort()
    shown, truth, _ = cohort(2000, seed=1)
    found = make(name, PARAMS[name], 1).fit(x, y, groups).predict(shown)
    assert found.shape == (2000,) and ((found >= 0) & (found <= 1)).all()
    assert roc_auc_score(truth, found) > 0.83  # 0.9 is possible
    for low, high in ((0.0, 0.35), (0.35, 0.65), (0.65, 1.0)):
        part = (found >= low) & (found <= high)
        assert part.sum() > 20 and abs(found[part].mean() - truth[part].mean()) < 0.12


@pytest.mark.parametrize("name", KINDS)
def test_the_seed_decides_and_the_number_of_threads_does_not(name: str) -> None:
    x, y, groups = cohort(200)
    first = make(name, PARAMS[name], 3).fit(x, y, groups).predict(x)
    assert np.array_equal(first, make(name, PARAMS[name], 3, threads=2).fit(x, y, groups).predict(x))


def test_folds_of_patients_see_through_a_fingerprint() -> None:
    """Voxels of a patient that are alike teach nothing about others; decisions on them must not look sure."""
    rng = np.random.default_rng(5)
    groups = np.arange(300) // 10
    of_patient = rng.normal(size=(30, 6))
    x = of_patient[groups] + 0.01 * rng.normal(size=(300, 6))
    y = (rng.random(30) < 0.5).astype(int)[groups]
    spread = {}
    for kind, given in (("patients", groups), ("voxels", None)):
        spread[kind] = float(np.std(make("svm", PARAMS["svm"], 1).fit(x, y, given).predict(x)))
    assert spread["patients"] < 0.5 * spread["voxels"]


def test_the_exact_machine_decides_as_scikit_learn_does() -> None:
    x, y, groups = cohort(300)
    ours = make("svm", PARAMS["svm"], 1).fit(x, y, groups)
    z = Columns.of(x)(x)
    expected = SVC(C=1.0, gamma=1 / 8).fit(z, y).decision_function(z)
    assert np.allclose(ours._decision(z), expected, atol=1e-5)


def test_many_voxels_are_approximated() -> None:
    x, y, groups = cohort(900)
    exact = make("svm", PARAMS["svm"], 1).fit(x, y, groups).predict(x)
    few = (
        make("svm", {**PARAMS["svm"], "exact_up_to": 500, "components": 200}, 1).fit(x, y, groups).predict(x)
    )
    assert not np.array_equal(exact, few)
    assert np.corrcoef(exact, few)[0, 1] > 0.9


def test_without_enough_patients_the_order_is_kept() -> None:
    x, y, _ = cohort(200)
    model = make("linear", PARAMS["linear"], 1).fit(x, y, y)  # one patient of each class
    assert roc_auc_score(y, model.predict(x)) > 0.85


def test_noise_does_not_turn_the_order_round() -> None:
    rng = np.random.default_rng(11)
    x, y = rng.normal(size=(60, 5)), np.arange(60) % 2
    found = [make("linear", PARAMS["linear"], seed).fit(x, y) for seed in range(8)]
    assert all(model._sigmoid[0] > 0 for model in found)


def test_what_cannot_be_made_or_fitted_is_refused() -> None:
    x, _, groups = cohort(50)
    with pytest.raises(ValueError, match="baseline is 'lasso'; expected one of linear, forest, svm, srkda"):
        make("lasso", {}, 1)
    with pytest.raises(TypeError):
        make("forest", {**PARAMS["forest"], "depth": 3}, 1)
    with pytest.raises(TypeError):
        make("svm", {"c": 1.0}, 1)
    for name in KINDS:
        with pytest.raises(ValueError, match="expected 0 and 1, both"):
            make(name, PARAMS[name], 1).fit(x, np.zeros(50, dtype=int), groups)
