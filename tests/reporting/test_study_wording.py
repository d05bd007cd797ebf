"""What the page of a study says of its numbers, and what it must not say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from matplotlib.figure import Figure

from reperfuse.reporting import curves, study_plots
from reperfuse.reporting.study_listing import spread_table
from reperfuse.reporting.study_page import study_page
from reperfuse.reporting.study_reading import CALIBRATED, POOLED, READING, WORDS
from reperfuse.reporting.study_results import page
from reperfuse.reporting.study_tables import comparisons_table, domain_table, external_tables, markdown
from reperfuse.reporting.study_view import StudyView, readable
from reperfuse.reporting.study_words import draws_sentence, external_sentences, primary_sentences

PAIR = {"first": "a", "second": "b", "ci_low": "-0.1", "ci_high": "0.2", "n": "40", "p_adjusted": ""}
COHORT = {"n_scored": 40, "n_labelled": 38, "n_left_out": 3, "why": "no ADC map."}


def _estimates(**values: str) -> list[dict[str, str]]:
    row = {"split": "cv", "metric": "auc"}
    return [row | dict(zip(("configuration", "estimator"), k.split("_", 1), strict=True), estimate=v)
            for k, v in values.items()]  # fmt: skip


def _tests(*names: str, role: str = "primary", split: str = "cv") -> list[dict[str, str]]:
    return [
        PAIR | {"test": name, "role": role, "split": split, "difference": f"0.0{place}", "p": f"0.{place}1"}
        for place, name in enumerate(names, start=1)
    ]


def _html(view: StudyView, root: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr("reperfuse.reporting.study_page.draw", lambda *_: {})
    return study_page(view, root / "report/x.html", study="x", home="")[-1].read_text(encoding="utf-8")


def test_components_are_drawn_without_a_direction(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: dict[str, Any] = {}

    def caught(figure: Figure, view: StudyView, **_: Any) -> None:
        axes = figure.axes[0]
        names = [label.get_text() for label in axes.get_yticklabels()]
        drawn.update(zip(names, axes.patches, strict=True))
        drawn["legend"] = [text.get_text() for text in figure.legends[0].get_texts()]
        drawn["bars"] = len(axes.containers) - len(names)
        drawn["beside"] = [text.get_text() for text in axes.texts]

    monkeypatch.setattr(study_plots, "finished", caught)
    row = {"configuration": "a", "ci_low": "", "ci_high": ""}
    rows = [
        row | {"feature": "J1:mri PCA5", "block": "J1:mri", "coefficient": "0.4", "sign_stability": ""},
        row | {"feature": "age", "block": "J1:clinical", "coefficient": "0.3", "sign_stability": "0.9"},
        row | {"feature": "other", "block": "J1:clinical", "coefficient": "-0.2", "sign_stability": ""},
    ]
    study_plots.coefficients(StudyView(coefficients=rows))
    component, age, other = (drawn[name] for name in ("J1:mri PCA5", "age", "other"))
    assert component.get_width() == pytest.approx(0.4)
    assert component.get_x() == pytest.approx(-0.2), "half to each side of zero"
    assert len(set(component.get_facecolor()[:3])) == 1, "grey"
    assert age.get_x() == 0 and len(set(age.get_facecolor()[:3])) == 3
    assert other.get_width() == pytest.approx(-0.2), "a sign that is given is kept"
    assert drawn["legend"] == ["J1:clinical", "component of the image: size only"]
    assert drawn["bars"] == 2, "no interval is drawn beside a component"
    assert drawn["beside"][:2] == ["size only", "90 %"]
    assert any("components of the image: size only" in said for said in READING["coefficients"])


def test_captions_say_what_the_numbers_are() -> None:
    counted = [{"split": "external:b", "predictor": "sbp", "n_outside": 9, "n_scored": 40}]
    domain = domain_table(StudyView(summary={"domain": counted}))
    assert "1st to the 99th percentile" in domain.caption and "up to 100 patients" in domain.caption
    assert domain.rows[0][1].text == "systolic blood pressure"
    spread = spread_table(StudyView())
    assert "share training patients" in spread.caption and "not adjusted" in spread.caption
    assert "guide only" in spread.caption
    assert "logistic models have none" in CALIBRATED


@pytest.mark.parametrize(
    ("aucs", "said"),
    [
        (("0.8", "0.4", "0.9"), "1 of the 2 draws that gave an AUC reach the observed 0.800 (p = 0.67)"),
        (("0.8", "0.4", ""), "0 of the 1 draws that gave an AUC"),
    ],
)
def test_draws_without_an_auc_are_not_counted(aucs: tuple[str, ...], said: str) -> None:
    rows = [{"configuration": "a", "draw": str(draw), "auc": auc} for draw, auc in enumerate(aucs)]
    text = draws_sentence(StudyView(permutation=rows), "a")
    assert said in text
    assert ("1 more gave none" in text) == ("" in aucs)


def test_permutation_is_called_what_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = _html(StudyView(), tmp_path, monkeypatch)
    assert ">Permutation</h2>" in text and "negative controls" not in text


def test_the_pooled_auc_is_not_praised() -> None:
    for part in ("paper", "roc"):
        assert POOLED in READING[part]
    for said in ("unbiased", "somewhat low", "interval is approximate", "external validation"):
        assert said in POOLED
    view = StudyView({"main": ["a"]}, metrics=_estimates(a_pooled="0.6"))
    assert POOLED in page(view, "make", "x")
    assert POOLED not in page(StudyView(), "make", "x")
    assert not any("pooled value does" in said for sentences in READING.values() for said in sentences)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("thrive", "THRIVE"),
        ("span100", "SPAN-100"),
        ("J0 sbp", "J0 systolic blood pressure"),
        ("mrs_prestroke missing", "mRS before the stroke missing"),
        ("mrs_3m", "mRS 3m"),
        ("sbpx", "sbpx"),
    ],
)
def test_short_names_become_readable(name: str, expected: str) -> None:
    assert readable(name) == expected


def test_words_are_explained_on_the_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = _html(StudyView(), tmp_path, monkeypatch)
    asked = ("Brier score", "Brier skill", "slope", "intercept", "in the large", "ICI", "E50", "E90", "ECE")
    asked += ("THRIVE", "SPAN-100", "sbp", "J1-J0", "J0+J1", "mask", "territories", "mrs_prestroke")
    shown = text.split('id="words"')[1].split("</details>")[0]
    assert "<details>" in shown
    for word in (*asked, "decision value"):
        assert word in shown
    assert shown.count("<dt>") == len(WORDS)


def test_other_cohorts_are_spoken_of_without_measures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nobody = {"n_scored": 0, "n_labelled": 0, "n_left_out": 5, "why": "<no frozen model>"}
    view = StudyView(summary={"external": {"soop": COHORT, "isles": nobody}})
    first, second = external_sentences(view)
    assert first == (
        "soop: 40 patients were scored, the outcome is known of 38 of them, 3 were left out "
        "(commonest reason: no ADC map)."
    )
    assert second == "isles: nobody was scored, 5 were left out (commonest reason: <no frozen model>)."
    text = _html(view, tmp_path, monkeypatch)
    assert first in text and "No other cohort was scored" not in text and "<no frozen" not in text
    assert f"## External cohorts\n\n{first}\n" in page(view, "make", "x")
    assert "External cohorts" not in page(StudyView(), "make", "x")


def test_the_declared_test_leads() -> None:
    values = _estimates(a_pooled="0.81", b_pooled="0.71", a_fold_mean="0.82", b_fold_mean="0.72")
    rows = _tests("delong", "label_swap", "corrected_t")
    plain = StudyView(metrics=values, comparisons=rows)
    assert "pooled AUC: a 0.810, b 0.710, difference +0.010" in primary_sentences(plain, "AUC")[0]
    said = primary_sentences(
        StudyView({"primary_test": "corrected_t"}, metrics=values, comparisons=rows), "AUC"
    )
    assert "AUC as mean over folds: a 0.820, b 0.720, difference +0.030" in said[0]
    assert (
        "corrected resampled t, the declared test, p = 0.31; "
        "for comparison: DeLong p = 0.11, paired permutation p = 0.21)"
    ) in said[0]
    declared = StudyView(
        {"primary_test": "corrected_t"}, comparisons=[*rows, *_tests("naive_t", role="secondary")]
    )
    tests = [row[2].text for row in comparisons_table(declared).rows]
    assert tests == ["corrected resampled t", "DeLong", "paired permutation", "naive t over folds"]


def test_a_declared_test_that_was_not_made_is_missed() -> None:
    view = StudyView({"primary_test": "corrected_t_repeats"}, comparisons=_tests("delong"))
    text = " ".join(primary_sentences(view, "AUC"))
    assert "The declared test (corrected t over all repeats) was not made" in text
    assert ", the declared test" not in text


def test_other_cohorts_are_kept_from_the_primary_comparison() -> None:
    rows = [*_tests("delong", role="external", split="external:soop"), *_tests("label_swap", "corrected_t")]
    view = StudyView(comparisons=rows)
    said = primary_sentences(view, "AUC")[0]
    assert "DeLong" not in said and "paired permutation" in said
    assert [row[1].text for row in comparisons_table(view).rows] == ["primary", "primary"]
    (table,) = (table for table in external_tables(view) if table.rows)
    assert table.caption.startswith("soop: ") and [row[1].text for row in table.rows] == ["external"]
    assert "DeLong" in "\n".join(markdown(table, view))
    alone = StudyView(comparisons=rows[:1])
    assert primary_sentences(alone, "AUC") == ["No primary comparison was made."]


def test_predictions_of_another_outcome_are_not_counted_in(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    monkeypatch.setattr(
        curves, "finished", lambda figure, *_, **__: said.extend(a.get_xlabel() for a in figure.axes)
    )
    row = {"configuration": "a", "split": "cv", "y_true": "1", "y_score": "0.7"}
    point = {"configuration": "a", "stage": "after", "mean_score": "0.5", "observed": "0.5"}
    rows = [row | {"target": target} for target in ("mine", "mine", "other", "")]
    view = StudyView({"target": "mine"}, predictions=rows, calibration=[point])
    curves.calibration(view)
    assert "predicted probability (n = 3)" in said
