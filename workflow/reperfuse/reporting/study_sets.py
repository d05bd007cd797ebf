"""Who a study's predictions serve, as SVG text: subgroups, and conformal prediction sets."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from reperfuse.core.tables import Row
from reperfuse.reporting.pages import number, to_float
from reperfuse.reporting.plots import style
from reperfuse.reporting.study_canvas import (
    FIRST,
    GRID,
    QUIET,
    SECOND,
    WIDTH,
    Drawn,
    axis_limits,
    bars,
    drawn_title,
    finished,
    kept,
    look,
    looks,
    numbers,
)
from reperfuse.reporting.study_view import NOT_ESTIMABLE, StudyView, readable, with_limits


def subgroups(view: StudyView, *, name_of_figure: str = "subgroups") -> Drawn:
    """Return a forest plot of the AUC in each subgroup for the configurations of the primary comparison.

    ``name_of_figure`` tells the names inside the figure from those of another such plot on the same page.
    """
    names, note = kept(view.order(r["configuration"] for r in view.subgroups), 2, "subgroups.tsv")
    levels = list(dict.fromkeys((r["variable"], r["level"]) for r in view.subgroups))
    if not any(to_float(row.get("auc")) is not None for row in view.subgroups):
        return Drawn(note="No forest plot is drawn: in no subgroup can an AUC be estimated.")
    found = {(r["configuration"], r["variable"], r["level"]): r for r in view.subgroups}
    styles = looks(view)
    places, at, before = {}, 0.0, ""
    for variable, level in levels:
        at += 0.55 if before and variable != before else 0.0
        places[variable, level], before, at = at, variable, at + 1
    with style(name_of_figure):
        figure = Figure(figsize=(WIDTH, (0.3 + 0.07 * len(names)) * at + 1.6), dpi=72, layout="constrained")
        axes = figure.add_subplot()
        reach = [1.0]
        for (variable, level), y in places.items():
            for place, name in enumerate(names):
                row = found.get((name, variable, level), {})
                auc, kind = to_float(row.get("auc")), look(styles, name)
                up = y + 0.26 * (place - (len(names) - 1) / 2)
                if auc is None:
                    continue
                axes.errorbar(
                    auc, up, xerr=bars(row, auc), fmt="s", color=kind.colour, markersize=4.5, elinewidth=1.3
                )
                reach += numbers(row, "ci_low", "ci_high") or (auc,)
            if all(to_float(found.get((n, variable, level), {}).get("auc")) is None for n in names):
                axes.text(0.5, y, f"  {NOT_ESTIMABLE}", va="center", fontsize=8)
            row = next((found[n, variable, level] for n in names if (n, variable, level) in found), {})
            axes.annotate(
                f"{row.get('n') or '–'} ({row.get('n_positive') or '–'})",
                (1.02, y),
                xycoords=("axes fraction", "data"),
                va="center",
                fontsize=8,
                annotation_clip=False,
            )
        axes.annotate(
            "n (with outcome)", (1.02, 1.0), xycoords="axes fraction", fontsize=8, annotation_clip=False
        )
        for name in names:
            if whole := numbers(view.estimate(name, "auc", "pooled"), "estimate"):
                axes.axvline(whole[0], color=look(styles, name).colour, linewidth=1, linestyle=(0, (1.5, 2)))
        axes.axvline(0.5, color=QUIET, linewidth=0.9)
        axes.set_yticks(list(places.values()), [f"{readable(v)}: {readable(k)}" for v, k in places])
        axes.set(xlim=axis_limits(reach, reach, around=0.5), ylim=(at - 0.3, -0.7), xlabel="AUC (95 % CI)")
        axes.tick_params(axis="y", length=0)
        axes.spines["left"].set_visible(False)
        axes.grid(axis="x", **GRID)
        handles = [
            Line2D(
                [],
                [],
                marker="s",
                color=look(styles, n).colour,
                label=f"{view.named(n)}, all: {with_limits(view.estimate(n, 'auc', 'pooled'))}",
            )
            for n in names
        ]
        figure.legend(handles=handles, loc="outside lower left", ncols=1, frameon=False)
        return finished(figure, view, label="AUC in subgroups", note=note)


def conformal(view: StudyView) -> Drawn:
    """Return coverage against the promised coverage, and how large the prediction sets are, per label."""
    rows = [r for r in view.conformal if numbers(r, "epsilon", "coverage")]
    names, note = kept(view.order(r["configuration"] for r in rows), 2, "conformal.tsv")
    if not names:
        return Drawn(note="No prediction sets are drawn: conformal.tsv holds no coverage.")
    with style("conformal"):
        figure = Figure(figsize=(WIDTH, 2.9 * len(names) + 0.5), dpi=72, layout="constrained")
        grid = figure.subplots(len(names), 2, squeeze=False, width_ratios=[1, 1.5])
        for (left, right), name in zip(grid, names, strict=True):
            mine = [r for r in rows if r["configuration"] == name]
            _coverage(left, mine)
            _sizes(right, mine)
            drawn_title(left, view.named(name), 36)
        handles = [
            *(
                Line2D([], [], marker=m, color=c, linestyle="", label=_label(n))
                for n, (c, m) in _LABELS.items()
            ),
            *(Patch(color=c, alpha=a, label=text) for _, c, a, text in _SIZES),
        ]
        figure.legend(handles=handles, loc="outside lower left", ncols=6, frameon=False, fontsize=8)
        return finished(figure, view, label="Coverage and size of conformal prediction sets", note=note)


_LABELS = {"0": (SECOND, "s"), "1": (FIRST, "o"), "all": (QUIET, "^")}
_SIZES = (
    ("singleton", FIRST, 0.75, "one label"),
    ("both", QUIET, 0.4, "both labels"),
    ("empty", SECOND, 0.75, "no label"),
)


def _label(name: str) -> str:
    return {"0": "without the outcome", "1": "with the outcome"}.get(name, name)


def _coverage(axes: Axes, rows: Sequence[Row]) -> None:
    pairs = [(1 - (to_float(r["epsilon"]) or 0), to_float(r["coverage"]) or 0.0, r["label"]) for r in rows]
    least = max(min(min(x, y) for x, y, _ in pairs) - 0.05, 0.0)
    axes.plot([least, 1], [least, 1], color=QUIET, linewidth=0.8, linestyle=(0, (2, 3)))
    for x, y, label in pairs:
        colour, marker = _LABELS.get(label, (QUIET, "^"))
        # Equal coverages would lie on top of each other.
        x += {"0": -0.012, "1": 0.0}.get(label, 0.012) * (1 - least)
        axes.plot(x, y, marker, color=colour, markersize=6, alpha=0.85, clip_on=False)
    axes.set(xlim=(least, 1.01), ylim=(least, 1.01), xlabel="promised coverage (1 − ε)", ylabel="coverage")
    axes.grid(**GRID)


def _sizes(axes: Axes, rows: Sequence[Row]) -> None:
    texts = []
    for place, row in enumerate(rows):
        start = 0.0
        for key, colour, opacity, _ in _SIZES:
            share = to_float(row.get(key)) or 0.0
            axes.barh(place, share, left=start, height=0.7, color=colour, alpha=opacity)
            start += share
        epsilon = number(row["epsilon"], 2)
        texts.append(f"ε = {epsilon}, {_label(row['label'])} (n = {row.get('n') or '–'})")
    axes.set_yticks(range(len(rows)), texts, fontsize=8)
    axes.set(xlim=(0, 1), ylim=(len(rows) - 0.4, -0.6), xlabel="share of patients whose set holds …")
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
