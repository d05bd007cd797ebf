"""Mamba for tokens, and as a layer for the voxels of a feature map."""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable, Sequence
from functools import cache
from typing import Literal, cast, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional

from reperfuse.networks.selective_scan import selective_scan

Direction = Literal["forward", "bidirectional", "tri-orientated"]
Scan = Callable[[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor], Tensor]
# Between these the step of a channel begins in the authors' code, and never below the last, whatever is asked for.
SMALLEST_STEP, LARGEST_STEP, STEP_FLOOR = 1e-3, 0.1, 1e-4


@cache
def _kernel() -> Scan | None:
    """Return the scan of the package mamba_ssm, or None where it is not installed."""
    try:
        return cast(Scan, importlib.import_module("mamba_ssm.ops.selective_scan_interface").selective_scan_fn)
    except ImportError:
        return None


def scan_for(device: torch.device) -> Scan:
    """Return the scan for tensors of a device: mamba_ssm's kernel on CUDA where it is installed, else our own."""
    return (_kernel() if device.type == "cuda" else None) or selective_scan


def undecayed(module: nn.Module) -> set[str]:
    """Return the names of the parameters that weight decay must leave alone: those in a module's ``no_decay``."""
    return {
        f"{name}.{one}".lstrip(".") for name, part in module.named_modules() for one in getattr(part, "no_decay", ())
    }  # fmt: skip


class StateSpace(nn.Module):
    """The part of a Mamba block that goes through the sequence: short convolution, scan and gate.

    Parameters
    ----------
    width : int
        Channels, d_inner of the block.
    rank : int
        Of the projection that gives the step.
    d_state, d_conv : int
        States of a channel; steps that the convolution sees, the present one last.
    dt_min, dt_max : float
        Between them the step begins, uniform in its logarithm.
    """

    no_decay = ("A_log", "D")

    def __init__(
        self, width: int, rank: int, *, d_state: int, d_conv: int, dt_min: float, dt_max: float
    ) -> None:
        super().__init__()
        self.split = (rank, d_state, d_state)
        self.conv1d = nn.Conv1d(width, width, d_conv, groups=width, padding=d_conv - 1)
        self.x_proj = nn.Linear(width, sum(self.split), bias=False)
        self.dt_proj = nn.Linear(rank, width)
        self.A_log = nn.Parameter(torch.arange(1.0, d_state + 1).log().repeat(width, 1))
        self.D = nn.Parameter(torch.ones(width))
        nn.init.uniform_(self.dt_proj.weight, -(rank**-0.5), rank**-0.5)
        step = torch.empty(width).uniform_(math.log(dt_min), math.log(dt_max)).exp().clamp_min(STEP_FLOOR)
        with torch.no_grad():
            self.dt_proj.bias.copy_(step + (-torch.expm1(-step)).log())  # the inverse of softplus

    def gone_through(self, xz: Tensor) -> Tensor:
        """Return (batch, width, length) for input and gate, (batch, 2 width, length)."""
        x, z = xz.chunk(2, dim=1)
        x = functional.silu(self.conv1d(x)[..., : xz.shape[-1]])
        rank, b, c = self.x_proj(x.transpose(1, 2)).split(self.split, dim=-1)
        step = functional.softplus(self.dt_proj(rank)).transpose(1, 2)
        inputs = (x, step, -self.A_log.exp(), b.transpose(1, 2), c.transpose(1, 2), self.D)
        y = scan_for(x.device)(*(one.contiguous() for one in inputs))
        return y * functional.silu(z)


