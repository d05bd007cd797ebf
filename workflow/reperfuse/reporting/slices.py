"""Slices of an image laid out as a radiologist reads them: right of the patient on the left of the page."""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import permutations, product

import numpy as np
from contourpy import contour_generator
from PIL import Image

from reperfuse.imaging.volume import Volume

# Noise outside the head compresses badly: such a picture is stored more coarsely to stay within the budget.
WEBP_QUALITIES = (84, 70, 55, 40, 25)
MOST_BYTES = 140_000
GAP_PX = 2
# A signed field over grey: hues that the colour-blind tell apart, with anatomy still seen through the strongest.
FOR, AGAINST = (255.0, 140.0, 0.0), (40.0, 120.0, 255.0)
MOST_COLOUR = 0.7


@dataclass(frozen=True)
class Block:
    """A 3-D array whose axes run to the right, anterior and superior; zooms in mm."""

    data: np.ndarray
    zooms: tuple[float, float, float]


def block(volume: Volume | None) -> Block | None:
    """Turn an image so that its axes come closest to right, anterior and superior; no resampling."""
    if volume is None or volume.data.ndim < 3 or 0 in volume.data.shape:
        return None
    data = volume.data if volume.data.ndim == 3 else volume.data.mean(axis=tuple(range(3, volume.data.ndim)))
    cosines = volume.affine[:3, :3] / np.array(volume.zooms)
    # Over all orders, because two axes of an oblique image can be closest to the same direction.
    order = max(permutations(range(3)), key=lambda axes: sum(abs(cosines[w, a]) for w, a in enumerate(axes)))
    data = data.transpose(order)
    flips = tuple(slice(None, None, -1 if cosines[w, a] < 0 else 1) for w, a in enumerate(order))
    zooms = volume.zooms
    return Block(data[flips], (zooms[order[0]], zooms[order[1]], zooms[order[2]]))


def plane(data: np.ndarray, name: str, index: int) -> np.ndarray:
    """Return one slice as rows from the top: superior or anterior up, patient's right or anterior left."""
    if name == "axial":
        return data[::-1, ::-1, index].T
    if name == "coronal":
        return data[::-1, index, ::-1].T
    return data[index, ::-1, ::-1].T


_PLANE_AXES = {"axial": (0, 1), "coronal": (0, 2), "sagittal": (1, 2)}


