from __future__ import annotations

import math
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn import metrics as sk
from sklearn.linear_model import LogisticRegression

from reperfuse.core.tables import write_table
from reperfuse.evaluation.interface import Prediction
from reperfuse.evaluation.judgement import (
    BOOTSTRAPPED,
    FOLD_COLUMNS,
    METRIC_COLUMNS,
    _statistic,
    judge,
    metrics,
)

Rows = list[dict[str, Any]]


def predictions(
    n: int = 96, folds: int = 8, repeats: int = 1, *, seed: int = 1, **changes: Any
) -> list[Prediction]:
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 2, n)
    rows = []
    for repeat in range(1, repeats + 1):
        p = 1 / (1 + np.exp(-(1.5 * y - 0.8 + rng.normal(0, 1, n))))
        rows += [
            Prediction(f"sub-{i:03}", "", "t", "x", "cv", repeat, i % folds + 1, int(y[i]), float(p[i]))
            for i in range(n)
        ]
    return [Prediction(**(vars(row) | changes)) for row in rows]


def judged(rows: list[Prediction], **settings: Any) -> tuple[Rows, Rows]:
    plain = {"level": 0.95, "draws": 50, "seed": 1, "bootstrapped": (), "paper": lambda t, c, m: ""}
    return judge(rows, settings.pop("groups", {}), **{**plain, **settings})


def row_of(rows: Rows, metric: str, estimator: str = "pooled", **wanted: Any) -> dict[str, Any]:
    (row,) = [
        row
        for row in rows
        if row["metric"] == metric
        and row["estimator"] == estimator
        and all(row[key] == value for key, value in wanted.items())
    ]
    return row


def arrays(rows: list[Prediction]) -> tuple[np.ndarray, np.ndarray]:
    return np.array([one.y_true for one in rows]), np.array([one.y_score for one in rows])


def by_sklearn(y: np.ndarray, p: np.ndarray) -> dict[str, float]:
    called = (p >= 0.5).astype(int)
    return {
        "auc": sk.roc_auc_score(y, p),
        "average_precision": sk.average_precision_score(y, p),
        "accuracy": sk.accuracy_score(y, called),
        "balanced_accuracy": sk.balanced_accuracy_score(y, called),
        "f1": sk.f1_score(y, called),
        "sensitivity": sk.recall_score(y, called),
        "specificity": sk.recall_score(y, called, pos_label=0),
        "ppv": sk.precision_score(y, called),
        "npv": sk.precision_score(y, called, pos_label=0),
        "brier": sk.brier_score_loss(y, p),
    }


def test_pooled_values_are_scikit_learns() -> None:
    rows = predictions()
    y, p = arrays(rows)
    table, _ = judged(rows)
    for metric, value in by_sklearn(y, p).items():
        assert row_of(table, metric)["estimate"] == pytest.approx(value, abs=1e-12), metric
    assert row_of(table, "brier_skill")["estimate"] == pytest.approx(
        1 - sk.brier_score_loss(y, p) / (y.mean() * (1 - y.mean()))
    )
    logit = np.log(p / (1 - p))[:, None]
    line = LogisticRegression(C=np.inf, tol=1e-10, max_iter=1000).fit(logit, y)
    assert row_of(table, "calibration_slope")["estimate"] == pytest.approx(line.coef_[0, 0], rel=1e-4)
    assert {row["n"] for row in table} == {y.size} and {row["n_positive"] for row in table} == {int(y.sum())}


