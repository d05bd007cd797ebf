"""Tables of the severity study."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from reperfuse.core.tables import Row
from reperfuse.reporting.pages import number, to_float
from reperfuse.reporting.severity_view import SeverityView
from reperfuse.reporting.severity_words import AVERAGE
from reperfuse.reporting.study_tables import Cell, Table, cell, compared_table, configured, estimated, stacked
from reperfuse.reporting.study_view import CV, METRIC_NAMES, NOT_ESTIMABLE, count, mean_sd, readable, signed
from reperfuse.reporting.voxel_tables import listed

CUT = {"0.5": "0.5", "youden": "Youden's"}
AVERAGED = "sensitivity specificity ppv npv f1 accuracy auc_scores auc_labels".split()
HEADS = {**METRIC_NAMES, "auc_scores": "AUC of scores", "auc_labels": "AUC of labels"}


def crossval_table(view: SeverityView) -> Table:
    """Return the AUC of every configuration in each cross-validation."""
    heads = ["Configuration"]
    for split in view.crossvals:
        n, repeats = view.n_folds(split), view.n_repeats(split)
        heads += [
            f"{n} folds, mean ± SD",
            f"{n} folds, pooled (95 % CI)",
            f"{n} folds, mean of {repeats} repeats",
        ]
    rows = []
    for name in view.order(view.configurations):
        cells = [configured(view, name)]
        for split in view.crossvals:
            fold, pooled, again = (
                view.estimate(name, "auc", e, split) for e in ("fold_mean", "pooled", "repeats")
            )
            cells += [
                Cell(mean_sd(fold) if fold else "", fold.get("estimate", "")),
                estimated(pooled) if pooled else Cell(""),
                Cell(mean_sd(again) if again else "", again.get("estimate", "")),
            ]
        rows.append(cells)
    caption = (
        "AUC in each cross-validation: mean ± SD over folds of the first repeat, and over repeats (pooled)"
    )
    return Table(caption, heads, rows)


def compared_tables(view: SeverityView) -> list[Table]:
    """Return every test of every comparison, a table for each cross-validation."""
    made = []
    for split in view.crossvals:
        rows = view.on(split).internal_comparisons
        table = compared_table(view, rows, f"Differences in AUC, {view.n_folds(split)} folds")
        made.append(replace(table, folded=split != CV))
    return made


def against_tables(view: SeverityView) -> list[Table]:
    """Return each configuration against the comparator by the tests over folds, a table for each cross-validation."""
    made = []
    for split in view.crossvals:
        rows = [
            r
            for r in view.on(split).internal_comparisons
            if r["second"] in view.primary[1:] and r.get("test") in ("corrected_t", "corrected_t_repeats")
        ]
        made.append(compared_table(view, rows, f"Paired differences in AUC, {view.n_folds(split)} folds"))
    return made


def averages_table(view: SeverityView, names: Sequence[str], *, folded: bool) -> Table:
    """Return each measure under each definition of an average, for some configurations."""
    mine = [r for r in view.averages if r.get("split") == "cv" and r["configuration"] in names]
    rows = [
        [
            configured(view, r["configuration"]),
            Cell(CUT.get(r["threshold"], r["threshold"])),
            Cell(AVERAGE.get(r["average"], r["average"])),
            *(cell(r.get(key), 3) for key in AVERAGED),
        ]
        for name in view.order(names)
        for r in mine
        if r["configuration"] == name
    ]
    heads = ["Configuration", "Threshold", "Average", *(HEADS.get(k, k.capitalize()) for k in AVERAGED)]
    caption = "The same predictions under each definition" + (", all configurations" if folded else "")
    return Table(caption, heads, rows, frozenset({1, 2}), folded=folded)


def consistency_table(view: SeverityView, *, ours: bool) -> Table:
    """Return whether one table of counts gives all the values of a row, for our rows or for the paper's."""
    rows = []
    for r in view.consistency:
        if (r.get("source") == "ours") != ours:
            continue
        passes = r.get("passes") == "1"
        name = r.get("name", "")
        rows.append(
            [
                configured(view, name) if ours else Cell(name, None, "counts"),
                Cell(r.get("split", "")),
                Cell(AVERAGE.get(r.get("average", ""), r.get("average", ""))),
                cell(r.get("n"), 0),
                Cell(HEADS.get(r.get("worst_metric", ""), readable(r.get("worst_metric", "")))),
                cell(r.get("reported"), 4),
                cell(r.get("nearest"), 4),
                Cell(_distance(r.get("distance")), r.get("distance", "")),
                Cell("passes" if passes else "fails", None, "passed" if passes else "failed"),
                Cell(r.get("note", "")),
            ]
        )
    heads = (
        "Row",
        "Split",
        "Average",
        "n",
        "Worst measure",
        "Printed",
        "Nearest possible",
        "Distance",
        "Check",
        "Note",
    )
    whose = "Ours" if ours else "The paper's rows"
    return Table(
        f"{whose}: is there one table of counts that gives all printed values?",
        heads, rows, frozenset({1, 2, 4, 8, 9}), folded=ours,
    )  # fmt: skip


def _distance(text: object) -> str:
    found = to_float(text)
    if found is None:
        return NOT_ESTIMABLE
    return f"{found:.1e}" if 0 < found < 0.001 else number(found, 4)


