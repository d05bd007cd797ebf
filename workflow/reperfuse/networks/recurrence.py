"""The recurrence of an LSTM with its own gradient: one matrix product per time, everything else in place.

PyTorch's layer spends most of a training step on the CPU outside of matrix products. Here hidden state, input and a
row of ones stand below each other, so that one product with ``[W_h | W_x | b]`` gives all gates; voxels run along the
last axis, so that each gate is one contiguous block.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

BELOW = torch.ops.aten.sigmoid_backward.grad_input
BELOW_TANH = torch.ops.aten.tanh_backward.grad_input


def joined(layer: nn.LSTM) -> Tensor:
    """Return (4h, h + k + 1) weights of state, input and bias of a layer; gates in the order i, f, o, g.

    PyTorch's order is i, f, g, o; here the three that are sigmoids are neighbours.
    """
    bias = layer.bias_ih_l0 + layer.bias_hh_l0
    i, f, g, o = torch.cat([layer.weight_hh_l0, layer.weight_ih_l0, bias[:, None]], dim=1).chunk(4)
    return torch.cat([i, f, o, g])


def advance(gates: Tensor, cell: Tensor, squashed: Tensor, hidden: Tensor) -> None:
    """Go on by one time, in place.

    Parameters
    ----------
    gates : Tensor
        (4h, n) before their functions; after them when this returns.
    cell : Tensor
        (h, n), before; after when this returns.
    squashed, hidden : Tensor
        (h, n) for tanh of the cell and for the new state.
    """
    n = len(cell)
    gates[: 3 * n].sigmoid_()
    gates[3 * n :].tanh_()
    i, f, o, g = gates.chunk(4)
    torch.mul(cell, f, out=cell).addcmul_(i, g)
    torch.mul(o, torch.tanh(cell, out=squashed), out=hidden)


def final_state(x: Tensor, weights: Tensor, *, mean: bool) -> Tensor:
    """Return the state (n, h) that an LSTM comes to, beginning at zero.

    Parameters
    ----------
    x : Tensor
        (n, t, k), float32.
    weights : Tensor
        (4h, h + k + 1) of `joined`.
    mean : bool
        The mean of the states of all times instead of the last.
    """
    found: Tensor = _Recurrence.apply(x, weights, mean)
    return found


class _Recurrence(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weights: Tensor, mean: bool) -> Tensor:
        n, times, k = x.shape
        h = len(weights) // 4
        # Below each other at each time: the state of the time before, the input, ones.
        shown = x.new_empty(times + 1, h + k + 1, n)
        shown[0, :h] = 0
        shown[:times, h : h + k] = x.permute(1, 2, 0)
        shown[:, -1] = 1
        gates, cells = x.new_empty(times, 4 * h, n), x.new_empty(times + 1, h, n)
        squashed = x.new_empty(times, h, n)
        cells[0] = 0
        hidden = shown[1:, :h].unbind(0)
        sigmoids, tangents = gates[:, : 3 * h].unbind(0), gates[:, 3 * h :].unbind(0)
        inner, forget, outer, new = (one.unbind(0) for one in gates.view(times, 4, h, n).unbind(1))
        for t, (into, seen) in enumerate(zip(gates.unbind(0), shown.unbind(0), strict=False)):
            torch.mm(weights, seen, out=into)
            sigmoids[t].sigmoid_()
            tangents[t].tanh_()
            torch.mul(cells[t], forget[t], out=cells[t + 1]).addcmul_(inner[t], new[t])
            torch.mul(outer[t], torch.tanh(cells[t + 1], out=squashed[t]), out=hidden[t])
        ctx.save_for_backward(weights, shown, gates, cells, squashed)
        ctx.mean = mean
        return (shown[1:, :h].mean(dim=0) if mean else hidden[-1]).t().contiguous()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor, None]:  # type: ignore[override]
        weights, shown, gates, cells, squashed = ctx.saved_tensors
        times, h, n = squashed.shape
        k = shown.shape[1] - h - 1
        given = grad.t().contiguous() / (times if ctx.mean else 1)
        to_state, to_input = weights[:, :h].t().contiguous(), weights[:, h : h + k].t()
        d_x = grad.new_empty(times, k, n) if ctx.needs_input_grad[0] else None
        d_weights = torch.zeros_like(weights)
        d_gates, d_cell = grad.new_empty(4 * h, n), grad.new_zeros(h, n)
        d_hidden, spare = given.clone(), torch.empty_like(d_cell)
        d_sigmoids, d_tangent = d_gates[: 3 * h], d_gates[3 * h :]
        d_i, d_f, d_o, _ = d_gates.chunk(4)
        for t in reversed(range(times)):
            sigmoids, i, f, o, g = gates[t, : 3 * h], *gates[t].chunk(4)
            torch.mul(d_hidden, squashed[t], out=d_o)
            torch.mul(d_hidden, o, out=spare)
            d_cell += BELOW_TANH(spare, squashed[t], grad_input=spare)
            torch.mul(d_cell, g, out=d_i)
            torch.mul(d_cell, cells[t], out=d_f)
            torch.mul(d_cell, i, out=d_tangent)
            BELOW(d_sigmoids, sigmoids, grad_input=d_sigmoids)
            BELOW_TANH(d_tangent, g, grad_input=d_tangent)
            d_weights.addmm_(d_gates, shown[t].t())
            if d_x is not None:
                torch.mm(to_input, d_gates, out=d_x[t])
            d_cell *= f
            torch.mm(to_state, d_gates, out=d_hidden)
            if ctx.mean:
                d_hidden += given
        return (None if d_x is None else d_x.permute(2, 0, 1)), d_weights, None