@dataclass(frozen=True)
class Layout:
    """Which slices are shown where: the same for every image on one grid.

    Parameters
    ----------
    shape, zooms : tuple
        The grid, right-anterior-superior, and its voxel size in mm.
    box : tuple of slice
        The part of the grid that is shown.
    tiles : tuple of (str, int)
        Plane and index within the box, row by row.
    columns : int
        Tiles per row.
    pixel_mm : float
        Millimetres per pixel of the canvas.
    """

    shape: tuple[int, ...]
    zooms: tuple[float, float, float]
    box: tuple[slice, slice, slice]
    tiles: tuple[tuple[str, int], ...]
    columns: int
    pixel_mm: float

    def fits(self, image: Block | None) -> bool:
        """Whether an image lies on this grid."""
        return image is not None and image.data.shape == self.shape

    def tile_size(self, name: str) -> tuple[int, int]:
        """Width and height of a slice in pixels."""
        across, up = _PLANE_AXES[name]
        extent = [(part.stop - part.start) * zoom for part, zoom in zip(self.box, self.zooms, strict=True)]
        return max(1, round(extent[across] / self.pixel_mm)), max(1, round(extent[up] / self.pixel_mm))

    @property
    def cell(self) -> tuple[int, int]:
        """Width and height of a tile with its gap, in pixels."""
        sizes = [self.tile_size(name) for name, _ in self.tiles]
        return max(w for w, _ in sizes) + GAP_PX, max(h for _, h in sizes) + GAP_PX

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the canvas in pixels."""
        width, height = self.cell
        return width * self.columns, height * -(-len(self.tiles) // self.columns)

    def corner(self, position: int) -> tuple[int, int]:
        """Left and top of a slice on the canvas."""
        width, height = self.cell
        own = self.tile_size(self.tiles[position][0])
        row, column = divmod(position, self.columns)
        return column * width + (width - own[0]) // 2, row * height + (height - own[1]) // 2

    def pieces(self, data: np.ndarray) -> Iterable[tuple[int, str, np.ndarray]]:
        """Yield position, plane and slice of each tile, in voxels."""
        cropped = data[self.box]
        for position, (name, index) in enumerate(self.tiles):
            yield position, name, plane(cropped, name, index)


def bounding_box(
    mask: np.ndarray, zooms: Sequence[float], margin_mm: Sequence[float]
) -> tuple[slice, slice, slice]:
    """Return the box of a mask with a margin per axis; the whole grid where the mask is empty."""
    parts = []
    for axis in range(3):
        others = tuple(other for other in range(3) if other != axis)
        inside = np.flatnonzero(mask.any(axis=others))
        margin = int(np.ceil(margin_mm[axis] / zooms[axis]))
        low = max(0, int(inside[0]) - margin) if inside.size else 0
        high = min(mask.shape[axis], int(inside[-1]) + 1 + margin) if inside.size else mask.shape[axis]
        parts.append(slice(low, high))
    return parts[0], parts[1], parts[2]


def spread(low: int, high: int, count: int, keep: int | None = None) -> list[int]:
    """Return up to ``count`` indices evenly from ``low`` to ``high``, one of them ``keep``."""
    chosen = np.unique(np.round(np.linspace(low, high, min(count, high - low + 1))).astype(int))
    if keep is not None and low <= keep <= high:
        chosen[np.abs(chosen - keep).argmin()] = keep
    return sorted({int(index) for index in chosen})


def mosaic(
    image: Block, inside: np.ndarray, target: np.ndarray | None, *, count: int, columns: int, pixel_mm: float
) -> Layout:
    """Choose axial slices of a brain, around a target where there is one.

    Parameters
    ----------
    image : Block
        Its grid.
    inside, target : ndarray of bool
        Brain, and what must be seen.
    count, columns : int
        Most slices, and how many stand in a row.
    pixel_mm : float
        Millimetres per pixel of the canvas.
    """
    box = bounding_box(inside, image.zooms, (5.0, 5.0, 0.0))
    depth = box[2].stop - box[2].start
    filled = np.flatnonzero(inside[:, :, box[2]].any(axis=(0, 1)))
    low, high = (int(filled[0]), int(filled[-1])) if filled.size else (0, depth - 1)
    # The lowest and highest slices of a brain hold little to judge.
    trimmed = low + round(0.12 * (high - low)), high - round(0.06 * (high - low))
    keep = None
    area = np.zeros(1) if target is None else target[:, :, box[2]].sum(axis=(0, 1))
    if area.any():
        touched = np.flatnonzero(area)
        keep = int(area.argmax())
        # At least 64 mm, so that a small lesion is seen in its surroundings.
        half = max((touched[-1] - touched[0]) / 2, 32.0 / image.zooms[2], 4.0)
        centre = min(max((touched[-1] + touched[0]) / 2, low + half), high - half)
        trimmed = max(low, round(float(centre - half))), min(high, round(float(centre + half)))
        keep = min(max(keep, trimmed[0]), trimmed[1])
    tiles = tuple(("axial", index) for index in spread(*trimmed, count, keep))
    return Layout(image.data.shape, image.zooms, box, tiles, min(columns, len(tiles)), pixel_mm)


def render(image: Block, layout: Layout, window: tuple[float, float]) -> bytes:
    """Return the slices as a grey WebP; values at the window's ends are black and white."""
    low, high = window
    canvas = Image.new("L", layout.size, 0)
    for position, name, piece in layout.pieces(image.data):
        grey = np.nan_to_num((piece.astype(np.float32) - low) / max(high - low, 1e-6))
        scaled = resized(grey, layout.tile_size(name))
        levels = (np.clip(scaled, 0.0, 1.0) * 255.0 + 0.5).astype(np.uint8)
        canvas.paste(Image.fromarray(levels), layout.corner(position))
    return webp(canvas)


