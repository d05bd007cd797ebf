"""Spreads and summaries of a study as SVG text: folds, coefficients, sweep."""

from __future__ import annotations

from typing import Any

from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from reperfuse.core.seeds import seed_of
from reperfuse.core.tables import Row
from reperfuse.reporting.pages import to_float
from reperfuse.reporting.plots import INK, style
from reperfuse.reporting.study_canvas import (
    FIRST,
    GRID,
    OTHERS,
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
    measure,
    people,
    wrapped,
)
from reperfuse.reporting.study_view import NOT_ESTIMABLE, StudyView, readable

MOST_ROWS = 24
MOST_FEATURES = 20
# The quiet grey is also the colour of figures' references, and so must not be that of a block.
BLOCK_COLOURS = (FIRST, SECOND, *(colour for colour in OTHERS if colour != QUIET))
SIZE_ONLY: dict[str, Any] = {"facecolor": "#b8b8b8", "edgecolor": QUIET, "linestyle": (0, (2, 1.5))}


def fold_spread(view: StudyView) -> Drawn:
    """Return the measure of each fold and repeat as dots, mean and SD, and the paper's mean and SD."""
    folds = [
        r
        for r in view.on_target(view.metrics_by_fold)
        if r.get("metric") == view.metric and r.get("split") == "cv"
    ]
    mine: dict[str, list[Row]] = {}
    for row in folds:
        mine.setdefault(row["configuration"], []).append(row)
    names = [name for name in view.order(view.main or mine) if name in mine]
    if not any(to_float(row.get("estimate")) is not None for name in names for row in mine[name]):
        return Drawn(note=f"No spread is drawn: in no fold can the {measure(view)} be estimated.")
    names, note = kept(names, MOST_ROWS, "metrics-by-fold.tsv")
    styles = looks(view)
    with style("folds"):
        figure = Figure(figsize=(WIDTH, 0.5 * len(names) + 1.3), dpi=72, layout="constrained")
        axes = figure.add_subplot()
        reach: list[float] = []
        for place, name in enumerate(names):
            colour = look(styles, name).colour
            lost = 0
            for row in mine[name]:
                found, first = to_float(row.get("estimate")), row.get("repeat") in ("1", "")
                if found is None:
                    lost += first
                    continue
                shift = 0.13 * (seed_of("fold", name, row.get("repeat"), row.get("fold")) / 2**31 - 1)
                axes.plot(
                    found,
                    place - 0.17 + shift,
                    "o",
                    color=colour,
                    markeredgewidth=0,
                    clip_on=False,
                    markersize=4.5 if first else 2.4,
                    alpha=0.85 if first else 0.45,
                )
                reach.append(found)
            ours, paper = view.estimate(name, view.metric, "fold_mean"), view.paper(name)
            pairs = [
                (to_float(ours.get("estimate")), to_float(ours.get("fold_sd")), 0.12, colour, "s", colour)
            ]
            if not paper.bound:
                pairs.append((paper.mean, paper.sd, 0.34, INK, "D", "none"))
            for middle, sd, down, ink, marker, face in pairs:
                if middle is not None:
                    axes.errorbar(
                        middle,
                        place + down,
                        xerr=sd,
                        fmt=marker,
                        color=ink,
                        markersize=5.5,
                        markerfacecolor=face,
                        elinewidth=1.3,
                        capsize=2.5,
                    )
                    reach += [middle - (sd or 0), middle + (sd or 0)]
            if paper.uncertain and paper.mean is not None:
                axes.annotate(
                    "?",
                    (paper.mean + (paper.sd or 0), place + 0.34),
                    xytext=(4, 0),
                    textcoords="offset points",
                    va="center",
                    fontsize=8,
                )
            if lost:
                axes.annotate(
                    f"{lost} folds {NOT_ESTIMABLE}" if lost > 1 else f"1 fold {NOT_ESTIMABLE}",
                    (1.01, place),
                    xycoords=("axes fraction", "data"),
                    va="center",
                    fontsize=8,
                    annotation_clip=False,
                )
        chance = 0.5 if view.metric == "auc" else reach[0]
        axes.axvline(chance, color=QUIET, linewidth=0.9, linestyle=(0, (2, 3)))
        axes.set(xlim=axis_limits(reach, reach, around=chance), ylim=(len(names) - 0.4, -0.6))
        axes.set_yticks(range(len(names)), [wrapped(view.named(name), 34) for name in names])
        axes.tick_params(axis="y", length=0)
        axes.spines["left"].set_visible(False)
        axes.grid(axis="x", **GRID)
        axes.set_xlabel(f"{measure(view)} of a fold ({people(view)})")
        handles = [
            Line2D([], [], marker="o", color=QUIET, linestyle="", markersize=4.5, label="fold"),
            Line2D(
                [],
                [],
                marker="o",
                color=QUIET,
                linestyle="",
                markersize=2.4,
                label="fold of a further repeat",
            ),
            Line2D([], [], marker="s", color=QUIET, label="our mean ± SD over folds"),
            Line2D([], [], marker="D", color=INK, markerfacecolor="none", label="the paper's"),
        ]
        repeats = {row.get("repeat") for row in folds}
        shown = [h for place, h in enumerate(handles) if place != 1 or len(repeats) > 1]
        figure.legend(handles=shown, loc="outside lower left", ncols=4, frameon=False)
        return finished(figure, view, label=f"{measure(view)} of each fold", note=note)


