"""The configurations' names and the blocks behind each; no numerical library, because the Snakefile asks too."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from reperfuse.cohort.variables import STANDARD
from reperfuse.core.errors import ConfigError
from reperfuse.evaluation.leakage import check_known

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


def declared(section: Mapping[str, Any]) -> tuple[str, str]:
    """Return the primary configuration and what it is compared with.

    What the configuration leaves empty is everything at the last visit, against everything at the first one; of a
    single visit, against its clinical data alone.
    """
    image, visits = image_name(section), sorted(section["visits"])
    primary = f"{visits[-1]}_{image}+clinical+lesion"
    comparator = f"{visits[0]}_{image}+clinical+lesion" if len(visits) > 1 else f"{visits[0]}_clinical"
    return section["primary"] or primary, section["comparator"] or comparator


def check_names(section: Mapping[str, Any]) -> None:
    """Refuse names of configurations that the study does not know.

    Raises
    ------
    ConfigError
        ``primary``, ``comparator`` or one of ``frozen`` is none of the names; the nearest is named.
    """
    known = [*wanted(section), *COMPARATORS]
    primary, comparator = declared(section)
    for key, name in [
        ("primary", primary),
        ("comparator", comparator),
        *(("frozen", one) for one in section["frozen"]),
    ]:
        if name not in known:
            raise ConfigError(
                f"`studies.outcome.{key}` names {name}, which is no configuration; {_near(name, known)}"
            )
    if primary == comparator:
        raise ConfigError("`studies.outcome.primary` and `comparator` are the same; name two configurations.")


def check_predictors(
    section: Mapping[str, Any], available_at: Mapping[str, str], criteria: Collection[str]
) -> None:
    """Refuse predictors that nothing is known of, or that are not known yet at the time of the prediction.

    Parameters
    ----------
    section : mapping
        ``studies.outcome``.
    available_at : mapping
        Variable of the tables → visit from which on it is known.
    criteria : collection of str
        Lesion criteria that the workflow measures.

    Raises
    ------
    ConfigError
        In one sentence, with the nearest name.
    """
    known = {name: variable.available_at for name, variable in STANDARD.items()} | dict(available_at)
    wanted_at = {
        "J0": section["clinical"]["J0"],
        "J1": [*section["clinical"]["J0"], *section["clinical"]["J1"]],
    }
    for visit, variables in wanted_at.items():
        for name in variables:
            if name not in known:
                raise ConfigError(
                    f"`studies.outcome.clinical.{visit}` names {name}, which is neither a standard variable nor "
                    f"one of the tables; {_near(name, list(known))}"
                )
        check_known(variables, visit, known, key=f"studies.outcome.clinical.{visit}")
    for name in [
        *section["lesion_criteria"],
        *(one for few in section["sensitivity"]["lesion"].values() for one in few),
    ]:
        if name not in criteria:
            raise ConfigError(
                f"`studies.outcome` names the lesion criterion {name}, which is not measured; "
                f"{_near(name, list(criteria))}"
            )


def _near(name: str, known: Sequence[str]) -> str:
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    return f"did you mean {near[0]}?" if near else f"known are {', '.join(known)}."
