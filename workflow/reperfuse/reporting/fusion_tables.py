"""Tables of the fusion study's page."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from reperfuse.core.tables import Row
from reperfuse.reporting.fusion_view import ALL, FusionView, contrast
from reperfuse.reporting.pages import to_float
from reperfuse.reporting.study_tables import Cell, Table, cell, p_value, stacked
from reperfuse.reporting.study_view import count, limits, readable, signed

MEASURES: Mapping[str, tuple[str, int]] = {
    "r2": ("R² over the mean image (95 % CI)", 3),
    "mse": ("MSE", 4),
    "norm_diff": ("Normalised difference", 3),
    "cnr_change": ("Change of CNR", 3),
    "mean_code_cnr_change": ("Change of CNR, mean embedding", 3),
    "generalisation_gap": ("Generalisation gap", 4),
    "shuffled_ratio": ("Error with another's embedding, ratio", 2),
}
QUANTITIES: Mapping[str, str] = {
    "mse": "mean squared error",
    "cnr_loss": "loss of CNR, share",
    "code_length": "numbers of the embedding",
    "compression": "voxels for each number",
    "parameter_ratio": "parameters, standard by separable",
    "n_factors": "factors",
    "n_strata": "strata",
    "n_significant": "factors told apart by strata",
}


def configured_as(view: FusionView, name: str) -> Cell:
    """Return a configuration's cell, bold where its embedding gives the strata."""
    return Cell(view.named(name), None, "counts" if name == view.chief else "", name)


def maybe(text: Any, digits: int = 3) -> Cell:
    """Return a number's cell, a dash where there is none."""
    return cell(text, digits) if to_float(text) is not None else Cell("–", "")


def reconstruction_table(view: FusionView) -> Table:
    """Return every measure of each configuration, over all its contrasts."""
    rows = [
        [
            configured_as(view, name),
            stacked(view.estimate(name, "r2", "fold_mean"), 3),
            maybe(view.estimate(name, "r2", "fold_worst").get("estimate")),
            *(
                maybe(view.estimate(name, metric, "fold_mean").get("estimate"), digits)
                for metric, (_, digits) in MEASURES.items()
                if metric != "r2"
            ),
        ]
        for name in view.main
    ]
    heads = [title for title, _ in MEASURES.values()]
    heads.insert(1, "Worst fold")
    return Table("Held-out patients, mean over folds", ("Contrasts and model", *heads), rows)


def by_contrast_table(view: FusionView) -> Table:
    """Return the measures of each contrast."""
    rows = [
        [
            Cell(contrast(target)),
            configured_as(view, name),
            *(
                stacked(view.of_target(name, metric, target), digits)
                if metric == "r2"
                else maybe(view.of_target(name, metric, target).get("estimate"), digits)
                for metric, (_, digits) in MEASURES.items()
            ),
        ]
        for target in view.every_contrast
        for name in view.main
        if view.of_target(name, "mse", target)
    ]
    heads = ("Contrast", "Contrasts and model", *(title for title, _ in MEASURES.values()))
    return Table("By contrast", heads, rows, frozenset({1}), folded=True)


def flags_table(view: FusionView) -> Table:
    """Return the held-out reconstructions of the chief configuration that are doubtful or have failed."""
    mine = [row for row in view.flags if row.get("configuration") == view.chief]
    words = {"mse": "MSE", "cnr_change": "change of CNR"}
    rows = [
        [
            Cell(r["participant_id"]),
            Cell(contrast(r["target"])),
            Cell(words.get(r["quantity"], r["quantity"])),
            cell(r["value"], 3),
            cell(r["limit"], 2),
            Cell(r["level"], None, "failed" if r["level"] == "failed" else "warned"),
        ]
        for r in mine
    ]
    heads = ("Patient", "Contrast", "Measure", "Value", "Limit", "")
    return Table(
        "Doubtful and failed, from the embedding alone", heads, rows, frozenset({1, 2, 5}), folded=True
    )


def paper_table(view: FusionView) -> Table:
    """Return the paper's numbers beside ours."""
    rows = []
    for r in view.reported:
        of = "" if r["configuration"] == ALL else f" ({r['configuration']})"
        ours, digits = to_float(r.get("ours")), _digits(r["quantity"])
        shown = stacked({**r, "estimate": r["ours"]}, digits) if ours is not None else Cell("–", "")
        name = r.get("ours_configuration", "")
        rows.append(
            [
                Cell(QUANTITIES.get(r["quantity"], readable(r["quantity"])) + of),
                Cell(r["paper"]),
                shown,
                Cell(
                    view.named(name) if name in view.configurations else name,
                    None,
                    "",
                    name,
                    r.get("note", ""),
                ),
                Cell(r["source"], None, "quiet"),
            ]
        )
    heads = ("Quantity", "Paper", "Ours", "Ours is of", "Where the paper's is from")
    return Table("The paper's numbers and ours", heads, rows, frozenset({3, 4}))


