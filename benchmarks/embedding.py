"""Claim: the fast form of the frozen encoder takes half the time of the plain loop, and moves no feature noticeably.

Volumes of 24×256×256 and of 16×96×96, each an ADC map of another patient of the synthetic cohort. All forms
run on the same volumes in turn, one volume at a time; medians. A form may be used in place of the plain loop
if no feature of any patient moves by more than 0.05 of that feature's SD between patients; bfloat16 stands
beside it, and is not offered. The weights are random, twice: with normalisations that do nothing, as the
encoder starts, and with normalisations measured on two of the volumes, which is nearer to a trained network.
Those of MedicalNet may differ from both.

Then the step itself, from files to vectors, against the network's forward passes alone on the same volumes;
where PyTorch sees a GPU, there too, by the clock: at least 60 % of the time should be the network's.
Run: python benchmarks/embedding.py [patients]
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import fields
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from suite import ROOT, Measured, report, typical
from torch import nn

from reperfuse.core.settings import fill, load_schema, resolve_section
from reperfuse.imaging.model_input import model_input
from reperfuse.imaging.volume import Volume, write_volume
from reperfuse.learning.encode import encode
from reperfuse.learning.weights import load_encoder
from reperfuse.networks.resnet import Resnet50Encoder, fold
from reperfuse.phantom.patient import Patient, Protocol, row_of
from reperfuse.phantom.scalars import participant_id, simulate
from reperfuse.studies.outcome.embedding import adc_vectors

SHAPES = ((24, 256, 256), (16, 96, 96))
KINDS = ("as the encoder starts", "normalisations measured")
BOUND = 0.05
Images = tuple[Volume, Volume]


def images(n: int) -> list[Images]:
    """Return ADC map and brain mask of ``n`` patients."""
    given = {"shape": [128, 128, 24], "spacing_mm": [1.8, 1.8, 6.0]}
    settings = resolve_section(given, load_schema(ROOT / "workflow/schemas", "phantom"))
    protocol = Protocol(**{f.name: settings[f.name] for f in fields(Protocol) if f.name in settings})
    table, found = simulate(n, protocol.seed), []
    for i in range(n):
        patient = Patient(participant_id(i), row_of(table, i), protocol)
        stored = patient.diffusion("J0")[0]["adc"]
        adc = Volume(stored.data / np.float32(patient.site.adc_factor), stored.affine)
        found.append((adc, Volume(patient.truth["J0_brain"].data, stored.affine)))
    return found


def inputs_of(cohort: list[Images], shape: tuple[int, int, int]) -> list[np.ndarray]:
    """Return what the network is shown of each patient."""
    return [
        model_input(adc, brain, shape=shape, clip=3000.0, background="noise", seed=i)
        for i, (adc, brain) in enumerate(cohort)
    ]


def normalised(encoder: Resnet50Encoder, inputs: list[torch.Tensor]) -> None:
    """Give each normalisation the mean and variance of its input, as training would."""
    for module in encoder.modules():
        if isinstance(module, nn.BatchNorm3d):
            module.momentum = None
            module.reset_running_stats()
            module.train()
    with torch.no_grad():
        for x in inputs:
            encoder(x)
    encoder.eval()


def forms(encoder: Resnet50Encoder) -> dict[str, Callable[[torch.Tensor], torch.Tensor]]:
    """Return the ways to embed a volume; the first is the plain loop."""
    last = torch.channels_last_3d
    fast = fold(encoder)

    def bfloat16(x: torch.Tensor) -> torch.Tensor:
        with torch.autocast("cpu", torch.bfloat16):
            features = fast.features(x.contiguous(memory_format=last))
        return features.float().mean(dim=(2, 3, 4))

    return {
        "plain": encoder,
        "fast": lambda x: fast(x.contiguous(memory_format=last)),
        "bfloat16": bfloat16,
    }


def compare(
    ways: dict[str, Callable], inputs: list[torch.Tensor]
) -> dict[str, tuple[np.ndarray, float, float]]:
    """Return embeddings, median and total CPU seconds of each form, the forms taken in turn."""
    vectors: dict[str, list[np.ndarray]] = {name: [] for name in ways}
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    with torch.inference_mode():
        for way in ways.values():
            way(inputs[0])
        for x in inputs:
            for name, way in ways.items():
                began = time.process_time()
                vectors[name].append(way(x)[0].numpy())
                seconds[name].append(time.process_time() - began)
    return {name: (np.stack(vectors[name]), typical(seconds[name]), sum(seconds[name])) for name in ways}


def precision(cohort: list[Images], shape: tuple[int, int, int], kind: str) -> list[Measured]:
    """Compare the forms for one shape and one kind of weights."""
    inputs = [torch.from_numpy(one)[None, None] for one in inputs_of(cohort, shape)]
    encoder, stamp = load_encoder("medicalnet_dilated", None, sha256="", allow_random=True, seed=1)
    if kind == KINDS[1]:
        normalised(encoder, inputs[:2])
    found = compare(forms(encoder), inputs)
    (reference, plain_s, _), (_, fast_s, cpu), (_, short_s, _) = found.values()
    spread = reference.std(axis=0, ddof=1)
    alive = spread > 0
    moves = {
        name: float((np.abs(vectors - reference).max(axis=0)[alive] / spread[alive]).max())
        for name, (vectors, _, _) in found.items()
    }
    case, n = f"{'×'.join(map(str, shape))}, {kind}", len(cohort)
    remark = f"random weights; {int((~alive).sum())} features are the same for all"
    return [
        Measured(
            f"forward pass in the fast form, {case}", fast_s, "s", n, "patients", cpu_s=cpu,
            peer=plain_s, peer_is="the network as published", aim="ours/peer <= 0.5",
            remark=f"{stamp.text}; bfloat16 {short_s:.3g} s",
        ),
        Measured(
            f"largest move of a feature in the fast form, {case}", moves["fast"], "SD between patients", n, "patients",
            cpu_s=cpu, peer=moves["bfloat16"], peer_is="bfloat16", aim=f"ours <= {BOUND}", remark=remark,
        ),
    ]  # fmt: skip


def written(cohort: list[Images], folder: Path) -> dict[str, dict[str, dict[str, Path]]]:
    """Write the images as the steps before would; return patient → visit → name → path."""
    shown = {}
    for i, (adc, brain) in enumerate(cohort):
        paths = {name: folder / f"sub-{i:03d}/J0_{name}.nii.gz" for name in ("adc", "brain")}
        for path, volume in zip(paths.values(), (adc, brain), strict=True):
            path.parent.mkdir(parents=True, exist_ok=True)
            write_volume(path, volume, {})
        shown[f"sub-{i:03d}"] = {"J0": paths}
    return shown


def step(cohort: list[Images], device: str, clock: Callable[[], float]) -> list[Measured]:
    """Time the whole step for two sizes of a chunk; the share of the network is judged on what patients add."""
    schema = fill({}, load_schema(ROOT / "workflow/schemas", "outcome"))["encoder"]
    settings: dict[str, Any] = {
        key: schema[key] for key in ("variant", "shape", "clip", "background", "precision")
    }
    weights: dict[str, Any] = {"weights": None, "sha256": "", "allow_random_weights": True, "seed": 1}
    encoder, _ = load_encoder(settings["variant"], None, sha256="", allow_random=True, seed=1)
    inputs = inputs_of(cohort, tuple(settings["shape"]))
    forward = partial(encode, encoder, precision=settings["precision"], device=device)
    few, many = len(cohort) // 2, len(cohort)
    forward(inputs[:1])  # a device is slower the first time
    rows, spent = [], {}
    for n in (few, many):
        with tempfile.TemporaryDirectory() as name:
            shown = written(cohort[:n], Path(name))
            began = clock()
            adc_vectors(shown, **settings, **weights, device=device, cache=Path(name) / "cache")
            whole = clock() - began
            began = clock()
            forward(inputs[:n])
            spent[n] = whole, clock() - began
        rows.append(
            Measured(
                f"embedding a chunk on {device}", whole, "s", n, "patients", cpu_s=whole if device == "cpu" else None,
                floor=spent[n][1], floor_is="the network's forward passes alone",
            )
        )  # fmt: skip
    (whole_few, least_few), (whole, least) = spent.values()
    added = many - few
    remark = "" if device == "cpu" else f"by the clock, on {torch.cuda.get_device_name()}"
    rows.append(
        Measured(
            f"embedding on {device}, what a patient adds", (whole - whole_few) / added, "s", many, "patients",
            floor=(least - least_few) / added, floor_is="the network's forward pass alone", aim="floor/ours >= 0.6",
            cpu_s=whole if device == "cpu" else None, remark=remark,
        )
    )  # fmt: skip
    return rows


def measure(n: int = 6) -> list[Measured]:
    """Compare the forms, then time the step on the CPU and, where there is one, a GPU."""
    cohort = images(n)
    rows = [row for shape in SHAPES for kind in KINDS for row in precision(cohort, shape, kind)]
    rows += step(cohort, "cpu", time.process_time)
    if torch.cuda.is_available():
        return rows + step(cohort * 8, "cuda", time.perf_counter)
    name, remark = "embedding on cuda, what a patient adds", "PyTorch saw no GPU"
    return [*rows, Measured(name, None, "s", n, "patients", aim="floor/ours >= 0.6", remark=remark)]


if __name__ == "__main__":
    sys.exit(report(measure))
