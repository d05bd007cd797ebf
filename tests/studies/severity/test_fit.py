from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from reperfuse.core.errors import Refusal
from reperfuse.evaluation.discrimination import auc
from reperfuse.evaluation.leakage import Leakage
from reperfuse.evaluation.thresholded import at_threshold, youden
from reperfuse.studies.severity import assemble, fit, names, systems
from tests.studies.severity.made_cohorts import made_cohort, quick_fit, small_section, tables


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(systems.imaged, "fit", quick_fit)


def run(asked: Mapping[str, Any], cohort: assemble.Cohort, trial: str = "3-1-1") -> fit.Trial:
    """Return a trial on one thread."""
    return fit.run_trial(
        asked,
        cohort,
        trial,
        session_ids={"J0": "ses-01"},
        device="cpu",
        devices=1,
        threads=1,
        state=Path("x"),
    )


def scores(done: fit.Trial) -> dict[str, list[float]]:
    """Return configuration → scores of those held out."""
    found: dict[str, list[float]] = {}
    for row in done.predictions:
        found.setdefault(row.configuration, []).append(row.y_score)
    return found


def test_every_configuration_predicts_for_those_held_out_and_finds_what_was_planted() -> None:
    asked = small_section()
    done = run(asked, made_cohort(asked, 120))
    assert list(done.models) == list(done.facts["configurations"]) == names.configurations(asked)
    assert list(scores(done)) == names.configurations(asked)
    y = np.array([row.y_true for row in done.predictions if row.configuration == "maps"])
    found = {name: auc(y, np.array(one)) or 0 for name, one in scores(done).items()}
    assert all(value > 0.7 for value in found.values()), found
    assert found["hybrid"] > 0.8 and found["log_volume+age"] > 0.8
    held = done.facts["held_out"]
    assert [row.participant_id for row in done.predictions if row.configuration == "maps"] == held
    assert {(row.target, row.split, row.repeat, row.fold, row.session_id) for row in done.predictions} == {
        ("nihss>4", "cv", 1, 1, "ses-01")
    }
    assert done.facts["n"] == 120 - len(held) and done.facts["inner_folds"] == 3
    about = done.facts["configurations"]
    assert about["ensemble"]["weights"] == dict.fromkeys(asked["ensemble"], 0.25)
    assert list(about["hybrid"]["weights"]) == asked["hybrid"] and about["tractnet"]["loss"][0] == [1.0, 0.5]
    assert all(0 < one["threshold"] < 1 and one["platt"][0] > 0 for one in about.values())
    audited = {(row["configuration"], row["object"]): row for row in done.facts["leakage"]}
    assert audited["maps", "inner model"]["n_fits"] == 3
    assert audited["hybrid", "model"]["n_seen_min"] == done.facts["n"]


def test_what_is_known_of_those_held_out_changes_no_prediction() -> None:
    asked = small_section()
    excerpt, *others = tables(60)
    before = run(asked, assemble.cohort(asked, excerpt, *others))
    held = before.facts["held_out"]
    grades = [excerpt["clinical"][who]["nihss"] for who in held]
    for who, grade in zip(held, np.random.default_rng(1).permutation(grades), strict=True):
        excerpt["clinical"][who]["nihss"] = int(grade)
    after = run(asked, assemble.cohort(asked, excerpt, *others))
    assert after.facts["held_out"] == held and scores(after) == scores(before)
    assert [row.y_true for row in after.predictions] != [row.y_true for row in before.predictions]


def test_the_score_is_a_label_and_never_an_input() -> None:
    asked = small_section()
    cohort = made_cohort(asked, 60)
    done = run(asked, cohort)
    held = done.facts["held_out"]
    blind = replace(cohort, labels={}, grade={})
    for name, model in done.models.items():
        assert model.predict(blind, held).tolist() == scores(done)[name], name
    assert all("nihss" not in str(row) for row in cohort.clinical.values())


@pytest.mark.slow
def test_a_score_of_nothing_but_noise_is_predicted_by_chance() -> None:
    asked = small_section(networks=["tractnet"], baselines=["log_volume", "maps", "territories+age"])
    found: dict[str, list[float]] = {}
    for seed in range(6):
        cohort = made_cohort(asked, 90, seed=seed, noise=True)
        for fold in (1, 2, 3):
            done = run(asked, cohort, f"3-1-{fold}")
            y = np.array([cohort.labels[who] for who in done.facts["held_out"]])
            for name, one in scores(done).items():
                found.setdefault(name, []).append(auc(y, np.array(one)) or 0.5)
    # The mean of 18 AUCs of 30 patients has an SD of about 0.03.
    assert all(abs(np.mean(values) - 0.5) < 0.1 for values in found.values()), found


def test_what_nobody_has_drops_out_and_what_one_lacks_is_filled_in() -> None:
    asked = small_section()
    excerpt, records, images, _ = tables(60)
    for steps in records.values():
        steps["lesions"]["facts"]["loads"] = []
    records["sub-009"] = {}
    del excerpt["clinical"]["sub-010"]["age"]
    done = run(asked, assemble.cohort(asked, excerpt, records, images, {}))
    about = done.facts["configurations"]
    assert about["maps"]["not_fitted"] == "nobody's lesion was carried to the template"
    assert about["territories+age"]["not_fitted"] == "nobody's lesion was measured in the regions of an atlas"
    assert about["ensemble"]["without"] == ["maps", "territories"]
    assert about["ensemble"]["weights"] == {"tractnet": 0.5, "log_volume": 0.5}
    assert about["hybrid"]["without"] == ["maps", "territories"] and "age" in about["hybrid"]["weights"]
    assert about["log_volume"]["filled_in"] == ["sub-009"]
    assert about["log_volume+age"]["filled_in"] == ["sub-009", "sub-010"]
    assert all(math.isfinite(row.y_score) for row in done.predictions)
    assert set(scores(done)) == {"tractnet", "log_volume", "log_volume+age", "ensemble", "hybrid"}


