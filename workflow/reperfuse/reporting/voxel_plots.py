"""Figures of a study that predicts voxels, as SVG text: precision and recall, patients, calibration, severity."""

from __future__ import annotations

from dataclasses import replace

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from reperfuse.core.seeds import seed_of
from reperfuse.core.tables import Row
from reperfuse.reporting import curves, study_plots, study_sets
from reperfuse.reporting.pages import number, to_float
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
    wrapped,
)
from reperfuse.reporting.study_view import readable, with_limits
from reperfuse.reporting.voxel_view import BALANCED, DENSE, VoxelView

GRADES = ("none", "HI1", "HI2", "PH1", "PH2")
GRADE_COLOURS = dict(zip(GRADES, ("#8d99a6", "#3b9ab2", "#1a9c78", "#d59a1d", "#c43b2f"), strict=True))


def roc(view: VoxelView) -> Drawn:
    """Return ROC curves of the balanced sample."""
    return curves.roc(view.on(BALANCED))


def fold_spread(view: VoxelView) -> Drawn:
    """Return the AUC of each fold in the balanced sample."""
    return study_plots.fold_spread(view.on(BALANCED))


def strata(view: VoxelView) -> Drawn:
    """Return a forest plot of the AUC in each stratum, balanced sample."""
    mine = view.on(BALANCED)
    return study_sets.subgroups(replace(mine, subgroups=mine.strata))


def precision_recall(view: VoxelView) -> Drawn:
    """Return precision–recall curves of the balanced sample and of whole brains, with the prevalence."""
    panels = [("Balanced sample", view.on(BALANCED)), ("Every brain voxel", view.on(DENSE))]
    panels = [
        (title, mine) for title, mine in panels if any(numbers(r, "recall", "precision") for r in mine.pr)
    ]
    if not panels:
        return Drawn(note="No precision–recall curve is drawn: pr.tsv holds none.")
    with style("pr"):
        figure = Figure(figsize=(WIDTH, 4.1 * len(panels)), dpi=72, layout="constrained")
        for axes, (title, mine) in zip(
            figure.subplots(len(panels), 1, squeeze=False)[:, 0], panels, strict=True
        ):
            _precision(axes, mine, title)
        return finished(figure, view, label="Precision–recall curves")


def _precision(axes: Axes, mine: VoxelView, title: str) -> None:
    styles, points = looks(mine), curves.by_configuration(mine.pr, "recall", "precision")
    names, _ = kept([n for n in mine.order(mine.main or points) if n in points], curves.MOST_LINES, "")
    base = next((p for r in mine.pr if (p := to_float(r.get("prevalence"))) is not None), None)
    for name in reversed(names):
        kind = look(styles, name)
        x, y = zip(*points[name], strict=True)
        axes.plot(x, y, color=kind.colour, linewidth=kind.width, linestyle=kind.dash)
    handles = [
        Line2D(
            [],
            [],
            color=look(styles, n).colour,
            linewidth=look(styles, n).width,
            linestyle=look(styles, n).dash,
            label=f"{mine.named(n)}\n{with_limits(mine.estimate(n, 'average_precision', 'pooled'))}",
        )
        for n in names
    ]
    if base is not None:
        axes.axhline(base, color=QUIET, linewidth=0.9, linestyle=(0, (2, 3)))
        handles.append(
            Line2D([], [], color=QUIET, linestyle=(0, (2, 3)), label=f"chance: prevalence {100 * base:.3g} %")
        )
    axes.set(xlim=(-0.01, 1.01), xlabel="recall (sensitivity)", ylabel="precision")
    if base is not None and base < 0.1:
        # At the true prevalence the curves lie in the lowest hundredths of a linear axis.
        axes.set_yscale("log")
        axes.set_ylim(base / 2, 1.05)
        axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    else:
        axes.set_ylim(-0.01, 1.01)
    axes.set_title(title, loc="left", fontsize=9)
    axes.grid(**GRID)
    axes.legend(
        handles=handles,
        loc="center left",
        bbox_to_anchor=(1.01, 0.5),
        frameon=False,
        title="AP (95 % CI over patients)",
        fontsize=8,
        title_fontsize=9,
        alignment="left",
        handlelength=2.6,
        ncols=1 if len(names) <= 8 else 2,
    )


