"""Pictures of one patient's perfusion: maps in colour, contours of Tmax, arteries and veins, bleeding.

Everything is drawn; nothing here is measured. All images lie on the grid of the perfusion series.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from reperfuse.imaging.volume import Volume
from reperfuse.reporting.colour import Scale, reach, render_colour
from reperfuse.reporting.figures import ADC_WINDOW, Images, Picture, labels_of, window_of
from reperfuse.reporting.slices import Block, Layout, block, bounding_box, mosaic, outline, render, spread

# What the section reads of the step: the series itself is large and is not drawn.
SHOWN = frozenset(
    "PWI_s0 PWI_brain PWI_valid PWI_cbf PWI_cbv PWI_mtt PWI_tmax PWI_rttp PWI_k2 PWI_aif PWI_vof PWI_adc "
    "PWI_late PWI_trace PWI_core PWI_gre PWI_ht PWI_covered".split()
)
TMAX_LEVELS_S = (4, 6, 8, 10)
MOST_SLICES = 8
WIDEST_PX = 1100
TURBO, SIGNED = "turbo", "berlin"


@dataclass(frozen=True)
class Strip:
    """One image on the chosen slices, side by side, with its colour bar; grey images have none."""

    title: str
    picture: Picture
    scale: Scale | None = None
    note: str = ""


@dataclass(frozen=True)
class Vessel:
    """Where an input function was taken, on the baseline image."""

    title: str
    picture: Picture


def scale_of(name: str, values: np.ndarray) -> Scale:
    """Return the scale of a map: fixed for times, up to the patient's own values where there is no absolute unit.

    Parameters
    ----------
    name : str
        ``cbf cbv mtt tmax rttp k2``.
    values : ndarray
        Of the brain.
    """
    if name == "tmax":
        return Scale("Tmax", "s", TURBO, (0.0, 12.0), (0, 4, 6, 8, 10, 12))
    if name == "rttp":
        return Scale("rTTP", "s", TURBO, (0.0, 12.0), (0, 4.5, 8, 12))
    if name == "mtt":
        return Scale("MTT", "s", TURBO, (0.0, 15.0), (0, 5, 10, 15))
    if name == "k2":
        top = reach(np.abs(values), 99.0)
        return Scale("K2, leakage", "1/s", SIGNED, (-top, top), (-top, 0.0, top))
    unit = {"cbf": "ml/100 ml/min", "cbv": "ml/100 ml"}[name]
    top = reach(values, 97.0)
    return Scale(name.upper(), unit, TURBO, (0.0, top), (0.0, top / 2, top))


def _inside(images: Images) -> tuple[Block, np.ndarray] | None:
    """Return an image that gives the grid, and the brain on it."""
    base = next((b for n in ("PWI_s0", "PWI_tmax") if (b := block(images.get(n))) is not None), None)
    if base is None:
        return None
    brain = block(images.get("PWI_brain"))
    fits = brain is not None and brain.data.shape == base.data.shape
    return base, brain.data > 0.5 if brain is not None and fits else base.data > 0


def _mask(images: Images, name: str, shape: tuple[int, ...]) -> np.ndarray | None:
    found = block(images.get(name))
    return None if found is None or found.data.shape != shape else found.data > 0.5


def _counted(images: Images, shape: tuple[int, ...]) -> np.ndarray:
    """Return the limit of Tmax in s that tissue exceeds where its volume was counted, 0 elsewhere."""
    found = block(images.get("PWI_late"))
    if found is None or found.data.shape != shape:
        return np.zeros(shape, np.float32)
    return np.asarray(np.nan_to_num(found.data))


def _row(base: Block, inside: np.ndarray, target: np.ndarray | None) -> Layout:
    """Lay out slices in one row, so that maps below each other show the same place."""
    layout = mosaic(base, inside, target, count=MOST_SLICES, columns=MOST_SLICES, pixel_mm=1.0)
    return replace(layout, pixel_mm=max(layout.size[0] / WIDEST_PX, 0.5))


def strips(images: Images) -> list[Strip]:
    """Return trace and ADC with contours of Tmax and core, then each map, on the same slices.

    Parameters
    ----------
    images : mapping
        ``PWI_…`` as in :data:`SHOWN`; None or absent where an image could not be made. Tmax, MTT and rTTP in
        s, ADC in 10⁻⁶ mm²/s.
    """
    found = _inside(images)
    if found is None:
        return []
    base, inside = found
    shape = base.data.shape
    valid = _mask(images, "PWI_valid", shape)
    known = inside if valid is None else inside & valid
    counted, core = _counted(images, shape), _mask(images, "PWI_core", shape)
    late = counted >= 6.0
    layout = _row(base, inside, late if core is None else late | core)
    lines = [(f"t{level}", outline(counted >= level, layout)) for level in TMAX_LEVELS_S]
    lines += [] if core is None else [("core", outline(core, layout))]
    six = [line for line in lines if line[0] == "t6"]
    labels, bar_px = labels_of(layout, positions=True), 50.0 / layout.pixel_mm
    n = len(layout.tiles)
    made = []
    for name, title in (("PWI_trace", "Trace"), ("PWI_adc", "ADC")):
        image = block(images.get(name))
        if image is None or not layout.fits(image):
            continue
        clean = replace(image, data=np.nan_to_num(image.data))
        window = ADC_WINDOW if title == "ADC" else window_of(clean, inside)
        alt = f"{n} axial slices of {title} with contours of Tmax and core, patient's right on the left"
        content = render(clean, layout, window)
        picture = Picture(f"{name}.webp", content, layout.size, alt, tuple(lines), labels, bar_px)
        note = "0 to 2000 ×10⁻⁶ mm²/s" if title == "ADC" else "own grey scale"
        made.append(Strip(title, picture, note=note))
    for name in ("tmax", "cbf", "cbv", "mtt", "rttp", "k2"):
        image = block(images.get(f"PWI_{name}"))
        if image is None or not layout.fits(image):
            continue
        scale = scale_of(name, image.data[known])
        content = render_colour(image, known, inside, layout, scale)
        alt = f"the same {n} slices of {scale.title} in colour, {scale.unit}"
        made.append(
            Strip(
                scale.title,
                Picture(f"PWI_{name}.webp", content, layout.size, alt, tuple(six), labels, bar_px),
                scale,
            )
        )
    return made


def overview(images: Images) -> Strip | None:
    """Return Tmax on every slice, with its contour at 6 s."""
    found, tmax = _inside(images), block(images.get("PWI_tmax"))
    if found is None or tmax is None or tmax.data.shape != found[0].data.shape:
        return None
    base, inside = found
    valid = _mask(images, "PWI_valid", base.data.shape)
    known = inside if valid is None else inside & valid
    box = bounding_box(inside, base.zooms, (5.0, 5.0, 0.0))
    tiles = tuple(("axial", index) for index in spread(0, box[2].stop - box[2].start - 1, 40))
    layout = Layout(base.data.shape, base.zooms, box, tiles, min(8, len(tiles)), 1.0)
    scale = scale_of("tmax", tmax.data[known])
    line = (("t6", outline(_counted(images, base.data.shape) >= 6.0, layout)),)
    alt = f"{len(tiles)} axial slices of Tmax through the whole brain"
    content = render_colour(tmax, known, inside, layout, scale)
    labels = labels_of(layout, positions=True)
    return Strip("Tmax", Picture("PWI_overview.webp", content, layout.size, alt, line, labels), scale)


def squares(mask: np.ndarray, layout: Layout) -> str:
    """Return the voxels of a mask as squares on a layout's slices, an SVG path."""
    parts = []
    for position, name, piece in layout.pieces(mask):
        left, top = layout.corner(position)
        width, height = layout.tile_size(name)
        across, down = width / piece.shape[1], height / piece.shape[0]
        for row, column in np.argwhere(piece > 0.5):
            corner = f"{left + column * across:.1f} {top + row * down:.1f}"
            parts.append(f"M{corner}h{across:.1f}v{down:.1f}h{-across:.1f}z")
    return "".join(parts)


