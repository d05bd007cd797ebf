"""Names of contrasts, of sets of them, of the systems that fuse them and of their models; no numerical library."""

from __future__ import annotations

import copy
import difflib
import re
from collections.abc import Collection, Iterable, Mapping
from fnmatch import fnmatchcase
from itertools import combinations
from pathlib import Path
from typing import Any, NamedTuple

from reperfuse.cohort.variables import STANDARD
from reperfuse.core.errors import ConfigError
from reperfuse.core.settings import load_schema, resolve_section

Section = Mapping[str, Any]

CONTRASTS = (
    "adc", "trace", "flair", "t1w", "gre", "jac", "lesion", "lesion_distance", "tmax", "cbf", "cbv", "mtt",
)  # fmt: skip
# Contrasts that the perfusion step makes.
PERFUSED = frozenset(("tmax", "cbf", "cbv", "mtt"))
NONE, UNET = "none", "unet"
VOXEL_PCA, MIRRORED_PCA, AUTOENCODER_KL = "voxel_pca", "voxel_pca_mirrored", "autoencoder_kl"
BASELINES = (VOXEL_PCA, MIRRORED_PCA, AUTOENCODER_KL)
KINDS = (NONE, UNET, *BASELINES)
# Sections that a variant may differ in.
OWN = ("network", "training")
# Fold of the model that is fitted on everybody.
FINAL = 0
SCHEMAS = Path(__file__).resolve().parents[3] / "schemas"
# What is measured, beside the variables of the tables.
MEASURED = ("brain_ml", "lesion_ml")


class System(NamedTuple):
    """A set of contrasts, and what fuses them: ``none``, ``unet``, a baseline or the name of a variant."""

    set: str
    kind: str

    @property
    def name(self) -> str:
        """The configuration's name in tables: ``trace+adc``, ``trace+adc[unet]``."""
        return self.set if self.kind == NONE else f"{self.set}[{self.kind}]"

    @property
    def contrasts(self) -> tuple[str, ...]:
        """The set's contrasts in order."""
        return tuple(self.set.split("+"))


class Place(NamedTuple):
    """A model: a system fitted without one fold, or on everybody (`FINAL`)."""

    set: str
    kind: str
    fold: int

    @property
    def system(self) -> System:
        """What is fitted."""
        return System(self.set, self.kind)

    def __str__(self) -> str:
        return f"{self.set}-{self.kind}-{self.fold}"


def sets(section: Section) -> list[str]:
    """Return the sets of contrasts, joined by ``+``: subsets of each size, further ones, the primary one.

    Parameters
    ----------
    section : mapping
        ``studies.fusion`` of the configuration.
    """
    found = [chosen for size in section["sizes"] for chosen in combinations(section["contrasts"], size)]
    found += [_ordered(section, one) for one in section["sets"]]
    found.append(primary(section).contrasts)
    return list(dict.fromkeys("+".join(one) for one in found))


def primary(section: Section) -> System:
    """Return the system whose embedding gives the strata."""
    chosen = section["primary"].split("+") if section["primary"] else section["contrasts"]
    return System("+".join(_ordered(section, chosen)), NONE)


def systems(section: Section) -> list[System]:
    """Return every system: networks of every set, then baselines and variants of the primary one."""
    first = primary(section)
    found = [System(one, kind) for one in sets(section) for kind in section["skips"]]
    further = (System(first.set, kind) for kind in (*section["baselines"], *section["variants"]))
    return list(dict.fromkeys([*found, first, *further]))


def models(section: Section, present_folds: Collection[int]) -> list[str]:
    """Return every model as ``<set>-<kind>-<fold>``; the one that is fitted on everybody comes last.

    Parameters
    ----------
    section : mapping
        ``studies.fusion``.
    present_folds : collection of int
        Folds that the cohort's table holds; without any there are no models.
    """
    if not present_folds:
        return []
    found = [Place(*system, fold) for system in systems(section) for fold in sorted(present_folds)]
    return [str(one) for one in (*found, Place(*primary(section), FINAL))]


def parse(text: str) -> Place:
    """Return what ``trace+adc-none-3`` says.

    Raises
    ------
    ValueError
        It is not a set, a kind and a whole number.
    """
    chosen, kind, fold = text.split("-")
    return Place(chosen, kind, int(fold))


def effective(section: Section, kind: str) -> dict[str, Any]:
    """Return ``network`` and ``training`` of a kind: those of the section, with what a variant changes."""
    changed = {} if kind in KINDS else section["variants"][kind]
    return {key: {**copy.deepcopy(dict(section[key])), **changed.get(key, {})} for key in OWN}


def draws(section: Section, trial: str) -> bool:
    """Whether the page shows reconstructions of the model: of the primary set, without and with skips."""
    place = parse(trial)
    return place.set == primary(section).set and place.kind in (NONE, UNET) and place.fold != FINAL


