"""A trial's models as arrays and cards, and back."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from reperfuse.core.errors import ConfigError
from reperfuse.core.files import read_json, write_json
from reperfuse.evaluation.bundle import read_bundle, write_bundle
from reperfuse.studies.severity import imaged, names
from reperfuse.studies.severity.classical import Logistic
from reperfuse.studies.severity.combine import Mean, Stack
from reperfuse.studies.severity.features import Filling
from reperfuse.studies.severity.lesion_maps import MapRule
from reperfuse.studies.severity.models import Model
from reperfuse.studies.severity.systems import Mapped, Networks, Tabled
from reperfuse.studies.severity.trees import Forest

Array = np.ndarray
Arrays = dict[str, Array]
# What a cohort must have been made by to be shown to a model.
INPUTS = ("channels", "space", "grid", "cell_mm")


def folder_name(configuration: str) -> str:
    """Return a configuration's folder: its name without signs that file systems or shells mind."""
    return configuration.replace("+", "-").replace("[", "@").replace("]", "")


def about(section: Mapping[str, Any], trial: str) -> dict[str, Any]:
    """Return what the card of every model of a trial says."""
    return {
        "study": "severity",
        "trial": trial,
        "target": names.target(section),
        "predicts": f"probability of {names.target(section)}",
        "inputs": {key: section[key] for key in INPUTS},
        "prevalence": "of the patients that it was calibrated on; at another prevalence it is to be calibrated again",
        "use": "research only; not for decisions about patients",
    }


def write_models(index: Path, models: Mapping[str, Model], said: Mapping[str, Any]) -> None:
    """Write every model beside an index of them.

    All of them hold sums over patients, thresholds drawn at random, or weights of networks; nobody's values.

    Parameters
    ----------
    index : Path
        ``models/8-1-3/index.json``; without models it says so by being empty.
    models : mapping
        Configuration → model.
    said : mapping
        What every card says; see `about`.
    """
    for name, model in models.items():
        arrays, card = _parts(model)
        card |= {"configuration": name, "platt": list(model.platt)}
        write_bundle(index.parent / folder_name(name), arrays, {**said, **card})
    write_json(index, {name: folder_name(name) for name in models})


def read_models(index: Path, *, device: Any) -> dict[str, Model]:
    """Return configuration → model as `write_models` wrote them.

    Raises
    ------
    ConfigError
        One is damaged, was changed, or does not hold the arrays that its card speaks of.
    """
    found: dict[str, Model] = {}
    parts = {name: read_bundle(index.parent / folder) for name, folder in read_json(index).items()}
    for name, (arrays, card) in sorted(parts.items(), key=lambda item: item[1][1].get("kind") in COMBINING):
        where = f"{index.parent.name}/{folder_name(name)}"
        if card.get("study") != "severity" or card.get("kind") not in KINDS:
            raise ConfigError(f"{where} is no model of the severity study; freeze the models again.")
        if card.get("configuration") != name:
            raise ConfigError(
                f"{where} is the model of {card.get('configuration')}, not of {name}; freeze the models again."
            )
        try:
            rule: Any = KINDS[card["kind"]](arrays, card, device)
            members = {one: found[one] for one in rule.members} if card["kind"] in COMBINING else {}
            slope, intercept = card["platt"]
        except (KeyError, TypeError, ValueError, RuntimeError) as error:
            raise ConfigError(
                f"{where} does not hold what its card speaks of ({str(error).splitlines()[0]}); freeze the models "
                "again."
            ) from None
        found[name] = Model(rule, (slope, intercept), members, card)
    return {name: found[name] for name in parts}


def check_inputs(models: Mapping[str, Model], section: Mapping[str, Any]) -> None:
    """Refuse models that were fitted on other inputs than a cohort is shown.

    Raises
    ------
    ConfigError
        It says what was found and what the model expects.
    """
    for name, model in models.items():
        for key, expected in model.about.get("inputs", {}).items():
            if section[key] != expected:
                raise ConfigError(
                    f"The frozen model {name} was fitted with `{key}` {expected}, found {section[key]}; score with "
                    "the settings that it was fitted with."
                )
        if (target := model.about.get("target")) not in (None, names.target(section)):
            raise ConfigError(
                f"The frozen model {name} predicts {target}, but the configuration asks for {names.target(section)}."
            )


