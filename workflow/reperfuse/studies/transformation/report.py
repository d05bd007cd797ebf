"""What the study says of itself: every table, its summary, its assumptions, and a page of text."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from reperfuse.core.errors import Fault
from reperfuse.core.seeds import seed_of
from reperfuse.core.tables import cell
from reperfuse.evaluation import tripod, voxel_tables
from reperfuse.evaluation.interface import COLUMNS as PREDICTION_COLUMNS
from reperfuse.evaluation.reported import PaperTable
from reperfuse.imaging.atlas import Atlas
from reperfuse.studies.transformation import burden, judge, patients, strata
from reperfuse.studies.transformation import paper as table_1
from reperfuse.studies.transformation.checklist import checklist_facts
from reperfuse.studies.transformation.judge import TARGETS, Case
from reperfuse.studies.transformation.predicted import BALANCED, DENSE, Predicted
from reperfuse.studies.transformation.seen import Seen
from reperfuse.studies.transformation.summary import summary_of

Row = dict[str, Any]
LEFT_OUT_COLUMNS = ("participant_id", "stage", "reason")
LEAKAGE_COLUMNS = "fold configuration object n_fits n_seen_min n_seen_max n_overlap".split()
METRICS_SHOWN = (
    "configuration metric estimator estimate ci_low ci_high interval prevalence n_patients_positive".split()
)
COMPARISONS_SHOWN = "target metric first second test role difference ci_low ci_high p p_adjusted".split()
SHOWN = ("pooled", "within_patient", "within_infarct")
SEARCHED_COLUMNS = "fold configuration parameters auc chosen".split()


@dataclass(frozen=True)
class Judged:
    """Tables with their columns, summary and assumptions."""

    tables: Mapping[str, tuple[list[Row], Sequence[str]]]
    summary: Row
    assumptions: Row


def case_of(section: Mapping[str, Any], manifest: Mapping[str, Any]) -> Case:
    """Return what the judge needs beside predictions."""
    known, asked = manifest["clinical"], section["statistics"]
    return Case(section["primary"], section["comparator"], known, asked, section["salt"])


def labels_of(
    predicted: Mapping[str, Predicted], clinical: Mapping[str, Mapping[str, Any]], variable: str
) -> dict[str, int]:
    """Return participant_id → 1 for HT: the clinical label, or else whether a voxel of the patient has it."""
    labels: dict[str, int] = {}
    for part in predicted.values():
        with_ht = {part.patients[k] for k in set(part.owner[part.y == 1].tolist())}
        for who in part.patients:
            labels[who] = max(labels.get(who, 0), int(who in with_ht))
    for who in labels:
        known = clinical.get(who, {}).get(variable)
        if isinstance(known, float | int):
            labels[who] = int(known > 0)
    return labels


def judged(
    predicted: Mapping[str, Predicted],
    case: Case,
    section: Mapping[str, Any],
    *,
    folds: Sequence[Mapping[str, Any]],
    manifest: Mapping[str, Any],
    seen: Mapping[str, Seen],
    atlases: Mapping[str, Atlas],
    paper: PaperTable,
    items: Sequence[tripod.Item],
    assumed: Mapping[str, Any],
) -> Judged:
    """Return every table, the summary and the assumptions.

    Parameters
    ----------
    predicted : mapping
        ``balanced`` and ``dense``, `predicted.read_predicted`.
    case : Case
    section : mapping
        ``studies.transformation``.
    folds : sequence of mapping
        Facts of each fold.
    manifest : mapping
        Of the main cohort.
    seen : mapping
        participant_id → what is known beside predictions.
    atlases : mapping
    paper : PaperTable
    items : sequence of tripod.Item
        Empty for no checklist.
    assumed : mapping
        Values in force that no paper states.
    """
    asked, level = case.statistics, case.level
    labels = labels_of(predicted, case.clinical, section["variable"])
    found = judge.measured(predicted, case, paper)
    dense, priors = predicted[DENSE], patients.priors_of(predicted[BALANCED], predicted[DENSE])
    of_patients = [
        row
        for name in dense.scores
        for row in patients.patients(
            dense, name, priors, seen, labels, case.clinical,
            cluster_probability=asked["cluster_probability"], min_cluster_ml=asked["min_cluster_ml"],
        )
    ]  # fmt: skip
    made = patients.predictions(of_patients, manifest.get("session_ids", {}).get("J0", ""))
    seed = seed_of(case.salt, "patients")
    occurrence = patients.occurrence(made, level=level, draws=asked["bootstrap"], seed=seed)
    everything = [one for of in found.values() for one in of.values()]
    inside = patients.in_infarct(
        of_patients, dense, TARGETS[DENSE], level=level, draws=asked["bootstrap"], seed=seed
    )
    metrics = [row for one in everything for row in one.rows] + inside + occurrence
    compared = judge.comparisons(found, made, case)
    roc, pr = judge.curves(found)
    regions = [
        row
        for name in dense.scores
        for row in burden.burden(dense, name, priors, seen, atlases, eloquent=asked["eloquent"], level=level)
    ]
    out = left_out(folds, manifest)
    summary = summary_of(found, metrics, labels, case, section, folds, out, paper, assumed)
    if atlases and not regions:
        summary["notices"].append("No atlas could be brought to a perfusion image: burden.tsv is empty.")
    tables: dict[str, tuple[list[Row], Sequence[str]]] = {
        "predictions": ([vars(one) for one in made], PREDICTION_COLUMNS),
        "metrics": (metrics, voxel_tables.COLUMNS),
        "metrics-by-fold": ([row for one in everything for row in one.by_fold], voxel_tables.BY_FOLD_COLUMNS),
        "metrics-by-subject": (
            [row for one in everything for row in one.by_subject], voxel_tables.SUBJECT_COLUMNS
        ),
        "comparisons": (compared, judge.COLUMNS["comparisons"]),
        "patients": (of_patients, patients.COLUMNS),
        "severity": (patients.severity(of_patients, level=level), patients.SEVERITY_COLUMNS),
        "burden": (regions, burden.COLUMNS),
        "strata": (strata.strata(found, case), strata.COLUMNS),
        "calibration": (judge.calibration(found, priors, case), judge.COLUMNS["calibration"]),
        "roc": (roc, judge.COLUMNS["roc"]),
        "pr": (pr, judge.COLUMNS["pr"]),
        "paper": (table_1.table(found[TARGETS[BALANCED]], paper), table_1.COLUMNS),
        "left-out": (out, LEFT_OUT_COLUMNS),
        "leakage": ([{"fold": f["fold"], **row} for f in folds for row in f.get("leakage", ())], LEAKAGE_COLUMNS),
        "searched": (searched(folds), SEARCHED_COLUMNS),
    }  # fmt: skip
    answers = checklist_facts(summary, metrics, section, case)
    tables["tripod"] = (tripod.fill(items, answers) if items else [], tripod.COLUMNS)
    return Judged(tables, summary, {"study": "transformation", "assumed": dict(assumed)})


def left_out(folds: Sequence[Mapping[str, Any]], manifest: Mapping[str, Any]) -> list[Row]:
    """Return who takes no part, at which stage and why."""
    judged_of = manifest["eligibility"]["transformation"]
    placed = {row["participant_id"] for row in manifest["folds"]["transformation"]["rows"]}
    rows: list[Row] = [
        {
            "participant_id": who,
            "stage": "eligibility",
            "reason": "; ".join(Fault(**one).reason for one in faults),
        }
        for who, faults in judged_of.items()
        if faults
    ]
    rows += [
        {"participant_id": who, "stage": "folds", "reason": "not in the frozen fold table"}
        for who, faults in judged_of.items()
        if not faults and who not in placed
    ]
    reasons = {who: why for facts in folds for who, why in facts.get("left_out", {}).items()}
    rows += [{"participant_id": who, "stage": "perfusion", "reason": why} for who, why in reasons.items()]
    return sorted(rows, key=lambda row: row["participant_id"])


def searched(folds: Sequence[Mapping[str, Any]]) -> list[Row]:
    """Return what each fold tried and chose for each configuration."""
    rows = []
    for facts in folds:
        for name, about in facts.get("configurations", {}).items():
            chosen = about.get("parameters")
            tried = about.get("search") or ([chosen] if chosen else [])
            for point in tried:
                given = {key: value for key, value in point.items() if key != "auc"}
                row = {"fold": facts["fold"], "configuration": name, "auc": point.get("auc")}
                rows.append(
                    row | {"parameters": json.dumps(given, sort_keys=True), "chosen": given == chosen}
                )
    return rows


def markdown(tables: Mapping[str, Sequence[Mapping[str, Any]]]) -> str:
    """Return the main results as Markdown.

    Parameters
    ----------
    tables : mapping
        Name → rows, as `judged` gives them or as they are read back from the files; read are ``paper``, ``metrics``,
        ``comparisons``, ``severity`` and ``patients``.
    """
    metrics = [row for row in tables.get("metrics", ()) if row["estimator"] in SHOWN]
    parts = [
        ("Beside the paper", "paper", tables.get("paper", ()), table_1.COLUMNS),
        *(
            (
                f"Metrics: {target}",
                "metrics",
                [row for row in metrics if row["target"] == target],
                METRICS_SHOWN,
            )
            for target in dict.fromkeys(row["target"] for row in metrics)
        ),
        ("Comparisons", "comparisons", tables.get("comparisons", ()), COMPARISONS_SHOWN),
        ("Severity", "severity", tables.get("severity", ()), patients.SEVERITY_COLUMNS),
    ]
    text = []
    for heading, name, rows, columns in parts:
        if rows:
            text += [f"## {heading}", f"`transformation/{name}.tsv`", "", f"| {' | '.join(columns)} |"]
            text += ["|" + "---|" * len(columns)]
            text += ["| " + " | ".join(_shown(row.get(key)) for key in columns) + " |" for row in rows]
            text += [""]
    return "\n".join(text)


def _shown(value: Any) -> str:
    text = cell(value)
    try:
        number = float(text)
    except ValueError:
        return text.replace("|", "\\|")
    if text.isdigit():
        return text
    return f"{number:.3g}" if abs(number) < 0.1 else f"{number:.3f}"
