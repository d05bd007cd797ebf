"""What models say of themselves: parameters, benefit and cost of contrasts, training, leakage, who was left out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from reperfuse.core.errors import Fault
from reperfuse.studies.fusion.names import NONE, parse

Row = dict[str, Any]
Facts = Mapping[str, Any]
STUDY = "fusion"
# Weights of a 3 × 3 × 3 convolution from 96 to 96 channels, in one piece and separable: the paper's comparison.
BLOCK = "3 × 3 × 3, 96 to 96 channels"
STANDARD_BLOCK, SEPARABLE_BLOCK = 27 * 96 * 96, 27 * 96 + 96 * 96
COLUMNS: Mapping[str, Sequence[str]] = {
    name: text.split()
    for name, text in {
        "parameters": "configuration n_contrasts n_parameters n_linear standard_equivalent ratio code_length "
        "compression",
        "contrasts-curve": "configuration n_contrasts target r2 r2_low r2_high mse n_parameters compression strata_ari",
        "training": "trial configuration fold epoch loss",
        "leakage": "trial configuration object n_fits n_seen_min n_seen_max n_overlap",
        "left-out": "participant_id stage reason",
    }.items()
}


def n_contrasts(facts: Facts) -> int:
    """Return how many contrasts a model fuses."""
    return len(parse(facts["trial"]).system.contrasts)


def first_of(models: Iterable[Facts]) -> dict[str, Facts]:
    """Return the facts of the first fitted model of each configuration."""
    found: dict[str, Facts] = {}
    for facts in models:
        if not facts.get("not_fitted"):
            found.setdefault(facts["configuration"], facts)
    return found


def parameters(models: Iterable[Facts]) -> list[Row]:
    """Return the parameters of each network and of the same with standard convolutions; last, those of one block.

    ``n_linear`` are numbers of a linear path beside the network, which are principal components and not trained.
    """
    rows: list[Row] = []
    for name, facts in first_of(models).items():
        own, standard = facts.get("n_parameters"), facts.get("standard_equivalent")
        row: Row = {"configuration": name, "n_contrasts": n_contrasts(facts), "n_parameters": own}
        row["n_linear"] = facts.get("n_linear")
        row |= {"standard_equivalent": standard, "ratio": standard / own if own and standard else None}
        rows.append({**row, "code_length": facts.get("code_length"), "compression": facts.get("compression")})
    block: Row = {"configuration": BLOCK, "n_parameters": SEPARABLE_BLOCK}
    return [
        *rows,
        {**block, "standard_equivalent": STANDARD_BLOCK, "ratio": STANDARD_BLOCK / SEPARABLE_BLOCK},
    ]


def curve(
    metrics: Iterable[Mapping[str, Any]], models: Iterable[Facts], stability: Iterable[Mapping[str, Any]]
) -> list[Row]:
    """Return, for each set of contrasts, how well each contrast is held by the embedding and what the set costs.

    Parameters
    ----------
    metrics : iterable of mapping
        Rows of ``metrics.tsv``.
    models : iterable of mapping
        Facts of models.
    stability : iterable of mapping
        Rows of ``stability.tsv``; ``other_ari`` says how far a configuration's strata are those of the primary one.
    """
    means = {
        (row["configuration"], row["target"], row["metric"]): row
        for row in metrics
        if row["estimator"] == "fold_mean"
    }
    agreed = {row["configuration"]: row["estimate"] for row in stability if row["what"] == "other_ari"}
    plain = {name: one for name, one in first_of(models).items() if parse(one["trial"]).kind == NONE}
    rows: list[Row] = []
    for name, facts in sorted(plain.items(), key=lambda item: n_contrasts(item[1])):
        for target in (*parse(facts["trial"]).system.contrasts, "all"):
            r2, mse = (means.get((name, target, metric)) for metric in ("r2", "mse"))
            if r2 and mse and not (target == "all" and n_contrasts(facts) == 1):
                row: Row = {"configuration": name, "n_contrasts": n_contrasts(facts), "target": target}
                row |= {"r2": r2["estimate"], "r2_low": r2["ci_low"], "r2_high": r2["ci_high"]}
                row |= {"mse": mse["estimate"], "n_parameters": facts.get("n_parameters")}
                rows.append({**row, "compression": facts.get("compression"), "strata_ari": agreed.get(name)})
    return rows


def training(models: Iterable[Facts]) -> list[Row]:
    """Return the loss of each epoch of every network that was trained."""
    rows: list[Row] = []
    for facts in models:
        head: Row = {"trial": facts["trial"], "configuration": facts["configuration"]}
        head["fold"] = parse(facts["trial"]).fold
        losses = facts.get("history") or ()
        rows += [{**head, "epoch": epoch, "loss": loss} for epoch, loss in enumerate(losses, start=1)]
    return rows


def leakage(models: Iterable[Facts]) -> list[Row]:
    """Return who was seen by what, in every model."""
    return [
        {"trial": facts["trial"], "configuration": facts["configuration"], **row}
        for facts in models
        for row in facts.get("leakage") or ()
    ]


def not_fitted(models: Iterable[Facts]) -> dict[str, str]:
    """Return configuration → why at least one model of it was not fitted."""
    return {facts["configuration"]: facts["not_fitted"] for facts in models if facts.get("not_fitted")}


def left_out(
    models: Iterable[Facts],
    manifest: Mapping[str, Any],
    images: Mapping[str, str],
    unscored: Iterable[Mapping[str, Any]],
) -> list[Row]:
    """Return who takes no part, at which stage and why.

    Parameters
    ----------
    models : iterable of mapping
        Facts; ``left_out`` says who takes no part in a set of contrasts.
    manifest : mapping
        Of the main cohort.
    images : mapping
        participant_id → why nothing of the patient could be shown to a network.
    unscored : iterable of mapping
        Rows with ``participant_id``, ``split``, ``reason``.
    """
    placed = {row["participant_id"] for row in manifest["folds"][STUDY]["rows"]}
    found: dict[tuple[str, str], str] = {}
    for who, faults in manifest["eligibility"][STUDY].items():
        if faults:
            found[who, "eligibility"] = "; ".join(Fault(**one).reason for one in faults)
        elif who not in placed:
            found[who, "folds"] = "not in the frozen fold table"
    found |= {(who, "image"): why for who, why in images.items() if who in placed}
    for facts in models:
        for who, why in (facts.get("left_out") or {}).items():
            if (who, "image") not in found:
                found[who, parse(facts["trial"]).set] = why
    for row in unscored:
        found[row["participant_id"], str(row.get("split") or "scoring")] = row["reason"]
    return [
        {"participant_id": who, "stage": stage, "reason": why} for (who, stage), why in sorted(found.items())
    ]
