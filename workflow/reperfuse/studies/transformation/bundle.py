"""A fold's models as arrays and cards, and back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from reperfuse.core.files import write_json
from reperfuse.evaluation.bundle import read_bundle, write_bundle
from reperfuse.studies.transformation.features import Scaling
from reperfuse.studies.transformation.maps import SingleMap
from reperfuse.studies.transformation.names import MODES
from reperfuse.studies.transformation.recurrent import Recurrent, network
from reperfuse.studies.transformation.systems import Fitted

APART = {
    "linear": "it is a baseline, fitted again in seconds",
    "forest": "its trees would need pickle, which runs code when it is read",
    "svm": "its support vectors are voxels of single patients",
    "srkda": "its kernel is made of voxels of single patients",
}


def folder_name(configuration: str) -> str:
    """Return a configuration's folder: its name without signs that file systems or shells mind."""
    return configuration.replace("+", "-")


def write_models(index: Path, models: Mapping[str, Fitted], about: Mapping[str, Any]) -> None:
    """Write networks and single maps beside an index of them, which also says what is not there and why.

    Parameters
    ----------
    index : Path
        ``models/fold-1/index.json``.
    models : mapping
        Configuration → model.
    about : mapping
        What every card says: study, fold, patients, what it must not be used for.
    """
    found: dict[str, str] = {}
    for name, model in models.items():
        if isinstance(model, Recurrent):
            arrays = {key: one.detach().cpu().numpy() for key, one in model.module.state_dict().items()}
            card = {"parameters": dict(model.parameters), "scaling": model.scaling.plain(),
                    "n_points": model.module.n_points, "n_clinical": len(model.scaling.clinical_mean)}  # fmt: skip
        elif isinstance(model, SingleMap):
            arrays = {}
            card = {key: v for key, v in asdict(model).items() if key not in ("seen", "name")}
        else:
            continue
        card |= {"configuration": name, "n_patients": len(model.seen)}
        write_bundle(index.parent / folder_name(name), arrays, {**about, **card, "not_bundled": APART})
        found[name] = folder_name(name)
    apart = {name: APART[name] for name in models if name not in found}
    write_json(index, {"models": found, "not_bundled": apart})


def read_network(folder: Path, *, device: Any) -> Recurrent:
    """Return a network that `write_models` wrote; it has seen nobody that could be named.

    Raises
    ------
    ConfigError
        It is damaged, was changed, or is none.
    """
    arrays, card = read_bundle(folder)
    mode = MODES[card["configuration"]]
    module = network(mode, card["parameters"], n_points=card["n_points"], n_clinical=card["n_clinical"])
    module.load_state_dict({name: torch.from_numpy(one.copy()) for name, one in arrays.items()})
    scaling = Scaling.from_plain(card["scaling"])
    return Recurrent(module, mode, scaling, card["parameters"], [], frozenset(), device)


def about(section: Mapping[str, Any], fold: int) -> dict[str, Any]:
    """Return what the card of every model of a fold says."""
    note = section["title_note"]
    return {
        "study": "transformation",
        "fold": fold,
        "predicts": f"probability of haemorrhagic transformation of a voxel{f' ({note})' if note else ''}",
        "prevalence": "of the balanced sample that it was fitted on; at another prevalence it is no risk",
        "use": "research only; not for decisions about patients",
    }
