"""Names of contrasts, of sets of them, of the systems that fuse them and of their models; no numerical library."""

from __future__ import annotations

import copy
from collections.abc import Collection, Iterable, Mapping
from itertools import combinations
from typing import Any, NamedTuple

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


def _ordered(section: Section, chosen: Iterable[str]) -> tuple[str, ...]:
    """Return contrasts in the section's order; what it does not know, and `check` refuses, comes last."""
    order = list(section["contrasts"])
    return tuple(sorted(chosen, key=lambda one: order.index(one) if one in order else len(order)))
