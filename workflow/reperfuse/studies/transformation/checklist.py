"""The answers that a run can give to the TRIPOD+AI checklist."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from reperfuse.core.version import VERSION
from reperfuse.studies.transformation.judge import TARGETS, Case
from reperfuse.studies.transformation.predicted import BALANCED

Row = dict[str, Any]


def checklist_facts(
    summary: Row, metrics: Sequence[Row], section: Mapping[str, Any], case: Case
) -> dict[str, str]:
    """Return the answers that a run can give to the checklist."""
    n, positive, statistics = summary["n"], summary["n_positive"], case.statistics
    spoken = "; ".join(
        f"{row['configuration']}, {row['target']}: {row['estimate']:.3f}"
        + (f" ({row['ci_low']:.3f} to {row['ci_high']:.3f})" if row["ci_low"] is not None else "")
        for row in metrics
        if row["metric"] == "auc" and row["estimator"] == "pooled" and row["estimate"] is not None
        and row["configuration"].partition("/")[0] in (case.primary, case.comparator)
    )  # fmt: skip
    voxels = summary["voxels"].get(TARGETS[BALANCED], {})
    limit = section.get("eligibility", {}).get("onset_max_min")
    found = {
        "title": summary["title"] + ": development and internal validation of a prediction model.",
        "objectives": "Development and cross-validation; primary comparison "
        f"{case.primary} against {case.comparator}.",
        "source_of_data": f"A BIDS dataset; {n} patients took part.",
        "eligibility": "PWI and DWI of J0, a GRE of J1 or the label"
        + (f", MRI within {limit:g} min of onset" if limit is not None else "")
        + ", a perfusion series without excessive motion.",
        "data_preparation": "The same checks, units, motion correction and grid for every patient; see the "
        "cohort's page.",
        "outcome": "Haemorrhagic transformation in a voxel, from a mask on the follow-up GRE carried to the PWI grid. "
        f"{section.get('title_note', '')}".strip(),
        "predictors": "Concentration–time curves of 3 × 3 voxels, arterial input function, b0 and b1000 of 3 × 3 "
        "voxels; in one configuration also age, glucose and NIHSS. Treatment, reperfusion grade and the GRE are no "
        "predictors.",
        "analysis_split": f"{section['n_folds']} folds of patients stratified by haemorrhagic transformation, groups "
        f"({section['group']}) together.",
        "predictor_handling": "Scaled by means and SD of the training voxels; diffusion by the median of the "
        "patient's brain.",
        "model_type": "Recurrent network (LSTM); linear regression, random forest, support vector machine and spectral "
        "regression kernel discriminant analysis on the same vector; single maps.",
        "clusters": "Voxels of one patient are one unit: folds, bootstrap and tests are of patients.",
        "performance_measures": "AUC over voxels, inside patients and of patients; average precision beside its "
        "prevalence; reliability, Brier score; volumes by rank correlation and limits of agreement.",
        "class_imbalance": "As many voxels with as without haemorrhage are drawn for training; whole brains are "
        "judged as trained and at the prevalence of the other folds' patients.",
        "fairness": "Strata by reperfusion grade, time from onset and scanner, in strata.tsv.",
        "model_output": "A likelihood for each voxel; for a patient the likelihood of the likeliest cluster and the "
        f"sum over voxels; a voxel counts towards a cluster from {statistics['cluster_probability']:g} on.",
        "participant_flow": f"{n} patients, {positive} with haemorrhagic transformation; who was left out stands in "
        "left-out.tsv.",
        "analysis_sizes": f"{n} patients, {positive} with haemorrhagic transformation; {voxels.get('n', 0)} voxels, "
        f"{voxels.get('n_positive', 0)} of them with it; the number of patients with it bounds what can be learnt.",
        "model_availability": "Arrays and card of each fold's models in models/.",
        "performance": f"AUC {spoken}." if spoken else "",
        "performance_by_cluster": "By fold and by patient in metrics-by-fold.tsv and metrics-by-subject.tsv.",
        "code_availability": f"Reperfuse {VERSION}.",
    }
    return {name: text for name, text in found.items() if text}
