from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from monai.visualize import GradCAM
from torch import Tensor, nn

from reperfuse.networks.mamba import undecayed
from reperfuse.networks.tractnet import TractNet, TractNetSettings

ROOT = Path(__file__).resolve().parents[2]
DEFAULT: dict[str, Any] = {
    "in_channels": 1, "n_classes": 2, "widths": (32, 64, 128, 256), "heads": (1, 2, 4, 8), "reductions": (8, 4, 2, 1),
    "stem_kernel": (3, 7, 7), "stem_stride": (1, 2, 2), "topology": "residual_skip", "mixture": "softmax",
    "coordinate": True, "attention": True, "place": "skip", "coordinate_reduction": 8, "bottleneck": "mamba",
    "blocks": 2, "d_state": 16, "d_conv": 4, "expand": 2, "scan": "forward", "dropout": 0.3,
}  # fmt: skip
SMALL = {**DEFAULT, "widths": (4, 8, 8, 16), "heads": (1, 2, 2, 4), "d_state": 4}
ABLATIONS: list[dict[str, Any]] = [
    {},
    {"coordinate": False},
    {"attention": False},
    {"coordinate": False, "attention": False},
    {"bottleneck": "none"},
    {"bottleneck": "transformer"},
    {"bottleneck": "conv"},
    {"mixture": "sum"},
    {"mixture": "concat"},
    {"mixture": "gated"},
    {"place": "main"},
    {"scan": "bidirectional"},
    {"scan": "tri-orientated"},
    {"in_channels": 2},
    {"topology": "unet_skip"},
    {"topology": "unet_skip", "place": "main"},
    {"topology": "unet_skip", "mixture": "concat", "attention": False},
]
NAMES = [",".join(f"{k}={v}" for k, v in one.items()) or "default" for one in ABLATIONS]


def network(**changed: Any) -> TractNet:
    torch.manual_seed(6)
    return TractNet(TractNetSettings(**{**SMALL, **changed}))


def volume(*shape: int, channels: int = 1, batch: int = 2) -> Tensor:
    return torch.randn(batch, channels, *shape, generator=torch.Generator().manual_seed(sum(shape)))


def n_parameters(**changed: Any) -> int:
    with torch.device("meta"):
        net = TractNet(TractNetSettings(**{**DEFAULT, **changed}))
    return sum(one.numel() for one in net.parameters())


def test_the_defaults_of_the_configuration_are_those_of_the_table() -> None:
    schema = yaml.safe_load((ROOT / "workflow/schemas/severity.schema.yaml").read_text(encoding="utf-8"))
    known = {name: one["default"] for name, one in schema["properties"]["network"]["properties"].items()}
    expected = {name: list(one) if isinstance(one, tuple) else one for name, one in DEFAULT.items()}
    assert {"in_channels": 1, "n_classes": 2, **known} == expected


def test_the_number_of_parameters() -> None:
    without = n_parameters(bottleneck="none")
    assert without == 4_905_454
    # A Mamba layer has, beside the block of 437 760, a layer normalisation of 2·256.
    assert n_parameters(blocks=1) == without + 437_760 + 512
    assert n_parameters() == without + 2 * (437_760 + 512) == 5_781_998


def test_stages_have_the_sizes_of_the_table() -> None:
    torch.manual_seed(0)
    net = TractNet(TractNetSettings(**DEFAULT)).eval()
    found: dict[str, tuple[int, ...]] = {}
    for name in ("stem", "s1", "s2", "s3", "s4", "bottleneck"):
        net.get_submodule(name).register_forward_hook(
            lambda _, given, out, name=name: found.__setitem__(name, tuple(out.shape[1:]))
        )
    with torch.no_grad():
        assert net(volume(32, 128, 128, batch=1)).shape == (1, 2)
    assert found == {
        "stem": (32, 32, 64, 64),
        "s1": (32, 32, 64, 64),
        "s2": (64, 16, 32, 32),
        "s3": (128, 8, 16, 16),
        "s4": (256, 4, 8, 8),
        "bottleneck": (256, 4, 8, 8),
    }