def vessels(images: Images) -> list[Vessel]:
    """Return the baseline image with the voxels of AIF and VOF, on up to three slices that hold most of each."""
    found, s0 = _inside(images), block(images.get("PWI_s0"))
    if found is None or s0 is None:
        return []
    base, inside = found
    box = bounding_box(inside, base.zooms, (5.0, 5.0, 0.0))
    clean = replace(s0, data=np.nan_to_num(s0.data))
    made = []
    for name, title in (("aif", "AIF"), ("vof", "VOF")):
        mask = _mask(images, f"PWI_{name}", base.data.shape)
        if mask is None or not mask.any():
            continue
        counts = mask[:, :, box[2]].sum(axis=(0, 1))
        fullest = sorted(np.argsort(-counts, kind="stable")[:3])
        tiles = tuple(("axial", int(index)) for index in fullest if counts[index])
        if not tiles:
            continue
        layout = Layout(base.data.shape, base.zooms, box, tiles, len(tiles), 0.6)
        content = render(clean, layout, window_of(clean, inside))
        alt = f"the baseline image of slices with the {int(counts.sum())} voxels of the {title}"
        layers = ((name, squares(mask, layout)),)
        labels = labels_of(layout, positions=True)
        picture = Picture(f"PWI_{name}.webp", content, layout.size, alt, layers, labels, 50.0 / 0.6)
        made.append(Vessel(title, picture))
    return made


