"""The vision transformer: any shape, gradients everywhere, and where a patch lies matters."""

from __future__ import annotations

import pytest
import torch

from reperfuse.networks.vit import VisionTransformer


def network(shape: tuple[int, int, int], channels: int = 2) -> VisionTransformer:
    torch.manual_seed(0)
    return VisionTransformer(channels, 3, shape=shape, patches=4, width=12, layers=2, heads=3, dropout=0.1)


@pytest.mark.parametrize("shape", [(8, 16, 16), (7, 9, 13), (1, 2, 5)])
def test_any_shape_gives_logits_and_gradients_reach_every_parameter(shape: tuple[int, int, int]) -> None:
    module = network(shape)
    out = module(torch.randn(3, 2, *shape))
    assert out.shape == (3, 3)
    out.square().sum().backward()
    assert all(one.grad is not None and one.grad.abs().sum() > 0 for one in module.parameters())


def test_tokens_are_those_of_patches_that_cover_the_volume() -> None:
    module = network((7, 9, 13))
    assert module.embed.kernel_size == (2, 3, 4)
    assert module.position.shape == (1, 4 * 3 * 4 + 1, 12)


def test_the_last_voxel_of_an_uneven_axis_is_seen_and_position_matters() -> None:
    module = network((7, 9, 13)).eval()
    volume = torch.zeros(1, 2, 7, 9, 13)
    volume[0, 0, 6, 8, 12] = 3
    elsewhere = volume.flip(2, 3, 4)
    with torch.no_grad():
        nothing, last, first = (module(one) for one in (torch.zeros_like(volume), volume, elsewhere))
    assert not torch.allclose(nothing, last, atol=1e-4) and not torch.allclose(last, first, atol=1e-4)


def test_another_shape_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"\(8, 9, 13\); expected \(7, 9, 13\)"):
        network((7, 9, 13))(torch.zeros(1, 2, 8, 9, 13))
