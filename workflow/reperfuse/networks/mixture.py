"""The mixture-residual block, whose shortcut is mixed with what two attentions see in it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from reperfuse.networks.coordinate_attention import CoordinateAttention3d
from reperfuse.networks.efficient_attention import EfficientSelfAttention3d

Kind = Literal["softmax", "sum", "concat", "gated"]
Place = Literal["skip", "main"]
SLOPE = 0.01
# Channels by hidden units of the gate.
GATE_REDUCTION = 8


class InstanceNorm(nn.InstanceNorm3d):
    """Instance normalisation with scale and shift; a single voxel, which has no spread, is only scaled and shifted."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels, affine=True)

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, C, D, H, W) for features of that shape."""
        if x[0, 0].numel() > 1:
            return super().forward(x)
        return x * self.weight[:, None, None, None] + self.bias[:, None, None, None]


def convolution(
    before: int, after: int, kernel: int | Sequence[int], stride: int | Sequence[int]
) -> nn.Sequential:
    """Return a convolution that keeps the size at stride 1, and instance normalisation."""
    sizes = (kernel,) * 3 if isinstance(kernel, int) else tuple(kernel)
    strides = (stride,) * 3 if isinstance(stride, int) else tuple(stride)
    conv = nn.Conv3d(before, after, sizes, strides, [size // 2 for size in sizes], bias=False)  # type: ignore[arg-type]
    return nn.Sequential(conv, InstanceNorm(after))


class Mixture(nn.Module):
    """Of features p: a mixture of p, coordinate attention of p and efficient self-attention of p.

    Parameters
    ----------
    channels : int
    coordinate, attention : bool
        Which of the two attentions take part; without both it is p.
    kind : {"softmax", "sum", "concat", "gated"}
        Weights that are the softmax of learned numbers; no weights; a 1×1×1 convolution of all side by side; or
        weights that are the softmax of what a small network makes of the averages of p's channels.
    coordinate_reduction, heads, reduction : int
        Of the attentions.
    """

    no_decay: tuple[str, ...] = ()

    def __init__(
        self, channels: int, *, coordinate: bool, attention: bool, kind: Kind, coordinate_reduction: int, heads: int,
        reduction: int,
    ) -> None:  # fmt: skip
        super().__init__()
        if kind not in get_args(Kind):
            raise ValueError(f"mixture is {kind!r}; expected one of {', '.join(get_args(Kind))}")
        self.attentions = nn.ModuleList()
        if coordinate:
            self.attentions.append(CoordinateAttention3d(channels, reduction=coordinate_reduction))
        if attention:
            self.attentions.append(EfficientSelfAttention3d(channels, heads=heads, reduction=reduction))
        n = 1 + len(self.attentions)
        self.kind: Kind = kind if n > 1 else "sum"
        if self.kind == "softmax":
            self.logits, self.no_decay = nn.Parameter(torch.zeros(n)), ("logits",)
        elif self.kind == "concat":
            self.join = nn.Conv3d(n * channels, channels, 1)
        elif self.kind == "gated":
            hidden = max(1, channels // GATE_REDUCTION)
            self.gate = nn.Sequential(nn.Linear(channels, hidden), nn.SiLU(), nn.Linear(hidden, n))

    def forward(self, p: Tensor) -> Tensor:
        """Return (B, C, D, H, W) for features of that shape."""
        terms = [p, *(one(p) for one in self.attentions)]
        if self.kind == "concat":
            joined: Tensor = self.join(torch.cat(terms, dim=1))
            return joined
        weights: Sequence[Tensor | float] = (1.0,) * len(terms)
        if self.kind == "softmax":
            weights = self.logits.softmax(0).unbind(0)
        elif self.kind == "gated":
            weights = self.gate(p.mean((2, 3, 4))).softmax(1)[..., None, None, None, None].unbind(1)
        mixed = terms[0] * weights[0]
        for term, weight in zip(terms[1:], weights[1:], strict=True):
            mixed = mixed + term * weight
        return mixed


class MixtureResidual(nn.Module):
    """A residual block, F(x) + mixture(p), F two convolutions and p the shortcut, with an activation after it.

    Parameters
    ----------
    before, after : int
        Channels of the input and of the output.
    stride : int
    place : {"skip", "main"}
        Whether the mixture is of the shortcut or of F(x).
    coordinate, attention, mixture, coordinate_reduction, heads, reduction
        As of `Mixture`.

    References
    ----------
    TRACT-NET (doi 10.1007/s10278-026-01892-5) names the block and its parts; how they are weighed is assumed.
    """

    def __init__(
        self, before: int, after: int, *, stride: int, place: Place, coordinate: bool, attention: bool, mixture: Kind,
        coordinate_reduction: int, heads: int, reduction: int,
    ) -> None:  # fmt: skip
        super().__init__()
        if place not in get_args(Place):
            raise ValueError(f"place is {place!r}; expected one of {', '.join(get_args(Place))}")
        self.place: Place = place
        self.main = nn.Sequential(
            convolution(before, after, 3, stride), nn.LeakyReLU(SLOPE), convolution(after, after, 3, 1)
        )
        same = stride == 1 and before == after
        self.shortcut = nn.Identity() if same else convolution(before, after, 1, stride)
        self.mixture = Mixture(
            after, coordinate=coordinate, attention=attention, kind=mixture, coordinate_reduction=coordinate_reduction,
            heads=heads, reduction=reduction,
        )  # fmt: skip
        self.activation = nn.LeakyReLU(SLOPE)

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, after, ⌈D/stride⌉, ⌈H/stride⌉, ⌈W/stride⌉) for (B, before, D, H, W)."""
        main, shortcut = self.main(x), self.shortcut(x)
        mixed = main + self.mixture(shortcut) if self.place == "skip" else self.mixture(main) + shortcut
        out: Tensor = self.activation(mixed)
        return out
