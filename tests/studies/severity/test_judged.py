"""What the study's tables say can be recomputed from predictions by someone who trusts nothing, and no cell is NaN."""

from __future__ import annotations

import math
from collections.abc import Iterator
from statistics import fmean
from typing import Any

import numpy as np
import pytest
from scipy.special import logit
from sklearn.metrics import confusion_matrix, f1_score, precision_score, recall_score, roc_auc_score

from reperfuse.core.tables import cell
from reperfuse.evaluation.interface import Prediction
from reperfuse.evaluation.reported import read_paper
from reperfuse.studies.severity import definitions, summary
from reperfuse.studies.severity.judge import RECALIBRATED, with_recalibrated
from reperfuse.studies.severity.report import Judged
from tests.studies.severity.made_predictions import CONFIGURATIONS, ROOT, Sample, sample

PAPER = ROOT / "resources/papers/severity.tsv"
TABLES = (
    "metrics metrics-by-fold averages consistency comparisons roc calibration decision conformal subgroups cuts "
    "thresholds ablations left-out leakage training paper tripod predictions"
).split()


@pytest.fixture(scope="module")
def made() -> Sample:
    return sample()


@pytest.fixture(scope="module")
def found(made: Sample) -> Judged:
    return made.judged()


def rows_of(found: Judged, table: str, **wanted: Any) -> list[dict[str, Any]]:
    return [row for row in found.tables[table][0] if all(row.get(k) == v for k, v in wanted.items())]


def one_of(found: Judged, table: str, **wanted: Any) -> dict[str, Any]:
    (row,) = rows_of(found, table, **wanted)
    return row


def of(made: Sample, name: str, split: str, repeat: int = 1) -> tuple[np.ndarray, ...]:
    chosen = [
        one for one in made.predictions if (one.configuration, one.split, one.repeat) == (name, split, repeat)
    ]
    return tuple(np.array([getattr(one, key) for one in chosen]) for key in ("y_true", "y_score", "fold"))


def values(found: Judged) -> Iterator[tuple[str, str, Any]]:
    for name, (rows, columns) in found.tables.items():
        for row in rows:
            for column in columns:
                yield name, column, row.get(column)


def test_every_table_of_the_contract_is_there_and_holds_no_other_columns(found: Judged) -> None:
    assert sorted(found.tables) == sorted(TABLES)
    for name, (rows, columns) in found.tables.items():
        assert rows, name
        assert {key for row in rows for key in row} <= set(columns), name


def test_no_cell_is_nan_or_infinite(found: Judged) -> None:
    for name, column, value in values(found):
        assert not isinstance(value, float) or math.isfinite(value), (name, column)


@pytest.mark.parametrize("split", ["cv", "cv:3"])
@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_auc_is_that_of_the_predictions_in_each_cross_validation(
    found: Judged, made: Sample, name: str, split: str
) -> None:
    y, p, fold = of(made, name, split)
    pooled = one_of(found, "metrics", configuration=name, split=split, metric="auc", estimator="pooled")
    assert pooled["estimate"] == pytest.approx(roc_auc_score(y, p))
    mean = one_of(found, "metrics", configuration=name, split=split, metric="auc", estimator="fold_mean")
    folds = [roc_auc_score(y[fold == one], p[fold == one]) for one in np.unique(fold)]
    assert len(folds) == (4 if split == "cv" else 3)
    assert mean["estimate"] == pytest.approx(fmean(folds))
    again = one_of(found, "metrics", configuration=name, split=split, metric="auc", estimator="repeats")
    both = [roc_auc_score(*of(made, name, split, repeat)[:2]) for repeat in (1, 2)]
    assert again["estimate"] == pytest.approx(fmean(both))


def test_youdens_threshold_is_that_of_each_patients_own_fold(found: Judged, made: Sample) -> None:
    y, p, fold = of(made, "resnet18", "cv")
    called = (p >= 0.4 + 0.02 * fold).astype(int)
    for average, key in (("binary", "positive"), ("macro", "macro"), ("weighted", "weighted")):
        row = one_of(found, "averages", configuration="resnet18", split="cv", threshold="youden", average=key)
        assert row["sensitivity"] == pytest.approx(recall_score(y, called, average=average))
        assert row["ppv"] == pytest.approx(precision_score(y, called, average=average))
        assert row["f1"] == pytest.approx(f1_score(y, called, average=average))
        assert row["auc_scores"] == pytest.approx(roc_auc_score(y, p))
        assert row["auc_labels"] == pytest.approx(roc_auc_score(y, called))
    stated = rows_of(found, "thresholds", configuration="resnet18", name="youden")
    assert [row["value"] for row in stated] == pytest.approx([0.45, 0.44])  # means of 4 and of 3 folds


