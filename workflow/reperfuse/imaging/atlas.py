"""Atlases of territories, lobes or ASPECTS regions: which part of a lesion lies in which region."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from reperfuse.core.errors import Fault, Refusal
from reperfuse.imaging.grids import points_mm
from reperfuse.imaging.reader import read_volume
from reperfuse.imaging.volume import Volume

INDEX_COLUMNS = ("index", "label", "number", "id", "value", "key", "no")
NAME_COLUMNS = ("name", "abbreviation", "structure", "region", "label_name", "description", "long_name")
# A region whose centre is nearer to the midline than half its spread lies across it; for a one-sided box that
# touches the midline it is 1.7 spreads away.
ACROSS_MIDLINE = 0.5


@dataclass(frozen=True)
class Region:
    """One label of an atlas: its name, the side it lies on (left, right, both) and its volume in ml."""

    name: str
    side: str
    volume_ml: float


@dataclass(frozen=True)
class Atlas:
    """A label image and what its numbers mean.

    Parameters
    ----------
    labels : Volume of int32
        0 is outside every region.
    regions : mapping of int to Region
        In ascending order of the number. Numbers decide; names are for reading.
    """

    labels: Volume
    regions: Mapping[int, Region]


def read_atlas(image_path: str | Path, labels_path: str | Path) -> tuple[Atlas, list[Fault]]:
    """Read a label image and its table.

    Parameters
    ----------
    image_path : path
        NIfTI image of whole numbers.
    labels_path : path
        See `read_labels`.

    Raises
    ------
    Refusal
        E146 where the image holds no labels; E130 where the table cannot be read; those of the reader.
    """
    volume, faults = read_volume(image_path)
    names = read_labels(labels_path)
    atlas, found = make_atlas(volume, names, path=Path(image_path).name)
    return atlas, [*faults, *found]


def read_atlases(files: Mapping[str, Mapping[str, str]]) -> tuple[dict[str, Atlas], list[Fault]]:
    """Read the configured atlases, name → ``image`` and ``labels``; one that cannot be read is left out."""
    atlases: dict[str, Atlas] = {}
    faults: list[Fault] = []
    for name, one in files.items():
        try:
            atlases[name], found = read_atlas(one["image"], one["labels"])
            faults += found
        except Refusal as refusal:
            faults.append(refusal.fault)
    return atlases, faults


def make_atlas(volume: Volume, names: Mapping[int, Sequence[str]], *, path: str) -> tuple[Atlas, list[Fault]]:
    """Join a label image with its names; the side of a region is where its voxels lie, not what it is called.

    Parameters
    ----------
    volume : Volume
        Whole numbers, in a space whose midline is x = 0.
    names : mapping of int to sequence of str
        Every text that the table gives to a number. The first column whose texts all differ names regions.
    path : str
        The image, for the findings.
    """
    data = np.asarray(volume.data)
    whole = np.rint(data)
    if (
        data.ndim != 3
        or not np.all(np.isfinite(data))
        or np.any(np.abs(data - whole) > 1e-3)
        or not data.any()
    ):
        odd = np.unique(data[np.abs(data - whole) > 1e-3])[:3]
        raise Refusal("E146", path=path, values=", ".join(f"{v:g}" for v in odd) or f"shape {data.shape}")
    labels = Volume(whole.astype(np.int32), volume.affine)
    where = _positions(labels)
    chosen = _unique_names(names)
    regions = {
        number: Region(chosen.get(number, str(number)), _side_of(x), len(x) * labels.voxel_ml)
        for number, x in where.items()
    }
    return Atlas(labels, regions), [*_unmatched(where, names, path), *_contradictions(regions, names, path)]


def _positions(labels: Volume) -> dict[int, np.ndarray]:
    """Return label → RAS x of its voxels in mm."""
    inside = labels.data > 0
    x = points_mm(labels, inside)[:, 0]
    numbers = labels.data[inside]
    order = np.argsort(numbers, kind="stable")
    found, starts = np.unique(numbers[order], return_index=True)
    return dict(zip(found.tolist(), np.split(x[order], starts[1:]), strict=True))


def _side_of(x: np.ndarray) -> str:
    centre, spread = float(x.mean()), float(x.std())
    if abs(centre) <= ACROSS_MIDLINE * spread or centre == 0:
        return "both"
    return "left" if centre < 0 else "right"


def _unique_names(names: Mapping[int, Sequence[str]]) -> dict[int, str]:
    width = min((len(texts) for texts in names.values()), default=0)
    for column in range(width):
        texts = {number: row[column] for number, row in names.items()}
        if len(set(texts.values())) == len(texts):
            return texts
    return {number: f"{row[0]} ({number})" for number, row in names.items() if row}


def _unmatched(where: Mapping[int, Any], names: Mapping[int, Any], path: str) -> list[Fault]:
    nameless, empty = sorted(set(where) - set(names)), sorted(set(names) - set(where))
    if not nameless and not empty:
        return []
    return [Fault("W147", path, {"nameless": _numbers(nameless), "empty": _numbers(empty)})]


def _numbers(numbers: Sequence[int]) -> str:
    shown = ", ".join(map(str, numbers[:10]))
    return (shown + (", …" if len(numbers) > 10 else "")) or "none"


def _contradictions(
    regions: Mapping[int, Region], names: Mapping[int, Sequence[str]], path: str
) -> list[Fault]:
    capitals = [row[0] for row in names.values() if row and re.fullmatch(r"[A-Z0-9]+", row[0])]
    # A last letter L or R means a side only in a table that writes nearly all its names so.
    by_letter = sum(text[-1] in "LR" for text in capitals) >= 0.8 * max(len(names), 1)
    wrong = [
        f"{number} {text} lies {region.side}"
        for number, region in regions.items()
        for text in names.get(number, ())
        if region.side != "both" and side_in_name(text, last_letter=by_letter) not in (None, region.side)
    ]
    return [Fault("W146", path, {"names": "; ".join(wrong)})] if wrong else []


def side_in_name(name: str, *, last_letter: bool) -> str | None:
    """Return the side that a region's name states, if any.

    Parameters
    ----------
    name : str
        Such as ``Left-Thalamus``, ``lh_insula``, ``MCA_R``, ``basilar left``.
    last_letter : bool
        Whether the last letter of a name in capitals (``ACAL``) means a side.
    """
    words = set(re.split(r"[^A-Za-z]+", name))
    lower = {word.lower() for word in words}
    left, right = bool(lower & {"left", "lh"} or "L" in words), bool(lower & {"right", "rh"} or "R" in words)
    if left != right:
        return "left" if left else "right"
    if last_letter and not left and re.fullmatch(r"[A-Z0-9]+[LR]", name):
        return "left" if name.endswith("L") else "right"
    return None


def read_labels(path: str | Path) -> dict[int, tuple[str, ...]]:
    """Read the names of an atlas's labels: number → every text of its row, in the order of the columns.

    Understood are tables with ``|``, tab, comma or blanks between the cells, with or without a header: the
    arterial atlas's ``1|ACAL|anterior cerebral artery left|1``, BIDS's ``index  name``, colour tables
    ``1 name R G B A``. Without a header the first cell is the number and every cell that is not a number is a
    name. Label 0 is left out.

    Raises
    ------
    Refusal
        E130 with the line, where a row has no whole number or no name, or a number comes twice.
    """
    path = Path(path)
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise Refusal("E130", path=path.name, line=0, column=0, problem=str(error.strerror)) from error
    except UnicodeDecodeError as error:
        raise Refusal("E130", path=path.name, line=0, column=0, problem="the text is not UTF-8") from error
    lines = [
        (n, line) for n, line in enumerate(text.splitlines(), 1) if line.strip() and line.strip()[0] != "#"
    ]
    if not lines:
        raise Refusal("E130", path=path.name, line=0, column=0, problem="there is no row")
    separator = next((mark for mark in "|\t," if mark in lines[0][1]), None)
    rows = [(n, [cell.strip() for cell in line.strip().split(separator)]) for n, line in lines]
    columns: tuple[int, list[int]] | None = None
    if not _is_whole(rows[0][1][0]):
        columns = _header(rows[0][1], path.name)
        rows = rows[1:]
    names: dict[int, tuple[str, ...]] = {}
    for line, cells in rows:
        number, texts = _row(cells, columns)
        problem = "no whole number" if number is None else "no name" if not texts else ""
        if not problem and number in names:
            problem = f"the label {number} comes twice"
        if problem:
            raise Refusal("E130", path=path.name, line=line, column=1, problem=problem)
        names[int(number or 0)] = texts
    names.pop(0, None)
    return names


def _header(cells: Sequence[str], path: str) -> tuple[int, list[int]]:
    lower = [cell.lower() for cell in cells]
    index = next((lower.index(name) for name in INDEX_COLUMNS if name in lower), None)
    texts = [lower.index(name) for name in NAME_COLUMNS if name in lower]
    if index is None or not texts:
        problem = f"the columns are {', '.join(cells)}, and `index` and `name` are needed"
        raise Refusal("E130", path=path, line=1, column=1, problem=problem)
    return index, texts


def _row(cells: Sequence[str], columns: tuple[int, list[int]] | None) -> tuple[int | None, tuple[str, ...]]:
    index, texts = columns or (0, [k for k, cell in enumerate(cells) if k > 0 and not _is_number(cell)])
    number = int(cells[index]) if index < len(cells) and _is_whole(cells[index]) else None
    return number, tuple(cells[k] for k in texts if k < len(cells) and cells[k])


def _is_whole(text: str) -> bool:
    return re.fullmatch(r"\d+", text) is not None


def _is_number(text: str) -> bool:
    return re.fullmatch(r"[-+]?\d*\.?\d+", text) is not None


def loads(mask: Volume, atlas: Atlas) -> list[dict[str, Any]]:
    """Return how much of a lesion lies in each region; mask and atlas are in one space, on any two grids.

    Each lesion voxel takes the label of the atlas voxel that its centre falls into, by world coordinates: a
    flipped or oblique affine on either side makes no difference. Columns: see `loads_on_grid`.
    """
    index = _into(atlas.labels, points_mm(mask, mask.data))
    index = np.floor(index + 0.5 + 1e-6).astype(
        np.int64
    )  # the nearest voxel, ties upwards whatever the rounding
    shape = np.asarray(atlas.labels.data.shape)
    index = index[np.all((index >= 0) & (index < shape), axis=1)]
    return _rows(atlas.labels.data[tuple(index.T)], mask.voxel_ml, atlas.regions)


def _into(volume: Volume, points: np.ndarray) -> np.ndarray:
    inverse = np.linalg.inv(volume.affine)
    return points @ inverse[:3, :3].T + inverse[:3, 3]


def loads_on_grid(
    mask: np.ndarray, labels: np.ndarray, regions: Mapping[int, Region], voxel_ml: float
) -> list[dict[str, Any]]:
    """Return how much of a lesion lies in each region of labels that are on its own grid.

    This is the way for labels that someone has brought to the native grid; `make_atlas` gives their regions.

    Returns
    -------
    list of dict
        ``label``, ``name``, ``side``, ``volume_ml``, ``percent_of_region``; every region has a row.
    """
    if mask.shape != labels.shape:
        raise ValueError(f"mask {mask.shape} and labels {labels.shape} are not on one grid")
    return _rows(labels[mask], voxel_ml, regions)


def _rows(hit: np.ndarray, voxel_ml: float, regions: Mapping[int, Region]) -> list[dict[str, Any]]:
    counts = np.bincount(hit.astype(np.int64), minlength=max(regions, default=0) + 1)
    rows = []
    for number, region in regions.items():
        volume_ml = float(counts[number] * voxel_ml)
        # Two grids can count a filled region a little differently; more than all of it cannot be hit.
        percent = min(100.0, 100.0 * volume_ml / region.volume_ml)
        rows.append(
            {"label": number, "name": region.name, "side": region.side}
            | {"volume_ml": volume_ml, "percent_of_region": percent}
        )
    return rows
