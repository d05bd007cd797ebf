"""Tables of a study, made once and written as HTML or as Markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from markupsafe import Markup

from reperfuse.reporting.pages import Section, fragment, to_float
from reperfuse.reporting.study_canvas import measure
from reperfuse.reporting.study_view import (
    METRIC_NAMES,
    NOT_ESTIMABLE,
    StudyView,
    count,
    limits,
    mean_sd,
    probability,
    readable,
    signed,
    value,
    with_limits,
)
from reperfuse.reporting.study_words import test_name

DISCRIMINATION = (
    "auc average_precision accuracy balanced_accuracy f1 sensitivity specificity ppv npv brier brier_skill"
).split()
CALIBRATION = (
    "brier brier_skill calibration_slope calibration_intercept calibration_in_the_large ici e50 e90 ece"
).split()
# A table of fewer rows is read as it stands.
LEAST_SORTED = 5


@dataclass(frozen=True)
class Cell:
    """What a cell shows: ``under`` below ``text``; ``sort`` is its number, ``title`` the exact name."""

    text: str
    sort: str | None = None
    kind: str = ""
    title: str = ""
    under: str = ""


@dataclass(frozen=True)
class Table:
    """A table for reading: the first column names the row, ``texts`` are others that hold no numbers."""

    caption: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    texts: frozenset[int] = frozenset()
    folded: bool = False


def html(table: Table, view: StudyView) -> Markup:
    """Return a table as HTML with the stamps in its caption; empty where it has no rows."""
    if not table.rows:
        return Markup("")
    return fragment("study_table.html.j2", table=table, stamps=view.stamps, least=LEAST_SORTED)


def markdown(table: Table, view: StudyView) -> list[str]:
    """Return a table as lines of Markdown, empty where it has no rows."""
    if not table.rows:
        return []
    rule = [":--" if i == 0 or i in table.texts else "--:" for i in range(len(table.columns))]
    lines = [
        list(table.columns),
        rule,
        *([" ".join(filter(None, (c.text, c.under and f"({c.under})"))) for c in row] for row in table.rows),
    ]
    caption = " ".join([table.caption, *(f"**{_safe(stamp)}**." for stamp in view.stamps)])
    return [caption, "", *(f"| {' | '.join(map(_safe, line))} |" for line in lines), ""]


def _safe(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;")


def cell(text: Any, digits: int = 3) -> Cell:
    """Return a number's cell."""
    shown = value(text, digits)
    return Cell(shown, "", "quiet") if shown == NOT_ESTIMABLE else Cell(shown, str(text))


def estimated(row: Mapping[str, Any], digits: int = 3, key: str = "estimate") -> Cell:
    """Return the cell of an estimate with its interval."""
    bare = cell(row.get(key), digits)
    return Cell(with_limits(row, digits, key), bare.sort, bare.kind)


def stacked(row: Mapping[str, Any], digits: int) -> Cell:
    """Return the cell of an estimate above its interval, where columns are many."""
    bare = cell(row.get("estimate"), digits)
    return replace(bare, under="" if bare.kind else limits(row, digits))


def p_value(text: Any) -> Cell:
    """Return a p value's cell."""
    shown = probability(text)
    return Cell(shown, "", "quiet") if shown == NOT_ESTIMABLE else Cell(shown, str(text))


def configured(view: StudyView, configuration: str) -> Cell:
    """Return a configuration's cell, bold where it belongs to the primary comparison."""
    kind = "counts" if configuration in view.primary else ""
    return Cell(view.named(configuration), None, kind, configuration)


def paper_table(view: StudyView) -> Table:
    """Return the paper's values beside ours: fold mean ± SD, pooled with interval, difference of means."""
    rows = []
    for name in view.main:
        fold, pooled = (view.estimate(name, view.metric, e) for e in ("fold_mean", "pooled"))
        paper, ours = view.paper(name), to_float(fold.get("estimate"))
        difference = None if paper.mean is None or ours is None else ours - paper.mean
        rows.append(
            [
                configured(view, name),
                Cell(
                    paper.text,
                    "" if paper.mean is None else str(paper.mean),
                    "warned" if paper.uncertain else "",
                ),
                Cell(mean_sd(fold), fold.get("estimate", ""), "" if ours is not None else "quiet"),
                estimated(pooled),
                Cell(
                    "" if difference is None else signed(difference),
                    "" if difference is None else str(difference),
                ),
                Cell(count(pooled.get("n") or fold.get("n")), None),
            ]
        )
    metric = measure(view)
    return Table(
        f"{metric} by configuration, the paper's and ours",
        (
            "Configuration",
            f"{metric} in the paper",
            "Ours, mean ± SD over folds",
            "Ours, pooled (approximate 95 % CI)",
            "Ours − paper",
            "n",
        ),
        rows,
    )


def measures_table(
    view: StudyView, metrics: Sequence[str], caption: str, *, split: str = "cv", folded: bool = False
) -> Table:
    """Return pooled estimates with intervals of several measures; columns that nothing fills are left out."""
    mine = [row["configuration"] for row in view.metrics if row.get("split") == split]
    names = view.main if split == "cv" else tuple(view.order(mine))
    found = {(c, m): view.estimate(c, m, "pooled", split) for c in names for m in metrics}
    shown = [m for m in metrics if any(found[c, m] for c in names)]
    rows = [
        [configured(view, c), *(stacked(found[c, m], 2 if m != "auc" else 3) for m in shown)] for c in names
    ]
    heads = [METRIC_NAMES.get(m, m.replace("_", " ")) for m in shown]
    heads = [head[:1].upper() + head[1:] for head in heads]
    return Table(caption, ("Configuration", *heads), rows if shown else [], folded=folded)


