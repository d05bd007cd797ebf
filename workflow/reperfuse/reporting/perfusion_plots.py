"""Curves of one patient's perfusion series: signal and concentration against time, and motion."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from reperfuse.core.tables import Row
from reperfuse.reporting.pages import to_float
from reperfuse.reporting.plots import style, svg_text

GREY, ARTERY, VEIN, TISSUE, WARN = "#777777", "#d1453b", "#2f6fdb", "#1a9c78", "#b7791f"
AXES_COLOURS = ("#1f7abf", "#d55e00", "#1a9c78")


def column(rows: Sequence[Row], name: str) -> list[float]:
    """Return a column as numbers; what is none becomes NaN, and a column that is not there is empty."""
    if not rows or name not in rows[0]:
        return []
    values = [to_float(row.get(name)) for row in rows]
    found = [float("nan") if value is None else value for value in values]
    return found if any(value is not None for value in values) else []


def curves_plot(rows: Sequence[Row], facts: Mapping[str, Any]) -> str:
    """Return mean signal with baseline and arrival, AIF and VOF, and the tissue's curve; empty without rows.

    Parameters
    ----------
    rows : sequence of dict
        ``PWI_curves.tsv``: time_s, signal, aif_per_s, vof_per_s, tissue_per_s.
    facts : mapping
        What the step found; read are ``bolus`` and ``baseline_s``.
    """
    times = column(rows, "time_s")
    if not times:
        return ""
    bolus = facts.get("bolus") or {}
    arrival = to_float(bolus.get("arrival_s"))
    with style("perfusion-curves"):
        figure = Figure(figsize=(11.0, 2.7), dpi=72, layout="constrained")
        signal, vessel, tissue = figure.subplots(1, 3)
        _line(signal, times, column(rows, "signal"), GREY, "")
        start, stop = baseline_s(facts, times)
        if stop > start:
            signal.axvspan(start, stop, color=GREY, alpha=0.18, linewidth=0)
            _note(signal, start, " baseline", ha="left", up=0.03)
        signal.set(ylabel="signal (scanner's unit)", title="Mean signal of the brain")
        _line(vessel, times, column(rows, "aif_per_s"), ARTERY, "AIF")
        _line(vessel, times, column(rows, "vof_per_s"), VEIN, "VOF")
        vessel.set(ylabel="C(t) (1/s)", title="Artery and vein")
        _line(tissue, times, column(rows, "tissue_per_s"), TISSUE, "")
        tissue.set(ylabel="C(t) (1/s)", title="Mean of the brain")
        if vessel.lines:
            vessel.legend(frameon=False, loc="upper right")
        for axes in (signal, vessel, tissue):
            if arrival is not None:
                axes.axvline(arrival, color=WARN, linewidth=1.1, linestyle=(0, (4, 2)))
            axes.set(xlim=(times[0], times[-1]), xlabel="time (s)")
            axes.margins(y=0.1)
            axes.title.set_fontsize(9)
            axes.grid(axis="y", color="#888888", alpha=0.25, linewidth=0.6)
        if arrival is not None:
            _note(signal, arrival, " arrival", ha="left", up=0.93)
        return svg_text(figure)


def baseline_s(facts: Mapping[str, Any], times: Sequence[float]) -> tuple[float, float]:
    """Return first and last time of the baseline: nothing (equal times) where it is not recorded.

    The record holds the number of frames, or the first and the one after the last.
    """
    frames, tr = (facts.get("bolus") or {}).get("baseline_frames"), to_float(facts.get("tr_s"))
    ends = list(frames) if isinstance(frames, list | tuple) else [0, frames]
    low, high = (to_float(end) for end in (*ends, None, None)[:2])
    if tr is None or low is None or high is None:
        return times[0], times[0]
    return times[0] + low * tr, times[0] + max(high - 1, low) * tr


def motion_plot(rows: Sequence[Row], threshold_mm: float | None) -> str:
    """Return framewise displacement with its threshold, and translations and rotations; empty without rows.

    Parameters
    ----------
    rows : sequence of dict
        ``PWI_motion.tsv``: frame, time_s, fd_mm, tx_mm … rz_deg.
    threshold_mm : float or None
        Displacement that is called a spike.
    """
    fd = column(rows, "fd_mm")
    if not fd:
        return ""
    times = column(rows, "time_s") or [float(place) for place in range(len(fd))]
    with style("perfusion-motion"):
        figure = Figure(figsize=(11.0, 2.3), dpi=72, layout="constrained")
        left, middle, right = figure.subplots(1, 3)
        left.plot(times, fd, color=GREY, linewidth=1.3)
        top = max([value for value in fd if value == value] or [0.0])
        if threshold_mm is not None:
            left.axhline(threshold_mm, color=ARTERY, linewidth=1.1, linestyle=(0, (4, 2)))
            beyond = [(t, value) for t, value in zip(times, fd, strict=True) if value > threshold_mm]
            if beyond:
                left.plot(*zip(*beyond, strict=True), "o", color=ARTERY, markersize=4)
            left.annotate(
                f"threshold {threshold_mm:g} mm",
                (0.99, threshold_mm),
                xycoords=("axes fraction", "data"),
                xytext=(0, 2),
                textcoords="offset points",
                ha="right",
                va="bottom",
                fontsize=8,
            )
            top = max(top, threshold_mm)
        left.set(ylim=(0.0, 1.2 * top or 1.0), ylabel="mm", title="Framewise displacement")
        for axes, stem, title, unit in (
            (middle, "t", "Translation", "mm"),
            (right, "r", "Rotation", "degrees"),
        ):
            for name, colour in zip("xyz", AXES_COLOURS, strict=True):
                values = _axis(rows, f"{stem}{name}")
                if values:
                    axes.plot(times, values, color=colour, linewidth=1.2, label=name)
            least = 0.5
            low, high = axes.get_ylim()
            # Hundredths of a millimetre must not look like a moving head.
            axes.set_ylim(min(low, -least), max(high, least))
            axes.set(ylabel=unit, title=title)
            if axes.lines:
                axes.legend(frameon=False, loc="upper right", ncols=3, handlelength=1.2)
        for axes in (left, middle, right):
            axes.set(xlim=(times[0], times[-1] or 1.0), xlabel="time (s)")
            axes.title.set_fontsize(9)
            axes.grid(axis="y", color="#888888", alpha=0.25, linewidth=0.6)
            axes.yaxis.set_major_locator(MaxNLocator(5))
        return svg_text(figure)


def _axis(rows: Sequence[Row], stem: str) -> list[float]:
    name = next((key for key in rows[0] if key == stem or key.startswith(f"{stem}_")), "")
    return column(rows, name)


def _line(axes: Axes, times: Sequence[float], values: Sequence[float], colour: str, label: str) -> None:
    if values:
        axes.plot(times, values, color=colour, linewidth=1.5, label=label)


def _note(axes: Axes, x: float, text: str, *, ha: str, up: float) -> None:
    axes.annotate(
        text,
        (x, up),
        xycoords=("data", "axes fraction"),
        ha=ha,
        va="bottom",
        fontsize=8,
        annotation_clip=False,
    )