def shaping(section: Section, trial: str) -> dict[str, Any]:
    """Return what a model follows from: nothing of other sets and variants, nor of how results are judged.

    Parameters
    ----------
    section : mapping
        ``studies.fusion``.
    trial : str
        See `models`.
    """
    place = parse(trial)
    contrasts, kind = place.system.contrasts, place.kind
    fixed = section["intensity"]["fixed"]
    return {
        "contrasts": list(contrasts),
        "minimum": min(section["minimum"], len(contrasts)),
        "intensity": {**section["intensity"], "fixed": {k: v for k, v in fixed.items() if k in contrasts}},
        "variants": {kind: section["variants"][kind]} if kind in section["variants"] else {},
        **{key: section[key] for key in ("grid", "network", "training", "salt")},
    }


def check(section: Section, dictionary: Mapping[str, Mapping[str, Any]], maps: Collection[str]) -> None:
    """Refuse contrasts, sets, variants and variables that the study does not know.

    Parameters
    ----------
    section : mapping
        ``studies.fusion``.
    dictionary : mapping
        Variable of the tables → what is known of it.
    maps : collection of str
        Names under ``images.maps``.

    Raises
    ------
    ConfigError
        In one sentence, with the nearest name.
    """
    contrasts = section["contrasts"]
    _known("contrasts", contrasts, [*CONTRASTS, *maps], "contrast, and no name under `images.maps`")
    for one in section["sets"]:
        _known("sets", one, contrasts, "contrast under `contrasts`")
    if section["primary"]:
        chosen = section["primary"].split("+")
        _known("primary", chosen, contrasts, "contrast under `contrasts`")
        if len(chosen) > len(set(chosen)):
            raise ConfigError(f"`studies.fusion.primary` is {section['primary']}; name each contrast once.")
    if section["minimum"] > len(contrasts):
        raise ConfigError(
            f"`studies.fusion.minimum` asks for {section['minimum']} contrasts, but {len(contrasts)} take part."
        )
    pairs = {f"intensity.fixed.{name}": pair for name, pair in section["intensity"]["fixed"].items()}
    pairs["intensity.quantiles"] = section["intensity"]["quantiles"]
    pairs["statistics.mse_flags"] = section["statistics"]["mse_flags"]
    for name, (low, high) in pairs.items():
        if low >= high:
            raise ConfigError(
                f"`studies.fusion.{name}` is [{low:g}, {high:g}]; expected the lower value first."
            )
    for name, changed in section["variants"].items():
        _check_variant(name, changed, section)
    for kind in (NONE, *section["variants"]):
        own = effective(section, kind)
        if own["training"]["linear"] and own["network"]["output"] != "linear":
            raise ConfigError(
                f"`studies.fusion.training.linear` and `network.output: {own['network']['output']}` exclude each other."
            )
    asked, variables = (
        section["phenotypes"],
        [*dictionary, *(one for one in STANDARD if one not in dictionary)],
    )
    for pattern in asked["variables"]:
        if not any(fnmatchcase(name, pattern) for name in variables):
            _known("phenotypes.variables", [pattern], variables, "variable of the tables, nor matches one")
    _known("phenotypes.single", asked["single"], variables, "variable of the tables")
    _known("phenotypes.adjust", asked["adjust"], [*variables, *MEASURED], "variable of the tables")


def _ordered(section: Section, chosen: Iterable[str]) -> tuple[str, ...]:
    """Return contrasts in the section's order; what it does not know, and `check` refuses, comes last."""
    order = list(section["contrasts"])
    return tuple(sorted(chosen, key=lambda one: order.index(one) if one in order else len(order)))


def _check_variant(name: str, changed: Any, section: Section) -> None:
    key = f"studies.fusion.variants.{name}"
    if name in KINDS or not re.fullmatch(r"[A-Za-z0-9_]+", name):
        raise ConfigError(
            f"`{key}` cannot be named so; expected letters, digits and `_`, and none of {', '.join(KINDS)}."
        )
    if not isinstance(changed, Mapping) or not all(isinstance(one, Mapping) for one in changed.values()):
        raise ConfigError(f"`{key}` is {changed!r}; expected what differs, under {' or '.join(OWN)}.")
    _known(f"variants.{name}", changed, OWN, "part that a variant may change")
    for part, values in changed.items():
        _known(f"variants.{name}.{part}", values, section[part], f"setting of `{part}`")
    try:
        resolve_section(effective(section, name), load_schema(SCHEMAS, "fusion"))
    except ConfigError as error:
        raise ConfigError(f"`{key}`: {error}") from None


def _known(key: str, names: Iterable[str], known: Collection[str], what: str) -> None:
    for name in names:
        if name not in known:
            near = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
            hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(known)}."
            raise ConfigError(f"`studies.fusion.{key}` names {name}, which is no {what}; {hint}")
