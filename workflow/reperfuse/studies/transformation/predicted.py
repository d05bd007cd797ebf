"""The tables of voxels that the folds have written, read back."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
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


def _one(tables: list, name: str) -> Predicted:
    parts, folds = [], {}
    for table, fold in tables:
        chosen = np.asarray(table.column("set").to_numpy(zero_copy_only=False)) == name
        part = {key: table.column(key).to_numpy(zero_copy_only=False)[chosen] for key in table.column_names}
        folds.update(dict.fromkeys(np.unique(part["participant_id"]).tolist(), fold))
        parts.append(part)
    patients = tuple(sorted(folds))
    names = list(dict.fromkeys(key for part in parts for key in part if key not in KEYS))

    def joined(key: str, kind: type) -> np.ndarray:
        found = [
            part[key].astype(kind) if key in part else np.full(len(part["y_true"]), np.nan) for part in parts
        ]
        return np.concatenate(found).astype(kind) if found else np.empty(0, dtype=kind)

    scores = {key: joined(key, np.float32) for key in names}
    return Predicted(
        patients,
        tuple(folds[one] for one in patients),
        np.searchsorted(np.array(patients, dtype=str), joined("participant_id", str)).astype(np.intp),
        np.stack([joined(axis, np.int16) for axis in "xyz"], axis=1),
        joined("y_true", np.int8),
        {key: score for key, score in scores.items() if np.isfinite(score).any()},
    )