def render_signed(
    image: Block, field: Block, layout: Layout, window: tuple[float, float], limit: float
) -> bytes:
    """Return the slices in grey with a signed field over them: orange above 0, blue below, none at 0.

    Parameters
    ----------
    image, field : Block
        On the layout's grid.
    window : (float, float)
        Values of the image that are black and white.
    limit : float
        Size of the field from which on the colour is strongest.
    """
    low, high = window
    canvas = Image.new("RGB", layout.size, (0, 0, 0))
    pieces = zip(layout.pieces(image.data), layout.pieces(field.data), strict=True)
    for (position, name, grey), (_, _, signed) in pieces:
        size = layout.tile_size(name)
        anatomy = resized(np.nan_to_num((grey - low) / max(high - low, 1e-6)), size)[..., None]
        strength = np.clip(resized(signed / max(limit, 1e-12), size), -1.0, 1.0)[..., None]
        colour = np.where(strength > 0, np.array(FOR), np.array(AGAINST))
        share = MOST_COLOUR * np.abs(strength)
        mixed = (1 - share) * 255.0 * np.clip(anatomy, 0.0, 1.0) + share * colour
        canvas.paste(Image.fromarray((mixed + 0.5).astype(np.uint8)), layout.corner(position))
    return webp(canvas)


def resized(piece: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Return a slice at another size, interpolated; width and height in pixels."""
    values = Image.fromarray(np.ascontiguousarray(piece, dtype=np.float32))
    return np.asarray(values.resize(size, Image.Resampling.BICUBIC))


def webp(canvas: Image.Image) -> bytes:
    """Return a canvas as WebP, as fine as the budget allows."""
    content = b""
    for quality in WEBP_QUALITIES:
        stream = io.BytesIO()
        canvas.save(stream, format="WEBP", quality=quality, method=4)
        content = stream.getvalue()
        if len(content) <= MOST_BYTES:
            break
    return content


def outline(field: np.ndarray, layout: Layout, *, level: float = 0.5, shortest: int = 0) -> str:
    """Return the contour of a field on a layout's slices as an SVG path; empty where there is none.

    Parameters
    ----------
    field : ndarray
        Right-anterior-superior, on the layout's grid; a mask, or values of which ``level`` is drawn.
    level : float
        Value on the line.
    shortest : int
        Lines of fewer points are left out.
    """
    parts = []
    for position, name, piece in layout.pieces(field):
        # A frame of nothing closes the lines that reach the edge of what is shown.
        framed = np.pad(piece.astype(np.float32), 1)
        if framed.max() <= level:
            continue
        left, top = layout.corner(position)
        width, height = layout.tile_size(name)
        scale = np.array([width / piece.shape[1], height / piece.shape[0]])
        for line in map(np.asarray, contour_generator(z=framed).lines(level)):
            if len(line) < shortest:
                continue
            points = (line - 0.5) * scale + (left, top)
            text = "L".join(f"{x:.1f} {y:.1f}" for x, y in points[:-1])
            parts.append(f"M{text}Z")
    return "".join(parts)


def smooth(data: np.ndarray) -> np.ndarray:
    """Return the in-plane mean of 3 × 3 voxels, so that a drawn edge follows anatomy and not noise."""
    padded = np.pad(data.astype(np.float32), ((1, 1), (1, 1), (0, 0)), mode="edge")
    nx, ny = data.shape[:2]
    shifted = [padded[i : i + nx, j : j + ny] for i, j in product(range(3), range(3))]
    return np.asarray(np.mean(shifted, axis=0))
