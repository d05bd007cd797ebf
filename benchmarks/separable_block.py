"""Claim: a training step of a separable block takes less time than of a standard one, and than PyTorch's own form does.

A 3×3×3 convolution of 96 channels on 96, group normalisation and ELU, as in the fused flow of the autoencoder of arXiv
2303.15963: the separable block in the workflow's form, the same with PyTorch's grouped convolution, and the standard
block, on cubes of noise; output and all gradients. Each in a process of its own, which has taken a step before; CPU
seconds, best of the steps, and the process's peak resident set less that with a cube of one voxel. For memory nothing
is claimed: a step keeps features, of which separable blocks have no fewer.
Run: python benchmarks/separable_block.py [steps]
"""

from __future__ import annotations

import json
import sys
import time

import torch
from suite import ROOT, Measured, report, run
from torch import nn

from reperfuse.networks import separable
from reperfuse.networks.separable import ConvNorm, block_weights

WIDTH, EDGES = 96, (16, 32)
FORMS = {"ours": "separable", "grouped": "separable", "standard": "standard"}
PEERS = {"grouped": "PyTorch's grouped convolution", "standard": "standard convolution"}


def alone(form: str, edge: int, steps: int) -> None:
    """Print the seconds of a step in this process."""
    if form == "grouped":
        separable.is_faster = lambda x: False  # type: ignore[assignment]
    torch.manual_seed(1)
    block: nn.Module = ConvNorm(WIDTH, WIDTH, stride=1, convolution=FORMS[form], norm="group", groups=8)  # type: ignore[arg-type]
    x = torch.randn(1, WIDTH, edge, edge, edge)
    if form == "ours":  # as features have it in the network
        x = x.contiguous(memory_format=torch.channels_last_3d)
    x.requires_grad_()
    best = float("inf")
    for step in range(steps + 1):
        began = time.process_time()
        block(x).square().mean().backward()
        best = min(best, time.process_time() - began) if step else best
    print(json.dumps(best))


def cost(form: str, edge: int, steps: int) -> tuple[float, float]:
    """Return seconds and MB of one form in a process of its own."""
    command = [sys.executable, __file__, "alone", form, str(edge), str(steps)]
    used = run(command, ROOT, OMP_NUM_THREADS="1", PYTHONPATH=str(ROOT / "workflow"))
    return float(json.loads(used.output)), used.peak_kb / 1024


def measure(steps: int = 5) -> list[Measured]:
    """Compare time, memory and weights."""
    weights = block_weights((WIDTH, WIDTH))
    rows = [
        Measured(
            "weights of a separable block", weights["separable"], "weights", WIDTH, "channels",
            peer=weights["standard"], peer_is=PEERS["standard"], aim="ours/peer <= 0.0475",
        )
    ]  # fmt: skip
    for edge in EDGES:
        found = {form: cost(form, edge, steps) for form in FORMS}
        seconds, _ = found["ours"]
        rows += [
            Measured(
                f"training step of a separable block, against a {what}", seconds, "s", edge, "voxels along each edge",
                peer=found[form][0], peer_is=PEERS[form], cpu_s=seconds, aim=f"ours/peer <= {most}",
            )
            for form, what, most in (("standard", "standard one", 1), ("grouped", "grouped one", 0.7))
        ]  # fmt: skip
    one = cost("ours", 1, 1)[1]
    rows += [
        Measured(
            f"memory of a separable block, against a {what}", found["ours"][1] - one, "MB", EDGES[-1],
            "voxels along each edge", peer=found[form][1] - one, peer_is=PEERS[form],
        )
        for form, what in (("standard", "standard one"), ("grouped", "grouped one"))
    ]  # fmt: skip
    return rows


if __name__ == "__main__":
    torch.set_num_threads(1)
    if sys.argv[1:2] == ["alone"]:
        alone(sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
        sys.exit()
    sys.exit(report(measure))
