"""The recurrent network in its modes: fitted on some voxels, and applied to others or to a whole brain."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from reperfuse.core.seeds import seed_of
from reperfuse.learning.training import train
from reperfuse.networks.lstm import VoxelLSTM
from reperfuse.studies.transformation.batches import Voxels, in_order, shuffled
from reperfuse.studies.transformation.dense import likelihood
from reperfuse.studies.transformation.features import Scaling, diffusion
from reperfuse.studies.transformation.names import Mode
from reperfuse.studies.transformation.scan import Sample, Scan

Array = np.ndarray
N_DWI = 18
# Steps between checkpoints, and voxels of one batch of a prediction.
EVERY, CHUNK = 200, 8192


@dataclass
class Training:
    """See `reperfuse.learning.training.Task`."""

    module: VoxelLSTM
    voxels: Voxels
    lr: float
    batch: int
    seed: int

    def optimiser(self) -> tuple[torch.optim.Optimizer, None]:
        """Return Adam."""
        return torch.optim.Adam(self.module.parameters(), lr=self.lr), None

    def batches(self, epoch: int) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """Yield curves, static values and labels in an order of the epoch's own."""
        return shuffled(self.voxels, epoch, batch=self.batch, seed=self.seed)

    def loss(self, module: Any, batch: tuple[Tensor, Tensor, Tensor]) -> Tensor:
        """Return the mean cross entropy."""
        curves, static, labels = batch
        return nn.functional.cross_entropy(module(curves, static), labels)


@dataclass(frozen=True)
class Recurrent:
    """A fitted network.

    Parameters
    ----------
    module : VoxelLSTM
    mode : Mode
        What it sees.
    scaling : Scaling
        Of the voxels that it was fitted on.
    parameters : mapping
        Keys of ``lstm`` of the configuration.
    history : list of float
        Mean loss of each epoch.
    seen : frozenset of str
        Patients whose voxels it was fitted on, scaling included.
    device : torch.device or str
    """

    module: VoxelLSTM
    mode: Mode
    scaling: Scaling
    parameters: Mapping[str, Any]
    history: list[float]
    seen: frozenset[str]
    device: Any

    def predict(self, sample: Sample) -> Array:
        """Return (n,) probabilities of HT."""
        module, found = self.module.eval().to(self.device), []
        voxels = tensors(sample, self.mode, self.scaling)
        with torch.inference_mode():
            for curves, static, _ in in_order(voxels, batch=CHUNK):
                logits = module(curves.to(self.device), static.to(self.device))
                found.append(torch.softmax(logits.double(), dim=1)[:, 1].cpu().numpy())
        return np.concatenate(found) if found else np.empty(0)

    def predict_brain(self, scan: Scan, where: Array) -> Array:
        """Return (n,) probabilities of the voxels (x, y, z) bool, in C order."""
        module, scaling = self.module.eval().to(self.device), self.scaling
        return np.asarray(
            likelihood(
                module, scaling.curves(scan.concentration),
                scaling.aif(scan.aif) if self.mode.aif else None, static_of(scan, where, self.mode, scaling),
                where, device=self.device, chunk=CHUNK,
            )
        )  # fmt: skip


def tensors(sample: Sample, mode: Mode, scaling: Scaling) -> Voxels:
    """Return voxels as the network takes them: scaled, and only what the mode sees."""
    return Voxels(
        curves=torch.from_numpy(scaling.curves(sample.curves)),
        labels=torch.from_numpy(sample.y.astype(np.int64)),
        patient=torch.from_numpy(np.asarray(sample.who, dtype=np.int64)),
        aif=torch.from_numpy(scaling.aif(sample.aif)) if mode.aif else None,
        dwi=torch.from_numpy(sample.dwi) if mode.dwi else None,
        clinical=torch.from_numpy(scaling.clinical(sample.clinical)) if mode.clinical else None,
    )


def network(mode: Mode, parameters: Mapping[str, Any], *, n_points: int, n_clinical: int) -> VoxelLSTM:
    """Return the untrained network of a mode."""
    return VoxelLSTM(
        n_inputs=9 + mode.aif, n_dwi=N_DWI * mode.dwi, n_clinical=n_clinical * mode.clinical,
        hidden=parameters["hidden"], output=parameters["output"], n_points=n_points,
    )  # fmt: skip


def fit(
    sample: Sample,
    mode: Mode,
    parameters: Mapping[str, Any],
    *,
    seed: int,
    folder: Path,
    device: Any,
    devices: int,
) -> Recurrent:
    """Train a network on all voxels of a sample.

    Parameters
    ----------
    sample : Sample
        Training patients alone.
    mode : Mode
    parameters : mapping
        ``lstm`` of the configuration.
    seed : int
        Of weights and order.
    folder : Path
        Of the checkpoint; named after whatever shapes the training.
    device, devices : torch.device or str, int
        See `reperfuse.learning.training.train`.

    Raises
    ------
    Refusal
        E170: the loss became infinite; E171: memory does not suffice.
    """
    scaling = Scaling.of(sample.curves, sample.aif, sample.clinical)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        module = network(
            mode, parameters, n_points=sample.curves.shape[1], n_clinical=sample.clinical.shape[1]
        )
    voxels = tensors(sample, mode, scaling)
    task = Training(module, voxels, parameters["lr"], parameters["batch"], seed_of(seed, "order"))
    history = train(
        task, epochs=parameters["epochs"], seed=seed, device=device, devices=devices,
        precision=parameters["precision"], clip_norm=parameters["clip_norm"], every=EVERY,
        ema_decay=parameters["ema_decay"], folder=folder,
    )  # fmt: skip
    return Recurrent(module, mode, scaling, parameters, history, frozenset(sample.participants), device)


def static_of(scan: Scan, where: Array, mode: Mode, scaling: Scaling) -> Array | None:
    """Return what does not change with time, (x, y, z, s) float32 that is 0 elsewhere; None where the mode has none."""
    if not (mode.dwi or mode.clinical):
        return None
    at = np.argwhere(where)
    parts = [diffusion(scan.diffusion, at)] if mode.dwi else []
    if mode.clinical:
        parts.append(np.broadcast_to(scaling.clinical(scan.clinical), (len(at), len(scan.clinical))))
    values = np.concatenate(parts, axis=1)
    found = np.zeros((*where.shape, values.shape[1]), dtype=np.float32)
    found[where] = values
    return found
