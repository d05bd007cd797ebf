"""Curves of a study's predictions as SVG text: ROC, calibration, decision curve, permutation null."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from reperfuse.reporting.pages import number
from reperfuse.reporting.plots import INK, style
from reperfuse.reporting.study_canvas import (
    FIRST,
    GRID,
    QUIET,
    SECOND,
    WIDTH,
    Drawn,
    bars,
    drawn_title,
    finished,
    kept,
    look,
    looks,
    numbers,
    people,
)
from reperfuse.reporting.study_view import Rows, StudyView, with_limits

MOST_LINES = 12
MOST_PANELS = 3
ALL, NONE = "treat all", "treat none"


def roc(view: StudyView) -> Drawn:
    """Return ROC curves of pooled out-of-fold predictions, the primary comparison heavy, with their AUC."""
    points = by_configuration([r for r in view.roc if r.get("split", "cv") == "cv"], "fpr", "tpr")
    names = [name for name in view.order(view.main or points) if name in points]
    if not names:
        return Drawn(
            note="No ROC curve is drawn: roc.tsv holds none; it takes patients with and without the outcome."
        )
    names, note = kept(names, MOST_LINES, "roc.tsv")
    styles = looks(view)
    with style("roc"):
        figure = Figure(figsize=(WIDTH, 4.5), dpi=72, layout="constrained")
        axes = figure.add_subplot()
        axes.plot([0, 1], [0, 1], color=QUIET, linewidth=0.8, linestyle=(0, (2, 3)))
        handles = []
        # What counts most is drawn last, on top.
        for name in reversed(names):
            kind = look(styles, name)
            x, y = np.array(points[name]).T
            axes.plot(
                x,
                y,
                color=kind.colour,
                linewidth=kind.width,
                linestyle=kind.dash,
                alpha=1 if kind.heavy else 0.8,
            )
        for name in names:
            kind = look(styles, name)
            text = f"{view.named(name)}\n{with_limits(view.estimate(name, 'auc', 'pooled'))}"
            handles.append(
                Line2D([], [], color=kind.colour, linewidth=kind.width, linestyle=kind.dash, label=text)
            )
        axes.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.01), aspect="equal")
        axes.set(xlabel="1 − specificity", ylabel="sensitivity")
        axes.set_title(f"Pooled out-of-fold predictions, {people(view)}", loc="left", fontsize=9)
        axes.grid(**GRID)
        figure.legend(
            handles=handles,
            loc="outside right center",
            frameon=False,
            title="AUC (approximate 95 % CI)",
            fontsize=8,
            title_fontsize=9,
            alignment="left",
            handlelength=2.6,
            ncols=1 if len(names) <= 8 else 2,
        )
        return finished(figure, view, label="ROC curves", note=note)


def calibration(view: StudyView) -> Drawn:
    """Return reliability after Platt scaling, and before where it is known, above the distribution of scores."""
    rows = [r for r in view.calibration if numbers(r, "mean_score", "observed")]
    names = view.order(r["configuration"] for r in rows)
    if not names:
        return Drawn(note="No calibration curve is drawn: calibration.tsv holds no observed share.")
    names, note = kept(names, MOST_PANELS, "calibration.tsv")
    with style("calibration"):
        figure = Figure(figsize=(3.1 * len(names) + 0.3, 5.2), dpi=72, layout="constrained")
        grid = figure.subplots(2, len(names), squeeze=False, sharex=True, sharey="row", height_ratios=[3, 1])
        for place, name in enumerate(names):
            upper, lower = grid[:, place]
            upper.plot([0, 1], [0, 1], color=QUIET, linewidth=0.8, linestyle=(0, (2, 3)))
            for stage, colour, marker in (("before", QUIET, "s"), ("after", FIRST, "o")):
                mine = [r for r in rows if r["configuration"] == name and r["stage"] == stage]
                for row in mine:
                    x, y = numbers(row, "mean_score", "observed") or (0.0, 0.0)
                    upper.errorbar(
                        x,
                        y,
                        yerr=bars(row, y),
                        color=colour,
                        fmt=marker,
                        markersize=5,
                        markerfacecolor=colour if stage == "after" else "none",
                        elinewidth=1,
                    )
                line = [numbers(row, "mean_score", "observed") or (0.0, 0.0) for row in mine]
                if line:
                    upper.plot(*zip(*line, strict=True), color=colour, linewidth=1, alpha=0.7)
            upper.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
            drawn_title(upper, view.named(name), 34)
            upper.grid(**GRID)
            _scores(lower, view, name)
        grid[0, 0].set_ylabel("observed share with the outcome")
        grid[1, 0].set_ylabel("patients")
        before = Line2D([], [], color=QUIET, marker="s", markerfacecolor="none", label="before scaling")
        handles = [
            *([before] if any(r["stage"] == "before" for r in rows) else []),
            Line2D([], [], color=FIRST, marker="o", label="after Platt scaling"),
            Line2D([], [], color=FIRST, linewidth=6, alpha=0.6, label="scores with the outcome"),
            Line2D([], [], color=SECOND, linewidth=6, alpha=0.6, label="scores without"),
        ]
        figure.legend(
            handles=handles,
            loc="outside lower left",
            ncols=2 if len(names) < MOST_PANELS else 4,
            frameon=False,
        )
        return finished(figure, view, label="Calibration before and after Platt scaling", note=note)


def _scores(axes: Axes, view: StudyView, name: str) -> None:
    mine = [
        r for r in view.on_target(view.predictions) if r["configuration"] == name and r.get("split") == "cv"
    ]
    pairs = [pair for r in mine if (pair := numbers(r, "y_true", "y_score"))]
    for label, colour in ((1.0, FIRST), (0.0, SECOND)):
        scores = [score for truth, score in pairs if truth == label]
        counts, edges = np.histogram(scores, np.linspace(0, 1, 21))
        axes.stairs(counts, edges, color=colour, fill=True, alpha=0.4)
        axes.stairs(counts, edges, color=colour, linewidth=1)
    axes.set_xlabel(f"predicted probability (n = {len(pairs)})" if pairs else "predicted probability")
    axes.grid(axis="y", **GRID)
    axes.yaxis.set_major_locator(MaxNLocator(3, integer=True))


def decision(view: StudyView) -> Drawn:
    """Return net benefit against the threshold probability, with treating all and treating none."""
    points = by_configuration(view.decision, "threshold", "net_benefit")
    names = [name for name in view.order(points) if name not in (ALL, NONE)]
    if not names:
        return Drawn(note="No decision curve is drawn: decision.tsv holds no net benefit.")
    main = [name for name in names if name in view.main] or names
    names, note = kept(main, 8, "decision.tsv")
    styles = looks(view)
    with style("decision"):
        figure = Figure(figsize=(WIDTH, 3.9), dpi=72, layout="constrained")
        axes = figure.add_subplot()
        for name, dash in ((ALL, (0, (4, 2))), (NONE, "-")):
            if name in points:
                axes.plot(
                    *zip(*points[name], strict=True), color=INK, linewidth=1, linestyle=dash, label=name
                )
        for name in names:
            kind = look(styles, name)
            x, y = np.array(points[name]).T
            axes.plot(
                x,
                y,
                color=kind.colour,
                linewidth=kind.width,
                linestyle=kind.dash,
                label=view.named(name),
                zorder=3 if kind.heavy else 2,
            )
        values = [y for name in (*names, NONE) for _, y in points.get(name, ())]
        thresholds = [x for name in names for x, _ in points[name]]
        most = max([*values, *(y for _, y in points.get(ALL, ()))])
        # Treating all falls without limit; what matters is where it crosses the others.
        axes.set(ylim=(max(min([*values, 0]), -0.15) - 0.03, most * 1.08 + 0.01))
        axes.set(xlim=(min(thresholds), max(thresholds)))
        axes.set(xlabel="threshold probability", ylabel="net benefit (true positives per patient)")
        axes.xaxis.set_major_formatter(lambda x, _: f"{100 * x:.0f} %")
        axes.set_title(f"Pooled out-of-fold predictions, {people(view)}", loc="left", fontsize=9)
        axes.grid(**GRID)
        figure.legend(loc="outside right center", frameon=False, fontsize=8)
        return finished(figure, view, label="Decision curve", note=note)


def permutation(view: StudyView) -> Drawn:
    """Return the distribution of AUC under shuffled labels, with the observed value."""
    draws = {
        name: ([a for d, a in pairs if d > 0], [a for d, a in pairs if d == 0])
        for name, pairs in by_configuration(view.permutation, "draw", "auc").items()
    }
    names = view.order(name for name, (null, _) in draws.items() if null)
    if not names:
        return Drawn(note="No permutation null is drawn: permutation.tsv holds no draw with shuffled labels.")
    names, note = kept(names, MOST_PANELS, "permutation.tsv")
    with style("permutation"):
        figure = Figure(figsize=(3.1 * len(names) + 0.3, 3.1), dpi=72, layout="constrained")
        row = figure.subplots(1, len(names), squeeze=False, sharex=True)[0]
        for axes, name in zip(row, names, strict=True):
            null, observed = draws[name]
            low, high = min([*null, *observed, 0.5]), max([*null, *observed, 0.5])
            axes.hist(null, bins=np.linspace(low, high + 1e-9, 31), color=QUIET, alpha=0.55)
            axes.axvline(0.5, color=QUIET, linewidth=0.9, linestyle=(0, (2, 3)))
            for value in observed:
                axes.axvline(value, color=FIRST, linewidth=2)
                axes.annotate(
                    f"observed {number(value, 3)}",
                    (value, 1.0),
                    xycoords=("data", "axes fraction"),
                    xytext=(-4 if value > (low + high) / 2 else 4, -2),
                    textcoords="offset points",
                    ha="right" if value > (low + high) / 2 else "left",
                    va="top",
                    color=FIRST,
                )
            drawn_title(axes, view.named(name), 34)
            axes.set(xlabel="AUC with shuffled labels", ylabel=f"draws (of {len(null)})")
            axes.margins(y=0.22)
        return finished(figure, view, label="AUC under shuffled labels", note=note)


def by_configuration(rows: Rows, first: str, second: str) -> dict[str, list[tuple[float, float]]]:
    """Return the pairs of two columns, by configuration; rows without both numbers are left out."""
    found: dict[str, list[tuple[float, float]]] = {}
    for row in rows:
        if pair := numbers(row, first, second):
            found.setdefault(row["configuration"], []).append((pair[0], pair[1]))
    return found
