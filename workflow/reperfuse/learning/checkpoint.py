"""Where a training stands, on disk: whole or not there, and of this training or not taken."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import nn
from torch.optim import Optimizer

from reperfuse.core.errors import Fault
from reperfuse.core.files import PARTIAL, atomic, write_text

CHECKPOINT = "checkpoint.pt"
HISTORY = "history.jsonl"


class Stateful(Protocol):
    """What is kept in a checkpoint."""

    def state_dict(self) -> Any:
        """Return tensors and plain values."""
        ...

    def load_state_dict(self, state: Any, /) -> Any:
        """Take them up."""
        ...


@dataclass
class Progress:
    """Where a training stands.

    Parameters
    ----------
    epoch : int
        Being worked on, from 0; the number of epochs when it has ended.
    batch, seen : int
        Batches, and samples, of this epoch that are done.
    step : int
        Batches in all.
    losses : dict
        Turn → sum of this epoch's losses over samples.
    history : list of dict
        Turn → mean loss over samples, of each epoch that has ended.
    at_once : int
        Most samples that fitted into memory at once; 0 while nothing was too many.
    """

    epoch: int = 0
    batch: int = 0
    seen: int = 0
    step: int = 0
    losses: dict[str, float] = field(default_factory=dict)
    history: list[dict[str, float]] = field(default_factory=list)
    at_once: int = 0

    def end_epoch(self) -> None:
        """Turn this epoch's sums into means, and begin the next epoch."""
        self.history.append({name: total / self.seen for name, total in self.losses.items()})
        self.epoch, self.batch, self.seen, self.losses = self.epoch + 1, 0, 0, {}


def made_of(module: nn.Module, optimisers: Iterable[Optimizer], **settings: Any) -> dict[str, str]:
    """Return what a training is made of, as far as it knows: settings, initial weights, optimisers.

    The data are not seen here: whoever names the folder names it after them.
    """
    weights = hashlib.sha256()
    for name, tensor in sorted(module.state_dict().items()):
        weights.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}".encode())
        weights.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    kinds = [
        [type(one).__name__, [sorted((k, str(v)) for k, v in group.items() if k != "params")]]
        for one in optimisers
        for group in one.param_groups
    ]
    made = {name: str(value) for name, value in settings.items()}
    return {**made, "initial weights": weights.hexdigest(), "optimisers": json.dumps(kinds)}


def save(folder: Path, of: Mapping[str, str], progress: Progress, parts: Mapping[str, Stateful]) -> None:
    """Write a checkpoint, and the losses of the epochs that have ended.

    ``history.jsonl`` has a line for each epoch and no time, so that a training that was interrupted leaves the same.
    """
    states = {name: part.state_dict() for name, part in parts.items()}
    # By a stream: given a path, torch writes the temporary name into the file, which would never be the same twice.
    with atomic(folder / CHECKPOINT) as partial, partial.open("wb") as stream:
        torch.save({"of": dict(of), "progress": vars(progress), "states": states}, stream)
    lines = [json.dumps({"epoch": i, "losses": one}) + "\n" for i, one in enumerate(progress.history, 1)]
    write_text(folder / HISTORY, "".join(lines))


def resume(
    folder: Path, of: Mapping[str, str], parts: Mapping[str, Stateful]
) -> tuple[Progress, Fault | None]:
    """Put the parts of a training where they were; return how far that is, and what is wrong with the checkpoint.

    Only tensors and plain values are read; no other object is made.

    Parameters
    ----------
    folder : Path
    of : mapping
        From `made_of`; a checkpoint of anything else is not taken (W170), nor one that cannot be read (W140).
    parts : mapping
        What `save` was given.
    """
    path = folder / CHECKPOINT
    if not path.is_file():
        return Progress(), None
    with path.open("rb") as stream:
        try:
            found = torch.load(stream, weights_only=True, map_location="cpu")
            before, progress, states = found["of"], Progress(**found["progress"]), found["states"]
        except (
            Exception
        ) as error:  # what a damaged file makes of torch's reader is not foreseen; the system's too
            return Progress(), Fault("W140", path.name, {"why": type(error).__name__})
    differ = sorted(name for name in {**of, **before} if of.get(name) != before.get(name))
    if differ:
        return Progress(), Fault("W170", path.name, {"differ": ", ".join(differ)})
    for name, part in parts.items():
        part.load_state_dict(states[name])
    return progress, None


def tidy(folder: Path) -> None:
    """Remove what a process that was killed had half written; nobody else writes here now."""
    for partial in folder.glob(f"{PARTIAL}*"):
        partial.unlink(missing_ok=True)
