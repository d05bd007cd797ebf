"""Figures of the severity study as SVG text: bands of volume, cuts, ablations, randomised layers."""

from __future__ import annotations

from statistics import fmean

from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from reperfuse.core.tables import Row
from reperfuse.reporting import study_sets
from reperfuse.reporting.pages import to_float
from reperfuse.reporting.plots import INK, style
from reperfuse.reporting.severity_view import SeverityView
from reperfuse.reporting.study_canvas import (
    FIRST,
    GRID,
    QUIET,
    WIDTH,
    Drawn,
    axis_limits,
    bars,
    finished,
    kept,
    look,
    looks,
    numbers,
    wrapped,
)

MOST_VARIANTS = 30


def volume(view: SeverityView) -> Drawn:
    """Return the AUC in each band of lesion volume, for the configurations of the primary comparison."""
    return study_sets.subgroups(view.bands(volume=True), name_of_figure="volume")


def subgroups(view: SeverityView) -> Drawn:
    """Return the AUC in each other subgroup."""
    return study_sets.subgroups(view.bands(volume=False))


def cuts(view: SeverityView) -> Drawn:
    """Return the AUC against the cut of the score, for the configurations of the primary comparison."""
    found: dict[str, list[Row]] = {}
    for row in view.cuts:
        if numbers(row, "cut", "auc"):
            found.setdefault(row["configuration"], []).append(row)
    names = [name for name in view.order(found) if name in view.primary] or list(found)[:2]
    if not names:
        return Drawn(note="No figure of cuts is drawn: cuts.tsv holds no AUC.")
    styles = looks(view)
    with style("cuts"):
        figure = Figure(figsize=(5.2, 3.4), dpi=72, layout="constrained")
        axes = figure.add_subplot()
        for place, name in enumerate(names):
            rows = sorted(found[name], key=lambda row: float(row["cut"]))
            dodge = 0.06 * (place - (len(names) - 1) / 2)
            for row in rows:
                x, y = numbers(row, "cut", "auc") or (0.0, 0.0)
                axes.errorbar(
                    x + dodge,
                    y,
                    yerr=bars(row, y),
                    fmt="s",
                    color=look(styles, name).colour,
                    markersize=5,
                    capsize=2,
                )
        shown = sorted({float(row["cut"]) for name in names for row in found[name]})
        axes.set_xticks(shown, [f"> {cut:g}" for cut in shown])
        axes.margins(x=0.15)
        axes.axhline(0.5, color=QUIET, linewidth=0.9, linestyle=(0, (2, 3)))
        axes.set(xlabel="NIHSS that counts as non-minor", ylabel="AUC (95 % CI)")
        axes.grid(axis="y", **GRID)
        handles = [
            Line2D([], [], marker="s", linestyle="", color=look(styles, n).colour, label=view.named(n))
            for n in names
        ]
        figure.legend(handles=handles, loc="outside lower left", ncols=2, frameon=False)
        return finished(figure, view, label="AUC at other cuts of the NIHSS")


def ablations(view: SeverityView) -> Drawn:
    """Return the difference in AUC of each variant from the network as declared, with its interval."""
    rows = [row for row in view.ablations if to_float(row.get("difference")) is not None]
    if not rows:
        return Drawn(note="No ablation is drawn: none was asked for, or none could be compared.")
    names, note = kept([row["variant"] for row in rows], MOST_VARIANTS, "ablations.tsv")
    with style("ablations"):
        figure = Figure(figsize=(WIDTH, 0.34 * len(names) + 1.0), dpi=72, layout="constrained")
        axes = figure.add_subplot()
        reach: list[float] = []
        for place, row in enumerate(rows[: len(names)]):
            middle = to_float(row["difference"]) or 0.0
            axes.errorbar(
                middle,
                place,
                xerr=bars(row, middle),
                fmt="s",
                color=FIRST,
                markersize=5,
                elinewidth=1.3,
                capsize=2,
            )
            reach += numbers(row, "ci_low", "ci_high") or (middle,)
        axes.axvline(0, color=QUIET, linewidth=0.9)
        axes.set(xlim=axis_limits(reach, reach, around=0.0), ylim=(len(names) - 0.4, -0.6))
        axes.set_yticks(range(len(names)), [wrapped(name.replace("_", " "), 34) for name in names])
        axes.tick_params(axis="y", length=0)
        axes.spines["left"].set_visible(False)
        axes.grid(axis="x", **GRID)
        axes.set_xlabel("difference in AUC from TRACT-NET as declared (95 % CI)")
        return finished(figure, view, label="Ablations", note=note)


def randomised(view: SeverityView) -> Drawn:
    """Return how like the maps stay while layers are made random, the last first: each patient, and the mean."""
    rows = [row for row in view.randomised if to_float(row.get("correlation")) is not None]
    layers = list(dict.fromkeys(row["layer"] for row in rows))
    if not layers:
        return Drawn(note="No randomised layers are drawn: randomised.tsv holds none.")
    found = {(row["participant_id"], row["layer"]): to_float(row["correlation"]) or 0.0 for row in rows}
    people = list(dict.fromkeys(row["participant_id"] for row in rows))
    with style("randomised"):
        figure = Figure(figsize=(6.4, 3.4), dpi=72, layout="constrained")
        axes = figure.add_subplot()
        for who in people:
            mine = [
                (x, found[who, layer]) for x, layer in enumerate(layers, start=1) if (who, layer) in found
            ]
            axes.plot(
                [0, *(x for x, _ in mine)],
                [1.0, *(y for _, y in mine)],
                color=QUIET,
                linewidth=0.8,
                alpha=0.6,
            )
        means = [fmean(found[who, layer] for who in people if (who, layer) in found) for layer in layers]
        axes.plot(
            [0, *range(1, len(layers) + 1)], [1.0, *means], "o-", color=FIRST, linewidth=2, markersize=5
        )
        axes.axhline(0, color=INK, linewidth=0.8)
        axes.set_xticks(range(len(layers) + 1), ["as trained", *(f"+ {layer}" for layer in layers)])
        least = min([0.0, *(y for y in found.values())])
        axes.set(ylim=(least - 0.08, 1.05), ylabel="rank correlation with the map")
        axes.set_xlabel("layers that are random, the last first")
        axes.grid(axis="y", **GRID)
        handles = [
            Line2D([], [], color=FIRST, marker="o", label="mean"),
            Line2D([], [], color=QUIET, label=f"each of {len(people)} patients"),
        ]
        figure.legend(handles=handles, loc="outside lower left", ncols=2, frameon=False)
        return finished(figure, view, label="Maps while layers are made random")
