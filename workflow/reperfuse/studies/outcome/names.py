"""The configurations' names and the blocks behind each; standard library only, because the Snakefile asks too."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any

from reperfuse.core.errors import ConfigError

# The paper's rows, then those that say where the information comes from.
ROWS = ("{i}", "clinical", "{i}+lesion", "clinical+lesion", "{i}+clinical", "{i}+clinical+lesion")
WITH_ATLAS = ("territories", "clinical+lesion+territories", "{i}+clinical+lesion+territories")
# Logistic regressions on what a clinician has at hand.
COMPARATORS: Mapping[str, tuple[str, ...]] = {
    "nihss_24h": ("J1:nihss_24h",),
    "age+nihss": ("J0:age+nihss",),
    "log_volume_J0": ("J0:log_volume",),
    "log_volume_J1": ("J1:log_volume",),
    "thrive": ("J0:thrive",),
    "span100": ("J0:span100",),
}


def image_name(section: Mapping[str, Any]) -> str:
    """Return what the image block is called: ``mri`` for ADC maps, ``mask`` for lesion masks."""
    return "mri" if section["image"] == "adc" else "mask"


def wanted(section: Mapping[str, Any]) -> dict[str, tuple[str, ...]]:
    """Return configuration → names of its blocks, of the main table without comparators.

    Parameters
    ----------
    section : mapping
        ``studies.outcome`` of the configuration.
    """
    image = image_name(section)
    found: dict[str, tuple[str, ...]] = {}
    for visit in section["visits"]:
        for row in (*ROWS, *WITH_ATLAS):
            kinds = row.format(i=image).split("+")
            found[f"{visit}_{row.format(i=image)}"] = tuple(f"{visit}:{kind}" for kind in kinds)
    if set(section["visits"]) == {"J0", "J1"}:
        whole = f"{image}+clinical+lesion"
        found[f"J1_{image}+J0_clinical"] = (f"J1:{image}", "J0:clinical")
        found[f"J0+J1_{whole}"] = (f"J0:{image}", f"J1:{image}", "J1:clinical", "J0:lesion", "J1:lesion")
        found[f"J1-J0_{whole}"] = (f"J1-J0:{image}", "J1:clinical", "J1-J0:lesion")
    return found


def check_names(section: Mapping[str, Any]) -> None:
    """Refuse names of configurations that the study does not know.

    Raises
    ------
    ConfigError
        ``primary``, ``comparator`` or one of ``frozen`` is none of the names; the nearest is named.
    """
    known = [*wanted(section), *COMPARATORS]
    asked = [("primary", section["primary"]), ("comparator", section["comparator"])]
    for key, name in [*asked, *(("frozen", one) for one in section["frozen"])]:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
            hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(known)}."
            raise ConfigError(f"`studies.outcome.{key}` names {name}, which is no configuration; {hint}")
    if section["primary"] == section["comparator"]:
        raise ConfigError("`studies.outcome.primary` and `comparator` are the same; name two configurations.")