def test_other_cohorts_are_cut_at_the_threshold_of_this_one(found: Judged, made: Sample) -> None:
    limit = one_of(found, "thresholds", configuration="tractnet", name="youden (external)")["value"]
    y, p, _ = of(made, "tractnet", "cv")
    gain = [np.mean(p[y == 1] >= one) + np.mean(p[y == 0] < one) for one in (limit, *p)]
    assert gain[0] == pytest.approx(max(gain))
    theirs = [row for row in made.scores if row["configuration"] == "tractnet" and row["y_true"]]
    labels = np.array([int(row["y_true"]) for row in theirs])
    called = np.array([float(row["y_score"]) >= limit for row in theirs]).astype(int)
    row = one_of(
        found,
        "averages",
        configuration="tractnet",
        split="external:other",
        threshold="youden",
        average="positive",
    )
    assert row["sensitivity"] == pytest.approx(recall_score(labels, called))
    assert row["n"] == 47 == labels.size


def test_recalibrated_scores_stand_apart_have_the_cohorts_prevalence_and_the_same_auc(found: Judged) -> None:
    at = {"split": "external:other", "metric": "auc", "estimator": "pooled"}
    fixed = one_of(found, "metrics", configuration="tractnet", **at)
    shifted = one_of(found, "metrics", configuration="tractnet[recalibrated]", **at)
    assert fixed["estimate"] == pytest.approx(shifted["estimate"])
    at["metric"] = "calibration_in_the_large"
    assert abs(one_of(found, "metrics", configuration="tractnet", **at)["estimate"]) > 0.2
    assert one_of(found, "metrics", configuration="tractnet[recalibrated]", **at)[
        "estimate"
    ] == pytest.approx(0, abs=1e-6)
    assert not rows_of(found, "predictions", configuration="tractnet[recalibrated]")
    assert any("[recalibrated] use the labels" in text for text in found.summary["notices"])


def test_our_rows_come_from_one_confusion_matrix(found: Judged, made: Sample) -> None:
    ours = rows_of(found, "consistency", source="ours")
    assert len(ours) == len(found.tables["averages"][0]) > 80
    assert all(row["passes"] == 1 and row["distance"] < 1e-9 for row in ours)
    y, p, _ = of(made, "tractnet", "cv")
    tn, fp, fn, tp = confusion_matrix(y, p >= 0.5).ravel()
    notes = [row["note"] for row in rows_of(found, "consistency", source="ours", name="tractnet", split="cv")]
    assert notes[0] == f"threshold 0.5; nearest: TP {tp}, FN {fn}, FP {fp}, TN {tn}"


def test_the_papers_rows_come_from_none(found: Judged) -> None:
    paper = rows_of(found, "consistency", source="paper")
    assert {(row["name"], row["n"]) for row in paper} == {("AMC", 273), ("SOOP", 1106)}
    assert all(row["passes"] == 0 for row in paper)
    distance = {(row["name"], row["average"]): row["distance"] for row in paper}
    assert distance["AMC", "positive"] == pytest.approx(0.0472, abs=1e-4)
    assert distance["SOOP", "positive"] == pytest.approx(0.0353, abs=1e-4)
    for name in ("AMC", "SOOP"):
        assert min(distance[name, one] for one in ("macro", "weighted")) > distance[name, "positive"]
        assert 0.001 < distance[name, "any"] < 0.002
    said = " ".join(found.summary["notices"])
    assert (
        "AMC come from no single confusion matrix of 273 patients" in said and "misses ppv by 0.047" in said
    )


def test_the_paper_stands_beside_cross_validations_alone(found: Judged) -> None:
    row = one_of(found, "metrics", configuration="tractnet", split="cv", metric="auc", estimator="fold_mean")
    assert row["paper"] == "0.8137"
    amc = rows_of(found, "paper", cohort="AMC", metric="auc")
    assert [(one["split"], one["estimator"]) for one in amc] == [
        ("cv", "fold_mean"), ("cv", "pooled"), ("cv:3", "fold_mean"), ("cv:3", "pooled"),
    ]  # fmt: skip
    assert amc[0]["ours"] == row["estimate"]
    soop = one_of(found, "paper", cohort="SOOP", metric="auc")
    assert soop["paper"] == "0.7094" and soop.get("ours") is None and "fitted on AMC" in soop["note"]
    assert read_paper(PAPER).of("tractnet", "auc", split="external:SOOP") == "0.7094"
    assert {row["metric"] for row in rows_of(found, "metrics") if row["paper"]} == {"auc"}
    other = one_of(found, "paper", cohort="AMC", metric="sensitivity")
    assert other["paper"] == "0.81" and other.get("ours") is None and "which average" in other["note"]


