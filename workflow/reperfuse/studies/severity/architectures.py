"""The study's networks untrained, and what their outputs mean: of the classes, of the score, beside the volume."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from reperfuse.core.errors import ConfigError
from reperfuse.networks.vit import VisionTransformer

Array = np.ndarray
Settings = Mapping[str, Any]
# MONAI's networks halve their input five times.
SMALLEST = 32
# Small enough for a few hundred patients; Dosovitskiy's smallest has four times these weights and more.
VIT: dict[str, Any] = {"patches": 8, "width": 192, "layers": 6, "heads": 6, "dropout": 0.1}


class Padded(nn.Module):
    """A network whose input is filled up with zeros, alike on both sides, to `SMALLEST` voxels along each axis."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        """Return what the network says of the input."""
        lacking = [max(0, SMALLEST - n) for n in reversed(x.shape[2:])]
        padding = [one for n in lacking for one in (n // 2, n - n // 2)]
        logits: Tensor = self.network(functional.pad(x, padding))
        return logits


def build(name: str, settings: Settings, in_channels: int, shape: Sequence[int]) -> nn.Module:
    """Return an untrained network, (B, C, S, R, L) → (B, 2) logits; a third output where the score is learnt too.

    Parameters
    ----------
    name : str
        ``tractnet``, with or without the name of an ablation in brackets, or one of MONAI's networks.
    settings : mapping
        From `effective`.
    in_channels, shape : int, sequence of int
        Of what it is shown.
    """
    graded = settings["training"]["graded"]
    n_classes = 3 if graded else 2
    kind = name.partition("[")[0]
    module: nn.Module
    if kind == "tractnet":
        from reperfuse.networks.tractnet import TractNet, TractNetSettings

        module = TractNet(
            TractNetSettings(in_channels=in_channels, n_classes=n_classes, **settings["network"])
        )
    elif kind == "vit":
        module = VisionTransformer(in_channels, n_classes, shape=shape, **VIT)
    else:
        module = Padded(_of_monai(kind, in_channels, n_classes))
    # Kept with the weights: where the score is cut, in units of the third output; and what the volume alone says.
    if graded == 1:
        module.register_buffer("cut", torch.zeros(()))
    if settings["training"]["volume"]:
        module.register_buffer("by_volume", torch.zeros(n_classes, 2))
        last = [
            one for one in module.modules() if isinstance(one, nn.Linear) and one.out_features == n_classes
        ][-1]
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
    return module


def _of_monai(kind: str, in_channels: int, n_classes: int) -> nn.Module:
    import monai.networks.nets as monai  # takes its time

    nets: Any = monai
    module: nn.Module
    if kind == "resnet18":
        module = nets.resnet18(
            pretrained=False, spatial_dims=3, n_input_channels=in_channels, num_classes=n_classes, conv1_t_stride=2
        )  # fmt: skip
    elif kind == "densenet121":
        module = nets.DenseNet121(spatial_dims=3, in_channels=in_channels, out_channels=n_classes)
    elif kind == "seresnet50":
        module = nets.SEResNet50(spatial_dims=3, in_channels=in_channels, num_classes=n_classes)
    else:
        raise ConfigError(
            f"there is no network {kind!r}; expected tractnet, resnet18, densenet121, seresnet50 or vit"
        )
    return module


def class_index(settings: Settings) -> int:
    """Return the output that grows with severity: the positive class, or the score where that alone is learnt."""
    return 2 if settings["training"]["graded"] == 1 else 1


def with_volume(outputs: Tensor, module: nn.Module, volumes: Tensor) -> Tensor:
    """Return outputs, (B, classes), with what the logs of volumes (B,) say alone, where that is asked for."""
    if not hasattr(module, "by_volume"):
        return outputs
    rule = module.get_buffer("by_volume")
    return outputs + rule[:, 0] + rule[:, 1] * volumes[:, None]


def logit_of(outputs: Tensor, module: nn.Module) -> Tensor:
    """Return the log odds of the positive class, (B,); at ``graded: 1`` how far the score lies above the cut, in SD."""
    if hasattr(module, "cut"):
        return outputs[:, 2] - module.get_buffer("cut")
    return outputs[:, 1] - outputs[:, 0]


def volumes_of(images: Tensor, settings: Settings) -> Tensor:
    """Return the log of 1 + the lesion's volume in ml, (B,), as the channel shows it; 0 where it is not asked for."""
    if not settings["training"]["volume"]:
        return torch.zeros(len(images))
    lesion = images[:, list(settings["channels"]).index("lesion")].float()
    return torch.log1p(lesion.sum(dim=(1, 2, 3)) * math.prod(settings["grid"]["spacing_mm"]) / 1000)


def rule_by_volume(volumes: Tensor, labels: Array, grades: Array, settings: Settings) -> Tensor:
    """Return intercept and slope of each output by the log of the volume: linear discriminant, and least squares."""
    x, rule = volumes.double().numpy(), np.zeros((3 if settings["training"]["graded"] else 2, 2))
    groups = [x[labels == one] for one in (0, 1)]
    within = sum(((one - one.mean()) ** 2).sum() for one in groups if len(one)) / len(x)
    if all(len(one) for one in groups) and within > 0:
        slope = (groups[1].mean() - groups[0].mean()) / within
        odds = 0.0 if settings["training"]["class_weights"] else math.log(len(groups[1]) / len(groups[0]))
        rule[1] = odds - slope * (groups[1].mean() + groups[0].mean()) / 2, slope
    if settings["training"]["graded"]:
        slope = np.cov(x, grades, bias=True)[0, 1] / (x.var() or 1.0)
        rule[2] = grades.mean() - slope * x.mean(), slope
    return torch.from_numpy(rule)
