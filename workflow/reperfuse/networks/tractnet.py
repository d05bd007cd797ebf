"""TRACT-NET: minor or non-minor stroke from a diffusion-weighted volume."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional

from reperfuse.networks.mamba import LARGEST_STEP, SMALLEST_STEP, Direction, MambaLayer
from reperfuse.networks.mixture import SLOPE, InstanceNorm, Kind, Mixture, MixtureResidual, Place, convolution

Topology = Literal["residual_skip", "unet_skip"]
Bottleneck = Literal["mamba", "transformer", "conv", "none"]
N_STAGES = 4


@dataclass(frozen=True, kw_only=True)
class TractNetSettings:
    """What the network is built from: `in_channels`, `n_classes`, and the configuration's ``network``.

    Parameters
    ----------
    in_channels, n_classes : int
    widths, heads, reductions : sequence of int
        Of the four stages: channels, and heads and block edge of their efficient self-attention.
    stem_kernel, stem_stride : sequence of int
        Along depth, height and width.
    topology : {"residual_skip", "unet_skip"}
        The attentions are in the blocks' shortcuts; or in the long skips of an encoder and decoder, and the
        bottleneck and the last stage of the decoder are classified together.
    mixture : {"softmax", "sum", "concat", "gated"}
    coordinate, attention : bool
        Whether coordinate attention and efficient self-attention are there.
    place : {"skip", "main"}
        Whether the attentions see the skip, or the main path of the encoder's blocks.
    coordinate_reduction : int
    bottleneck : {"mamba", "transformer", "conv", "none"}
    blocks : int
        Of the bottleneck.
    d_state, d_conv, expand : int
        Of Mamba; ``expand`` is the hidden width of the other bottlenecks too, by their channels.
    scan : {"forward", "bidirectional", "tri-orientated"}
    dropout : float
        Before the last layer.
    """

    in_channels: int
    n_classes: int
    widths: Sequence[int]
    heads: Sequence[int]
    reductions: Sequence[int]
    stem_kernel: Sequence[int]
    stem_stride: Sequence[int]
    topology: Topology
    mixture: Kind
    coordinate: bool
    attention: bool
    place: Place
    coordinate_reduction: int
    bottleneck: Bottleneck
    blocks: int
    d_state: int
    d_conv: int
    expand: int
    scan: Direction
    dropout: float

    def __post_init__(self) -> None:
        for name, kind in (("topology", Topology), ("bottleneck", Bottleneck)):
            if getattr(self, name) not in get_args(kind):
                raise ValueError(
                    f"{name} is {getattr(self, name)!r}; expected one of {', '.join(get_args(kind))}"
                )
        for name, length in (("widths", N_STAGES), ("heads", N_STAGES), ("reductions", N_STAGES),
                             ("stem_kernel", 3), ("stem_stride", 3)):  # fmt: skip
            if len(getattr(self, name)) != length:
                raise ValueError(f"{name} has {len(getattr(self, name))} values; expected {length}")


class TransformerLayer(nn.Module):
    """A pre-norm transformer layer on the voxels of a feature map."""

    def __init__(self, channels: int, *, heads: int, hidden: int) -> None:
        super().__init__()
        self.layer = nn.TransformerEncoderLayer(
            channels, heads, hidden, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, C, D, H, W) for features of that shape."""
        out: Tensor = self.layer(x.flatten(2).transpose(1, 2))
        return out.transpose(1, 2).reshape(x.shape)


