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
from reperfuse.core.provenance import file_digest

ARRAYS, CARD = "model.safetensors", "card.json"


def write_bundle(folder: Path, arrays: Mapping[str, np.ndarray], card: Mapping[str, Any]) -> None:
    """Write a frozen model; the card holds the digest of the arrays.

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
    write_json(folder / CARD, {**card, "arrays": file_digest(path)})


def read_bundle(folder: Path) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Read a frozen model.

    Raises
    ------
    ConfigError
        The folder holds no card and arrays, or the arrays are not those that the card speaks of.
    """
    path, card = folder / ARRAYS, read_json_or(folder / CARD, None)
    if not isinstance(card, dict) or not path.is_file():
        raise ConfigError(
            f"{folder.name} is not a frozen model; expected {CARD} and {ARRAYS} in it, which `freeze` writes."
        )
    if file_digest(path) != card.get("arrays"):
        raise ConfigError(
            f"{folder.name}/{ARRAYS} has the digest {file_digest(path)}, but its card says {card.get('arrays')}; "
            "one of the two was changed, so freeze the model again."
        )
    try:
        return load(path.read_bytes()), card
    except SafetensorError as error:
        raise ConfigError(
            f"{folder.name}/{ARRAYS} cannot be read ({error}); freeze the model again."
        ) from None
