"""The configurations' names and the trials; no numerical library, because the Snakefile asks too."""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Iterable, Mapping
from typing import Any, NamedTuple

from reperfuse.cohort.variables import STANDARD
from reperfuse.core.errors import ConfigError
from reperfuse.evaluation.leakage import check_known
from reperfuse.studies.severity.variants import OWN, effective

Section = Mapping[str, Any]

ENSEMBLE, HYBRID = "ensemble", "hybrid"
AGE = "+age"


class Place(NamedTuple):
    """One fold of one repeat of one cross-validation: what a trial holds out."""

    n_folds: int
    repeat: int
    fold: int

    def __str__(self) -> str:
        return "-".join(map(str, self))


def networks(section: Section) -> list[str]:
    """Return the networks that are trained, then the variants of TRACT-NET."""
    return [*section["networks"], *(f"tractnet[{name}]" for name in section["variants"])]


def variant_of(name: str) -> str:
    """Return the variant of a configuration ``tractnet[variant]``; empty for others."""
    found = re.fullmatch(r"tractnet\[(.+)\]", name)
    return found[1] if found else ""


def alone(section: Section) -> list[str]:
    """Return the configurations that do not combine others."""
    return [*networks(section), *section["baselines"]]


def configurations(section: Section) -> list[str]:
    """Return every configuration that is asked for, in the order of the tables.

    Parameters
    ----------
    section : mapping
        ``studies.severity`` of the configuration.
    """
    return [*alone(section), *(name for name in (ENSEMBLE, HYBRID) if section[name])]


def hybrid_parts(section: Section) -> tuple[list[str], list[str]]:
    """Return the configurations and the clinical variables that `hybrid` combines."""
    known = alone(section)
    members = [name for name in section[HYBRID] if name in known]
    return members, [name for name in section[HYBRID] if name not in known]


def image_only(name: str, section: Section) -> bool:
    """Return whether all that a configuration sees is made of images, lesion volumes and loads included."""
    if name == HYBRID:
        members, clinical = hybrid_parts(section)
        return not clinical and all(image_only(one, section) for one in members)
    return not name.endswith(AGE)


def declared(section: Section) -> tuple[str, str]:
    """Return the primary configuration and what it is compared with."""
    return section["primary"], section["comparator"]


def of_repeat(section: Section, repeat: int) -> list[str]:
    """Return the configurations that are fitted in a repeat; ``once``, and what combines it, in the first."""
    if repeat == 1:
        return configurations(section)
    rare = set(section["once"])
    rare |= {name for name in (ENSEMBLE, HYBRID) if rare & set(section[name])}
    return [name for name in configurations(section) if name not in rare]


def trials(section: Section, present: Collection[int]) -> list[str]:
    """Return every trial as ``n_folds-repeat-fold``.

    Parameters
    ----------
    section : mapping
        ``studies.severity``.
    present : collection of int
        Folds that the cohort's table holds: the first repeat. Later ones have as many, numbered from 1;
        without any there are no trials.
    """
    if not present:
        return []
    found = [Place(section["n_folds"], 1, fold) for fold in sorted(present)]
    sizes = {section["n_folds"]: len(present)} | {
        n: n for n in section["other_n_folds"] if n != section["n_folds"]
    }
    for n_folds, size in sizes.items():
        first = 2 if n_folds == section["n_folds"] else 1
        for repeat in range(first, section["repeats"] + 1):
            found += [Place(n_folds, repeat, fold) for fold in range(1, size + 1)]
    return [str(one) for one in found]


def parse(trial: str) -> Place:
    """Return what ``8-1-3`` says.

    Raises
    ------
    ValueError
        It is not three whole numbers.
    """
    n_folds, repeat, fold = (int(one) for one in trial.split("-"))
    return Place(n_folds, repeat, fold)


