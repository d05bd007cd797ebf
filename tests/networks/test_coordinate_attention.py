from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from reperfuse.networks.coordinate_attention import CoordinateAttention3d


def attention(channels: int = 16, reduction: int = 8) -> CoordinateAttention3d:
    torch.manual_seed(1)
    return CoordinateAttention3d(channels, reduction=reduction)


def naive(net: CoordinateAttention3d, x: Tensor) -> Tensor:
    """The same, axis by axis."""
    conv, norm, _ = net.shared
    profiles = [
        torch.einsum(f"bcdhw->bc{axis}", x) * x.shape[i + 2] / x[0, 0].numel() for i, axis in enumerate("dhw")
    ]
    hidden = [torch.einsum("mc,bcl->bml", conv.weight[..., 0], one) + conv.bias[:, None] for one in profiles]
    every = torch.cat(hidden, 2).flatten(1)
    mean, var = every.mean(1)[:, None, None], every.var(1, unbiased=False)[:, None, None]
    weights = []
    for one, out in zip(hidden, net.axes, strict=True):
        one = (one - mean) / (var + norm.eps).sqrt() * norm.weight[:, None] + norm.bias[:, None]
        one = one * (one + 3).clamp(0, 6) / 6
        weights.append((torch.einsum("cm,bml->bcl", out.weight[..., 0], one) + out.bias[:, None]).sigmoid())
    return torch.einsum("bcdhw,bcd,bch,bcw->bcdhw", x, *weights)


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 3), st.integers(1, 5), st.integers(1, 6), st.integers(1, 4))
def test_it_is_what_the_equations_say(batch: int, d: int, h: int, w: int) -> None:
    net = attention()
    x = torch.randn(batch, 16, d, h, w, generator=torch.Generator().manual_seed(d * h))
    assert torch.allclose(net(x), naive(net, x), atol=1e-6)


@pytest.mark.parametrize("axis", [2, 3, 4])
def test_position_is_kept_along_each_axis(axis: int) -> None:
    net = attention()
    x = torch.randn(2, 16, 4, 5, 6, generator=torch.Generator().manual_seed(axis))
    order = torch.randperm(x.shape[axis], generator=torch.Generator().manual_seed(1))
    assert torch.allclose(net(x.index_select(axis, order)), net(x).index_select(axis, order), atol=1e-6)
    # Equal voxels in two places get other weights, which an average over the whole volume could not give.
    x[:, :, 0], x[:, :, 1, 0, 0] = 1.0, 1.0
    y = net(x)
    assert not torch.allclose(y[:, :, 0, 0, 0], y[:, :, 1, 0, 0], atol=1e-4)


@pytest.mark.parametrize(("channels", "reduction", "few"), [(16, 8, 8), (256, 8, 32), (64, 32, 8)])
def test_the_shared_projection_has_at_least_eight_channels(channels: int, reduction: int, few: int) -> None:
    assert attention(channels, reduction).shared[0].out_channels == few


def test_weights_only_shrink_and_gradients_reach_every_parameter() -> None:
    net = attention()
    x = torch.randn(2, 16, 3, 4, 5)
    y = net(x)
    assert bool((y.abs() <= x.abs()).all()) and bool((y * x >= 0).all())
    y.square().sum().backward()
    assert all(bool(one.grad.any()) for one in net.parameters())
