"""Tables of voxels as the folds write them, and what records and images say beside them, with known truth."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from reperfuse.core.settings import load_schema, resolve_section
from reperfuse.imaging.volume import Volume, write_volume

ROOT = Path(__file__).resolve().parents[3]
SECTION = resolve_section({}, load_schema(ROOT / "workflow/schemas", "transformation"))
PRIMARY, COMPARATOR = "lstm_pwi+aif+dwi", "srkda"
FINGERPRINT = "lstm_pwi+aif"
SHAPE = (12, 12, 4)
AFFINE = np.diag([2.0, 2.0, 5.0, 1.0])
VOXEL_ML = 0.02
STATISTICS: dict[str, Any] = {
    "bootstrap": 200,
    "min_cluster_ml": 0.04,
    "petechia_ml": 0.04,
    "stratum_minimum": 2,
}


@dataclass
class Sample:
    """A study on disk: parquet files, images of `perfusion`, manifest, facts of folds and of lesions."""

    parquet: list[Path]
    files: list[Path]
    manifest: dict[str, Any]
    folds: list[dict[str, Any]]
    records: dict[str, dict[str, Any]]
    section: dict[str, Any] = field(
        default_factory=lambda: {
            **SECTION,
            "primary": PRIMARY,
            "comparator": COMPARATOR,
            "statistics": {**SECTION["statistics"], **STATISTICS},
        }
    )


def write(folder: Path, *, patients: int = 20, with_ht: int = 8, folds: int = 4, seed: int = 1) -> Sample:
    """Write a study whose primary configuration sees HT and the patient, and another one the patient alone.

    Each patient has a brain of 576 voxels; those with HT bleed in a block. Scores: the primary one is the truth with
    noise and a term of the patient; `srkda` weaker; `lstm_pwi+aif` is the patient's term, higher with HT; `map_k2`
    predicts whole brains as well; `map_cbf` is nowhere there.
    """
    rng = np.random.default_rng(seed)
    names = [f"sub-{i:02d}" for i in range(1, patients + 1)]
    at = np.argwhere(np.ones(SHAPE, dtype=bool))
    of_fold: dict[int, list[dict[str, Any]]] = {k: [] for k in range(1, folds + 1)}
    manifest: dict[str, Any] = {
        "clinical": {}, "session_ids": {"J0": "ses-01"}, "eligibility": {"transformation": {}},
        "folds": {"transformation": {"rows": []}},
    }  # fmt: skip
    files, records = [], {}
    for i, who in enumerate(names):
        label, fold = int(i < with_ht), i % folds + 1
        ht = np.zeros(SHAPE, dtype=bool)
        if label:
            ht[3 : 5 + i % 3, 3:6, 1:3] = True
        y = ht[tuple(at.T)].astype(np.int8)
        mine = 0.8 * label + rng.normal(0, 0.7)
        truth = 1.5 * y + rng.normal(0, 1, y.size)
        logits = {
            PRIMARY: truth + mine - 0.5,
            COMPARATOR: 0.4 * truth + rng.normal(0, 1, y.size) + mine,
            FINGERPRINT: np.full(y.size, 2 * mine),
            "map_k2": 0.5 * y + rng.normal(0, 1, y.size),
        }
        scores = {name: (1 / (1 + np.exp(-one))).astype(np.float32) for name, one in logits.items()}
        balanced = np.sort(np.concatenate([np.flatnonzero(y), rng.permutation(np.flatnonzero(y == 0))[:20]]))
        for kind, rows, told in (
            ("balanced", balanced, tuple(scores)), ("dense", np.arange(y.size), (PRIMARY, "map_k2"))
        ):  # fmt: skip
            of_fold[fold].append(
                {
                    "participant_id": np.full(rows.size, who),
                    "set": np.full(rows.size, kind),
                    "y_true": y[rows],
                }
                | {axis: at[rows, k].astype(np.int16) for k, axis in enumerate("xyz")}
                | {name: one[rows] if name in told else None for name, one in scores.items()}
            )
        files += _images(folder / "work" / who, ht if label else None)
        records[who] = {"lesions": {"facts": _lesions(6.0)}, "register": {"facts": {}}}
        manifest["clinical"][who] = {
            "ht": float(label),
            "tici": ("0", "2b", "3")[i % 3],
            "vendor": "A" if i % 2 else "B",
        }
        manifest["clinical"][who]["onset_to_mri_min"] = 100.0 + 15 * i
        manifest["eligibility"]["transformation"][who] = []
        manifest["folds"]["transformation"]["rows"].append(
            {"participant_id": who, "fold": fold, "group": who}
        )
    about = {
        name: {"parameters": {"c": 1}, "search": [{"c": 1, "auc": 0.7}, {"c": 10, "auc": 0.6}]}
        for name in scores
    }
    facts = [
        {"fold": k, "left_out": {"sub-99": "no arterial input function"}, "configurations": about}
        | {"leakage": [{"configuration": PRIMARY, "object": "model", "n_fits": 1, "n_seen_min": 15}]}
        for k in of_fold
    ]
    parquet = [_parquet(folder / f"fold-{k}.parquet", rows) for k, rows in of_fold.items()]
    return Sample(parquet, files, manifest, facts, records)


def _parquet(path: Path, rows: list[dict[str, Any]]) -> Path:
    keys = {"participant_id": pa.string(), "x": pa.int16(), "y": pa.int16(), "z": pa.int16()}
    keys |= {"set": pa.string(), "y_true": pa.int8()}
    keys |= dict.fromkeys((PRIMARY, COMPARATOR, FINGERPRINT, "map_k2", "map_cbf"), pa.float32())
    columns = {
        key: pa.chunked_array(
            [
                pa.nulls(len(row["y_true"]), kind) if row.get(key) is None else pa.array(row[key], kind)
                for row in rows
            ],
            kind,
        )
        for key, kind in keys.items()
    }
    pq.write_table(pa.table(columns), path)
    return path


def _images(folder: Path, ht: np.ndarray | None) -> list[Path]:
    lesion = np.zeros(SHAPE, dtype=bool)
    lesion[2:8, 2:8, 0:3] = True
    images = {"PWI_brain": np.ones(SHAPE, dtype=bool), "PWI_lesion": lesion} | (
        {} if ht is None else {"PWI_ht": ht}
    )
    paths = []
    for name, data in images.items():
        paths.append(folder / f"{name}.nii.gz")
        write_volume(paths[-1], Volume(data, AFFINE))
    return paths


def _lesions(volume_ml: float) -> dict[str, Any]:
    row = {"visit": "J0", "criterion": "adc620", "volume_ml": volume_ml}
    return {"lesion": {"J0": "adc620"}, "rows": [row]}