@pytest.mark.parametrize("changed", ABLATIONS, ids=NAMES)
def test_every_ablation_gives_logits_and_gradients_to_every_parameter(changed: dict[str, Any]) -> None:
    net = network(**changed)
    x = volume(9, 34, 30, channels=net.settings.in_channels)
    logits = net(x)
    assert logits.shape == (2, 2) and logits.dtype == torch.float32
    assert net.features(x).shape == (2, 16 + (4 if "topology" in changed else 0))
    nn.functional.cross_entropy(logits, torch.tensor([0, 1])).backward()
    assert [name for name, one in net.named_parameters() if one.grad is None or not one.grad.any()] == []
    assert all(bool(one.grad.isfinite().all()) for one in net.parameters() if one.grad is not None)


@pytest.mark.parametrize("topology", ["residual_skip", "unet_skip"])
@pytest.mark.parametrize("shape", [(1, 1, 1), (2, 3, 5), (7, 33, 17), (1, 64, 64), (20, 24, 17)])
def test_any_size_will_do(topology: str, shape: tuple[int, int, int]) -> None:
    for stride in ((1, 2, 2), (1, 1, 1)):
        net = network(topology=topology, stem_stride=stride)
        for mode in (True, False):
            assert bool(net.train(mode)(volume(*shape)).isfinite().all())


def test_a_long_skip_carries_what_the_deepest_maps_have_lost() -> None:
    net = network(topology="unet_skip").eval()
    x = volume(8, 16, 16)
    with torch.no_grad():
        before = net.features(x)
        for one in net.bottleneck.parameters():
            one.zero_()
        net.bottleneck.register_forward_hook(lambda _, given, out: torch.zeros_like(out))
        after = net.features(x)
    assert torch.equal(after[:, :16], torch.zeros(2, 16))
    assert bool((after[:, 16:] != 0).all()) and not torch.allclose(after[:, 16:], before[:, 16:])
    assert [one.kind for one in net.skips] == ["softmax"] * 3 and net.s1.mixture.kind == "sum"


def test_evaluation_is_deterministic_and_one_patient_does_not_change_another() -> None:
    net = network().eval()
    x = volume(9, 20, 22)
    with torch.no_grad():
        assert torch.equal(net(x), net(x))
        assert torch.allclose(net(x)[:1], net(x[:1]), atol=1e-5)
    net.train()
    assert not torch.equal(net(x), net(x))  # dropout


def test_maps_can_be_explained() -> None:
    net = network().eval()
    x = volume(9, 32, 32, batch=1)
    for layer in ("s4", "bottleneck"):
        shown = GradCAM(net, target_layers=layer)(x, class_idx=1)
        assert shown.shape == (1, 1, 9, 32, 32) and bool(torch.as_tensor(shown).isfinite().all())


def test_it_learns_whether_there_is_a_bright_spot() -> None:
    generator = torch.Generator().manual_seed(3)
    x, y = torch.randn(8, 1, 8, 16, 16, generator=generator) / 4, torch.arange(8) % 2
    x[y == 1, :, 2:6, 4:10, 4:10] += 2
    net = network(dropout=0.0)
    optimiser = torch.optim.AdamW(net.parameters(), 3e-3)
    losses = []
    for _ in range(12):
        optimiser.zero_grad()
        loss = nn.functional.cross_entropy(net(x), y)
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.2 * losses[0]


def test_weight_decay_leaves_rates_and_mixtures_alone() -> None:
    assert undecayed(network(blocks=1)) == {
        "bottleneck.0.mamba.A_log", "bottleneck.0.mamba.D", *(f"s{i}.mixture.logits" for i in range(1, 5)),
    }  # fmt: skip
    assert undecayed(network(bottleneck="conv", mixture="sum")) == set()


def test_mixed_precision_stays_near() -> None:
    net = network().eval()
    x = volume(9, 32, 32)
    with torch.no_grad():
        expected = net(x)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            found = net(x)
    assert torch.allclose(found.float(), expected, atol=0.1)


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"topology": "unet"}, "topology is 'unet'; expected one of residual_skip, unet_skip"),
        ({"bottleneck": "lstm"}, "bottleneck is 'lstm'; expected one of mamba, transformer, conv, none"),
        ({"widths": (8, 16)}, "widths has 2 values; expected 4"),
        ({"stem_stride": (2, 2)}, "stem_stride has 2 values; expected 3"),
        ({"heads": (3, 1, 1, 1)}, "channels are 4; expected a multiple of heads, 3"),
    ],
)
def test_settings_that_make_no_network_are_refused(changed: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        network(**changed)
