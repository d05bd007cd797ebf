"""Claim: the training loop takes at most 10 % longer than a bare PyTorch loop on a small LSTM, 25 % on small batches.

The loop checks every loss and gradient, seeds each batch and step, and writes a checkpoint after each epoch and every
hundred steps. The bare loop does none of that: on the same batches, which lie in memory, it takes the same steps of
Adam. An LSTM of 60 units on 60 time points of 9 values; CPU seconds on one thread, both in turns, medians. The smaller
the batch, the more the loop weighs.
Run: python benchmarks/training_loop.py [steps]
"""

from __future__ import annotations

import contextlib
import io
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from suite import Measured, report, typical
from torch import Tensor, nn

from reperfuse.learning.training import train

BATCHES = (32, 128, 512)
ROUNDS = 5


class Network(nn.Module):
    """The last state of an LSTM, and a linear layer."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm, self.head = nn.LSTM(9, 60, batch_first=True), nn.Linear(60, 2)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.head(self.lstm(x)[0][:, -1])
        return out


@dataclass
class Curves:
    """See `reperfuse.learning.tasks.Task`."""

    module: nn.Module
    x: Tensor
    y: Tensor
    size: int

    def optimiser(self) -> tuple[torch.optim.Optimizer, None]:
        """Return Adam."""
        return torch.optim.Adam(self.module.parameters()), None

    def batches(self, epoch: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield curves and labels."""
        order = torch.randperm(len(self.x), generator=torch.Generator().manual_seed(epoch))
        for rows in order.split(self.size):
            yield self.x[rows], self.y[rows]

    def loss(self, module: Any, batch: tuple[Tensor, Tensor]) -> Tensor:
        """Return the cross-entropy."""
        return nn.functional.cross_entropy(module(batch[0]), batch[1])


def task(size: int, steps: int) -> Curves:
    """Return a network and curves for some steps."""
    torch.manual_seed(0)
    return Curves(Network(), torch.randn(size * steps, 60, 9), torch.randint(2, (size * steps,)), size)


def by_hand(given: Curves, epochs: int) -> None:
    """Train with nothing around it."""
    module, (optimiser, _) = given.module, given.optimiser()
    for epoch in range(epochs):
        for batch in given.batches(epoch):
            optimiser.zero_grad()
            given.loss(module, batch).backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(module.parameters(), 1.0)
            optimiser.step()


def ours(given: Curves, epochs: int) -> None:
    """Train by the loop."""
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        train(
            given, epochs=epochs, seed=1, device="cpu", devices=1, precision="32-true", clip_norm=1.0, every=100,
            ema_decay=0.0, folder=Path(folder),
        )  # fmt: skip


def seconds(loop: Any, size: int, steps: int) -> float:
    """Return the CPU seconds of two epochs."""
    given = task(size, steps)
    began = time.process_time()
    loop(given, 2)
    return time.process_time() - began


def measure(steps: int = 100) -> list[Measured]:
    """Train on batches of several sizes."""
    torch.set_num_threads(1)
    rows = []
    for size in BATCHES:
        seconds(ours, size, 5), seconds(by_hand, size, 5)
        found = [(seconds(ours, size, steps), seconds(by_hand, size, steps)) for _ in range(ROUNDS)]
        mine, bare = (1000 * typical(one) / (2 * steps) for one in zip(*found, strict=True))
        rows.append(
            Measured(
                "step of training, LSTM of 60", mine, "ms", size, "curves in a batch", cpu_s=mine / 1000,
                peer=bare, peer_is="a bare PyTorch loop on the same batches",
                aim=f"ours/peer <= {1.1 if size >= 128 else 1.25}",
            )
        )  # fmt: skip
    return rows


if __name__ == "__main__":
    sys.exit(report(measure))