def coefficients(view: StudyView) -> Drawn:
    """Return standardised coefficients with their intervals, coloured by block, sign stability in print."""
    rows = [r for r in view.coefficients if to_float(r.get("coefficient")) is not None]
    names = view.order(r["configuration"] for r in rows)
    if not names:
        return Drawn(note="No coefficients are drawn: coefficients.tsv holds none.")
    names, note = kept(names, 2, "coefficients.tsv")
    ranked = {
        name: sorted((r for r in rows if r["configuration"] == name), key=_rank)[:MOST_FEATURES]
        for name in names
    }
    blocks = list(dict.fromkeys(row.get("block", "") for row in rows if not _undirected(row)))
    colours = dict(
        zip(blocks, [BLOCK_COLOURS[i % len(BLOCK_COLOURS)] for i in range(len(blocks))], strict=True)
    )
    tall = max(map(len, ranked.values()))
    with style("coefficients"):
        width = WIDTH if len(names) > 1 else 6.4
        figure = Figure(figsize=(width, 0.24 * tall + 1.6), dpi=72, layout="constrained")
        grid = figure.subplots(1, len(names), squeeze=False)[0]
        for axes, (name, chosen) in zip(grid, ranked.items(), strict=True):
            for place, row in enumerate(chosen):
                size = to_float(row["coefficient"]) or 0.0
                if _undirected(row):
                    # Centred, or its side of zero would be read as a direction.
                    axes.barh(place, size, left=-size / 2, height=0.68, **SIZE_ONLY)
                else:
                    axes.barh(place, size, height=0.68, color=colours[row.get("block", "")], alpha=0.75)
                    axes.errorbar(
                        size, place, xerr=bars(row, size), fmt="none", ecolor=INK, elinewidth=1, capsize=2
                    )
                axes.annotate(
                    "size only" if _undirected(row) else _share(row.get("sign_stability")),
                    (1.02, place),
                    xycoords=("axes fraction", "data"),
                    va="center",
                    fontsize=8,
                    annotation_clip=False,
                )
            axes.annotate(
                "same sign",
                (1.02, 1.0),
                xycoords="axes fraction",
                va="bottom",
                fontsize=8,
                xytext=(0, 1),
                textcoords="offset points",
                annotation_clip=False,
            )
            axes.axvline(0, color=INK, linewidth=0.8)
            axes.set_yticks(range(len(chosen)), [wrapped(readable(r["feature"]), 26) for r in chosen])
            axes.set_ylim(tall - 0.4, -0.6)
            axes.tick_params(axis="y", length=0)
            axes.spines["left"].set_visible(False)
            axes.grid(axis="x", **GRID)
            axes.set_xlabel("coefficient (95 % CI)")
            drawn_title(axes, view.named(name), 36)
        patches = [Patch(color=colours[b], alpha=0.75, label=readable(b) or "no block") for b in blocks]
        if any(_undirected(row) for chosen in ranked.values() for row in chosen):
            patches.append(Patch(**SIZE_ONLY, label="component of the image: size only"))
        figure.legend(handles=patches, loc="outside lower left", ncols=6, frameon=False)
        return finished(figure, view, label="Coefficients", note=note)


