"""A depthwise 3×3×3 convolution that is as fast on a CPU as it can be in plain PyTorch, gradients included.

PyTorch hands it to oneDNN, which has good code for some of what is needed: forward with channels last, and
the weights' gradient in two dimensions. The rest falls to reference loops, ten times as slow. So the gradient
of the input is here the forward convolution of the output's gradient with the kernel reversed (with a stride: of
that gradient with zeros between), and the weights' gradient is made for one tap along the depth after another, whose
slices are a batch of two-dimensional images. All this is equal but for the order of sums.
"""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional

LAST = torch.channels_last_3d
_backward = torch.ops.aten.convolution_backward


def is_faster(x: Tensor) -> bool:
    """Return whether `depthwise` is the faster form: on a CPU, in float32, and without autocast."""
    return x.device.type == "cpu" and x.dtype == torch.float32 and not torch.is_autocast_enabled("cpu")


def depthwise(x: Tensor, weight: Tensor, stride: int) -> Tensor:
    """Return ``conv3d(x, weight, stride=stride, padding=1, groups=C)``, channels last; differentiable once.

    Parameters
    ----------
    x : Tensor
        (B, C, D, H, W).
    weight : Tensor
        (C, 1, 3, 3, 3).
    stride : int

    Returns
    -------
    Tensor
        (B, C, ⌈D/stride⌉, ⌈H/stride⌉, ⌈W/stride⌉).
    """
    return cast(Tensor, _Depthwise.apply(x.contiguous(memory_format=LAST), weight, stride))


def _of_input(grad: Tensor, weight: Tensor, shape: torch.Size, stride: int) -> Tensor:
    if stride > 1:
        spread = torch.empty(shape, dtype=grad.dtype, memory_format=LAST).zero_()
        spread[:, :, ::stride, ::stride, ::stride] = grad
        grad = spread
    return functional.conv3d(grad, weight.flip(2, 3, 4), padding=1, groups=shape[1])


def _of_weight(grad: Tensor, x: Tensor, weight: Tensor, stride: int) -> Tensor:
    found = torch.zeros_like(weight)
    for tap in range(3):
        # The slice o of the output has seen the slice stride·o + tap − 1 of the input, where there is one.
        first = int(tap == 0)
        end = min(grad.shape[2], (x.shape[2] - tap) // stride + 1)
        for one, of_one in zip(x, grad, strict=True) if end > first else ():
            seen = one[:, stride * first + tap - 1 : stride * (end - 1) + tap : stride]
            found[:, :, tap] += _backward(
                of_one[:, first:end].transpose(0, 1), seen.transpose(0, 1), weight[:, :, tap], None,
                [stride] * 2, [1] * 2, [1] * 2, False, [0] * 2, len(weight), [False, True, False],
            )[1]  # fmt: skip
    return found


class _Depthwise(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, stride: int) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.stride = stride
        return functional.conv3d(x, weight, stride=stride, padding=1, groups=len(weight))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        x, weight = ctx.saved_tensors
        grad = grad.contiguous(memory_format=LAST)
        of_x, of_weight, _ = ctx.needs_input_grad
        return (
            _of_input(grad, weight, x.shape, ctx.stride) if of_x else None,
            _of_weight(grad, x, weight, ctx.stride) if of_weight else None,
            None,
        )
