"""A made cohort of strokes: lesions of known volume and place, a score that follows from them, age."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from reperfuse.core.settings import fill, load_schema

ROOT = Path(__file__).resolve().parents[3]
SMALL: dict[str, Any] = {
    "networks": ["tractnet"],
    "repeats": 1,
    "channels": ["lesion"],
    "training": {"epochs": 2},
}


def section(**changed: Any) -> dict[str, Any]:
    """Return ``studies.severity`` with its defaults, at a small size."""
    found = fill({}, load_schema(ROOT / "workflow/schemas", "severity"))
    for key, value in {**SMALL, **changed}.items():
        found[key] = over(found[key], value)
    return dict(found)


def over(old: Any, new: Any) -> Any:
    """Return a value with what differs put over it."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        return {**old, **{key: over(old.get(key), value) for key, value in new.items()}}
    return new