def bleeding(images: Images, *, name: str = "PWI_ht", likelihood: Volume | None = None) -> list[Strip]:
    """Return the GRE of J1 with the contour of the HT, and a map of its likelihood on the same slices.

    Parameters
    ----------
    images : mapping
        ``PWI_gre``, ``PWI_ht``, ``PWI_s0``, ``PWI_brain`` and ``PWI_covered``.
    name : str
        Stem of the files.
    likelihood : Volume, optional
        Probabilities on the same grid.
    """
    found, gre = _inside(images), block(images.get("PWI_gre"))
    if found is None:
        return []
    base, inside = found
    shape = base.data.shape
    ht, covered = _mask(images, "PWI_ht", shape), _mask(images, "PWI_covered", shape)
    risk = block(likelihood)
    target = ht
    if (ht is None or not ht.any()) and risk is not None and risk.data.shape == shape:
        target = _highest(risk.data, inside)
    layout = _row(base, inside, target)
    lines: list[tuple[str, str]] = [] if ht is None else [("ht", outline(ht, layout))]
    if covered is not None and not covered[inside].all():
        lines.append(("covered", outline(covered & inside, layout)))
    labels, bar_px = labels_of(layout, positions=True), 50.0 / layout.pixel_mm
    n, made = len(layout.tiles), []
    shown = [(gre, "GRE of J1", f"{n} axial slices of the GRE of J1 with the contour of the HT")]
    if gre is None:
        shown = [(block(images.get("PWI_s0")), "PWI, baseline", f"{n} axial slices of the baseline image")]
    for image, title, alt in shown:
        if image is not None and layout.fits(image):
            clean = replace(image, data=np.nan_to_num(image.data))
            content = render(clean, layout, window_of(clean, inside))
            picture = Picture(f"{name}_gre.webp", content, layout.size, alt, tuple(lines), labels, bar_px)
            made.append(Strip(title, picture, note="own grey scale"))
    if risk is not None and layout.fits(risk):
        scale = Scale("Predicted", "likelihood of HT", "magma", (0.0, 1.0), (0.0, 0.5, 1.0))
        content = render_colour(risk, inside & np.isfinite(risk.data), inside, layout, scale)
        alt = f"the same {n} slices of the predicted likelihood of HT, 0 to 1"
        picture = Picture(f"{name}_likelihood.webp", content, layout.size, alt, tuple(lines), labels, bar_px)
        made.append(Strip(scale.title, picture, scale))
    return made


def _highest(values: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """Return where the upper hundredth of a map lies, so that slices are chosen there."""
    known = inside & np.isfinite(values)
    return known & (values >= np.percentile(values[known], 99)) if known.any() else known


def contour_names(strips: Sequence[Strip]) -> list[str]:
    """Return the contours that are drawn on any of the strips, in order."""
    drawn: Mapping[str, None] = {name: None for s in strips for name, path in s.picture.layers if path}
    return list(drawn)
