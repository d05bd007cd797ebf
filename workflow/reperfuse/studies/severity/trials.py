"""What the trials say of themselves: ablations, training, the leakage audit, and who was left out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean, stdev
from typing import Any

from reperfuse.core.errors import Fault
from reperfuse.evaluation.crossval import Scored, fold_aucs
from reperfuse.evaluation.resampling import corrected_t
from reperfuse.studies.severity.names import variant_of

Row = dict[str, Any]
Facts = Mapping[str, Any]
STUDY = "severity"
BASE = "tractnet"
COLUMNS: Mapping[str, Sequence[str]] = {
    name: text.split()
    for name, text in {
        "ablations": "configuration variant auc_fold_mean auc_fold_sd difference ci_low ci_high n_parameters",
        "training": "trial configuration member epochs first_loss last_loss n_parameters",
        "leakage": "trial configuration object n_fits n_seen_min n_seen_max n_overlap",
        "left-out": "participant_id stage reason",
    }.items()
}


def ablations(first: Scored, trials: Iterable[Facts], *, level: float) -> list[Row]:
    """Return TRACT-NET and each of its variants; differences over the same folds, corrected as in ``comparisons``.

    Parameters
    ----------
    first : mapping
        Configurations of the first repeat of the cross-validation.
    trials : iterable of mapping
        Facts of the trials.
    level : float
        Of the intervals.

    Returns
    -------
    list of dict
        Empty where there is no variant. A variant that lacks some of the patients has no difference.
    """
    names = [BASE, *(name for name in first if variant_of(name))]
    if BASE not in first or len(names) < 2:
        return []
    sizes = {
        name: about["n_parameters"]
        for facts in trials
        for name, about in facts.get("configurations", {}).items()
        if "n_parameters" in about
    }
    base = fold_aucs(first[BASE])
    share = 1 / max(len(base) - 1, 1)
    rows = []
    for name in names:
        aucs = fold_aucs(first[name])
        known = [one for one in aucs if one is not None]
        row: Row = {"configuration": name, "variant": variant_of(name) or "as declared"}
        row |= {"auc_fold_mean": fmean(known) if known else None, "n_parameters": sizes.get(name)}
        row["auc_fold_sd"] = stdev(known) if len(known) > 1 else None
        if name != BASE and first[name][0] == first[BASE][0]:
            pairs = zip(aucs, base, strict=True)
            got = corrected_t(
                [None if a is None or b is None else a - b for a, b in pairs], test_share=share, level=level
            )
            row |= {"difference": got.difference, "ci_low": got.low, "ci_high": got.high}
        rows.append(row)
    return rows


def training(trials: Iterable[Facts]) -> list[Row]:
    """Return the loss of the first and the last epoch of every network that was trained."""
    return [
        {"trial": facts["trial"], "configuration": name, "member": member, "epochs": len(losses)}
        | {"first_loss": losses[0], "last_loss": losses[-1], "n_parameters": about.get("n_parameters")}
        for facts in trials
        for name, about in facts.get("configurations", {}).items()
        for member, losses in enumerate(about.get("loss", ()), start=1)
        if losses
    ]


def leakage(trials: Iterable[Facts]) -> list[Row]:
    """Return who was seen by what, in every trial."""
    return [{"trial": facts["trial"], **row} for facts in trials for row in facts.get("leakage", ())]


def not_fitted(trials: Iterable[Facts]) -> dict[str, str]:
    """Return configuration → why it was not fitted in at least one trial, those of a whole trial as ``all``."""
    found: dict[str, str] = {}
    for facts in trials:
        if "not_fitted" in facts:
            found.setdefault("all", facts["not_fitted"])
        for name, about in facts.get("configurations", {}).items():
            if "not_fitted" in about:
                found.setdefault(name, about["not_fitted"])
    return found


def left_out(
    trials: Iterable[Facts], manifest: Mapping[str, Any], unscored: Iterable[Mapping[str, str]]
) -> list[Row]:
    """Return who takes no part, at which stage and why.

    Parameters
    ----------
    trials : iterable of mapping
    manifest : mapping
        Of the main cohort.
    unscored : iterable of mapping
        Rows of ``scores-left-out.tsv``.
    """
    found = manifest["eligibility"][STUDY]
    placed = {row["participant_id"] for row in manifest["folds"][STUDY]["rows"]}
    rows: list[Row] = []
    for who, faults in found.items():
        if faults:
            why = "; ".join(Fault(**one).reason for one in faults)
            rows.append({"participant_id": who, "stage": "eligibility", "reason": why})
        elif who not in placed:
            why = "not in the frozen fold table"
            rows.append({"participant_id": who, "stage": "folds", "reason": why})
    reasons = {who: why for facts in trials for who, why in facts.get("left_out", {}).items()}
    rows += [{"participant_id": who, "stage": "image", "reason": why} for who, why in reasons.items()]
    rows += [
        {
            "participant_id": row["participant_id"],
            "stage": row.get("split") or "scoring",
            "reason": row["reason"],
        }
        for row in unscored
    ]
    return sorted(rows, key=lambda row: (row["participant_id"], row["stage"]))
