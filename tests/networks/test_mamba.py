from __future__ import annotations

import copy
import sys
from types import SimpleNamespace
from typing import Any, get_args

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mambapy.mamba import MambaBlock, MambaConfig
from torch import Tensor
from torch.nn import functional

from reperfuse.networks import mamba as module
from reperfuse.networks.mamba import Direction, Mamba, MambaLayer, orders_of, scan_for, undecayed
from reperfuse.networks.selective_scan import selective_scan

SIZES: dict[str, Any] = {"d_state": 16, "d_conv": 4, "expand": 2, "dt_min": 1e-3, "dt_max": 0.1}
DIRECTIONS = get_args(Direction)


def block(d_model: int = 16, n_further: int = 0, **sizes: Any) -> Mamba:
    torch.manual_seed(3)
    return Mamba(d_model, n_further=n_further, **{**SIZES, **sizes})


def layer(direction: str, channels: int = 16) -> MambaLayer:
    torch.manual_seed(4)
    return MambaLayer(channels, direction=direction, **SIZES)  # type: ignore[arg-type]


def tokens(length: int, d_model: int = 16, batch: int = 2) -> Tensor:
    return torch.randn(batch, length, d_model, generator=torch.Generator().manual_seed(length))


def test_names_and_shapes_are_those_of_mamba_ssm() -> None:
    net = block(256)
    assert {name: tuple(one.shape) for name, one in net.state_dict().items()} == {
        "A_log": (512, 16),
        "D": (512,),
        "in_proj.weight": (1024, 256),
        "conv1d.weight": (512, 1, 4),
        "conv1d.bias": (512,),
        "x_proj.weight": (48, 512),
        "dt_proj.weight": (512, 16),
        "dt_proj.bias": (512,),
        "out_proj.weight": (256, 512),
    }
    assert sum(one.numel() for one in net.parameters()) == 437_760


def test_it_begins_as_mamba_ssm_does() -> None:
    net = block(64)
    assert torch.allclose(net.A_log.exp(), torch.arange(1.0, 17).expand(128, 16))
    assert torch.equal(net.D, torch.ones(128))
    step = functional.softplus(net.dt_proj.bias).detach()
    assert 1e-3 <= float(step.min()) < 2e-3 and 5e-2 < float(step.max()) <= 0.1 + 1e-6
    assert float(net.dt_proj.weight.detach().abs().max()) <= 4**-0.5
    floored = functional.softplus(block(64, dt_min=1e-7, dt_max=1e-6).dt_proj.bias)
    assert torch.allclose(floored, torch.full_like(floored, 1e-4), rtol=1e-3)


@pytest.mark.parametrize("length", [1, 3, 50, 256])
def test_output_and_gradients_are_those_of_mambapy(length: int) -> None:
    ours = block()
    theirs = MambaBlock(MambaConfig(d_model=16, n_layers=1))
    theirs.load_state_dict(ours.state_dict())
    x = tokens(length)
    ends = []
    for net in (ours, theirs):
        given = x.clone().requires_grad_()
        y = net(given)
        (y * torch.cos(torch.arange(y.numel())).view(y.shape)).sum().backward()
        ends.append(
            {"y": y.detach(), "x": given.grad, **{name: one.grad for name, one in net.named_parameters()}}
        )
    for name, expected in ends[1].items():
        assert torch.allclose(ends[0][name], expected, rtol=1e-4, atol=1e-5 * float(expected.abs().max())), (
            name
        )


@settings(max_examples=20, deadline=None)
@given(st.integers(2, 40), st.data())
def test_a_token_changes_nothing_before_it(length: int, data: st.DataObject) -> None:
    net, at = block(), data.draw(st.integers(0, length - 1))
    x = tokens(length)
    other = x.clone()
    other[:, at] += 1
    with torch.no_grad():
        change = (net(x) - net(other)).abs().amax((0, 2))
    assert torch.equal(change[:at], torch.zeros(at))
    assert float(change[at]) > 1e-4


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_only_the_forward_direction_is_causal(direction: str) -> None:
    net = layer(direction)
    x = torch.randn(1, 16, 2, 3, 4, generator=torch.Generator().manual_seed(1))
    other = x.clone()
    other[..., 1, 1, 1] += torch.arange(16) / 8
    with torch.no_grad():
        change = (net(x) - net(other)).abs().amax((0, 1)).flatten()
    at = 1 * 12 + 1 * 4 + 1
    assert bool((change[:at] == 0).all()) is (direction == "forward")
    assert float(change[at]) > 1e-3


def test_orders_are_those_of_segmamba() -> None:
    reverse, across = orders_of((2, 2, 3), "tri-orientated", torch.device("cpu"))
    assert reverse.tolist() == list(range(11, -1, -1))
    assert across.tolist() == [0, 6, 1, 7, 2, 8, 3, 9, 4, 10, 5, 11]
    assert len(orders_of((2, 2, 3), "bidirectional", torch.device("cpu"))) == 1
    assert orders_of((2, 2, 3), "forward", torch.device("cpu")) == []


