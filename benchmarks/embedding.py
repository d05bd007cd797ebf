"""Embedding ADC volumes of 24×256×256 with the frozen encoder: the plain loop against the fast form, and bfloat16.

    [OMP_NUM_THREADS=1] PYTHONPATH=workflow python benchmarks/embedding.py [patients]

Each volume is an ADC map of another patient of the synthetic cohort. All forms run on the same volumes in turn, one
volume at a time, and the median time counts. A form may be used in place of the plain loop if no feature of any
patient moves by more than 0.05 of that feature's SD between patients. Cosine similarity is shown because it is
usual; it says little, because embeddings of different patients are nearly parallel too.

The weights are random, twice: with normalisations that do nothing, as the encoder starts, and with normalisations
measured on two of the volumes, which is nearer to a trained network. Those of MedicalNet may differ from both.
Exits 1 if the fast form breaks the bound or is slower than the plain loop.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path

import numpy as np
import torch
from torch import nn

from reperfuse.core.settings import load_schema, resolve_section
from reperfuse.imaging.model_input import model_input
from reperfuse.imaging.volume import Volume
from reperfuse.learning.device import cpu_flags
from reperfuse.learning.weights import load_encoder
from reperfuse.networks.resnet import Resnet50Encoder, fold
from reperfuse.phantom.patient import Patient, Protocol, row_of
from reperfuse.phantom.scalars import participant_id, simulate

ROOT = Path(__file__).resolve().parents[1]
SHAPES = ((24, 256, 256), (16, 96, 96))
BOUND = 0.05


def volumes(n: int, shape: tuple[int, int, int]) -> list[torch.Tensor]:
    """Return the inputs of ``n`` patients."""
    given = {"shape": [128, 128, 24], "spacing_mm": [1.8, 1.8, 6.0]}
    settings = resolve_section(given, load_schema(ROOT / "workflow/schemas", "phantom"))
    protocol = Protocol(**{f.name: settings[f.name] for f in fields(Protocol) if f.name in settings})
    table, found = simulate(n, protocol.seed), []
    for i in range(n):
        patient = Patient(participant_id(i), row_of(table, i), protocol)
        stored = patient.diffusion("J0")[0]["adc"]
        adc = Volume(stored.data / np.float32(patient.site.adc_factor), stored.affine)
        brain = Volume(patient.truth["J0_brain"].data, stored.affine)
        array = model_input(adc, brain, shape=shape, clip=3000.0, background="noise", seed=i)
        found.append(torch.from_numpy(array)[None, None])
    return found


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


def measure(ways: dict[str, Callable], inputs: list[torch.Tensor]) -> dict[str, tuple[np.ndarray, float]]:
    """Return the embeddings and the median seconds of each form, the forms taken in turn."""
    vectors: dict[str, list[np.ndarray]] = {name: [] for name in ways}
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    with torch.inference_mode():
        for way in ways.values():
            way(inputs[0])
        for x in inputs:
            for name, way in ways.items():
                began = time.perf_counter()
                vectors[name].append(way(x)[0].numpy())
                seconds[name].append(time.perf_counter() - began)
    return {name: (np.stack(vectors[name]), float(np.median(seconds[name]))) for name in ways}


def cosines(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Return the cosine similarity of rows, pair by pair."""
    lengths = np.linalg.norm(one, axis=-1) * np.linalg.norm(other, axis=-1)
    return (one * other).sum(axis=-1) / lengths


def main(n: int = 6) -> int:
    """Print a block for each shape and kind of weights; return the exit status."""
    print(
        f"CPU: {cpu_flags()}; threads: {torch.get_num_threads()}; PyTorch {torch.__version__}; {n} patients"
    )
    status = 0
    for shape in SHAPES:
        inputs = volumes(n, shape)
        for kind in ("as the encoder starts", "normalisations measured"):
            encoder, stamp = load_encoder("medicalnet_dilated", None, sha256="", allow_random=True, seed=1)
            if kind == "normalisations measured":
                normalised(encoder, inputs[:2])
            found = measure(forms(encoder), inputs)
            reference, plain_s = found["plain"]
            spread = reference.std(axis=0, ddof=1)
            alive = spread > 0
            between = cosines(reference[:-1], reference[1:]).max()
            print(f"{'×'.join(map(str, shape))}, {stamp.text}, {kind}")
            print(
                f"  cosine of two patients up to {between:.6f}; {int((~alive).sum())} features are constant"
            )
            for name, (vectors, spent) in found.items():
                moved = (np.abs(vectors - reference).max(axis=0)[alive] / spread[alive]).max()
                cosine = cosines(vectors, reference).min()
                verdict = (
                    "reference" if name == "plain" else "holds" if moved <= BOUND else "BREAKS the bound"
                )
                print(
                    f"  {name:8s} {spent * 1e3:7.0f} ms  {plain_s / spent:5.2f} times the plain speed; largest move "
                    f"{moved:7.4f} SD: {verdict}; cosine {cosine:.6f}",
                    flush=True,
                )
                status |= int(name == "fast" and (moved > BOUND or spent > plain_s))
    return status


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:])))
