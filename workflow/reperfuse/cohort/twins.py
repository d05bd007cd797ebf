"""One patient under two names, in a dataset or in two of them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from reperfuse.core.errors import Fault

# Masks and curves of different patients may well be the same bytes: an empty mask, one curve for all. Those of one
# name in two cohorts are not.
MASK_ROLES = ("lesion", "brain", "ht", "aif")
# An annex key that holds the digest of which a stamp is the beginning.
_ANNEX_SHA256 = re.compile(r"SHA256E?-.*--([0-9a-f]{32})[0-9a-f]{32}(?![0-9a-f])")


def _content(stamp: str) -> str:
    """Return what two stamps of the same bytes have in common, whether one is a git-annex key or not."""
    found = _ANNEX_SHA256.match(stamp)
    return found[1] if found else stamp


def _stamped_images(participants: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Yield participant_id, path and content of every image that two patients cannot share."""
    for participant_id in sorted(participants):
        for roles in participants[participant_id].values():
            for role, ((path, stamp), *_) in roles.items():
                if role not in MASK_ROLES and stamp:
                    yield participant_id, path, _content(stamp)


def _named_masks(participants: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Yield participant_id, path and content with the patient's own name, of every lesion mask."""
    for participant_id in sorted(participants):
        name = participant_id.removeprefix("sub-").rpartition("+")[2]
        for roles in participants[participant_id].values():
            for path, stamp in roles.get("lesion", ())[:1]:
                if stamp:
                    yield participant_id, path, f"{name}: {_content(stamp)}"


def contents(participants: Mapping[str, Any], cohort: str) -> dict[str, str]:
    """Return content → which file of which cohort it is, for :func:`twins` of the cohorts that follow."""
    found = [*_stamped_images(participants), *_named_masks(participants)]
    return {content: f"{path} of {cohort}" for _, path, content in found}


def twins(participants: Mapping[str, Any], elsewhere: Mapping[str, str]) -> list[Fault]:
    """Return a fault for each patient that has an image of an earlier patient, byte for byte.

    Parameters
    ----------
    participants : mapping
        As `reperfuse.cohort.index.stamped` gives them.
    elsewhere : mapping
        Content → file, of the cohorts before; see :func:`contents`.
    """
    first: dict[str, tuple[str, str]] = {}
    faults: dict[str, Fault] = {}
    within: list[Fault] = []
    for participant_id, path, content in _stamped_images(participants):
        owner, other = first.setdefault(content, (participant_id, path))
        if content in elsewhere:
            faults.setdefault(
                participant_id, Fault("E124", path, {"other": elsewhere[content]}, participant_id)
            )
        elif owner == participant_id and other != path:
            within.append(Fault("W149", path, {"other": other}, participant_id))
        elif owner != participant_id:
            faults.setdefault(participant_id, Fault("E124", path, {"other": other}, participant_id))
    for participant_id, path, content in _named_masks(participants):
        if content in elsewhere:
            faults.setdefault(
                participant_id, Fault("E124", path, {"other": elsewhere[content]}, participant_id)
            )
    padded: dict[str, str] = {}
    for participant_id in sorted(participants):
        plain = participant_id[4:].lstrip("0")
        other = padded.setdefault(plain, participant_id)
        if other != participant_id and participant_id not in faults:
            faults[participant_id] = Fault("W125", values={"other": other}, participant_id=participant_id)
    return [*faults.values(), *within]