def external_tables(view: StudyView) -> list[Table]:
    """Return the measures in each cohort that took no part in fitting, and who is unlike those who did."""
    made = []
    for split in view.externals:
        counted = next((r for r in view.metrics if r.get("split") == split and r.get("n")), {})
        where = split.partition(":")[2] or split
        people = f"n = {count(counted.get('n'))}, {count(counted.get('n_positive'))} with the outcome"
        metrics = list(dict.fromkeys([*DISCRIMINATION, *CALIBRATION]))
        made.append(measures_table(view, metrics, f"{where}: {people} (95 % CI)", split=split))
    internal = view.internal_comparisons
    others = [r for r in view.comparisons if r not in internal]
    for split in dict.fromkeys(r["split"] for r in others):
        mine = [r for r in others if r["split"] == split]
        caption = f"{split.partition(':')[2] or split}: differences in {measure(view)} of frozen models"
        made.append(compared_table(view, mine, caption))
    return [*made, domain_table(view)]


def domain_table(view: StudyView) -> Table:
    """Return how many patients lie outside the range of those whom a frozen model was fitted on, and on what."""
    rows = []
    for row in view.summary.get("domain") or ():
        split, n, scored = str(row["split"]), int(row["n_outside"]), int(row["n_scored"])
        where = "without an outcome" if split == "new" else split.partition(":")[2] or split
        outside = Cell(f"{n} of {scored}", str(n / scored if scored else 0))
        rows.append([Cell(where), Cell(readable(str(row["predictor"])) or "any of them"), outside])
    caption = (
        "Patients outside the range of those whom a frozen model was fitted on: from the 1st to the 99th percentile, "
        "which among up to 100 patients are the least and the greatest value."
    )
    heads = ("Cohort", "Predictor", "Patients outside")
    return Table(caption, heads, rows, texts=frozenset({1}), folded=len(rows) > LEAST_SORTED)


def variants_table(view: StudyView) -> Table:
    """Return every variant beside the configuration that it varies."""
    rows = []
    for name in view.configurations:
        base, bracket, _ = name.partition("[")
        if bracket:
            fold, pooled = (view.estimate(name, view.metric, e) for e in ("fold_mean", "pooled"))
            rows.append(
                [
                    configured(view, name),
                    Cell(mean_sd(fold), fold.get("estimate", "")),
                    estimated(pooled),
                    estimated(view.estimate(base, view.metric, "pooled")),
                ]
            )
    heads = ("Variant", "Mean ± SD over folds", "Pooled (approximate 95 % CI)", "As declared, pooled")
    return Table(f"{measure(view)} of each variant beside the configuration as declared", heads, rows)


def sweep_table(view: StudyView) -> Table:
    """Return the numbers behind the sweep."""
    rows = [
        [
            configured(view, r["configuration"]),
            Cell(readable(r["parameter"])),
            Cell(readable(r["value"]) or "–", r["value"]),
            Cell(
                mean_sd({"estimate": r.get("auc_fold_mean"), "fold_sd": r.get("auc_fold_sd")}),
                r.get("auc_fold_mean"),
            ),
            estimated(r, 3, "auc_pooled"),
            cell(r.get("n_features"), 0),
        ]
        for r in view.sweep
    ]
    heads = (
        "Configuration",
        "Setting",
        "Value",
        "AUC, mean ± SD over folds",
        "AUC, pooled (approximate 95 % CI)",
        "Features",
    )
    return Table(
        "AUC for each value of the settings that were varied", heads, rows, frozenset({1}), folded=True
    )


def comparisons_table(view: StudyView) -> Table:
    """Return every test of every cross-validated comparison, those of the primary comparison first."""
    return compared_table(view, view.internal_comparisons, f"Differences in {measure(view)} and their tests")


def compared_table(view: StudyView, comparisons: Sequence[Mapping[str, str]], caption: str) -> Table:
    """Return every test of some comparisons, those of the primary comparison first."""
    rows = []
    # Within a comparison the declared test leads; sorting keeps all else as it stands.
    declared = {"primary": view.declared_test}
    order = sorted(
        comparisons,
        key=lambda r: (r.get("role") != "primary", r.get("test") != declared.get(r.get("role", ""))),
    )
    for r in order:
        kind = "counts" if r.get("role") == "primary" else ""
        pair = f"{view.named(r['first'])} against {view.named(r['second'])}"
        rows.append(
            [
                Cell(pair, None, kind, f"{r['first']} against {r['second']}"),
                Cell(r.get("role", ""), None, kind),
                Cell(test_name(r), None, "quiet" if r.get("test") == "naive_t" else ""),
                Cell(signed(r.get("difference")), r.get("difference", "")),
                Cell(limits(r) or NOT_ESTIMABLE, r.get("ci_low", "")),
                cell(r.get("statistic"), 2),
                p_value(r.get("p")),
                p_value(r.get("p_adjusted")) if r.get("p_adjusted") else Cell(""),
                Cell(r.get("note", "")),
            ]
        )
    heads = ("Comparison", "Role", "Test", "Difference", "95 % CI", "Statistic", "p", "p adjusted", "Note")
    return Table(caption, heads, rows, frozenset({1, 2, 8}))


def studies_section(links: Sequence[tuple[str, str, str]]) -> Section:
    """Return the part of the cohort's page that leads to the studies.

    Parameters
    ----------
    links : sequence of (title, href, sentence)
        Of each study: its title, the relative address of its page (no link if empty), one sentence.
    """
    return Section("Studies", "studies", fragment("study_links.html.j2", links=links) if links else "")
