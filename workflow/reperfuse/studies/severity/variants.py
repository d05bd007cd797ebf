"""Settings of a network: those of the study, or of an ablation that differs in some."""

from __future__ import annotations

import copy
import difflib
from collections.abc import Collection, Mapping
from typing import Any

from reperfuse.core.errors import ConfigError

# Sections that an ablation may differ in, beside the channels.
OWN = ("network", "training", "augmentation")


def effective(section: Mapping[str, Any], variant: str | None) -> dict[str, Any]:
    """Return what a network is built, shown and trained by.

    Parameters
    ----------
    section : mapping
        ``severity`` of the configuration.
    variant : str or None
        Name of an ablation; None or empty for the network as the study has it.

    Returns
    -------
    dict
        ``network``, ``training``, ``augmentation``, ``channels`` (what this network is shown of the study's) and
        ``grid``.

    Raises
    ------
    ConfigError
        There is no such ablation, or it names what there is not, with the nearest name; or the volume of a lesion that
        is not shown.
    """
    found = {key: copy.deepcopy(section[key]) for key in (*OWN, "channels", "grid")}
    if not variant:
        return _sound(found, "studies.severity")
    place = "studies.severity.variants"
    _check(variant, section["variants"], place)
    for key, values in section["variants"][variant].items():
        _check(key, (*OWN, "channels"), f"{place}.{variant}")
        for name in values:
            _check(name, section[key], f"{place}.{variant}.{key}")
        found[key] = list(values) if key == "channels" else {**found[key], **copy.deepcopy(dict(values))}
    return _sound(found, f"{place}.{variant}")


def _sound(found: dict[str, Any], place: str) -> dict[str, Any]:
    if found["training"]["volume"] and "lesion" not in found["channels"]:
        raise ConfigError(
            f"`{place}` asks for the lesion's volume (`training: volume:`) and shows no lesion; add it to `channels`."
        )
    return found


def _check(name: str, known: Collection[str], place: str) -> None:
    if name not in known:
        near = difflib.get_close_matches(str(name), list(known), n=1, cutoff=0.5)
        hint = f"did you mean `{near[0]}`?" if near else f"known are {', '.join(known)}."
        raise ConfigError(f"`{name}` is not a key of {place}; {hint}")