def within(view: VoxelView) -> Drawn:
    """Return the AUC inside each patient with both classes, a lane for each system; square: mean and interval."""
    mine = view.on(BALANCED)
    rows = [r for r in mine.metrics_by_subject if r.get("metric") == "auc" and numbers(r, "estimate")]
    names = [n for n in mine.order(mine.main) if any(r["configuration"] == n for r in rows)]
    if not names:
        return Drawn(note="No AUC within patients is drawn: no patient has voxels of both kinds.")
    names, note = kept(names, study_plots.MOST_ROWS, "metrics-by-subject.tsv")
    styles = looks(mine)
    with style("within"):
        figure = Figure(figsize=(WIDTH, 0.42 * len(names) + 1.2), dpi=72, layout="constrained")
        axes = figure.add_subplot()
        for place, name in enumerate(names):
            colour = look(styles, name).colour
            for row in (r for r in rows if r["configuration"] == name):
                lift = 0.15 * (seed_of("within", row["participant_id"]) / 2**31 - 1)
                axes.plot(
                    to_float(row["estimate"]) or 0.0,
                    place - 0.15 + lift,
                    "o",
                    color=colour,
                    markersize=3.6,
                    markeredgewidth=0,
                    alpha=0.7,
                )
            mean = mine.estimate(name, "auc", "within_patient")
            for row, marker, down in (
                (mean, "s", 0.14),
                (mine.estimate(name, "auc", "pooled"), "|", 0.34),
            ):
                middle = to_float(row.get("estimate"))
                if middle is not None:
                    axes.errorbar(
                        middle,
                        place + down,
                        xerr=bars(row, middle),
                        fmt=marker,
                        color=colour if marker == "s" else INK,
                        markersize=5.5 if marker == "s" else 8,
                        elinewidth=1.2,
                    )
        axes.axvline(0.5, color=QUIET, linewidth=0.9, linestyle=(0, (2, 3)))
        axes.set_yticks(range(len(names)), [wrapped(mine.named(name), 34) for name in names])
        axes.set(ylim=(len(names) - 0.4, -0.6), xlim=(-0.02, 1.02), xlabel="AUC")
        axes.tick_params(axis="y", length=0)
        axes.spines["left"].set_visible(False)
        axes.grid(axis="x", **GRID)
        handles = [
            Line2D([], [], marker="o", color=QUIET, linestyle="", markersize=3.6, label="one patient"),
            Line2D([], [], marker="s", color=QUIET, label="mean over patients (95 % CI)"),
            Line2D([], [], marker="|", color=INK, label="over all voxels (95 % CI over patients)"),
        ]
        figure.legend(handles=handles, loc="outside lower left", ncols=3, frameon=False)
        return finished(figure, view, label="AUC within patients", note=note)


def reliability(view: VoxelView) -> Drawn:
    """Return observed share against predicted probability: as trained, and at the true prevalence."""
    panels = []
    for title, kind, stage in (
        ("Balanced sample, as trained", BALANCED, "as trained"),
        ("Every brain voxel, as trained", DENSE, "as trained"),
        ("Every brain voxel, at true prevalence", DENSE, "at true prevalence"),
    ):
        rows = [
            r
            for r in view.on(kind).calibration
            if r["configuration"] == view.chief and r.get("stage") == stage
        ]
        rows = [r for r in rows if numbers(r, "mean_score", "observed")]
        panels += [(title, rows)] if rows else []
    if not panels:
        return Drawn(note="No calibration curve is drawn: calibration.tsv holds no observed share.")
    with style("calibration"):
        figure = Figure(figsize=(3.1 * len(panels) + 0.3, 3.5), dpi=72, layout="constrained")
        for axes, (title, rows) in zip(
            figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True
        ):
            pairs = [numbers(r, "mean_score", "observed") or (0.0, 0.0) for r in rows]
            ends = [to_float(r.get("ci_high")) or 0.0 for r in rows]
            top = 1.0 if _wide(pairs) else 1.1 * max([*(max(p) for p in pairs), *ends, 1e-6])
            axes.plot([0, top], [0, top], color=QUIET, linewidth=0.8, linestyle=(0, (2, 3)))
            for row, (x, y) in zip(rows, pairs, strict=True):
                axes.errorbar(
                    x, y, yerr=bars(row, y), color=FIRST, fmt="o", markersize=4.5, elinewidth=1, clip_on=False
                )
            axes.plot(*zip(*pairs, strict=True), color=FIRST, linewidth=1, alpha=0.7)
            axes.set(xlim=(-0.02 * top, 1.02 * top), ylim=(-0.02 * top, 1.02 * top))
            axes.set(xlabel="predicted probability")
            drawn_title(axes, title, 30)
            axes.grid(**GRID)
        figure.axes[0].set_ylabel("observed share with HT")
        return finished(figure, view, label=f"Calibration of {view.named(view.chief)}")


def _wide(pairs: list[tuple[float, ...]]) -> bool:
    # Where predictions are all small, an axis to 1 would show one dot.
    return max(x for x, _ in pairs) > 0.3


