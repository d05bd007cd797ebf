"""From the study's excerpt, the records and the inputs to who takes part, with which images and fold."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from reperfuse.studies.fusion import ranges
from reperfuse.studies.others import never_shown

Array = np.ndarray
Images = Mapping[str, Mapping[str, Array]]
Records = Mapping[str, Mapping[str, Mapping[str, Any]]]
VISIT = "J0"
STEP = "fusion_inputs"
LESION_MASK = "lesion_mask"


@dataclass(frozen=True)
class Cohort:
    """Who takes part.

    Parameters
    ----------
    ids : tuple of str
        Patients with as many contrasts as are asked for, sorted.
    images : mapping
        participant_id → contrast → (S, R, L) float16, as it was measured, in the template.
    groups : mapping
        participant_id → group that must not be on both sides.
    places : mapping
        participant_id → fold of the cohort's table.
    lesions : mapping
        participant_id → (S, R, L) bool; of those whose lesion is known.
    left_out : mapping
        participant_id → why somebody takes no part.
    missing : mapping
        participant_id → contrast → why there is none.
    """

    ids: tuple[str, ...]
    images: Images
    groups: Mapping[str, str]
    places: Mapping[str, int]
    lesions: Mapping[str, Array]
    left_out: Mapping[str, str] = field(default_factory=dict)
    missing: Mapping[str, Mapping[str, str]] = field(default_factory=dict)


def cohort(
    section: Mapping[str, Any], manifest: Mapping[str, Any], records: Records, arrays: Images
) -> Cohort:
    """Return everybody of a manifest who has enough contrasts.

    Parameters
    ----------
    section : mapping
        ``contrasts`` and ``minimum`` of ``studies.fusion``.
    manifest : mapping
        The study's excerpt, or the manifest of the main cohort or an external one.
    records : mapping
        participant_id or chunk → step → record; ``fusion_inputs`` of chunks are read.
    arrays : mapping
        participant_id → contrast or ``lesion_mask`` → array, from `reperfuse.studies.fusion.inputs.read_inputs`.
    """
    told: dict[str, dict[str, Any]] = {"left_out": {}, "missing": {}}
    for steps in records.values():
        for key, found in told.items():
            found |= steps.get(STEP, {}).get("facts", {}).get(key, {})
    contrasts, least = section["contrasts"], section["minimum"]
    images, left_out = {}, {}
    for who in sorted(manifest["active"]):
        mine = {name: one for name, one in arrays.get(who, {}).items() if name in contrasts}
        if len(mine) >= least:
            images[who] = mine
        else:
            only = f"{len(mine)} of {len(contrasts)} contrasts; expected at least {least}"
            left_out[who] = told["left_out"].get(who, only if mine else "no image")
    placed = manifest.get("folds", {}).get("fusion", {}).get("rows", ())
    return Cohort(
        tuple(images),
        images,
        {row["participant_id"]: str(row["group"]) for row in placed},
        {row["participant_id"]: int(row["fold"]) for row in placed},
        {who: arrays[who][LESION_MASK] > 0 for who in images if LESION_MASK in arrays[who]},
        left_out | never_shown(manifest, "fusion"),
        {who: told["missing"][who] for who in images if told["missing"].get(who)},
    )


def taking_part(
    one: Cohort, contrasts: Sequence[str], ids: Iterable[str], *, partial: bool
) -> tuple[list[str], dict[str, str]]:
    """Return who can be shown to a model of some contrasts, sorted, and participant_id → why others cannot.

    Parameters
    ----------
    contrasts : sequence of str
    ids : iterable of str
        Who is asked for, of `one`.
    partial : bool
        One contrast suffices, since the model has learnt to do without others; else all are needed.
    """
    chosen, left_out = [], {}
    for who in sorted(ids):
        lacking = [name for name in contrasts if name not in one.images[who]]
        if not lacking or (partial and len(lacking) < len(contrasts)):
            chosen.append(who)
        else:
            reasons = one.missing.get(who, {})
            said = (f"{name} ({reasons[name]})" if name in reasons else name for name in lacking)
            left_out[who] = f"no {', no '.join(said)}"
    return chosen, left_out


def unseen(one: Cohort, manifest: Mapping[str, Any]) -> list[str]:
    """Return whom the final model was not fitted on: all of an external cohort, of the main one who has no place."""
    return [who for who in one.ids if manifest["name"] or who not in one.places]


def usable(one: Cohort, contrasts: Sequence[str], mask: Array, intensity: Mapping[str, Any]) -> Cohort:
    """Return the cohort, in which contrasts count as missing that have no range and cannot be given one."""
    images, missing = {}, {}
    for who, mine in one.images.items():
        asked = (name for name in contrasts if name in mine)
        why = {name: ranges.lacks_range(name, mine[name], mask, intensity) for name in asked}
        images[who] = {name: image for name, image in mine.items() if not why.get(name)}
        missing[who] = {**one.missing.get(who, {}), **{name: said for name, said in why.items() if said}}
    return replace(one, images=images, missing=missing)


def stacked(
    one: Cohort,
    ids: Sequence[str],
    contrasts: Sequence[str],
    mask: Array,
    intensity: Mapping[str, Any],
    spacing_mm: Sequence[float],
    *,
    range_of: Callable[[str, list[int], Array], ranges.Range],
) -> tuple[Array, Array, dict[str, ranges.Range]]:
    """Return images between 0 and 1, which of them are there, and the ranges that they were brought from.

    Parameters
    ----------
    ids : sequence of str
        n of them.
    contrasts : sequence of str
        M of them.
    mask, intensity, spacing_mm
        See `reperfuse.studies.fusion.ranges.prepared`.
    range_of : callable
        From a contrast, the places in ``ids`` of those who have it and their values in the mask, (n, V), to its range.

    Returns
    -------
    images : ndarray of float16, shape (n, M, S, R, L)
        0 outside the mask and where a contrast is missing.
    there : ndarray of bool, shape (n, M)
    found : dict
        Contrast → `reperfuse.studies.fusion.ranges.Range`.
    """
    images = np.zeros((len(ids), len(contrasts), *mask.shape), dtype=np.float16)
    there = np.zeros(images.shape[:2], dtype=bool)
    found = {}
    for m, name in enumerate(contrasts):
        rows = [i for i, who in enumerate(ids) if name in one.images[who]]
        # Half precision ends at 65504 and holds three digits: values become it between 0 and 1 only.
        values = np.empty((len(rows), int(mask.sum())), dtype=np.float32)
        for place, i in enumerate(rows):
            image = one.images[ids[i]][name]
            values[place] = ranges.prepared(name, image, mask, intensity, spacing_mm)[mask]
        found[name] = range_of(name, rows, values)
        for place, i in enumerate(rows):
            images[i, m][mask] = ranges.apply(values[place], found[name])
        there[rows, m] = True
    return images, there, found
