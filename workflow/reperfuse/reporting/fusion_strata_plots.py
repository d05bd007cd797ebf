"""Figures of strata on the fusion study's page as SVG text: embedding, stability, loadings, factors by stratum."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from reperfuse.core.seeds import seed_of
from reperfuse.reporting.fusion_plots import COLOURS
from reperfuse.reporting.fusion_strata_tables import compared_rows, stable
from reperfuse.reporting.fusion_view import FusionView
from reperfuse.reporting.pages import to_float
from reperfuse.reporting.plots import INK, style
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
    numbers,
    wrapped,
)
from reperfuse.reporting.study_view import readable

MARKERS = "osD^vP*Xh<>p"
MOST_STRATA, MOST_VARIABLES, MOST_FACTORS, MOST_PANELS = 24, 40, 16, 8


def embedding(view: FusionView) -> Drawn:
    """Return patients on the first two components of the embedding, by stratum."""
    points: dict[str, list[tuple[float, float]]] = {}
    for row in view.map2d:
        if pair := numbers(row, "pc1", "pc2"):
            points.setdefault(row["stratum"], []).append((pair[0], pair[1]))
    names, note = kept(_ordered(points), MOST_STRATA, "map2d.tsv")
    if not names:
        return Drawn(note="No map of the embedding is drawn: there is no embedding of everybody.")
    exemplars = {row["participant_id"] for row in view.strata if row["exemplar"] == "1"}
    with style("embedding"):
        figure = Figure(figsize=(WIDTH, 4.6), dpi=72, layout="constrained")
        axes = figure.add_subplot()
        for name in names:
            x, y = zip(*points[name], strict=True)
            axes.plot(x, y, **_mark(name), markersize=5, linestyle="", markeredgewidth=0, alpha=0.75)
        for row in view.map2d:
            if row["participant_id"] in exemplars and (pair := numbers(row, "pc1", "pc2")):
                axes.plot(
                    *pair, **_mark(row["stratum"]), markersize=11, markeredgecolor=INK, markeredgewidth=1.2
                )
                axes.annotate(
                    row["stratum"],
                    (pair[0], pair[1]),
                    xytext=(7, 5),
                    textcoords="offset points",
                    fontweight="bold",
                )
        axes.set(xlabel="first component of the embedding", ylabel="second component")
        axes.grid(**GRID)
        handles = [
            Line2D([], [], linestyle="", **_mark(name), label=f"stratum {name} (n = {len(points[name])})")
            for name in names
        ]
        figure.legend(
            handles=handles, loc="outside right center", frameon=False, fontsize=8, ncols=1 + len(names) // 15
        )
        return finished(
            figure, view, label="Patients on two components of the embedding, by stratum", note=note
        )


def _ordered(strata: Iterable[str]) -> list[str]:
    return sorted(strata, key=lambda one: to_float(one) or 0)


def _mark(stratum: str) -> dict[str, Any]:
    place = int(to_float(stratum) or 1) - 1
    return {"color": COLOURS[place % len(COLOURS)], "marker": MARKERS[place % len(MARKERS)]}


def stability(view: FusionView) -> Drawn:
    """Return the adjusted Rand index of every comparison with its interval."""
    rows = compared_rows(view)
    if not rows:
        return Drawn(note="No stability is drawn: there are no strata to find again.")
    with style("stability"):
        figure = Figure(figsize=(WIDTH, 0.36 * len(rows) + 1.0), dpi=72, layout="constrained")
        axes = figure.add_subplot()
        for place, row in enumerate(rows):
            middle = to_float(row["estimate"]) or 0.0
            colour = QUIET if row["what"] == "random_ari" else SECOND if row["what"] == "other_ari" else FIRST
            axes.errorbar(
                middle, place, xerr=bars(row, middle), fmt="o", color=colour, markersize=5, capsize=2.5
            )
        axes.axvline(0, color=QUIET, linewidth=0.9, linestyle=(0, (2, 3)))
        axes.set_yticks(range(len(rows)), [wrapped(stable(view, row), 52) for row in rows])
        axes.set(ylim=(len(rows) - 0.5, -0.5), xlim=(-0.15, 1.05))
        axes.set_xlabel("adjusted Rand index with the strata: 1, the same; 0, chance")
        axes.tick_params(axis="y", length=0)
        axes.spines["left"].set_visible(False)
        axes.grid(axis="x", **GRID)
        return finished(figure, view, label="Stability of the strata")


def loadings(view: FusionView) -> Drawn:
    """Return the loadings of phenotypes on factors: the area of a square, and its colour the sign."""
    least = to_float(view.summary.get("loading")) or 0.0
    found = {(r["variable"], r["factor"]): to_float(r["loading"]) or 0.0 for r in view.factors}
    factors, note = kept(list(dict.fromkeys(r["factor"] for r in view.factors)), MOST_FACTORS, "factors.tsv")
    strong = [
        v
        for v in dict.fromkeys(r["variable"] for r in view.factors)
        if any(abs(found.get((v, f), 0.0)) >= least for f in factors)
    ]
    # Variables of one factor beside each other.
    strong.sort(key=lambda v: max(range(len(factors)), key=lambda k: abs(found.get((v, factors[k]), 0.0))))
    variables, more = kept(strong, MOST_VARIABLES, "factors.tsv")
    if not variables:
        return Drawn(note="No loadings are drawn: there are no factors.")
    significant = _significant(view)
    with style("loadings"):
        figure = Figure(figsize=(WIDTH, 0.22 * len(variables) + 2.4), dpi=72, layout="constrained")
        axes = figure.add_subplot()
        for row, v in enumerate(variables):
            for column, f in enumerate(factors):
                x = found.get((v, f), 0.0)
                # The area is the size of the loading.
                size = 12 * min(abs(x), 1.0) ** 0.5
                colour, alpha = SECOND if x > 0 else FIRST, 1.0 if abs(x) >= least else 0.3
                axes.plot(column, row, "s", markersize=size, color=colour, alpha=alpha, markeredgewidth=0)
        axes.set(xlim=(-0.6, len(factors) - 0.4), ylim=(len(variables) - 0.4, -0.6))
        axes.set_yticks(range(len(variables)), [readable(v) for v in variables], fontsize=8)
        names = [f"{wrapped(readable(f), 22)}{' *' if f in significant else ''}" for f in factors]
        axes.set_xticks(
            range(len(factors)), names, rotation=35, ha="right", rotation_mode="anchor", fontsize=8
        )
        axes.tick_params(length=0)
        for side in ("left", "bottom"):
            axes.spines[side].set_visible(False)
        axes.grid(**GRID)
        axes.set_axisbelow(True)
        handles = [
            Line2D([], [], marker="s", linestyle="", color=colour, label=text)
            for colour, text in ((SECOND, "positive loading"), (FIRST, "negative loading"))
        ]
        label = f"faint: below {least:g};  *: told apart by the strata"
        handles.append(Line2D([], [], linestyle="", label=label))
        figure.legend(handles=handles, loc="outside lower left", ncols=3, frameon=False)
        return finished(figure, view, label="Loadings of phenotypes on factors", note=note or more)


def _significant(view: FusionView) -> list[str]:
    return [
        r["name"]
        for r in view.associations
        if (r["analysis"], r["what"], r["significant"]) == ("plain", "factor", "1")
    ]


def boxplots(view: FusionView) -> Drawn:
    """Return the scores of each factor that strata tell apart, by stratum."""
    names, note = kept(_significant(view), MOST_PANELS, "factor-scores.tsv")
    stratum = {row["participant_id"]: row["stratum"] for row in view.strata}
    groups = _ordered(set(stratum.values()))
    values = {
        name: [
            [v for row in view.factor_scores if stratum.get(row["participant_id"]) == one
             and (v := to_float(row.get(name))) is not None]
            for one in groups
        ]
        for name in names
    }  # fmt: skip
    names = [name for name in names if any(values[name])]
    if not names:
        return Drawn(note="No factor is drawn by stratum: none is told apart by the strata.")
    columns = min(3, len(names))
    with style("boxplots"):
        lines = -(-len(names) // columns)
        figure = Figure(figsize=(WIDTH, 2.9 * lines), dpi=72, layout="constrained")
        grid = figure.subplots(lines, columns, squeeze=False, sharey=True).ravel()
        for axes, name in zip(grid, names, strict=False):
            mean = {"color": INK, "linewidth": 1.6}
            axes.boxplot(values[name], widths=0.55, showfliers=False, medianprops=mean, patch_artist=True,
                         boxprops={"facecolor": "none", "edgecolor": QUIET}, whiskerprops={"color": QUIET},
                         capprops={"color": QUIET})  # fmt: skip
            for place, (one, mine) in enumerate(zip(groups, values[name], strict=True), start=1):
                at = [place + 0.2 * (seed_of("box", name, one, i) / 2**31 - 1) for i in range(len(mine))]
                axes.plot(at, mine, **_mark(one), linestyle="", markersize=3, markeredgewidth=0, alpha=0.6)
            drawn_title(axes, readable(name), 34)
            sizes = [f"{one}\n{len(mine)}" for one, mine in zip(groups, values[name], strict=True)]
            axes.set_xticks(
                range(1, len(groups) + 1),
                sizes,
            )
            axes.grid(axis="y", **GRID)
        for axes in grid[len(names) :]:
            axes.set_visible(False)
        spread = [v for name in names for mine in values[name] for v in mine]
        grid[0].set_ylim(*axis_limits([min(spread)], [max(spread)], around=0.0))
        figure.supylabel("score", fontsize=9)
        figure.supxlabel("stratum, and its patients below", fontsize=9)
        return finished(figure, view, label="Scores of factors by stratum", note=note)
