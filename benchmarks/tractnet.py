"""Claim: a step of training TRACT-NET takes no longer than one of MONAI's ResNet-18, and grows no faster than volumes.

Forward, backward and AdamW on volumes of noise: four of 32×128×128, which the paper's input is taken to be; and
four of the template at 4 mm, for which nothing is claimed, because the stem has no stride there and the ResNet-18
goes on with fewer voxels; in float32 and, under autocast, in bfloat16. Then one of each of several sizes. Peers are
MONAI's networks with two classes, on the same volumes; the 3-D ResNet-18 is compared and the others are told. Each
runs in a process of its own, which has taken a step before; CPU seconds, best of the steps, and what the peak
resident set grows by. With a GPU the same is measured there, by the clock.
Run: python benchmarks/tractnet.py [steps]
"""

from __future__ import annotations

import json
import re
import sys
import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import torch
import yaml
from monai.networks.nets import DenseNet121, SEResNet50
from monai.networks.nets.resnet import resnet18
from suite import ROOT, Measured, report, run
from torch import nn

from reperfuse.networks.tractnet import TractNet, TractNetSettings

SLAB, TEMPLATE = (32, 128, 128), (34, 48, 40)
GROWING = ((16, 64, 64), (16, 128, 128), SLAB)


def tractnet(stem_stride: tuple[int, int, int]) -> TractNet:
    """Return the network of the default configuration."""
    schema = yaml.safe_load((ROOT / "workflow/schemas/severity.schema.yaml").read_text(encoding="utf-8"))
    known = {name: one["default"] for name, one in schema["properties"]["network"]["properties"].items()}
    return TractNet(TractNetSettings(in_channels=1, n_classes=2, **{**known, "stem_stride": stem_stride}))


NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "TRACT-NET": lambda: tractnet((1, 2, 2)),
    "TRACT-NET, stem without stride": lambda: tractnet((1, 1, 1)),
    "ResNet-18": lambda: resnet18(spatial_dims=3, n_input_channels=1, num_classes=2),
    "DenseNet-121": lambda: DenseNet121(spatial_dims=3, in_channels=1, out_channels=2),
    "SE-ResNet-50": lambda: SEResNet50(spatial_dims=3, in_channels=1, num_classes=2),
}


def resident(which: str) -> float:
    """Return the resident set in MB: ``VmRSS`` now, or ``VmHWM`` at its peak."""
    found = re.search(rf"{which}:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found is not None
    return int(found.group(1)) / 1024


def alone(name: str, shape: tuple[int, ...], precision: str, device: str, steps: int) -> None:
    """Print the seconds of a step, and the MB that it adds, in this process."""
    torch.manual_seed(1)
    net = NETWORKS[name]().to(device)
    optimiser = torch.optim.AdamW(net.parameters(), 1e-4)
    cuda = device == "cuda"

    def step(volumes: torch.Tensor) -> float:
        began = time.perf_counter() if cuda else time.process_time()
        with torch.autocast(device, torch.bfloat16) if precision == "bfloat16" else nullcontext():
            labels = torch.arange(len(volumes), device=device) % 2
            loss = nn.functional.cross_entropy(net(volumes), labels)
        loss.backward()
        optimiser.step()
        optimiser.zero_grad()
        if cuda:
            torch.cuda.synchronize()
        return (time.perf_counter() if cuda else time.process_time()) - began

    step(torch.randn(2, 1, 32, 32, 32, device=device))
    volumes = torch.randn(shape[0], 1, *shape[1:], device=device)
    if cuda:
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated() / 2**20
    else:
        Path("/proc/self/clear_refs").write_text("5")  # the peak begins here
        before = resident("VmRSS")
    taken = [step(volumes)]
    peak = torch.cuda.max_memory_allocated() / 2**20 if cuda else resident("VmHWM")
    taken += [step(volumes) for _ in range(steps - 1)]
    print(json.dumps([min(taken), peak - before]))


def child(name: str, shape: tuple[int, ...], precision: str, device: str, steps: int) -> tuple[float, float]:
    """Return the seconds and the MB of a step in a process of its own."""
    text = "x".join(map(str, shape))
    command = [sys.executable, __file__, "alone", name, text, precision, device, str(steps)]
    seconds, mb = json.loads(run(command, ROOT, OMP_NUM_THREADS="1").output.splitlines()[-1])
    return seconds, mb


def beside(
    where: str, ours: str, shape: tuple[int, int, int], device: str, steps: int, aim: str = ""
) -> list[Measured]:
    """Compare time and memory of a step on four volumes."""
    rows = []
    for precision in ("float32", "bfloat16"):
        names = (ours, *(name for name in NETWORKS if not name.startswith("TRACT")))
        if precision == "bfloat16":
            names = names[:2]
        found = {name: child(name, (4, *shape), precision, device, steps) for name in names}
        others = [name for name in names if name not in (ours, "ResNet-18")]
        (seconds, mb), (peer_s, peer_mb) = found[ours], found["ResNet-18"]
        what = f"{where}, {precision}" + (", on a GPU" if device == "cuda" else "")
        rows += [
            Measured(
                f"step of training TRACT-NET, {what}", seconds, "s", 4, "volumes", peer=peer_s,
                peer_is="MONAI's 3-D ResNet-18, on the same volumes", cpu_s=None if device == "cuda" else seconds,
                aim=aim, remark="; ".join(f"{name} {found[name][0]:.3g} s" for name in others),
            ),
            Measured(
                f"memory of that step, {what}", mb, "MB", 4, "volumes", peer=peer_mb,
                peer_is="MONAI's 3-D ResNet-18, on the same volumes",
                remark="; ".join(f"{name} {found[name][1]:.0f} MB" for name in others),
            ),
        ]  # fmt: skip
    return rows


def measure(steps: int = 2) -> list[Measured]:
    """Compare steps, and see how one grows."""
    rows = []
    for device in ("cpu", "cuda") if torch.cuda.is_available() else ("cpu",):
        rows += beside("32×128×128", "TRACT-NET", SLAB, device, steps, "ours/peer <= 1")
        rows += beside("template at 4 mm", "TRACT-NET, stem without stride", TEMPLATE, device, steps)
    each = {}
    for shape in GROWING:
        seconds, _ = child("TRACT-NET", (1, *shape), "float32", "cpu", steps + 1)
        voxels = shape[0] * shape[1] * shape[2]
        each[voxels] = seconds
        aim = "ours/peer <= 1" if shape == GROWING[-1] else ""
        first = min(each)
        rows += [
            Measured(
                "step of training TRACT-NET, one volume", seconds, "s", voxels, "voxels",
                peer=each[first] * voxels / first if aim else None,
                peer_is="the smallest volume, times as many voxels" if aim else "", cpu_s=seconds, aim=aim,
            )
        ]  # fmt: skip
    return rows


if __name__ == "__main__":
    torch.set_num_threads(1)
    if sys.argv[1:2] == ["alone"]:
        alone(
            sys.argv[2], tuple(map(int, sys.argv[3].split("x"))), sys.argv[4], sys.argv[5], int(sys.argv[6])
        )
        sys.exit()
    sys.exit(report(measure))
