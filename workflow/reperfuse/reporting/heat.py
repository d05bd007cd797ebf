"""An unsigned map in warm colours over the image that it is about."""

from __future__ import annotations

from dataclasses import dataclass, replace

import matplotlib
import numpy as np
from PIL import Image

from reperfuse.reporting.figures import ADC_WINDOW, Images, Picture, labels_of, window_of
from reperfuse.reporting.slices import Block, Layout, block, mosaic, outline, render, resized, webp

COLOURS = "inferno"
# Below this share of the strongest place nothing is seen; above, anatomy still shows through.
LEAST, MOST_COVER = 0.08, 0.75
# What a map may lie over, the best first.
UNDER = {"trace": "trace image", "adc": "ADC map", "template": "template"}


@dataclass(frozen=True)
class HeatPictures:
    """An image with the lesion's contour, the same slices under the map, and what the image is."""

    plain: Picture
    covered: Picture
    title: str


def heat_pictures(name: str, images: Images) -> HeatPictures | None:
    """Draw an image and a map over it, scaled to the map's own range; None where either is absent or the map is flat.

    Parameters
    ----------
    name : str
        Stem of the files.
    images : mapping
        ``map`` and, on its grid, the first there is of `UNDER`; as far as they are there ``brain`` and ``lesion``.
    """
    field = block(images.get("map"))
    known = {kind: found for kind in UNDER if (found := block(images.get(kind))) is not None}
    if field is None:
        return None
    kind = next((kind for kind, one in known.items() if one.data.shape == field.data.shape), "")
    field = replace(field, data=np.nan_to_num(field.data))
    if not kind or np.ptp(field.data) == 0:
        return None
    image = replace(known[kind], data=np.nan_to_num(known[kind].data))
    brain, lesion = (block(images.get(one)) for one in ("brain", "lesion"))
    inside = image.data > 0 if brain is None or brain.data.shape != image.data.shape else brain.data > 0.5
    core = None if lesion is None or lesion.data.shape != image.data.shape else lesion.data > 0.5
    layout = mosaic(image, inside, core, count=9, columns=3, pixel_mm=0.6)
    layers = () if core is None else (("lesion", outline(core, layout)),)
    labels, bar_px = labels_of(layout, positions=True), 50.0 / layout.pixel_mm
    window = ADC_WINDOW if kind == "adc" else window_of(image, inside)
    low, high = float(field.data.min()), float(field.data.max())
    strength = replace(field, data=(field.data - low) / (high - low))
    alt = f"{len(layout.tiles)} axial slices of the {UNDER[kind]}, patient's right on the left"
    plain = Picture(
        f"{name}_image.webp", render(image, layout, window), layout.size, alt, layers, labels, bar_px
    )
    content = render_heat(image, strength, layout, window)
    alt = "the same slices in colour: the warmer, the more a place speaks for the outcome"
    return HeatPictures(
        plain, Picture(f"{name}_heat.webp", content, layout.size, alt, layers, labels), UNDER[kind]
    )


def gradient() -> str:
    """Return the colours as stops of a CSS gradient, the weakest first."""
    table = matplotlib.colormaps[COLOURS](np.linspace(LEAST, 1, 9))[:, :3]
    return ", ".join("#" + "".join(f"{int(255 * one + 0.5):02x}" for one in colour) for colour in table)


def render_heat(image: Block, strength: Block, layout: Layout, window: tuple[float, float]) -> bytes:
    """Return the slices in grey with a map of 0 to 1 over them, its colour denser the stronger it is."""
    low, high = window
    table = 255.0 * matplotlib.colormaps[COLOURS](np.arange(256))[:, :3]
    canvas = Image.new("RGB", layout.size, (0, 0, 0))
    pieces = zip(layout.pieces(image.data), layout.pieces(strength.data), strict=True)
    for (position, name, grey), (_, _, part) in pieces:
        size = layout.tile_size(name)
        anatomy = np.clip(resized((grey - low) / max(high - low, 1e-6), size), 0.0, 1.0)[..., None]
        level = np.clip(resized(part, size), 0.0, 1.0)
        cover = MOST_COVER * np.clip((level - LEAST) / (0.5 - LEAST), 0.0, 1.0)[..., None]
        mixed = (1 - cover) * 255.0 * anatomy + cover * table[(255.0 * level + 0.5).astype(np.uint8)]
        canvas.paste(Image.fromarray((mixed + 0.5).astype(np.uint8)), layout.corner(position))
    return webp(canvas)
