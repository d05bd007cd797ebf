"""Plots as SVG text: axes by matplotlib, points by hand so that each can be a link and stays small."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from xml.sax.saxutils import escape, quoteattr

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from reperfuse.core.seeds import seed_of

INK = "#1b1c1e"
STATE_COLOURS = {"ok": "#1f6f9f", "warned": "#b7791f", "failed": "#b3261e"}
LinkOf = Callable[[str], str]


@contextmanager
def style(salt: str) -> Iterator[None]:
    """Set what makes a figure plain, and its bytes the same each time."""
    settings: dict[Any, Any] = {
        "svg.hashsalt": salt,
        "svg.fonttype": "none",
        "font.family": "sans-serif",
        "font.sans-serif": ["DejaVu Sans"],
        "font.size": 9,
        "text.color": INK,
        "axes.edgecolor": INK,
        "axes.labelcolor": INK,
        "xtick.color": INK,
        "ytick.color": INK,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.linewidth": 0.8,
    }
    with matplotlib.rc_context(settings):
        yield


def svg_text(figure: Figure, extra: str = "") -> str:
    """Return a figure as an ``<svg>`` element without date, creator or prolog; ``extra`` is added at its end.

    Ink becomes the colour of the surrounding text, so that the figure is readable on light and dark.
    """
    stream = io.StringIO()
    empty = {"Date": None, "Creator": None, "Format": None, "Type": None}
    figure.savefig(stream, format="svg", transparent=True, metadata=empty)
    text = stream.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"\s*<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = text.replace("'DejaVu Sans'", "system-ui, 'DejaVu Sans'").replace(INK, "currentColor")
    # Repeated in one page, these names would not be unique, and nothing refers to them.
    text = re.sub(
        r' id="(figure|axes|patch|text|matplotlib\.axis|[xy]tick|line2d|legend|PathCollection)_\d+"', "", text
    )
    # Matplotlib names clip regions by bounds whose last bits may differ from run to run.
    salt = matplotlib.rcParams["svg.hashsalt"]
    for n, name in enumerate(dict.fromkeys(re.findall(r"url\(#(p[0-9a-f]{10})\)", text))):
        text = text.replace(name, f"{salt}-clip{n}")
    return text.replace("</svg>", f"{extra}</svg>").strip() + "\n"


def standalone(svg: str) -> str:
    """Return the figure as a file: without links, which lead nowhere from another folder."""
    unlinked = re.sub(r"</?a\b[^>]*>", "", svg)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + unlinked.replace("currentColor", INK)


@dataclass(frozen=True)
class Point:
    """A value of one patient at one visit."""

    participant_id: str
    visit: str
    value: float
    state: str = "ok"


def jitter(participant_id: str) -> float:
    """Return a displacement between -1 and 1 that is always the same for one patient."""
    return seed_of("jitter", participant_id) / 2**31 - 1.0


class _Marks:
    """Collects points and lines in a figure's own SVG coordinates."""

    def __init__(self, figure: Figure, most: int) -> None:
        # Smaller and fainter where many lie on top of each other.
        self.radius, self.opacity = (2.4, 0.65) if most <= 300 else (1.7, 0.45)
        # The layout must be settled before data coordinates mean anything on the page.
        figure.draw_without_rendering()
        self.height = figure.get_figheight() * 72.0
        self.parts: list[str] = []

    def at(self, axes: Axes, x: float, y: float) -> tuple[float, float]:
        left, up = axes.transData.transform((x, y))
        return float(left), self.height - float(up)

    def dot(self, place: tuple[float, float], point: Point, text: str, link_of: LinkOf) -> None:
        state = point.state if point.state in STATE_COLOURS else "ok"
        circle = (
            f'<circle class="dot {state}" cx="{place[0]:.1f}" cy="{place[1]:.1f}" r="{self.radius}" '
            f'fill="{STATE_COLOURS[state]}" fill-opacity="{self.opacity}">'
            f"<title>{escape(text)}</title></circle>"
        )
        href = link_of(point.participant_id)
        self.parts.append(f"<a href={quoteattr(href)}>{circle}</a>" if href else circle)


