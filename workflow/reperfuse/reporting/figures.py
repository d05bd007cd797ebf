"""Pictures of one patient: maps with contours, and registrations.

Everything is drawn; nothing here is measured. Grey images are WebP, contours are SVG laid over them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from reperfuse.imaging.volume import Volume
from reperfuse.reporting.slices import (
    Block,
    Layout,
    block,
    bounding_box,
    mosaic,
    outline,
    render,
    render_signed,
    smooth,
    spread,
)

Images = Mapping[str, Volume | None]

ADC_WINDOW = (0.0, 2000.0)
# Cerebrospinal fluid against brain: what is drawn of the fixed image to judge an alignment by.
FLUID_ADC = 1500.0
LAYERS = {"c620": "ADC < 620, cleaned", "c480": "ADC < 480, cleaned", "lesion": "lesion that counts"}


@dataclass(frozen=True)
class Picture:
    """An image file with what is written and drawn over it.

    Parameters
    ----------
    name : str
        File name.
    content : bytes
        WebP.
    size : tuple of int
        Width and height in pixels, the coordinates of the layers and labels.
    alt : str
        What it shows, for those who do not see it.
    layers : tuple of (str, str)
        CSS class and SVG path.
    labels : tuple of (float, float, str)
        Left, baseline and text.
    bar_px : float
        Length of 50 mm.
    """

    name: str
    content: bytes
    size: tuple[int, int]
    alt: str
    layers: tuple[tuple[str, str], ...] = ()
    labels: tuple[tuple[float, float, str], ...] = ()
    bar_px: float = 0.0


@dataclass(frozen=True)
class VisitPictures:
    """The maps of one visit; a picture that cannot be drawn is None."""

    visit: str
    adc: Picture | None
    trace: Picture | None
    overview: Picture | None
    layers: tuple[str, ...]
    not_drawn: tuple[str, ...]


@dataclass(frozen=True)
class PairPictures:
    """One registration: the fixed image, the moving one on its grid, and the edges of the fixed one."""

    fixed: Picture
    moving: Picture


@dataclass(frozen=True)
class SignedPictures:
    """An ADC map, the same slices under a signed field, and where the field's colours are strongest."""

    plain: Picture
    covered: Picture
    limit: float


def labels_of(layout: Layout, *, positions: bool) -> tuple[tuple[float, float, str], ...]:
    """Return sides and, if wanted, slice numbers of each tile: left, baseline and text."""
    found: list[tuple[float, float, str]] = []
    cell_width, cell_height = layout.cell
    for position, (name, index) in enumerate(layout.tiles):
        row, column = divmod(position, layout.columns)
        left, top = column * cell_width, row * cell_height
        sides = ("A", "P") if name == "sagittal" else ("R", "L")
        # In the lower corners, which a brain leaves empty.
        found.append((left + 6, top + cell_height - 8, sides[0]))
        found.append((left + cell_width - 18, top + cell_height - 8, sides[1]))
        if positions:
            axis = {"axial": 2, "coronal": 1, "sagittal": 0}[name]
            found.append((left + 6, top + 18, f"{layout.box[axis].start + index + 1}"))
    return tuple(found)


def window_of(image: Block, inside: np.ndarray | None, top: float = 99.7) -> tuple[float, float]:
    """Return the values that are black and white in an image without a unit."""
    values = image.data[inside] if inside is not None and inside.any() else image.data[image.data != 0]
    values = values[np.isfinite(values)]
    if not values.size:
        return 0.0, 1.0
    low, high = np.percentile(values, [0.5, top])
    return min(0.0, float(low)) if low < 0.3 * high else float(low) * 0.5, float(high)


def _masks(visit: str, images: Images, adc: Block, counts_as: str) -> dict[str, np.ndarray]:
    found = {}
    for layer, name in (
        ("c620", f"{visit}_adc620"),
        ("c480", f"{visit}_adc480"),
        ("lesion", f"{visit}_lesion"),
    ):
        mask = block(images.get(name))
        if mask is not None and mask.data.shape == adc.data.shape:
            found[layer] = mask.data > 0.5
    if counts_as == "adc620":
        # One line, not two on top of each other; the legend says that it counts.
        found.pop("lesion", None)
    return found


