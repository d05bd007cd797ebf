"""Which images of a chunk of patients a study is shown, and what brings them to the template."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Mapping
from pathlib import Path
from typing import Any

from reperfuse.core.errors import Refusal
from reperfuse.imaging.carry import mask_mapper
from reperfuse.imaging.volume import Volume
from reperfuse.imaging.warp import find_warp

# participant_id → visit → name → path
Shown = Mapping[str, Mapping[str, Mapping[str, Path]]]
ToTemplate = Callable[[Volume, str], Volume]


def shown_images(
    paths: Iterable[Path], *names: str, visits: Container[str]
) -> dict[str, dict[str, dict[str, Path]]]:
    """Arrange those of ``work/sub-X/J0_adc.nii.gz`` that have the names: participant_id → visit → name → path."""
    found: dict[str, dict[str, dict[str, Path]]] = {}
    for path in paths:
        visit, _, name = path.name.removesuffix(".nii.gz").partition("_")
        if visit in visits and name in names:
            found.setdefault(path.parent.name, {}).setdefault(visit, {})[name] = path
    return found


def mappers(
    records: Mapping[str, Mapping[str, Mapping[str, Any]]], files: Iterable[Path]
) -> dict[str, ToTemplate]:
    """Return participant_id → what brings an image or a mask to the template, of those who could be normalised.

    Parameters
    ----------
    records : mapping
        participant_id → step → record.
    files : iterable of Path
        What the patients' normalisation has written.
    """
    mine: dict[str, list[Path]] = {}
    for path in files:
        mine.setdefault(path.parent.name, []).append(path)
    found = {}
    for who, paths in mine.items():
        facts = {step: record["facts"] for step, record in records.get(who, {}).items()}
        carry = mask_mapper(find_warp(paths), facts.get("normalise", {}), facts.get("register", {}))
        if carry is not None:
            found[who] = carry
    return found


def carried(image: Volume, visit: str, mapper: ToTemplate | None) -> Volume:
    """Return an image of a visit in the template.

    Raises
    ------
    Refusal
        E160 where there is no transform.
    """
    if mapper is None:
        raise Refusal("E160", step="normalise", image="transform to the template")
    return mapper(image, visit)
