from __future__ import annotations

import warnings
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reperfuse.evaluation.crossval import CrossValidated, by_configuration, cross_validate, repeated_folds
from reperfuse.evaluation.interface import Prediction
from reperfuse.evaluation.leakage import Audit, Leakage
from tests.evaluation.systems import Honest, Scaled

Cohort = tuple[dict[str, int], dict[str, int], dict[str, str]]


@st.composite
def cohorts(draw: st.DrawFn) -> Cohort:
    """First folds, labels and groups of patients; a group has one first fold, as the fold table sees to."""
    n = draw(st.integers(4, 30))
    families = draw(st.lists(st.integers(0, 12), min_size=n, max_size=n))
    place = draw(st.lists(st.integers(1, 4), min_size=13, max_size=13))
    labels = draw(st.lists(st.integers(0, 1), min_size=n, max_size=n))
    ids = [f"sub-{i:02}" for i in range(n)]
    groups = {one: f"family-{family}" for one, family in zip(ids, families, strict=True)}
    return (
        {one: place[f] for one, f in zip(ids, families, strict=True)},
        dict(zip(ids, labels, strict=True)),
        groups,
    )


def quietly(cohort: Cohort, repeats: int, salt: str) -> dict[int, dict[str, int]]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # scikit-learn says so where a class has fewer patients than folds
        return repeated_folds(*cohort, repeats=repeats, salt=salt)


@settings(max_examples=60, deadline=None)
@given(cohort=cohorts(), salt=st.text(max_size=3))
def test_every_repeat_places_everybody_once_and_keeps_groups_together(cohort: Cohort, salt: str) -> None:
    first, labels, groups = cohort
    folds = quietly(cohort, 4, salt)
    assert folds[1] == first and set(folds) in ({1, 2, 3, 4}, {1})
    for places in folds.values():
        assert set(places) == set(labels)
        assert all(
            len({places[one] for one in labels if groups[one] == g}) == 1 for g in set(groups.values())
        )
        assert set(places.values()) <= set(range(1, 5))
    assert folds == quietly(cohort, 4, salt)


@settings(max_examples=60, deadline=None)
@given(cohort=cohorts())
def test_everybody_is_predicted_once_per_system_and_repeat_by_models_that_never_saw_the_family(
    cohort: Cohort,
) -> None:
    _, labels, groups = cohort
    folds = quietly(cohort, 3, "s")
    systems = {"a": Honest(), "b": Honest()}
    audit = Audit(groups)
    done = cross_validate(systems, labels, folds, audit, target="t", session_ids={"a": "ses-01"}, salt="s")
    skipped = {(row["configuration"], row["repeat"], row["fold"]) for row in done.skipped}
    expected = Counter(
        (name, repeat, one)
        for name in systems
        for repeat, places in folds.items()
        for one in labels
        if (name, repeat, places[one]) not in skipped
    )
    assert Counter((p.configuration, p.repeat, p.participant_id) for p in done.predictions) == expected
    for p in done.predictions:
        assert p.fold == folds[p.repeat or 0][p.participant_id] and p.y_true == labels[p.participant_id]
        assert p.split == "cv" and p.session_id == ("ses-01" if p.configuration == "a" else "")
        assert 0 <= p.y_score <= 1
    for name, repeat, fold in skipped:
        train = [label for one, label in labels.items() if folds[repeat][one] != fold]
        assert len(set(train)) < 2 and name in systems
    # The same folds, labels and seeds for every system, and no table row for a fit that was not made.
    assert systems["a"].fits == systems["b"].fits
    assert sum(row["n_fits"] for row in audit.rows()) == len(systems["a"].fits) * 2 == len(done.training)
    assert all(
        len(models) == len({f for r, f in folds_of(done, name)}) for name, models in done.models.items()
    )


def folds_of(done: CrossValidated, name: str) -> set[tuple[int | None, int | None]]:
    return {(p.repeat, p.fold) for p in done.predictions if p.configuration == name and p.repeat == 1}