def test_who_is_compared_with_whom(found: Judged) -> None:
    rows = rows_of(found, "comparisons", split="cv", test="corrected_t")
    pairs = [(row["first"], row["second"]) for row in rows]
    assert pairs[0] == ("tractnet", "log_volume") and rows[0]["role"] == "primary"
    assert {row["role"] for row in rows[1:]} == {"secondary"}
    assert ("tractnet", "hybrid") in pairs and ("hybrid", "log_volume") in pairs
    assert len(pairs) == len(set(pairs)) == 9
    tests = [
        row["test"]
        for row in rows_of(found, "comparisons", split="cv", first="tractnet", second="log_volume")
    ]
    assert tests == ["delong", "label_swap", "corrected_t", "naive_t", "corrected_t_repeats"]
    assert {row["role"] for row in rows_of(found, "comparisons", split="cv:3")} == {"secondary"}
    assert {row["test"] for row in rows_of(found, "comparisons", role="external")} == {"delong", "label_swap"}
    assert found.summary["primary_test"] == "corrected_t_repeats"


def test_adjustment_is_by_cross_validation(found: Judged) -> None:
    for split in ("cv", "cv:3"):
        rows = rows_of(found, "comparisons", split=split, test="delong", role="secondary")
        order = sorted(rows, key=lambda row: row["p"])
        last = order[-1]
        assert last["p_adjusted"] == pytest.approx(last["p"])
        assert order[0]["p_adjusted"] <= order[0]["p"] * len(rows) + 1e-12
        assert all(row["p_adjusted"] >= row["p"] - 1e-12 for row in rows)


def test_cuts_judge_the_same_scores_again(found: Judged, made: Sample) -> None:
    rows = rows_of(found, "cuts", configuration="log_volume")
    assert [row["cut"] for row in rows] == [3, 4, 5]
    grade = {who: row["nihss"] for who, row in made.manifests[0]["clinical"].items()}
    chosen = [
        one for one in made.predictions
        if (one.configuration, one.split, one.repeat) == ("log_volume", "cv", 1)
    ]  # fmt: skip
    y = [int(grade[one.participant_id] > 5) for one in chosen]
    assert rows[2]["auc"] == pytest.approx(roc_auc_score(y, [one.y_score for one in chosen]))
    assert rows[2]["n_positive"] == sum(y) and rows[1]["note"] == "the declared cut"


def test_subgroups_by_volume_and_earlier_stroke(found: Judged) -> None:
    rows = rows_of(found, "subgroups", configuration="tractnet", variable="lesion_ml")
    assert [row["level"] for row in rows] == ["< 1 ml", "1 to 10 ml", "10 to 70 ml", ">= 70 ml"]
    assert sum(row["n"] for row in rows) == 80
    earlier = rows_of(found, "subgroups", configuration="tractnet", variable="prior_stroke")
    assert {row["level"]: row["n"] for row in earlier} == {"no": 64, "yes": 15, "not known": 1}
    assert any("15 patients had a stroke before this one" in text for text in found.summary["notices"])
    assert {row["configuration"] for row in found.tables["subgroups"][0]} == {
        "tractnet",
        "log_volume",
        "ensemble",
        "hybrid",
    }


def test_ablations_are_differences_over_the_same_folds(found: Judged, made: Sample) -> None:
    base, variant = found.tables["ablations"][0]
    assert (base["variant"], variant["variant"]) == ("as declared", "no_mamba")
    assert base.get("difference") is None and variant["n_parameters"] == 700
    assert variant["difference"] == pytest.approx(variant["auc_fold_mean"] - base["auc_fold_mean"])
    assert variant["ci_low"] < variant["difference"] < variant["ci_high"]


def test_volume_is_named_beside_the_primary(found: Judged) -> None:
    (said,) = (text for text in found.summary["notices"] if "the volume of the lesion alone" in text)
    at = {"split": "cv", "metric": "auc", "estimator": "fold_mean"}
    assert f"one of {one_of(found, 'metrics', configuration='log_volume', **at)['estimate']:.3f}" in said
    row = one_of(found, "comparisons", split="cv", test="corrected_t_repeats", role="primary")
    assert f"the folds of all repeats {row['difference']:+.3f} ({row['ci_low']:+.3f} to" in said


def test_training_leakage_and_left_out(found: Judged) -> None:
    losses = rows_of(found, "training", trial="4-1-2", configuration="tractnet")
    assert [(row["member"], row["epochs"], row["first_loss"], row["last_loss"]) for row in losses] == [
        (1, 2, 0.7, 0.5), (2, 2, 0.8, 0.4),
    ]  # fmt: skip
    assert len(found.tables["leakage"][0]) == 14 and {
        row["n_overlap"] for row in found.tables["leakage"][0]
    } == {0}
    stages = [(row["participant_id"], row["stage"]) for row in found.tables["left-out"][0]]
    assert stages == [("sub-900", "external:other"), ("sub-999", "image")]


