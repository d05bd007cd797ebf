"""Figures of reconstructions on the fusion study's page as SVG text: errors, benefit and cost, training."""

from __future__ import annotations

from statistics import fmean

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from reperfuse.core.seeds import seed_of
from reperfuse.core.tables import Row
from reperfuse.reporting.fusion_view import ALL, WITH_SKIPS, FusionView, contrast
from reperfuse.reporting.pages import to_float
from reperfuse.reporting.plots import style
from reperfuse.reporting.study_canvas import (
    ALARM,
    DASHES,
    FIRST,
    GRID,
    OTHERS,
    QUIET,
    SECOND,
    WIDTH,
    Drawn,
    bars,
    drawn_title,
    finished,
    kept,
    numbers,
)

COLOURS = (FIRST, SECOND, *OTHERS)
MOST_LINES = 8


def errors(view: FusionView) -> Drawn:
    """Return the MSE of every held-out patient by contrast, embedding alone and with skips, and both limits."""
    names = [name for name in (view.chief, view.chief + WITH_SKIPS) if name in view.configurations]
    found: dict[tuple[str, str], list[float]] = {}
    for row in view.metrics_by_subject:
        if row["configuration"] in names and row["target"] != ALL and (mse := to_float(row["mse"])):
            found.setdefault((row["target"], row["configuration"]), []).append(mse)
    if not found:
        return Drawn(note="No errors are drawn: nobody was held out.")
    lanes = {
        (target, name): 0.95 * place + 0.4 * names.index(name)
        for place, target in enumerate(view.chief_contrasts)
        for name in names
        if (target, name) in found
    }
    with style("errors"):
        figure = Figure(figsize=(WIDTH, 0.4 * len(lanes) + 1.4), dpi=72, layout="constrained")
        axes = figure.add_subplot()
        for lane, place in lanes.items():
            colour = COLOURS[names.index(lane[1])]
            for i, mse in enumerate(found[lane]):
                shift = 0.12 * (seed_of("error", *lane, i) / 2**31 - 1)
                axes.plot(mse, place + shift, "o", color=colour, markersize=3, markeredgewidth=0, alpha=0.6)
            middle = sorted(found[lane])[len(found[lane]) // 2]
            axes.plot([middle, middle], [place - 0.19, place + 0.19], color=colour, linewidth=2.2)
        for limit in view.summary.get("mse_flags") or ():
            axes.axvline(limit, color=ALARM, linewidth=0.9, linestyle=(0, (3, 3)))
        axes.set_xscale("log")
        axes.set(
            ylim=(max(lanes.values()) + 0.4, -0.4),
            xlabel="mean squared error of a held-out patient (log scale)",
        )
        middles = {target: place - 0.2 * (name != names[0]) for (target, name), place in lanes.items()}
        axes.set_yticks(list(middles.values()), [contrast(target) for target in middles])
        axes.tick_params(axis="y", length=0)
        axes.spines["left"].set_visible(False)
        axes.grid(axis="x", **GRID)
        handles = [
            Line2D([], [], color=COLOURS[place], marker="o", markersize=4, linewidth=2, label=text)
            for place, text in enumerate(("embedding alone, and its median", "with skips")[: len(names)])
        ]
        limits = Line2D([], [], color=ALARM, linestyle=(0, (3, 3)), label="doubtful, failed")
        figure.legend(handles=[*handles, limits], loc="outside lower left", ncols=3, frameon=False)
        return finished(figure, view, label="Mean squared error of held-out patients by contrast")


def curve(view: FusionView) -> Drawn:
    """Return R² of each contrast, parameters, and agreement of strata against the number of contrasts."""
    rows = [row for row in view.contrasts_curve if row["target"] != ALL and numbers(row, "n_contrasts", "r2")]
    counts = sorted({int(row["n_contrasts"]) for row in rows})
    if len(counts) < 2:
        return Drawn(note="No curve over the number of contrasts is drawn: all sets are of one size.")
    with style("curve"):
        figure = Figure(figsize=(WIDTH, 3.6), dpi=72, layout="constrained")
        left, middle, right = figure.subplots(1, 3, width_ratios=[1.6, 1, 1])
        handles = []
        for place, target in enumerate(dict.fromkeys(row["target"] for row in rows)):
            colour, dash = COLOURS[place % len(COLOURS)], DASHES[place % len(DASHES)]
            mine = [row for row in rows if row["target"] == target]
            for row in mine:
                x, y = numbers(row, "n_contrasts", "r2") or (0.0, 0.0)
                at = x + 0.07 * (place - 1.5)
                axes_bars = bars(row, y, "r2_low", "r2_high")
                left.errorbar(
                    at, y, yerr=axes_bars, fmt="o", color=colour, markersize=4, elinewidth=0.8, alpha=0.8
                )
            _means(left, mine, "r2", colour, dash, 0.07 * (place - 1.5))
            handles.append(Line2D([], [], color=colour, linestyle=dash, marker="o", label=contrast(target)))
        single = {row["configuration"]: row for row in rows}.values()
        for axes, key in ((middle, "n_parameters"), (right, "strata_ari")):
            known = [pair for row in single if (pair := numbers(row, "n_contrasts", key))]
            if known:
                axes.plot(*zip(*known, strict=True), "o", color=QUIET, markersize=4.5, alpha=0.8)
                _means(axes, list(single), key, QUIET, "-", 0.0)
            else:
                axes.annotate("not recorded", (0.5, 0.5), xycoords="axes fraction", ha="center", color=QUIET)
        for axes, title in ((left, "R² over the mean image, embedding alone"), (middle, "parameters"),
                            (right, "strata as those of all (ARI)")):  # fmt: skip
            drawn_title(axes, title, 40)
            axes.set_xticks(counts)
            axes.set_xlim(counts[0] - 0.5, counts[-1] + 0.5)
            axes.grid(axis="y", **GRID)
        middle.set_ylim(bottom=0)
        middle.yaxis.set_major_formatter(lambda y, _: f"{y / 1000:g} k" if y else "0")
        right.set_ylim(-0.05, 1.05)
        left.set_xlabel("contrasts that share the embedding")
        figure.legend(handles=handles, loc="outside lower left", ncols=5, frameon=False)
        return finished(figure, view, label="Benefit and cost over the number of contrasts")


def _means(axes: Axes, rows: list[Row], key: str, colour: str, dash: object, shift: float) -> None:
    """Join the means over sets of one size."""
    groups: dict[float, list[float]] = {}
    for row in rows:
        if pair := numbers(row, "n_contrasts", key):
            groups.setdefault(pair[0], []).append(pair[1])
    points = sorted((n + shift, fmean(values)) for n, values in groups.items())
    if points:
        axes.plot(*zip(*points, strict=True), color=colour, linestyle=dash, linewidth=1.4)


def training(view: FusionView) -> Drawn:
    """Return the loss of training patients over epochs, mean over folds."""
    found: dict[str, dict[float, list[float]]] = {}
    for row in view.training:
        if pair := numbers(row, "epoch", "loss"):
            found.setdefault(row["configuration"], {}).setdefault(pair[0], []).append(pair[1])
    names, note = kept([name for name in view.main if name in found], MOST_LINES, "training.tsv")
    if not names:
        return Drawn(note="No training is drawn: no network was trained.")
    with style("training"):
        figure = Figure(figsize=(WIDTH, 3.2), dpi=72, layout="constrained")
        axes = figure.add_subplot()
        for place, name in enumerate(names):
            points = sorted((epoch, fmean(losses)) for epoch, losses in found[name].items())
            axes.plot(
                *zip(*points, strict=True), color=COLOURS[place % len(COLOURS)], linewidth=1.5,
                linestyle=DASHES[place % len(DASHES)], label=view.named(name),
                marker="o" if len(points) == 1 else "",
            )  # fmt: skip
        axes.set_yscale("log")
        axes.set(xlabel="epoch", ylabel="loss (log scale)")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(**GRID)
        figure.legend(loc="outside right center", frameon=False, fontsize=8)
        return finished(figure, view, label="Training loss over epochs", note=note)
