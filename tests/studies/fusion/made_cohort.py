"""A made cohort of two contrasts that share one latent number, on a grid as small as wished, and a small network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from reperfuse.core.settings import fill, load_schema
from reperfuse.networks.fusion_autoencoder import Size
from reperfuse.studies.fusion import assemble

ROOT = Path(__file__).resolve().parents[3]
SMALL: dict[str, Any] = {
    "contrasts": ["trace", "adc"],
    "grid": {"shape": [64, 64, 64], "spacing_mm": [4, 4, 4]},
    "network": {"widths": [2, 2, 4], "code": 2, "mid_flows": 0, "groups": 2, "dropout": 0},
    "training": {"epochs": 2, "batch": 2, "lr": 0.01},
}
SHAPE = (8, 8, 8)


def section(**changed: Any) -> dict[str, Any]:
    """Return ``studies.fusion`` with its defaults, at a small size."""
    found: dict[str, Any] = fill({}, load_schema(ROOT / "workflow/schemas", "fusion"))
    for asked in (SMALL, changed):
        for key, value in asked.items():
            merge = isinstance(value, Mapping) and key in ("network", "training")
            found[key] = {**found[key], **value} if merge else value
    return found


def brain(shape: Sequence[int] = SHAPE) -> np.ndarray:
    """Return a ball."""
    at = np.stack(np.meshgrid(*(np.linspace(-1, 1, n) for n in shape), indexing="ij"))
    return np.asarray((at**2).sum(axis=0) < 0.9)


def arrays(n: int = 9, shape: Sequence[int] = SHAPE, seed: int = 0) -> dict[str, dict[str, np.ndarray]]:
    """Return participant_id → contrast → image: trace of arbitrary scale, ADC in its unit, a lesion."""
    rng, mask = np.random.default_rng(seed), brain(shape)
    ramp = np.linspace(-1, 1, shape[0])[:, None, None] * np.ones(shape)
    found = {}
    for i in range(n):
        latent, scale = rng.normal(), np.exp(rng.normal())
        noise = rng.normal(0, 0.05, (2, *shape))
        trace = 100 * scale * (1 + 0.4 * latent * ramp + noise[0]).clip(0.1)
        adc = 1000 * (1 - 0.3 * latent * ramp + noise[1])
        lesion = np.zeros(shape, dtype=np.uint8)
        lesion[:, :, : shape[2] // 2 - 1] = mask[:, :, : shape[2] // 2 - 1]
        found[f"sub-{i:03d}"] = {
            "trace": (trace * mask).astype(np.float16),
            "adc": (adc * mask).astype(np.float16),
            "lesion_mask": lesion,
        }
    return found


def excerpt(ids: Sequence[str], n_folds: int = 3) -> dict[str, Any]:
    """Return the study's excerpt; the first two patients are twins."""
    rows = [
        {"participant_id": who, "fold": max(1, i) % n_folds + 1, "group": "family" if i < 2 else who}
        for i, who in enumerate(ids)
    ]
    return {"name": "", "active": list(ids), "clinical": {}, "folds": {"fusion": {"rows": rows}}}


def made(asked: Mapping[str, Any], n: int = 9, shape: Sequence[int] = SHAPE) -> assemble.Cohort:
    """Return a cohort."""
    images = arrays(n, shape)
    return assemble.cohort(asked, excerpt(list(images)), {}, images)


class Coarse(nn.Module):
    """Encodes and decodes eighths of the edges by matrices: as `FusionAutoencoder`, on any multiple of 4."""

    def __init__(self, *, contrasts: int, code: int, skips: bool, **_: Any) -> None:
        super().__init__()
        self.skips, self.code = skips, code
        self.pool = nn.AdaptiveAvgPool3d(4)
        self.to_code = nn.Linear(contrasts * 64, code)
        self.from_code = nn.Linear(code, contrasts * 64)

    def encode(self, images: Tensor, available: Tensor | None) -> tuple[Tensor, list[Tensor]]:
        """Return codes, and images where skips are asked for."""
        return self.to_code(self.pool(images).flatten(1)), [images] if self.skips else []

    def decode(self, codes: Tensor, skips: Sequence[Tensor], shape: Sequence[int]) -> Tensor:
        """Return images."""
        coarse = self.from_code(codes).view(len(codes), -1, 4, 4, 4)
        images = nn.functional.interpolate(coarse, tuple(shape), mode="nearest")
        return images + 0.5 * skips[0] if skips else images

    def forward(self, images: Tensor, available: Tensor | None = None) -> Tensor:
        """Return images."""
        return self.decode(*self.encode(images, available), images.shape[2:])

    def code_length(self, shape: Sequence[int]) -> int:
        """Return the length of the code."""
        return self.code


def size(contrasts: int, shape: Sequence[int], *, code: int, **_: Any) -> Size:
    """Stand in for `parameters_of`."""
    return Size(1, 2, code, contrasts * int(np.prod(shape)) / code)


def use_coarse(monkeypatch: Any) -> None:
    """Put `Coarse` in the place of the network."""
    from reperfuse.studies.fusion import architecture, fit

    monkeypatch.setattr(architecture, "FusionAutoencoder", Coarse)
    monkeypatch.setattr(fit, "parameters_of", size)


def same(a: nn.Module, b: nn.Module) -> bool:
    """Whether two networks have the same bits."""
    return all(
        torch.equal(x, y) for x, y in zip(a.state_dict().values(), b.state_dict().values(), strict=True)
    )