def four(labels: str) -> tuple[dict[str, int], dict[int, dict[str, int]]]:
    """Patients a to h, two in each of four folds."""
    ids = "abcdefgh"
    return dict(zip(ids, map(int, labels), strict=True)), {1: {one: 1 + i // 2 for i, one in enumerate(ids)}}


def test_training_patients_of_one_class_are_not_fitted_and_are_listed() -> None:
    labels, folds = four("11000000")
    done = cross_validate({"x": Honest()}, labels, folds, Audit({}), target="t", session_ids={}, salt="s")
    assert done.skipped == [
        {"configuration": "x", "repeat": 1, "fold": 1, "reason": "the training patients are of one class"}
    ]
    assert {p.participant_id for p in done.predictions} == set("cdefgh")
    assert [row["fold"] for row in done.training] == [2, 3, 4] and len(done.models["x"]) == 3


def test_a_cohort_of_one_class_gives_no_model_and_no_error() -> None:
    labels, folds = four("00000000")
    done = cross_validate({"x": Honest()}, labels, folds, Audit({}), target="t", session_ids={}, salt="s")
    assert done.predictions == [] and len(done.skipped) == 4 and done.models == {}
    assert repeated_folds(folds[1], {}, {}, repeats=5, salt="s") == {1: {}}


def test_more_folds_than_either_class_has_patients_is_no_error() -> None:
    labels, folds = four("10110010")
    lone = {one: i + 1 for i, one in enumerate(labels)}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = repeated_folds(lone, labels, {}, repeats=3, salt="s")
    assert found[1] == lone and {len(set(found[r].values())) for r in (2, 3)} == {4}
    one_fold = dict.fromkeys(labels, 1)
    assert repeated_folds(one_fold, labels, {}, repeats=3, salt="s") == {1: one_fold}
    assert folds[1] != found[2]


def test_later_repeats_are_stratified_and_depend_on_the_salt() -> None:
    ids = [f"sub-{i:02}" for i in range(48)]
    labels = {one: int(i % 3 == 0) for i, one in enumerate(ids)}
    first = {one: i % 8 + 1 for i, one in enumerate(ids)}
    folds = repeated_folds(first, labels, {}, repeats=6, salt="s")
    for repeat in range(2, 7):
        found = Counter((folds[repeat][one], labels[one]) for one in ids)
        assert set(found.values()) == {2, 4}
    assert len({tuple(places[one] for one in ids) for places in folds.values()}) == 6
    assert folds[2] != repeated_folds(first, labels, {}, repeats=2, salt="t")[2]
    assert folds[2] == repeated_folds(first, labels, {}, repeats=2, salt="s")[2]


def test_a_patient_who_is_placed_late_takes_part_and_one_without_place_does_not() -> None:
    labels, folds = four("10101010")
    del folds[1]["h"]
    done = cross_validate({"x": Honest()}, labels, folds, Audit({}), target="t", session_ids={}, salt="s")
    assert {p.participant_id for p in done.predictions} == set("abcdefg")


def test_what_was_scaled_on_everybody_ends_the_run() -> None:
    labels, folds = four("10101010")
    systems = {"honest": Honest(), "scaled": Scaled(frozenset(labels))}
    with pytest.raises(Leakage, match="whole pipeline of scaled was fitted on 2 of the patients"):
        cross_validate(systems, labels, folds, Audit({}), target="t", session_ids={}, salt="s")


def test_a_family_on_both_sides_ends_the_run() -> None:
    labels, folds = four("10101010")
    with pytest.raises(Leakage, match="E161"):
        cross_validate(
            {"x": Honest()}, labels, folds, Audit({"a": "f", "c": "f"}), target="t", session_ids={}, salt="s"
        )


def test_seeds_differ_between_folds_and_repeats_and_not_between_systems() -> None:
    labels, folds = four("10101010")
    folds[2] = {one: 5 - fold for one, fold in folds[1].items()}
    system = Honest()
    cross_validate({"x": system}, labels, folds, Audit({}), target="t", session_ids={}, salt="s")
    assert len({seed for *_, seed in system.fits}) == 8


def test_predictions_of_one_repeat_come_sorted_with_their_labels() -> None:
    def one(who: str, **changes: object) -> Prediction:
        plain: dict[str, object] = {
            "participant_id": who, "session_id": "", "target": "t", "configuration": "x", "split": "cv",
            "repeat": 1, "fold": 2, "y_true": 1, "y_score": 0.25,
        }  # fmt: skip
        return Prediction(**(plain | changes))  # type: ignore[arg-type]

    rows = [
        one("c"), one("a", y_true=0, y_score=0.5), one("b", repeat=2), one("d", target="u"), one("e", y_true=None),
        one("f", split="external:b", repeat=None, fold=None), one("g", configuration="y"),
    ]  # fmt: skip
    found = by_configuration(rows, target="t")
    ids, y, score, fold = found["x"]
    assert ids == ["a", "c"] and set(found) == {"x", "y"}
    np.testing.assert_array_equal(y, [0, 1])
    np.testing.assert_array_equal(score, [0.5, 0.25])
    np.testing.assert_array_equal(fold, [2, 2])
    assert by_configuration(rows, target="t", split="external:b", repeat=None)["x"][0] == ["f"]