class Mamba(StateSpace):
    """A Mamba block, with parameters of the names and shapes that mamba_ssm's ``Mamba`` has.

    Parameters
    ----------
    d_model : int
        Channels of a token.
    d_state, d_conv : int
        As of `StateSpace`.
    expand : int
        Inner channels by ``d_model``.
    dt_min, dt_max : float
        As of `StateSpace`.
    n_further : int
        Further orders in which `forward` is to go through the tokens. Each has a `StateSpace` of its own; projections
        into and out of the block are shared and the results added, as in SegMamba's block.

    References
    ----------
    Gu, Dao: Mamba, arXiv 2312.00752, section 3.4; Xing et al.: SegMamba, arXiv 2401.13560, section 2.
    """

    def __init__(
        self, d_model: int, *, d_state: int, d_conv: int, expand: int, dt_min: float, dt_max: float, n_further: int
    ) -> None:  # fmt: skip
        width, rank = expand * d_model, math.ceil(d_model / 16)
        super().__init__(width, rank, d_state=d_state, d_conv=d_conv, dt_min=dt_min, dt_max=dt_max)
        self.in_proj = nn.Linear(d_model, 2 * width, bias=False)
        self.out_proj = nn.Linear(width, d_model, bias=False)
        self.further = nn.ModuleList(
            StateSpace(width, rank, d_state=d_state, d_conv=d_conv, dt_min=dt_min, dt_max=dt_max)
            for _ in range(n_further)
        )

    def forward(self, tokens: Tensor, orders: Sequence[Tensor] = ()) -> Tensor:
        """Return (batch, length, d_model) for tokens of that shape, in the precision of the weights.

        Parameters
        ----------
        tokens : Tensor
        orders : sequence of Tensor
            Of each further order the (length,) indices of the tokens in it.
        """
        with torch.autocast(tokens.device.type, enabled=False):
            xz = self.in_proj(tokens.to(self.in_proj.weight.dtype)).transpose(1, 2)
            y = self.gone_through(xz)
            for part, order in zip(self.further, orders, strict=True):
                again = cast(StateSpace, part).gone_through(xz.index_select(-1, order))
                y = y + again.index_select(-1, order.argsort())
            out: Tensor = self.out_proj(y.to(self.out_proj.weight.dtype).transpose(1, 2))
            return out


def orders_of(shape: Sequence[int], direction: Direction, device: torch.device) -> list[Tensor]:
    """Return the further orders in which a direction goes through voxels (D, H, W) that are flattened row by row.

    "bidirectional" adds the reverse; "tri-orientated" also goes through the slices at each place of a slice before it
    goes to the next place.
    """
    every = torch.arange(math.prod(shape), device=device)
    further = [every.flip(0), every.view(shape[0], -1).t().flatten()]
    return further[: get_args(Direction).index(direction)]


class MambaLayer(nn.Module):
    """x + Mamba(LayerNorm(x)) for the voxels of a feature map, in float32 also under autocast.

    U-Mamba's layer, which flattens the voxels row by row, with SegMamba's residual connection.

    Parameters
    ----------
    channels : int
    direction : {"forward", "bidirectional", "tri-orientated"}
    d_state, d_conv, expand, dt_min, dt_max
        As of `Mamba`.

    References
    ----------
    Ma et al.: U-Mamba, arXiv 2401.04722; Xing et al.: SegMamba, arXiv 2401.13560.
    """

    def __init__(
        self, channels: int, *, direction: Direction, d_state: int, d_conv: int, expand: int, dt_min: float,
        dt_max: float,
    ) -> None:  # fmt: skip
        super().__init__()
        if direction not in get_args(Direction):
            raise ValueError(f"direction is {direction!r}; expected one of {', '.join(get_args(Direction))}")
        self.direction: Direction = direction
        self.norm = nn.LayerNorm(channels)
        self.mamba = Mamba(
            channels, d_state=d_state, d_conv=d_conv, expand=expand, dt_min=dt_min, dt_max=dt_max,
            n_further=get_args(Direction).index(direction),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, C, D, H, W) for features of that shape."""
        with torch.autocast(x.device.type, enabled=False):
            tokens = self.norm(x.flatten(2).transpose(1, 2).to(self.norm.weight.dtype))
        out = self.mamba(tokens, orders_of(x.shape[2:], self.direction, x.device))
        return x + out.transpose(1, 2).reshape(x.shape)