class ConvolutionLayer(nn.Module):
    """A Mamba layer with a depthwise 3×3×3 convolution in place of convolution, scan and gate."""

    def __init__(self, channels: int, *, hidden: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            InstanceNorm(channels),
            nn.Conv3d(channels, hidden, 1),
            nn.Conv3d(hidden, hidden, 3, padding=1, groups=hidden),
            nn.SiLU(),
            nn.Conv3d(hidden, channels, 1),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, C, D, H, W) for features of that shape."""
        out: Tensor = x + self.layers(x)
        return out


def _bottleneck(settings: TractNetSettings) -> nn.Module:
    one, channels = settings, settings.widths[-1]

    def layer() -> nn.Module:
        if one.bottleneck == "mamba":
            return MambaLayer(
                channels, direction=one.scan, d_state=one.d_state, d_conv=one.d_conv, expand=one.expand,
                dt_min=SMALLEST_STEP, dt_max=LARGEST_STEP,
            )  # fmt: skip
        if one.bottleneck == "transformer":
            return TransformerLayer(channels, heads=one.heads[-1], hidden=one.expand * channels)
        return ConvolutionLayer(channels, hidden=one.expand * channels)

    n = 0 if one.bottleneck == "none" else one.blocks
    return nn.Sequential(*(layer() for _ in range(n))) if n else nn.Identity()


class TractNet(nn.Module):
    """Stem, four stages of mixture-residual blocks, a bottleneck, and a linear layer on the averages of its channels.

    Any size of at least one voxel will do. For Grad-CAM the modules ``s4`` and ``bottleneck`` give feature maps.

    Parameters
    ----------
    settings : TractNetSettings

    References
    ----------
    TRACT-NET, doi 10.1007/s10278-026-01892-5. Its code is not public: which parts there are is stated there; widths,
    weights of the mixture and everything else of the settings are assumed.
    """

    def __init__(self, settings: TractNetSettings) -> None:
        super().__init__()
        one = self.settings = settings
        widths = list(one.widths)
        unet = one.topology == "unet_skip"

        def block(before: int, after: int, stage: int, stride: int, attend: bool) -> MixtureResidual:
            return MixtureResidual(
                before, after, stride=stride, place=one.place, coordinate=attend and one.coordinate,
                attention=attend and one.attention, mixture=one.mixture, heads=one.heads[stage],
                coordinate_reduction=one.coordinate_reduction, reduction=one.reductions[stage],
            )  # fmt: skip

        stem = convolution(one.in_channels, widths[0], one.stem_kernel, one.stem_stride)
        self.stem = nn.Sequential(*stem, nn.LeakyReLU(SLOPE))
        in_blocks = not unet or one.place == "main"
        self.s1, self.s2, self.s3, self.s4 = (
            block(widths[max(0, i - 1)], widths[i], i, 2 if i else 1, in_blocks) for i in range(N_STAGES)
        )
        self.bottleneck = _bottleneck(one)
        self.skips, self.decoder = nn.ModuleList(), nn.ModuleList()
        for i in reversed(range(N_STAGES - 1)) if unet else ():
            mix = Mixture(
                widths[i], coordinate=one.coordinate and not in_blocks, attention=one.attention and not in_blocks,
                kind=one.mixture, coordinate_reduction=one.coordinate_reduction, heads=one.heads[i],
                reduction=one.reductions[i],
            )  # fmt: skip
            self.skips.append(mix)
            self.decoder.append(block(widths[i + 1] + widths[i], widths[i], i, 1, False))
        n_features = widths[-1] + (widths[0] if unet else 0)
        self.head = nn.Sequential(
            nn.LayerNorm(n_features), nn.Dropout(one.dropout), nn.Linear(n_features, one.n_classes)
        )

    def features(self, x: Tensor) -> Tensor:
        """Return (B, F), the averages of the channels that are classified, for (B, C, D, H, W)."""
        maps = [self.stem(x)]
        for stage in (self.s1, self.s2, self.s3, self.s4):
            maps.append(stage(maps[-1]))
        up = deep = self.bottleneck(maps.pop())
        for mix, block in zip(self.skips, self.decoder, strict=True):
            skip = maps.pop()
            up = functional.interpolate(up, size=skip.shape[2:], mode="nearest")
            up = block(torch.cat([up, mix(skip)], dim=1))
        seen = [deep, up] if len(self.decoder) else [deep]
        return torch.cat([one.mean((2, 3, 4)) for one in seen], dim=1)

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits, (B, n_classes), for (B, C, D, H, W)."""
        logits: Tensor = self.head(self.features(x))
        return logits
