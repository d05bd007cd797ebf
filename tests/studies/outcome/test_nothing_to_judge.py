"""A cohort on which nothing can be cross-validated is told so in tables and sentences; it is no crash."""

from __future__ import annotations

from pathlib import Path

import pytest

from reperfuse.core.tables import MISSING, cell
from reperfuse.evaluation import reported, tripod
from reperfuse.studies.outcome import report
from reperfuse.studies.outcome.report import Judged
from reperfuse.studies.outcome.run import Row, run
from tests.studies.outcome.cohorts import DICTIONARY, TARGET, cohort, folds_of, study

RESOURCES = Path(__file__).resolve().parents[3] / "resources"
N = 24
SOURCES, LABELS = cohort(N, 1, width=6)
RARE = {who: int(i < 3) for i, who in enumerate(LABELS)}
ONE_FOLD = {1: dict.fromkeys(LABELS, 1)}


def as_read(rows: list[Row]) -> list[dict[str, str]]:
    return [{key: cell(value).replace(MISSING, "") for key, value in row.items()} for row in rows]


def judged(labels: dict[str, int], folds: dict[int, dict[str, int]]) -> Judged:
    statistics = {"permutations": 3, "refits": 2, "bootstrap": 20, "swaps": 20}
    whole = study(SOURCES, statistics=statistics)
    done = run(whole, {TARGET: labels}, folds, {})
    facts = report.facts_of_run(whole, done, [])
    manifest = {
        "clinical": SOURCES.clinical,
        "dictionary": DICTIONARY,
        "folders": list(SOURCES.clinical),
        "active": {who: {"J0": {"adc": []}, "J1": {"adc": []}} for who in SOURCES.clinical},
        "eligibility": {"outcome": {who: [] for who in SOURCES.clinical}},
        "folds": {"outcome": {"rows": [{"participant_id": who} for who in SOURCES.clinical]}},
    }
    return report.judged(
        done.predictions,
        report.case_of(whole.section, [manifest], facts),
        facts,
        whole.section,
        paper=reported.read_paper(RESOURCES / "papers/outcome.tsv"),
        items=tripod.read_items(RESOURCES / "tripod_ai.tsv"),
        training=as_read(done.training),
        permutation=as_read(done.permutation),
        manifests=[manifest],
    )


@pytest.mark.parametrize(
    ("labels", "folds"),
    [(dict.fromkeys(LABELS, 1), folds_of(LABELS, 4)), (LABELS, ONE_FOLD), ({}, {1: {}})],
    ids=["one class", "one fold", "nobody"],
)
def test_nothing_to_judge_gives_empty_tables(
    labels: dict[str, int], folds: dict[int, dict[str, int]]
) -> None:
    found = judged(labels, folds)
    for name in ("metrics", "metrics-by-fold", "comparisons", "roc", "calibration"):
        assert found.tables[name][0] == [], name
    assert found.tables["tripod"][0] and found.summary["n"] == 0


def test_a_rare_outcome_that_one_fold_holds_alone_is_judged_as_far_as_it_can_be() -> None:
    folds = {1: {who: 1 if RARE[who] else i % 3 + 2 for i, who in enumerate(LABELS)}}
    found = judged(RARE, folds)
    assert found.summary["n"] == N - 3, "nobody learnt anything about the fold that held every event"
    assert any("could not be fitted" in notice for notice in found.summary["notices"])
    pooled = [
        row for row in found.tables["metrics"][0] if row["metric"] == "auc" and row["estimator"] == "pooled"
    ]
    assert pooled and all(row["estimate"] is None for row in pooled)