def test_the_summary_says_what_pages_read(found: Judged) -> None:
    said = found.summary
    assert said["n"] == 80 and 0 < said["n_positive"] < 80 and said["target"] == "nihss>4"
    assert said["primary"] == {"first": "tractnet", "second": "log_volume"}
    assert said["external"]["other"] == {"n_scored": 50, "n_labelled": 47, "n_left_out": 1, "why": "no image"}
    assert "tractnet[no_mamba]" not in said["main"] and "hybrid" in said["main"]
    assert said["sources"]["patients in the paper"] == "273"
    assert found.assumptions == {"study": "severity", "assumed": {"minor_max": 4}}
    status = {row["item"]: row["status"] for row in found.tables["tripod"][0]}
    assert {status[item] for item in ("1", "8a", "12a", "12f", "21", "23a")} == {"from this run"}


def test_masks_instead_of_images_are_said(made: Sample) -> None:
    section = {**made.section, "channels": ["lesion"]}
    assert summary.labels_of(section) == {"tractnet": "TRACT-NET on lesion masks"}
    assert "lesion masks" in summary.title_of(section)
    found = Sample(section, *list(vars(made).values())[1:]).judged()
    assert any("do not reproduce the paper" in text for text in found.summary["notices"])


@pytest.mark.parametrize("trial", ["4-1-2", "4-2-1", "3-1-1"])
def test_a_configuration_that_one_fold_lacks_is_said_and_ends_nothing(made: Sample, trial: str) -> None:
    found = made.without("tractnet", trial).judged()
    assert any(
        "Not fitted in at least one fold: tractnet (its loss was not finite)" in t
        for t in found.summary["notices"]
    )
    compared = rows_of(found, "comparisons", split="cv", first="tractnet", test="corrected_t")
    assert bool(compared) == (trial != "4-1-2")
    for name, column, value in values(found):
        assert not isinstance(value, float) or math.isfinite(value), (name, column)


def test_a_comparator_that_was_never_made(made: Sample) -> None:
    predictions = [one for one in made.predictions if one.configuration != "log_volume"]
    records = [
        {**one, "facts": {**one["facts"], "configurations": {
            **one["facts"]["configurations"], "log_volume": {"not_fitted": "no lesion"}}}}
        if one["step"] == "severity_fold" else one for one in made.records
    ]  # fmt: skip
    scores = [row for row in made.scores if row["configuration"] != "log_volume"]
    found = Sample(made.section, made.manifests, records, predictions, scores, made.unscored).judged()
    said = " ".join(found.summary["notices"])
    assert "log_volume, which was to be compared, could not be made" in said and "(no lesion)" in said
    assert found.summary["primary"] == {"first": "tractnet"} and found.summary["power"] == {}
    assert not rows_of(found, "comparisons", role="primary")


def test_one_class_is_not_estimable_and_ends_nothing() -> None:
    found = sample(grades=[9] * 80).judged()
    for name, column, value in values(found):
        assert not isinstance(value, float) or math.isfinite(value), (name, column)
        assert cell(value).lower() != "nan", (name, column)
    assert (
        one_of(found, "metrics", configuration="tractnet", split="cv", metric="auc", estimator="pooled")[
            "estimate"
        ]
        is None
    )
    assert all("not estimable" in row["note"] for row in rows_of(found, "cuts"))


def test_nothing_was_fitted() -> None:
    made = sample()
    records = [one for one in made.records if one["step"] == "lesions"]
    found = Sample(made.section, made.manifests, records, [], [], []).judged()
    assert found.summary["n"] == 0 and found.summary["primary"] == {}
    assert len(rows_of(found, "consistency", source="paper")) == 8
    assert [row["paper"] for row in rows_of(found, "paper", metric="auc")] == ["0.8137", "0.7094"]


def test_thresholds_of_a_fold_that_has_none_are_not_made_up(made: Sample) -> None:
    trials = [
        {**one, "configurations": {**one["configurations"], "tractnet": {"threshold": None}}}
        if one["trial"] == "4-1-1" else one
        for one in made.trials
    ]  # fmt: skip
    rows = definitions.averages(made.predictions, trials, "nihss>4")
    cut = [row["threshold"] for row in rows if (row["configuration"], row["split"]) == ("tractnet", "cv")]
    assert set(cut) == {"0.5"}


def test_recalibration_is_one_shift_of_the_log_odds() -> None:
    made = sample()
    theirs = [Prediction.of(row) for row in made.scores]
    both = with_recalibrated(theirs)
    shifted = {
        one.participant_id: one.y_score for one in both if one.configuration == "tractnet" + RECALIBRATED
    }
    before = {
        one.participant_id: one.y_score
        for one in theirs
        if one.configuration == "tractnet" and one.y_true is not None
    }
    gaps = [float(logit(shifted[who]) - logit(before[who])) for who in before]
    assert np.ptp(gaps) < 1e-9 and abs(gaps[0]) > 0.1