def test_without_lesion_atlas_and_age_networks_are_left() -> None:
    asked = small_section()
    excerpt, _, images, _ = tables(40)
    for row in excerpt["clinical"].values():
        del row["age"]
    done = run(asked, assemble.cohort(asked, excerpt, {}, images, {}))
    assert set(scores(done)) == {"tractnet", "ensemble", "hybrid"}
    assert done.facts["configurations"]["hybrid"]["without"] == ["maps", "territories", "log_volume", "age"]
    assert done.facts["configurations"]["log_volume"]["not_fitted"]


def test_a_training_that_fails_takes_no_other_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(*_: Any, **__: Any) -> Any:
        raise Refusal("E170", what="loss", value="nan", step=3, epoch=1, batch=3)

    monkeypatch.setattr(systems.imaged, "fit", failing)
    asked = small_section(ensemble=["tractnet"])
    done = run(asked, made_cohort(asked, 40))
    about = done.facts["configurations"]
    assert "the loss became nan at step 3" in about["tractnet"]["not_fitted"]
    assert about["ensemble"]["not_fitted"] == "none of its configurations was fitted"
    assert "tractnet" not in scores(done) and "maps" in scores(done)


def test_one_class_alone_is_not_fitted_and_few_of_one_make_fewer_inner_folds() -> None:
    asked = small_section()
    excerpt, *others = tables(30)
    for i, row in enumerate(excerpt["clinical"].values()):
        row["nihss"] = 20 if i in (7, 10, 13) else 0  # of folds 2, 2, 2
    done = run(asked, assemble.cohort(asked, excerpt, *others), "3-1-2")
    assert "cannot be divided" in done.facts["not_fitted"] and not done.predictions and not done.models
    done = run(small_section(inner_folds=8), assemble.cohort(asked, excerpt, *others), "3-1-1")
    assert done.facts["inner_folds"] == 3 and len(done.models) == 8
    excerpt["clinical"]["sub-007"]["nihss"] = 0
    done = run(asked, assemble.cohort(asked, excerpt, *others), "3-1-1")
    assert done.facts["inner_folds"] == 2 and all(math.isfinite(row.y_score) for row in done.predictions)
    assert (
        run(asked, assemble.cohort(asked, excerpt, *others), "3-1-7").facts["not_fitted"]
        == "nobody is held out"
    )


def test_a_decision_that_ranks_the_wrong_way_round_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def upside_down(*given: Any, **how: Any) -> Any:
        found = quick_fit(*given, **how)
        return replace(found, oof=-np.asarray(found.oof))

    monkeypatch.setattr(systems.imaged, "fit", upside_down)
    asked = small_section()
    done = run(asked, made_cohort(asked, 60))
    about = done.facts["configurations"]["tractnet"]
    assert about["platt"][0] == 0 and about["threshold"] is None
    assert len(set(scores(done)["tractnet"])) == 1


def test_other_cross_validations_are_named_and_keep_no_models() -> None:
    asked = small_section(other_n_folds=[2], repeats=2, once=["territories"])
    cohort = made_cohort(asked, 60)
    done = run(asked, cohort, "2-1-1")
    assert {row.split for row in done.predictions} == {"cv:2"} and done.models == {}
    assert "territories" in scores(done)
    again = run(asked, cohort, "3-2-1")
    assert {(row.split, row.repeat) for row in again.predictions} == {("cv", 2)} and again.models == {}
    assert set(names.configurations(asked)) - set(scores(again)) == {"territories", "ensemble", "hybrid"}
    assert scores(run(asked, cohort, "3-2-1")) == scores(again)


def test_relatives_on_both_sides_end_the_run() -> None:
    asked = small_section()
    cohort = made_cohort(asked, 60)
    with pytest.raises(Leakage, match="on both sides"):
        run(asked, replace(cohort, groups={**cohort.groups, "sub-030": "f", "sub-031": "f"}))


def test_youden_s_threshold_is_the_best_of_all() -> None:
    rng = np.random.default_rng(4)
    for _ in range(20):
        p = rng.random(30).round(1)
        y = (rng.random(30) < p).astype(int)
        if not 0 < y.sum() < 30:
            continue
        best = youden(y, p)
        assert best is not None and best not in p

        def gain(threshold: float, y: Any = y, p: Any = p) -> float:
            found = at_threshold(y, p, threshold=threshold)
            return (found["sensitivity"] or 0) + (found["specificity"] or 0)

        assert gain(best) == pytest.approx(max(gain(one) for one in np.linspace(0.05, 0.95, 10)))
    assert youden([1, 1], [0.2, 0.3]) is None and youden([0, 1], [0.3, 0.3]) is None
    assert youden([0, 1], [0.2, 0.4]) == pytest.approx(0.3)
