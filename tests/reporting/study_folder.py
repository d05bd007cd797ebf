"""The tables of a study's folder: their columns, and how a run writes them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from reperfuse.core.files import write_json
from reperfuse.core.tables import write_table

COLUMNS = {
    "predictions": "participant_id session_id target configuration split repeat fold y_true y_score",
    "metrics": "target configuration split metric estimator estimate ci_low ci_high interval fold_sd n "
    "n_positive paper",
    "metrics_by_fold": "target configuration split repeat fold metric estimate n n_positive",
    "comparisons": "target first second split test role difference ci_low ci_high statistic p p_adjusted "
    "n note",
    "roc": "configuration split fpr tpr threshold",
    "calibration": "configuration stage bin mean_score observed ci_low ci_high n",
    "decision": "configuration threshold net_benefit",
    "coefficients": "configuration feature block coefficient ci_low ci_high sign_stability rank",
    "sweep": "configuration parameter value auc_fold_mean auc_fold_sd auc_pooled ci_low ci_high n_features",
    "spread": "configuration lesion against fold_sd fold_sd_against ratio ci_low ci_high p n",
    "conformal": "configuration epsilon label n coverage singleton empty both",
    "subgroups": "configuration variable level n n_positive auc ci_low ci_high brier",
    "ordinal": "configuration quantity estimate ci_low ci_high n note",
    "selection": "variable group summary n smd",
    "selection_reasons": "reason n",
    "permutation": "configuration draw auc",
    "flags": "flag configuration value limit raised sentence",
    "leakage": "configuration object n_fits n_seen_min n_seen_max n_overlap",
    "tripod": "item section topic text status",
    "saliency": "participant_id session_id visit configuration fold y_true y_score correct stability "
    "share_in_lesion lesion_share share_outside_brain file",
}


def write(folder: Path, content: dict[str, Any]) -> Path:
    """Write summary and tables into a folder as a run does."""
    write_json(folder / "summary.json", content.get("summary", {}))
    for name, columns in COLUMNS.items():
        write_table(folder / f"{name.replace('_', '-')}.tsv", content.get(name, ()), columns.split())
    return folder
