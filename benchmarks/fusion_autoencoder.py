"""Claim: the fusion autoencoder trains in half the time of PyTorch's own form, and at the paper's size within 16 GB.

The network of the default configuration on noise, batches of one, forward and backward: one contrast on the smallest
grid, against the same network with PyTorch's grouped convolutions. Two contrasts of 128³, and of 256×256×192 where 16
GB are free, with checkpointing, and without it at 128³: peak resident set of the process. Embeddings of two contrasts
of 128³, the default grid. Each in a process of its own; CPU seconds, best of the steps, where nothing else is said.
Run: python benchmarks/fusion_autoencoder.py [steps]
"""

from __future__ import annotations

import json
import re
import sys
import time
from collections.abc import Sequence
from math import prod
from pathlib import Path

import torch
import yaml
from suite import ROOT, Measured, Usage, report, run

from reperfuse.networks import separable
from reperfuse.networks.fusion_autoencoder import FusionAutoencoder

SMALLEST, DEFAULT, PAPER = (64, 64, 64), (128, 128, 128), (256, 256, 192)
FREE_GB = 16
PLAIN = "PyTorch's grouped convolutions"
TIMES = "×"


def network(contrasts: int, checkpointing: bool) -> FusionAutoencoder:
    """Return the network of the default configuration."""
    schema = yaml.safe_load((ROOT / "workflow/schemas/fusion.schema.yaml").read_text(encoding="utf-8"))
    known = {name: one["default"] for name, one in schema["properties"]["network"]["properties"].items()}
    return FusionAutoencoder(contrasts=contrasts, skips=False, **{**known, "checkpointing": checkpointing})


def alone(what: str, form: str, contrasts: int, shape: Sequence[int], steps: int) -> None:
    """Print the seconds of a step, or of an embedding, in this process."""
    if form == "plain":
        separable.is_faster = lambda x: False  # type: ignore[assignment]
    torch.manual_seed(1)
    net = network(contrasts, form == "checkpointing").train(what == "train")
    images, best = torch.rand(1, contrasts, *shape), float("inf")
    for _ in range(steps):
        began = time.process_time()
        if what == "train":
            (net(images) - images).square().mean().backward()
        else:
            with torch.inference_mode():
                net.encode(images, None)
        best = min(best, time.process_time() - began)
    print(json.dumps(best))


def used(what: str, form: str, contrasts: int, shape: Sequence[int], steps: int) -> Usage:
    """Return what a process of its own took and printed."""
    numbers = map(str, (contrasts, *shape, steps))
    command = [sys.executable, __file__, "alone", what, form, *numbers]
    return run(command, ROOT, OMP_NUM_THREADS="1", PYTHONPATH=str(ROOT / "workflow"))


def seconds(*case: object) -> float:
    """Return the seconds of one case, its arguments those of `used`."""
    return float(json.loads(used(*case).output))  # type: ignore[arg-type]


def free_gb() -> float:
    """Return the memory that there is for a further process."""
    found = re.search(r"MemAvailable:\s+(\d+) kB", Path("/proc/meminfo").read_text())
    assert found is not None
    return int(found.group(1)) / 2**20


def memory(shape: Sequence[int]) -> Measured:
    """Return the peak of a training step with checkpointing; without, the peer, only on the default grid."""
    size, told = prod(shape), TIMES.join(map(str, shape))
    name, of = "peak memory of a training step, two contrasts, checkpointing", f"voxels ({told})"
    if shape == PAPER and free_gb() < FREE_GB:
        why = f"fewer than {FREE_GB} GB were free"
        return Measured(name, None, "MB", size, of, aim="ours <= 16000", remark=why)
    found = used("train", "checkpointing", 2, shape, 1)
    kept = used("train", "kept", 2, shape, 1) if shape != PAPER else None
    took = float(json.loads(found.output))
    without = f"; without it {json.loads(kept.output):.3g} s" if kept else ""
    return Measured(
        name, found.peak_kb / 1024, "MB", size, of, peer=kept and kept.peak_kb / 1024,
        peer_is="without checkpointing" if kept else "", cpu_s=took,
        aim="ours/peer <= 0.8" if kept else "ours <= 16000", remark=f"the step took {took:.3g} CPU s{without}",
    )  # fmt: skip


def measure(steps: int = 4) -> list[Measured]:
    """Compare time and memory."""
    own, plain = (seconds("train", form, 1, SMALLEST, steps) for form in ("kept", "plain"))
    embeds, usual = (seconds("embed", form, 2, DEFAULT, steps) for form in ("kept", "plain"))
    return [
        Measured(
            "training step of the autoencoder, one contrast of 64³", own, "s", 1, "patient", peer=plain, peer_is=PLAIN,
            cpu_s=own, aim="ours/peer <= 0.5",
        ),
        Measured(
            "embedding of two contrasts of 128³", embeds, "s", 1, "patient", peer=usual, peer_is=PLAIN, cpu_s=embeds,
            aim="ours/peer <= 1", remark=f"{1 / embeds:.2f} patients per second",
        ),
        memory(DEFAULT),
        memory(PAPER),
    ]  # fmt: skip


if __name__ == "__main__":
    torch.set_num_threads(1)
    if sys.argv[1:2] == ["alone"]:
        contrasts, *shape, steps = map(int, sys.argv[4:])
        alone(sys.argv[2], sys.argv[3], contrasts, shape, steps)
        sys.exit()
    sys.exit(report(measure))
