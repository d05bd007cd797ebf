"""The answers that a run can give to the TRIPOD+AI checklist."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from reperfuse.core.version import VERSION
from reperfuse.evaluation import judgement, power
from reperfuse.evaluation.patient_tables import Case

Row = dict[str, Any]


def checklist_facts(
    summary: Row,
    metrics: Sequence[Row],
    case: Case,
    facts: Mapping[str, Any],
    section: Mapping[str, Any],
    manifests: Sequence[Mapping[str, Any]],
) -> dict[str, str]:
    """Return the answers that a run can give to the checklist."""
    n, positive = summary["n"], summary["n_positive"]
    logistic = section["classifier"]["kernel"] == "logistic"
    whole_pca = section["fusion_order"] == "concat_then_pca"
    width = max((facts["n_features"].get(name, 0) for name in case.compared), default=0)
    whole = [
        row for row in metrics
        if row["metric"] == "auc" and row["estimator"] == "pooled" and row["configuration"] in case.compared
        and row["split"] == "cv" and row["target"] == case.target and row["estimate"] is not None
    ]  # fmt: skip
    spoken = "; ".join(
        f"{row['configuration']} {row['estimate']:.3f}"
        + (f" ({row['ci_low']:.3f} to {row['ci_high']:.3f})" if row["ci_low"] is not None else "")
        for row in whole
    )
    found = {
        "title": summary["title"] + ": development and internal validation of a prediction model.",
        "objectives": f"Development and cross-validation; primary comparison {' against '.join(case.compared)}.",
        "source_of_data": f"A BIDS dataset of {len(manifests[0]['folders'])} patients.",
        "eligibility": f"An image ({section['image']}) of {' and '.join(section['visits'])} and {section['variable']}.",
        "data_preparation": "The same checks, units and masks for every patient; see the cohort's page.",
        "outcome": f"{section['variable']} at most {section['favourable_max']}. {section['title_note']}".strip(),
        "predictors": "; ".join(
            f"{name}: {', '.join(columns)}" for name, columns in facts["predictors"].items()
        ),
        "missing_data": "Median or more frequent value of the training fold and an indicator; "
        + (
            ", ".join(f"{name} {100 * share:.0f} %" for name, share in facts["missing"].items())
            or "none missing"
        )
        + ".",
        "analysis_split": f"{facts.get('n_folds', section['n_folds'])} folds stratified by outcome, "
        f"groups ({section['group']}) together, {section['repeats']} repeats.",
        "predictor_handling": "Scaled to SD 1 in the training fold; volumes as log1p(ml); "
        f"{'all predictors together' if whole_pca else 'embeddings'} as at most "
        f"{section['pca']['components']} principal components.",
        "model_type": (
            f"Logistic regression, L2 penalty, C = {section['classifier']['c']:g}."
            if logistic
            else f"Support vector machine, {section['classifier']['kernel']} kernel, "
            f"C = {section['classifier']['c']:g}."
        ),
        "performance_measures": "AUC (DeLong), average precision, calibration, Brier score, net benefit, "
        "conformal sets.",
        "class_imbalance": "Not dealt with."
        if logistic
        else "Classes weighed by the inverse of their frequency; recalibrated by Platt's method on inner folds.",
        "model_output": f"A probability; classes are cut at {judgement.THRESHOLD:g}.",
        "participant_flow": f"{n} patients, {positive} with the outcome, {n - positive} without; "
        "who was left out stands in left-out.tsv.",
        "analysis_sizes": f"{n} patients, {positive} with the outcome.",
        "model_availability": "Arrays and card of each frozen configuration in models/.",
        "performance": f"AUC {spoken}." if spoken else "",
        "code_availability": f"Reperfuse {VERSION}.",
        "development_against_evaluation": " ".join(
            f"{name}: {one['n_scored']} scored by frozen models, {one['n_labelled']} of them with a known outcome."
            for name, one in summary["external"].items()
        ),
        "limitations": summary["power"].get("statement", ""),
    }
    if width and 0 < positive < n:
        found["sample_size"] = power.sample_size_note(
            positive, n - positive, width, minimum=section["flags"]["events_per_parameter"],
            nagelkerke=0.15, shrinkage=0.9, margin=0.05,
        )  # fmt: skip
    return {name: text for name, text in found.items() if text}