def test_each_direction_adds_what_its_order_gives_put_back() -> None:
    net = block(n_further=2)
    x = tokens(12)
    orders = orders_of((2, 2, 3), "tri-orientated", x.device)
    plain = block()
    with torch.no_grad():
        parts = []
        for part, order in zip([net, *net.further], [torch.arange(12), *orders], strict=True):
            own = {name: one for name, one in part.state_dict().items() if not name.startswith("further")}
            plain.load_state_dict(
                {**own, "in_proj.weight": net.in_proj.weight, "out_proj.weight": net.out_proj.weight}
            )
            back = torch.empty_like(x)
            back[:, order] = plain(x[:, order])
            parts.append(back)
        assert torch.allclose(net(x, orders), sum(parts), atol=1e-6)
    with pytest.raises(ValueError):
        net(x)


@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 5, 2), (4, 3, 3)])
def test_a_layer_keeps_the_shape_and_reaches_every_parameter(
    direction: str, shape: tuple[int, int, int]
) -> None:
    net = layer(direction)
    x = torch.randn(2, 16, *shape)
    y = net(x)
    assert y.shape == x.shape
    y.square().sum().backward()
    still = {name for name, one in net.named_parameters() if one.grad is None or not one.grad.any()}
    # One token has no state before it, on which A works.
    assert {name for name in still if "A_log" not in name} == set()
    assert bool(still) is (shape == (1, 1, 1))


def test_a_layer_adds_to_its_input() -> None:
    net = layer("forward")
    torch.nn.init.zeros_(net.mamba.out_proj.weight)
    x = torch.randn(1, 16, 2, 3, 2)
    assert torch.equal(net(x), x)


def test_a_layer_computes_in_float32_under_autocast() -> None:
    net = layer("bidirectional")
    x = torch.randn(1, 16, 2, 3, 2)
    expected = net(x)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = net(x)
        half = net(x.bfloat16())
    assert torch.equal(found, expected) and half.dtype == torch.float32
    assert torch.allclose(half, expected, atol=0.05)


def test_weight_decay_leaves_rates_and_direct_weights_alone() -> None:
    names = undecayed(torch.nn.Sequential(layer("bidirectional")))
    assert names == {"0.mamba.A_log", "0.mamba.D", "0.mamba.further.0.A_log", "0.mamba.further.0.D"}
    assert undecayed(block()) == {"A_log", "D"} <= dict(block().named_parameters()).keys()


@pytest.fixture
def no_kernel_known() -> Any:
    module._kernel.cache_clear()
    yield
    module._kernel.cache_clear()


def test_the_kernel_of_mamba_ssm_is_taken_on_cuda_where_it_is(
    monkeypatch: pytest.MonkeyPatch, no_kernel_known: None
) -> None:
    seen = []

    def stand_in(u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor) -> Tensor:  # noqa: N803
        seen.append([tuple(one.shape) for one in (u, delta, A, B, C, D)])
        assert all(one.is_contiguous() and one.dtype == torch.float32 for one in (u, delta, A, B, C, D))
        return selective_scan(u, delta, A, B, C, D)

    for name in ("mamba_ssm", "mamba_ssm.ops"):
        monkeypatch.setitem(sys.modules, name, SimpleNamespace(__path__=[]))
    interface = SimpleNamespace(selective_scan_fn=stand_in)
    monkeypatch.setitem(sys.modules, "mamba_ssm.ops.selective_scan_interface", interface)
    assert scan_for(torch.device("cpu")) is selective_scan
    assert scan_for(torch.device("cuda", 0)) is stand_in
    net, x = block(), tokens(9)
    expected = net(x)
    monkeypatch.setattr(module, "scan_for", lambda device: stand_in)
    assert torch.equal(net(x), expected)
    assert seen == [[(2, 32, 9), (2, 32, 9), (32, 16), (2, 16, 9), (2, 16, 9), (32,)]]


def test_our_own_scan_is_taken_where_mamba_ssm_is_not(
    monkeypatch: pytest.MonkeyPatch, no_kernel_known: None
) -> None:
    monkeypatch.setitem(sys.modules, "mamba_ssm", None)
    assert scan_for(torch.device("cuda")) is selective_scan


def test_an_unknown_direction_is_refused() -> None:
    with pytest.raises(ValueError, match="direction is 'backward'; expected one of forward, bidirectional"):
        layer("backward")


def test_a_copy_behaves_the_same() -> None:
    net = layer("tri-orientated")
    x = torch.randn(1, 16, 2, 3, 2)
    assert torch.equal(net(x), copy.deepcopy(net)(x))
