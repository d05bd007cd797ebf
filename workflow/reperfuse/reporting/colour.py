"""Maps in colour: which scale belongs to which, how it is laid over slices, and its bar."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import matplotlib
import numpy as np
from PIL import Image

from reperfuse.reporting.slices import Block, Layout, resized, webp

# In the brain where the map says nothing: neither a value nor the black of the surroundings.
UNKNOWN = (72, 72, 72)
STEPS = (1.0, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0)


@dataclass(frozen=True)
class Scale:
    """How the values of a map become colours.

    Parameters
    ----------
    title, unit : str
        For the bar.
    colours : str
        Name of a colour map of matplotlib.
    window : tuple of float
        Values with the first and the last colour; what lies beyond has the same.
    ticks : tuple of float
        Values that the bar names.
    """

    title: str
    unit: str
    colours: str
    window: tuple[float, float]
    ticks: tuple[float, ...]

    @property
    def gradient(self) -> str:
        """The colours as stops of a CSS gradient, the least first."""
        chosen = _table(self.colours)[np.linspace(0, 255, 25).astype(int)]
        return ", ".join(f"#{red:02x}{green:02x}{blue:02x}" for red, green, blue in chosen)

    def place(self, value: float) -> float:
        """Return where a value stands on the bar, in per cent of its length."""
        low, high = self.window
        return 100.0 * (value - low) / (high - low)


@cache
def _table(name: str) -> np.ndarray:
    return (255.0 * matplotlib.colormaps[name](np.arange(256))[:, :3] + 0.5).astype(np.uint8)


def reach(values: np.ndarray, percent: float) -> float:
    """Return a readable number just above most of the values; 1 where there are none above 0.

    Examples
    --------
    >>> reach(np.arange(101.0), 98.0), reach(np.zeros(3), 98.0)
    (100.0, 1.0)
    """
    finite = values[np.isfinite(values)]
    top = float(np.percentile(finite, percent)) if finite.size else 0.0
    if top <= 0:
        return 1.0
    power = 10.0 ** np.floor(np.log10(top))
    return float(next(step * power for step in STEPS if step * power >= top * (1 - 1e-9)))


def render_colour(image: Block, known: np.ndarray, inside: np.ndarray, layout: Layout, scale: Scale) -> bytes:
    """Return the slices as a colour WebP: black outside the brain, grey in it where nothing is known.

    Parameters
    ----------
    image : Block
        On the layout's grid.
    known, inside : ndarray of bool
        Where the map holds a value, and the brain.
    """
    low, high = scale.window
    table = _table(scale.colours)
    canvas = Image.new("RGB", layout.size, (0, 0, 0))
    known = known & np.isfinite(image.data)
    grey = np.where(known, (image.data - low) / (high - low), 0.0)
    pieces = zip(layout.pieces(grey), layout.pieces(known), layout.pieces(inside), strict=True)
    for (position, name, values), (_, _, weight), (_, _, brain) in pieces:
        size = layout.tile_size(name)
        # Only values that are known are averaged: at the brain's edge zero is no value.
        share = resized(weight, size)
        level = resized(values, size) / np.maximum(share, 0.05)
        colour = table[(255.0 * np.clip(level, 0.0, 1.0) + 0.5).astype(np.uint8)]
        colour[share < 0.5] = UNKNOWN
        colour[resized(brain | weight, size) < 0.5] = 0
        canvas.paste(Image.fromarray(colour), layout.corner(position))
    return webp(canvas)
