"""Embeddings: what a frozen encoder says of each volume."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import numpy as np
import torch

from reperfuse.networks.resnet import N_FEATURES, Resnet50Encoder, fold

Precision = Literal["fp32", "fast"]


def encode(
    encoder: Resnet50Encoder,
    inputs: Iterable[np.ndarray],
    *,
    precision: Precision,
    device: torch.device | str,
) -> np.ndarray:
    """Return the embedding of each volume.

    One volume at a time: an embedding must not depend on what it is computed with, and a volume of 24×256×256
    keeps every core busy by itself. On the CPU the same volume gives the same bits for the same number of
    threads.

    Parameters
    ----------
    encoder : Resnet50Encoder
        In evaluation mode.
    inputs : iterable of ndarray, shape (slices, rows, columns)
        From `reperfuse.imaging.model_input`. A generator is read as it goes: one volume is in memory.
    precision : {"fp32", "fast"}
        "fp32" is the reference: the network as published. "fast" computes the same function in float32 too,
        by `reperfuse.networks.resnet.fold` and with the channels last in memory. Shorter numbers are not
        offered: bfloat16 moves features by more than patients differ (``benchmarks/embedding.py``); TF32,
        with three bits more, is turned off.
    device : torch.device or str
        "cpu" or "cuda".

    Returns
    -------
    ndarray of float32, shape (n, 2048)

    Raises
    ------
    FloatingPointError
        If an embedding is not finite.
    """
    if precision not in ("fp32", "fast"):
        raise ValueError(f"precision is {precision!r}; expected fp32 or fast")
    if encoder.training:
        raise ValueError("the encoder is in training mode; call eval() before")
    layout = torch.channels_last_3d if precision == "fast" else torch.contiguous_format
    network = (fold(encoder) if precision == "fast" else encoder).to(device=device)
    found: list[np.ndarray] = []
    with (
        torch.inference_mode(),
        torch.backends.cudnn.flags(enabled=True, deterministic=True, allow_tf32=False),
    ):
        for volume in inputs:
            x = torch.from_numpy(np.ascontiguousarray(volume, dtype=np.float32))[None, None]
            vector = network(x.to(device).contiguous(memory_format=layout))[0].cpu().numpy()
            if not np.isfinite(vector).all():
                raise FloatingPointError(f"the embedding of volume {len(found) + 1} is not finite")
            found.append(vector)
    return np.stack(found) if found else np.empty((0, N_FEATURES), dtype=np.float32)