def test_folds_are_scikit_learns_and_their_mean_has_an_sd_of_ddof_1() -> None:
    rows = predictions()
    table, by_fold = judged(rows, paper=lambda target, configuration, metric: f"{configuration} {metric}")
    found: dict[str, list[float]] = {}
    for fold in range(1, 9):
        mine = [one for one in rows if one.fold == fold]
        for metric, value in by_sklearn(*arrays(mine)).items():
            (row,) = [r for r in by_fold if r["fold"] == fold and r["metric"] == metric]
            assert row["estimate"] == pytest.approx(value, abs=1e-12)
            assert row["n"] == 12 and row["n_positive"] == sum(one.y_true or 0 for one in mine)
            found.setdefault(metric, []).append(value)
    for metric, values in found.items():
        row = row_of(table, metric, "fold_mean")
        assert row["estimate"] == pytest.approx(mean(values)) and row["paper"] == f"x {metric}"
        assert row["fold_sd"] == pytest.approx(np.std(values, ddof=1))
        half = stats.t.ppf(0.975, 7) * math.sqrt((1 / 8 + 1 / 7) * np.var(values, ddof=1))
        assert row["ci_high"] - row["estimate"] == pytest.approx(half) and row["interval"] == "corrected_t"
    assert {row["paper"] for row in table if row["estimator"] != "fold_mean"} == {""}
    assert {row["metric"] for row in by_fold} == set(found)  # calibration is not asked of single folds


def test_shares_have_wilsons_interval_of_the_right_patients() -> None:
    rows = predictions()
    y, p = arrays(rows)
    table, _ = judged(rows, level=0.9)
    called = p >= 0.5
    of = {"sensitivity": y == 1, "specificity": y == 0, "ppv": called, "npv": ~called, "accuracy": y >= 0}
    for metric, chosen in of.items():
        hits, n = int((called == y)[chosen].sum()), int(chosen.sum())
        low, high = stats.binomtest(hits, n).proportion_ci(0.9, method="wilson")
        row = row_of(table, metric)
        assert (row["ci_low"], row["ci_high"]) == (pytest.approx(low), pytest.approx(high))
        assert row["interval"] == "wilson" and row["ci_low"] <= row["estimate"] <= row["ci_high"]


def test_only_named_configurations_are_bootstrapped() -> None:
    rows = predictions() + predictions(configuration="y")
    table, _ = judged(rows, bootstrapped=("y",))
    extra = [row for row in table if row["estimator"] == "pooled_bootstrap"]
    assert [row["configuration"] for row in extra] == ["y"]
    assert extra[0]["estimate"] == pytest.approx(row_of(table, "auc", configuration="y")["estimate"])
    assert extra[0]["interval"] in ("bca", "percentile")
    for metric in ("average_precision", "balanced_accuracy", "f1", "brier"):
        assert row_of(table, metric, configuration="x")["ci_low"] is None
        row = row_of(table, metric, configuration="y")
        assert row["ci_low"] < row["estimate"] < row["ci_high"], metric


def test_groups_widen_the_bootstrap() -> None:
    once = predictions(48)
    twice = [
        Prediction(**(vars(one) | {"participant_id": f"{one.participant_id}{i}"}))
        for one in once
        for i in "ab"
    ]
    groups = {one.participant_id: one.participant_id[:-1] for one in twice}

    def width(groups: dict[str, str]) -> float:
        row = row_of(judged(twice, groups=groups, bootstrapped=("x",), draws=150)[0], "brier")
        return float(row["ci_high"] - row["ci_low"])

    assert width(groups) > 1.2 * width({})


def test_repeats_are_summed_up_and_only_the_first_is_pooled() -> None:
    rows = predictions(repeats=4)
    table, by_fold = judged(rows)
    per_repeat = [
        by_sklearn(*arrays([one for one in rows if one.repeat == repeat]))["auc"] for repeat in range(1, 5)
    ]
    assert row_of(table, "auc")["estimate"] == pytest.approx(per_repeat[0])
    row = row_of(table, "auc", "repeats")
    assert row["estimate"] == pytest.approx(mean(per_repeat))
    assert row["fold_sd"] == pytest.approx(stdev(per_repeat)) and row["ci_low"] is None
    assert len([r for r in by_fold if r["metric"] == "auc"]) == 4 * 8


def test_other_cohorts_have_no_folds_and_unlabelled_patients_no_part() -> None:
    rows = predictions(60, split="external:b", repeat=None, fold=None)
    blind = predictions(20, split="new", repeat=None, fold=None, y_true=None)
    table, by_fold = judged(rows + blind)
    assert {row["split"] for row in table} == {"external:b"} and by_fold == []
    assert {row["estimator"] for row in table} == {"pooled"}
    assert judged([]) == ([], []) and judged(blind) == ([], [])


