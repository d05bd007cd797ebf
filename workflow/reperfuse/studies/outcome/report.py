"""What the study says of itself: facts for the judge, the card of a frozen model, warnings, checklist, summary."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from reperfuse.core.version import VERSION
from reperfuse.evaluation import judgement, patient_tables, tripod
from reperfuse.evaluation.interface import Prediction
from reperfuse.evaluation.patient_tables import Case
from reperfuse.evaluation.reported import PaperTable
from reperfuse.studies.outcome import domain, flags, judge
from reperfuse.studies.outcome.assemble import about_of, grade_of
from reperfuse.studies.outcome.checklist import checklist_facts
from reperfuse.studies.outcome.names import declared
from reperfuse.studies.outcome.run import Run
from reperfuse.studies.outcome.selected import has_j1
from reperfuse.studies.outcome.study import Outcome

Row = dict[str, Any]
RESEARCH_USE = "Research use only. Not a medical device."


@dataclass(frozen=True)
class Judged:
    """Tables with their columns, summary and assumptions."""

    tables: Mapping[str, tuple[list[Row], Sequence[str]]]
    summary: Row
    assumptions: Row


def facts_of_run(study: Outcome, done: Run, stamps: Sequence[str], refusals: Sequence[str] = ()) -> Row:
    """Return what the judge needs of the run beside its tables."""
    return {
        "groups": {one: study.groups.get(one, one) for one in study.eligible()},
        "compared": list(study.compared),
        "n_features": done.n_features,
        "weights": done.weights,
        "missing": done.missing,
        "impossible": study.impossible,
        "skipped": [row for row in done.skipped if "[" not in row["configuration"]],
        "stamps": list(stamps),
        "refusals": list(refusals),
        "n_folds": len({one.fold for one in done.predictions if one.repeat == 1}),
        "about": about_of(study),
        "left_out": study.left_out,
        "predictors": {
            name: list(block.columns) for name, block in study.blocks.items() if not block.components
        },
        "n_blocks": {name: len(block.columns) for name, block in study.blocks.items()},
    }


def card(
    study: Outcome,
    labels: Mapping[str, Mapping[str, int]],
    stamps: Sequence[str],
    *,
    weights: Sequence[Mapping[str, str]] = (),
    atlases: Mapping[str, Mapping[str, str]] | None = None,
) -> Row:
    """Return what every frozen model's card says, beside its own numbers.

    Parameters
    ----------
    study : Outcome
    labels : mapping
        Target → participant_id → 0 or 1; the primary target first.
    stamps : sequence of str
        What must be said of the weights.
    weights : sequence of mapping
        ``kind``, ``text`` and ``sha256`` of the weights that made the embeddings.
    atlases : mapping, optional
        Name → content digests of ``image`` and ``labels``.
    """
    target, known = next(iter(labels.items()))
    return {
        "study": study.name,
        "paper": "arXiv 2512.02088",
        "reperfuse": VERSION,
        "target": target,
        "n": len(known),
        "n_positive": sum(known.values()),
        "n_negative": len(known) - sum(known.values()),
        "stamps": list(stamps),
        "weights": [dict(one) for one in weights],
        "lesion_criteria": list(study.section["lesion_criteria"]),
        "atlases": {name: dict(files) for name, files in (atlases or {}).items()},
        "image": study.section["image"],
        "encoder": {k: v for k, v in study.section["encoder"].items() if k != "weights"},
        "cell_mm": study.section["cell_mm"],
        "note": study.section["title_note"],
        "use": RESEARCH_USE,
    }


def case_of(
    section: Mapping[str, Any], manifests: Sequence[Mapping[str, Any]], facts: Mapping[str, Any]
) -> Case:
    """Return what the judge needs beside predictions."""
    manifest = manifests[0]
    return Case(
        target=f"{section['variable']}<={section['favourable_max']}",
        compared=tuple(facts.get("compared", ())),
        groups=facts.get("groups", {}),
        clinical={
            who: manifest["clinical"].get(who, {}) | facts.get("about", {}).get(who, {})
            for who in {*manifest["clinical"], *facts.get("about", {})}
        },
        grade=grade_of(section, manifest["clinical"], manifest["clinical"]),
        statistics=section["statistics"],
        salt=section["salt"],
    )


def judged(
    predictions: Sequence[Prediction],
    case: Case,
    facts: Mapping[str, Any],
    section: Mapping[str, Any],
    *,
    paper: PaperTable,
    items: Sequence[tripod.Item],
    training: Sequence[Mapping[str, str]],
    permutation: Sequence[Mapping[str, str]],
    manifests: Sequence[Mapping[str, Any]],
    beyond: Sequence[Mapping[str, str]] = (),
    unscored: Sequence[Mapping[str, str]] = (),
) -> Judged:
    """Return every table, the summary and the assumptions of the study.

    ``beyond`` is ``scores-domain.tsv``, ``unscored`` is ``scores-left-out.tsv``.
    """
    metrics, by_fold = judge.measured(predictions, case, paper)
    made = judge.tables(predictions, case, facts["n_features"])
    warned = warnings(
        metrics, by_fold, made["comparisons"], case, facts, section, training, permutation, manifests[0]
    )
    first = [one for one in predictions if one.split == "cv" and one.target == case.target]
    people = {one.participant_id: one.y_true for one in first}
    n, positive = len(people), sum(value or 0 for value in people.values())
    scored = {(one.split, one.participant_id) for one in predictions if one.split != "cv"}
    outside = domain.counts(beyond, scored)
    summary = {
        "title": title_of(section),
        "n": n,
        "n_positive": positive,
        "target": case.target,
        "primary": dict(zip(("first", "second"), case.compared, strict=False)),
        "primary_test": section["primary_test"],
        "external": patient_tables.external(predictions, unscored, [one["name"] for one in manifests[1:]]),
        "notices": [*notices(facts, section, warned), *domain.notices(outside, most=5)],
        "domain": outside,
        "stamps": [*facts["stamps"], *([section["title_note"]] if section["title_note"] else [])],
        "power": patient_tables.power_of(predictions, case),
        "sources": {"paper": "arXiv 2512.02088", "patients in the paper": paper.n or ""},
        "assumptions": facts.get("assumptions", {}),
    }
    facts_for_checklist = checklist_facts(summary, metrics, case, facts, section, manifests)
    tables = {name: (rows, judge.COLUMNS[name]) for name, rows in made.items()}
    tables |= {
        "metrics": (metrics, judgement.METRIC_COLUMNS),
        "metrics-by-fold": (by_fold, judgement.FOLD_COLUMNS),
        "flags": (warned, flags.COLUMNS),
        "tripod": (tripod.fill(items, facts_for_checklist), ("item", "section", "topic", "text", "status")),
    }
    return Judged(tables, summary, {"study": "outcome", "assumed": summary["assumptions"]})


def title_of(section: Mapping[str, Any]) -> str:
    """Return the study's title with what must be said of the data."""
    image = "ADC maps" if section["image"] == "adc" else "lesion masks"
    when = " and ".join(section["visits"])
    note = f" ({section['title_note']})" if section["title_note"] else ""
    label = f"{section['variable']} at most {section['favourable_max']}"
    return f"Favourable outcome ({label}) from {image} of {when}{note}"


