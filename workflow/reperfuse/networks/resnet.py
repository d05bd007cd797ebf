"""The 3-D ResNet-50 that MedicalNet published, as a frozen encoder."""

from __future__ import annotations

import copy
from typing import Any, Literal, get_args

import torch
from monai.networks.nets.resnet import resnet50
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.fusion import fuse_conv_bn_eval

Variant = Literal["medicalnet_dilated", "monai_stride32"]
N_FEATURES = 2048


class Resnet50Encoder(nn.Module):
    """3-D ResNet-50 with bottleneck blocks, up to the global average pool.

    MONAI builds it with strides in all stages (output stride 32). MedicalNet keeps the resolution of the
    second stage instead and dilates the 3×3×3 kernels of the third by 2 and of the fourth by 4 (output
    stride 8). The weights of one fit into the other without a complaint, and give other features.

    Parameters
    ----------
    variant : {"medicalnet_dilated", "monai_stride32"}
        The first is what MedicalNet was trained as.

    Attributes
    ----------
    stride : int
        Input voxels per voxel of `features`; voxel k is centred on input voxel ``stride·k``.

    References
    ----------
    Chen, Ma, Zheng: Med3D, arXiv 1904.00625; its ``models/resnet.py``.
    """

    def __init__(self, variant: Variant) -> None:
        super().__init__()
        if variant not in get_args(Variant):
            raise ValueError(f"variant is {variant!r}; expected one of {', '.join(get_args(Variant))}")
        net = resnet50(
            spatial_dims=3,
            n_input_channels=1,
            feed_forward=False,
            shortcut_type="B",
            bias_downsample=False,
            conv1_t_size=7,
            conv1_t_stride=2,
        )
        # One by one, and not as a child called net, so that names are those of the published checkpoint.
        self.conv1, self.bn1, self.act, self.maxpool = net.conv1, net.bn1, net.act, net.maxpool
        self.layer1, self.layer2, self.layer3, self.layer4 = net.layer1, net.layer2, net.layer3, net.layer4
        self.stride = 32
        if variant == "medicalnet_dilated":
            self.stride = 8
            _dilate(self.layer3, 2)
            _dilate(self.layer4, 4)

    def features(self, x: Tensor) -> Tensor:
        """Return the last stage's maps, (N, 2048, d, h, w), for (N, 1, D, H, W)."""
        x = self.maxpool(self.act(self.bn1(self.conv1(x))))
        x = self.layer2(self.layer1(x))
        out: Tensor = self.layer4(self.layer3(x))
        return out

    def forward(self, x: Tensor) -> Tensor:
        """Return the embedding, (N, 2048): the mean of each map over its voxels."""
        return self.features(x).mean(dim=(2, 3, 4))


class SliceConv3d(nn.Module):
    """A 3×3×3 convolution of stride 1 as three two-dimensional ones, one per tap along the depth.

    The same sums in another order. Of stacks of a few slices, as they come late in the encoder, the outer taps
    of a dilated kernel read padding alone and are left out; and two-dimensional kernels are better tuned.

    Parameters
    ----------
    conv : nn.Conv3d
        Kernel 3, stride 1, padding equal to dilation, the same along all axes.
    """

    def __init__(self, conv: nn.Conv3d) -> None:
        super().__init__()
        reach = conv.dilation[0]
        if not (conv.kernel_size == (3,) * 3 and conv.stride == (1,) * 3 and conv.groups == 1):
            raise ValueError(f"kernel {conv.kernel_size}, stride {conv.stride}; expected 3×3×3 of stride 1")
        if not conv.dilation == conv.padding == (reach,) * 3:
            raise ValueError(f"padding {conv.padding}; expected the dilation {conv.dilation}")
        self.reach = reach
        self.bias = conv.bias
        weight = conv.weight.detach()
        self.below, self.centre, self.above = (
            nn.Parameter(weight[:, :, tap].contiguous(memory_format=torch.channels_last), requires_grad=False)
            for tap in range(3)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return (N, C, D, H, W) for (N, B, D, H, W)."""
        slices, reach = x.transpose(1, 2), self.reach
        out = self._each(slices, self.centre, self.bias)
        if reach < slices.shape[1]:
            out[:, :-reach] += self._each(slices[:, reach:], self.above)
            out[:, reach:] += self._each(slices[:, :-reach], self.below)
        return out.transpose(1, 2)

    def _each(self, slices: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        found = functional.conv2d(slices.flatten(0, 1), weight, bias, padding=self.reach, dilation=self.reach)
        return found.unflatten(0, slices.shape[:2])


def fold(encoder: Resnet50Encoder) -> Resnet50Encoder:
    """Return a copy that computes the same function in fewer passes.

    Batch normalisations are folded into the convolutions before them, and 3×3×3 convolutions of stride 1
    become `SliceConv3d`. In exact arithmetic nothing changes; in float32 the order of rounding does. For an
    encoder in evaluation mode only. Kernels are stored channels last, as its input should be.
    """
    if encoder.training:
        raise ValueError("an encoder in training mode cannot be folded; call eval() before")
    folded = copy.deepcopy(encoder)
    folded.conv1, folded.bn1 = fuse_conv_bn_eval(folded.conv1, folded.bn1), nn.Identity()
    layers: list[Any] = [folded.layer1, folded.layer2, folded.layer3, folded.layer4]
    for layer in layers:
        for block in layer:
            for i in (1, 2, 3):
                conv, norm = getattr(block, f"conv{i}"), getattr(block, f"bn{i}")
                setattr(block, f"conv{i}", fuse_conv_bn_eval(conv, norm))
                setattr(block, f"bn{i}", nn.Identity())
            if block.conv2.stride == (1, 1, 1):
                block.conv2 = SliceConv3d(block.conv2)
            if block.downsample is not None:
                block.downsample = fuse_conv_bn_eval(block.downsample[0], block.downsample[1])
    for module in folded.modules():
        if isinstance(module, nn.Conv3d):
            module.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
    return folded.requires_grad_(False)


def _dilate(layer: Any, dilation: int) -> None:
    """Turn a stage of stride 2 into one of stride 1 whose 3×3×3 kernels are dilated."""
    for block in layer:
        block.conv2.stride = (1, 1, 1)
        block.conv2.dilation = block.conv2.padding = (dilation,) * 3
        block.stride = 1
    layer[0].downsample[0].stride = (1, 1, 1)
