"""What the study says of itself: every table, its summary, its assumptions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from reperfuse.core.records import by_patient
from reperfuse.evaluation import judgement, patient_tables, tripod
from reperfuse.evaluation.crossval import by_configuration
from reperfuse.evaluation.interface import COLUMNS as PREDICTION_COLUMNS
from reperfuse.evaluation.interface import MAIN_SPLIT, Prediction
from reperfuse.evaluation.patient_tables import Case, without_variants
from reperfuse.evaluation.reported import EVERYONE, PaperTable
from reperfuse.studies.lesion_facts import LESION, lesion_facts
from reperfuse.studies.severity import definitions, judge, names, summary
from reperfuse.studies.severity import trials as of_trials
from reperfuse.studies.severity.checklist import checklist_facts

Row = dict[str, Any]
VISIT = "J0"
YES_NO = {1: "yes", 0: "no"}
COLUMNS: Mapping[str, Sequence[str]] = {
    **judge.COLUMNS,
    **definitions.COLUMNS,
    **of_trials.COLUMNS,
    "metrics": judgement.METRIC_COLUMNS,
    "metrics-by-fold": judgement.FOLD_COLUMNS,
    "predictions": PREDICTION_COLUMNS,
    "tripod": tripod.COLUMNS,
}


@dataclass(frozen=True)
class Judged:
    """Tables with their columns, summary and assumptions."""

    tables: Mapping[str, tuple[list[Row], Sequence[str]]]
    summary: Row
    assumptions: Row


def case_of(
    section: Mapping[str, Any],
    manifests: Sequence[Mapping[str, Any]],
    records: Iterable[Mapping[str, Any]],
) -> Case:
    """Return what the judge needs beside predictions.

    Parameters
    ----------
    section : mapping
        ``studies.severity``.
    manifests : sequence of mapping
        Of the main cohort, then of external ones.
    records : iterable of mapping
        Those of `lesions` give volume and side of the lesion; others are passed over.
    """
    manifest = manifests[0]
    of = by_patient(records)
    clinical, grade = {}, {}
    for who in {*manifest["clinical"], *manifest["active"]}:
        row = dict(manifest["clinical"].get(who, {}))
        found = lesion_facts(of.get(who, {}).get("lesions", {}))
        row["lesion_ml"], row["lesion_side"] = found.volumes.get((VISIT, LESION)), found.sides.get(VISIT)
        row["prior_stroke"] = YES_NO.get(row.get("prior_stroke", -1))
        clinical[who] = row
        if isinstance(row.get(section["variable"]), float | int):
            grade[who] = float(row[section["variable"]])
    placed = manifest["folds"][of_trials.STUDY]["rows"]
    return Case(
        target=names.target(section),
        compared=names.declared(section),
        groups={row["participant_id"]: str(row["group"]) for row in placed},
        clinical=clinical,
        grade=grade,
        statistics=section["statistics"],
        salt=section["salt"],
    )


def judged(
    predictions: Sequence[Prediction],
    scores: Iterable[Mapping[str, str]],
    case: Case,
    section: Mapping[str, Any],
    *,
    manifests: Sequence[Mapping[str, Any]],
    left_out: Sequence[Mapping[str, str]],
    assumed: Mapping[str, Any],
    trials: Sequence[Mapping[str, Any]],
    paper: PaperTable,
    items: Sequence[tripod.Item],
) -> Judged:
    """Return every table, the summary and the assumptions.

    Parameters
    ----------
    predictions : sequence of Prediction
        Of the trials.
    scores : iterable of mapping
        Rows of ``scores.tsv``, of frozen models.
    case : Case
        See `case_of`.
    section : mapping
        ``studies.severity``.
    manifests : sequence of mapping
        Of the main cohort, then of external ones.
    left_out : sequence of mapping
        Rows of ``scores-left-out.tsv``.
    assumed : mapping
        Values in force that no paper states.
    trials : sequence of mapping
        Facts of each trial.
    paper : PaperTable
    items : sequence of tripod.Item
        Empty for no checklist.
    """
    everything = [*predictions, *map(Prediction.of, scores)]
    first = by_configuration(everything, target=case.target)
    case = replace(case, compared=tuple(name for name in names.declared(section) if name in first))
    metrics, by_fold = judge.measured(judge.with_recalibrated(everything), case, paper)
    averages = definitions.averages(everything, trials, case.target)
    made: dict[str, list[Row]] = {
        "metrics": metrics,
        "metrics-by-fold": by_fold,
        "averages": averages,
        "consistency": definitions.consistency(averages, paper),
        "thresholds": definitions.thresholds(everything, trials, case.target),
        "paper": definitions.paper_table(metrics, paper, case.target),
        "ablations": of_trials.ablations(first, trials, level=case.level),
        "training": of_trials.training(trials),
        "leakage": of_trials.leakage(trials),
        "left-out": of_trials.left_out(trials, manifests[0], left_out),
        **judge.tables(everything, case, section["other_cuts"]),
    }
    people = {one.participant_id: one.y_true or 0 for one in everything if one.split == MAIN_SPLIT}
    said = {
        "title": summary.title_of(section),
        "n": len(people),
        "n_positive": sum(people.values()),
        "target": case.target,
        "primary": dict(zip(("first", "second"), case.compared, strict=False)),
        "primary_test": summary.declared_test(section),
        "main": list(without_variants(first)),
        "labels": summary.labels_of(section),
        "external": patient_tables.external(everything, left_out, [one["name"] for one in manifests[1:]]),
        "notices": summary.notices(made, case, section, trials, sorted(people)),
        "stamps": [section["title_note"]] if section["title_note"] else [],
        "power": patient_tables.power_of(everything, case),
        "sources": {"paper": summary.SOURCE, "patients in the paper": paper.of(EVERYONE, "n")},
        "assumptions": dict(assumed),
    }
    made["tripod"] = tripod.fill(items, checklist_facts(said, metrics, case, section)) if items else []
    made["predictions"] = [vars(one) for one in everything]
    return Judged(
        {name: (rows, COLUMNS[name]) for name, rows in made.items()},
        said,
        {"study": of_trials.STUDY, "assumed": dict(assumed)},
    )