def notices(facts: Mapping[str, Any], section: Mapping[str, Any], warned: Sequence[Row]) -> list[str]:
    """Return what a reader has to know before the numbers."""
    found = [f"{name} was not made: {why}." for name, why in facts["impossible"].items()]
    found_first = [f"No image was embedded: {why}." for why in facts.get("refusals", ())]
    if len(found) > 3:
        reasons = sorted(set(facts["impossible"].values()))
        found = [f"{len(found)} configurations were not made: {'; '.join(reasons)}."]
    found = found_first + found
    for name in declared(section):
        if name not in facts["compared"]:
            found.append(f"{name}, which was to be compared, could not be made from these data.")
    if facts["left_out"]:
        found.append(
            f"{len(facts['left_out'])} eligible patients were left out for want of an image; see left-out.tsv."
        )
    if facts["skipped"]:
        found.append(f"{len(facts['skipped'])} models could not be fitted: {facts['skipped'][0]['reason']}.")
    raised = sum(row["raised"] for row in warned)
    if raised:
        found.append(f"{raised} automatic warnings were raised.")
    return found


def warnings(
    metrics: Sequence[Row],
    by_fold: Sequence[Row],
    comparisons: Sequence[Row],
    case: Case,
    facts: Mapping[str, Any],
    section: Mapping[str, Any],
    training: Sequence[Mapping[str, str]],
    permutation: Sequence[Mapping[str, str]],
    manifest: Mapping[str, Any],
) -> list[Row]:
    """Return ``flags.tsv``: each automatic warning for the configurations that it can be asked of."""
    limits = section["flags"]
    mine = [row for row in metrics if row["split"] == "cv" and row["target"] == case.target]
    value = {(row["configuration"], row["metric"], row["estimator"]): row for row in mine}
    folds: dict[str, dict[int, Row]] = {}
    for row in by_fold:
        if row["metric"] == "auc" and row["repeat"] == 1 and row["target"] == case.target:
            folds.setdefault(row["configuration"], {})[row["fold"]] = row
    fitted: dict[str, list[float]] = {}
    for one in training:
        if one["auc"]:
            fitted.setdefault(one["configuration"], []).append(float(one["auc"]))
    rows: list[Row] = []
    image = "mri" if section["image"] == "adc" else "mask"
    for name in (one for one in folds if "[" not in one):
        mean = value[name, "auc", "fold_mean"]["estimate"]
        inside = fmean(fitted[name]) if fitted.get(name) else None
        rows.append(flags.train_validation_gap(name, inside, mean, limit=limits["train_validation_gap"]))
        aucs = [row["estimate"] for row in folds[name].values()]
        rows.append(flags.fold_spread(name, aucs, limit=limits["fold_sd"]))
        sizes = {fold: (row["n_positive"], row["n"]) for fold, row in folds[name].items()}
        rows.append(flags.one_class_folds(name, sizes, limit=limits["one_class_folds"]))
        n, positive = value[name, "auc", "pooled"]["n"], value[name, "auc", "pooled"]["n_positive"]
        events = min(positive, n - positive)
        rows.append(
            flags.events_per_parameter(
                name, events, facts["n_features"][name], limit=limits["events_per_parameter"]
            )
        )
        weights = facts["weights"].get(name, {})
        if any(block.endswith(f":{image}") for block in weights) and len(weights) > 1:
            rows.append(flags.image_weight(name, weights, limit=limits["image_share"]))
        if name.endswith(f"_{image}") and "+" not in name:
            whole = value[name, "auc", "pooled"]
            rows.append(
                flags.image_alone_by_chance(name, whole["ci_low"], whole["ci_high"], chance=limits["chance"])
            )
    for name in case.compared:
        shown = {
            key: row["estimate"] for (one, key, how), row in value.items() if (one, how) == (name, "pooled")
        }
        if shown:
            rows.append(flags.consistent_metrics(name, shown, value[name, "auc", "pooled"]))
        slope = value.get((name, "calibration_slope", "pooled"), {}).get("estimate")
        rows.append(flags.calibration_slope(name, slope, low=limits["slope_low"], high=limits["slope_high"]))
    tests = {row["test"]: row["p"] for row in comparisons if row["role"] == "primary"}
    if tests:
        naive = tests.pop("naive_t", None)
        both = f"{case.compared[0]} against {case.compared[1]}"
        rows.append(flags.naive_test_only(both, naive, tests, alpha=limits["alpha"]))
    rows.append(flags.missing_predictors("all", facts["missing"], limit=limits["missing_share"]))
    if {"J0", "J1"} <= set(section["visits"]):
        there = list(has_j1(manifest, section["image"]).values())
        rows.append(flags.without_j1("all", len(there), there.count(False), limit=limits["without_j1"]))
    null = [float(row["auc"]) for row in permutation if row["draw"] != "0" and row["auc"]]
    if null and case.compared:
        whole = value[case.compared[0], "auc", "pooled"]
        rows.append(
            flags.degenerate_null(
                case.compared[0], null, whole["n_positive"], whole["n"], limit=limits["null_spread"]
            )
        )
    return sorted(rows, key=lambda row: -row["raised"])
