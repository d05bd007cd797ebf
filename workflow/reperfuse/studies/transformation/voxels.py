"""The table of a fold's voxels: one parquet file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from reperfuse.core.files import atomic

Array = np.ndarray


@dataclass(frozen=True)
class Rows:
    """Voxels of one patient.

    Parameters
    ----------
    participant_id : str
    at : ndarray of int
        (n, 3) on the PWI grid.
    kind : {"balanced", "dense"}
    y : ndarray of int
        (n,)
    scores : mapping
        Configuration → (n,) probabilities.
    """

    participant_id: str
    at: Array
    kind: str
    y: Array
    scores: Mapping[str, Array]


def write_voxels(path: str | Path, rows: Sequence[Rows], configurations: Sequence[str]) -> None:
    """Write the table; a configuration that did not predict a voxel is null there.

    Parameters
    ----------
    path : path
    rows : sequence of Rows
    configurations : sequence of str
        Columns after participant_id, x, y, z, set and y_true.
    """
    kinds: dict[str, list[pa.Array]] = {}
    for one in rows:
        n = len(one.y)
        parts = {
            "participant_id": pa.array([one.participant_id] * n, pa.string()),
            **{axis: pa.array(one.at[:, i].astype(np.int16)) for i, axis in enumerate("xyz")},
            "set": pa.array([one.kind] * n, pa.string()),
            "y_true": pa.array(one.y.astype(np.int8)),
        }
        for name in configurations:
            found = one.scores.get(name)
            parts[name] = pa.nulls(n, pa.float32()) if found is None else pa.array(found.astype(np.float32))
        for name, part in parts.items():
            kinds.setdefault(name, []).append(part)
    table = pa.table(
        {name: pa.chunked_array(kinds.get(name, []), kind) for name, kind in _columns(configurations)}
    )
    with atomic(path) as partial:
        pq.write_table(table, partial, compression="zstd")


def _columns(configurations: Sequence[str]) -> list[tuple[str, pa.DataType]]:
    fixed = [("participant_id", pa.string()), *((axis, pa.int16()) for axis in "xyz")]
    fixed += [("set", pa.string()), ("y_true", pa.int8())]
    return [*fixed, *((name, pa.float32()) for name in configurations)]