def severity(view: VoxelView) -> Drawn:
    """Return predicted against observed volume, and predicted volume by ECASS class."""
    rows = view.of_chief
    key = "predicted_corrected_ml"
    if not any(numbers(r, key, "observed_ml") for r in rows):
        key = "predicted_ml"
    known = [(r, pair) for r in rows if (pair := numbers(r, "observed_ml", key))]
    if not known:
        return Drawn(note="No severity is drawn: patients.tsv holds no predicted and observed volume.")
    said = "at the true prevalence" if key == "predicted_corrected_ml" else "as trained"
    with style("severity"):
        figure = Figure(figsize=(WIDTH, 3.7), dpi=72, layout="constrained")
        left, right = figure.subplots(1, 2)
        # Linear up to 0.1 ml, so that no haemorrhage has its place beside small ones.
        for axes in (left, right):
            axes.set_yscale("symlog", linthresh=0.1)
            axes.set_ylabel(f"predicted volume (ml, {said})")
            axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
            axes.grid(axis="y", **GRID)
        left.set_xscale("symlog", linthresh=0.1)
        left.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
        top = 1.5 * max(max(pair) for _, pair in known) or 1.0
        left.plot([0, top], [0, top], color=QUIET, linewidth=0.8, linestyle=(0, (2, 3)))
        for row, (x, y) in known:
            _dot(left, x, y, row)
        left.set(xlim=(-0.01, top), ylim=(-0.01, top), xlabel="observed volume (ml)")
        grades = [grade for grade in GRADES if any(r.get("ecass") == grade for r, _ in known)]
        for row, (_, y) in known:
            if row.get("ecass") in grades:
                shift = 0.16 * (seed_of("grade", row.get("participant_id", "")) / 2**31 - 1)
                _dot(right, grades.index(row["ecass"]) + shift, y, row)
        right.set(ylim=(-0.01, top), xlabel="ECASS class")
        right.set_xticks(range(len(grades)), grades)
        right.set_xlim(-0.6, max(len(grades), 1) - 0.4)
        handles = [
            Line2D([], [], marker="o", linestyle="", color=GRADE_COLOURS[grade], label=grade)
            for grade in grades
        ]
        figure.legend(handles=handles, loc="outside lower left", ncols=5, frameon=False)
        return finished(figure, view, label="Predicted and observed volume of haemorrhage")


def _dot(axes: Axes, x: float, y: float, row: Row) -> None:
    colour = GRADE_COLOURS.get(row.get("ecass", ""), SECOND if row.get("ht") == "1" else QUIET)
    axes.plot(x, y, "o", color=colour, markersize=5, alpha=0.8, markeredgewidth=0, clip_on=False)


def burden(view: VoxelView) -> Drawn:
    """Return observed and predicted volume by region, those with most of it."""
    mine = [r for r in view.burden if r.get("configuration", view.chief) == view.chief]
    key = "predicted_corrected_ml" if any(to_float(r.get("predicted_corrected_ml")) for r in mine) else ""
    key = key or "predicted_ml"
    ranked = sorted(mine, key=lambda r: -(to_float(r.get("observed_ml")) or 0.0))[:16]
    if not any(to_float(r.get("observed_ml")) for r in ranked):
        return Drawn(note="No burden by region is drawn: no atlas, or no haemorrhage in any of its regions.")
    with style("burden"):
        figure = Figure(figsize=(WIDTH, 0.33 * len(ranked) + 1.1), dpi=72, layout="constrained")
        axes = figure.add_subplot()
        for place, row in enumerate(ranked):
            observed, predicted = (to_float(row.get(k)) or 0.0 for k in ("observed_ml", key))
            axes.barh(place - 0.19, observed, height=0.36, color=SECOND, alpha=0.75)
            axes.barh(place + 0.19, predicted, height=0.36, color=FIRST, alpha=0.75)
        names = [
            f"{'● ' if r.get('eloquent') == '1' else ''}{readable(r.get('name', ''))} {r.get('side', '')}".strip()
            for r in ranked
        ]
        axes.set_yticks(range(len(ranked)), names)
        axes.set(ylim=(len(ranked) - 0.4, -0.6), xlabel="mean over patients (ml)")
        axes.tick_params(axis="y", length=0)
        axes.grid(axis="x", **GRID)
        handles = [
            Line2D([], [], color=SECOND, linewidth=6, alpha=0.75, label="observed"),
            Line2D([], [], color=FIRST, linewidth=6, alpha=0.75, label="predicted"),
            Line2D([], [], color=INK, marker="o", linestyle="", label="eloquent"),
        ]
        figure.legend(handles=handles, loc="outside lower left", ncols=3, frameon=False)
        left = max(len(mine) - len(ranked), 0)
        note = f"{number(left, 0)} more regions are in burden.tsv." if left else ""
        return finished(figure, view, label="Haemorrhage by region", note=note)
