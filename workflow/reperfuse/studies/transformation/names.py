"""The configurations' names and what each sees; no numerical library, because the Snakefile asks too."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

from reperfuse.cohort.variables import STANDARD
from reperfuse.core.errors import ConfigError
from reperfuse.evaluation.leakage import check_known


class Mode(NamedTuple):
    """What the recurrent network sees beside the curves."""

    aif: bool
    dwi: bool
    clinical: bool


MODES: Mapping[str, Mode] = {
    "lstm_pwi": Mode(False, False, False),
    "lstm_pwi+aif": Mode(True, False, False),
    "lstm_pwi+dwi": Mode(False, True, False),
    "lstm_pwi+aif+dwi": Mode(True, True, False),
    "lstm_pwi+aif+dwi+clinical": Mode(True, True, True),
}
BASELINES = ("linear", "forest", "svm", "srkda")
ROI = "roi_k2"
# Single map → image of the step `perfusion`; the region's mean is read from two.
MAPS: Mapping[str, str] = {
    f"map_{name}": f"PWI_{name}"
    for name in ("tmax", "cbf", "cbv", "mtt", "adc", "k2", "slope", "final", "peak")
}


def configurations(section: Mapping[str, Any]) -> list[str]:
    """Return every configuration that is asked for, in the order of the tables.

    Parameters
    ----------
    section : mapping
        ``studies.transformation`` of the configuration.
    """
    return [*section["modes"], *section["baselines"], *section["maps"]]


def dense_of(section: Mapping[str, Any]) -> list[str]:
    """Return the configurations that predict whole brains, the primary one first."""
    return list(dict.fromkeys([section["primary"], *section["dense"]]))


def check(section: Mapping[str, Any], available_at: Mapping[str, str]) -> None:
    """Refuse names that the study does not know, and predictors that are not known in time.

    Parameters
    ----------
    section : mapping
        ``studies.transformation``.
    available_at : mapping
        Variable of the tables → visit from which on it is known.

    Raises
    ------
    ConfigError
        In one sentence, with the nearest name.
    """
    asked = configurations(section)
    named = [(key, section[key]) for key in ("primary", "comparator")]
    for key, name in [*named, *(("dense", one) for one in section["dense"])]:
        if name not in asked:
            raise ConfigError(
                f"`studies.transformation.{key}` names {name}, which is none of `modes`, `baselines` and `maps`; "
                f"{_near(name, asked)}"
            )
    if section["primary"] == section["comparator"]:
        raise ConfigError("`studies.transformation.primary` and `comparator` are the same; name two.")
    if any(MODES[mode].clinical for mode in section["modes"]):
        known = {name: variable.available_at for name, variable in STANDARD.items()} | dict(available_at)
        for name in section["clinical"]:
            if name not in known:
                raise ConfigError(
                    f"`studies.transformation.clinical` names {name}, which is neither a standard variable nor one "
                    f"of the tables; {_near(name, sorted(known))}"
                )
        check_known(section["clinical"], "J0", known, key="studies.transformation.clinical")


def _near(name: str, known: Sequence[str] | Collection[str]) -> str:
    near = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f"did you mean {near[0]}?" if near else f"known are {', '.join(known)}."
