"""The whole study on a small cohort."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from reperfuse.evaluation.crossval import by_configuration, repeated_folds
from reperfuse.evaluation.discrimination import auc
from reperfuse.studies.outcome import run as running
from reperfuse.studies.outcome.run import Run, coefficients, run, weight_of_blocks
from reperfuse.studies.outcome.study import Outcome
from tests.studies.outcome.cohorts import TARGET, cohort, folds_of, patients, recipe, study

N, FOLDS = 48, 4
SESSIONS = {"J0": "ses-01", "J1": "ses-02"}
PRIMARY, COMPARATOR = "J1_mri+clinical+lesion", "J0_mri+clinical+lesion"
SENSITIVITY = {"c": [1], "components": [4], "method": ["pls"], "kernel": ["rbf"], "order": ["concat_then_pca"],
               "lesion": {"raw": ["adc620_raw"]}}  # fmt: skip
STATISTICS = {"permutations": 4, "refits": 25, "bootstrap": 20, "swaps": 20}


def made() -> tuple[Outcome, Run]:
    sources, y = cohort(N, 3)
    y2 = {who: int((row["mrs_3m"] or 0) <= 2) for who, row in sources.clinical.items()}
    one = study(
        sources, sensitivity=SENSITIVITY, statistics=STATISTICS, frozen=["J0_mri", "nothing of the kind"]
    )
    groups = {who: who for who in y}
    folds = repeated_folds(folds_of(y, FOLDS)[1], y, groups, repeats=2, salt="s")
    return one, run(one, {TARGET: y, "mrs_3m<=2": y2}, folds, SESSIONS)


@pytest.fixture(scope="module")
def done() -> tuple[Outcome, Run]:
    return made()


def test_each_patient_is_predicted_once_per_configuration_and_repeat(done) -> None:
    one, found = done
    counts = Counter((p.configuration, p.target, p.repeat, p.participant_id) for p in found.predictions)
    assert set(counts.values()) == {1}
    for name in one.recipes:
        for repeat in (1, 2):
            mine = {who for config, target, r, who in counts if (config, target, r) == (name, TARGET, repeat)}
            assert mine == set(patients(N))
    assert {p.split for p in found.predictions} == {"cv"}
    assert {p.session_id for p in found.predictions if p.configuration == "J0_mri"} == {"ses-01"}
    assert {p.session_id for p in found.predictions if p.configuration.startswith(PRIMARY)} == {"ses-02"}


def test_variants_and_other_targets_are_judged_on_the_first_folds(done) -> None:
    _, found = done
    extra = [p for p in found.predictions if "[" in p.configuration]
    assert {p.repeat for p in extra} == {1} and {p.target for p in extra} == {TARGET}
    names = {f"{base}[{change}]" for base in (PRIMARY, COMPARATOR) for change in (
        "c=1", "components=4", "method=pls", "kernel=rbf", "order=concat_then_pca", "lesion=raw", "platt=none",
    )}  # fmt: skip
    names |= {f"{base}[control={one}]" for base in (PRIMARY, COMPARATOR) for one in ("noise", "noise alone")}
    assert {p.configuration for p in extra} == names | {f"{PRIMARY}[control=identifier alone]"}
    other = [p for p in found.predictions if p.target == "mrs_3m<=2"]
    assert {p.configuration for p in other} == {PRIMARY, COMPARATOR} and {p.repeat for p in other} == {1}
    first = {(p.configuration, p.participant_id): p.fold for p in found.predictions if p.repeat == 1}
    for name, who in first:
        assert first[name, who] == first[PRIMARY, who], "every configuration has the same folds"


def test_nothing_was_fitted_on_whom_it_predicts(done) -> None:
    _, found = done
    assert {row["n_overlap"] for row in found.leakage} == {0}
    tallies = {row["configuration"]: row for row in found.leakage}
    assert set(tallies) == {p.configuration for p in found.predictions}
    assert tallies["J0_mri"]["n_fits"] == 2 * FOLDS
    assert tallies["J0_mri"]["n_seen_max"] <= N - N // FOLDS + 1
    assert found.skipped == []


def test_where_there_is_signal_it_is_found(done) -> None:
    _, found = done
    scored = by_configuration(found.predictions, target=TARGET)
    values = {name: auc(y, p) for name, (_, y, p, _) in scored.items()}
    assert values["J1_clinical"] is not None and values["J1_clinical"] > 0.75
    training = {row["configuration"]: row["auc"] for row in found.training}
    assert training[PRIMARY] > 0.8 and set(found.training[0]) == set(running.TRAINING_COLUMNS)


def test_calibration_moves_no_order_within_a_fold(done) -> None:
    _, found = done
    scored = by_configuration(found.predictions, target=TARGET)
    for name in (PRIMARY, COMPARATOR):
        _, _, after, fold = scored[name]
        _, _, before, _ = scored[f"{name}[platt=none]"]
        for one in np.unique(fold):
            order = np.argsort(before[fold == one])
            assert (np.diff(after[fold == one][order]) >= 0).all()


def test_coefficients_are_of_the_compared_linear_models(done) -> None:
    one, found = done
    rows = [row for row in found.coefficients if row["configuration"] == PRIMARY]
    assert {row["configuration"] for row in found.coefficients} == {PRIMARY, COMPARATOR}
    assert [row["rank"] for row in rows] == list(range(1, len(rows) + 1))
    sizes = [abs(row["coefficient"]) for row in rows]
    assert sizes == sorted(sizes, reverse=True)
    assert {row["feature"] for row in rows} >= {
        "age",
        "nihss",
        "nihss_24h",
        "log1p adc620 (ml)",
        "J1:mri PCA1",
    }
    for row in rows:
        component = "PCA" in row["feature"]
        assert (row["ci_low"] is None) is component and (row["sign_stability"] is None) is component
        assert row["block"] in one.recipes[PRIMARY].blocks
        if not component:
            assert row["ci_low"] <= row["ci_high"] and 0 <= row["sign_stability"] <= 1
    motor = next(row for row in rows if row["feature"] == "nihss_24h")
    assert motor["coefficient"] < 0, "a higher NIHSS speaks against a favourable outcome"
    assert motor["sign_stability"] == 1.0


def test_kernel_and_joint_components_have_no_coefficients() -> None:
    sources, labels = cohort(24, 1)
    one, y = study(sources), np.array(list(labels.values()))
    for changed in ({"kernel": "rbf"}, {"order": "concat_then_pca"}):
        some = recipe("J0:mri", "J0:clinical", **changed)
        model = one.workshop.fit(some, np.arange(24), y, seed=1)
        assert (
            coefficients("x", one.workshop, some, [model], np.arange(24), y, draws=2, level=0.9, salt="s")
            == []
        )
        assert weight_of_blocks([model]) == {}


def test_the_weight_of_a_block_is_what_its_features_weigh_together() -> None:
    sources, labels = cohort(24, 1)
    one, y = study(sources), np.array(list(labels.values()))
    model = one.workshop.fit(recipe("J0:mri", "J0:lesion"), np.arange(24), y, seed=1)
    found = weight_of_blocks([model])
    sizes = np.abs(model.rule.weight)
    assert found["J0:lesion"] == pytest.approx(sizes[-2:].sum())
    assert sum(found.values()) == pytest.approx(sizes.sum())


def test_the_permutation_begins_with_what_was_observed(done) -> None:
    _, found = done
    assert [row["draw"] for row in found.permutation] == list(range(5))
    assert {row["configuration"] for row in found.permutation} == {PRIMARY}
    scored = by_configuration(found.predictions, target=TARGET)[f"{PRIMARY}[platt=none]"]
    folds = [auc(scored[1][scored[3] == one], scored[2][scored[3] == one]) for one in range(1, FOLDS + 1)]
    # Seeds of the folds differ, and nothing of a linear model without calibration depends on them.
    assert found.permutation[0]["auc"] == pytest.approx(np.mean(folds))


def test_what_is_named_and_can_be_made_is_frozen_on_everybody(done) -> None:
    _, found = done
    assert set(found.frozen) == {"J0_mri"}
    assert found.frozen["J0_mri"].seen == frozenset(range(N))
    sources, y = cohort(24, 1)
    other = run(study(sources), {TARGET: y}, folds_of(y, 3), SESSIONS)
    assert set(other.frozen) == {PRIMARY, COMPARATOR}


def test_counts_of_features_and_missing_values_are_told(done) -> None:
    one, found = done
    assert 0 < found.missing["age"] < 0.4 and "nihss" not in found.missing
    assert (
        found.n_features["nihss_24h"] == 1
        and found.n_features[f"{PRIMARY}[components=4]"] < found.n_features[PRIMARY]
    )
    assert found.weights.keys() == one.recipes.keys()


def test_the_same_run_again_is_the_same_to_the_last_bit(done) -> None:
    _, first = done
    _, second = made()
    for part in ("predictions", "training", "leakage", "coefficients", "permutation", "weights"):
        assert getattr(first, part) == getattr(second, part), part


def test_a_label_that_is_the_same_for_all_is_no_crash() -> None:
    sources, y = cohort(16, 1)
    same = dict.fromkeys(y, 1)
    found = run(study(sources), {TARGET: same}, folds_of(same, 4), SESSIONS)
    assert found.predictions == [] and found.frozen == {} and found.coefficients == []
    assert {row["reason"] for row in found.skipped} == {"the training patients are of one class"}


def test_a_fold_without_a_class_to_learn_from_is_skipped_and_told() -> None:
    sources, y = cohort(16, 1)
    rare = ("sub-001", "sub-002")
    few = {who: int(who in rare) for who in y}
    folds = {1: {who: 1 if who in rare else 2 + i % 2 for i, who in enumerate(y)}}
    found = run(study(sources), {TARGET: few}, folds, SESSIONS)
    assert {p.fold for p in found.predictions} == {2, 3}
    assert {row["fold"] for row in found.skipped} == {1}