def test_49_a_fold_of_one_class_has_no_auc_and_the_table_no_nan(tmp_path: Path) -> None:
    rows = [Prediction(**(vars(one) | {"y_true": 0})) if one.fold == 3 else one for one in predictions()]
    table, by_fold = judged(rows, bootstrapped=("x",))
    (lone,) = [row for row in by_fold if row["fold"] == 3 and row["metric"] == "auc"]
    assert lone["estimate"] is None and (lone["n"], lone["n_positive"]) == (12, 0)
    others = [row["estimate"] for row in by_fold if row["metric"] == "auc" and row["fold"] != 3]
    assert row_of(table, "auc", "fold_mean")["estimate"] == pytest.approx(mean(others))
    assert row_of(table, "auc", "fold_mean")["fold_sd"] == pytest.approx(stdev(others))
    finite(table, by_fold)
    write_table(tmp_path / "metrics.tsv", table, METRIC_COLUMNS)
    write_table(tmp_path / "by-fold.tsv", by_fold, FOLD_COLUMNS)
    text = (tmp_path / "metrics.tsv").read_text() + (tmp_path / "by-fold.tsv").read_text()
    assert "nan" not in text.lower() and "\tn/a\t" in text


def finite(*tables: Rows) -> None:
    for table in tables:
        for row in table:
            for key, value in row.items():
                assert not isinstance(value, float) or math.isfinite(value), (key, row)


@settings(max_examples=60, deadline=None)
@given(
    cases=st.lists(
        st.tuples(st.integers(0, 1), st.sampled_from([0.0, 0.2, 0.5, 0.5, 0.9, 1.0]), st.integers(1, 4)),
        min_size=1,
        max_size=25,
    )
)
def test_no_labels_scores_or_folds_give_a_number_that_is_none(cases: list[tuple[int, float, int]]) -> None:
    rows = [
        Prediction(f"sub-{i:02}", "", "t", "x", "cv", 1, fold, y, p) for i, (y, p, fold) in enumerate(cases)
    ]
    table, by_fold = judged(rows, bootstrapped=("x",), draws=20)
    finite(table, by_fold)
    labels = {one.y_true for one in rows}
    assert (row_of(table, "auc")["estimate"] is None) == (len(labels) == 1)
    assert len(by_fold) == len({one.fold for one in rows}) * len(metrics(*arrays(rows), whole=False))
    for row in table:
        assert set(row) == set(METRIC_COLUMNS)
        if row["ci_low"] is not None and row["interval"] != "corrected_t":
            assert row["ci_low"] <= row["estimate"] + 1e-9 and row["estimate"] - 1e-9 <= row["ci_high"]


def test_the_order_of_predictions_does_not_matter() -> None:
    rows = predictions(repeats=2)
    again = judged(
        sorted(rows, key=lambda one: (one.participant_id[::-1], one.repeat or 0)), bootstrapped=("x",)
    )
    for one, other in zip(judged(rows, bootstrapped=("x",)), again, strict=True):
        assert len(one) == len(other)
        key = ("estimator", "metric", "repeat", "fold")
        ordered = [sorted(t, key=lambda row: [str(row.get(k)) for k in key]) for t in (one, other)]
        for left, right in zip(*ordered, strict=True):
            assert left == pytest.approx(right)


@pytest.mark.parametrize("metric", BOOTSTRAPPED)
def test_what_a_bootstrap_asks_for_is_the_metric_itself(metric: str) -> None:
    rng = np.random.default_rng(0)
    y, p = rng.integers(0, 2, 60), np.round(rng.random(60), 1)
    fast = _statistic(metric, y, p)
    for _ in range(20):
        rows = rng.integers(0, 60, 60)
        assert fast(rows) == pytest.approx(metrics(y[rows], p[rows], whole=False)[metric], abs=1e-12)
    assert metric == "brier" or fast(np.flatnonzero(y == 0)) is None
