"""Separable convolutions in three dimensions, and the blocks that the fusion autoencoder is made of."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

from torch import Tensor, nn
from torch.nn import functional

from reperfuse.networks.depthwise import depthwise, is_faster

Convolution = Literal["separable", "standard"]
Norm = Literal["group", "batch", "none"]
KERNEL = 3
IN_A_FLOW = 3


class SeparableConv3d(nn.Module):
    """A 3×3×3 convolution of every channel by itself, then a 1×1×1 convolution across channels; no bias.

    Parameters
    ----------
    in_channels, out_channels : int
    stride : int
        Of the first.

    References
    ----------
    arXiv 2303.15963: of 96 channels on 96 it has 27·96 + 96² = 11 808 weights where a standard convolution has
    27·96² = 248 832, which is 21.07 times as many.
    """

    def __init__(self, in_channels: int, out_channels: int, *, stride: int) -> None:
        super().__init__()
        self.stride = stride
        self.depthwise = nn.Conv3d(
            in_channels, in_channels, KERNEL, stride=stride, padding=1, groups=in_channels, bias=False
        )
        self.pointwise = nn.Conv3d(in_channels, out_channels, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, out_channels, ⌈D/stride⌉, ⌈H/stride⌉, ⌈W/stride⌉) for (B, in_channels, D, H, W)."""
        if is_faster(x):
            features = depthwise(x, self.depthwise.weight, self.stride).movedim(1, -1)
            return functional.linear(features, self.pointwise.weight.flatten(1)).movedim(-1, 1)
        out: Tensor = self.pointwise(self.depthwise(x))
        return out


def normalisation(norm: Norm, channels: int, groups: int) -> nn.Module:
    """Return the layer; a group normalisation has the largest divisor of ``channels`` that is at most ``groups``.

    Raises
    ------
    ValueError
        For any other ``norm``.
    """
    if norm == "group":
        return nn.GroupNorm(max(n for n in range(1, groups + 1) if channels % n == 0), channels)
    if norm == "batch":
        return nn.BatchNorm3d(channels)
    if norm == "none":
        return nn.Identity()
    raise ValueError(f"norm is {norm!r}; expected one of {', '.join(get_args(Norm))}")


class ConvNorm(nn.Sequential):
    """A 3×3×3 convolution, a normalisation and an ELU.

    Parameters
    ----------
    in_channels, out_channels : int
    stride : int
    convolution : {"separable", "standard"}
    norm : {"group", "batch", "none"}
    groups : int
        Of ``group``, at most.

    Raises
    ------
    ValueError
        For any other ``convolution`` or ``norm``.
    """

    def __init__(
        self, in_channels: int, out_channels: int, *, stride: int, convolution: Convolution, norm: Norm, groups: int
    ) -> None:  # fmt: skip
        if convolution not in get_args(Convolution):
            raise ValueError(
                f"convolution is {convolution!r}; expected one of {', '.join(get_args(Convolution))}"
            )
        conv: nn.Module = (
            SeparableConv3d(in_channels, out_channels, stride=stride)
            if convolution == "separable"
            else nn.Conv3d(in_channels, out_channels, KERNEL, stride=stride, padding=1, bias=False)
        )
        super().__init__(conv, normalisation(norm, out_channels, groups), nn.ELU(inplace=True))


class MidFlow(nn.Module):
    """Three blocks and dropout beside the identity, after the open code of arXiv 2303.15963's second author.

    Parameters
    ----------
    width : int
        Channels.
    convolution, norm, groups
        As in `ConvNorm`.
    dropout : float
    """

    def __init__(
        self, width: int, *, convolution: Convolution, norm: Norm, groups: int, dropout: float
    ) -> None:  # fmt: skip
        super().__init__()
        self.blocks = nn.Sequential(
            *(
                ConvNorm(width, width, stride=1, convolution=convolution, norm=norm, groups=groups)
                for _ in range(IN_A_FLOW)
            ),
            nn.Dropout(dropout),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, width, D, H, W) for features of that shape."""
        out: Tensor = x + self.blocks(x)
        return out


def n_weights(module: nn.Module) -> int:
    """Return how many numbers a module has to learn."""
    return sum(one.numel() for one in module.parameters())


def block_weights(channels: Sequence[int]) -> dict[Convolution, int]:
    """Return the weights of a convolution from and to so many channels, separable and standard."""
    before, after = channels
    return {
        "separable": n_weights(SeparableConv3d(before, after, stride=1)),
        "standard": before * after * KERNEL**3,
    }
