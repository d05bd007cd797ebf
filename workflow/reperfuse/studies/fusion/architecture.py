"""The study's network untrained, with or without a linear path beside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from reperfuse.networks.fusion_autoencoder import FusionAutoencoder
from reperfuse.networks.separable import SeparableConv3d
from reperfuse.studies.fusion.baselines import VoxelPca, fit_voxel_pca, with_mirrored
from reperfuse.studies.fusion.names import UNET

Array = np.ndarray
# What the local convolutions see is multiplied by this: most voxels lie near 0, and they have no norms.
LOUDER = 3.0


def build(kind: str, network: Mapping[str, Any], n_contrasts: int, mask: Array, *, linear: bool) -> nn.Module:
    """Return an untrained network.

    Parameters
    ----------
    kind : str
        ``unet`` has skips; all others have none.
    network : mapping
        Settings of `reperfuse.networks.fusion_autoencoder.FusionAutoencoder`.
    n_contrasts : int
    mask : ndarray of bool, shape (S, R, L)
    linear : bool
        Whether it has a linear path; see `AroundComponents`.
    """
    module = FusionAutoencoder(contrasts=n_contrasts, skips=kind == UNET, **network)
    if not linear:
        return module
    return AroundComponents(
        module,
        mask,
        length=module.code_length(mask.shape),
        n_contrasts=n_contrasts,
        width=network["widths"][0],
    )


class AroundComponents(nn.Module):
    """A network whose code begins as principal components of the voxels, and whose images begin as theirs.

    With x the voxels in the mask, m their mean, P orthonormal components and s the standard deviations of their scores,
    the code is z = P (x − m) + s encoder(x), the image y + r(3y, 3d) with y = m + Pᵀ z and d = decoder(z / s), where
    r is a few local convolutions. The last layers of encoder and r begin at 0; P, m and s stay. The code keeps the
    order and the size of the components' variances, and all that the image is made from comes out of it.

    Parameters
    ----------
    network : FusionAutoencoder
    mask : ndarray of bool, shape (S, R, L)
    length : int
        Of the code.
    n_contrasts : int
        M.
    width : int
        Channels of r.
    """

    components: Tensor
    mean: Tensor
    sd: Tensor
    where: Tensor

    def __init__(self, network: Any, mask: Array, *, length: int, n_contrasts: int, width: int) -> None:
        super().__init__()
        self.network = network
        self.refine = nn.Sequential(
            nn.Conv3d(2 * n_contrasts, width, 3, padding=1),
            nn.ELU(),
            SeparableConv3d(width, width, stride=1),
            nn.ELU(),
            nn.Conv3d(width, n_contrasts, 1),
        )
        for layer in self.refine.modules():
            if isinstance(layer, nn.Conv3d):
                nn.init.kaiming_normal_(layer.weight)
        size = n_contrasts * int(mask.sum())
        self.register_buffer("components", torch.zeros(length, size))
        self.register_buffer("mean", torch.zeros(size))
        self.register_buffer("sd", torch.ones(length))
        self.register_buffer("where", torch.from_numpy(np.flatnonzero(mask)), persistent=False)

    def begin(self, images: Array, mask: Array, *, mirrored: bool) -> None:
        """Take components from training images (n, M, S, R, L), and from their mirror images where asked for."""
        lasts: tuple[Any, ...] = (self.network.to_code, self.refine[-1])
        for layer in lasts:
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)
        if len(images) < 2:
            return
        shown = with_mirrored(images) if mirrored else images
        found: VoxelPca = fit_voxel_pca(shown, mask, most=len(self.components))
        k = len(found.components)
        scores = np.stack([found.encode(one, np.empty(0))[0] for one in shown])
        self.components[:k] = torch.from_numpy(found.components)
        self.mean[:] = torch.from_numpy(found.mean)
        self.sd[:k] = torch.from_numpy(scores.std(axis=0))
        self.sd[k:] = self.sd[k - 1]  # of what only the network can use

    @property
    def n_fixed(self) -> int:
        """How many numbers of the linear path stay as they are."""
        return self.components.numel() + self.mean.numel() + self.sd.numel()

    def code_length(self, shape: Sequence[int]) -> int:
        """Return how many numbers the embedding has."""
        return len(self.components)

    def encode(self, images: Tensor, available: Tensor | None) -> tuple[Tensor, list[Tensor]]:
        """As `FusionAutoencoder` has it; what is hidden is as the mean."""
        codes, skips = self.network.encode(images, available)
        values = images.flatten(2)[:, :, self.where] - self.mean.view(images.shape[1], -1)
        if available is not None:
            values = values * available[:, :, None]
        return codes * self.sd + values.flatten(1) @ self.components.T, skips

    def decode(self, codes: Tensor, skips: Sequence[Tensor], shape: Sequence[int]) -> Tensor:
        """As `FusionAutoencoder` has it."""
        fine: Tensor = self.network.decode(codes / self.sd, skips, shape)
        linear = torch.zeros_like(fine).flatten(2)
        linear[:, :, self.where] = (
            (self.mean + codes @ self.components).view(*fine.shape[:2], -1).to(fine.dtype)
        )
        linear = linear.view_as(fine)
        images: Tensor = linear + self.refine(LOUDER * torch.cat([linear, fine], dim=1))
        return images

    def forward(self, images: Tensor, available: Tensor | None = None) -> Tensor:
        """Return images as they come out, (B, M, S, R, L)."""
        codes, skips = self.encode(images, available)
        return self.decode(codes, skips, images.shape[2:])
