"""Embeddings that were computed before, found by what they were computed from."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from reperfuse.core.files import write_bytes
from reperfuse.core.provenance import digest

NAME = "embedding"


def key_of_embedding(input_digest: str, settings: Mapping[str, Any], weights_sha: str) -> str:
    """Return the key of a vector: what was read, how it was prepared and encoded, with which weights.

    Parameters
    ----------
    input_digest : str
        Of the ADC map, from which the noise follows, and the brain mask.
    settings : mapping
        Whatever changes the result: shape, clip, background, variant, precision.
    weights_sha : str
        `reperfuse.learning.weights.Stamp.sha256`.
    """
    return digest([input_digest, dict(settings), weights_sha])


def get(folder: str | Path, key: str) -> np.ndarray | None:
    """Return a vector, or None where it is not there; what cannot be read is removed and computed again."""
    path = _path(folder, key)
    try:
        found = load(path.read_bytes())
        vector = found[NAME]
        if vector.dtype != np.float32 or vector.ndim != 1 or not np.isfinite(vector).all():
            raise ValueError("not a vector")
    except FileNotFoundError:
        return None
    except (OSError, SafetensorError, KeyError, ValueError):
        path.unlink(missing_ok=True)
        return None
    return vector


def put(folder: str | Path, key: str, vector: np.ndarray) -> None:
    """Keep a vector, atomically: two jobs that compute the same one may both write it."""
    write_bytes(_path(folder, key), save({NAME: np.ascontiguousarray(vector, dtype=np.float32)}))


def _path(folder: str | Path, key: str) -> Path:
    # Two letters of the key as a folder keep listings short where thousands of patients are cached.
    return Path(folder) / key[:2] / f"{key}.safetensors"
