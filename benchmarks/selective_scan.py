"""Claim: the selective scan takes no longer than mambapy's, is nearer to float64 than a millionth, and keeps less.

One sequence of 128 channels with 16 states, output and all gradients, as in Mamba when it begins. The peer is mambapy's
parallel scan, with decays and outputs made as its block makes them; each length is also gone through step by step with
autograd, where that does not take long. All take turns; medians of CPU seconds. The error is that of the
output by the largest output, against the same steps in float64. Memory is what the peak resident set of a process of
its own grows by.
Run: python benchmarks/selective_scan.py [longest]
"""

from __future__ import annotations

import json
import re
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from mambapy.pscan import pscan
from suite import ROOT, Measured, report, run, typical
from torch import Tensor

from reperfuse.networks.selective_scan import selective_scan

CHANNELS, STATES, REPEATS = 128, 16, 7
SHORTEST, LOOPED = 256, 512
Scan = Callable[..., Tensor]


def inputs(length: int) -> list[Tensor]:
    """Return u, delta, A, B, C and D."""
    torch.manual_seed(length)
    step = torch.nn.functional.softplus(torch.randn(1, CHANNELS, length) - 4)
    rates = -torch.arange(1.0, STATES + 1).repeat(CHANNELS, 1)
    b, c = torch.randn(2, 1, STATES, length)
    given = [torch.randn(1, CHANNELS, length), step, rates, b, c, torch.randn(CHANNELS)]
    return [one.requires_grad_() for one in given]


def of_mambapy(u: Tensor, delta: Tensor, a: Tensor, b: Tensor, c: Tensor, d: Tensor) -> Tensor:
    """Scan with mambapy, whose order is batch, time, channels."""
    u, delta, b, c = (one.transpose(1, 2) for one in (u, delta, b, c))
    states = pscan(torch.exp(delta[..., None] * a), delta[..., None] * b[:, :, None] * u[..., None])
    return ((states @ c[..., None])[..., 0] + d * u).transpose(1, 2)


def one_by_one(u: Tensor, delta: Tensor, a: Tensor, b: Tensor, c: Tensor, d: Tensor) -> Tensor:
    """Scan step by step."""
    state, found = u.new_zeros(*u.shape[:2], a.shape[1]), []
    for t in range(u.shape[2]):
        step = delta[:, :, t, None]
        state = torch.exp(step * a) * state + step * b[:, None, :, t] * u[:, :, t, None]
        found.append((state * c[:, None, :, t]).sum(-1) + d * u[:, :, t])
    return torch.stack(found, dim=2)


FORMS: dict[str, Scan] = {"ours": selective_scan, "mambapy": of_mambapy, "loop": one_by_one}


def there_and_back(form: Scan, given: list[Tensor]) -> float:
    """Return the CPU seconds of output and gradients."""
    began = time.process_time()
    torch.autograd.grad(form(*given).square().sum(), given)
    return time.process_time() - began


def seconds(length: int) -> dict[str, float]:
    """Return the median of each form."""
    given, forms = inputs(length), [name for name in FORMS if name != "loop" or length <= LOOPED]
    found: dict[str, list[float]] = {name: [] for name in forms}
    for repeat in range(REPEATS + 1):
        for name in forms:
            taken = there_and_back(FORMS[name], given)
            found[name] += [taken] if repeat else []
    return {name: typical(values) for name, values in found.items()}


def errors(length: int) -> dict[str, float]:
    """Return the largest difference from float64 by the largest output."""
    with torch.no_grad():
        given = inputs(length)
        exact = one_by_one(*(one.double() for one in given))
        return {name: float((FORMS[name](*given) - exact).abs().max() / exact.abs().max())
                for name in ("ours", "mambapy")}  # fmt: skip


def resident(which: str) -> float:
    """Return the resident set in MB: ``VmRSS`` now, or ``VmHWM`` at its peak."""
    found = re.search(rf"{which}:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found is not None
    return int(found.group(1)) / 1024


def alone(name: str, length: int) -> None:
    """Print the MB that one form adds in this process."""
    there_and_back(FORMS[name], inputs(2))
    given = inputs(length)
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins here
    before = resident("VmRSS")
    there_and_back(FORMS[name], given)
    print(json.dumps(resident("VmHWM") - before))


def memory(name: str, length: int) -> float:
    """Return the MB that one form adds in a process of its own."""
    command = [sys.executable, __file__, "alone", name, str(length)]
    return float(json.loads(run(command, ROOT, OMP_NUM_THREADS="1").output))


def measure(longest: int = 4096) -> list[Measured]:
    """Compare time, error and memory."""
    rows = []
    lengths = [length for length in (SHORTEST * 2**i for i in range(10)) if length <= longest]
    for length in lengths:
        found = seconds(length)
        looped = f"step by step with autograd {found['loop']:.3g} s" if "loop" in found else ""
        rows += [
            Measured(
                "selective scan, output and gradients", found["ours"], "s", length, "steps", peer=found["mambapy"],
                peer_is="mambapy's parallel scan", cpu_s=found["ours"], aim="ours/peer <= 1", remark=looped,
            )
        ]  # fmt: skip
    for length in (lengths[0], lengths[-1]):
        off = errors(length)
        rows += [
            Measured(
                "error of the selective scan", 1e6 * off["ours"], "millionths of the largest output", length, "steps",
                peer=1e6 * off["mambapy"], peer_is="mambapy's parallel scan", aim="ours <= 1",
            )
        ]  # fmt: skip
    rows += [
        Measured(
            "memory that a selective scan adds at its peak", memory("ours", longest), "MB", longest, "steps",
            peer=memory("mambapy", longest), peer_is="mambapy's parallel scan", aim="ours/peer <= 0.5",
            remark=f"one array of all states is {4 * longest * CHANNELS * STATES / 2**20:.0f} MB",
        )
    ]  # fmt: skip
    return rows


if __name__ == "__main__":
    torch.set_num_threads(1)
    if sys.argv[1:2] == ["alone"]:
        alone(sys.argv[2], int(sys.argv[3]))
        sys.exit()
    sys.exit(report(measure))