def visit_pictures(visit: str, images: Images, counts_as: str) -> VisitPictures:
    """Lay out ADC with contours beside the trace without any, and an overview of the whole brain.

    Parameters
    ----------
    visit : str
        ``J0`` or ``J1``.
    images : mapping
        Named ``J0_adc``, ``J0_trace``, ``J0_brain``, ``J0_adc480``, ``J0_adc620``, ``J0_lesion``; None or
        absent where an image could not be made. ADC in 10⁻⁶ mm²/s.
    counts_as : str
        What the record says is the lesion that counts.
    """
    adc = block(images.get(f"{visit}_adc"))
    if adc is None:
        return VisitPictures(visit, None, None, None, (), (f"{visit} ADC",))
    adc = replace(adc, data=np.nan_to_num(adc.data))
    brain = block(images.get(f"{visit}_brain"))
    inside = adc.data > 0 if brain is None or brain.data.shape != adc.data.shape else brain.data > 0.5
    masks = _masks(visit, images, adc, counts_as)
    target = masks.get("lesion", masks.get("c620"))
    layout = mosaic(adc, inside, target, count=9, columns=3, pixel_mm=0.6)
    paths = {layer: outline(mask, layout) for layer, mask in masks.items()}
    paths["brain"] = outline(inside, layout)
    shown = tuple(layer for layer in ("c620", "c480", "lesion", "brain") if layer in paths)
    labels, bar_px = labels_of(layout, positions=True), 50.0 / layout.pixel_mm

    def picture(kind: str, image: Block, window: tuple[float, float], alt: str, *layers: str) -> Picture:
        lines = tuple((layer, paths[layer]) for layer in layers)
        content = render(image, layout, window)
        return Picture(f"{visit}_{kind}.webp", content, layout.size, alt, lines, labels, bar_px)

    n = len(layout.tiles)
    alt = f"{n} axial slices of the {visit} ADC map with lesion contours, patient's right on the left"
    map_picture = picture("adc", adc, ADC_WINDOW, alt, *shown)
    trace, trace_picture, not_drawn = block(images.get(f"{visit}_trace")), None, []
    if trace is not None and layout.fits(trace):
        trace = replace(trace, data=np.nan_to_num(trace.data))
        alt = f"the same slices of the {visit} trace image without contours"
        trace_picture = picture("trace", trace, window_of(trace, inside), alt)
    else:
        not_drawn.append(f"{visit} trace" + (" (on another grid)" if trace is not None else ""))
    return VisitPictures(
        visit, map_picture, trace_picture, _overview(visit, adc, inside, masks), shown, tuple(not_drawn)
    )


def _overview(visit: str, adc: Block, inside: np.ndarray, masks: dict[str, np.ndarray]) -> Picture:
    box = bounding_box(inside, adc.zooms, (5.0, 5.0, 0.0))
    indices = spread(0, box[2].stop - box[2].start - 1, 40)
    tiles = tuple(("axial", index) for index in indices)
    layout = Layout(adc.data.shape, adc.zooms, box, tiles, min(8, len(tiles)), 1.0)
    layers = [
        ("brain", outline(inside, layout)),
        *((name, outline(mask, layout)) for name, mask in masks.items()),
    ]
    return Picture(
        f"{visit}_overview.webp",
        render(adc, layout, ADC_WINDOW),
        layout.size,
        f"{len(tiles)} axial slices through the whole {visit} ADC map with contours",
        tuple(layers),
        labels_of(layout, positions=True),
    )