def _undirected(row: Row) -> bool:
    """Return whether only the mean size of a weight is known, as of components that differ between folds."""
    size, stable = to_float(row.get("coefficient")), to_float(row.get("sign_stability"))
    return stable is None and size is not None and size >= 0


def _rank(row: Row) -> tuple[float, float]:
    rank = to_float(row.get("rank"))
    return (float("inf") if rank is None else rank, -abs(to_float(row.get("coefficient")) or 0.0))


def _share(text: str | None) -> str:
    share = to_float(text)
    return "n/a" if share is None else f"{100 * share:.0f} %"


def sweep(view: StudyView) -> Drawn:
    """Return the AUC against each value that was tried, mean and SD over folds."""
    rows = [r for r in view.sweep if to_float(r.get("auc_fold_mean")) is not None]
    parameters = list(dict.fromkeys(r["parameter"] for r in rows))
    if not parameters:
        return Drawn(note="No sweep is drawn: sweep.tsv holds no value that was tried.")
    styles, across = looks(view), min(len(parameters), 3)
    down = -(-len(parameters) // across)
    names = view.order(r["configuration"] for r in rows)
    with style("sweep"):
        figure = Figure(figsize=(max(2.9 * across, 5.2), 2.7 * down + 0.7), dpi=72, layout="constrained")
        panels = list(figure.subplots(down, across, squeeze=False, sharey=True).flat)
        for axes in panels[len(parameters) :]:
            axes.remove()
        for axes, parameter in zip(panels, parameters, strict=False):
            mine = [r for r in rows if r["parameter"] == parameter]
            values = sorted(dict.fromkeys(r["value"] for r in mine), key=_order)
            ordered = all(to_float(value) is not None for value in values)
            present = [name for name in names if any(r["configuration"] == name for r in mine)]
            for place, name in enumerate(present):
                kind = look(styles, name)
                own = sorted(
                    (r for r in mine if r["configuration"] == name), key=lambda r: _order(r["value"])
                )
                dodge = 0.12 * (place - (len(present) - 1) / 2)
                axes.errorbar(
                    [values.index(r["value"]) + dodge for r in own],
                    [to_float(r["auc_fold_mean"]) or 0.0 for r in own],
                    yerr=[to_float(r.get("auc_fold_sd")) or 0.0 for r in own],
                    fmt="o-" if ordered else "o",
                    color=kind.colour,
                    markersize=4,
                    linewidth=1.2,
                    capsize=2,
                )
            axes.axhline(0.5, color=QUIET, linewidth=0.9, linestyle=(0, (2, 3)))
            axes.set_xticks(range(len(values)), [wrapped(readable(value), 12) for value in values])
            axes.set_xlim(-0.5, len(values) - 0.5)
            axes.set_xlabel(readable(parameter))
            axes.grid(axis="y", **GRID)
        for axes in panels[: len(parameters) : across]:
            axes.set_ylabel("AUC, mean ± SD over folds")
        handles = [
            Line2D([], [], marker="o", color=look(styles, n).colour, label=view.named(n)) for n in names
        ]
        figure.legend(handles=handles, loc="outside lower left", ncols=2, frameon=False)
        return finished(figure, view, label="AUC against the settings that were varied")


def _order(text: str) -> tuple[float, str]:
    found = to_float(text)
    return (float("inf"), text) if found is None else (found, "")
