"""The recurrence of an LSTM with its own gradient: one matrix product per time, everything else in place.

PyTorch's layer spends most of a training step on the CPU outside of matrix products. Here state, input and a row of
ones stand below each other, so that one product with ``[W_h | W_x | b]`` gives all gates; samples run along the last
axis, so that each gate is one contiguous block.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

# Writes the input (k, n) of time t into the rows that it is given.
Fill = Callable[[int, Tensor], object]
SIGMOID_GRADIENT = torch.ops.aten.sigmoid_backward.grad_input
TANH_GRADIENT = torch.ops.aten.tanh_backward.grad_input
# The memory of the last step. Asking the system for tens of megabytes anew costs as much as the products of a step.
_spare: list[Tensor] = []


def joined(layer: nn.LSTM) -> Tensor:
    """Return (4h, h + k + 1) weights of state, input and bias of a layer; gates in the order i, f, o, g.

    PyTorch's order is i, f, g, o; here the three that are sigmoids are neighbours. It has two biases, of which only the
    sum matters.
    """
    names = ("weight_hh_l0", "weight_ih_l0", "bias_ih_l0", "bias_hh_l0")
    w_h, w_x, b_x, b_h = map(layer.get_parameter, names)
    i, f, g, o = torch.cat([w_h, w_x, (b_x + b_h)[:, None]], dim=1).chunk(4)
    return torch.cat([i, f, o, g])


def final_state(x: Tensor, weights: Tensor, *, mean: bool) -> Tensor:
    """Return the state (n, h) that an LSTM comes to, beginning at zero; differentiable once.

    Parameters
    ----------
    x : Tensor
        (n, t, k), float32.
    weights : Tensor
        (4h, h + k + 1) of `joined`.
    mean : bool
        The mean of the states of all times instead of the last.
    """
    if torch.is_grad_enabled() and (x.requires_grad or weights.requires_grad):
        return cast(Tensor, _Recurrence.apply(x, weights, mean))
    by_time = x.permute(1, 2, 0)
    return run(weights, lambda t, rows: rows.copy_(by_time[t]), *x.shape[:2], mean=mean).t().contiguous()


def run(weights: Tensor, fill: Fill, n: int, times: int, *, mean: bool) -> Tensor:
    """Return the state (h, n) that an LSTM comes to, without what a gradient would need.

    Parameters
    ----------
    weights : Tensor
        (4h, h + k + 1) of `joined`.
    fill : callable
        Is given t and (k, n), into which it writes the input of that time; what it wrote before is still there.
    n, times : int
        Samples and times.
    mean : bool
        The mean of the states of all times instead of the last.
    """
    h = len(weights) // 4
    shown = weights.new_zeros(weights.shape[1], n)
    shown[-1] = 1
    hidden, given = shown[:h], shown[h:-1]
    gates, cell, squashed = weights.new_empty(4 * h, n), weights.new_zeros(h, n), weights.new_empty(h, n)
    sigmoids, (i, f, o, g) = gates[: 3 * h], gates.chunk(4)
    total = weights.new_zeros(h, n) if mean else None
    for t in range(times):
        fill(t, given)
        torch.mm(weights, shown, out=gates)
        sigmoids.sigmoid_()
        g.tanh_()
        cell.mul_(f).addcmul_(i, g)
        torch.mul(o, torch.tanh(cell, out=squashed), out=hidden)
        if total is not None:
            total += hidden
    return hidden if total is None else total / times


def _memory(like: Tensor, *shapes: tuple[int, int, int]) -> tuple[Tensor, list[Tensor]]:
    """Return a block of memory, and arrays of these shapes in it, one after another."""
    sizes = [a * b * c for a, b, c in shapes]
    block = _spare.pop() if _spare else like.new_empty(0)
    if block.numel() < sum(sizes) or block.dtype != like.dtype:
        block = like.new_empty(sum(sizes))
    parts = block[: sum(sizes)].split(sizes)
    return block, [part.view(shape) for part, shape in zip(parts, shapes, strict=True)]


def _gates(gates: Tensor, h: int) -> list[tuple[Tensor, ...]]:
    """Return views of (t, 4h, n) for each time, made once: all gates, the three sigmoids, then i, f, o and g."""
    parts = (gates, gates[:, : 3 * h], *gates.unflatten(1, (4, h)).unbind(1))
    return [part.unbind(0) for part in parts]


class _Recurrence(torch.autograd.Function):
    """`final_state` of (x, weights, mean), on the CPU."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weights: Tensor, mean: bool) -> Tensor:
        n, times, k = x.shape
        h = len(weights) // 4
        # Of each time below each other: the state of the time before, the input, ones.
        block, (shown, gates, cells, squashed) = _memory(
            weights, (times + 1, h + k + 1, n), (times, 4 * h, n), (times + 1, h, n), (times, h, n)
        )
        shown[0, :h], cells[0] = 0, 0
        shown[:times, h : h + k] = x.permute(1, 2, 0)
        shown[:, -1] = 1
        hidden, below = shown[1:, :h].unbind(0), shown.unbind(0)
        before, after, tanh = cells.unbind(0), cells[1:].unbind(0), squashed.unbind(0)
        every, sigmoids, i, f, o, g = _gates(gates, h)
        for t in range(times):
            torch.mm(weights, below[t], out=every[t])
            sigmoids[t].sigmoid_()
            g[t].tanh_()
            torch.mul(before[t], f[t], out=after[t]).addcmul_(i[t], g[t])
            torch.mul(o[t], torch.tanh(after[t], out=tanh[t]), out=hidden[t])
        ctx.save_for_backward(weights)
        ctx.mean, ctx.block, ctx.kept = mean, block, (shown, gates, cells, squashed)
        return (shown[1:, :h].mean(dim=0) if mean else hidden[-1]).t().contiguous()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor, None]:
        if ctx.kept is None:
            raise RuntimeError("the gradient of this state was asked for before; its memory is in other use")
        (weights,), (shown, gates, cells, squashed) = ctx.saved_tensors, ctx.kept
        times, h, n = squashed.shape
        k = shown.shape[1] - h - 1
        given = grad.t().contiguous() / (times if ctx.mean else 1)
        to_state, to_input = weights[:, :h].t().contiguous(), weights[:, h : h + k].t()
        d_x = grad.new_empty(times, k, n) if ctx.needs_input_grad[0] else None
        d_weights, d_hidden = (
            torch.zeros_like(weights.t(), memory_format=torch.contiguous_format),
            given.clone(),
        )
        d_gates, d_cell, part = grad.new_empty(4 * h, n), grad.new_zeros(h, n), grad.new_empty(h, n)
        d_sigmoids, (d_i, d_f, d_o, d_g) = d_gates[: 3 * h], d_gates.chunk(4)
        below, before, tanh = shown.unbind(0), cells.unbind(0), squashed.unbind(0)
        _, sigmoids, i, f, o, g = _gates(gates, h)
        for t in reversed(range(times)):
            torch.mul(d_hidden, tanh[t], out=d_o)
            d_cell += TANH_GRADIENT(torch.mul(d_hidden, o[t], out=part), tanh[t], grad_input=part)
            torch.mul(d_cell, g[t], out=d_i)
            torch.mul(d_cell, before[t], out=d_f)
            torch.mul(d_cell, i[t], out=d_g)
            SIGMOID_GRADIENT(d_sigmoids, sigmoids[t], grad_input=d_sigmoids)
            TANH_GRADIENT(d_g, g[t], grad_input=d_g)
            d_weights.addmm_(below[t], d_gates.t())
            if d_x is not None:
                torch.mm(to_input, d_gates, out=d_x[t])
            d_cell *= f[t]
            torch.mm(to_state, d_gates, out=d_hidden)
            if ctx.mean:
                d_hidden += given
        ctx.kept = None
        _spare[:] = [ctx.block]
        return (None if d_x is None else d_x.permute(2, 0, 1)), d_weights.t(), None
