"""Claim: TRACT-NET's answer for one patient comes no later than that of as many of MONAI's ResNet-18.

From a prepared trace image of 256×256×24 voxels to a probability on one thread, as `severity_score` does it: the
image on the network's grid of 32×128×128, then each of nine networks (three folds, three members each) of the
default configuration, one patient at a time; best of the runs. What comes before, the preparation of a patient's raw
images, is a row of its own, with nothing beside it: a whole run of Snakemake for one phantom patient.
Run: python benchmarks/severity_latency.py [runs]
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from suite import ROOT, Measured, report, run, snakemake
from torch import nn
from tractnet import NETWORKS, SLAB

from reperfuse.imaging.grids import invert
from reperfuse.imaging.network_grid import Grid, channel, input_to_mm
from reperfuse.imaging.volume import Volume

N_NETWORKS = 9


def scan() -> tuple[Volume, Volume]:
    """Return a trace image and its brain mask, an ellipsoid of noise."""
    shape, spacing = (256, 256, 24), (0.9, 0.9, 6.0)
    at = np.stack(np.meshgrid(*(np.linspace(-1, 1, n) for n in shape), indexing="ij"))
    brain = (at**2).sum(axis=0) < 0.8
    values = np.random.default_rng(1).normal(400, 60, shape).astype(np.float32)
    affine = np.diag([*spacing, 1.0])
    return Volume(values * brain, affine), Volume(brain, affine)


def best(task: Callable[[], object], runs: int) -> float:
    """Return the seconds of the fastest run."""
    taken = []
    for _ in range(runs):
        began = time.perf_counter()
        task()
        taken.append(time.perf_counter() - began)
    return min(taken)


def shown(trace: Volume, brain: Volume) -> torch.Tensor:
    """Return what the networks are shown."""
    grid = Grid(SLAB, (5.0, 1.5, 1.5))
    matrix = invert(trace.affine) @ input_to_mm(grid, brain)
    return torch.from_numpy(channel("trace", trace, brain, matrix, grid.shape))[None, None]


def answered(networks: list[nn.Module], trace: Volume, brain: Volume) -> float:
    """Return the mean probability."""
    with torch.inference_mode():
        image = shown(trace, brain)
        found = [torch.softmax(network(image), dim=1)[0, 1] for network in networks]
    return float(torch.stack(found).mean())


def prepared(folder: Path) -> float:
    """Return the seconds of a run of Snakemake that prepares one phantom patient."""
    environment = {"PYTHONPATH": str(ROOT / "workflow")}
    run([sys.executable, "-m", "reperfuse.phantom", "bids", "truth", "n=1"], folder, **environment)
    (folder / "config.yaml").write_text(f"bids_dir: {folder}/bids\noutput_dir: {folder}/results\n")
    who = next(path.name for path in (folder / "bids").glob("sub-*"))
    asked = [f"{folder}/results/work/{who}/prepare.json", "--cores", "1", "--configfile", "config.yaml"]
    began = time.perf_counter()
    run(snakemake(*asked), folder)
    return time.perf_counter() - began


def measure(runs: int = 3) -> list[Measured]:
    """Time both parts of the way to an answer."""
    trace, brain = scan()
    torch.manual_seed(1)
    ours, peer = ([NETWORKS[name]().eval() for _ in range(N_NETWORKS)] for name in ("TRACT-NET", "ResNet-18"))
    seconds, other = (best(partial(answered, nets, trace, brain), runs) for nets in (ours, peer))
    grid = best(lambda: shown(trace, brain), runs)
    with TemporaryDirectory() as folder:
        before = prepared(Path(folder).resolve())
    return [
        Measured(
            "answer of nine TRACT-NETs for one patient, from the prepared image", seconds, "s", N_NETWORKS, "networks",
            peer=other, peer_is="nine of MONAI's 3-D ResNet-18 in their place", cpu_s=seconds, aim="ours/peer <= 1",
            remark=f"{grid:.2g} s of it the grid",
        ),
        Measured("preparation of one patient's raw images, a run of its own", before, "s", 1, "patients"),
    ]  # fmt: skip


if __name__ == "__main__":
    torch.set_num_threads(1)
    sys.exit(report(measure))
