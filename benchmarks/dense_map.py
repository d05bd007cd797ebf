"""Claim: the likelihood map of a brain is no slower than batched patches, and needs half their memory or less.

A grid of 128×128×20 with 60 times, a brain-sized mask in it, the network with PWI, AIF and diffusion. The peer makes
the 3×3 patches of a batch of voxels, puts the AIF beside them and calls the module with PyTorch's LSTM; in batches
of several sizes, and with all patches made at first. The quickest and the leanest are compared. Each form runs in a
process of its own, which has seen a few voxels before; memory is what the peak resident set grows by. The floor of
the time is 60 products of the recurrent weights with the state for all voxels, and nothing else.
Run: python benchmarks/dense_map.py [slices]
"""

from __future__ import annotations

import json
import re
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from suite import ROOT, Measured, report, run, typical
from torch import Tensor

from reperfuse.networks.lstm import VoxelLSTM
from reperfuse.studies.transformation.dense import likelihood
from reperfuse.studies.transformation.features import interior, patches, with_aif

CHUNK = 512
BATCHES = (64, 128, 256, 1024)
REPEATS = 3


@dataclass(frozen=True)
class Case:
    """A network and a patient."""

    module: VoxelLSTM
    curves: np.ndarray
    aif: np.ndarray
    static: np.ndarray
    where: np.ndarray


def case(slices: int) -> Case:
    """Return a patient of noise, for which time and memory are those of any other."""
    rng, shape = np.random.default_rng(1), (128, 128, slices)
    axes = [
        (np.arange(n) - (n - 1) / 2) / radius
        for n, radius in zip(shape, (45, 37, 0.65 * slices), strict=True)
    ]
    x, y, z = np.meshgrid(*axes, indexing="ij", sparse=True)
    where = interior(x**2 + y**2 + z**2 < 1)
    torch.manual_seed(1)
    module = VoxelLSTM(n_inputs=10, n_dwi=18, n_clinical=0, hidden=60, output="last", n_points=60).eval()
    curves = rng.standard_normal((*shape, 60), dtype=np.float32)
    static = rng.standard_normal((int(where.sum()), 18), dtype=np.float32)
    return Case(module, curves, rng.standard_normal(60, dtype=np.float32), static, where)


def ours(one: Case, size: int) -> np.ndarray:
    """Return the map without patches."""
    return likelihood(one.module, one.curves, one.aif, one.static, one.where, device="cpu", chunk=size)


def plain(one: Case, curves: np.ndarray, static: np.ndarray) -> np.ndarray:
    """Return the probabilities of patches, with PyTorch's own layer."""
    _, (state, _) = one.module.lstm(torch.from_numpy(with_aif(curves, one.aif)))
    logits: Tensor = one.module.fc(torch.cat([state[0], torch.from_numpy(static)], dim=1))
    return logits.softmax(dim=1)[:, 1].numpy()


def batched(one: Case, size: int) -> np.ndarray:
    """Return the map from patches that are made for one batch at a time."""
    at = np.argwhere(one.where)
    with torch.inference_mode():
        parts = [
            plain(one, patches(one.curves, at[start : start + size]), one.static[start : start + size])
            for start in range(0, len(at), size)
        ]
    return np.concatenate(parts)


def at_first(one: Case, size: int) -> np.ndarray:
    """Return the map from patches that are all made before."""
    curves = patches(one.curves, np.argwhere(one.where))
    with torch.inference_mode():
        parts = [
            plain(one, curves[start : start + size], one.static[start : start + size])
            for start in range(0, len(curves), size)
        ]
    return np.concatenate(parts)


def products(one: Case, size: int) -> np.ndarray:
    """Multiply recurrent weights and state as often as there are times and chunks."""
    weights, n = one.module.lstm.get_parameter("weight_hh_l0"), int(one.where.sum())
    with torch.inference_mode():
        for start in range(0, n, size):
            state = torch.ones(60, min(size, n - start))
            gates = torch.empty(240, state.shape[1])
            for _ in range(60):
                torch.mm(weights, state, out=gates)
    return np.empty(0)


FORMS: dict[str, Callable[[Case, int], np.ndarray]] = {
    one.__name__: one for one in (ours, batched, at_first, products)
}


def resident(which: str) -> float:
    """Return the resident set in MB: ``VmRSS`` now, or ``VmHWM`` at its peak."""
    found = re.search(rf"{which}:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found is not None
    return int(found.group(1)) / 1024


def alone(name: str, size: int, slices: int) -> None:
    """Measure one form in this process, and print it."""
    one, form = case(slices), FORMS[name]
    few = np.zeros_like(one.where)
    few[60:66, 60:70, slices // 2] = True
    form(Case(one.module, one.curves, one.aif, one.static[:60], few), size)
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins here
    before, seconds = resident("VmRSS"), []
    found = form(one, size)
    grown = resident("VmHWM") - before
    for _ in range(REPEATS):
        began = time.process_time()
        form(one, size)
        seconds.append(time.process_time() - began)
    told = {
        "cpu_s": typical(seconds),
        "mb": grown,
        "voxels": int(one.where.sum()),
        "found": found[:2000].tolist(),
    }
    print(json.dumps(told))


@dataclass(frozen=True)
class Found:
    """CPU seconds, MB, and the first probabilities of a form."""

    form: str
    size: int
    cpu_s: float
    mb: float
    voxels: int
    found: list[float]


def child(name: str, size: int, slices: int) -> Found:
    """Measure one form in a process of its own."""
    command = [sys.executable, __file__, "alone", name, str(size), str(slices)]
    return Found(name, size, **json.loads(run(command, ROOT, OMP_NUM_THREADS="1").output))


def measure(slices: int = 20) -> list[Measured]:
    """Compare time and peak memory."""
    mine, least = child("ours", CHUNK, slices), child("products", CHUNK, slices)
    others = [child("batched", size, slices) for size in BATCHES] + [child("at_first", 128, slices)]
    quickest, leanest = min(others, key=lambda one: one.cpu_s), min(others, key=lambda one: one.mb)
    apart = max(np.abs(np.subtract(mine.found, one.found)).max() for one in others)
    if apart > 1e-5:
        raise SystemExit(f"the maps differ by {apart:.2g}")
    each = "; ".join(
        f"{'all patches first' if one.form == 'at_first' else f'batches of {one.size}'} {one.cpu_s:.3g} s and "
        f"{one.mb:.3g} MB" for one in others
    )  # fmt: skip
    peer_is = "3×3 patches through the module in batches, the quickest size"
    return [
        Measured(
            "likelihood map of a brain", mine.cpu_s, "s", mine.voxels, "voxels", peer=quickest.cpu_s, peer_is=peer_is,
            floor=least.cpu_s, floor_is="the recurrent products alone, 60 for each chunk", cpu_s=mine.cpu_s,
            aim="ours/peer <= 1", remark=f"maps differ by {apart:.1g} at most; {each}",
        ),
        Measured(
            "memory that a likelihood map adds at its peak", mine.mb, "MB", mine.voxels, "voxels", peer=leanest.mb,
            peer_is="the leanest of the same", cpu_s=mine.cpu_s, aim="ours/peer <= 0.5",
            remark=f"chunks of {CHUNK} voxels",
        ),
    ]  # fmt: skip


if __name__ == "__main__":
    if sys.argv[1:2] == ["alone"]:
        torch.set_num_threads(1)
        alone(sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
        sys.exit()
    sys.exit(report(measure))
