"""The tables of voxels that the folds have written, read back."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from reperfuse.evaluation.inputs import Floats
from reperfuse.evaluation.voxels import Voxels

KEYS = ("participant_id", "x", "y", "z", "set", "y_true")
BALANCED, DENSE = "balanced", "dense"
FOLD = re.compile(r"fold-(\d+)$")


@dataclass(frozen=True)
class Predicted:
    """One set of voxels with every configuration's scores.

    Attributes
    ----------
    patients : tuple of str
        Sorted.
    fold : tuple of int
        Of each patient.
    owner : array of int, shape (n,)
        Index into ``patients``.
    xyz : array of int, shape (n, 3)
        On the PWI grid.
    y : array of int, shape (n,)
    scores : mapping
        Configuration → float32 (n,), NaN where it did not predict; those that predict nothing are absent.
    """

    patients: tuple[str, ...]
    fold: tuple[int, ...]
    owner: npt.NDArray[np.intp]
    xyz: npt.NDArray[np.int16]
    y: npt.NDArray[np.int8]
    scores: Mapping[str, npt.NDArray[np.float32]]

    def voxels(self, configuration: str) -> Voxels:
        """Return the voxels that a configuration predicts."""
        score = self.scores[configuration]
        there = np.isfinite(score)
        values: Floats = score.astype(np.float64)
        if there.all():
            return Voxels(self.y, values, self.owner, self.patients, self.fold)
        return Voxels(self.y[there], values[there], self.owner[there], self.patients, self.fold)

    def of(self, index: int) -> npt.NDArray[np.intp]:
        """Return the rows of one patient."""
        return np.flatnonzero(self.owner == index)


def read_predicted(paths: Iterable[str | Path]) -> dict[str, Predicted]:
    """Read ``fold-<k>.parquet`` of every fold; an empty file stands for a fold that could not be made.

    Returns
    -------
    dict
        ``balanced`` and ``dense``, each there also without voxels.
    """
    whole = sorted((p for p in map(Path, paths) if p.stat().st_size), key=lambda p: (_fold(p), p.name))
    tables = [(pq.read_table(path), _fold(path)) for path in whole]
    return {name: _one(tables, name) for name in (BALANCED, DENSE)}


def _fold(path: Path) -> int:
    found = FOLD.search(path.stem)
    return int(found[1]) if found else 0


def _one(tables: list[tuple[pa.Table, int]], name: str) -> Predicted:
    parts = [(table.filter(pc.equal(table.column("set"), name)), fold) for table, fold in tables]
    # Names are counted once per table: there are millions of rows.
    coded = [part.column("participant_id").combine_chunks().dictionary_encode() for part, _ in parts]
    folds: dict[str, int] = {}
    for one, (_, fold) in zip(coded, parts, strict=True):
        folds.update(dict.fromkeys(one.dictionary.to_pylist(), fold))
    patients = tuple(sorted(folds))
    place = {who: index for index, who in enumerate(patients)}
    owner = [
        np.array([place[who] for who in one.dictionary.to_pylist()], dtype=np.intp)[one.indices.to_numpy()]
        for one in coded
    ]

    def joined(key: str, kind: type) -> np.ndarray:
        found = [_column(part, key) for part, _ in parts]
        return np.concatenate([one.astype(kind) for one in found]) if found else np.empty(0, dtype=kind)

    names = dict.fromkeys(key for part, _ in parts for key in part.column_names if key not in KEYS)
    scores = {key: joined(key, np.float32) for key in names}
    return Predicted(
        patients,
        tuple(folds[one] for one in patients),
        np.concatenate(owner) if owner else np.empty(0, dtype=np.intp),
        np.stack([joined(axis, np.int16) for axis in "xyz"], axis=1),
        joined("y_true", np.int8),
        {key: score for key, score in scores.items() if np.isfinite(score).any()},
    )


def _column(part: pa.Table, key: str) -> np.ndarray:
    """Return a column, NaN where there is nothing."""
    if key not in part.column_names:
        return np.full(part.num_rows, np.nan)
    return np.asarray(part.column(key).to_numpy())