def thresholds_table(view: SeverityView) -> Table:
    """Return the thresholds that turn scores into labels."""
    rows = [
        [
            configured(view, r["configuration"]),
            Cell(CUT.get(r["name"], readable(r["name"]))),
            cell(r.get("value"), 3),
            Cell(r.get("from", "")),
        ]
        for r in view.thresholds
    ]
    heads = ("Configuration", "Threshold", "Value", "From")
    return Table("Thresholds", heads, rows, frozenset({1, 3}), folded=len(rows) > 12)


def volume_table(view: SeverityView) -> Table:
    """Return the AUC in each band of the lesion's volume."""
    return _by_level(view, view.bands(volume=True).subgroups, "level", "AUC by lesion volume (95 % CI)")


def cuts_table(view: SeverityView) -> Table:
    """Return the AUC of the same scores at each cut."""
    rows = [
        {**r, "cut": f"NIHSS above {r['cut']}"}
        for r in sorted(view.cuts, key=lambda r: to_float(r["cut"]) or 0.0)
    ]
    return _by_level(view, rows, "cut", "AUC of the same scores at each cut (95 % CI)")


def _by_level(view: SeverityView, rows: Sequence[Row], key: str, caption: str) -> Table:
    """Return the AUC of each configuration, a column for each value of a column."""
    found = {(r[key], r["configuration"]): r for r in rows}
    levels = list(dict.fromkeys(r[key] for r in rows))
    heads = ["Configuration"]
    for level in levels:
        some = next(r for r in rows if r[key] == level)
        heads.append(f"{level}: n = {count(some.get('n'))}, {count(some.get('n_positive'))} non-minor")
    made = []
    for name in view.order(r["configuration"] for r in rows):
        mine = (found.get((level, name), {}) for level in levels)
        cells = (stacked({**r, "estimate": r.get("auc")}, 3) if r else Cell("") for r in mine)
        made.append([configured(view, name), *cells])
    return Table(caption, heads, made)


def ablations_table(view: SeverityView) -> Table:
    """Return each variant of the network beside it as declared."""
    rows = [
        [
            Cell(
                r["variant"].replace("_", " "),
                None,
                "" if r.get("difference") else "counts",
                r["configuration"],
            ),
            Cell(
                mean_sd({"estimate": r.get("auc_fold_mean"), "fold_sd": r.get("auc_fold_sd")}),
                r.get("auc_fold_mean"),
            ),
            Cell(signed(r.get("difference")) if r.get("difference") else "", r.get("difference")),
            Cell(estimated(r, 3, "difference").text.partition(" (")[2].rstrip(")")),
            Cell(count(r.get("n_parameters")), r.get("n_parameters")),
        ]
        for r in view.ablations
    ]
    heads = ("Variant", "AUC, mean ± SD over folds", "Difference", "95 % CI", "Parameters")
    return Table("Ablations of TRACT-NET", heads, rows)


def left_out_tables(view: SeverityView) -> list[Table]:
    """Return why patients are not in the study, counted and one by one."""
    why = "reason" if any("reason" in r for r in view.left_out) else "why"
    reasons = Counter(r.get(why, "") for r in view.left_out)
    counted = [[Cell(reason), cell(n, 0)] for reason, n in reasons.most_common()]
    each = listed(view.left_out, "Left out, each patient", folded=True)
    return [Table("Left out, by reason", ("Reason", "Patients"), counted), each]


def training_table(view: SeverityView) -> Table:
    """Return how far the losses of each configuration's networks fell, all trials together."""
    merged: dict[str, list[Row]] = {}
    for row in view.training:
        merged.setdefault(row["configuration"], []).append(row)
    rows = [
        [
            configured(view, name),
            Cell(str(len(mine)), str(len(mine))),
            *(
                Cell(_span(mine, key, digits))
                for key, digits in (("epochs", 0), ("first_loss", 3), ("last_loss", 3))
            ),
            Cell(_span(mine, "n_parameters", 0)),
        ]
        for name, mine in merged.items()
    ]
    heads = ("Configuration", "Networks", "Epochs", "First loss", "Last loss", "Parameters")
    return Table("Training, all trials", heads, rows)


def _span(rows: Sequence[Row], key: str, digits: int) -> str:
    known = [found for row in rows if (found := to_float(row.get(key))) is not None]
    if not known:
        return NOT_ESTIMABLE
    low, high = number(min(known), digits), number(max(known), digits)
    return low if low == high else f"{low} to {high}"


def reported_table(view: SeverityView) -> Table:
    """Return the paper's values, what they were measured on, and ours."""
    estimators = {"fold_mean": "mean over folds", "pooled": "pooled", "repeats": "mean over repeats"}
    rows = [
        [
            Cell(r.get("cohort", "")),
            configured(view, r["configuration"]),
            Cell(HEADS.get(r["metric"], readable(r["metric"]).capitalize())),
            Cell(r.get("paper", "")),
            estimated(r, 3, "ours") if r.get("ours") else Cell(""),
            Cell(" ".join(filter(None, (r.get("split", ""), estimators.get(r.get("estimator", ""), ""))))),
            Cell(r.get("note", "")),
        ]
        for r in view.reported
    ]
    heads = (
        "Cohort of the paper",
        "Configuration",
        "Measure",
        "Paper",
        "Ours (95 % CI)",
        "Ours is of",
        "Note",
    )
    return Table(
        "Every value of the paper, and what it was measured on", heads, rows, frozenset({1, 2, 5, 6}), True
    )
