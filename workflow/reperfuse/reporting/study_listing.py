"""Further tables of a study: conformal sets, subgroups, patients, leakage, checklist, assumptions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from reperfuse.reporting.pages import plain, to_float
from reperfuse.reporting.study_tables import Cell, Table, cell, configured, estimated, p_value
from reperfuse.reporting.study_view import NOT_ESTIMABLE, StudyView, count, readable


def conformal_table(view: StudyView) -> Table:
    """Return coverage and set sizes."""
    rows = [
        [
            configured(view, r["configuration"]),
            cell(r.get("epsilon"), 2),
            Cell({"0": "without", "1": "with"}.get(r.get("label", ""), r.get("label", ""))),
            cell(r.get("n"), 0),
            *(cell(r.get(key), 2) for key in ("coverage", "singleton", "both", "empty")),
        ]
        for r in view.conformal
    ]
    heads = ("Configuration", "ε", "Outcome", "n", "Coverage", "One label", "Both", "None")
    return Table("Conformal prediction sets", heads, rows, frozenset({2}), folded=True)


def subgroups_table(view: StudyView) -> Table:
    """Return discrimination and Brier score in each subgroup."""
    rows = [
        [
            Cell(f"{readable(r['variable'])}: {readable(r['level'])}"),
            configured(view, r["configuration"]),
            cell(r.get("n"), 0),
            cell(r.get("n_positive"), 0),
            estimated(r, 3, "auc"),
            cell(r.get("brier"), 3),
        ]
        for r in view.subgroups
    ]
    heads = ("Subgroup", "Configuration", "n", "With the outcome", "AUC (95 % CI)", "Brier score")
    return Table("Subgroups", heads, rows, frozenset({1}), folded=True)


def ordinal_table(view: StudyView) -> Table:
    """Return what was found on the outcome's whole scale."""
    rows = [
        [
            configured(view, r["configuration"]),
            Cell(r.get("quantity", "").replace("_", " ")),
            estimated(r),
            cell(r.get("n"), 0),
            Cell(r.get("note", "")),
        ]
        for r in view.ordinal
    ]
    heads = ("Configuration", "Quantity", "Estimate (95 % CI)", "n", "Note")
    return Table("Predictions against the outcome's whole scale", heads, rows, frozenset({1, 4}))


def spread_table(view: StudyView) -> Table:
    """Return whether another way to the lesion volume changes the spread over folds."""
    rows = [
        [
            configured(view, r["configuration"]),
            Cell(readable(r["lesion"])),
            cell(r.get("fold_sd")),
            cell(r.get("fold_sd_against")),
            estimated(r, 2, "ratio"),
            p_value(r.get("p")),
        ]
        for r in view.spread
    ]
    heads = ("Configuration", "Lesion volume", "SD over folds", "As configured", "Ratio (95 % CI)", "p")
    caption = (
        "Spread over folds by lesion method: below 1, the method varies less (Pitman and Morgan's test). Folds share "
        "training patients and p is not adjusted, so that p is a guide only"
    )
    return Table(caption, heads, rows, frozenset({1}))


def selection_table(view: StudyView) -> Table:
    """Return the groups of patients beside each other, one row per variable."""
    groups = list(dict.fromkeys(r["group"] for r in view.selection))
    found = {(r["variable"], r["group"]): r for r in view.selection}
    rows = []
    for variable in dict.fromkeys(r["variable"] for r in view.selection):
        mine = [found.get((variable, group), {}) for group in groups]
        cells = [
            Cell(f"{r.get('summary') or NOT_ESTIMABLE} (n = {r.get('n') or '–'})" if r else "") for r in mine
        ]
        smd = next((r["smd"] for r in mine if r.get("smd")), "")
        rows.append([Cell(readable(variable)), *cells, cell(smd, 2)])
    heads = ("Variable", *groups, "Standardised difference")
    return Table("Who is in the study and who is not", heads, rows, frozenset(range(1, len(groups) + 1)))


def reasons_table(view: StudyView) -> Table:
    """Return why patients are not in the study."""
    rows = [[Cell(r["reason"]), cell(r.get("n"), 0)] for r in view.selection_reasons]
    return Table("Left out, by reason", ("Reason", "Patients"), rows)


def leakage_table(view: StudyView) -> Table:
    """Return what each fitted object has seen."""
    rows = []
    for r in sorted(view.leakage, key=lambda r: -(to_float(r.get("n_overlap")) or 0)):
        overlap = to_float(r.get("n_overlap"))
        cells = [cell(r.get(key), 0) for key in ("n_fits", "n_seen_min", "n_seen_max")]
        kind = "quiet" if overlap is None else "failed" if overlap else "passed"
        rows.append(
            [
                configured(view, r["configuration"]),
                Cell(r["object"]),
                *cells,
                Cell(count(overlap), None, kind),
            ]
        )
    heads = ("Configuration", "Fitted object", "Fits", "Patients seen, least", "Most", "Also predicted")
    return Table("Patients that each fitted object has seen", heads, rows, frozenset({1}), folded=True)


def tripod_table(view: StudyView) -> Table:
    """Return the checklist."""
    rows = [
        [
            Cell(r.get("item", ""), None),
            *(Cell(r.get(key, "")) for key in ("section", "topic", "text")),
            Cell(r.get("status", ""), None, "passed" if r.get("status") == "from this run" else "warned"),
        ]
        for r in view.tripod
    ]
    heads = ("Item", "Section", "Topic", "In this study", "Status")
    return Table("TRIPOD+AI", heads, rows, frozenset({1, 2, 3, 4}), folded=True)


def assumptions_table(values: Mapping[str, Any], caption: str) -> Table:
    """Return keys and values that no paper states, or sources."""
    rows = [[Cell(str(key)), Cell(plain(item))] for key, item in values.items()]
    return Table(caption, ("Key", "Value"), rows, frozenset({1}), folded=len(rows) > 12)
