from __future__ import annotations

import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from reperfuse.networks.lstm import MODES, VoxelLSTM
from reperfuse.networks.recurrence import final_state, joined


def network(mode: str = "pwi+aif+dwi", output: str = "last", hidden: int = 60) -> VoxelLSTM:
    torch.manual_seed(5)
    n_inputs, n_dwi, n_clinical = MODES[mode]
    return VoxelLSTM(
        n_inputs=n_inputs, n_dwi=n_dwi, n_clinical=n_clinical, hidden=hidden, output=output, n_points=60
    )


def shown(net: VoxelLSTM, n: int = 7) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(n)
    curves = torch.randn(n, net.n_points, net.n_inputs, generator=generator)
    return curves, torch.randn(n, net.n_static, generator=generator)


@pytest.mark.parametrize(
    ("mode", "weights", "fc"),
    [
        ("pwi", 17_040, 60),
        ("pwi+aif", 17_280, 60),
        ("pwi+dwi", 17_040, 78),
        ("pwi+aif+dwi", 17_280, 78),
        ("pwi+aif+dwi+clinical", 17_280, 81),
    ],
)
def test_each_mode_has_the_inputs_and_weights_of_the_paper(mode: str, weights: int, fc: int) -> None:
    net = network(mode)
    assert sum(p.numel() for p in net.lstm.parameters()) == weights
    # The paper's equations have one bias for each gate, PyTorch's layer two.
    one_bias = 4 * (60 * (60 + net.n_inputs) + 60)
    assert weights - one_bias == 4 * 60 and (net.n_inputs != 9 or one_bias == 16_800)
    assert (net.fc.in_features, net.fc.out_features) == (fc, 2)
    assert net(*shown(net)).shape == (7, 2)


def test_the_forget_gate_begins_open() -> None:
    lstm = network().lstm
    assert torch.equal(lstm.bias_ih_l0[60:120] + lstm.bias_hh_l0[60:120], torch.ones(60))
    assert float(lstm.bias_ih_l0[:60].detach().abs().max()) < 0.2


@pytest.mark.parametrize("output", ["last", "each"])
def test_the_logits_are_those_of_the_plain_layer(output: str) -> None:
    net = network(output=output)
    curves, static = shown(net)
    every, (last, _) = net.lstm(curves)
    if output == "each":
        by_time = torch.stack([net.fc(torch.cat([every[:, t], static], 1)) for t in range(60)])
        expected = by_time.mean(dim=0)
    else:
        expected = net.fc(torch.cat([last[0], static], 1))
    assert torch.allclose(net(curves, static), expected, atol=1e-6)
    with torch.no_grad():
        assert torch.allclose(net(curves, static), expected, atol=1e-6)


def plain(layer: nn.LSTM, x: Tensor, mean: bool) -> Tensor:
    every, (last, _) = layer(x)
    return every.mean(dim=1) if mean else last[0]


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 9), st.integers(1, 8), st.integers(1, 4), st.integers(1, 6), st.booleans())
def test_state_and_gradients_are_those_of_the_plain_layer(
    n: int, times: int, k: int, h: int, mean: bool
) -> None:
    torch.manual_seed(n)
    ours = nn.LSTM(k, h, batch_first=True, dtype=torch.float64)
    theirs = copy.deepcopy(ours)
    x = torch.randn(n, times, k, dtype=torch.float64, requires_grad=True)
    z = x.detach().clone().requires_grad_()
    weigh = torch.randn(n, h, dtype=torch.float64)
    (final_state(x, joined(ours), mean=mean) * weigh).sum().backward()
    (plain(theirs, z, mean) * weigh).sum().backward()
    pairs = [(a.grad, b.grad) for a, b in zip(ours.parameters(), theirs.parameters(), strict=True)]
    for a, b in [*pairs, (x.grad, z.grad)]:
        assert torch.allclose(a, b, rtol=1e-9, atol=1e-12)
    with torch.no_grad():
        assert torch.allclose(final_state(x, joined(ours), mean=mean), plain(theirs, z, mean), atol=1e-12)


def test_two_states_may_wait_for_their_gradients_at_once() -> None:
    net = network(hidden=5)
    a, b = shown(net, 4), shown(net, 9)
    expected = []
    for one in (a, b):
        net.zero_grad()
        net(*one).square().sum().backward()
        expected.append([p.grad.clone() for p in net.parameters()])
    net.zero_grad()
    (net(*a).square().sum() + net(*b).square().sum()).backward()
    for p, *both in zip(net.parameters(), *expected, strict=True):
        assert torch.allclose(p.grad, both[0] + both[1], rtol=1e-4, atol=1e-5)


def test_a_gradient_is_given_once() -> None:
    net = network(hidden=5)
    loss = net(*shown(net)).sum()
    loss.backward(retain_graph=True)
    with pytest.raises(RuntimeError, match="before"):
        loss.backward()


def test_the_same_training_ends_at_the_same_bits() -> None:
    ends = []
    for _ in range(2):
        net = network(hidden=8)
        optimiser = torch.optim.Adam(net.parameters(), 1e-3)
        for n in (16, 5, 16):
            optimiser.zero_grad()
            nn.functional.cross_entropy(net(*shown(net, n)), torch.arange(n) % 2).backward()
            optimiser.step()
        ends.append(torch.cat([p.detach().flatten() for p in net.parameters()]))
    assert torch.equal(*ends)


def test_other_shapes_and_words_are_refused() -> None:
    net = network()
    curves, static = shown(net)
    with pytest.raises(ValueError, match=r"curves are \(7, 60, 9\); expected \(n, 60, 10\)"):
        net(curves[:, :, :9], static)
    with pytest.raises(ValueError, match=r"static is \(7, 0\); expected \(7, 18\)"):
        net(curves)
    with pytest.raises(ValueError, match="output is 'first'"):
        network(output="first")
