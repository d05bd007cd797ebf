"""Small trainings that use what a training can use; ``python -m tests.learning.tasks FOLDER`` runs one."""

from __future__ import annotations

import os
import random
import signal
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from reperfuse.learning.checkpoint import CHECKPOINT, HISTORY
from reperfuse.learning.tasks import Turn
from reperfuse.learning.training import train

X = torch.from_numpy(np.random.default_rng(0).standard_normal((20, 6), dtype=np.float32))
Y = (X[:, :1] - 2 * X[:, 1:2] > 0).float()
SETTINGS: dict[str, Any] = {"epochs": 4, "seed": 3, "device": "cpu", "devices": 1, "precision": "32-true"}
SETTINGS |= {"clip_norm": 5.0, "every": 2, "ema_decay": 0.0}


class Interrupted(Exception):
    """What a machine that fails does to a job."""


@dataclass
class Small:
    """Dropout, momentum, a schedule, batch statistics, and augmentation from all three generators.

    At the call of the loss that is named it is interrupted, told to end, given a loss that is no number, or slow; where
    more samples than ``room`` are shown at once, memory is short.
    """

    module: nn.Module
    stop_at: int = -1
    tell_at: int = -1
    spoil_at: int = -1
    room: int = 100
    pause_s: float = 0.0
    calls: int = 0

    def optimiser(self):
        found = torch.optim.Adam(self.module.parameters(), lr=0.05)
        return found, torch.optim.lr_scheduler.MultiStepLR(found, [1, 3], gamma=0.7)

    def batches(self, epoch: int) -> Iterator[tuple[Tensor, Tensor]]:
        order = torch.randperm(len(X)).numpy()
        for rows in np.array_split(order, 5):
            noise = 0.01 * torch.randn(1) + 0.01 * np.random.normal() + 0.01 * random.random()  # noqa: NPY002
            yield X[rows] + noise.float(), Y[rows]

    def loss(self, module, batch) -> Tensor:
        self.meet(len(batch[0]))
        found = nn.functional.binary_cross_entropy_with_logits(module(batch[0]), batch[1])
        return found * float("nan") if self.calls == self.spoil_at else found

    def meet(self, samples: int) -> None:
        """Let happen what is to happen at this call."""
        self.calls += 1
        time.sleep(self.pause_s)
        if self.calls == self.stop_at:
            raise Interrupted
        if self.calls == self.tell_at and os.environ.get("LOCAL_RANK", "0") == "0":
            os.kill(os.getpid(), signal.SIGTERM)
        if samples > self.room:
            raise torch.cuda.OutOfMemoryError("not enough")


class Pair(nn.Module):
    """An autoencoder and its discriminator, which is the mean of a linear layer."""

    def __init__(self) -> None:
        super().__init__()
        self.coder = nn.Sequential(nn.Linear(6, 3), nn.Tanh(), nn.Dropout(0.2), nn.Linear(3, 6))
        self.judge = nn.Linear(6, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        coded = self.coder(x)
        return coded, self.judge(coded), self.judge(x)


@dataclass
class Adversarial(Small):
    """Two optimisers, of which one has a schedule."""

    def turns(self) -> list[Turn]:
        coder = torch.optim.SGD(self.module.coder.parameters(), lr=0.05, momentum=0.9)
        judge = torch.optim.Adam(self.module.judge.parameters(), lr=0.02)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(judge, 4)
        return [Turn("coder", coder, None, self.code), Turn("judge", judge, schedule, self.tell_apart)]

    def code(self, module, batch) -> Tensor:
        self.meet(len(batch[0]))
        coded, made, _ = module(batch[0])
        return (coded - batch[0]).square().mean() - 0.1 * made.mean()

    def tell_apart(self, module, batch) -> Tensor:
        self.meet(len(batch[0]))
        _, made, given = module(batch[0])
        loss = nn.functional.binary_cross_entropy_with_logits
        return loss(made, torch.zeros_like(made)) + loss(given, torch.ones_like(given))


@dataclass
class Plain(Small):
    """Nothing random in the network, no statistics of batches, and batches of different size, down to one sample."""

    def batches(self, epoch: int) -> Iterator[dict[str, Any]]:
        for rows in np.split(np.random.permutation(len(X)), [7, 8, 16]):  # noqa: NPY002
            yield {"x": X[rows], "more": [Y[rows]]}

    def loss(self, module, batch) -> Tensor:
        return super().loss(module, (batch["x"], batch["more"][0]))


def small(**changed: Any) -> Small:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.3), nn.Linear(8, 1))
    return Small(network, **changed)


def adversarial(**changed: Any) -> Adversarial:
    torch.manual_seed(0)
    return Adversarial(Pair(), **changed)


def plain(**changed: Any) -> Plain:
    torch.manual_seed(0)
    return Plain(nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 1)), **changed)


def bits(module: nn.Module) -> dict[str, bytes]:
    return {name: tensor.numpy().tobytes() for name, tensor in module.state_dict().items()}


def left(folder: Path) -> dict[str, Any]:
    """What a training leaves in its folder, to be compared."""
    assert {path.name for path in folder.iterdir()} == {CHECKPOINT, HISTORY}
    checkpoint = torch.load(folder / CHECKPOINT, weights_only=True)
    return {"history": (folder / HISTORY).read_bytes(), "checkpoint": _comparable(checkpoint)}


def _comparable(one: Any) -> Any:
    if isinstance(one, Tensor):
        return one.dtype, one.shape, one.numpy().tobytes()
    if isinstance(one, dict):
        return {name: _comparable(value) for name, value in one.items()}
    return [_comparable(value) for value in one] if isinstance(one, (list, tuple)) else one


if __name__ == "__main__":
    train(small(pause_s=0.05), **SETTINGS, folder=Path(sys.argv[1]))
