"""What the figures of a study share: colours per configuration, stamps, and the way to SVG text."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from xml.sax.saxutils import quoteattr

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from reperfuse.core.tables import Row
from reperfuse.reporting.pages import number, to_float
from reperfuse.reporting.plots import svg_text
from reperfuse.reporting.study_view import METRIC_NAMES, StudyView

# Apart from each other for colour-blind eyes, and at least 3:1 on white as on the dark page.
FIRST, SECOND = "#1f7abf", "#d55e00"
OTHERS = ("#1a9c78", "#c46ba0", "#a6761d", "#7d7d7d", "#8467c9", "#3b9ab2")
DASHES: tuple[Any, ...] = ("-", (0, (5, 2)), (0, (1.5, 1.5)), (0, (6, 2, 1.5, 2)))
QUIET = "#7d7d7d"
ALARM = "#d1453b"
GRID: dict[str, Any] = {"color": "#888888", "alpha": 0.25, "linewidth": 0.6}
WIDTH = 8.6


@dataclass(frozen=True)
class Drawn:
    """A figure, and what has to be said under it; without ``svg`` the note says why there is none."""

    svg: str = ""
    note: str = ""


@dataclass(frozen=True)
class Look:
    """How a configuration is drawn in every figure."""

    colour: str
    dash: Any
    width: float
    heavy: bool


def looks(view: StudyView) -> dict[str, Look]:
    """Return colour and line of each configuration: those of the primary comparison heavy, others light."""
    found = {
        name: Look(colour, "-", 2.4, True)
        for name, colour in zip(view.primary, (FIRST, SECOND), strict=False)
    }
    rest = [name for name in (*view.main, *view.configurations) if name not in found]
    for place, name in enumerate(dict.fromkeys(rest)):
        dash = DASHES[(place // len(OTHERS)) % len(DASHES)]
        found[name] = Look(OTHERS[place % len(OTHERS)], dash, 1.1, False)
    return found


def look(styles: dict[str, Look], name: str) -> Look:
    """Return the look of a configuration that the metrics may not know."""
    return styles.get(name, Look(QUIET, "-", 1.1, False))


def measure(view: StudyView) -> str:
    """Return the name of the measure that configurations are compared by."""
    return METRIC_NAMES.get(view.metric, view.metric.replace("_", " "))


def people(view: StudyView) -> str:
    """Return how many patients stand behind a figure."""
    n, positive = to_float(view.summary.get("n")), to_float(view.summary.get("n_positive"))
    parts = [] if n is None else [f"n = {number(n, 0)}"]
    return ", ".join([*parts, *([] if positive is None else [f"{number(positive, 0)} with the outcome"])])


def numbers(row: Row, *keys: str) -> tuple[float, ...] | None:
    """Return the cells as numbers, None if one of them is not."""
    found = [to_float(row.get(key)) for key in keys]
    return None if any(v is None for v in found) else tuple(v for v in found if v is not None)


def bars(
    row: Row, middle: float, low: str = "ci_low", high: str = "ci_high"
) -> tuple[list[float], list[float]]:
    """Return lengths of the error bars to both sides; none where the interval is not estimable."""
    ends = numbers(row, low, high)
    return ([max(middle - ends[0], 0)], [max(ends[1] - middle, 0)]) if ends else ([0.0], [0.0])


def wrapped(text: str, width: int) -> str:
    """Return text on as many lines as its place needs."""
    return "\n".join(textwrap.wrap(text, width)) or text


def drawn_title(axes: Axes, text: str, width: int) -> None:
    """Give a panel its title, to the left, in the size of the labels."""
    axes.set_title(wrapped(text, width), loc="left", fontsize=9)


def axis_limits(low: Sequence[float], high: Sequence[float], *, around: float) -> tuple[float, float]:
    """Return limits that hold every value and the reference, with a margin."""
    least, most = min([*low, around]), max([*high, around])
    margin = 0.05 * (most - least) or 0.05
    return least - margin, most + margin


def finished(figure: Figure, view: StudyView, *, label: str, note: str = "") -> Drawn:
    """Return the figure with the stamps on it, names that stay unique in a page, a label to be read aloud."""
    if view.stamps:
        width = int(figure.get_figwidth() * 13.5)
        text = "\n".join(wrapped(stamp, width) for stamp in view.stamps)
        # Stamps take no room from the panels, and the empty line keeps their titles away.
        figure.set_figheight(figure.get_figheight() + 0.17 * (text.count("\n") + 1))
        figure.suptitle(text + "\n ", fontsize=8.5, fontweight="bold", color=ALARM, x=0.01, ha="left")
    svg = svg_text(figure)
    svg = re.sub(r' id="[A-Za-z0-9]*(?:Collection|Stairs|Polygon)_\d+"', "", svg)
    return Drawn(svg.replace("<svg ", f'<svg role="img" aria-label={quoteattr(label)} ', 1), note)


def kept(names: Sequence[str], most: int, table: str) -> tuple[list[str], str]:
    """Return the first names that fit, and a sentence on the others."""
    left = len(names) - most
    said = f"{left} more configuration{'s' if left > 1 else ''} are in {table}." if left > 0 else ""
    return list(names[:most]), said.replace("configuration are", "configuration is")
