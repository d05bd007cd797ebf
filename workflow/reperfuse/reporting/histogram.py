"""The distribution of ADC inside the brain, as a plot."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure

from reperfuse.imaging.volume import Volume
from reperfuse.reporting.plots import style, svg_text

SHADE = {"J0": "#1f6f9f", "J1": "#b4531a"}


def histogram(images: Mapping[str, Volume | None]) -> str:
    """Return the distribution of ADC inside the brain as SVG; empty where there is no ADC map."""
    series = {}
    for visit in ("J0", "J1"):
        adc, brain = images.get(f"{visit}_adc"), images.get(f"{visit}_brain")
        if adc is None:
            continue
        inside = adc.data > 0
        if brain is not None and brain.data.shape == adc.data.shape:
            inside = brain.data > 0.5
        values = adc.data[inside]
        if values.size:
            series[visit] = values[np.isfinite(values)]
    if not series:
        return ""
    with style("histogram"):
        figure = Figure(figsize=(7.2, 2.7), dpi=72, layout="constrained")
        axes = figure.add_subplot()
        edges = np.arange(0.0, 3001.0, 25.0)
        for visit, values in series.items():
            counts, _ = np.histogram(np.clip(values, 0, 2999), edges)
            percent = 100.0 * counts / max(values.size, 1)
            axes.stairs(percent, edges, label=visit, color=SHADE[visit], linewidth=1.4)
            axes.stairs(percent, edges, fill=True, color=SHADE[visit], alpha=0.12)
        for threshold, dash in ((480, (4, 2)), (620, "solid")):
            axes.axvline(
                threshold, color="#777777", linewidth=1, linestyle=(0, dash) if dash != "solid" else "-"
            )
            axes.annotate(
                str(threshold),
                (threshold, 0.99),
                xycoords=("data", "axes fraction"),
                xytext=(-3 if threshold == 480 else 3, 0),
                textcoords="offset points",
                ha="right" if threshold == 480 else "left",
                va="top",
            )
        axes.set(
            xlim=(0, 3000),
            xlabel="ADC (10⁻⁶ mm²/s; 3000 and above in the last bin)",
            ylabel="% of brain voxels",
        )
        axes.set_ylim(bottom=0)
        axes.legend(frameon=False, loc="upper right")
        return svg_text(figure)