def _digits(quantity: str) -> int:
    return {"mse": 4, "cnr_loss": 3, "parameter_ratio": 2}.get(quantity, 0)


def curve_table(view: FusionView) -> Table:
    """Return what each set of contrasts brings and costs."""
    names = list(dict.fromkeys(r["configuration"] for r in view.contrasts_curve))
    found = {(r["configuration"], r["target"]): r for r in view.contrasts_curve}
    targets = list(dict.fromkeys(r["target"] for r in view.contrasts_curve if r["target"] != ALL))
    rows = []
    for name in names:
        any_row = next(r for r in view.contrasts_curve if r["configuration"] == name)
        rows.append(
            [
                configured_as(view, name),
                cell(any_row["n_contrasts"], 0),
                *(
                    stacked({"estimate": r["r2"], "ci_low": r["r2_low"], "ci_high": r["r2_high"]}, 3)
                    if (r := found.get((name, target), {}))
                    else Cell("", "")
                    for target in targets
                ),
                maybe(any_row["n_parameters"], 0),
                maybe(any_row["compression"], 0),
                maybe(any_row["strata_ari"], 2),
            ]
        )
    heads = ("Contrasts", "Number", *(f"R² of {contrast(target)}" for target in targets))
    heads += ("Parameters", "Voxels for each number", "Strata as those of all, ARI")
    return Table("What further contrasts bring and cost, embedding alone", heads, rows)


def parameters_table(view: FusionView) -> Table:
    """Return parameters of each network beside the same with standard convolutions."""
    rows = [
        [
            configured_as(view, r["configuration"])
            if r["configuration"] in view.configurations
            else Cell(f"one block, {r['configuration']}"),
            *(maybe(r.get(key), 0) for key in ("n_parameters", "n_linear", "standard_equivalent")),
            maybe(r["ratio"], 2),
            *(maybe(r[key], 0) for key in ("code_length", "compression")),
        ]
        for r in view.parameters
    ]
    heads = "Model|Parameters|Linear path|Standard|Ratio|Numbers of the embedding|Voxels for each number"
    return Table("Parameters and compression", heads.split("|"), rows)


def comparisons_table(view: FusionView) -> Table:
    """Return every pair of configurations: the difference over folds with its test, and over patients."""
    pairs: dict[tuple[str, str], dict[str, Row]] = {}
    for r in view.comparisons:
        pairs.setdefault((r["first"], r["second"]), {})[r["test"]] = r
    rows = []
    for (first, second), tests in pairs.items():
        folds, drawn = tests.get("corrected_t", {}), tests.get("patient_bootstrap", {})
        kind = "counts" if folds.get("role") == "primary" else ""
        rows.append(
            [
                Cell(view.named(first), None, kind, first),
                Cell(view.named(second), None, kind, second),
                Cell(signed(folds.get("difference")), folds.get("difference", ""), "", "", limits(folds)),
                maybe(folds.get("statistic"), 2),
                p_value(folds.get("p")),
                p_value(folds.get("p_adjusted")),
                Cell(signed(drawn.get("difference")), drawn.get("difference", ""), "", "", limits(drawn))
                if drawn
                else Cell("–", ""),
                maybe(folds.get("n"), 0),
            ]
        )
    heads = (
        "First",
        "Second",
        "Over folds (95 % CI)",
        "t",
        "p",
        "p adjusted",
        "Over patients (95 % CI)",
        "n",
    )
    return Table("First − second, R² over the mean image", heads, rows, frozenset({1}))


def left_out_tables(view: FusionView) -> list[Table]:
    """Return why patients are not in the study, counted and one by one."""
    counted = Counter((r["stage"], r["reason"]) for r in view.left_out)
    rows = [[Cell(readable(stage)), Cell(why), cell(n, 0)] for (stage, why), n in counted.most_common()]
    each = [[Cell(r["participant_id"]), Cell(readable(r["stage"])), Cell(r["reason"])] for r in view.left_out]
    return [
        Table("Left out, by stage and reason", ("Stage", "Reason", "Patients"), rows, frozenset({1})),
        Table("Left out, each patient", ("Patient", "Stage", "Reason"), each, frozenset({1, 2}), folded=True),
    ]


def people(view: FusionView) -> str:
    """Return how many patients took part."""
    n = view.summary.get("n")
    return (
        "How many patients took part is not recorded."
        if n is None
        else f"{count(n)} patients were held out once."
    )
