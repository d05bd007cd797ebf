from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from reperfuse.networks.resnet import Resnet50Encoder, SliceConv3d, fold


def on_meta(variant: str) -> Resnet50Encoder:
    """Return an encoder without memory, for shapes."""
    with torch.device("meta"):
        return Resnet50Encoder(variant).eval()


@pytest.fixture(scope="module")
def encoder() -> Resnet50Encoder:
    """An encoder whose normalisations do something."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        net = Resnet50Encoder("medicalnet_dilated")
        for module in net.modules():
            if isinstance(module, nn.BatchNorm3d):
                module.running_mean.normal_(0, 0.1)
                module.running_var.uniform_(0.5, 2)
                module.weight.data.uniform_(0.5, 1.5)
                module.bias.data.normal_(0, 0.1)
    return net.eval().requires_grad_(False)


@pytest.fixture(scope="module")
def volume() -> torch.Tensor:
    return torch.randn(1, 1, 16, 32, 32, generator=torch.Generator().manual_seed(1))


def test_names_and_number_of_parameters_are_those_of_the_published_network() -> None:
    net = on_meta("medicalnet_dilated")
    names = net.state_dict().keys()
    assert len(names) == 318
    assert sum(p.numel() for p in net.parameters()) == 46_155_072
    assert {
        "conv1.weight",
        "bn1.running_var",
        "layer1.0.downsample.0.weight",
        "layer4.2.conv3.weight",
    } <= names
    assert not [
        name for name in names if name.startswith(("fc", "conv_seg", "module")) or "downsample.0.bias" in name
    ]
    assert names == on_meta("monai_stride32").state_dict().keys()


@pytest.mark.parametrize(
    ("variant", "expected"), [("medicalnet_dilated", (3, 16, 16)), ("monai_stride32", (1, 4, 4))]
)
def test_the_last_stage_has_the_resolution_of_its_variant(variant, expected) -> None:
    net = on_meta(variant)
    x = torch.empty(1, 1, 24, 128, 128, device="meta")
    assert net.features(x).shape == (1, 2048, *expected)
    assert net(x).shape == (1, 2048)
    assert expected == tuple(-(-n // net.stride) for n in (24, 128, 128))


def test_strides_and_dilations_are_medicalnets() -> None:
    net = on_meta("medicalnet_dilated")
    for layer, stride, dilation in (
        (net.layer1, 1, 1),
        (net.layer2, 2, 1),
        (net.layer3, 1, 2),
        (net.layer4, 1, 4),
    ):
        for i, block in enumerate(layer):
            assert block.conv2.stride == ((stride if i == 0 else 1),) * 3
            assert block.conv2.dilation == block.conv2.padding == (dilation,) * 3
            assert block.conv1.stride == block.conv3.stride == (1, 1, 1)
        assert layer[0].downsample[0].stride == (stride,) * 3
    # A voxel of the features is centred on voxel stride·k: every kernel is odd and padded by half its extent.
    for module in net.modules():
        if isinstance(module, nn.Conv3d):
            assert [2 * p for p in module.padding] == [
                d * (k - 1) for d, k in zip(module.dilation, module.kernel_size, strict=True)
            ]
    assert (net.maxpool.kernel_size, net.maxpool.stride, net.maxpool.padding) == (3, 2, 1)


def test_an_unknown_variant_is_refused() -> None:
    with pytest.raises(ValueError, match="medicalnet_dilated, monai_stride32"):
        Resnet50Encoder("resnet50")


def test_the_embedding_is_the_mean_of_the_features(encoder, volume) -> None:
    with torch.inference_mode():
        features = encoder.features(volume)
        torch.testing.assert_close(encoder(volume)[0], features[0].flatten(1).mean(1))


def test_folding_changes_nothing_but_rounding_and_leaves_the_original(encoder, volume) -> None:
    folded = fold(encoder)
    assert not [module for module in folded.modules() if isinstance(module, nn.BatchNorm3d)]
    assert len([module for module in encoder.modules() if isinstance(module, nn.BatchNorm3d)]) == 53
    with torch.inference_mode():
        expected, found = encoder(volume), folded(volume)
    assert (found - expected).abs().max() <= 1e-5 * expected.abs().max()
    assert len([module for module in folded.modules() if isinstance(module, SliceConv3d)]) == 15
    with pytest.raises(ValueError, match=r"eval\(\)"):
        fold(on_meta("medicalnet_dilated").train())


@settings(max_examples=25, deadline=None)
@given(
    n=st.integers(1, 2),
    depth=st.integers(1, 9),
    size=st.integers(3, 9),
    dilation=st.sampled_from([1, 2, 4]),
    bias=st.booleans(),
)
def test_a_convolution_by_slices_is_the_convolution(n, depth, size, dilation, bias) -> None:
    generator = torch.Generator().manual_seed(depth)
    conv = nn.Conv3d(3, 5, 3, padding=dilation, dilation=dilation, bias=bias)
    x = torch.randn(n, 3, depth, size, size + 1, generator=generator)
    with torch.inference_mode():
        torch.testing.assert_close(SliceConv3d(conv)(x), conv(x), rtol=1e-5, atol=1e-5)


def test_other_convolutions_are_not_taken_apart() -> None:
    with pytest.raises(ValueError, match="stride 1"):
        SliceConv3d(nn.Conv3d(2, 2, 3, stride=2, padding=1))
    with pytest.raises(ValueError, match="expected the dilation"):
        SliceConv3d(nn.Conv3d(2, 2, 3, padding=0))