def split_of(section: Section, trial: str) -> str:
    """Return the split of a trial's predictions: ``cv``, or ``cv:3`` for another number of folds."""
    n_folds = parse(trial).n_folds
    return "cv" if n_folds == section["n_folds"] else f"cv:{n_folds}"


def freezes(section: Section, trial: str) -> bool:
    """Return whether the models of a trial are kept and predict others: those of the cohort's own folds."""
    place = parse(trial)
    return place.n_folds == section["n_folds"] and place.repeat == 1


def target(section: Section) -> str:
    """Return what 1 stands for in the tables."""
    return f"{section['variable']}>{section['minor_max']}"


def check(section: Section, dictionary: Mapping[str, Mapping[str, Any]]) -> None:
    """Refuse names that the study does not know, the label's score as a predictor, what is known too late.

    Parameters
    ----------
    section : mapping
        ``studies.severity``.
    dictionary : mapping
        Variable of the tables → ``available_at``, the visit from which on it is known, and ``Source``, the table and
        column that it is read from.

    Raises
    ------
    ConfigError
        In one sentence, with the nearest name.
    """
    asked = configurations(section)
    for key in ("primary", "comparator"):
        _known(key, [section[key]], asked, "configuration that is fitted")
    _known("once", section["once"], asked, "configuration that is fitted")
    _known(ENSEMBLE, section[ENSEMBLE], alone(section), "configuration of its own that is fitted")
    if section["primary"] == section["comparator"]:
        raise ConfigError("`studies.severity.primary` and `comparator` are the same; name two.")
    for key, names in (("primary", [section["primary"]]), (ENSEMBLE, section[ENSEMBLE])):
        for name in names:
            if not image_only(name, section):
                raise ConfigError(
                    f"`studies.severity.{key}` names {name}, which sees more than images; name "
                    "configurations made of images alone."
                )
    known = {name: variable.available_at for name, variable in STANDARD.items()}
    known |= {name: entry["available_at"] for name, entry in dictionary.items()}
    members, clinical = hybrid_parts(section)
    _known(HYBRID, clinical, [*alone(section), *known], "configuration, and no variable of the tables")
    if clinical and not members:
        raise ConfigError(
            f"`studies.severity.hybrid` names {', '.join(clinical)} alone; name a configuration that sees images, too."
        )
    sources = {name: entry.get("Source", "") for name, entry in dictionary.items()}
    graded = sources.get(section["variable"])
    for name in dict.fromkeys(["age", *clinical]):
        source = sources.get(name, "")
        # Under another name it is the same score: what a column is called counts as well, and which it is.
        if (
            name == section["variable"]
            or "nihss" in f"{name} {source.rpartition(': ')[2]}".lower()
            or (source and source == graded)
        ):
            raise ConfigError(
                f"`studies.severity` is to predict from {name}{f' ({source})' if source else ''}, which the label is "
                "cut from; take it out, no model may see it."
            )
    check_known(clinical, "J0", known, key="studies.severity.hybrid")
    effective(section, None)
    for name, changed in section["variants"].items():
        _check_variant(name, changed, section)


def _check_variant(name: str, changed: Any, section: Section) -> None:
    key = f"studies.severity.variants.{name}"
    if not re.fullmatch(r"[A-Za-z0-9_.+-]+", name):
        raise ConfigError(f"`{key}` is named with other signs than letters, digits, and `_ . + -`.")
    if not isinstance(changed, Mapping) or not all(
        isinstance(one, Mapping | list) for one in changed.values()
    ):
        raise ConfigError(
            f"`{key}` is {changed!r}; expected what differs, under {', '.join(OWN)} or channels."
        )
    effective(section, name)


def _known(key: str, names: Iterable[str], known: Collection[str], what: str) -> None:
    for name in names:
        if name not in known:
            raise ConfigError(
                f"`studies.severity.{key}` names {name}, which is no {what}; {_near(name, known)}"
            )


def _near(name: str, known: Collection[str]) -> str:
    near = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f"did you mean {near[0]}?" if near else f"known are {', '.join(known)}."
