"""What a reader has to know before the numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from reperfuse.evaluation.reported import EVERYONE, PaperTable
from reperfuse.evaluation.voxel_tables import Judged
from reperfuse.studies.transformation import judge
from reperfuse.studies.transformation.judge import TARGETS, Case
from reperfuse.studies.transformation.predicted import BALANCED, DENSE

Row = dict[str, Any]
SOURCE = "Yu et al., MICCAI 2019, pp. 177–185"


def summary_of(
    found: Mapping[str, Mapping[str, Judged]],
    metrics: Sequence[Row],
    labels: Mapping[str, int],
    case: Case,
    section: Mapping[str, Any],
    folds: Sequence[Mapping[str, Any]],
    out: Sequence[Row],
    paper: PaperTable,
    assumed: Mapping[str, Any],
) -> Row:
    """Return ``summary.json``."""
    note = section.get("title_note", "")
    return {
        "title": "Haemorrhagic transformation, voxel by voxel, from perfusion and diffusion"
        + (f" ({note})" if note else ""),
        "n": len(labels),
        "n_positive": sum(labels.values()),
        "target": TARGETS[BALANCED],
        "metric": "auc",
        "primary": {"first": case.primary, "second": case.comparator},
        "primary_test": judge.PRIMARY_TEST,
        "main": list(found[TARGETS[BALANCED]]),
        "voxels": {target: next(iter(few.values())).voxels.counts() for target, few in found.items() if few},
        "external": {},
        "notices": notices(metrics, case, folds, out),
        "stamps": [note] if note else [],
        "power": {},
        "sources": {"paper": SOURCE, "patients in the paper": paper.of(EVERYONE, "n")},
        "assumptions": dict(assumed),
    }


def notices(
    metrics: Sequence[Row], case: Case, folds: Sequence[Mapping[str, Any]], out: Sequence[Row]
) -> list[str]:
    """Return what a reader has to know before the numbers."""
    value = {
        (row["target"], row["metric"], row["estimator"]): row
        for row in metrics
        if row["configuration"] == case.primary and row["estimate"] is not None
    }
    balanced, whole = TARGETS[BALANCED], TARGETS[DENSE]
    found = []
    if (pooled := value.get((balanced, "auc", "pooled"))) and (
        inside := value.get((balanced, "auc", "within_patient"))
    ):
        found.append(
            f"{case.primary} has an AUC of {pooled['estimate']:.3f} over all voxels of the balanced sample and of "
            f"{inside['estimate']:.3f} inside patients with HT: only the latter says where it will bleed."
        )
    for target in (balanced, whole):
        if row := value.get((target, "average_precision", "pooled")):
            found.append(
                f"Average precision of {case.primary}, {target}: {row['estimate']:.3f} at a prevalence of "
                f"{row['prevalence']:.4f}, which is what chance gives."
            )
    if (balanced, "auc", "pooled") not in value:
        found.append(f"{case.primary}, the primary configuration, could not be judged.")
    fitted = [one for facts in folds for one in facts.get("configurations", {}).items()]
    absent = {name for name, about in fitted if "not_fitted" in about}
    if absent:
        found.append(f"Not fitted in at least one fold: {', '.join(sorted(absent))}.")
    empty = [str(facts["fold"]) for facts in folds if "not_fitted" in facts]
    if empty:
        found.append(f"Nothing was fitted for fold {', '.join(empty)}.")
    if late := sum(row["stage"] == "perfusion" for row in out):
        found.append(f"{late} eligible patients were left out for their perfusion series; see left-out.tsv.")
    return found
