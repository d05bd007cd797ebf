"""The page and the figure of the benchmarks, from ``results.tsv`` and nothing else."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from suite import Measured, measured

from reperfuse.core.files import write_text
from reperfuse.core.tables import Row
from reperfuse.reporting.plots import standalone, style, svg_text

OURS, PEER, FLOOR = "#1f6f9f", "#b7791f", "#8a8f96"
COSTS = ("s", "ms", "KB", "mm")  # units in which less is better in proportion
BELOW: dict[str, Any] = {
    "frameon": False,
    "fontsize": 7,
    "loc": "upper center",
    "bbox_to_anchor": (0.5, -0.12),
}
WORDS = {"ours": "ours", "ours/peer": "ours / peer", "ours/floor": "ours / floor", "ours-floor": "ours − floor",
         "floor/ours": "floor / ours"}  # fmt: skip
HEAD = """\
# What it costs

Written by `make bench`, which runs `benchmarks/*.py` one after another and puts their numbers into
[benchmarks/results.tsv](../benchmarks/results.tsv); this page and the figure follow from that table alone.
`make bench ONLY="parse indexing"` runs some of them again. Seconds are CPU seconds (user and system, of all
processes) where nothing else is said: they depend less than the clock does on what else the computer is doing, but
still do by some tens of per cent. Libraries had one thread each. Measured on {where}.

