from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from reperfuse.networks.efficient_attention import EfficientSelfAttention3d


def attention(reduction: int, channels: int = 8, heads: int = 2) -> EfficientSelfAttention3d:
    torch.manual_seed(2)
    return EfficientSelfAttention3d(channels, heads=heads, reduction=reduction)


def volume(*shape: int, batch: int = 2) -> Tensor:
    return torch.randn(batch, 8, *shape, generator=torch.Generator().manual_seed(sum(shape)))


def plain(net: EfficientSelfAttention3d, x: Tensor, blocks: Tensor) -> Tensor:
    """Attention to blocks (B, n, C), head by head, by its definition."""
    tokens = net.norm(x.flatten(2).transpose(1, 2))
    query, (key, value) = net.query(tokens), net.key_value(blocks).chunk(2, -1)
    width, seen = x.shape[1] // net.heads, []
    for i in range(net.heads):
        part = slice(i * width, (i + 1) * width)
        weights = (query[..., part] @ key[..., part].transpose(1, 2) / width**0.5).softmax(-1)
        seen.append(weights @ value[..., part])
    return net.out(torch.cat(seen, -1)).transpose(1, 2).reshape(x.shape)


@settings(max_examples=15, deadline=None)
@given(st.integers(1, 4), st.integers(1, 5), st.integers(1, 4), st.sampled_from([1, 2, 4]))
def test_without_reduction_it_is_plain_self_attention(d: int, h: int, w: int, heads: int) -> None:
    net, x = attention(1, heads=heads), volume(d, h, w)
    tokens = net.norm(x.flatten(2).transpose(1, 2))
    assert torch.allclose(net(x), plain(net, x, tokens), atol=1e-6)


def test_keys_are_those_of_blocks() -> None:
    net, x = attention(2), volume(4, 6, 2)
    tokens = net.norm(x.flatten(2).transpose(1, 2)).transpose(1, 2).view(x.shape)
    cut = tokens.unfold(2, 2, 2).unfold(3, 2, 2).unfold(4, 2, 2)  # B, C, 2, 3, 1, and the voxels of a block
    blocks = torch.einsum("bcdhwijk,ocijk->bdhwo", cut, net.reduce.weight) + net.reduce.bias
    assert torch.allclose(net(x), plain(net, x, net.reduced_norm(blocks.flatten(1, 3))), atol=1e-5)


@pytest.mark.parametrize(
    ("shape", "blocks"), [((16, 8, 8), 2), ((9, 8, 1), 2), ((1, 1, 1), 1), ((3, 2, 5), 1), ((17, 9, 7), 6)]
)
def test_any_size_will_do_and_no_voxel_is_left_out(shape: tuple[int, int, int], blocks: int) -> None:
    net, x = attention(8), volume(*shape, batch=1)
    tokens = x.flatten(2).transpose(1, 2)
    assert net.reduced(tokens, shape).shape == (1, blocks, 8)
    tokens.requires_grad_()
    weigh = torch.randn(1, blocks, 8, generator=torch.Generator().manual_seed(1))
    (net.reduced(tokens, shape) * weigh).sum().backward()
    assert tokens.grad is not None and bool((tokens.grad.abs().sum(-1) > 0).all())
    assert net(x).shape == x.shape


def test_a_volume_smaller_than_a_block_is_reduced_by_its_own_size() -> None:
    net, x = attention(8), volume(2, 3, 4)
    kernel = net.reduce.weight[..., :2, :3, :4]
    expected = net.reduced_norm((torch.einsum("bcijk,ocijk->bo", x, kernel) + net.reduce.bias)[:, None])
    assert torch.allclose(net.reduced(x.flatten(2).transpose(1, 2), (2, 3, 4)), expected, atol=1e-5)


@pytest.mark.parametrize("reduction", [1, 4])
def test_gradients_reach_every_parameter(reduction: int) -> None:
    net = attention(reduction)
    net(volume(5, 6, 4)).square().sum().backward()
    assert all(bool(one.grad.any()) for one in net.parameters())


def test_channels_are_a_multiple_of_heads() -> None:
    with pytest.raises(ValueError, match="channels are 8; expected a multiple of heads, 3"):
        attention(1, heads=3)
