"""Frozen models: arrays in safetensors and a JSON card, no code, so that nothing runs when one is opened."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from reperfuse.core.errors import ConfigError
from reperfuse.core.files import read_json_or, write_bytes, write_json
from reperfuse.core.provenance import digest, file_digest

ARRAYS, CARD = "model.safetensors", "card.json"


def write_bundle(folder: Path, arrays: Mapping[str, np.ndarray], card: Mapping[str, Any]) -> None:
    """Write a frozen model; the card holds the digest of the arrays and its own.

    Parameters
    ----------
    folder : Path
    arrays : mapping
        Name → array.
    card : mapping
        What the model is, was fitted on and may be used for; JSON-like.
    """
    path = folder / ARRAYS
    write_bytes(path, save({name: np.ascontiguousarray(array) for name, array in arrays.items()}))
    full = {**card, "arrays": file_digest(path)}
    write_json(folder / CARD, {**full, "digest": digest(full)})


def read_bundle(folder: Path) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Read a frozen model.

    Raises
    ------
    ConfigError
        The folder holds no card and arrays, the card or the arrays are not as they were written, or the arrays
        are of another format. Nothing but JSON and safetensors is read, so that nothing in them can run.
    """
    path, card = folder / ARRAYS, read_json_or(folder / CARD, None)
    if not isinstance(card, dict) or not path.is_file():
        raise ConfigError(
            f"{folder.name} is not a frozen model; expected {CARD} and {ARRAYS} in it, which `freeze` writes."
        )
    if digest({key: value for key, value in card.items() if key != "digest"}) != card.get("digest"):
        raise ConfigError(f"{folder.name}/{CARD} is not as it was written; freeze the model again.")
    if file_digest(path) != card.get("arrays"):
        raise ConfigError(
            f"{folder.name}/{ARRAYS} has the digest {file_digest(path)}, but its card says {card.get('arrays')}; "
            "one of the two was changed, so freeze the model again."
        )
    try:
        return load(path.read_bytes()), card
    except (SafetensorError, KeyError, TypeError, ValueError) as error:
        raise ConfigError(
            f"{folder.name}/{ARRAYS} cannot be read ({error}); freeze the model again."
        ) from None
