"""What a configuration may ask of the fusion study; apart from the names, because it needs the schema."""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Iterable, Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from reperfuse.cohort.variables import STANDARD
from reperfuse.core.errors import ConfigError
from reperfuse.core.settings import load_schema, resolve_section
from reperfuse.studies.fusion.names import CONTRASTS, KINDS, MEASURED, NONE, OWN, Section, effective


def check(
    section: Section, dictionary: Mapping[str, Mapping[str, Any]], maps: Collection[str], schemas: Path
) -> None:
    """Refuse contrasts, sets, variants and variables that the study does not know.

    Parameters
    ----------
    section : mapping
        ``studies.fusion``.
    dictionary : mapping
        Variable of the tables → what is known of it.
    maps : collection of str
        Names under ``images.maps``.
    schemas : Path
        Folder of the schemas, which variants must agree with, too.

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
        _check_variant(name, changed, section, schemas)
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


def _check_variant(name: str, changed: Any, section: Section, schemas: Path) -> None:
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
        resolve_section(effective(section, name), load_schema(schemas, "fusion"))
    except ConfigError as error:
        raise ConfigError(f"`{key}`: {error}") from None


def _known(key: str, names: Iterable[str], known: Collection[str], what: str) -> None:
    for name in names:
        if name not in known:
            near = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
            hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(known)}."
            raise ConfigError(f"`studies.fusion.{key}` names {name}, which is no {what}; {hint}")
