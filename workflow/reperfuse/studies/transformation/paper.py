"""Table 1 of Yu et al. (MICCAI 2019) with this run's numbers beside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from reperfuse.evaluation.reported import EVERYONE, PaperTable
from reperfuse.evaluation.voxel_tables import Judged

Row = dict[str, Any]
COLUMNS = (
    "configuration paper_auc auc ci_low ci_high fold_mean_auc fold_sd_auc paper_average_precision average_precision "
    "ap_ci_low ap_ci_high prevalence within_patient_auc within_ci_low within_ci_high note"
).split()
# What a reader must know of single rows.
NOTES: Mapping[str, str] = {
    "linear": "paper: on equal numbers of voxels, chance is an average precision of 0.5, so that 0.444 with an AUC of "
    "0.585 cannot be of such a sample",
    "srkda": "paper: an AUC above that of lstm_pwi with an average precision 0.12 lower is not plausible on equal numbers of "
    "voxels",
    "roi_k2": "paper: from the literature, of regions; here the mean K2 of a patient's tissue with Tmax > 6 s, the same for "
    "each of the patient's voxels, so that it cannot tell places apart",
}


def table(balanced: Mapping[str, Judged], paper: PaperTable) -> list[Row]:
    """Return one row for each configuration of the paper or of this run, the paper's first.

    Parameters
    ----------
    balanced : mapping
        Configuration → what is found on the balanced sample.
    paper : PaperTable
    """
    known = [entry.configuration for entry in paper.entries if entry.configuration != EVERYONE]
    rows = []
    for name in dict.fromkeys([*known, *balanced]):
        row: Row = {"configuration": name, "note": NOTES.get(name, "")}
        row["paper_auc"] = paper.of(name, "auc")
        row["paper_average_precision"] = paper.of(name, "average_precision")
        if name in balanced:
            row |= _ours(balanced[name].rows)
        rows.append(row)
    return rows


def _ours(found: Sequence[Row]) -> Row:
    at = {(one["metric"], one["estimator"]): one for one in found}
    auc, precision = at["auc", "pooled"], at["average_precision", "pooled"]
    folds, inside = at.get(("auc", "fold_mean"), {}), at["auc", "within_patient"]
    row = {"auc": auc["estimate"], "ci_low": auc["ci_low"], "ci_high": auc["ci_high"]}
    row |= {"fold_mean_auc": folds.get("estimate"), "fold_sd_auc": folds.get("fold_sd")}
    row |= {"average_precision": precision["estimate"], "ap_ci_low": precision["ci_low"]}
    row |= {"ap_ci_high": precision["ci_high"], "prevalence": precision["prevalence"]}
    row |= {"within_patient_auc": inside["estimate"], "within_ci_low": inside["ci_low"]}
    return row | {"within_ci_high": inside["ci_high"]}