def signed_pictures(name: str, images: Images) -> SignedPictures | None:
    """Draw an ADC map with the lesion's contour, and a signed field over it; None where either is absent.

    Parameters
    ----------
    name : str
        Stem of the files.
    images : mapping
        ``adc``, ``map`` on its grid, and as far as they are there ``brain`` and ``lesion``.
    """
    adc, field = block(images.get("adc")), block(images.get("map"))
    if adc is None or field is None or adc.data.shape != field.data.shape:
        return None
    adc, field = (replace(one, data=np.nan_to_num(one.data)) for one in (adc, field))
    brain, lesion = (block(images.get(one)) for one in ("brain", "lesion"))
    inside = adc.data > 0 if brain is None or brain.data.shape != adc.data.shape else brain.data > 0.5
    core = None if lesion is None or lesion.data.shape != adc.data.shape else lesion.data > 0.5
    layout = mosaic(adc, inside, core, count=9, columns=3, pixel_mm=0.6)
    layers = () if core is None else (("lesion", outline(core, layout)),)
    limit = float(np.percentile(np.abs(field.data[inside]), 99)) if inside.any() else 0.0
    labels, bar_px = labels_of(layout, positions=True), 50.0 / layout.pixel_mm
    alt = f"{len(layout.tiles)} axial slices of the ADC map, patient's right on the left"
    plain = Picture(
        f"{name}_adc.webp", render(adc, layout, ADC_WINDOW), layout.size, alt, layers, labels, bar_px
    )
    alt = "the same slices in colour: orange speaks for the outcome, blue against it"
    content = render_signed(adc, field, layout, ADC_WINDOW, limit)
    covered = Picture(f"{name}_map.webp", content, layout.size, alt, layers, labels)
    return SignedPictures(plain, covered, limit)


def pair_pictures(images: Images, moving_name: str) -> PairPictures | None:
    """Draw an image that was brought onto the J0 grid and the J0 image that it was aligned with.

    Parameters
    ----------
    images : mapping
        As for :func:`visit_pictures`.
    moving_name : str
        ``space-J0_…``; ``space-J0_adc`` is the ADC map of J1 and is shown beside that of J0.
    """
    moving = block(images.get(moving_name))
    fixed_names = ["J0_adc"] if moving_name == "space-J0_adc" else ["J0_s0", "J0_trace", "J0_adc"]
    candidates = ((name, block(images.get(name))) for name in fixed_names)
    fixed_name, fixed = next(((name, found) for name, found in candidates if found is not None), ("", None))
    if moving is None or fixed is None or moving.data.shape != fixed.data.shape:
        return None
    brain, adc = block(images.get("J0_brain")), block(images.get("J0_adc"))
    inside = (
        brain.data > 0.5 if brain is not None and brain.data.shape == fixed.data.shape else fixed.data > 0
    )
    box = bounding_box(inside, fixed.zooms, (8.0, 8.0, 8.0))
    extent = [part.stop - part.start for part in box]
    middle = [length // 2 for length in extent]
    axial = spread(round(0.3 * extent[2]), round(0.8 * (extent[2] - 1)), 4)
    # Off the midline, where a sagittal slice shows a ventricle and cortex.
    tiles = (
        *(("axial", index) for index in axial),
        ("coronal", middle[1]),
        ("sagittal", round(0.42 * extent[0])),
    )
    layout = Layout(fixed.data.shape, fixed.zooms, box, tiles, 3, 0.8)
    paths = [("brain", outline(inside, layout))]
    if adc is not None and layout.fits(adc):
        edges = smooth(np.where(inside, np.nan_to_num(adc.data), 0.0))
        paths.append(("edge", outline(edges, layout, level=FLUID_ADC, shortest=10)))
    labels = labels_of(layout, positions=False)
    is_adc = moving_name == "space-J0_adc"
    made = []
    for image, name, alt in (
        (fixed, f"fixed_{fixed_name}.webp", f"fixed image {fixed_name}"),
        (moving, f"{moving_name}.webp", f"moving image {moving_name} with the edges of the fixed image"),
    ):
        clean = replace(image, data=np.nan_to_num(image.data))
        is_map = is_adc or (fixed_name == "J0_adc" and image is fixed)
        window = ADC_WINDOW if is_map else window_of(clean, inside)
        made.append(Picture(name, render(clean, layout, window), layout.size, alt, tuple(paths), labels))
    return PairPictures(made[0], made[1])