*Ours* is this workflow. The *peer* is how the same is usually done, the *floor* the least that is possible; what they
are in each case stands [below](#peers-and-floors). Less is better everywhere.

![Cost of ours and of the floor by that of the peer, and growth with the cohort](../benchmarks/figure.svg)
"""


def rows_of(rows: Iterable[Row]) -> list[tuple[str, Measured]]:
    """Return script and measurement of each line of the table."""
    return [(row["script"], measured(row)) for row in rows]


def number(value: float | None) -> str:
    """Return a number with three or four digits."""
    if value is None:
        return ""
    if value == 0 or abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.{max(0, 2 - math.floor(math.log10(abs(value))))}f}"


def aim_of(one: Measured) -> str:
    """Return the aim in words, with its unit where it has one."""
    if not one.aim:
        return ""
    what, sign, limit = one.aim.split()
    unit = f" {one.unit}" if "/" not in what else ""
    return f"{WORDS[what]} {'≤' if sign == '<=' else '≥'} {limit}{unit}"


def reached(one: Measured) -> str:
    """Return what an aim is compared with, as it was found."""
    what = one.aim.split()[0]
    if one.ours is None:
        return "not measured"
    if what == "ours":
        return f"{number(one.ours)} {one.unit}"
    if what == "ours-floor":
        return f"{number(one.ours - (one.floor or 0.0))} {one.unit}"
    first, second = (getattr(one, part) for part in what.split("/"))
    return number(first / second)


def table(rows: Iterable[Sequence[str]], header: Sequence[str]) -> list[str]:
    """Return a Markdown table; a cell may be empty."""
    return [f"| {' | '.join(line)} |" for line in (header, ["---"] * len(header), *rows)] + [""]


def size_of(one: Measured) -> str:
    return f"{one.size:,} {one.of if one.size != 1 else one.of.removesuffix('s')}"


def claims(rows: Sequence[tuple[str, Measured]]) -> list[str]:
    """Return the table of aims."""
    lines = [
        [one.name, size_of(one), aim_of(one), reached(one), {True: "held", False: "**missed**", None: ""}[one.held],
         f"`{script}`"]
        for script, one in rows if one.aim
    ]  # fmt: skip
    return ["## Aims", "", *table(lines, ("what", "size", "aim", "found", "verdict", "benchmark"))]


def missed(rows: Sequence[tuple[str, Measured]]) -> list[str]:
    """Say which aims are missed, and what could not be measured."""
    lines = [
        f"- **Missed:** {one.name}, {size_of(one)}: {reached(one)} where the aim is {aim_of(one)}."
        + (f" The floor is {number(one.floor)}." if one.floor is not None and one.aim.startswith("ours <") else "")
        + (f" {one.remark[0].upper()}{one.remark[1:]}." if one.remark else "")
        for _, one in rows if one.held is False
    ]  # fmt: skip
    lines += [f"- Not measured: {one.name}: {one.remark}." for _, one in rows if one.ours is None]
    return [*(lines or ["Every aim is met."]), ""]


def compared(rows: Sequence[tuple[str, Measured]]) -> list[str]:
    """Return everything that was measured, side by side."""
    lines = [
        [one.name, size_of(one), f"{number(one.ours)} {one.unit}", number(one.peer), number(one.ratio),
         number(one.floor), one.remark]
        for _, one in rows if one.ours is not None
    ]  # fmt: skip
    header = ("what", "size", "ours", "peer", "ours / peer", "floor", "remark")
    return ["## Side by side", "", *table(lines, header)]


def each(one: Measured) -> str:
    """Return the cost of one of those that the size counts."""
    if not one.size or one.ours is None:
        return ""
    return (
        f"{number(1000 * one.ours / one.size)} ms"
        if one.unit == "s"
        else f"{number(one.ours / one.size)} {one.unit}"
    )


def series(rows: Sequence[tuple[str, Measured]]) -> dict[str, list[Measured]]:
    """Return what was measured at two sizes or more, by size."""
    found: dict[str, list[Measured]] = {}
    for _, one in rows:
        if one.ours is not None:
            found.setdefault(one.name, []).append(one)
    return {name: sorted(few, key=lambda one: one.size) for name, few in found.items() if len(few) > 1}


def growth(rows: Sequence[tuple[str, Measured]]) -> list[str]:
    """Return how each cost grows, and the exponent between the two largest sizes."""
    lines = ["## How cost grows", ""]
    for name, few in series(rows).items():
        a, b = few[-2:]
        grows = ""
        if a.size > 0 and a.ours and b.ours:
            times = f"{b.size / a.size:.3g} times as many: {b.ours / a.ours:.3g} times the cost."
            grows = f"From {size_of(a)} to {b.size:,}, {times}"
        body = [
            [size_of(one), f"{number(one.ours)} {one.unit}", f"{number(one.floor)}" if one.floor is not None else "",
             each(one)]
            for one in few
        ]  # fmt: skip
        lines += [
            f"**{name[0].upper()}{name[1:]}**",
            "",
            *table(body, ("size", "ours", "floor", "ours, for each")),
        ]
        lines += [grows, ""] if grows else []
    return lines


def explained(rows: Sequence[tuple[str, Measured]]) -> list[str]:
    """Say once for each benchmark what its peers and floors are."""
    found: dict[tuple[str, str, str], list[str]] = {}
    for _, one in rows:
        if one.peer_is or one.floor_is:
            names = found.setdefault((one.peer_is, one.floor_is, ""), [])
            names += [one.name] if one.name not in names else []
    body = [["; ".join(names), peer, floor] for (peer, floor, _), names in found.items()]
    return ["## Peers and floors", "", *table(body, ("what", "peer", "floor"))]


def page(rows: Sequence[Row]) -> str:
    """Return the page."""
    known = rows_of(rows)
    where = "; ".join(dict.fromkeys(row["where"] for row in rows))
    parts = [claims(known), missed(known), growth(known), compared(known), explained(known)]
    return HEAD.format(where=where) + "\n" + "\n".join("\n".join(part) for part in parts).rstrip() + "\n"


def figure(rows: Sequence[Row]) -> str:
    """Return the figure: each cost by that of its peer, with the floor; and growth."""
    known = rows_of(rows)
    costs = [one for _, one in known if one.ratio and one.unit in COSTS]
    ratios = [one for one in costs if one.aim or len(series(known).get(one.name, ())) < 2]
    grown = {n: few for n, few in series(known).items() if few[0].unit == "s" and few[-1].of == "patients"}
    with style("benchmarks"):
        drawn = Figure(figsize=(9, 1.2 + 0.34 * max(len(ratios), 8)), layout="constrained")
        left, right = drawn.subplots(1, 2, width_ratios=(1, 1))
        for y, one in enumerate(reversed(ratios)):
            if one.floor and one.peer:
                left.plot(
                    one.floor / one.peer, y, "|", color=FLOOR, markersize=12, label="floor" if not y else None
                )
            left.plot(one.ratio, y, "o", color=OURS, label="ours" if not y else None)
        left.axvline(1, color=PEER, linewidth=1, label="peer")
        left.set(xscale="log", xlabel="cost by that of the peer", yticks=range(len(ratios)))
        left.set_yticklabels([f"{one.name}" for one in reversed(ratios)], fontsize=7)
        left.legend(ncols=1, **BELOW)
        for (name, few), marker in zip(grown.items(), "osD^v<>ph*" * 3, strict=False):
            sized = [one for one in few if one.size]
            right.plot(
                [one.size for one in sized],
                [one.ours for one in sized],
                f"-{marker}",
                markersize=4,
                label=name,
            )
            if all(one.floor for one in sized):
                colour = right.lines[-1].get_color()
                right.plot(
                    [one.size for one in sized], [one.floor for one in sized], ":", color=colour, linewidth=1
                )
        right.set(xscale="log", yscale="log", xlabel="patients", ylabel="CPU seconds (dotted: floor)")
        if grown:
            right.legend(ncols=1, **BELOW)
        return standalone(svg_text(drawn))


def write_pages(rows: Sequence[Row], figure_path: Path, page_path: Path) -> None:
    """Write the figure and the page."""
    write_text(figure_path, figure(rows))
    text = page(rows)
    for found in re.findall(r"\]\(([^)#]+)\)", text):
        if not os.path.exists(page_path.parent / found):
            raise SystemExit(f"the page names {found}, which is not there")
    write_text(page_path, text)
