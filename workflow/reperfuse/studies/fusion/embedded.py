"""Codes of every model side by side, and what is measured of the patients beside them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load, save

from reperfuse.core.files import is_marker, write_bytes
from reperfuse.studies.fusion import names
from reperfuse.studies.lesion_facts import LESION, lesion_facts

Array = np.ndarray
# Patients, and source (``fold-1`` …, ``final``) → their codes, (n, k).
Codes = tuple[list[str], dict[str, Array]]
VISIT, CODES = "J0", "codes"


def write_codes(path: str | Path, codes: Array) -> None:
    """Write the codes (n, k) of one model."""
    write_bytes(path, save({CODES: codes}))


def read_codes(path: str | Path) -> Array:
    """Return the codes (n, k) of one model; none of one that could not be fitted."""
    return np.zeros((0, 0), np.float32) if is_marker(path) else load(Path(path).read_bytes())[CODES]


def side_by_side(models: Iterable[Mapping[str, Any]], codes: Mapping[str, Array]) -> dict[str, Codes]:
    """Return configuration → those whom each of its models has embedded, and their codes under each.

    Codes of different models lie in different spaces: they are side by side and never pooled.

    Parameters
    ----------
    models : iterable of mapping
        Facts of the models; those that were not fitted have none ``embedded``.
    codes : mapping
        Trial → (n, k) in the order of ``embedded``.
    """
    found: dict[str, dict[str, tuple[Sequence[str], Array]]] = {}
    for facts in models:
        if facts.get("embedded"):
            place = names.parse(facts["trial"])
            source = "final" if place.fold == names.FINAL else f"fold-{place.fold}"
            found.setdefault(place.system.name, {})[source] = facts["embedded"], codes[facts["trial"]]
    out = {}
    for configuration, sources in found.items():
        ids = sorted(set.intersection(*(set(who) for who, _ in sources.values())))
        row_of = {source: {who: i for i, who in enumerate(mine)} for source, (mine, _) in sources.items()}
        ordered = {s: one[[row_of[s][who] for who in ids]] for s, (_, one) in sources.items()}
        out[configuration] = ids, ordered
    return out


def measured(records: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> dict[str, dict[str, float]]:
    """Return participant_id → ``brain_ml`` and ``lesion_ml`` of J0, as far as they were measured.

    Parameters
    ----------
    records : mapping
        participant_id → step → record of ``prepare`` and ``lesions``.
    """
    found: dict[str, dict[str, float]] = {}
    for who, steps in records.items():
        brain = steps.get("prepare", {}).get("facts", {}).get(VISIT, {}).get("brain_ml")
        lesion = lesion_facts(steps.get("lesions", {})).volumes.get((VISIT, LESION))
        mine = {"brain_ml": brain, "lesion_ml": lesion}
        found[who] = {name: float(value) for name, value in mine.items() if value is not None}
    return found
