"""Claim: the voxelwise LSTM sees twice as many voxels a second as with a plain data set and loader of patches.

Patches of 60 times with AIF and diffusion, in memory; batches of 256, cross-entropy, Adam. The peer is a data set of
one voxel at a time, PyTorch's loader with no worker or with two, and the module with PyTorch's LSTM; the quicker of
its two is compared. Both go through the same voxels in turn, epoch by epoch, by the clock; medians. Then what
each half takes by itself: the batches without a network, and the network on one batch again and again. The floor is
the matrix products of the recurrence and of its gradient, which nothing but other arithmetic would avoid.
Run: python benchmarks/voxel_training.py [voxels]
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from typing import Any

import torch
from suite import Measured, report, typical
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from reperfuse.networks.lstm import VoxelLSTM
from reperfuse.studies.transformation.batches import Voxels, shuffled

BATCH, PATIENTS, EPOCHS = 256, 40, 5
Batch = tuple[Tensor, Tensor, Tensor]


class PlainLSTM(VoxelLSTM):
    """The same network with PyTorch's own layer."""

    def state(self, curves: Tensor) -> Tensor:
        _, (last, _) = self.lstm(curves)
        return last[0]


class Patches(Dataset[Batch]):
    """One voxel at a time."""

    def __init__(self, voxels: Voxels) -> None:
        self.voxels = voxels

    def __len__(self) -> int:
        return len(self.voxels.labels)

    def __getitem__(self, i: int) -> Batch:
        known = self.voxels
        assert known.aif is not None and known.dwi is not None
        curves = torch.cat([known.curves[i], known.aif[known.patient[i]][:, None]], dim=1)
        return curves, known.dwi[i], known.labels[i]


def voxels_of(n: int) -> Voxels:
    """Return voxels of noise, for which time is that of any other."""
    torch.manual_seed(1)
    curves, patient = torch.randn(n, 60, 9), torch.arange(n) % PATIENTS
    return Voxels(curves, torch.arange(n) % 2, patient, torch.randn(PATIENTS, 60), torch.randn(n, 18))


class Training:
    """A network and its optimiser."""

    def __init__(self, kind: type[VoxelLSTM]) -> None:
        torch.manual_seed(2)
        self.module = kind(n_inputs=10, n_dwi=18, n_clinical=0, hidden=60, output="last", n_points=60)
        self.optimiser = torch.optim.Adam(self.module.parameters(), 1e-3)

    def __call__(self, batches: Iterable[Batch]) -> None:
        """Take one step for each batch."""
        for curves, static, labels in batches:
            self.optimiser.zero_grad()
            nn.functional.cross_entropy(self.module(curves, static), labels).backward()
            self.optimiser.step()


def look(batches: Iterable[Batch]) -> None:
    """Only take the batches."""
    for _ in batches:
        pass


def products(steps: int) -> None:
    """Multiply what one step multiplies: weights and state, their gradients, for each time."""
    weights, below, gates = torch.ones(240, 71), torch.ones(71, BATCH), torch.ones(240, BATCH)
    turned, back, gradient = torch.ones(60, 240), torch.ones(60, BATCH), torch.zeros(71, 240)
    for _ in range(60 * steps):
        torch.mm(weights, below, out=gates)
        torch.mm(turned, gates, out=back)
        torch.mm(below, gates.t(), out=gradient)


def in_turn(ways: dict[str, Callable[[int], None]]) -> dict[str, tuple[float, float]]:
    """Return the median seconds by the clock, and those of the processor, that each way takes for an epoch."""
    clock: dict[str, list[float]] = {name: [] for name in ways}
    work: dict[str, list[float]] = {name: [] for name in ways}
    for epoch in range(EPOCHS + 1):
        for name, way in ways.items():
            began = time.perf_counter(), time.process_time()
            way(epoch)
            if epoch:  # the first is slower
                clock[name].append(time.perf_counter() - began[0])
                work[name].append(time.process_time() - began[1])
    return {name: (typical(clock[name]), typical(work[name])) for name in ways}


def measure(n: int = 10_240) -> list[Measured]:
    """Compare an epoch, and its halves."""
    voxels = voxels_of(n)
    loaders = {
        workers: DataLoader(Patches(voxels), BATCH, shuffle=True, num_workers=workers) for workers in (0, 2)
    }
    mine, theirs = Training(VoxelLSTM), Training(PlainLSTM)
    one = voxels.take(torch.arange(BATCH))

    def ours(epoch: int) -> Iterator[Batch]:
        return shuffled(voxels, epoch, batch=BATCH, seed=1)

    def again() -> Iterable[Batch]:
        return chain.from_iterable([one] for _ in range(n // BATCH))

    found = in_turn({
        "ours": lambda epoch: mine(ours(epoch)),
        "no worker": lambda epoch: theirs(loaders[0]),
        "two workers": lambda epoch: theirs(loaders[2]),
        "our batches": lambda epoch: look(ours(epoch)),
        "no worker's batches": lambda epoch: look(loaders[0]),
        "two workers' batches": lambda epoch: look(loaders[2]),
        "our steps": lambda epoch: mine(again()),
        "plain steps": lambda epoch: theirs(again()),
        "products": lambda epoch: products(n // BATCH),
    })  # fmt: skip

    least = {"floor": found["products"][0], "floor_is": "the matrix products of the steps alone"}

    def row(
        name: str, way: str, peers: tuple[str, ...], peer_is: str, aim: str = "", **floor: Any
    ) -> Measured:
        best = min(peers, key=lambda peer: found[peer][0])
        remark = "by the clock; " + (f"the peer's best: {best}; " if len(peers) > 1 else "")
        remark += "of the processor " + ", ".join(f"{peer} {found[peer][1]:.3g} s" for peer in (way, *peers))
        seconds, work = found[way]
        return Measured(
            name, seconds, "s", n, "voxels", peer=found[best][0], peer_is=peer_is, cpu_s=work, aim=aim, remark=remark,
            **floor,
        )  # fmt: skip

    return [
        row("an epoch of the voxelwise LSTM", "ours", ("no worker", "two workers"),
            "a data set of one patch, PyTorch's loader and its LSTM", "ours/peer <= 0.5", **least),
        row("batches of an epoch, without the network", "our batches", ("no worker's batches", "two workers' batches"),
            "a data set of one patch and PyTorch's loader"),
        row("steps of an epoch, on one batch", "our steps", ("plain steps",),
            "the network with PyTorch's LSTM", **least),
    ]  # fmt: skip


if __name__ == "__main__":
    torch.set_num_threads(1)
    sys.exit(report(measure))
