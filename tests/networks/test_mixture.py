from __future__ import annotations

from typing import Any, get_args

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from reperfuse.networks.mixture import InstanceNorm, Kind, Mixture, MixtureResidual

SIZES: dict[str, Any] = {"coordinate_reduction": 8, "heads": 2, "reduction": 2}
KINDS = get_args(Kind)


def mixture(kind: str, coordinate: bool = True, attention: bool = True) -> Mixture:
    torch.manual_seed(1)
    return Mixture(8, coordinate=coordinate, attention=attention, kind=kind, **SIZES)  # type: ignore[arg-type]


def block(before: int = 8, after: int = 8, **settings: Any) -> MixtureResidual:
    torch.manual_seed(2)
    known = {
        "stride": 1,
        "place": "skip",
        "coordinate": True,
        "attention": True,
        "mixture": "softmax",
        **SIZES,
    }
    return MixtureResidual(before, after, **{**known, **settings})


def volume(*shape: int, channels: int = 8) -> Tensor:
    return torch.randn(2, channels, *shape, generator=torch.Generator().manual_seed(sum(shape)))


def reached(net: nn.Module) -> bool:
    return all(one.grad is not None and bool(one.grad.any()) for one in net.parameters())


@pytest.mark.parametrize("kind", KINDS)
def test_a_mixture_is_what_its_kind_says(kind: str) -> None:
    net, p = mixture(kind), volume(3, 4, 5)
    terms = [p, *(one(p) for one in net.attentions)]
    if kind == "softmax":
        net.logits.data = torch.tensor([0.0, 1.0, -2.0])
        weights = torch.tensor([0.0, 1.0, -2.0]).exp()
        expected = sum(w * t for w, t in zip(weights / weights.sum(), terms, strict=True))
    elif kind == "sum":
        expected = sum(terms)
    elif kind == "concat":
        expected = functional.conv3d(torch.cat(terms, 1), net.join.weight, net.join.bias)
    else:
        weights = net.gate(p.mean((2, 3, 4))).softmax(1)
        assert not torch.allclose(weights[0], weights[1])  # each sample has its own
        expected = torch.stack(
            [sum(w * t[i] for w, t in zip(weights[i], terms, strict=True)) for i in (0, 1)]
        )
    assert torch.allclose(net(p), expected, atol=1e-6)


def test_a_softmax_mixture_begins_with_equal_parts() -> None:
    assert torch.equal(mixture("softmax").logits, torch.zeros(3))
    assert len(mixture("softmax", attention=False).logits) == 2


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("coordinate", "attention"), [(True, True), (True, False), (False, True), (False, False)]
)
def test_gradients_reach_every_parameter(kind: str, coordinate: bool, attention: bool) -> None:
    net = mixture(kind, coordinate, attention)
    p = volume(3, 4, 5)
    if not coordinate and not attention:
        assert torch.equal(net(p), p) and not list(net.parameters())
        return
    torch.nn.functional.silu(net(p)).square().sum().backward()
    assert reached(net)


@pytest.mark.parametrize(("before", "after", "stride"), [(8, 8, 1), (8, 16, 2), (4, 8, 1), (8, 8, 2)])
@pytest.mark.parametrize("place", ["skip", "main"])
def test_a_block_is_what_its_place_says(before: int, after: int, stride: int, place: str) -> None:
    net, x = block(before, after, stride=stride, place=place), volume(5, 6, 3, channels=before)
    y = net(x)
    half = [-(-size // stride) for size in (5, 6, 3)]
    assert y.shape == (2, after, *half)
    assert isinstance(net.shortcut, nn.Identity) is (stride == 1 and before == after)
    main, p = net.main(x), net.shortcut(x)
    mixed = main + net.mixture(p) if place == "skip" else p + net.mixture(main)
    assert torch.allclose(y, functional.leaky_relu(mixed, 0.01), atol=1e-6)
    y.square().sum().backward()
    assert reached(net)


def test_a_block_without_attentions_is_a_residual_block() -> None:
    net, x = block(coordinate=False, attention=False), volume(3, 4, 5)
    assert torch.equal(net(x), functional.leaky_relu(net.main(x) + x, 0.01))


def test_instance_normalisation_of_one_voxel_keeps_it() -> None:
    norm = InstanceNorm(8)
    nn.init.uniform_(norm.weight)
    nn.init.uniform_(norm.bias)
    x = volume(1, 1, 1)
    expected = x * norm.weight[:, None, None, None] + norm.bias[:, None, None, None]
    assert torch.equal(norm(x), expected)
    plain = functional.instance_norm(volume(2, 1, 1), weight=norm.weight, bias=norm.bias)
    assert torch.equal(norm(volume(2, 1, 1)), plain)


def test_unknown_words_are_refused() -> None:
    with pytest.raises(ValueError, match="mixture is 'max'; expected one of softmax, sum, concat, gated"):
        mixture("max")
    with pytest.raises(ValueError, match="place is 'both'; expected one of skip, main"):
        block(place="both")
