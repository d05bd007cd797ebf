"""Batches of voxels from memory: everything is a tensor once, and a batch is one gather."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from reperfuse.core.seeds import seed_of


@dataclass(frozen=True)
class Voxels:
    """Sampled voxels, scaled, on the device on which they are used.

    What a patient's voxels share is held once.

    Parameters
    ----------
    curves : Tensor
        (n, t, 9) float32.
    labels : Tensor
        (n,) int64, 0 or 1.
    patient : Tensor
        (n,) int64, row of ``aif`` and ``clinical``.
    aif : Tensor, optional
        (p, t): the tenth feature.
    dwi : Tensor, optional
        (n, 18).
    clinical : Tensor, optional
        (p, c).
    """

    curves: Tensor
    labels: Tensor
    patient: Tensor
    aif: Tensor | None = None
    dwi: Tensor | None = None
    clinical: Tensor | None = None

    def take(self, rows: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return curves (b, t, 9 or 10), static (b, s) and labels (b,) of these rows."""
        curves, of = self.curves[rows], self.patient[rows]
        if self.aif is not None:
            curves = torch.cat([curves, self.aif[of][:, :, None]], dim=2)
        parts = [self.dwi[rows]] if self.dwi is not None else []
        parts += [self.clinical[of]] if self.clinical is not None else []
        static = torch.cat(parts, dim=1) if parts else curves.new_empty(len(rows), 0)
        return curves, static, self.labels[rows]


def shuffled(voxels: Voxels, epoch: int, *, batch: int, seed: int) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Yield each voxel once, in an order that follows from seed and epoch alone.

    Parameters
    ----------
    voxels : Voxels
    epoch : int
    batch : int
        Voxels of a batch; the last may have fewer.
    seed : int

    Yields
    ------
    (curves, static, labels) of `Voxels.take`
    """
    generator = torch.Generator().manual_seed(seed_of(seed, "voxels", epoch))
    order = torch.randperm(len(voxels.labels), generator=generator).to(voxels.labels.device)
    for rows in order.split(batch):
        yield voxels.take(rows)


def in_order(voxels: Voxels, *, batch: int) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Yield all voxels as they are, for prediction."""
    for rows in torch.arange(len(voxels.labels), device=voxels.labels.device).split(batch):
        yield voxels.take(rows)
