"""The selective scan of Mamba in plain PyTorch: exact, with its own gradient, and with little memory.

With h_0 = 0, for each channel d and each state n,

    h_t = exp(Δ_t A) h_(t−1) + Δ_t B_t u_t,    y_t = Σ_n C_t h_t + D u_t

(Gu, Dao: Mamba, arXiv 2312.00752, equations 2 to 4, with the simplified discretisation of B that its code has). The
sequence is gone through in chunks. Of a chunk, decays and inputs are made at once, its states follow one after another
in place, each being one operation on all channels and states, and the outputs are again made at once. Only
the state before each chunk is kept; the gradient makes the others again and goes through the chunk backwards, as the
authors' CUDA kernel does. Nothing is divided and no logarithm is taken, so nothing can overflow where A ≤ 0 ≤ Δ.
"""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

# Values of one array of a chunk. Three such arrays of four bytes about fill the second-level cache of a core; with
# fewer, threads would wait for each other more often.
CHUNK_VALUES = 262_144


def selective_scan(u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor) -> Tensor:  # noqa: N803
    """Return the output (batch, d, length) of a selective scan; differentiable once.

    Parameters
    ----------
    u, delta : Tensor
        (batch, d, length); input and step, the latter after softplus.
    A : Tensor
        (d, n), at most 0.
    B, C : Tensor
        (batch, n, length).
    D : Tensor
        (d,), the weight of the input in the output.

    Returns
    -------
    Tensor
        float64 if ``u`` is, else float32 whatever the inputs and whether autocast is on.

    Raises
    ------
    ValueError
        If shapes do not belong together, or there is no step.
    """
    batch, d, length = u.shape
    if not length:
        raise ValueError(f"u is {tuple(u.shape)}, which has no step; expected one or more")
    n = A.shape[-1]
    expected = {
        "delta": (batch, d, length),
        "A": (d, n),
        "B": (batch, n, length),
        "C": (batch, n, length),
        "D": (d,),
    }
    for (name, shape), one in zip(expected.items(), (delta, A, B, C, D), strict=True):
        if one.shape != shape:
            raise ValueError(f"{name} is {tuple(one.shape)}; expected {shape} for u of {tuple(u.shape)}")
    dtype = torch.float64 if u.dtype == torch.float64 else torch.float32
    # Time first and channels last: a state is one block of memory, and a sum over n runs along it.
    by_time = [one.to(dtype).permute(2, 0, 1).contiguous() for one in (u, delta, B, C)]
    y = cast(Tensor, _Scan.apply(*by_time, A.to(dtype).t().contiguous()))
    return y.permute(1, 2, 0) + D.to(dtype)[:, None] * u.to(dtype)


def _chunks(length: int, width: int) -> list[slice]:
    """Return the steps of each chunk, of which a state has ``width`` values."""
    size = max(1, min(length, CHUNK_VALUES // width))
    return [slice(at, min(at + size, length)) for at in range(0, length, size)]


def _outer(rows: Tensor, columns: Tensor, out: Tensor) -> Tensor:
    """Write the products (t, b, n, d) of (t, b, n) and (t, b, d)."""
    return torch.mul(rows[..., None], columns[:, :, None], out=out)


def _over_states(values: Tensor, weights: Tensor) -> Tensor:
    """Return the sums (t, b, d) over n of (t, b, n, d) and (t, b, n)."""
    return torch.bmm(weights.flatten(0, 1)[:, None], values.flatten(0, 1)).view(
        *values.shape[:2], values.shape[-1]
    )


def _over_channels(values: Tensor, weights: Tensor) -> Tensor:
    """Return the sums (t, b, n) over d of (t, b, n, d) and (t, b, d)."""
    return torch.bmm(values.flatten(0, 1), weights.flatten(0, 1)[..., None]).view(values.shape[:-1])


class _Chunk:
    """Memory for the decays and states (t, b, n, d) of a chunk, used for one chunk after another."""

    def __init__(self, size: int, like: Tensor) -> None:
        self.decays = like.new_empty(size, *like.shape)
        self.states = like.new_empty(size + 1, *like.shape)  # the state before the chunk comes first
        # Views of each time are made once, for making them costs as much as the step itself.
        self.decay, self.state = self.decays.unbind(0), self.states.unbind(0)

    def fill(self, u: Tensor, delta: Tensor, b: Tensor, a: Tensor, before: Tensor) -> tuple[Tensor, Tensor]:
        """Return decays, and states with the one before, of the chunk that these are the inputs of."""
        size = len(u)
        decays, states = self.decays[:size], self.states[: size + 1]
        torch.mul(delta[:, :, None], a, out=decays).exp_()
        states[0] = before
        _outer(b, delta * u, states[1:])
        for t in range(size):
            self.state[t + 1].addcmul_(self.decay[t], self.state[t])
        return decays, states


class _Scan(torch.autograd.Function):
    """Σ_n C h of u, Δ (t, b, d), B, C (t, b, n) and A (n, d), as (t, b, d)."""

    @staticmethod
    def forward(ctx: Any, u: Tensor, delta: Tensor, b: Tensor, c: Tensor, a: Tensor) -> Tensor:
        before = u.new_zeros(u.shape[1], *a.shape)
        parts = _chunks(len(u), before.numel())
        befores = u.new_empty(len(parts), *before.shape)
        chunk = _Chunk(parts[0].stop, before)
        y = torch.empty_like(u)
        with torch.autocast(u.device.type, enabled=False):
            for i, part in enumerate(parts):
                befores[i] = before
                _, states = chunk.fill(u[part], delta[part], b[part], a, before)
                y[part] = _over_states(states[1:], c[part])
                before = states[-1]
        ctx.save_for_backward(u, delta, b, c, a, befores)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, ...]:
        u, delta, b, c, a, befores = ctx.saved_tensors
        d_u, d_delta, d_b, d_c, d_a = (torch.zeros_like(one) for one in (u, delta, b, c, a))
        grad = grad.contiguous()
        parts = _chunks(len(u), befores[0].numel())
        chunk = _Chunk(parts[0].stop, befores[0])
        memory = torch.empty_like(chunk.decays)
        by_time = memory.unbind(0)
        from_later = torch.zeros_like(befores[0])  # what the chunk after gives to the last state of this one
        with torch.autocast(u.device.type, enabled=False):
            for part, before in reversed(list(zip(parts, befores, strict=True))):
                decays, states = chunk.fill(u[part], delta[part], b[part], a, before)
                d_c[part] = _over_channels(states[1:], grad[part])
                d_states = _outer(c[part], grad[part], memory[: len(decays)])
                d_states[-1] += from_later
                for t in range(len(decays) - 1, 0, -1):
                    by_time[t - 1].addcmul_(chunk.decay[t], by_time[t])
                d_b[part] = _over_channels(d_states, delta[part] * u[part])
                d_input = _over_states(d_states, b[part])  # of Δ u
                torch.mul(d_input, delta[part], out=d_u[part])
                d_exponents = decays.mul_(d_states)  # of Δ A, once the states before are multiplied too
                from_later.copy_(d_exponents[0])
                d_exponents.mul_(states[:-1])
                d_a += torch.mul(d_exponents, delta[part, :, None], out=d_states).sum(dim=(0, 1))
                torch.sum(d_exponents.mul_(a), dim=2, out=d_delta[part])
                d_delta[part].addcmul_(d_input, u[part])
        return d_u, d_delta, d_b, d_c, d_a