def _parts(model: Model) -> tuple[Arrays, dict[str, Any]]:
    rule = model.rule
    if isinstance(rule, Networks):
        members = rule.members
        arrays = {
            f"{i}.{key}": one.detach().cpu().numpy()
            for i, module in enumerate(members.modules)
            for key, one in module.state_dict().items()
        }
        card = {"name": rule.name, "settings": members.settings, "channels": list(members.channels)}
        return arrays, {"kind": "networks", "members": len(members.modules), **card}
    if isinstance(rule, Mapped):
        own = rule.rule
        numbers = {"middle": own.middle, "volume": own.volume, "intercept": own.intercept}
        arrays = {"maps": own.maps, "mirrored": own.mirrored, **_of_filling(own.filling)}
        return arrays, {"kind": "maps", "options": dict(rule.options), **numbers}
    if isinstance(rule, Tabled):
        card = {"name": rule.name, "columns": list(rule.columns)}
        if isinstance(rule.model, Logistic):
            arrays, own_card = _of_logistic(rule.model)
            return arrays, {"kind": "logistic", **card, **own_card}
        filling, forest = rule.model
        return {**_of_filling(filling), **forest.arrays()}, {"kind": "trees", **card}
    if isinstance(rule, Stack):
        arrays, own_card = _of_logistic(rule.model)
        card = {"members": list(rule.members), "clinical": list(rule.clinical)}
        return arrays, {"kind": "stack", **card, **own_card}
    assert isinstance(rule, Mean)
    return {}, {"kind": "mean", "members": list(rule.members)}


def _of_filling(filling: Filling) -> Arrays:
    return {"fill": filling.fill, "scale": filling.scale}


def _filling(arrays: Arrays) -> Filling:
    return Filling(arrays["fill"], arrays["scale"])


def _of_logistic(model: Logistic) -> tuple[Arrays, dict[str, Any]]:
    return {**_of_filling(model.filling), "weight": model.weight}, {"intercept": model.intercept}


def _logistic(arrays: Arrays, card: Mapping[str, Any]) -> Logistic:
    return Logistic(_filling(arrays), arrays["weight"], card["intercept"])


def _networks(arrays: Arrays, card: Mapping[str, Any], device: Any) -> Networks:
    settings = card["settings"]
    modules = []
    for i in range(card["members"]):
        module = imaged.build(
            card["name"], settings, len(settings["channels"]), card["inputs"]["grid"]["shape"]
        )  # fmt: skip
        state = {
            key.removeprefix(f"{i}."): torch.from_numpy(one.copy())
            for key, one in arrays.items()
            if key.startswith(f"{i}.")
        }
        module.load_state_dict(state)  # strict
        modules.append(module.eval())
    n_parameters = sum(one.numel() for one in modules[0].parameters())
    none = np.empty(0)  # it has seen nobody that could be named
    members = imaged.Imaged(settings, tuple(card["channels"]), modules, device, none, [], n_parameters)
    return Networks(card["name"], members)


def _mapped(arrays: Arrays, card: Mapping[str, Any], device: Any) -> Mapped:
    numbers = card["middle"], _filling(arrays), card["volume"], card["intercept"]
    return Mapped(card["options"], MapRule(arrays["maps"], arrays["mirrored"], *numbers))


def _tabled(arrays: Arrays, card: Mapping[str, Any], device: Any) -> Tabled:
    model: Any = _logistic(arrays, card)
    return Tabled(card["name"], tuple(card["columns"]), model)


def _trees(arrays: Arrays, card: Mapping[str, Any], device: Any) -> Tabled:
    model = (_filling(arrays), Forest.from_arrays(arrays))
    return Tabled(card["name"], tuple(card["columns"]), model)


def _mean(arrays: Arrays, card: Mapping[str, Any], device: Any) -> Mean:
    return Mean(tuple(card["members"]))


def _stack(arrays: Arrays, card: Mapping[str, Any], device: Any) -> Stack:
    return Stack(tuple(card["members"]), tuple(card["clinical"]), _logistic(arrays, card))


KINDS = {
    "networks": _networks, "maps": _mapped, "logistic": _tabled, "trees": _trees, "mean": _mean, "stack": _stack,
}  # fmt: skip
COMBINING = ("mean", "stack")
