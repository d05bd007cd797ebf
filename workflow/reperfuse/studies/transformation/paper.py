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
    "roi_k2": "paper: from the literature, of regions; here the mean K2 of a patient's tissue with Tmax > 6 s, the "
    "same for each of the patient's voxels, so that it cannot tell places apart",
}


def lowest_precision(auc: float) -> float:
    """Return an average precision below which none can be, given the AUC, on as many positives as negatives.

    With f the false positive rate at the true positive rate t, AUC = 1 − ∫f dt and AP = ∫t/(t + f) dt. Without
    asking that f rises, the smallest AP has t + f = c √t, so that c = (3/2)(3/2 − AUC) and AP = 2/(3c).
    """
    return 4 / (9 * (1.5 - auc))


def _doubt(paper: PaperTable, name: str) -> str:
    """Return what speaks against a pair of numbers being of a balanced sample."""
    try:
        auc, precision = (float(paper.of(name, key).split()[0]) for key in ("auc", "average_precision"))
    except (IndexError, ValueError):
        return ""
    least = lowest_precision(auc)
    if precision >= least:
        return ""
    return (
        f"paper: with an AUC of {auc:.3f} on equal numbers of voxels no average precision can be below {least:.3f}, so "
        f"that {precision:.3f} is of another sample, or a mean over such"
    )


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
        row: Row = {"configuration": name, "note": NOTES.get(name) or _doubt(paper, name)}
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
