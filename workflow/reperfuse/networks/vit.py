"""A vision transformer for volumes, small enough to be trained on a few hundred of them."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional


class VisionTransformer(nn.Module):
    """Patches of a volume, embedded by one convolution, through a pre-norm transformer with a token for the class.

    Parameters
    ----------
    in_channels, n_classes : int
    shape : sequence of int
        Of the volumes. An axis that is no multiple of the patch is filled up with zeros at its end.
    patches : int
        Most patches along each axis.
    width, layers, heads : int
        Of the tokens; the layers' hidden width is four times that.
    dropout : float
        In the layers and before the last one.

    References
    ----------
    Dosovitskiy et al., ICLR 2021. MONAI's needs a package more for the same arithmetic.
    """

    no_decay = ("position", "token")

    def __init__(
        self, in_channels: int, n_classes: int, *, shape: Sequence[int], patches: int, width: int, layers: int,
        heads: int, dropout: float,
    ) -> None:  # fmt: skip
        super().__init__()
        patch = [math.ceil(n / patches) for n in shape]
        self.padding = [one for n, p in zip(shape[::-1], patch[::-1], strict=True) for one in (0, -n % p)]
        self.shape = tuple(shape)
        tokens = math.prod(math.ceil(n / p) for n, p in zip(shape, patch, strict=True))
        p0, p1, p2 = patch
        self.embed = nn.Conv3d(in_channels, width, (p0, p1, p2), (p0, p1, p2))
        self.token = nn.Parameter(torch.zeros(1, 1, width))
        self.position = nn.Parameter(torch.zeros(1, tokens + 1, width))
        nn.init.trunc_normal_(self.token, std=0.02)
        nn.init.trunc_normal_(self.position, std=0.02)
        self.layers = nn.Sequential(
            *(
                nn.TransformerEncoderLayer(
                    width, heads, 4 * width, dropout, activation="gelu", batch_first=True, norm_first=True
                )
                for _ in range(layers)
            )
        )
        self.head = nn.Sequential(nn.LayerNorm(width), nn.Dropout(dropout), nn.Linear(width, n_classes))

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits, (B, n_classes), for (B, C, D, H, W) of the shape that it was made for."""
        if tuple(x.shape[2:]) != self.shape:
            raise ValueError(f"volumes are {tuple(x.shape[2:])}; expected {self.shape}")
        tokens = self.embed(functional.pad(x, self.padding)).flatten(2).transpose(1, 2)
        tokens = torch.cat([self.token.expand(len(x), -1, -1), tokens], dim=1) + self.position
        logits: Tensor = self.head(self.layers(tokens)[:, 0])
        return logits
