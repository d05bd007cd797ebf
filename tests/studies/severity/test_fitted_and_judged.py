"""What the trials leave is what the judge reads."""

from __future__ import annotations

from pathlib import Path

import pytest

from reperfuse.evaluation.reported import read_paper
from reperfuse.evaluation.tripod import read_items
from reperfuse.studies.severity import fit, names, report, systems
from tests.studies.severity.made_cohorts import ROOT, made_cohort, quick_fit, small_section, tables


def test_trials_can_be_judged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(systems.imaged, "fit", quick_fit)
    section = small_section(other_n_folds=[2])
    manifest, records, _, _ = tables()
    manifest["eligibility"] = {"severity": {who: [] for who in manifest["active"]}}
    cohort = made_cohort(section)
    left = [
        {"participant_id": who, "step": step, **one}
        for who, of in records.items()
        for step, one in of.items()
    ]
    predictions = []
    for trial in names.trials(section, {1, 2, 3}):
        done = fit.run_trial(
            section, cohort, trial, session_ids={"J0": "ses-01"}, device="cpu", devices=1, threads=1,
            state=tmp_path / trial,
        )  # fmt: skip
        predictions += done.predictions
        left.append({"participant_id": f"severity/{trial}", "step": "severity_fold", "facts": done.facts})
    facts = [one["facts"] for one in left if one["step"] == "severity_fold"]
    case = report.case_of(section, [manifest], left)
    found = report.judged(
        predictions, [], case, section, manifests=[manifest], left_out=[], assumed={}, trials=facts,
        paper=read_paper(ROOT / "resources/papers/severity.tsv"), items=read_items(ROOT / "resources/tripod_ai.tsv"),
    )  # fmt: skip
    rows = {name: table for name, (table, _) in found.tables.items()}
    assert found.summary["n"] == 90 and list(found.summary["main"]) == names.configurations(section)
    assert {row["split"] for row in rows["metrics"]} == {"cv", "cv:2"}
    youden = {row["configuration"] for row in rows["averages"] if row["threshold"] == "youden"}
    assert youden == set(names.configurations(section))
    assert all(row["passes"] == 1 for row in rows["consistency"] if row["source"] == "ours")
    # Of each trial's network there are three members.
    assert [(row["first_loss"], row["last_loss"]) for row in rows["training"]] == [(1.0, 0.5)] * 3 * len(
        facts
    )
    assert rows["leakage"] and {row["n_overlap"] for row in rows["leakage"]} == {0}
    bands = [row for row in rows["subgroups"] if row["variable"] == "lesion_ml"]
    assert {row["level"] for row in bands} >= {"1 to 10 ml", "10 to 70 ml"}
    assert sum(row["n"] for row in bands if row["configuration"] == "log_volume") == 90
