from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mambapy.pscan import pscan
from torch import Tensor

from reperfuse.networks import selective_scan as module
from reperfuse.networks.selective_scan import selective_scan

NAMES = ("u", "delta", "A", "B", "C", "D")


def inputs(
    length: int, *, batch: int = 2, d: int = 6, n: int = 4, dtype: torch.dtype = torch.float64
) -> list[Tensor]:
    """Return u, delta, A, B, C and D as a Mamba block has them when it begins."""
    generator = torch.Generator().manual_seed(1000 * length + batch)

    def noise(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    step = torch.nn.functional.softplus(noise(batch, d, length) - 4)
    rates = -torch.arange(1, n + 1, dtype=torch.float64).repeat(d, 1)
    found = [noise(batch, d, length), step, rates, noise(batch, n, length), noise(batch, n, length), noise(d)]
    return [one.to(dtype).requires_grad_() for one in found]


def one_by_one(u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor) -> Tensor:  # noqa: N803
    """The definition, a step at a time."""
    state, found = u.new_zeros(*u.shape[:2], A.shape[1]), []
    for t in range(u.shape[2]):
        step = delta[:, :, t, None]
        state = torch.exp(step * A) * state + step * B[:, None, :, t] * u[:, :, t, None]
        found.append((state * C[:, None, :, t]).sum(-1) + D * u[:, :, t])
    return torch.stack(found, dim=2)


def of_mambapy(u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor) -> Tensor:  # noqa: N803
    """The same with mambapy's parallel scan."""
    u, delta, B, C = (one.transpose(1, 2) for one in (u, delta, B, C))  # noqa: N806
    step = delta[..., None]
    states = pscan(torch.exp(step * A), step * B[:, :, None] * u[..., None])
    return ((states @ C[..., None])[..., 0] + D * u).transpose(1, 2)


def with_gradients(scan: object, given: list[Tensor]) -> list[Tensor]:
    """Return the output of a scan and the gradients of a weighted sum of it."""
    y = scan(*given)  # type: ignore[operator]
    weigh = torch.cos(torch.arange(y.numel(), dtype=y.dtype)).view(y.shape)
    return [y.detach(), *torch.autograd.grad((y * weigh).sum(), given)]


def farthest(found: list[Tensor], expected: list[Tensor]) -> float:
    """Return the largest difference by the largest value, of output and gradients."""
    pairs = zip(found, expected, strict=True)
    return max(float((a - b).abs().max() / b.abs().max().clamp_min(1)) for a, b in pairs)


@settings(max_examples=40, deadline=None)
@given(
    st.integers(1, 70), st.integers(1, 3), st.integers(1, 7), st.integers(1, 5),
    st.sampled_from([1, 50, 200, module.CHUNK_VALUES]),
)  # fmt: skip
def test_output_and_gradients_are_those_of_the_definition(
    length: int, batch: int, d: int, n: int, values: int
) -> None:
    given = inputs(length, batch=batch, d=d, n=n)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "CHUNK_VALUES", values)
        found = with_gradients(selective_scan, given)
    assert farthest(found, with_gradients(one_by_one, given)) < 1e-12


@pytest.mark.parametrize("length", [1, 63, 64, 65, 256, 1000, 4096])
def test_float32_is_within_a_millionth_of_float64(length: int) -> None:
    given = inputs(length, batch=1, d=16, n=16)
    low = [one.detach().float().requires_grad_() for one in given]
    high = [one.detach().double() for one in low]
    with torch.no_grad():
        expected = one_by_one(*high)
    found = selective_scan(*low).detach()
    assert found.dtype == torch.float32
    assert float((found - expected).abs().max() / expected.abs().max().clamp_min(1)) < 1e-6


@pytest.mark.parametrize("length", [1, 2, 3, 100, 256, 300])
def test_output_and_gradients_are_those_of_mambapy(length: int) -> None:
    given = inputs(length, batch=2, d=8, n=16, dtype=torch.float32)
    assert (
        farthest(with_gradients(selective_scan, given), with_gradients(of_mambapy, given)) < 1e-5
    )  # both in float32


def test_the_gradient_is_that_of_finite_differences(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CHUNK_VALUES", 60)  # three chunks, the last shorter
    assert torch.autograd.gradcheck(selective_scan, inputs(7, batch=2, d=5, n=2))


@pytest.mark.parametrize("step", [0.0, 1e-30, 50.0, 1e4])
def test_nothing_overflows_at_extreme_steps_and_long_sequences(step: float) -> None:
    u, _, a, b, c, d = inputs(4096, batch=1, d=8, n=16, dtype=torch.float32)
    delta = torch.full_like(u, step).requires_grad_()
    assert all(bool(one.isfinite().all()) for one in with_gradients(selective_scan, [u, delta, a, b, c, d]))


def test_a_step_of_zero_leaves_the_state_and_a_long_one_forgets_it() -> None:
    u, delta, a, b, c, d = inputs(9)
    still = torch.zeros_like(delta)
    assert torch.equal(selective_scan(u, still, a, b, c, d), d[:, None] * u)
    long = torch.full_like(delta, 800.0)
    only_now = 800 * u * (b * c).sum(1, keepdim=True) + d[:, None] * u
    assert torch.allclose(selective_scan(u, long, a, b, c, d), only_now, rtol=1e-12)


def test_few_states_are_kept_for_the_gradient() -> None:
    given = inputs(1024, batch=1, d=128, n=16, dtype=torch.float32)
    kept: list[int] = []

    def keep(one: Tensor) -> Tensor:
        kept.append(one.numel())
        return one

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda one: one):
        selective_scan(*given)
    assert 0 < sum(kept) < 0.5 * 1024 * 128 * 16


def test_autocast_and_low_precision_do_not_reach_the_scan() -> None:
    given = inputs(40, dtype=torch.float32)
    expected = with_gradients(selective_scan, given)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = with_gradients(selective_scan, given)
    assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))
    assert selective_scan(*(one.bfloat16() for one in given)).dtype == torch.float32


def test_the_same_inputs_give_the_same_bits() -> None:
    given = inputs(300, d=64, n=16, dtype=torch.float32)
    first, second = (with_gradients(selective_scan, given) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


@pytest.mark.parametrize("name", NAMES[1:])
def test_shapes_that_do_not_belong_together_are_refused(name: str) -> None:
    given = dict(zip(NAMES, inputs(5), strict=True))
    given[name] = torch.cat([given[name], given[name]])
    with pytest.raises(ValueError, match=rf"^{name} is \(\d+.*; expected \("):
        selective_scan(**given)


def test_no_step_is_refused() -> None:
    u, delta, a, b, c, d = inputs(2)
    with pytest.raises(ValueError, match=r"u is \(2, 6, 0\), which has no step"):
        selective_scan(u[..., :0], delta[..., :0], a, b[..., :0], c[..., :0], d)
