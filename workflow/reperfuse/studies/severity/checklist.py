"""The answers that a run can give to the TRIPOD+AI checklist."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from reperfuse.core.version import VERSION
from reperfuse.evaluation import judgement
from reperfuse.evaluation.patient_tables import Case
from reperfuse.studies.severity.names import AGE, alone, hybrid_parts

Row = dict[str, Any]


def checklist_facts(
    summary: Row, metrics: Sequence[Row], case: Case, section: Mapping[str, Any]
) -> dict[str, str]:
    """Return the answers that a run can give to the checklist."""
    n, positive = summary["n"], summary["n_positive"]
    score, cut = section["variable"].upper(), section["minor_max"]
    clinical = hybrid_parts(section)[1]
    weighted = section["training"]["class_weights"] and section["training"]["graded"] < 1
    aged = any(name.endswith(AGE) for name in section["baselines"])
    folds = ", ".join(str(k) for k in dict.fromkeys([section["n_folds"], *section["other_n_folds"]]))
    spoken = "; ".join(
        f"{row['configuration']}, {row['split']}: {row['estimate']:.3f}"
        + (f" ({row['ci_low']:.3f} to {row['ci_high']:.3f})" if row["ci_low"] is not None else "")
        for row in metrics
        if (row["metric"], row["estimator"]) == ("auc", "pooled") and row["estimate"] is not None
        and row["configuration"] in case.compared
    )  # fmt: skip
    found = {
        "title": summary["title"] + ": development and internal validation of a prediction model.",
        "objectives": "Development and cross-validation"
        + (f"; primary comparison {' against '.join(case.compared)}." if len(case.compared) == 2 else "."),
        "source_of_data": f"A BIDS dataset; {n} patients took part.",
        "eligibility": f"{' and '.join(section['channels'])} of J0, and the {score}.",
        "data_preparation": "The same checks, grid and normalisation for every patient; see the cohort's page.",
        "outcome": f"{score} above {cut}, non-minor stroke. {section['title_note']}".strip(),
        "predictors": f"Images of J0 alone ({', '.join(section['channels'])}), lesion volume and territories"
        + (f"; age in the configurations whose names end in {AGE}" if aged else "")
        + (f"; in hybrid also {', '.join(clinical)}" if clinical and section["hybrid"] else "")
        + f". The {score} is the label and no predictor of anything.",
        "missing_data": "A patient without an image is left out; what else is missing has the mean of the training "
        "patients.",
        "analysis_split": f"{folds} folds, {section['repeats']} repeats, stratified by outcome, groups "
        f"({section['group']}) together; {section['inner_folds']} inner folds calibrate, set thresholds and combine.",
        "predictor_handling": (
            "Images z-scored in the brain, v" if set(section["channels"]) - {"lesion"} else "V"
        )
        + "olumes as log(1 + ml); lesions as the share of each voxel or cell that they fill.",
        "model_type": f"Configurations: {', '.join(alone(section))}"
        + (f"; ensemble of {', '.join(section['ensemble'])}" if section["ensemble"] else "")
        + (f"; hybrid of {', '.join(section['hybrid'])}" if section["hybrid"] else "")
        + ".",
        "performance_measures": "AUC (DeLong), average precision, calibration, Brier score, net benefit, conformal "
        "sets; positive-class, macro and weighted averages side by side.",
        "model_updating": "Intercept shifted to the prevalence of other cohorts, under names of their own."
        if any(row["configuration"].endswith("[recalibrated]") for row in metrics)
        else "",
        "class_imbalance": "Classes weighted equally in the loss of networks; recalibrated on inner folds."
        if weighted
        else "Not dealt with in fitting; recalibrated on inner folds.",
        "fairness": "Lesion volume, age, sex, side, earlier stroke and site, in subgroups.tsv.",
        "model_output": f"A probability of non-minor stroke, cut at {judgement.THRESHOLD:g} and at Youden's threshold.",
        "development_against_evaluation": " ".join(
            f"{name}: {one['n_scored']} scored by frozen models, {one['n_labelled']} of them with a known score."
            for name, one in summary["external"].items()
        ),
        "participant_flow": f"{n} patients, {positive} non-minor, {n - positive} minor; who was left out stands in "
        "left-out.tsv.",
        "analysis_sizes": f"{n} patients, {positive} of them non-minor.",
        "model_availability": "Arrays and card of each fold's models in models/.",
        "performance": f"AUC {spoken}." if spoken else "",
        "performance_by_cluster": "By fold in metrics-by-fold.tsv.",
        "code_availability": f"Reperfuse {VERSION}.",
        "limitations": summary["power"].get("statement", ""),
    }
    return {name: text for name, text in found.items() if text}
