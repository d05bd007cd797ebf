"""The frozen model as arrays and a card, and back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from reperfuse.core.errors import ConfigError
from reperfuse.core.files import read_json, write_json
from reperfuse.evaluation.bundle import read_bundle, write_bundle
from reperfuse.studies.fusion.architecture import build
from reperfuse.studies.fusion.names import NONE, UNET, System
from reperfuse.studies.fusion.ranges import Range
from reperfuse.studies.fusion.training import Network

Array = np.ndarray
FOLDER, MASK = "bundle", "mask"
# Components of so large a share of the training patients: of few; of so many that images can be told from them.
FEW, TOO_FEW = 1 / 4, 1 / 2


@dataclass(frozen=True)
class Model:
    """A network with all that it takes to embed somebody.

    Parameters
    ----------
    system : System
    rule : Network
    ranges : mapping
        contrast → `reperfuse.studies.fusion.ranges.Range`.
    mask : ndarray of bool, shape (S, R, L)
        Brain of the template.
    network : mapping
        Settings that it was built by.
    linear : bool
        Whether it has a linear path.
    intensity : mapping
        By which images are prepared.
    grid : mapping
        That its images lie on.
    n : int
        How many patients it was fitted on.
    """

    system: System
    rule: Network
    ranges: Mapping[str, Range]
    mask: Array
    network: Mapping[str, Any]
    linear: bool
    intensity: Mapping[str, Any]
    grid: Mapping[str, Any]
    n: int

    @property
    def n_components(self) -> int:
        """Principal components of training images that it holds; 0 without a linear path."""
        if not self.linear:
            return 0
        return int((self.rule.module.components != 0).any(dim=1).sum())


def gives_away(model: Model) -> str:
    """Return why a model must not be frozen, since its components would give images of patients away; or nothing."""
    if model.n_components < TOO_FEW * model.n or not model.n_components:
        return ""
    return (
        f"it holds {model.n_components} components of the images of {model.n} patients, which would give single images "
        "away; ask for a smaller code, or fit on more patients"
    )


def write_model(index: Path, model: Model | None) -> None:
    """Write a model beside an index of it; without one the index is empty.

    It holds weights, ranges and the template's brain; nobody's values, but with a linear path principal components of
    the training images, from which images of few patients can be worked out.

    Parameters
    ----------
    index : Path
        ``models/trace+adc-none-0/index.json``.
    model : Model or None
    """
    if model is not None:
        arrays = {name: one.detach().cpu().numpy() for name, one in model.rule.module.state_dict().items()}
        card: dict[str, Any] = {
            "study": "fusion",
            "configuration": model.system.name,
            "set": model.system.set,
            "kind": model.system.kind,
            "gives": "an embedding of a patient's contrasts, and images from an embedding",
            "ranges": {name: asdict(one) for name, one in model.ranges.items()},
            "network": dict(model.network),
            "linear": model.linear,
            "intensity": dict(model.intensity),
            "grid": dict(model.grid),
            "partial": model.rule.partial,
            "n": model.n,
            "use": "research only; not for decisions about patients",
        }
        if model.n_components:
            few = model.n_components >= FEW * model.n
            card["holds"] = f"{model.n_components} principal components of the images of {model.n} patients"
            card["holds"] += "; of few patients: components may give single images away" if few else ""
        write_bundle(index.parent / FOLDER, {**arrays, MASK: model.mask.astype(np.uint8)}, card)
    write_json(index, {model.system.name: FOLDER} if model is not None else {})


def read_model(index: Path, *, device: Any) -> Model | None:
    """Return the model as `write_model` wrote it; None where there is none.

    Raises
    ------
    ConfigError
        It is damaged, was changed, or does not hold the arrays that its card speaks of.
    """
    for name, folder in read_json(index).items():
        arrays, card = read_bundle(index.parent / folder)
        if card.get("study") != "fusion" or card.get("configuration") != name:
            raise ConfigError(
                f"{index.parent.name} is the model of {card.get('configuration')}, not of {name}; freeze it again."
            )
        try:
            return _model(arrays, card, device)
        except (KeyError, TypeError, ValueError, RuntimeError) as error:
            raise ConfigError(
                f"{index.parent.name} does not hold what its card speaks of ({str(error).splitlines()[0]}); freeze "
                "the model again."
            ) from None
    return None


def _model(arrays: Mapping[str, Array], card: Mapping[str, Any], device: Any) -> Model:
    system = System(card["set"], card["kind"])
    if system.kind not in (NONE, UNET):
        raise ValueError(f"kind is {system.kind}")
    mask, linear = arrays[MASK] > 0, card["linear"]
    module = build(system.kind, card["network"], len(system.contrasts), mask, linear=linear)
    module.load_state_dict(
        {name: torch.from_numpy(one.copy()) for name, one in arrays.items() if name != MASK}
    )
    return Model(
        system,
        Network(module.eval(), partial=card["partial"], device=device),
        {name: Range(**card["ranges"][name]) for name in system.contrasts},
        mask,
        card["network"],
        linear,
        card["intensity"],
        card["grid"],
        card["n"],
    )