def lesion_plot(panels: Mapping[str, Sequence[Point]], link_of: LinkOf) -> str:
    """Return lesion volumes of J0 and J1 per criterion, each patient's two visits joined; ml, log axis.

    Parameters
    ----------
    panels : mapping
        Title of a criterion to its points; volumes below 0.05 ml are drawn at 0.05.
    link_of : callable
        Participant to the relative address of the page, empty if there is none.
    """
    panels = {title: points for title, points in panels.items() if points}
    if not panels:
        return ""
    floor = 0.05
    with style("lesions"):
        figure = Figure(figsize=(2.3 * len(panels) + 1.0, 3.6), dpi=72, layout="constrained")
        grid = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
        top = max(point.value for points in panels.values() for point in points)
        for axes, title in zip(grid, panels, strict=True):
            axes.set_yscale("log")
            axes.set(xlim=(-0.5, 1.5), ylim=(floor * 0.8, max(top * 1.6, 10.0)), title=title)
            axes.set_xticks([0, 1], ["J0", "J1"])
            axes.title.set_fontsize(9)
            ticks = [0.05, 0.1, 1, 10, 100, 1000]
            axes.set_yticks(ticks, ["≤ 0.05", "0.1", "1", "10", "100", "1000"])
            axes.set_ylim(floor * 0.8, max(top * 1.6, 10.0))
            axes.minorticks_off()
            axes.grid(axis="y", color="#888888", alpha=0.25, linewidth=0.6)
        grid[0].set_ylabel("volume (ml, log scale)")
        marks = _Marks(figure, max(map(len, panels.values())))
        for axes, points in zip(grid, panels.values(), strict=True):
            places: dict[str, dict[str, tuple[float, float]]] = {}
            for point in points:
                x = (0.0 if point.visit == "J0" else 1.0) + 0.12 * jitter(point.participant_id)
                places.setdefault(point.participant_id, {})[point.visit] = marks.at(
                    axes, x, max(point.value, floor)
                )
            lines = [
                f"M{p['J0'][0]:.1f} {p['J0'][1]:.1f}L{p['J1'][0]:.1f} {p['J1'][1]:.1f}"
                for p in places.values()
                if "J0" in p and "J1" in p
            ]
            opacity = max(0.06, min(0.5, 20.0 / max(len(lines), 1)))
            marks.parts.append(
                f'<path d="{"".join(lines)}" fill="none" stroke="currentColor" stroke-width=".7" '
                f'stroke-opacity="{opacity:.2f}"/>'
            )
            for point in points:
                text = f"{point.participant_id}, {point.visit}: {point.value:.2f} ml"
                marks.dot(places[point.participant_id][point.visit], point, text, link_of)
        return svg_text(figure, "".join(marks.parts))


def strip_plot(metrics: Mapping[str, Sequence[Point]], link_of: LinkOf) -> str:
    """Return one strip per metric, one lane per visit or pair, one linked dot per value."""
    metrics = {label: points for label, points in metrics.items() if points}
    if not metrics:
        return ""
    lanes = {label: sorted({point.visit for point in points}) for label, points in metrics.items()}
    heights = [0.55 + 0.34 * len(lanes[label]) for label in metrics]
    with style("strips"):
        figure = Figure(figsize=(8.6, sum(heights) + 0.3), dpi=72, layout="constrained")
        grid = figure.subplots(len(metrics), 1, squeeze=False, height_ratios=heights)[:, 0]
        for axes, (label, points) in zip(grid, metrics.items(), strict=True):
            values = [point.value for point in points]
            margin = 0.04 * (max(values) - min(values)) or max(abs(values[0]) * 0.1, 0.1)
            axes.set(xlim=(min(values) - margin, max(values) + margin), ylim=(len(lanes[label]) - 0.4, -0.6))
            axes.set_yticks(range(len(lanes[label])), lanes[label])
            axes.set_xlabel(label, loc="left")
            axes.tick_params(axis="y", length=0)
            axes.spines["left"].set_visible(False)
            axes.grid(axis="x", color="#888888", alpha=0.25, linewidth=0.6)
        marks = _Marks(figure, max(map(len, metrics.values())))
        for axes, (label, points) in zip(grid, metrics.items(), strict=True):
            for point in points:
                y = lanes[label].index(point.visit) + 0.3 * jitter(point.participant_id)
                text = f"{point.participant_id}, {point.visit}: {point.value:.4g}"
                marks.dot(marks.at(axes, point.value, y), point, text, link_of)
        return svg_text(figure, "".join(marks.parts))
