"""What the network is held against: components of the voxels, and MONAI's variational autoencoder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from reperfuse.studies.fusion.training import Batch, Reconstructing, squared_error

Array = np.ndarray
# Channels at full size and after each of six halvings, few enough to train in the budget of the network.
CHANNELS = (8, 8, 16, 16, 32, 32, 32)
GROUPS = 8
# Of the divergence from the normal distribution in the loss; latent diffusion's (Rombach et al., CVPR 2022).
KL_WEIGHT = 1e-6


@dataclass(frozen=True)
class VoxelPca:
    """Principal components of the voxels of all contrasts.

    Parameters
    ----------
    mask : ndarray of bool, shape (S, R, L)
    mean : ndarray, shape (M·V,)
        V voxels lie in the mask.
    components : ndarray, shape (k, M·V)
        Orthonormal rows.
    """

    mask: Array
    mean: Array
    components: Array

    def encode(self, image: Array, there: Array) -> tuple[Array, list[Tensor]]:
        """Return a patient's (k) scores; nothing passes around them."""
        return self.components @ (_voxels(image[None], self.mask)[0] - self.mean), []

    def decode(self, code: Array, skips: list[Tensor], shape: Sequence[int]) -> Array:
        """Return (M, S, R, L) float32."""
        values = (self.mean + code @ self.components).reshape(-1, int(self.mask.sum()))
        found = np.zeros((len(values), *self.mask.shape), dtype=np.float32)
        found[:, self.mask] = values
        return found

    @property
    def n_parameters(self) -> int:
        """Mean and components."""
        return self.mean.size + self.components.size


def fit_voxel_pca(images: Array, mask: Array, *, most: int) -> VoxelPca:
    """Return as many exact principal components as asked for, or one fewer than there are patients.

    They come from the (n, n) products of patients, so that no (voxels, voxels) matrix is made.

    Parameters
    ----------
    images : ndarray, shape (n, M, S, R, L)
        Of training patients who have every contrast.
    mask : ndarray of bool, shape (S, R, L)
    most : int
        Length of the network's code.
    """
    values = _voxels(images, mask)
    mean = values.mean(axis=0)
    values -= mean
    weights, vectors = np.linalg.eigh((values @ values.T).astype(np.float64))
    k = min(most, len(values) - 1)
    weights, vectors = weights[::-1][:k], vectors[:, ::-1][:, :k]
    kept = weights > 1e-7 * max(float(weights[0]), np.finfo(float).tiny) if k else np.zeros(0, dtype=bool)
    scaled = (vectors[:, kept] / np.sqrt(weights[kept])).astype(np.float32)
    components = scaled.T @ values
    largest = components[np.arange(len(components)), np.abs(components).argmax(axis=1)]
    return VoxelPca(mask, mean, components * np.sign(largest)[:, None])


def with_mirrored(images: Array) -> Array:
    """Return images (n, M, S, R, L) and after them their mirror images, left and right exchanged."""
    return np.concatenate([images, images[..., ::-1]])


class Variational(nn.Module):
    """MONAI's AutoencoderKL, whose six halvings leave a code of the network's length.

    Parameters
    ----------
    contrasts : int
    code : int
        Numbers for each block of 64 voxels along every axis.
    """

    def __init__(self, contrasts: int, code: int) -> None:
        from monai.networks.nets.autoencoderkl import AutoencoderKL  # takes its time

        super().__init__()
        self.code = code
        self.network = AutoencoderKL(
            spatial_dims=3, in_channels=contrasts, out_channels=contrasts, num_res_blocks=[1] * len(CHANNELS),
            channels=CHANNELS, attention_levels=[False] * len(CHANNELS), latent_channels=code,
            norm_num_groups=GROUPS, with_encoder_nonlocal_attn=False, with_decoder_nonlocal_attn=False,
        )  # fmt: skip

    def forward(self, images: Tensor, available: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
        """Return images, and means and standard deviations of the codes (B, code, ·, ·, ·)."""
        found: tuple[Tensor, Tensor, Tensor] = self.network(images)
        return found

    def encode(self, images: Tensor, available: Tensor | None = None) -> tuple[Tensor, list[Tensor]]:
        """Return the means of the codes, (B, k); nothing passes around them."""
        mean, _ = self.network.encode(images)
        return mean.flatten(1), []

    def decode(self, codes: Tensor, skips: list[Tensor], shape: Sequence[int]) -> Tensor:
        """Return (B, M, S, R, L)."""
        found: Tensor = self.network.decode(codes.view(len(codes), self.code, *(n // 64 for n in shape)))
        return found


class Inferring(Reconstructing):
    """The training of `Variational`: the same patients, order and steps, and its own loss."""

    def loss(self, module: Any, batch: Batch) -> Tensor:
        """Return the mean over samples of squared error and divergence."""
        found, mean, sd = module(batch["images"])
        variance = sd.float() ** 2
        divergence = 0.5 * (mean.float() ** 2 + variance - torch.log(variance) - 1).flatten(1).sum(dim=1)
        return squared_error(found, batch) + KL_WEIGHT * divergence.mean()


def _voxels(images: Array, mask: Array) -> Array:
    """Return (n, M·V) float32."""
    return images[:, :, mask].reshape(len(images), -1).astype(np.float32)
