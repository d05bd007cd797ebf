"""The autoencoder that makes one embedding of several contrasts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Any, Literal, cast, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from reperfuse.networks.separable import ConvNorm, Convolution, MidFlow, Norm, n_weights, normalisation

Output = Literal["linear", "sigmoid"]
N_LEVELS = 4  # of halvings after the two of each contrast
FACTOR = 64  # voxels along each axis for one place of the embedding


def code_grid(shape: Sequence[int]) -> tuple[int, int, int]:
    """Return the places of the embedding along the axes of images of ``shape``.

    Raises
    ------
    ValueError
        Unless ``shape`` has three sizes, each a multiple of 64.
    """
    if len(shape) != 3 or any(n < FACTOR or n % FACTOR for n in shape):
        raise ValueError(f"images are {'×'.join(map(str, shape))}; expected three multiples of {FACTOR}")
    s, r, left = (n // FACTOR for n in shape)
    return s, r, left


def _doubled(x: Tensor) -> Tensor:
    return functional.interpolate(x, scale_factor=2.0, mode="trilinear", align_corners=False)


class Up(nn.Module):
    """Twice as many voxels along every axis, perhaps with a skip added, then further layers."""

    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        self.layers = nn.Sequential(*layers)

    def forward(self, x: Tensor, skip: Tensor | None = None) -> Tensor:
        """Return (B, C', 2D, 2H, 2W) for (B, C, D, H, W) and a skip of (B, C, 2D, 2H, 2W)."""
        up = _doubled(x)
        out: Tensor = self.layers(up if skip is None else up + skip)
        return out


class FusionAutoencoder(nn.Module):
    """An encoder for each contrast, one embedding of all of them, and a decoder with a head for each contrast.

    Every contrast is halved twice by itself; the contrasts are joined, and halved four times more. The embedding has
    ``code`` numbers for each block of 64³ voxels: 1536 at 256×256×192. The decoder mirrors that.

    Parameters
    ----------
    contrasts : int
        How many, M.
    widths : sequence of int
        Channels after the first and the second step of each contrast's encoder, and of the fused flow.
    code : int
    mid_flows : int
        At each level.
    convolution, norm, groups
        As in `ConvNorm`. Batch normalisation cannot be trained with a batch of one where the embedding has one place.
    dropout : float
        Of every mid-flow.
    output : {"linear", "sigmoid"}
    checkpointing : bool
        Whether a level's features are computed again for the gradient rather than kept.
    skips : bool
        Whether features are added to those of the decoder at the four levels between the embedding and a quarter of
        the resolution. They carry detail around the embedding.

    Raises
    ------
    ValueError
        If a setting is not among its choices, or ``widths`` are not three.

    References
    ----------
    arXiv 2303.15963. Known from there are separable convolutions, the number of their weights, the embedding's
    length and skip connections; the widths follow the second author's open code (github.com/simeon-spasov/MCI), and
    the rest is assumed.
    """

    def __init__(
        self, *, contrasts: int, widths: Sequence[int], code: int, mid_flows: int, convolution: Convolution,
        norm: Norm, groups: int, dropout: float, output: Output, checkpointing: bool, skips: bool,
    ) -> None:  # fmt: skip
        super().__init__()
        if len(widths) != 3:
            raise ValueError(f"widths has {len(widths)} values; expected 3")
        if output not in get_args(Output):
            raise ValueError(f"output is {output!r}; expected one of {', '.join(get_args(Output))}")
        self.code, self.skips, self.checkpointing, self.output = code, skips, checkpointing, output
        first, second, width = widths
        kind: dict[str, Any] = {"convolution": convolution, "norm": norm, "groups": groups}

        def conv(before: int, after: int, stride: int) -> ConvNorm:
            return ConvNorm(before, after, stride=stride, **kind)

        def flows() -> list[nn.Module]:
            return [MidFlow(width, dropout=dropout, **kind) for _ in range(mid_flows)]

        self.encoders = nn.ModuleList(
            nn.Sequential(
                nn.Conv3d(1, first, 5, stride=2, padding=2, bias=False),
                normalisation(norm, first, groups),
                nn.ELU(inplace=True),
                conv(first, second, 2),
            )
            for _ in range(contrasts)
        )
        self.absent = nn.Parameter(torch.zeros(contrasts, second, 1, 1, 1))
        self.fuse = nn.Sequential(nn.Conv3d(contrasts * second, width, 1), *flows())
        self.down = nn.ModuleList(nn.Sequential(conv(width, width, 2), *flows()) for _ in range(N_LEVELS))
        self.to_code = nn.Conv3d(width, code, 1)
        self.from_code = nn.Conv3d(code, width, 1)
        self.up = nn.ModuleList(Up(conv(width, width, 1), *flows()) for _ in range(N_LEVELS))
        self.heads = nn.ModuleList(
            nn.Sequential(
                Up(conv(width, second, 1)),
                Up(conv(second, first, 1), nn.Conv3d(first, 1, 3, padding=1)),
            )
            for _ in range(contrasts)
        )

    def code_length(self, shape: Sequence[int]) -> int:
        """Return how many numbers the embedding of images of ``shape`` has; ValueError as in `code_grid`."""
        return self.code * prod(code_grid(shape))

    def _run(self, module: nn.Module, *given: Tensor) -> Tensor:
        if self.checkpointing and self.training and torch.is_grad_enabled():
            again: Tensor = checkpoint(module, *given, use_reentrant=False)
            return again
        out: Tensor = module(*given)
        return out

    def encode(self, images: Tensor, available: Tensor | None) -> tuple[Tensor, list[Tensor]]:
        """Return embeddings, and the features for the skips from fine to coarse, none without skips.

        Parameters
        ----------
        images : Tensor
            (B, M, S, R, L).
        available : Tensor or None
            (B, M), bool; what is hidden has learned features in its place, and its voxels do not matter unless they
            are not finite. None: everything is shown.

        Returns
        -------
        tuple of Tensor and list of Tensor
            (B, k), and four of (B, width, ·, ·, ·).

        Raises
        ------
        ValueError
            As in `code_grid`, and if there are more or fewer contrasts than the network was made for.
        """
        code_grid(images.shape[2:])
        if images.shape[1] != len(self.encoders):
            raise ValueError(f"images have {images.shape[1]} contrasts; expected {len(self.encoders)}")
        if available is None:  # all the same in the graph: devices side by side wait for every gradient
            available = images.new_ones(images.shape[:2], dtype=torch.bool)
        seen = [
            torch.where(
                available[:, i, None, None, None, None], self._run(one, images[:, i : i + 1]), self.absent[i]
            )
            for i, one in enumerate(self.encoders)
        ]
        maps = [self._run(self.fuse, torch.cat(seen, dim=1))]
        for level in self.down:
            maps.append(self._run(level, maps[-1]))
        return self.to_code(maps.pop()).flatten(1), maps if self.skips else []

    def decode(self, codes: Tensor, skips: Sequence[Tensor], shape: Sequence[int]) -> Tensor:
        """Return images (B, M, S, R, L) of ``shape`` for embeddings (B, k) and the skips that `encode` gave."""
        x = self.from_code(codes.reshape(len(codes), self.code, *code_grid(shape)))
        for i, level in enumerate(self.up):
            x = self._run(level, x, *skips[len(skips) - 1 - i : len(skips) - i])
        images = []
        for head in self.heads:
            y = x
            for step in cast(nn.Sequential, head):  # by itself: one alone keeps most of what training keeps
                y = self._run(step, y)
            images.append(y)
        out = torch.cat(images, dim=1)
        return torch.sigmoid(out) if self.output == "sigmoid" else out

    def forward(self, images: Tensor, available: Tensor | None = None) -> Tensor:
        """Return images as they come out, (B, M, S, R, L); parameters and errors as in `encode`."""
        codes, skips = self.encode(images, available)
        return self.decode(codes, skips, images.shape[2:])


@dataclass(frozen=True)
class Size:
    """How large a network and its embedding are.

    Parameters
    ----------
    n_parameters, standard_equivalent : int
        Of the network, and of one of standard convolutions.
    code_length : int
    compression : float
        Voxels of all contrasts by the embedding's numbers.
    """

    n_parameters: int
    standard_equivalent: int
    code_length: int
    compression: float

    @property
    def ratio(self) -> float:
        """Standard by this."""
        return self.standard_equivalent / self.n_parameters


def parameters_of(contrasts: int, shape: Sequence[int], **network: Any) -> Size:
    """Return the size of the network of so many contrasts of ``shape``.

    Parameters
    ----------
    contrasts : int
    shape : sequence of int
    **network
        Settings of `FusionAutoencoder` other than ``contrasts`` and ``skips``, which add no parameters.

    Raises
    ------
    ValueError
        As in `code_grid` and `FusionAutoencoder`.
    """

    def built(convolution: str) -> FusionAutoencoder:
        with torch.device("meta"):  # shapes alone, no memory
            return FusionAutoencoder(
                contrasts=contrasts, skips=False, **{**network, "convolution": convolution}
            )

    net = built(network["convolution"])
    length = net.code_length(shape)
    return Size(n_weights(net), n_weights(built("standard")), length, contrasts * prod(shape) / length)
