"""Originals and reconstructions of held-out patients beside each other, on the fusion study's page."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup
from PIL import Image
from safetensors.numpy import load_file

from reperfuse.reporting.figures import Picture
from reperfuse.reporting.fusion_view import ALL, WITH_SKIPS, FusionView, contrast
from reperfuse.reporting.pages import fragment, is_page_name, number, to_float
from reperfuse.reporting.slices import AGAINST, FOR, GAP_PX, Block, Layout, mosaic, resized, webp
from reperfuse.reporting.study_saliency import Cases
from reperfuse.reporting.study_view import StudyView
from reperfuse.studies.fusion.names import parse

# Configuration → participant → contrast → `original`, `reconstructed`; axes superior, anterior, left.
Shown = Mapping[str, Mapping[str, Mapping[str, Mapping[str, np.ndarray]]]]
COLUMNS, PIXEL_MM = 7, 1.3
# What fills less of the brain than this share is looked for; below this value nothing is seen.
SPARSE, LEAST = 0.3, 0.1
# Differences of this size are drawn in the strongest colour.
STRONGEST = 0.3
RANKS = ("least error", "median error", "largest error")


def read_shown(paths: Iterable[Path]) -> dict[str, dict[str, dict[str, dict[str, np.ndarray]]]]:
    """Return what models have left to be shown; empty markers are passed over.

    Parameters
    ----------
    paths : iterable of Path
        ``<model>/shown.safetensors``, whose tensors are named ``sub-X/<contrast>/<original or reconstructed>``.
    """
    found: dict[str, dict[str, dict[str, dict[str, np.ndarray]]]] = {}
    for path in paths:
        if path.is_file() and path.stat().st_size:
            mine = found.setdefault(parse(path.parent.name).system.name, {})
            for name, array in load_file(path).items():
                who, which, what = name.split("/")
                mine.setdefault(who, {}).setdefault(which, {})[what] = array.astype(np.float32)
    return found


def chosen(view: FusionView, known: Iterable[str]) -> list[tuple[str, str]]:
    """Return whose reconstructions are shown, and why: least, median and largest error of those there are."""
    errors = {
        row["participant_id"]: mse
        for row in view.metrics_by_subject
        if (row["configuration"], row["target"]) == (view.chief, ALL)
        and (mse := to_float(row["mse"])) is not None
    }
    there = sorted((who for who in known if who in errors), key=lambda who: (errors[who], who))
    if not there:
        return []
    middle = sorted(errors.values())[len(errors) // 2]
    median = min(there[1:-1] or there, key=lambda who: abs(errors[who] - middle))
    found = dict(zip((there[0], median, there[-1]), RANKS, strict=True))
    return list(found.items())


class Triptychs(Cases):
    """The pictures of reconstructions, written to ``<results>/<study>/reconstructions``; see `Cases`."""

    name = "reconstructions"

    def __init__(self, results: Path, study: str, view: StudyView, mapped: Mapping[str, Any]) -> None:
        super().__init__(results, study, view, {})
        self.shown: Shown = mapped

    def html(self) -> Markup:
        """Write the pictures and return their part of the page; pictures of an earlier run are removed."""
        self.clear()
        if not isinstance(self.view, FusionView):
            return Markup("")
        mine = self.shown.get(self.view.chief, {})
        cases = [self._drawn(self.view, who, rank) for who, rank in chosen(self.view, mine)]
        return fragment("study_triptychs.html.j2", cases=cases, stamps=self.view.stamps, strongest=STRONGEST)

    def _drawn(self, view: FusionView, who: str, rank: str) -> dict[str, Any]:
        around = self.shown.get(view.chief + WITH_SKIPS, {}).get(who, {})
        measured = {
            row["target"]: row
            for row in view.metrics_by_subject
            if (row["participant_id"], row["configuration"]) == (who, view.chief)
        }
        pictures = []
        mine = self.shown[view.chief][who]
        for name in (one for one in view.chief_contrasts if one in mine):
            images = mine[name]
            with_skips = around.get(name, {}).get("reconstructed")
            picture = triptych(
                f"{who}_{name}", images, with_skips, view.summary.get("spacing_mm") or (1, 1, 1)
            )
            row = measured.get(name, {})
            said = f"MSE {number(row.get('mse'), 4)}, R² {number(row.get('r2'), 2)}"
            pictures.append({"title": contrast(name), "note": said, "item": self.put(picture)})
        return {
            "who": who,
            "href": f"{who}.html" if is_page_name(who) else "",
            "rank": rank,
            "fold": measured.get(ALL, {}).get("fold", ""),
            "pictures": pictures,
        }


def triptych(
    name: str, images: Mapping[str, np.ndarray], with_skips: np.ndarray | None, spacing_mm: Sequence[float]
) -> Picture:
    """Draw an original, its reconstruction, the difference, and if it is there the reconstruction with skips.

    Parameters
    ----------
    name : str
        Stem of the file.
    images : mapping
        ``original`` and ``reconstructed``, (S, R, L), axes superior, anterior, left, values from 0 to 1.
    with_skips : ndarray or None
        Reconstruction of another model.
    spacing_mm : sequence of float
        Along the axes.
    """
    original, made = _block(images["original"], spacing_mm), _block(images["reconstructed"], spacing_mm)
    # Reconstructions fill the brain, a lesion mask does not.
    inside = (original.data != 0) | (made.data != 0)
    filled = original.data > LEAST
    target = filled if filled.sum() < SPARSE * inside.sum() else None
    layout = mosaic(original, inside, target, count=COLUMNS, columns=COLUMNS, pixel_mm=PIXEL_MM)
    rows = [
        ("original", _grey(original, layout)),
        ("embedding alone", _grey(made, layout)),
        ("difference", _signed(made.data - original.data, layout)),
    ]
    if with_skips is not None:
        rows.append(("with skips", _grey(_block(with_skips, spacing_mm), layout)))
    width, height = layout.size
    canvas = Image.new("RGB", (width, height * len(rows) + GAP_PX * (len(rows) - 1)))
    labels: list[tuple[float, float, str]] = []
    for place, (title, row) in enumerate(rows):
        top = place * (height + GAP_PX)
        canvas.paste(row, (0, top))
        labels += [
            (4, top + 14, title),
            *((x, top + height - 5, side) for x, side in ((4, "R"), (layout.cell[0] - 16, "L"))),
        ]
    said = "original, decoded from the embedding alone, and their difference in colour"
    said += ", and decoded with skips" if with_skips is not None else ""
    alt = f"{len(layout.tiles)} axial slices of a held-out patient in each row: {said}; patient's right on the left"
    return Picture(f"{name}.webp", webp(canvas), canvas.size, alt, (), tuple(labels), 50.0 / PIXEL_MM)


def _block(data: np.ndarray, spacing_mm: Sequence[float]) -> Block:
    s, r, c = map(float, spacing_mm)
    turned = np.nan_to_num(np.asarray(data, dtype=np.float32)).transpose(2, 1, 0)[::-1]
    return Block(np.ascontiguousarray(turned), (c, r, s))


def _grey(image: Block, layout: Layout) -> Image.Image:
    canvas = Image.new("L", layout.size, 0)
    for position, name, piece in layout.pieces(image.data):
        grey = np.clip(resized(piece, layout.tile_size(name)), 0.0, 1.0)
        canvas.paste(Image.fromarray((255.0 * grey + 0.5).astype(np.uint8)), layout.corner(position))
    return canvas.convert("RGB")


def _signed(field: np.ndarray, layout: Layout) -> Image.Image:
    canvas = Image.new("RGB", layout.size, (0, 0, 0))
    for position, name, piece in layout.pieces(field):
        strength = np.clip(resized(piece, layout.tile_size(name)) / STRONGEST, -1.0, 1.0)[..., None]
        colour = np.where(strength > 0, np.array(FOR), np.array(AGAINST))
        canvas.paste(
            Image.fromarray((np.abs(strength) * colour + 0.5).astype(np.uint8)), layout.corner(position)
        )
    return canvas
