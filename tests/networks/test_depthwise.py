from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional

from reperfuse.networks import depthwise as room
from reperfuse.networks.depthwise import LAST, depthwise, is_faster
from reperfuse.networks.separable import SeparableConv3d


def plain(x: Tensor, weight: Tensor, stride: int) -> Tensor:
    return functional.conv3d(x, weight, stride=stride, padding=1, groups=len(weight))


def inputs(
    batch: int, channels: int, *shape: int, dtype: torch.dtype = torch.float32
) -> tuple[Tensor, Tensor]:
    random = torch.Generator().manual_seed(batch + channels + sum(shape))
    x = torch.randn(batch, channels, *shape, generator=random, dtype=dtype)
    weight = torch.randn(channels, 1, 3, 3, 3, generator=random, dtype=dtype)
    return x.requires_grad_(), weight.requires_grad_()


def agree(x: Tensor, weight: Tensor, stride: int) -> None:
    results = []
    for form in (plain, depthwise):
        out = form(x, weight, stride)
        along = torch.linspace(-1, 1, out.numel()).reshape(out.shape)
        results.append((out, *torch.autograd.grad(out, (x, weight), along)))
    for theirs, ours in zip(*results, strict=True):
        assert (ours - theirs).abs().max() <= 1e-5 * theirs.abs().max()


@given(
    batch=st.integers(1, 3), channels=st.integers(1, 20), shape=st.tuples(*[st.integers(1, 9)] * 3),
    stride=st.integers(1, 3),
)  # fmt: skip
@settings(max_examples=30, deadline=None)
def test_output_and_gradients_are_those_of_the_plain_form(
    batch: int, channels: int, shape: tuple[int, int, int], stride: int
) -> None:
    agree(*inputs(batch, channels, *shape), stride)


@pytest.mark.parametrize("stride", [1, 2])
def test_so_they_are_at_the_size_of_a_level(stride: int) -> None:
    agree(*inputs(2, 96, 16, 16, 16), stride)


@pytest.mark.parametrize("stride", [1, 2])
def test_the_gradient_is_that_of_finite_differences(stride: int) -> None:
    x, weight = inputs(2, 2, 3, 4, 2, dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda x, w: depthwise(x, w, stride), (x, weight))


def test_features_have_their_channels_last_and_only_what_is_asked_for_is_made() -> None:
    x, weight = inputs(2, 4, 4, 4, 4)
    out = depthwise(x.detach(), weight, 1)
    assert out.is_contiguous(memory_format=LAST)
    out.sum().backward()
    assert x.grad is None and weight.grad is not None


def test_the_plain_form_is_taken_wherever_the_other_is_not_faster(monkeypatch: pytest.MonkeyPatch) -> None:
    x, _ = inputs(1, 4, 4, 4, 4)
    block = SeparableConv3d(4, 5, stride=1)
    fast = block(x)
    torch.testing.assert_close(fast, block.pointwise(block.depthwise(x)), rtol=1e-5, atol=1e-6)
    assert fast.is_contiguous(memory_format=LAST)
    assert is_faster(x) and not is_faster(x.double()) and not is_faster(x.to("meta"))

    def never(*given: object) -> Tensor:
        raise AssertionError("the form for CPUs was taken")

    monkeypatch.setattr(room, "_Depthwise", type("Never", (), {"apply": never}))
    with torch.autocast("cpu", torch.bfloat16):
        assert not is_faster(x)
        assert block(x).dtype == torch.bfloat16
    assert block.double()(x.double()).shape == (1, 5, 4, 4, 4)
    with pytest.raises(AssertionError, match="for CPUs"):
        block.float()(x)
