from __future__ import annotations

import torch
from torch import nn

from reperfuse.networks.separable import MidFlow, SeparableConv3d, block_weights, n_weights, normalisation


def test_the_weights_of_a_block_are_those_of_the_paper() -> None:
    found = block_weights((96, 96))
    assert found == {"separable": 11_808, "standard": 248_832}
    assert round(found["standard"] / found["separable"], 2) == 21.07


def test_a_mid_flow_of_three_blocks_is_as_much_smaller() -> None:
    def size(convolution: str) -> int:
        return n_weights(MidFlow(96, convolution=convolution, norm="batch", groups=1, dropout=0.1))  # type: ignore[arg-type]

    assert round(size("standard") / size("separable"), 2) == 20.75


def test_a_separable_convolution_is_a_standard_one_of_rank_one() -> None:
    torch.manual_seed(0)
    block, x = SeparableConv3d(4, 6, stride=2), torch.randn(2, 4, 7, 6, 5)
    weight = block.pointwise.weight * block.depthwise.weight[:, 0][None]
    torch.testing.assert_close(
        block(x), nn.functional.conv3d(x, weight, stride=2, padding=1), rtol=1e-5, atol=1e-5
    )


def test_groups_divide_the_channels() -> None:
    for channels, most, expected in ((96, 8, 8), (10, 8, 5), (7, 8, 7), (13, 8, 1)):
        layer = normalisation("group", channels, most)
        assert isinstance(layer, nn.GroupNorm) and layer.num_groups == expected
